//! `ccl-agent observe`: what NCCL chose in a running job, how long it took, and what it waited for.
//!
//! The ranks write rings whether or not somebody reads them, and notice nothing of this command. It reads
//! more often than it shows, because a ring holds a second of the fastest jobs.

mod columns;
mod screen;
mod text;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use ccl_agent::observe::report::Depth;
use clap::{Args, ValueEnum};

use crate::error::CommandResult;
use screen::Screen;
use watch::Watch;

/// Arguments of `ccl-agent observe`.
#[derive(Args)]
#[command(
    after_help = "The ranks record where NCCL_PROFILER_PLUGIN names libnccl-ccl-agent.so and \
CCL_AGENT_JOB names the job directory, a directory of their machine. The command ends when all ranks \
are over, or on Ctrl-C, each time after a last table. Ranks and observer must see each other's \
processes (one pid namespace), and a job has one observer.\n\n\
Durations are the latest 512 of each rank of this machine; everything else counts from when the \
observer began. --json prints one object on a line for each table (doc/reference/schema/observe.json); \
with --once, one object."
)]
pub struct ObserveArgs {
    /// Job directory: what CCL_AGENT_JOB names for the ranks.
    #[arg(long, value_name = "DIR")]
    job: PathBuf,
    /// Seconds between two tables.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = positive_seconds)]
    every: Duration,
    /// Seconds to wait for the first rank; with --once there is no waiting.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    wait: Duration,
    /// Read what is there, print one table, end.
    #[arg(long)]
    once: bool,
    /// Print JSON on stdout instead of tables.
    #[arg(long)]
    json: bool,
    /// Also write each collective as NVIDIA's NCCL Inspector does (v4.0, one file per process) into
    /// this folder.
    #[arg(long, value_name = "DIR")]
    inspector: Option<PathBuf>,
    /// Ask the ranks to record one collective in N from now on, also after this command. 1 leaves it to
    /// them: all, as long as that costs little, unless CCL_AGENT_SAMPLE says otherwise.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    sample: Option<u32>,
    /// Ask the ranks to record that much from now on, also after this command.
    #[arg(long, value_enum)]
    depth: Option<DepthArg>,
}

#[derive(Clone, Copy, ValueEnum)]
enum DepthArg {
    /// What NCCL chose, not how long it took.
    Collectives,
    /// And the kernels on the GPU: durations.
    Kernels,
    /// And every network transfer: what it waited for.
    Transfers,
}

impl From<DepthArg> for Depth {
    fn from(depth: DepthArg) -> Self {
        match depth {
            DepthArg::Collectives => Self::Collectives,
            DepthArg::Kernels => Self::Kernels,
            DepthArg::Transfers => Self::Transfers,
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "a number of seconds".to_owned())?;
    let most = Duration::from_secs(365 * 86400);
    match Duration::try_from_secs_f64(number) {
        Ok(duration) if duration <= most => Ok(duration),
        _ => Err("seconds, not negative and at most a year".to_owned()),
    }
}

fn positive_seconds(text: &str) -> Result<Duration, String> {
    let least = Duration::from_millis(100);
    seconds(text).and_then(|duration| {
        let is_enough = duration >= least;
        is_enough
            .then_some(duration)
            .ok_or("at least 0.1 seconds".to_owned())
    })
}

/// Runs `ccl-agent observe`.
///
/// # Errors
/// No directory, no rank that records in it, another observer, files that cannot be written (2); an
/// interrupt (130).
pub fn run(args: &ObserveArgs) -> CommandResult {
    let mut watch = Watch::new(args)?;
    let mut screen = Screen::new(args.json, args.once);
    if args.once {
        return watch.once(&mut screen);
    }
    watch.follow(args, &mut screen)
}
