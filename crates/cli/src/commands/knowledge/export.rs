//! `ccl-agent knowledge export`: everything a memory holds, one JSON object a line.

use std::path::PathBuf;

use ccl_agent::run_dir::write_atomically;
use ccl_memory::{Opening, write_lines};
use clap::Args;

use crate::commands::memory_argument;
use crate::error::{CommandError, CommandResult};
use crate::output;

/// Arguments of `ccl-agent knowledge export`.
#[derive(Args)]
pub struct ExportArgs {
    /// A file, a folder, sqlite:FILE or postgres://USER@HOST/DATABASE.
    #[arg(long, value_name = "URL", default_value = "artifacts/memory")]
    memory: String,
    /// Write to this file instead of stdout.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Exports.
///
/// # Errors
/// A memory that is not there or cannot be read, a file that cannot be written.
pub fn run(args: &ExportArgs) -> CommandResult {
    let mut memory = memory_argument::open(&args.memory, Opening::Existing)?;
    let records = memory.export().map_err(CommandError::bad_input)?;
    let mut text = Vec::new();
    write_lines(&records, &mut text).map_err(CommandError::bad_input)?;
    match &args.out {
        Some(file) => write_atomically(file, &text).map_err(|error| {
            CommandError::bad_input(format!("cannot write {}: {error}", file.display()))
        }),
        None if text.is_empty() => Ok(()),
        None => output::text(String::from_utf8_lossy(&text)),
    }
}
