//! The binary `ccl-agent`: reads the command line, calls one command, renders its errors.

mod commands;
mod error;
mod output;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::CommandResult;

/// Tunes NCCL for a training job, safely, and proves what it gained.
#[derive(Parser)]
#[command(name = "ccl-agent", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// One variant per command; each command's arguments and body live in a module of its own.
#[derive(Subcommand)]
enum Command {
    /// Tune a job: offline thinking, online trials, a verdict with an interval.
    Tune(commands::tune::TuneArgs),
    /// Watch a running job: what NCCL chose, how long it took, and what it waited for.
    Observe(commands::observe::ObserveArgs),
    /// Write the best configuration of a run in the form a cluster takes.
    Export(commands::export::ExportArgs),
    /// Turn a recorded sweep of NCCL into a tuner table.
    Fit(commands::fit::FitArgs),
    /// Hold methods of tuning against each other, ours and published ones.
    Compare(commands::compare::CompareArgs),
    /// A simulated job for optimisers written elsewhere, asked and told over stdin and stdout.
    Objective(commands::objective::ObjectiveArgs),
    /// The catalogue of NCCL's variables, and a linter for files that set them.
    Knobs(commands::knobs::KnobsArgs),
    /// What is known beforehand and what outlives a run: search it, add to it, move it.
    Knowledge(commands::knowledge::KnowledgeArgs),
    /// The tools of a run for any MCP client, over stdin and stdout.
    Mcp(commands::mcp::McpArgs),
    /// The JSON Schema of a workload, a cluster, a trace or what observe prints.
    Schema(commands::schema::SchemaArgs),
    /// Ask the simulator, and hold it against what was recorded.
    Sim(commands::sim::SimArgs),
}

impl Command {
    fn run(self) -> CommandResult {
        match self {
            Self::Tune(args) => commands::tune::run(&args),
            Self::Observe(args) => commands::observe::run(&args),
            Self::Export(args) => commands::export::run(&args),
            Self::Fit(args) => commands::fit::run(&args),
            Self::Compare(args) => commands::compare::run(&args),
            Self::Objective(args) => commands::objective::run(&args),
            Self::Knobs(args) => commands::knobs::run(&args),
            Self::Knowledge(args) => commands::knowledge::run(&args),
            Self::Mcp(args) => commands::mcp::run(&args),
            Self::Schema(args) => commands::schema::run(&args),
            Self::Sim(args) => commands::sim::run(args),
        }
    }
}

fn main() -> ExitCode {
    // Usage errors leave here with clap's exit code, which is 2 as well.
    match Cli::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.kind as u8;
            output::error(&miette::Report::new(error));
            ExitCode::from(code)
        }
    }
}
