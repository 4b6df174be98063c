//! What an earlier run measured helps a later one, and does no harm where it is wrong; what was timed outside
//! the job is where a model begins that has nothing else.

#![allow(clippy::unwrap_used)]

mod common;

use ccl_agent::testbed::SimulatedTestbed;
use ccl_agent::tuner::TuneOptions;
use ccl_core::{TraceEvent, Verdict};
use ccl_memory::SurrogateRecord;
use ccl_sim::noise::{NoiseModel, Scenario};
use common::{Ran, With, cluster, simulated, tune};

const ON: &str = "a40-pcie-8gpu";
const SWEEP: &str = "modern/nccl-tests-sweep.json";

fn run(seed: u64, surrogates: Vec<SurrogateRecord>) -> Ran {
    let mut testbed = simulated(SWEEP, ON, seed, Scenario::default());
    let with = With {
        options: TuneOptions {
            seed,
            oracle: true,
            ..TuneOptions::default()
        },
        surrogates,
        ..With::default()
    };
    tune(&mut testbed, &cluster(ON), with)
}

fn captured(ran: &Ran) -> f64 {
    ran.summary().oracle.unwrap().captured
}

fn negated(mut records: Vec<SurrogateRecord>) -> Vec<SurrogateRecord> {
    for measured in records.iter_mut().flat_map(|r| &mut r.observations) {
        measured.log_ratio = -measured.log_ratio;
    }
    records
}

#[test]
fn a_run_that_remembers_says_so_and_decides_by_it_and_the_seed_alone() {
    let cold = run(1, Vec::new());
    assert!(!cold.summary().warm_start.surrogate);
    assert!(!cold.measured.is_empty());
    let warm = run(2, cold.measured.clone());
    assert!(warm.summary().warm_start.surrogate);
    assert_eq!(warm.summary().verdict, Verdict::Faster);
    assert!(captured(&warm) > 0.95, "{}", captured(&warm));
    assert_eq!(warm.decisions(), run(2, cold.measured).decisions());
    // What is kept of a run is what it measured, and nothing that it was told.
    let every = warm.measured.iter().flat_map(|r| &r.observations);
    assert!(every.clone().count() > 0);
    assert!(every.into_iter().all(|m| m.log_ratio.is_finite()));
}

#[test]
fn an_earlier_run_that_says_the_reverse_costs_some_trials_and_no_gain() {
    for seed in 1..4 {
        let cold = run(seed, Vec::new());
        let misled = run(seed, negated(cold.measured.clone()));
        let [without, with] = [captured(&cold), captured(&misled)];
        assert!(with > without - 0.02, "seed {seed}: {with} of {without}");
        assert_eq!(misled.summary().verdict, Verdict::Faster);
    }
}

/// Without noise, so that no spike of the machine stands for a choice.
#[test]
fn an_earlier_run_that_says_the_reverse_makes_no_iteration_long() {
    let workload = common::workload(SWEEP);
    for seed in 1..4 {
        let quiet = NoiseModel::none();
        let mut testbed =
            SimulatedTestbed::new(&workload, &cluster(ON), quiet, Scenario::default()).unwrap();
        let with = With {
            options: TuneOptions {
                seed,
                ..TuneOptions::default()
            },
            surrogates: negated(run(seed, Vec::new()).measured),
            ..With::default()
        };
        let ran = tune(&mut testbed, &cluster(ON), with);
        let worst = ran.summary().tuning_cost.worst_iteration_ratio;
        assert!(worst < 1.05, "seed {seed}: {worst}");
    }
}

#[test]
fn an_earlier_run_elsewhere_is_not_heard() {
    let mut records = run(1, Vec::new()).measured;
    for record in &mut records {
        record.context.gpu = "another".to_owned();
    }
    let ran = run(2, records);
    assert!(!ran.summary().warm_start.surrogate);
    assert_eq!(ran.decisions(), run(2, Vec::new()).decisions());
}

#[test]
fn where_nobody_knows_the_machine_the_search_begins_with_what_was_timed_outside_the_job() {
    let mut testbed = simulated(SWEEP, ON, 1, Scenario::default());
    let with = With {
        options: TuneOptions {
            expectation: false,
            ..TuneOptions::default()
        },
        ..With::default()
    };
    let ran = tune(&mut testbed, &cluster(ON), with);
    let cost = ran.summary().tuning_cost;
    assert!(cost.probes > 0 && cost.probe_iterations < 1.5, "{cost:?}");
    let first = ran.trace.iter().find_map(|line| match &line.event {
        TraceEvent::Decided { candidates, .. } => {
            let mut of_search = candidates.iter().map(|c| c.because.as_str());
            of_search
                .find(|b| b.contains("Gaussian"))
                .map(str::to_owned)
        }
        _ => None,
    });
    let first = first.unwrap();
    assert!(first.contains("and the micro-benchmark"), "{first}");
    assert_eq!(ran.summary().verdict, Verdict::Faster);
}
