//! `ccl-agent export`: the best configuration of a run, in the form a cluster takes.

use std::path::{Path, PathBuf};

use ccl_agent::run_dir::write_atomically;
use ccl_agent::summary::Summary;
use ccl_core::{ExportFormat, export};
use clap::Args;

use crate::error::{CommandError, CommandResult};
use crate::output;

/// Arguments of `ccl-agent export`.
#[derive(Args)]
pub struct ExportArgs {
    /// The run, or the beginning of its id if no other begins like it.
    #[arg(long, value_name = "RUN_ID")]
    run: String,
    /// nccl-tuner-csv, policy-csv (for our plugin, with chunk sizes), env, nccl-conf, configmap or json.
    #[arg(long)]
    format: ExportFormat,
    /// Where run directories are.
    #[arg(long, value_name = "DIR", default_value = "artifacts")]
    artifacts: PathBuf,
    /// Write to this file instead of stdout.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Exports.
///
/// # Errors
/// A run that is not there or did not end, a form that cannot hold the configuration, a file that
/// cannot be written.
pub fn run(args: &ExportArgs) -> CommandResult {
    let folder = find(&args.artifacts, &args.run)?;
    let path = folder.join("summary.json");
    let text = std::fs::read(&path).map_err(|error| {
        CommandError::bad_input(format!("cannot read {}: {error}", path.display()))
            .help("a run without a summary did not end; run it again")
    })?;
    let summary: Summary = serde_json::from_slice(&text).map_err(|error| {
        CommandError::bad_input(format!("{}: {error}", path.display()))
            .help("the summary was changed or is of another version")
    })?;
    let name = configmap_name(&summary.run_id);
    let text = export(&summary.best.configuration, args.format, &name).map_err(|error| {
        CommandError::bad_input(format!("{}: {error}", args.format))
            .help("the format json holds everything")
    })?;
    match &args.out {
        None => output::text(text),
        Some(file) => write_atomically(file, text.as_bytes()).map_err(|error| {
            CommandError::bad_input(format!("cannot write {}: {error}", file.display()))
        }),
    }
}

/// The run directory that the id names or begins.
pub(super) fn find(artifacts: &Path, run: &str) -> Result<PathBuf, CommandError> {
    let unreadable = |error: std::io::Error| {
        CommandError::bad_input(format!("cannot read {}: {error}", artifacts.display()))
            .help("name the folder of the runs with --artifacts")
    };
    let mut found: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(artifacts).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_run = entry.path().join("run.json").exists();
        if is_run && name == run {
            return Ok(entry.path());
        }
        if is_run && !run.is_empty() && name.starts_with(run) {
            found.push(name);
        }
    }
    found.sort_unstable();
    match found.as_slice() {
        [one] => Ok(artifacts.join(one)),
        [] => Err(
            CommandError::bad_input(format!("no run {run:?} in {}", artifacts.display()))
                .help("tune says the id of each run at its beginning and at its end"),
        ),
        several => Err(CommandError::bad_input(format!(
            "{} runs begin with {run:?}",
            several.len()
        ))
        .help(several.join("\n"))),
    }
}

/// A run id as Kubernetes allows names.
fn configmap_name(run_id: &str) -> String {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.';
    let name: String = run_id
        .to_ascii_lowercase()
        .chars()
        .map(|c| if allowed(c) { c } else { '-' })
        .collect();
    format!("ccl-agent-{}", name.trim_end_matches(['-', '.']))
}
