//! The same job a second time, on the same machine, with what the first run left.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use ccl_agent::expectation::Expectation;
use ccl_agent::testbed::{SimulatedTestbed, Testbed};
use ccl_agent::tuner::TuneOptions;
use ccl_core::{Policy, TraceEvent};
use ccl_sim::noise::{NoiseModel, Scenario};
use common::{Ran, With, cluster, tune, workload};

const ON: &str = "a40-pcie-8gpu";
/// What counts as the same quality: this close to the best there is.
const CLOSE: f64 = 1.02;

fn testbed(job: &str, seed: u64) -> SimulatedTestbed {
    let noise = NoiseModel::typical(seed);
    SimulatedTestbed::new(&workload(job), &cluster(ON), noise, Scenario::default()).unwrap()
}

fn run(job: &str, seed: u64, knows: bool, earlier: Option<&Ran>) -> Ran {
    let mut testbed = testbed(job, seed);
    let expectation = knows.then(|| {
        Expectation::new(&cluster(ON), testbed.keys()).with_workload(&workload(job), &cluster(ON))
    });
    let with = With {
        options: TuneOptions {
            seed,
            oracle: true,
            expectation: knows,
            ..TuneOptions::default()
        },
        expectation,
        remembered: earlier.map_or_else(Vec::new, |e| e.learnt.clone()),
        surrogates: earlier.map_or_else(Vec::new, |e| e.measured.clone()),
        ..With::default()
    };
    tune(&mut testbed, &cluster(ON), with)
}

/// Noise-free time of what a policy runs, milliseconds.
fn true_ms(testbed: &SimulatedTestbed, policy: &Policy) -> f64 {
    let chosen = testbed.keys().iter().map(|k| k.key);
    let chosen: Vec<_> = chosen
        .filter_map(|key| Some((key, policy.choice_for(key)?)))
        .collect();
    testbed.oracle_iteration_us(&chosen).unwrap() / 1e3
}

/// Iterations spent, and candidates begun, until what runs is close to the best, for good.
fn cost(job: &str, seed: u64, ran: &Ran) -> Option<[f64; 2]> {
    let testbed = testbed(job, seed);
    let best_ms = ran.summary().oracle.unwrap().iteration_ms;
    let (mut begun, mut reached) = (0, None);
    for line in &ran.trace {
        match &line.event {
            TraceEvent::Decided { candidates, .. } => begun += candidates.len(),
            TraceEvent::Incumbent {
                configuration,
                iterations,
                ..
            } => {
                let is_close = true_ms(&testbed, &configuration.policy) <= CLOSE * best_ms;
                #[allow(clippy::cast_precision_loss)] // counts
                let now = [*iterations as f64, begun as f64];
                reached = is_close.then(|| reached.unwrap_or(now));
            }
            _ => {}
        }
    }
    reached
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Of the first runs and the second ones, medians of [`cost`]; what never comes close counts as much as anything
/// may.
fn both(job: &str, knows: bool, seeds: u64) -> [[f64; 2]; 2] {
    let mut costs = [Vec::new(), Vec::new()];
    for seed in 1..=seeds {
        let cold = run(job, seed, knows, None);
        let warm = run(job, seed + 1000, knows, Some(&cold));
        let cost = |seed, ran| cost(job, seed, ran).unwrap_or([f64::INFINITY; 2]);
        costs[0].push(cost(seed, &cold));
        costs[1].push(cost(seed + 1000, &warm));
    }
    costs.map(|of_run| [0, 1].map(|figure| median(of_run.iter().map(|c| c[figure]).collect())))
}

#[test]
fn where_nobody_knows_the_machine_a_second_run_needs_a_third_of_the_first() {
    let [first, second] = both("modern/nccl-tests-sweep.json", false, 6);
    eprintln!("iterations and candidates until within 2 % of the best: {first:?}, then {second:?}");
    for (first, second) in first.into_iter().zip(second) {
        assert!(second <= first / 3.0, "{first}, then {second}");
    }
}

#[test]
fn where_the_first_run_could_hardly_be_faster_the_second_begins_fewer_candidates() {
    for job in ["autoccl/phi2-2b.json", "autoccl/torch-demo.json"] {
        let [first, second] = both(job, true, 6);
        eprintln!("{job}: {first:?}, then {second:?}");
        // Of its iterations two are the cold one and the baseline.
        assert!(
            first[0] <= 6.0 && second[0] <= first[0],
            "{job}: {first:?}, then {second:?}"
        );
        let is_least = first[1] <= 2.0 && second[1] <= first[1];
        assert!(
            is_least || second[1] <= first[1] / 3.0,
            "{job}: {first:?}, then {second:?}"
        );
    }
}
