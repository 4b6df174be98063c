//! `ccl-agent mcp`: the tools of one run, for any program that speaks the Model Context Protocol.
//!
//! The client steers where otherwise the minds would: it lists the tools, calls them, and leaves; the run then ends
//! as any other, with a verdict and a run directory. Without `--allow-apply` it may only look. Stdout belongs to the
//! protocol; whatever a person should read goes to stderr.
//!
//! The protocol runs in a thread of its own, the run in the main one: calls wait for each other, since there is one
//! job.

mod server;

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use ccl_agent::summary::Summary;
use ccl_agent::tools::{ToolError, Touches};
use ccl_agent::tuner::{RunError, TuneOptions, Tuner};
use ccl_core::Caller;
use clap::Args;
use serde_json::Value;

use crate::commands::run::{self, RunArgs};
use crate::error::CommandResult;
use crate::output;

/// How often the run looks whether it was interrupted while nobody calls.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Arguments of `ccl-agent mcp`.
#[derive(Args)]
pub struct McpArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Offer the tools that do something as well: time calls beside the job, write proposals down, try them in the
    /// job through the guard, roll back, stop. Without it a client may only look.
    #[arg(long)]
    allow_apply: bool,
}

/// One call of a client.
struct Call {
    tool: String,
    arguments: Value,
    answer: tokio::sync::oneshot::Sender<Result<Value, ToolError>>,
}

/// Runs `ccl-agent mcp`.
///
/// # Errors
/// As `tune`; and a protocol that could not be served.
pub fn run(args: &McpArgs) -> CommandResult {
    let may_touch = match args.allow_apply {
        true => Touches::Job,
        false => Touches::Nothing,
    };
    let finished = run::run(
        &args.run,
        TuneOptions::default(),
        None,
        &mut (),
        &mut |tuner, run_id| steer(tuner, run_id, may_touch),
    )?;
    output::note(format!(
        "the client has left: {:?}, {:.3}x [{:.3}, {:.3}] ({}); {}",
        finished.summary.verdict,
        finished.summary.speedup.median,
        finished.summary.speedup.ci95[0],
        finished.summary.speedup.ci95[1],
        finished.summary.source,
        finished.folder.display()
    ));
    finished.outcome()
}

/// Serves calls from the beginning of a run until the client leaves.
fn steer(tuner: &mut Tuner<'_>, run_id: &str, may_touch: Touches) -> Result<Summary, RunError> {
    // The client is greeted while the baseline is measured.
    let calls = server::start(may_touch)?;
    tuner.begin(run_id)?;
    serve(tuner, &calls, may_touch)?;
    tuner.finish()
}

fn serve(
    tuner: &mut Tuner<'_>,
    calls: &Receiver<Call>,
    may_touch: Touches,
) -> Result<(), RunError> {
    while !tuner.is_interrupted() {
        match calls.recv_timeout(LOOK_EVERY) {
            Ok(call) => {
                let answer =
                    tuner.call_tool(Caller::Client, may_touch, &call.tool, call.arguments)?;
                // A client that left does not wait for its answer.
                let _ = call.answer.send(answer);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok(())
}
