//! `ccl-agent sim`: ask the simulator, and hold it against what was recorded.
//!
//! One module per question.

mod nccl_model;
mod plot;
mod sweep;
mod validate_data;
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
    /// Simulate a sweep over sizes, as nccl-tests would measure one.
    Sweep(sweep::SweepArgs),
    /// Compare the simulator with recorded data.
    Validate(ValidateArgs),
}

/// Arguments of `ccl-agent sim validate`.
#[derive(Args)]
struct ValidateArgs {
    /// Folder with topologies.csv, graphs.csv, model.csv, costs.csv and choices.csv, as NCCL's own
    /// host code computed them.
    #[arg(
        long,
        value_name = "DIR",
        required_unless_present = "data",
        conflicts_with = "data"
    )]
    nccl_tables: Option<PathBuf>,
    /// Recorded measurements, one row a point.
    #[arg(long, value_name = "CSV")]
    data: Option<PathBuf>,
    /// Folder for one picture per data set, measured against simulated.
    #[arg(long, value_name = "DIR", requires = "data")]
    plots: Option<PathBuf>,
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
        SimCommand::Sweep(args) => sweep::run(&args),
        SimCommand::Validate(args) => validate(&args),
    }
}

fn validate(args: &ValidateArgs) -> CommandResult {
    match (&args.nccl_tables, &args.data) {
        (Some(folder), _) => validate_tables::run(folder, args.json),
        (None, Some(data)) => validate_data::run(data, args.plots.as_deref(), args.json),
        (None, None) => Ok(()),
    }
}
