//! What the runs of a comparison add up to: per task and method, and over the suite.
//!
//! Medians over seeds with their 95 % interval from order statistics; a run that never got there
//! counts with the whole budget and is counted as censored. Everything but `timing` is a function
//! of the suite and the options.

mod sums;

use ccl_core::Interval;
use serde::Serialize;

use super::method::Method;

/// The whole comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The suite's name.
    pub suite: String,
    /// Evaluations of each run.
    pub budget: u32,
    /// Seeds of each task and method.
    pub seeds: u64,
    /// Standard deviation of the logarithm of each figure of the hardware.
    pub machine_spread: f64,
    /// The tasks.
    pub tasks: Vec<TaskReport>,
    /// The methods.
    pub methods: Vec<Method>,
    /// Task after task, in each method after method.
    pub results: Vec<MethodOnTask>,
    /// Method after method.
    pub overall: Vec<Overall>,
    /// Method after method; the wall clock's, and so never the same twice.
    pub timing: Vec<Timing>,
    /// Task after task, in each method after method: median percent above the oracle of what would
    /// run, after 0, 1, ... evaluations.
    #[serde(skip)]
    pub convergence: Vec<Vec<f64>>,
}

/// One task.
#[derive(Clone, Debug, Serialize)]
pub struct TaskReport {
    /// Its name.
    pub name: String,
    /// The job.
    pub workload: String,
    /// The cluster.
    pub cluster: String,
    /// Whether it drifts more than usual.
    pub drift: bool,
    /// Whether another job comes and goes.
    pub tenant: bool,
    /// Whether only machines count on which nothing is to be gained.
    pub default_is_optimal: bool,
    /// What the oracle saves of the default's iteration, as a share, over the machines of the
    /// seeds.
    pub oracle_gain: Interval,
    /// Median noise-free iteration with NCCL's defaults, milliseconds.
    pub default_ms: f64,
    /// The published method with the fewest evaluations to 2 %, if any was run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_published: Option<Method>,
}

/// Evaluations until something was reached.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Evaluations {
    /// The median over seeds; the budget where it was not reached.
    pub median: f64,
    /// Its 95 % interval.
    pub ci95: [f64; 2],
    /// Runs that did not reach it within the budget.
    pub censored: u32,
    /// Median of the evaluations until it was reached for the first time, whatever came after.
    pub first: f64,
}

/// How runs of ours ended.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Verdicts {
    /// Faster than NCCL's default.
    pub faster: u32,
    /// No difference beyond the noise.
    pub no_difference: u32,
    /// Slower.
    pub slower: u32,
}

/// One method on one task.
#[derive(Clone, Debug, Serialize)]
pub struct MethodOnTask {
    /// The task.
    pub task: String,
    /// The method.
    pub method: Method,
    /// Runs.
    pub runs: u32,
    /// Evaluations until within 5 % of the oracle.
    pub evaluations_to_5pct: Evaluations,
    /// Evaluations until within 2 %.
    pub evaluations_to_2pct: Evaluations,
    /// The latter's median over that of the best published method, each at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio_to_best_published: Option<f64>,
    /// Sum of (noise-free iteration time / default - 1), where positive.
    pub regret_iterations: Interval,
    /// The slowest iteration over the default's, noise-free, of all runs.
    pub worst_iteration_ratio: f64,
    /// Mean share of slower iterations among those that ran something other than the default.
    pub slower_share: f64,
    /// Runs that ended more than 0.5 % slower than the default.
    pub ends_worse: u32,
    /// Time of what runs ended with over the oracle's.
    pub end_over_oracle: Interval,
    /// Iterations of the job that a run took.
    pub iterations: f64,
    /// Worth of the calls timed outside the job, in iterations.
    pub probes: f64,
    /// Candidates tried.
    pub candidates: f64,
    /// How runs of ours ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdicts: Option<Verdicts>,
}

/// One method over the suite.
#[derive(Clone, Debug, Serialize)]
pub struct Overall {
    /// The method.
    pub method: Method,
    /// Runs.
    pub runs: u32,
    /// Evaluations to 2 % on the median task, of the tasks with something to gain.
    pub evaluations_to_2pct: f64,
    /// Over the best published method's, on the median of these tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio_to_best_published: Option<f64>,
    /// The same on the worst of all tasks, and which that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worst_ratio_to_best_published: Option<(f64, String)>,
    /// Median over all runs.
    pub regret_iterations: Interval,
    /// The largest of all runs.
    pub most_regret_iterations: f64,
    /// The slowest iteration of all runs over its default.
    pub worst_iteration_ratio: f64,
    /// Mean share of slower iterations.
    pub slower_share: f64,
    /// Runs that ended more than 0.5 % slower than the default.
    pub ends_worse: u32,
    /// Runs of ours with the verdict "no difference" where nothing is to be gained, as a share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_difference_on_optimal: Option<f64>,
}

/// What deciding took.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Timing {
    /// The method.
    pub method: Method,
    /// Milliseconds per suggestion: median of the runs' means.
    pub ms_per_suggestion: f64,
    /// The largest of the runs' means.
    pub most_ms_per_suggestion: f64,
}
