//! What it takes to attach to a job, and why it may not be possible.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use ccl_abi::shared::job::CommunicatorName;
use ccl_core::{NcclVersion, TaskKey};
use thiserror::Error;

use crate::live::pattern::PatternError;

/// A job to attach to.
pub struct LiveJob {
    /// Its directory, in which its ranks make their logs and rings, and the job writes its iteration
    /// times ([`ITERATIONS_FILE`](ccl_abi::shared::job::ITERATIONS_FILE)).
    pub directory: PathBuf,
    /// What its cluster is called.
    pub cluster: String,
    /// Its NCCL, if its ranks cannot tell.
    pub nccl_version: NcclVersion,
    /// Whether nothing runs beside the calls of a key. A key of which that is not known counts as
    /// overlapped: then the iteration is judged, not the call.
    pub is_exposed: Box<dyn Fn(TaskKey) -> bool>,
    /// How long the job may make no progress before it counts as hung.
    pub patience: Duration,
    /// How long to wait for its first rank.
    pub wait: Duration,
    /// What a reader of the results must know beside what the testbed itself notes.
    pub notes: Vec<String>,
}

/// Why a job cannot be tuned while it runs.
#[derive(Debug, Error)]
pub enum LiveError {
    /// Its directory or its iteration times cannot be read.
    #[error("cannot read the job's files: {0}")]
    Io(#[from] io::Error),
    /// It ended before it could be tuned.
    #[error("all ranks of the job have ended")]
    Ended,
    /// Its ranks waited for an agent that did not answer, and no longer listen to any.
    #[error("the ranks of {} gave up waiting for an earlier agent", name.file())]
    Frozen {
        /// Which.
        name: CommunicatorName,
    },
    /// It does not show what is needed.
    #[error("after {waited_s} s the job has not shown {missing}")]
    NotSeen {
        /// What is missing.
        missing: String,
        /// How long it was waited for, seconds.
        waited_s: f64,
    },
    /// Its iterations are not alike.
    #[error("communicator {}: {why}", name.file())]
    Pattern {
        /// Where.
        name: CommunicatorName,
        /// How not.
        why: PatternError,
    },
    /// NCCL does not ask the tuner the same number of times for every call.
    #[error(
        "communicator {}: NCCL asked the tuner {asked} times for {calls} collectives; grouped \
         collectives cannot be told apart",
        name.file()
    )]
    Asked {
        /// Where.
        name: CommunicatorName,
        /// Questions.
        asked: u64,
        /// Collectives.
        calls: u64,
    },
    /// The records say when calls were enqueued, not how long they took.
    #[error("the records hold no durations, only when calls were enqueued")]
    NoDurations,
}
