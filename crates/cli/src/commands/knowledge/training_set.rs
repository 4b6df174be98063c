//! `ccl-agent knowledge training-set`: what runs decided and what came of it, one JSON object a line, for fine-tuning.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ccl_agent::run_dir::write_atomically;
use ccl_agent::training::examples;
use ccl_agent::training::read::RecordedRun;
use ccl_agent::training::redact::Redactor;
use clap::Args;

use crate::commands::export::find;
use crate::error::{CommandError, CommandResult};
use crate::output;

/// Variables that hold names of a user or a machine.
const NAMES: [&str; 4] = ["USER", "LOGNAME", "USERNAME", "HOSTNAME"];

/// Arguments of `ccl-agent knowledge training-set`.
#[derive(Args)]
pub struct TrainingSetArgs {
    /// Where run directories are.
    #[arg(long, value_name = "DIR", default_value = "artifacts")]
    artifacts: PathBuf,
    /// Only this run, or the one whose id begins like this; may be given several times.
    #[arg(long, value_name = "RUN_ID")]
    run: Vec<String>,
    /// Write to this file instead of stdout.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Exports.
///
/// # Errors
/// A run that is not there or cannot be read, a file that cannot be written; nothing is written then.
pub fn run(args: &TrainingSetArgs) -> CommandResult {
    let folders = match args.run.as_slice() {
        [] => all(&args.artifacts)?,
        named => {
            let found: Result<Vec<_>, _> = named.iter().map(|r| find(&args.artifacts, r)).collect();
            found?
        }
    };
    let names: Vec<String> = NAMES.iter().filter_map(|n| std::env::var(n).ok()).collect();
    let redactor = Redactor::new(&names).map_err(CommandError::bad_input)?;
    let mut text = String::new();
    let mut lines = 0_u64;
    let mut taken_out: BTreeMap<String, u64> = BTreeMap::new();
    for folder in &folders {
        let run = RecordedRun::read(folder).map_err(|error| {
            CommandError::bad_input(error).help(
                "it was changed or is of another version; name the runs that are wanted with --run",
            )
        })?;
        for example in examples(&run) {
            let (line, counts) = redactor.line(&example).map_err(CommandError::bad_input)?;
            for (kind, count) in counts {
                *taken_out.entry(kind).or_default() += count;
            }
            text.push_str(&line.to_string());
            text.push('\n');
            lines += 1;
        }
    }
    match &args.out {
        Some(file) => write_atomically(file, text.as_bytes()).map_err(|error| {
            CommandError::bad_input(format!("cannot write {}: {error}", file.display()))
        })?,
        None if text.is_empty() => {}
        None => output::text(text)?,
    }
    let taken_out: Vec<String> = taken_out
        .iter()
        .map(|(kind, n)| format!("{n} x {kind}"))
        .collect();
    let taken_out = match taken_out.as_slice() {
        [] => "nothing".to_owned(),
        some => some.join(", "),
    };
    output::note(format!(
        "{lines} decisions of {} runs; taken out: {taken_out}. What looks like no path, address, name or key stays: \
         look it through before it is given away",
        folders.len()
    ));
    Ok(())
}

/// Every run directory, by name.
fn all(artifacts: &Path) -> Result<Vec<PathBuf>, CommandError> {
    let unreadable = |error: std::io::Error| {
        CommandError::bad_input(format!("cannot read {}: {error}", artifacts.display()))
            .help("name the folder of the runs with --artifacts")
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(artifacts).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.join("run.json").exists() {
            found.push(path);
        }
    }
    found.sort();
    match found.is_empty() {
        true => Err(
            CommandError::bad_input(format!("no run in {}", artifacts.display()))
                .help("name the folder of the runs with --artifacts"),
        ),
        false => Ok(found),
    }
}
