//! The arguments that say which machine: `--cluster NAME|FILE`, a catalogue entry or a TOML file, and
//! `--machine-spread S`.

use std::path::Path;

use ccl_core::{CLUSTERS, ClusterError, ClusterSpec, cluster_text};

use crate::error::CommandError;

/// Reads the cluster a user named. What ends in `.toml` or has a path separator is a file.
///
/// # Errors
/// An unknown name, a file that cannot be read, a specification that is wrong.
pub fn load(name_or_file: &str) -> Result<ClusterSpec, CommandError> {
    if let Some(text) = cluster_text(name_or_file) {
        return ClusterSpec::parse(text).map_err(|e| wrong(name_or_file, &e));
    }
    let path = Path::new(name_or_file);
    let is_file = path.extension().is_some_and(|e| e == "toml") || path.components().count() > 1;
    if !is_file && !path.exists() {
        let names: Vec<_> = CLUSTERS.iter().map(|(name, _)| *name).collect();
        return Err(
            CommandError::bad_input(format!("unknown cluster {name_or_file:?}"))
                .help(format!("name a TOML file or one of: {}", names.join(", "))),
        );
    }
    let text = std::fs::read_to_string(path)
        .map_err(|e| CommandError::bad_input(format!("cannot read {name_or_file}: {e}")))?;
    ClusterSpec::parse(&text).map_err(|e| wrong(name_or_file, &e))
}

fn wrong(name_or_file: &str, error: &ClusterError) -> CommandError {
    CommandError::bad_input(format!("{name_or_file}: {error}"))
        .help("cluster specifications are described in cluster/ and its JSON Schema")
}

/// How far a machine may be from its specification: `--machine-spread`.
///
/// # Errors
/// A figure outside 0 to 1 (2).
pub fn machine_spread(spread: f64) -> Result<f64, CommandError> {
    match (0.0..=1.0).contains(&spread) {
        true => Ok(spread),
        false => Err(CommandError::bad_input(format!(
            "--machine-spread {spread}: expected 0 to 1"
        ))
        .help("0 is the machine as it is specified; the builtin suite takes 0.12")),
    }
}
