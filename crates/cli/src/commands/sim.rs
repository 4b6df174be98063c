//! `ccl-agent sim`: ask the simulator, and hold it against what was recorded.
//!
//! One module per question.

mod nccl_model;
mod validate_tables;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::error::CommandResult;

/// Arguments of `ccl-agent sim`.
#[derive(Args)]
pub struct SimArgs {
    #[command(subcommand)]
    command: SimCommand,
}

#[derive(Subcommand)]
enum SimCommand {
    /// NCCL's own cost table for one call, and what it would choose.
    NcclModel(nccl_model::NcclModelArgs),
    /// Compare the simulator with recorded data.
    Validate(ValidateArgs),
}

/// Arguments of `ccl-agent sim validate`.
#[derive(Args)]
struct ValidateArgs {
    /// Folder with topologies.csv, graphs.csv, model.csv, costs.csv and choices.csv, as NCCL's own
    /// host code computed them.
    #[arg(long, value_name = "DIR", required = true)]
    nccl_tables: Option<PathBuf>,
    /// Print one JSON object instead of a summary.
    #[arg(long)]
    json: bool,
}

/// Runs `ccl-agent sim`.
///
/// # Errors
/// Bad input; see the commands.
pub fn run(args: SimArgs) -> CommandResult {
    match args.command {
        SimCommand::NcclModel(args) => nccl_model::run(&args),
        SimCommand::Validate(args) => validate(&args),
    }
}

fn validate(args: &ValidateArgs) -> CommandResult {
    args.nccl_tables
        .as_deref()
        .map_or(Ok(()), |folder| validate_tables::run(folder, args.json))
}
