//! Methods of tuning held against each other: the same jobs, machines, noise and evaluations.
//!
//! * A **task** is a job on a cluster, with what happens to it ([`suite`]). For each seed the true
//!   **machine** is drawn from the nominal one ([`machine`]); nobody is told it. The **oracle** is the
//!   noise-free best of the drawn machine's per-call space.
//! * An **evaluation** is one iteration of the job, whatever runs in it: baselines and pairs count as
//!   trials do. A call timed outside the job counts as its time over the default iteration's.
//! * **Evaluations until within x %**: after so many, the configuration that the method would run
//!   from then on is, noise-free, within x % of the oracle's time, and stays so to the end.
//! * **Harm** is noise-free: the time of each iteration, leases included, over the default's, so
//!   that drift and tenants cancel. Regret is the sum of what is above 1, to the end of the run
//!   (ours) or of the budget (the others).
//!
//! What is told to whom is in [`peers`] and [`ours`]; how runs are summed up in [`report`]. Nothing
//! here judges by the clock: the one handed in times suggestions and nothing else.

pub mod course;
pub mod encoding;
pub mod machine;
pub mod method;
pub mod ours;
pub mod peers;
pub mod report;
pub mod scripted;
pub mod suite;
#[cfg(test)]
mod tests;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ccl_core::{ClusterSpec, Policy, WorkloadSpec};
use ccl_memory::Knowledge;
use ccl_sim::noise::{NoiseModel, Scenario};
use thiserror::Error;

use crate::expectation::Expectation;
use crate::guard::Refusal;
use crate::testbed::{KeyFacts, SimulatedError, SimulatedTestbed, Testbed};
use crate::tuner::RunError;
use course::Course;
use machine::{Draw, Machine, noise_free_us};
use method::Method;
use report::Report;
use suite::{Suite, Task};

/// Keys with less than this share of the nominal iteration are left to NCCL by every method that
/// searches the whole job.
const LEAST_SHARE: f64 = 0.002;

/// Time since some moment.
pub type Clock<'a> = &'a (dyn Fn() -> Duration + Sync);

/// What is run.
pub struct CompareOptions<'a> {
    /// The methods, in the order of the results.
    pub methods: Vec<Method>,
    /// Evaluations of the methods that search blindly, and candidates of ours.
    pub budget: u32,
    /// Seeds 1 to this.
    pub seeds: u64,
    /// Runs at a time; results do not depend on it.
    pub threads: usize,
    /// Times suggestions.
    pub clock: Clock<'a>,
    /// Told how many of the machines are done, and of how many.
    pub progress: &'a (dyn Fn(usize, usize) + Sync),
}

/// Why there is no comparison.
#[derive(Debug, Error)]
pub enum CompareError {
    /// A job that does not fit its cluster.
    #[error(transparent)]
    Simulated(#[from] SimulatedError),
    /// A configuration that may not run.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A run of ours that ended without a result.
    #[error(transparent)]
    Run(#[from] RunError),
    /// What an earlier run left could not be kept or recalled.
    #[error(transparent)]
    Memory(#[from] ccl_memory::MemoryError),
    /// One of these, of a task that cannot run at all.
    #[error("task {task:?}: {error}")]
    Task {
        /// The task.
        task: String,
        /// What is wrong with it.
        error: Box<CompareError>,
    },
    /// One of these, and where.
    #[error("task {task:?}, {method}, seed {seed}: {error}")]
    At {
        /// The task.
        task: String,
        /// The method, or the preparation for all.
        method: String,
        /// The seed.
        seed: u64,
        /// What happened.
        error: Box<CompareError>,
    },
}

/// The runs of every method on one machine.
pub(crate) struct OnMachine {
    pub(crate) default_us: f64,
    pub(crate) oracle_us: f64,
    pub(crate) runs: Vec<(Course, course::Score)>,
}

/// Runs every method on every task and seed.
///
/// # Errors
/// The first run, in the order of tasks and seeds, that could not be.
pub fn compare(suite: &Suite, options: &CompareOptions) -> Result<Report, CompareError> {
    check(suite)?;
    let jobs: Vec<(&Task, u64)> = suite
        .tasks
        .iter()
        .flat_map(|task| (1..=options.seeds).map(move |seed| (task, seed)))
        .collect();
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let slots: Vec<Mutex<Option<Result<OnMachine, CompareError>>>> =
        jobs.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..options.threads.clamp(1, jobs.len().max(1)) {
            scope.spawn(|| {
                while let Some((index, (task, seed))) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    jobs.get(index).map(|job| (index, *job))
                } {
                    let result = on_machine(task, suite.machine_spread, seed, options);
                    if let Ok(mut slot) = slots[index].lock() {
                        *slot = Some(result);
                    }
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    (options.progress)(done, jobs.len());
                }
            });
        }
    });
    let mut found = Vec::new();
    for slot in slots {
        // A worker that panicked has taken the scope with it: every slot is filled.
        if let Ok(Some(result)) = slot.into_inner() {
            found.push(result?);
        }
    }
    Ok(Report::new(suite, options, &found))
}

/// Whether every task can run, before any does.
fn check(suite: &Suite) -> Result<(), CompareError> {
    for task in &suite.tasks {
        let keys = keys_that_matter(&task.workload, &task.cluster).map_err(CompareError::from);
        let error = match keys {
            Ok(keys) if !keys.is_empty() => continue,
            Ok(_) => RunError::NothingToTune.into(),
            Err(error) => error,
        };
        return Err(CompareError::Task {
            task: task.name.clone(),
            error: Box::new(error),
        });
    }
    Ok(())
}

/// Every method on the machine of one task and seed.
fn on_machine(
    task: &Task,
    spread: f64,
    seed: u64,
    options: &CompareOptions,
) -> Result<OnMachine, CompareError> {
    let at = |method: &str| {
        let (task, method) = (task.name.clone(), method.to_owned());
        move |error: CompareError| CompareError::At {
            task,
            method,
            seed,
            error: Box::new(error),
        }
    };
    let prepared = || -> Result<_, CompareError> {
        let machine = Machine::draw(task, spread, seed, Draw::Judged)?;
        let keys = keys_that_matter(&task.workload, &task.cluster)?;
        // The same for every run: what is known of the release, indexed once.
        let knowledge = Knowledge::new(task.cluster.nccl_version, &[]).map_err(RunError::from)?;
        let left = if options.methods.iter().any(|method| method.remembers()) {
            // The same job once before, on another machine of the kind.
            let earlier = Machine::draw(task, spread, seed, Draw::Earlier)?;
            let cold = Method::OursCold;
            Some(ours::run(cold, task, &earlier, seed, None, &knowledge, options)?.left)
        } else {
            None
        };
        Ok((machine, keys, left, knowledge))
    };
    let (machine, keys, left, knowledge) = prepared().map_err(at("before all methods"))?;
    let mut runs = Vec::new();
    for &method in &options.methods {
        let (budget, clock) = (options.budget, options.clock);
        let course = if method.is_ours() {
            let left = left.as_ref().filter(|_| method.remembers());
            ours::run(method, task, &machine, seed, left, &knowledge, options).map(|ran| ran.course)
        } else {
            peers::run(method, &machine, &keys, budget, seed, clock)
        };
        let course = course.map_err(at(method.name()))?;
        let score = course.score(&machine, options.budget);
        runs.push((course, score));
    }
    Ok(OnMachine {
        default_us: machine.default_us(),
        oracle_us: machine.oracle_us(),
        runs,
    })
}

/// The keys that a search of the whole job moves: those with a share of the nominal iteration,
/// and the largest of them in any case.
///
/// # Errors
/// A workload that cannot be simulated on the cluster.
pub fn keys_that_matter(
    workload: &WorkloadSpec,
    nominal: &ClusterSpec,
) -> Result<Vec<KeyFacts>, SimulatedError> {
    let none = NoiseModel::none();
    let testbed = SimulatedTestbed::new(workload, nominal, none, Scenario::default())?;
    let expectation = Expectation::new(nominal, testbed.keys());
    let iteration_us = noise_free_us(&testbed, &Policy::default()).unwrap_or(f64::INFINITY);
    #[allow(clippy::cast_precision_loss)] // counts of calls
    let share = |facts: &KeyFacts| {
        let call_us = expectation.call_us(facts, None).unwrap_or(0.0);
        facts.calls as f64 * call_us / iteration_us
    };
    let tunable = testbed.keys().iter().filter(|k| k.is_tunable());
    let mut keys: Vec<(f64, &KeyFacts)> = tunable.map(|k| (share(k), k)).collect();
    keys.sort_by(|a, b| b.0.total_cmp(&a.0));
    let matter = keys.iter().enumerate();
    Ok(matter
        .filter(|(rank, (share, _))| *rank == 0 || *share >= LEAST_SHARE)
        .map(|(_, (_, facts))| (*facts).clone())
        .collect())
}
