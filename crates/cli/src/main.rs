//! The binary `ccl-agent`: reads the command line, calls one command, renders its errors.

mod commands;
mod error;
mod table;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::{CommandError, CommandResult};

/// Tunes NCCL for a training job, safely, and proves what it gained.
#[derive(Parser)]
#[command(name = "ccl-agent", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// One variant per command; each command's arguments and body live in a module of its own.
#[derive(Subcommand)]
enum Command {
    Knobs(commands::knobs::KnobsArgs),
}

impl Command {
    fn run(&self) -> CommandResult {
        match self {
            Self::Knobs(args) => commands::knobs::run(args),
        }
    }
}

fn main() -> ExitCode {
    // Usage errors leave here with clap's exit code, which is 2 as well.
    match Cli::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.kind as u8;
            report(error);
            ExitCode::from(code)
        }
    }
}

/// Renders an error on stderr: what was wrong, where, what to do.
fn report(error: CommandError) {
    let report = miette::Report::new(error);
    // Nothing is left to tell when stderr is gone.
    let _ = writeln!(anstream::stderr(), "{report:?}");
}
