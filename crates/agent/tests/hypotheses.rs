//! The hypothesis lane over whole runs: diagnosed, scored, remembered, silenced.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod common;

use std::collections::BTreeSet;

use ccl_agent::guard::{Approved, ApprovedProbe};
use ccl_agent::testbed::{
    IterationSample, KeyFacts, LateRank, Signals, SimulatedTestbed, Testbed, TestbedError,
    TestbedInfo,
};
use ccl_agent::tuner::TuneOptions;
use ccl_core::{Bottleneck, Choice, Diagnosis, Proposer, TaskKey, TraceEvent, Verdict};
use ccl_sim::noise::{NoiseModel, Scenario};
use common::{Ran, With, cluster, simulated, tune};

const PHI2: &str = "autoccl/phi2-2b.json";
const A40: &str = "a40-pcie-8gpu";

fn run(seed: u64, with: With) -> Ran {
    let options = TuneOptions {
        seed,
        ..with.options.clone()
    };
    let mut testbed = simulated(PHI2, A40, seed, Scenario::default());
    tune(&mut testbed, &cluster(A40), With { options, ..with })
}

fn diagnoses(ran: &Ran) -> Vec<&Diagnosis> {
    let events = ran.trace.iter().map(|l| &l.event);
    events
        .filter_map(|event| match event {
            TraceEvent::Diagnosed { diagnosis } => Some(diagnosis),
            _ => None,
        })
        .collect()
}

/// Mechanisms of the rule mind that were asked and tried.
fn tried(ran: &Ran) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in &ran.trace {
        if let TraceEvent::Decided { candidates, .. } = &line.event {
            let rules = candidates.iter().filter(|c| c.proposer == Proposer::Rules);
            names.extend(rules.filter_map(|c| Some(c.hypothesis.as_ref()?.mechanism.clone())));
        }
    }
    names
}

#[test]
fn every_key_is_diagnosed_and_only_fitting_mechanisms_are_tried() {
    let ran = run(1, With::default());
    let found = diagnoses(&ran);
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|d| d.class != Bottleneck::Unclear));
    for name in tried(&ran) {
        let all = &ccl_agent::mind::mechanisms::MECHANISMS;
        let mechanism = all.iter().find(|m| m.name == name).unwrap();
        assert!(
            found.iter().any(|d| d.is_one_of(mechanism.speaks_to)),
            "{name} was asked where nothing it speaks to was found"
        );
    }
}

#[test]
fn every_judged_hypothesis_is_scored_by_what_came_true() {
    // Alone: beside the search, which of the two lanes finds the gain first is the arbiter's business.
    let options = TuneOptions {
        numeric_lane: false,
        ..TuneOptions::default()
    };
    let ran = run(
        1,
        With {
            options,
            ..With::default()
        },
    );
    let mut scored = 0;
    for line in &ran.trace {
        if let TraceEvent::MechanismScored {
            realised, trust, ..
        } = &line.event
        {
            assert!((0.0..=1.0).contains(realised) && (0.0..1.0).contains(trust));
            scored += 1;
        }
    }
    assert!(scored > 0);
    let counted: f64 = ran.scores.iter().map(|s| s.held + s.failed).sum();
    assert!((counted - f64::from(scored)).abs() < 1e-9);
    assert!(
        ran.scores.iter().any(|s| s.held > 0.5),
        "the gain has a mechanism"
    );
    assert!(ran.scores.iter().all(|s| s.run_id == "test"));
}

#[test]
fn what_failed_in_an_earlier_run_is_not_asked_in_the_next() {
    let first = run(1, With::default());
    let mut scores = first.scores.clone();
    let worst = |s: &&mut ccl_memory::ScoreRecord| s.held < 0.1;
    let names: BTreeSet<String> = scores
        .iter_mut()
        .filter(worst)
        .map(|s| {
            s.failed = 20.0;
            s.mechanism.clone()
        })
        .collect();
    assert!(!names.is_empty());
    let second = run(
        2,
        With {
            scores,
            ..With::default()
        },
    );
    let again = tried(&second);
    let first = tried(&first);
    assert!(again.len() < first.len(), "{again:?} of {first:?}");
    assert_eq!(second.summary().verdict, Verdict::Faster);
}

#[test]
fn memory_of_scores_is_an_input_and_the_rest_stays_a_function_of_the_seed() {
    let scores = run(1, With::default()).scores;
    let with = || With {
        scores: scores.clone(),
        ..With::default()
    };
    let decisions = run(3, with()).decisions();
    assert_eq!(decisions, run(3, with()).decisions());
    assert_ne!(decisions, run(3, With::default()).decisions());
}

#[test]
fn a_forced_channel_count_is_found_and_what_to_look_for_is_said() {
    let mut forced = common::workload("demo/already-optimal.json");
    let one = ("NCCL_MAX_NCHANNELS".to_owned(), "1".to_owned());
    forced.env.extend([one]);
    let on = cluster("dgx-h100");
    let noise = NoiseModel::typical(1);
    let testbed = SimulatedTestbed::new(&forced, &on, noise, Scenario::default());
    let ran = tune(&mut testbed.unwrap(), &on, With::default());
    let found = diagnoses(&ran);
    assert_eq!(found[0].class, Bottleneck::Misconfiguration);
    assert!(found[0].because.contains("1ch"), "{}", found[0].because);
    let named = |c: &String| c.contains("NCCL_MAX_NCHANNELS");
    assert!(found[0].checks.iter().any(named), "{:?}", found[0].checks);
    assert_eq!(ran.summary().diagnosis, None, "a bad choice is no fault");
    assert!(tried(&ran).contains("forced-choice"));
    // The variable binds every choice in the running job: nothing is claimed.
    assert_eq!(ran.summary().verdict, Verdict::NoDifference);
}

/// A job in which one rank was seen to come late.
struct Late(SimulatedTestbed);

impl Testbed for Late {
    fn describe(&self) -> &TestbedInfo {
        self.0.describe()
    }

    fn keys(&self) -> &[KeyFacts] {
        self.0.keys()
    }

    fn untuned_choice(&self, key: TaskKey) -> Option<Choice> {
        self.0.untuned_choice(key)
    }

    fn signals(&self, _key: TaskKey) -> Signals {
        Signals {
            wait_for_ranks: Some(0.4),
            late_rank: Some(LateRank {
                rank: 5,
                wait_share: 0.4,
            }),
            ..Signals::default()
        }
    }

    fn run_iteration(&mut self, approved: &Approved) -> Result<IterationSample, TestbedError> {
        self.0.run_iteration(approved)
    }

    fn probe(
        &mut self,
        approved: &ApprovedProbe,
        repetitions: u32,
    ) -> Result<Vec<f64>, TestbedError> {
        self.0.probe(approved, repetitions)
    }

    fn oracle_iteration_us(&self, choices: &[(TaskKey, Choice)]) -> Result<f64, TestbedError> {
        self.0.oracle_iteration_us(choices)
    }
}

#[test]
fn a_straggler_is_named_and_no_configuration_is_praised_for_it() {
    let job = "demo/already-optimal.json";
    let mut testbed = Late(simulated(job, "dgx-h100", 1, Scenario::default()));
    let ran = tune(&mut testbed, &cluster("dgx-h100"), With::default());
    let found = diagnoses(&ran);
    assert_eq!(found[0].class, Bottleneck::Straggler);
    assert!(found[0].because.contains("rank 5"), "{}", found[0].because);
    let evidence = ran.trace.iter().any(|l| {
        matches!(&l.event, TraceEvent::EvidenceGathered { evidence }
            if evidence.statement.contains("rank 5 is the last in most calls"))
    });
    assert!(evidence);
    let summary = ran.summary();
    assert_eq!(summary.diagnosis, None, "the job may go on");
    assert!(summary.trials > 0);
    assert_eq!(summary.verdict, Verdict::NoDifference);
}
