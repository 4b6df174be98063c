//! `ccl-agent knowledge`: what outlives a run, out of one memory and into another.

mod export;
mod import;

use clap::{Args, Subcommand};

use crate::error::CommandResult;

/// Arguments of `ccl-agent knowledge`.
#[derive(Args)]
pub struct KnowledgeArgs {
    #[command(subcommand)]
    command: KnowledgeCommand,
}

/// One variant per command.
#[derive(Subcommand)]
enum KnowledgeCommand {
    /// Write everything a memory holds, one JSON object a line.
    Export(export::ExportArgs),
    /// Take over what another memory exported; what is here stays.
    Import(import::ImportArgs),
}

/// Runs `ccl-agent knowledge`.
///
/// # Errors
/// See the commands.
pub fn run(args: &KnowledgeArgs) -> CommandResult {
    match &args.command {
        KnowledgeCommand::Export(args) => export::run(args),
        KnowledgeCommand::Import(args) => import::run(args),
    }
}
