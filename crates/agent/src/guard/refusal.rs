//! Why the guard turns something down: the rule that was broken, with its figures.

use ccl_core::{Choice, PolicyError, TaskKey};
use thiserror::Error;

/// Why a candidate may not run.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Refusal {
    /// The job has no such key.
    #[error("{key} does not occur in this workload")]
    UnknownKey {
        /// The key.
        key: TaskKey,
    },
    /// Two choices for all calls of one key.
    #[error("two choices for all calls of {key}")]
    TwoOfOneKey {
        /// The key.
        key: TaskKey,
    },
    /// The policy does not compile.
    #[error("does not compile: {0}")]
    Policy(#[from] PolicyError),
    /// The communicator cannot run it.
    #[error("{choice} is not possible on {key}")]
    NotPossible {
        /// The key.
        key: TaskKey,
        /// The choice.
        choice: Choice,
    },
    /// LL128 where NCCL itself does not offer it: silent corruption.
    #[error("LL128 is not offered by NCCL for {key}; forcing it can corrupt data silently")]
    UnsafeLl128 {
        /// The key.
        key: TaskKey,
    },
    /// Leases that take more of a key's calls than untried choices may.
    #[error("leases of {leased} of {calls} calls of {key}; at most {allowed} are allowed")]
    TooManyLeased {
        /// The key.
        key: TaskKey,
        /// Calls leased.
        leased: u64,
        /// Calls in an iteration.
        calls: u64,
        /// Most calls that may be leased.
        allowed: u64,
    },
    /// A process-level variable that this run may not change.
    #[error("process-level knobs need a restart, which this workload does not allow: {name}")]
    NeedsRestart {
        /// The variable.
        name: String,
    },
    /// A setting that the job failed with.
    #[error("{setting} may have made the job fail ({why})")]
    SuspectSetting {
        /// The variable with its value.
        setting: String,
        /// Of what.
        why: String,
    },
    /// No restart is left for it.
    #[error("{made} of {allowed} restarts are made, and {needed} more would be needed")]
    NoRestartLeft {
        /// Restarts made.
        made: u32,
        /// Restarts allowed.
        allowed: u32,
        /// Restarts it would take.
        needed: u32,
    },
    /// The knob catalogue knows that it cannot be.
    #[error("{what} is an error for this NCCL on this platform: {reason}")]
    Catalogue {
        /// What was asked for.
        what: String,
        /// What the catalogue says.
        reason: String,
    },
    /// It may be what made the job fail.
    #[error("{choice} on {key}: {suspected} may have made the job fail ({why})")]
    Suspect {
        /// The key.
        key: TaskKey,
        /// The choice.
        choice: Choice,
        /// What is suspected, in words.
        suspected: String,
        /// Of what, and how surely.
        why: String,
    },
    /// More calls at once than a choice on trial has earned.
    #[error("{calls} calls of {key} for {choice}; it may have {allowed} now")]
    TooFast {
        /// The key.
        key: TaskKey,
        /// The choice.
        choice: Choice,
        /// Calls asked for.
        calls: u64,
        /// Calls it may have.
        allowed: u64,
    },
    /// More choices at once that never ran than may.
    #[error("{new} choices that never ran in one iteration; at most {allowed} are allowed")]
    TooManyNew {
        /// Choices that never ran.
        new: usize,
        /// Most that may run together.
        allowed: usize,
    },
    /// The job failed too often.
    #[error("the job failed {count} times; the job's service level allows for {allowed}")]
    TooManyFailures {
        /// Failures that a choice may have caused.
        count: u32,
        /// The number at which the run ends.
        allowed: u32,
    },
    /// The trial could slow the job down more than it may.
    #[error(
        "could make an iteration {predicted:.2} times as long; at most {allowed:.2} is allowed"
    )]
    TooRisky {
        /// Predicted iteration time over baseline.
        predicted: f64,
        /// The bound.
        allowed: f64,
    },
    /// The regret budget does not allow for more.
    #[error(
        "regret budget: {spent:.2} of {budget:.2} iterations are spent, and {more:.2} more could \
         be needed"
    )]
    RegretSpent {
        /// Spent so far, iterations.
        spent: f64,
        /// What is about to be tried could need, iterations.
        more: f64,
        /// The budget, iterations.
        budget: f64,
    },
}
