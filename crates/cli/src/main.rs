//! The binary `ccl-agent`: reads the command line, calls one command, renders its errors.

mod commands;
mod error;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tunes NCCL for a training job, safely, and proves what it gained.
#[derive(Parser)]
#[command(name = "ccl-agent", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// One variant per command; each command's arguments and body live in a module of its own.
#[derive(Subcommand)]
enum Command {}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {}
}
