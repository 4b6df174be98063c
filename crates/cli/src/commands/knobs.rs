//! `ccl-agent knobs`: the catalogue of NCCL's variables, and the linter for files that set them.

mod check;
mod json;
mod list;
mod show;
mod target;

use clap::{Args, Subcommand};

use crate::error::CommandResult;
use target::Target;

/// The catalogue of NCCL's variables, and a linter for files that set them.
#[derive(Args)]
pub struct KnobsArgs {
    #[command(subcommand)]
    command: KnobsCommand,
}

#[derive(Subcommand)]
enum KnobsCommand {
    /// List the knobs, as a table, as JSON or as the reference page.
    List(list::ListArgs),
    /// Show everything known about one knob.
    Show(show::ShowArgs),
    /// Check a file of settings: shell, docker --env-file or nccl.conf. Exit 2 on errors.
    Check(check::CheckArgs),
}

/// What `list`, `show` and `check` are asked about.
#[derive(Args)]
struct TargetArgs {
    /// The NCCL release, such as 2.27.3; 2.27 stands for all of its patches.
    #[arg(long, value_name = "V")]
    nccl_version: Option<ccl_core::NcclVersion>,
    /// A cluster of the catalogue, a cluster file, or words such as pcie, nvlink, nvswitch, mnnvl,
    /// ib, roce, efa, slingshot, tcp, ampere, hopper, blackwell, x86, arm, separated by commas.
    #[arg(long, value_name = "P")]
    platform: Option<String>,
}

/// Runs one of the commands.
///
/// # Errors
/// Bad input, and for `check` a file with errors in it.
pub fn run(args: &KnobsArgs) -> CommandResult {
    match &args.command {
        KnobsCommand::List(args) => list::run(args),
        KnobsCommand::Show(args) => show::run(args),
        KnobsCommand::Check(args) => check::run(args),
    }
}
