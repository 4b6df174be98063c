//! `ccl-agent tune`: the three phases on one job, and what came of them.

mod progress;
mod text;

use ccl_agent::trace::Observer;
use ccl_agent::tuner::TuneOptions;
use ccl_core::TraceEvent;
use clap::Args;

use crate::commands::provider::{ProviderArgs, provider};
use crate::commands::run::{self, RunArgs};
use crate::error::CommandResult;
use crate::output;
use progress::Progress;

/// Arguments of `ccl-agent tune`.
#[derive(Args)]
pub struct TuneArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Most times the job may be started again, to try variables that NCCL reads once: two for each that is
    /// tried and three for the final comparison, so fewer than five try none. Only a job that the testbed
    /// can start itself. With --job-iterations the time they take is a part of the 1 %.
    #[arg(long, value_name = "N", default_value_t = 0)]
    restarts: u32,
    /// Iterations to watch the job for after the verdict: it goes back when it becomes slower than
    /// untuned, and is tuned again when its pace changes for good.
    #[arg(long, value_name = "ITERATIONS", default_value_t = 0)]
    watch: u64,
    /// Compute what could have been found, and how much of it was.
    #[arg(long)]
    oracle: bool,
    #[command(flatten)]
    llm: ProviderArgs,
    /// Print one JSON object on stdout; progress goes to stderr.
    #[arg(long)]
    json: bool,
}

/// Runs `ccl-agent tune`.
///
/// # Errors
/// Bad input (2), a workload that fails untuned (3), a guard that stops or a machine that is broken
/// (4), an interrupt (130).
pub fn run(args: &TuneArgs) -> CommandResult {
    let provider = provider(&args.llm)?;
    let options = TuneOptions {
        oracle: args.oracle,
        restarts: args.restarts,
        watch_iterations: args.watch,
        ..TuneOptions::default()
    };
    let mut progress = Progress::new(args.run.budget);
    let finished = run::run(
        &args.run,
        options,
        provider,
        &mut progress,
        &mut |tuner, run_id| tuner.run(run_id),
    )?;
    progress.finish();
    if args.json {
        output::json(&finished.summary)?;
    } else {
        let (folder, memory) = (&finished.folder, &finished.memory);
        output::text(text::result(&finished.summary, folder, memory))?;
    }
    finished.outcome()
}

/// Progress is what a person sees of the trace.
impl Observer for Progress {
    fn event(&mut self, event: &TraceEvent) {
        self.show(event);
    }
}
