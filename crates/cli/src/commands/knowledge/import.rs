//! `ccl-agent knowledge import`: takes over what another memory exported, all or nothing.

use std::io::BufReader;
use std::path::PathBuf;

use ccl_memory::{Imported, Opening, read_lines};
use clap::Args;

use crate::commands::memory_argument;
use crate::error::{CommandError, CommandResult};
use crate::output;

/// Arguments of `ccl-agent knowledge import`.
#[derive(Args)]
pub struct ImportArgs {
    /// What `knowledge export` wrote.
    file: PathBuf,
    /// A file, a folder, sqlite:FILE or postgres://USER@HOST/DATABASE; made where it is not there.
    #[arg(
        long,
        value_name = "URL",
        default_value = "artifacts/memory/memory.sqlite"
    )]
    memory: String,
}

/// Imports.
///
/// # Errors
/// A file with a line that is no record, before the memory is opened; a memory that cannot be opened or written.
pub fn run(args: &ImportArgs) -> CommandResult {
    let file = std::fs::File::open(&args.file).map_err(|error| {
        CommandError::bad_input(format!("cannot read {}: {error}", args.file.display()))
    })?;
    let records = read_lines(&args.file, &mut BufReader::new(file)).map_err(|error| {
        CommandError::bad_input(error)
            .help("nothing was imported; each line is one record of `ccl-agent knowledge export`")
    })?;
    let mut memory = memory_argument::open(&args.memory, Opening::OrNew)?;
    let Imported {
        added,
        merged,
        kept,
    } = memory
        .import(&records)
        .map_err(|error| CommandError::bad_input(error).help("nothing was imported"))?;
    output::text(format!(
        "{added} records added, {merged} rules merged, {kept} known already and kept: {}",
        memory.place()
    ))
}
