//! Checks on a machine with a GPU what the stub cannot show: that results are right while choices are
//! switched, and that what the profiler records is what was ordered.
//!
//! ```text
//! check            this process: the agent, and the judge of what happened
//!   rank 0..n      a process each, a node each, on one GPU or several: calls and compares
//!   agent          in the second job only: switches, and is killed
//! ```
//!
//! [`plan`] is what is called and ordered, [`pattern`] what results have to be, [`scenario`] what
//! happens to the two jobs, [`verdict`] holds one against the other, [`page`] says it. Times are of no
//! interest here: ranks that share a GPU and talk over sockets have none that mean anything.
//!
//! On the stub driver nothing moves, so no result can be right: the comparison is only seen to say so,
//! once for each kind of call. What ran is read from the launches instead of from the profiler. Everything
//! else is the same.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ccl_agent::live::pilot::SteerError;
use thiserror::Error;

use self::ranks::Launcher;
use self::scenario::Evidence;
use self::verdict::Tally;

pub mod agent;
pub mod messages;
pub mod page;
pub mod pattern;
pub mod plan;
pub mod rank;
pub mod ranks;
pub mod scenario;
pub mod verdict;

/// Why a check did not come to its end.
#[derive(Debug, Error)]
pub enum CheckError {
    /// A process, a pipe or the job's directory.
    #[error("{0}")]
    Start(io::Error),
    /// A rank that says why.
    #[error("rank {rank}: {what}")]
    Rank {
        /// Which.
        rank: usize,
        /// What it said.
        what: String,
    },
    /// A rank that is not there any more.
    #[error("rank {rank} ended without having been told to")]
    Ended {
        /// Which.
        rank: usize,
    },
    /// No rank did anything.
    #[error("nothing happened for {patience:?}; calls made by the ranks: {made:?}")]
    Stuck {
        /// How long.
        patience: Duration,
        /// Calls of each.
        made: Vec<u64>,
    },
    /// The plugin is not there, or is not asked.
    #[error(
        "the ranks do not follow a decision log: NCCL did not load the plugin, or does not ask it"
    )]
    NotFollowed,
    /// Calls cannot be told from one another in the log.
    #[error(
        "for {calls} calls NCCL asked the ranks' tuners {asks:?} times: not the same number each"
    )]
    Asks {
        /// Calls that each rank made.
        calls: u64,
        /// What each was asked.
        asks: Vec<u64>,
    },
    /// Likewise.
    #[error("NCCL asked about later calls more or less often than about the first")]
    AsksChanged,
    /// No pair is possible but one.
    #[error("there is nothing to switch to: NCCL says that no pair is possible on all ranks")]
    NothingToSwitch,
    /// An order was not taken.
    #[error(transparent)]
    Steer(#[from] SteerError),
    /// The agent that was to be killed ended before.
    #[error("the agent ended before it was killed")]
    NoAgent,
}

/// What both jobs showed.
#[derive(Debug)]
pub struct Outcome {
    /// The job that was switched through all orders.
    pub switched: Job,
    /// The job whose agent was killed.
    pub killed: Job,
    /// What NCCL said about the plugin.
    pub plugin_lines: Vec<String>,
}

/// One job and what was found in it.
#[derive(Debug)]
pub struct Job {
    /// What it left behind.
    pub evidence: Evidence,
    /// What was found.
    pub tally: Tally,
}

impl Outcome {
    /// Whether everything is as it has to be.
    pub fn is_right(&self) -> bool {
        self.switched.tally.problems.is_empty() && self.killed.tally.problems.is_empty()
    }
}

/// Runs both jobs, each in a directory of its own in `folder`.
///
/// # Errors
/// A job that does not come to its end.
pub fn run(launcher: &Launcher, folder: &Path) -> Result<Outcome, CheckError> {
    let directory = |name: &str| -> Result<PathBuf, CheckError> {
        let job = folder.join(name);
        std::fs::create_dir_all(&job).map_err(CheckError::Start)?;
        Ok(job)
    };
    let (first, second) = (directory("switched")?, directory("killed")?);
    let evidence = scenario::switched(launcher, &first)?;
    let mut tally = Tally::of(&evidence);
    if evidence.is_frozen {
        let problem = "a rank waited for the agent in vain and froze the log";
        tally.problems.push(problem.to_owned());
    }
    let switched = Job { evidence, tally };
    let evidence = scenario::agent_killed(launcher, &second)?;
    let mut tally = Tally::of(&evidence);
    if !evidence.is_frozen {
        let problem = "the agent was killed and the ranks did not freeze its log";
        tally.problems.push(problem.to_owned());
    }
    let plugin_lines = page::plugin_lines(&ranks::log_file(&first, 0), &launcher.plugin)
        .map_err(CheckError::Start)?;
    Ok(Outcome {
        switched,
        killed: Job { evidence, tally },
        plugin_lines,
    })
}
