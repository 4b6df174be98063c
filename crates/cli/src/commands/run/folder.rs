//! How a run lies on disk: a folder of its own, and its results in every form that can hold them.

use std::path::Path;

use ccl_agent::run_dir::{RunDir, write_atomically};
use ccl_agent::summary::Summary;
use ccl_core::{Configuration, ExportFormat, export};

use crate::error::CommandError;

/// A new run directory; its name says workload, time and seed.
pub(super) fn create(artifacts: &Path, workload: &str, seed: u64) -> Result<RunDir, CommandError> {
    let name: String = workload
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '-'
            }
        })
        .collect();
    let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
    let base = format!("{name}-{now}-seed{seed}");
    for attempt in 1..100 {
        let id = if attempt == 1 {
            base.clone()
        } else {
            format!("{base}-{attempt}")
        };
        match RunDir::create(artifacts, &id) {
            Err(error)
                if error.kind() == std::io::ErrorKind::AlreadyExists
                    && artifacts.join(&id).exists() => {}
            Err(error) => return Err(artifacts_error(artifacts, &error)),
            Ok(run_dir) => return Ok(run_dir),
        }
    }
    Err(CommandError::bad_input(format!(
        "{}: too many runs of this second",
        artifacts.display()
    )))
}

pub(super) fn artifacts_error(folder: &Path, error: &std::io::Error) -> CommandError {
    CommandError::bad_input(format!("cannot write to {}: {error}", folder.display()))
        .help("name a folder you can write to with --artifacts")
}

/// Writes the best configuration in the forms that can hold it, then the summary; gives the names.
pub(super) fn write_results(folder: &Path, summary: &Summary) -> std::io::Result<Vec<String>> {
    let mut files = Vec::new();
    let configuration = &summary.best.configuration;
    let is_restarted = !configuration.environment.variables.is_empty();
    // Beside a file with the variables, the tables lose nothing by being without.
    let policy = Configuration {
        policy: configuration.policy.clone(),
        ..Configuration::default()
    };
    for (format, name, holds) in [
        (ExportFormat::Json, "best/configuration.json", configuration),
        (ExportFormat::Env, "best/variables.env", configuration),
        (ExportFormat::PolicyCsv, "best/policy.csv", &policy),
        (ExportFormat::NcclTunerCsv, "best/nccl-tuner.csv", &policy),
    ] {
        if format == ExportFormat::Env && !is_restarted {
            continue;
        }
        // What a form cannot hold is not written in part: the JSON holds everything.
        let text = match export(holds, format, &summary.run_id) {
            Ok(text) => text,
            Err(reason) => {
                let name = format!("{name}.not-possible.txt");
                write_atomically(&folder.join(&name), format!("{reason}\n").as_bytes())?;
                files.push(name);
                continue;
            }
        };
        write_atomically(&folder.join(name), text.as_bytes())?;
        files.push(name.to_owned());
    }
    let mut text = serde_json::to_vec_pretty(summary)?;
    text.push(b'\n');
    write_atomically(&folder.join("summary.json"), &text)?;
    files.push("summary.json".to_owned());
    Ok(files)
}
