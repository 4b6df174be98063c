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
const SEEDS: u64 = 20;
/// What counts as the same quality: this close to the best there is.
const CLOSE: f64 = 1.02;

/// How far a run had to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
struct Cost {
    trials: f64,
    iterations: f64,
}

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

/// Candidates begun and iterations spent until what runs is close to the best, for good.
fn cost(job: &str, seed: u64, ran: &Ran) -> Option<Cost> {
    let testbed = testbed(job, seed);
    let best_ms = ran.summary().oracle.unwrap().iteration_ms;
    let (mut trials, mut reached) = (0, None);
    for line in &ran.trace {
        match &line.event {
            TraceEvent::Decided { candidates, .. } => trials += candidates.len(),
            TraceEvent::Incumbent {
                configuration,
                iterations,
                ..
            } => {
                let is_close = true_ms(&testbed, &configuration.policy) <= CLOSE * best_ms;
                #[allow(clippy::cast_precision_loss)] // counts
                let now = Cost {
                    trials: trials as f64,
                    iterations: *iterations as f64,
                };
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

#[test]
fn a_second_run_of_the_same_job_needs_a_third_of_the_first() {
    for knows in [true, false] {
        for job in [
            "autoccl/phi2-2b.json",
            "autoccl/torch-demo.json",
            "autoccl/vgg19.json",
            "modern/nccl-tests-sweep.json",
        ] {
            let (mut first, mut second, mut missed) = (Vec::new(), Vec::new(), [0, 0]);
            for seed in 1..=SEEDS {
                let cold = run(job, seed, knows, None);
                let warm = run(job, seed + 1000, knows, Some(&cold));
                match cost(job, seed, &cold) {
                    Some(c) => first.push(c),
                    None => missed[0] += 1,
                }
                match cost(job, seed + 1000, &warm) {
                    Some(c) => second.push(c),
                    None => missed[1] += 1,
                }
            }
            let of = |costs: &[Cost], f: fn(&Cost) -> f64| {
                if costs.is_empty() {
                    f64::NAN
                } else {
                    median(costs.iter().map(f).collect())
                }
            };
            eprintln!(
                "{job} knows {knows}: trials {} then {}, iterations {} then {}, missed {missed:?}",
                of(&first, |c| c.trials),
                of(&second, |c| c.trials),
                of(&first, |c| c.iterations),
                of(&second, |c| c.iterations),
            );
        }
    }
}
