//! Which machines are called broken: none that is healthy, and one whose links are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod common;

use std::path::{Path, PathBuf};

use ccl_agent::diagnosis::fault;
use ccl_agent::expectation::Expectation;
use ccl_agent::situation::KeyState;
use ccl_agent::testbed::{KeyFacts, LegalChoices, Signals, SimulatedTestbed, Testbed};
use ccl_agent::tuner::TuneOptions;
use ccl_core::{
    Bottleneck, CLUSTERS, ClusterSpec, EvidenceId, KeyObservation, StoppedBecause, TaskKey,
    TraceEvent, Verdict, read_measured_csv,
};
use ccl_sim::noise::{NoiseModel, Scenario, ScenarioEvent};
use ccl_sim::validation::{Compared, Machine, validate};
use common::{Ran, WORKLOADS, With, cluster, simulated, tune, workload};

/// A run that ends with the diagnosis: nothing may be tried.
fn untried() -> With {
    With {
        options: TuneOptions {
            budget: 0,
            ..TuneOptions::default()
        },
        ..With::default()
    }
}

#[test]
fn no_healthy_machine_of_the_catalogue_is_called_broken() {
    let mut judged = 0;
    for (name, _) in CLUSTERS {
        let spec = cluster(name);
        for job in WORKLOADS {
            let noise = NoiseModel::typical(1);
            let scenario = Scenario::default();
            let testbed = SimulatedTestbed::new(&workload(job), &spec, noise, scenario);
            // Jobs that do not fit the cluster, or have nothing to tune.
            let Ok(mut testbed) = testbed else { continue };
            if !testbed.keys().iter().any(KeyFacts::is_tunable) {
                continue;
            }
            let ran = tune(&mut testbed, &spec, untried());
            assert_eq!(ran.summary().diagnosis, None, "{job} on {name}");
            judged += 1;
        }
    }
    assert!(judged > 50, "{judged}");
}

/// What a recorded row of an untuned call would be to the agent.
fn as_key(row: &Compared) -> (KeyState, Expectation) {
    let cell = &row.point.cell;
    let cluster = Machine::of(cell).unwrap().cluster;
    let facts = KeyFacts {
        key: TaskKey::of(cell.shape, cell.collective, cell.bytes),
        bytes: cell.bytes,
        calls: 1,
        overlapped: false,
        legal: LegalChoices::default(),
    };
    let expectation = Expectation::new(&cluster, std::slice::from_ref(&facts));
    let observed = KeyObservation {
        key: facts.key,
        calls: 1,
        bytes: facts.bytes,
        call_us: row.point.time_us,
        bus_gbs: 1.0,
        share: 1.0,
        overlapped: false,
        choice: Some(row.choice.into()),
    };
    let state = KeyState::new(facts, observed, EvidenceId(1), Signals::default());
    (state, expectation)
}

/// The data is not part of the repository: `CCL_SHARED` names the folder that holds
/// `measured/nccl_measured.csv`.
#[test]
fn no_recorded_call_of_untuned_nccl_looks_like_a_broken_machine() {
    let root = std::env::var_os("CCL_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let file = root.join("measured/nccl_measured.csv");
    let Ok(text) = std::fs::read_to_string(&file) else {
        eprintln!("skipped: {} is not there; set CCL_SHARED", file.display());
        return;
    };
    let found = validate(&read_measured_csv(&text).unwrap());
    let untuned = found
        .compared
        .iter()
        .filter(|r| r.point.asked.is_default() && r.point.cell.collective.is_tunable());
    let mut shares: Vec<(f64, String)> = Vec::new();
    for row in untuned {
        let (key, expectation) = as_key(row);
        if let Some(reached) = fault::reached(&key, &expectation) {
            let name = format!("{}: {}", row.point.dataset, key.facts.key);
            shares.push((reached.share(), name));
        }
    }
    shares.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(shares.len() > 500, "{}", shares.len());
    eprintln!("{} calls; the slowest: {:?}", shares.len(), &shares[..3]);
    assert!(shares[0].0 > 1.25 * fault::BROKEN, "{:?}", shares[0]);
}

/// A machine as it should be, and as it is.
fn broken(name: &str, change: fn(&mut ClusterSpec)) -> (ClusterSpec, ClusterSpec) {
    let (nominal, mut real) = (cluster(name), cluster(name));
    change(&mut real);
    (nominal, real)
}

fn stopped_at_a_fault(ran: &Ran, links: &str) {
    let summary = ran.summary();
    let diagnosis = summary.diagnosis.as_ref().unwrap();
    assert_eq!((diagnosis.class, diagnosis.key), (Bottleneck::Fault, None));
    assert!(diagnosis.because.contains(links), "{}", diagnosis.because);
    assert!(diagnosis.checks.len() >= 5 && !diagnosis.evidence.is_empty());
    assert_eq!(summary.stopped_because, StoppedBecause::Sla);
    assert_eq!(summary.verdict, Verdict::NoDifference);
    assert_eq!((summary.trials, summary.refused), (0, 0));
    assert!(summary.best.configuration.is_untuned());
    assert!(ran.learnt.is_empty());
    let decided = |l: &&ccl_core::TraceLine| matches!(l.event, TraceEvent::Decided { .. });
    assert_eq!(ran.trace.iter().filter(decided).count(), 0);
}

#[test]
fn a_machine_with_a_tenth_of_its_links_is_diagnosed_and_not_tuned() {
    let (nominal, real) = broken("dgx-h100", |c| {
        c.intra.nvlink_gbs /= 10.0;
        c.hardware.intra_gbs = Some(35.0);
        c.hardware.nvls_gbs = Some(45.0);
    });
    let job = workload("demo/allreduce-8gpu.json");
    let noise = NoiseModel::typical(1);
    let mut testbed = SimulatedTestbed::new(&job, &real, noise, Scenario::default()).unwrap();
    stopped_at_a_fault(
        &tune(&mut testbed, &nominal, With::default()),
        "inside a node",
    );
    // The same machine, described as it is, is tuned.
    let mut testbed = SimulatedTestbed::new(&job, &real, noise, Scenario::default()).unwrap();
    let ran = tune(&mut testbed, &real, untried());
    assert_eq!(ran.summary().diagnosis, None);
}

#[test]
fn a_network_with_a_tenth_of_its_rate_is_diagnosed_and_not_tuned() {
    let (nominal, real) = broken("a40-pcie-8gpu", |c| {
        c.network.as_mut().unwrap().nic_gbits /= 10.0;
    });
    let job = workload("autoccl/llama3.1-8b.json");
    let noise = NoiseModel::typical(1);
    let mut testbed = SimulatedTestbed::new(&job, &real, noise, Scenario::default()).unwrap();
    stopped_at_a_fault(
        &tune(&mut testbed, &nominal, With::default()),
        "between nodes",
    );
}

#[test]
fn a_link_that_degrades_fivefold_is_found_and_one_that_loses_a_third_is_not() {
    for (factor, is_fault) in [(5.0, true), (1.5, false)] {
        let scenario = Scenario {
            events: vec![ScenarioEvent::DegradedLink { from: 0, factor }],
        };
        let mut testbed = simulated("autoccl/phi2-2b.json", "a40-pcie-8gpu", 1, scenario);
        let ran = tune(&mut testbed, &cluster("a40-pcie-8gpu"), untried());
        assert_eq!(ran.summary().diagnosis.is_some(), is_fault, "{factor}");
    }
}

#[test]
fn without_an_expectation_nothing_is_called_broken() {
    let scenario = Scenario {
        events: vec![ScenarioEvent::DegradedLink {
            from: 0,
            factor: 5.0,
        }],
    };
    let mut testbed = simulated("autoccl/phi2-2b.json", "a40-pcie-8gpu", 1, scenario);
    let mut with = untried();
    with.options.expectation = false;
    let ran = tune(&mut testbed, &cluster("a40-pcie-8gpu"), with);
    assert_eq!(ran.summary().diagnosis, None);
}
