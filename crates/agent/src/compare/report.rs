//! What the runs of a comparison add up to: per task and method, and over the suite.
//!
//! Medians over seeds with their 95 % interval from order statistics; a run that never got there
//! counts with the whole budget and is counted as censored. Everything but `timing` is a function
//! of the suite and the options.

use ccl_core::{Interval, Verdict};
use ccl_search::{median, median_interval};
use serde::Serialize;

use super::course::{Course, Score};
use super::method::Method;
use super::suite::{Suite, Task};
use super::{CompareOptions, OnMachine};

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

impl Report {
    /// Adds up runs; `found` goes through the tasks and in each through the seeds.
    pub(super) fn new(suite: &Suite, options: &CompareOptions, found: &[OnMachine]) -> Self {
        let seeds = usize::try_from(options.seeds).unwrap_or(usize::MAX).max(1);
        let mut report = Self {
            suite: suite.name.clone(),
            budget: options.budget,
            seeds: options.seeds,
            machine_spread: suite.machine_spread,
            tasks: Vec::new(),
            methods: options.methods.clone(),
            results: Vec::new(),
            overall: Vec::new(),
            timing: Vec::new(),
            convergence: Vec::new(),
        };
        for (task, machines) in suite.tasks.iter().zip(found.chunks(seeds)) {
            let mut of_task: Vec<MethodOnTask> = Vec::new();
            for (index, &method) in options.methods.iter().enumerate() {
                let scores: Vec<&Score> = machines.iter().map(|m| &m.runs[index].1).collect();
                of_task.push(on_task(task, method, &scores, options.budget));
                report
                    .convergence
                    .push(convergence(machines, index, options.budget));
            }
            let published = of_task.iter().filter(|r| r.method.is_published());
            let best = published.min_by(|a, b| {
                let median = |r: &MethodOnTask| r.evaluations_to_2pct.median;
                median(a).total_cmp(&median(b))
            });
            let best = best.map(|r| (r.method, r.evaluations_to_2pct.median));
            for result in &mut of_task {
                result.ratio_to_best_published = best
                    .map(|(_, best)| result.evaluations_to_2pct.median.max(1.0) / best.max(1.0));
            }
            report.results.extend(of_task);
            report
                .tasks
                .push(task_report(task, machines, best.map(|(method, _)| method)));
        }
        for (index, &method) in options.methods.iter().enumerate() {
            let runs: Vec<&(Course, Score)> = found.iter().map(|m| &m.runs[index]).collect();
            let scores: Vec<&Score> = runs.iter().map(|(_, score)| score).collect();
            report
                .overall
                .push(report.over_suite(suite, method, &scores));
            report.timing.push(timing(method, &runs));
        }
        report
    }

    fn over_suite(&self, suite: &Suite, method: Method, scores: &[&Score]) -> Overall {
        let of_method = || {
            let results = self.results.iter().filter(move |r| r.method == method);
            suite.tasks.iter().zip(results)
        };
        let to_gain = || {
            of_method()
                .filter(|(t, _)| !t.default_is_optimal)
                .map(|(_, r)| r)
        };
        let over = |of: &dyn Fn(&MethodOnTask) -> Option<f64>| -> Option<f64> {
            median(&to_gain().filter_map(of).collect::<Vec<_>>())
        };
        let ratios = of_method()
            .filter_map(|(task, r)| Some((r.ratio_to_best_published?, task.name.clone())));
        let seeds = usize::try_from(self.seeds).unwrap_or(1).max(1);
        let on_optimal = suite.tasks.iter().zip(scores.chunks(seeds));
        let verdicts: Vec<Verdict> = on_optimal
            .filter(|(task, _)| task.default_is_optimal)
            .flat_map(|(_, scores)| scores.iter().filter_map(|s| s.verdict))
            .collect();
        let same = verdicts
            .iter()
            .filter(|v| **v == Verdict::NoDifference)
            .count();
        let regrets: Vec<f64> = scores.iter().map(|s| s.regret_iterations).collect();
        Overall {
            method,
            runs: count(scores.len()),
            evaluations_to_2pct: over(&|r| Some(r.evaluations_to_2pct.median)).unwrap_or(0.0),
            ratio_to_best_published: over(&|r| r.ratio_to_best_published),
            worst_ratio_to_best_published: ratios.max_by(|a, b| a.0.total_cmp(&b.0)),
            regret_iterations: interval(&regrets),
            most_regret_iterations: largest(&regrets),
            worst_iteration_ratio: worst(scores),
            slower_share: mean(scores, |s| s.slower_share),
            ends_worse: count(scores.iter().filter(|s| s.ended_worse()).count()),
            no_difference_on_optimal: (!verdicts.is_empty()).then(|| share(same, verdicts.len())),
        }
    }
}

fn on_task(task: &Task, method: Method, scores: &[&Score], budget: u32) -> MethodOnTask {
    let evaluations = |of: &dyn Fn(&Score) -> super::course::Reached| -> Evaluations {
        let all = |at: &dyn Fn(&Score) -> Option<f64>| -> Vec<f64> {
            let reached = scores.iter().map(|s| at(s));
            reached.map(|at| at.unwrap_or(f64::from(budget))).collect()
        };
        let found = interval(&all(&|s| of(s).for_good));
        let never = scores.iter().filter(|s| of(s).for_good.is_none());
        Evaluations {
            median: found.median,
            ci95: found.ci95,
            censored: count(never.count()),
            first: interval(&all(&|s| of(s).first)).median,
        }
    };
    let over_seeds =
        |of: &dyn Fn(&Score) -> f64| interval(&scores.iter().map(|s| of(s)).collect::<Vec<_>>());
    let mut verdicts = None;
    for verdict in scores.iter().filter_map(|s| s.verdict) {
        let verdicts: &mut Verdicts = verdicts.get_or_insert_default();
        match verdict {
            Verdict::Faster => verdicts.faster += 1,
            Verdict::NoDifference => verdicts.no_difference += 1,
            Verdict::Slower => verdicts.slower += 1,
        }
    }
    #[allow(clippy::cast_precision_loss)] // counts
    MethodOnTask {
        task: task.name.clone(),
        method,
        runs: count(scores.len()),
        evaluations_to_5pct: evaluations(&|s| s.to_5pct),
        evaluations_to_2pct: evaluations(&|s| s.to_2pct),
        ratio_to_best_published: None,
        regret_iterations: over_seeds(&|s| s.regret_iterations),
        worst_iteration_ratio: worst(scores),
        slower_share: mean(scores, |s| s.slower_share),
        ends_worse: count(scores.iter().filter(|s| s.ended_worse()).count()),
        end_over_oracle: over_seeds(&|s| s.end_over_oracle),
        iterations: over_seeds(&|s| s.iterations as f64).median,
        probes: over_seeds(&|s| s.probes).median,
        candidates: over_seeds(&|s| s.candidates as f64).median,
        verdicts,
    }
}

fn task_report(task: &Task, machines: &[OnMachine], best_published: Option<Method>) -> TaskReport {
    let gains: Vec<f64> = machines
        .iter()
        .map(|m| 1.0 - m.oracle_us / m.default_us)
        .collect();
    let defaults: Vec<f64> = machines.iter().map(|m| m.default_us / 1e3).collect();
    TaskReport {
        name: task.name.clone(),
        workload: task.workload.name.clone(),
        cluster: task.cluster.name.clone(),
        drift: task.drift.is_some(),
        tenant: task.tenant.is_some(),
        default_is_optimal: task.default_is_optimal,
        oracle_gain: interval(&gains),
        default_ms: interval(&defaults).median,
        best_published,
    }
}

/// Median percent above the oracle, after each number of evaluations.
fn convergence(machines: &[OnMachine], method: usize, budget: u32) -> Vec<f64> {
    let after = |evaluations: u32| {
        let above = machines.iter().map(|m| {
            let course = &m.runs[method].0;
            let us = course.recommended_after(f64::from(evaluations), m.default_us);
            100.0 * (us / m.oracle_us - 1.0)
        });
        interval(&above.collect::<Vec<_>>()).median
    };
    (0..=budget).map(after).collect()
}

fn timing(method: Method, runs: &[&(Course, Score)]) -> Timing {
    #[allow(clippy::cast_precision_loss)] // counts
    let each: Vec<f64> = runs
        .iter()
        .map(|(course, _)| 1e3 * course.thinking.as_secs_f64() / course.suggestions.max(1) as f64)
        .collect();
    Timing {
        method,
        ms_per_suggestion: interval(&each).median,
        most_ms_per_suggestion: largest(&each),
    }
}

/// Median and interval; of nothing, zero.
fn interval(values: &[f64]) -> Interval {
    median_interval(values).unwrap_or(Interval {
        median: 0.0,
        ci95: [0.0, 0.0],
    })
}

fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

fn worst(scores: &[&Score]) -> f64 {
    largest(
        &scores
            .iter()
            .map(|s| s.worst_iteration_ratio)
            .collect::<Vec<_>>(),
    )
}

fn mean(scores: &[&Score], of: impl Fn(&Score) -> f64) -> f64 {
    #[allow(clippy::cast_precision_loss)] // counts
    let runs = scores.len().max(1) as f64;
    scores.iter().map(|s| of(s)).sum::<f64>() / runs
}

#[allow(clippy::cast_precision_loss)] // counts
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
