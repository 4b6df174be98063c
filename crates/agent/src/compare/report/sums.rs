//! Adding runs up: over the seeds of a task, then over the suite.

use ccl_core::{Interval, Verdict};
use ccl_search::{median, median_interval};

use super::{Evaluations, MethodOnTask, Overall, Report, TaskReport, Timing, Verdicts};
use crate::compare::course::{Course, Reached, Score};
use crate::compare::method::Method;
use crate::compare::suite::{Suite, Task};
use crate::compare::{CompareOptions, OnMachine};

impl Report {
    /// Adds up runs; `found` goes through the tasks and in each through the seeds.
    pub(in crate::compare) fn new(
        suite: &Suite,
        options: &CompareOptions,
        found: &[OnMachine],
    ) -> Self {
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
    let evaluations = |of: &dyn Fn(&Score) -> Reached| -> Evaluations {
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
