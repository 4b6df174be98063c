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
    /// The regret budget is spent.
    #[error("regret budget spent: {spent:.2} of {budget:.2} iterations")]
    RegretSpent {
        /// Spent so far, iterations.
        spent: f64,
        /// The budget, iterations.
        budget: f64,
    },
}
