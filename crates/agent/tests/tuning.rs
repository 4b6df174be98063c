//! Whole runs on the simulated testbed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod common;

use std::sync::Arc;

use ccl_agent::tuner::{RunError, TuneOptions};
use ccl_core::{Source, StoppedBecause, TraceEvent, Verdict};
use ccl_llm::{Exchange, Failure, Provider, Reply, Request, Sink};
use ccl_memory::RuleKind;
use ccl_sim::noise::{Scenario, ScenarioEvent};
use common::{Ran, With, cluster, simulated, tune};
use serde_json::json;

fn with_oracle(seed: u64) -> With {
    With {
        options: TuneOptions {
            seed,
            oracle: true,
            ..TuneOptions::default()
        },
        ..With::default()
    }
}

fn phi2(seed: u64, with: With) -> Ran {
    let mut testbed = simulated(
        "autoccl/phi2-2b.json",
        "a40-pcie-8gpu",
        seed,
        Scenario::default(),
    );
    tune(&mut testbed, &cluster("a40-pcie-8gpu"), with)
}

#[test]
fn a_published_workload_becomes_faster_and_nearly_all_of_the_gain_is_found() {
    for seed in 1..=5 {
        let ran = phi2(seed, with_oracle(seed));
        let summary = ran.summary();
        assert_eq!(summary.verdict, Verdict::Faster, "seed {seed}");
        assert!(
            summary.speedup.ci95[0] > 1.0,
            "seed {seed}: {:?}",
            summary.speedup
        );
        let captured = summary.oracle.unwrap().captured;
        assert!(captured >= 0.8, "seed {seed}: captured {captured:.3}");
        assert!(summary.tuning_cost.regret_iterations < 5.0, "seed {seed}");
        assert!(ran.learnt.iter().any(|r| r.kind == RuleKind::Positive));
        assert!(ran.learnt.iter().all(|r| r.source == summary.source));
    }
}

#[test]
fn one_seed_gives_the_same_decisions_byte_for_byte() {
    let first = phi2(7, with_oracle(7)).decisions();
    let second = phi2(7, with_oracle(7)).decisions();
    assert_eq!(first, second);
    assert_ne!(
        first,
        phi2(8, with_oracle(8)).decisions(),
        "the seed decides nothing"
    );
}

#[test]
fn what_is_already_optimal_stays_as_it_is() {
    for seed in 1..=10 {
        let mut testbed = simulated(
            "demo/already-optimal.json",
            "dgx-h100",
            seed,
            Scenario::default(),
        );
        let ran = tune(&mut testbed, &cluster("dgx-h100"), with_oracle(seed));
        let summary = ran.summary();
        assert_eq!(summary.verdict, Verdict::NoDifference, "seed {seed}");
        assert!(summary.best.configuration.is_untuned(), "seed {seed}");
    }
}

#[test]
fn every_arrow_of_the_loop_is_in_the_trace() {
    let ran = phi2(1, with_oracle(1));
    let names: Vec<String> = ran
        .trace
        .iter()
        .map(|l| {
            serde_json::to_value(&l.event).unwrap()["event"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    for name in [
        "phase_started",
        "task_keys",
        "evidence_gathered",
        "retrieved",
        "planned",
        "baseline_measured",
        "decided",
        "approved",
        "applied",
        "measured",
        "judged",
        "incumbent",
        "stopped",
        "final_comparison",
        "rule_distilled",
        "run_finished",
    ] {
        assert!(names.iter().any(|n| n == name), "no {name}");
    }
    let sequence: Vec<u64> = ran.trace.iter().map(|l| l.sequence).collect();
    assert!(sequence.windows(2).all(|w| w[1] == w[0] + 1));
}

#[test]
fn leases_stay_within_their_bounds_and_untried_choices_cost_little() {
    let ran = phi2(3, with_oracle(3));
    // Nine in ten calls of every iteration are the incumbent's, so even all bad ideas together
    // cannot make an iteration a tenth slower; noise and spikes come on top.
    let per_iteration =
        ran.summary().tuning_cost.regret_iterations / ran.summary().tuning_cost.iterations as f64;
    assert!(per_iteration < 0.05, "{per_iteration}");
}

#[test]
fn a_failing_job_is_rolled_back_and_never_wins() {
    let scenario = Scenario {
        // The first after the warm-up and the baseline: candidates are on trial.
        events: vec![ScenarioEvent::Failure { at: 9 }],
    };
    let mut testbed = simulated("autoccl/phi2-2b.json", "a40-pcie-8gpu", 1, scenario);
    let ran = tune(&mut testbed, &cluster("a40-pcie-8gpu"), with_oracle(1));
    let failed = ran
        .trace
        .iter()
        .any(|l| matches!(l.event, TraceEvent::RolledBack { .. }));
    assert!(failed);
    assert!(ran.result.is_ok());
}

#[test]
fn a_job_that_fails_untuned_is_an_error() {
    let scenario = Scenario {
        events: vec![ScenarioEvent::Hang { at: 1 }],
    };
    let mut testbed = simulated("autoccl/phi2-2b.json", "a40-pcie-8gpu", 1, scenario);
    let ran = tune(&mut testbed, &cluster("a40-pcie-8gpu"), with_oracle(1));
    assert!(matches!(ran.result, Err(RunError::Baseline(_))));
}

#[test]
fn a_gain_survives_a_neighbour_and_a_straggler() {
    let scenario = Scenario {
        events: vec![
            ScenarioEvent::Neighbour {
                from: 15,
                lasts: 20,
                factor: 1.3,
            },
            ScenarioEvent::Straggler {
                from: 0,
                every: 7,
                factor: 1.2,
            },
        ],
    };
    let mut testbed = simulated("autoccl/phi2-2b.json", "a40-pcie-8gpu", 1, scenario);
    let ran = tune(&mut testbed, &cluster("a40-pcie-8gpu"), with_oracle(1));
    assert_eq!(ran.summary().verdict, Verdict::Faster);
    let speedup = ran.summary().speedup;
    assert!((1.1..1.35).contains(&speedup.median), "{speedup:?}");
}

#[test]
fn an_interrupt_ends_the_search_and_rolls_back() {
    let ran = phi2(
        1,
        With {
            interrupted: true,
            ..with_oracle(1)
        },
    );
    let summary = ran.summary();
    assert_eq!(summary.stopped_because, StoppedBecause::Interrupted);
    assert_eq!(summary.trials, 0);
    assert!(summary.best.configuration.is_untuned());
}

#[test]
fn the_budget_is_kept() {
    let options = TuneOptions {
        budget: 5,
        ..TuneOptions::default()
    };
    let ran = phi2(
        1,
        With {
            options,
            ..With::default()
        },
    );
    assert!(ran.summary().trials <= 5);
    assert_eq!(ran.summary().stopped_because, StoppedBecause::Budget);
    // What has begun is seen through.
    let mut judged = 0;
    for line in &ran.trace {
        if let TraceEvent::Judged { because, .. } = &line.event {
            judged += 1;
            assert!(!because.starts_with("not decided"), "{because}");
        }
    }
    assert_eq!(judged, ran.summary().trials);
}

/// A model that says what the test wants.
struct Model(Result<serde_json::Value, Failure>);

impl Provider for Model {
    fn name(&self) -> &'static str {
        "test"
    }

    fn model(&self) -> &'static str {
        "parrot"
    }

    fn address(&self) -> &'static str {
        "nowhere"
    }

    fn ask(&self, request: &Request, _sink: Sink<'_>) -> Exchange {
        let answer = self.0.clone().map(|json| Reply {
            text: json.to_string(),
            structured: Some(json),
            ..Reply::default()
        });
        Exchange::unsent(self.name(), self.model(), self.address(), request, answer)
    }
}

fn hypothesis(algorithm: &str, protocol: &str) -> serde_json::Value {
    json!({"hypotheses": [{
        "key": 1, "mechanism": "test", "because": "1 of 2", "evidence": [1],
        "algorithm": algorithm, "protocol": protocol, "channels": 4, "chunk_bytes": null,
        "predicted_ratio": [0.8, 1.0], "risk": "none", "refuted_by": "nothing"
    }]})
}

#[test]
fn a_model_is_heard_and_its_impossible_ideas_are_refused_in_the_open() {
    let good = Model(Ok(hypothesis("Ring", "Simple")));
    let ran = phi2(
        1,
        With {
            provider: Some(Arc::new(good)),
            ..with_oracle(1)
        },
    );
    let tried = ran.trace.iter().any(|l| {
        matches!(&l.event,
        TraceEvent::Decided { candidates, .. }
            if candidates.iter().any(|c| c.proposer == ccl_core::Proposer::Llm))
    });
    assert!(tried);
    assert!(!ran.summary().llm.fallback_used);

    let impossible = Model(Ok(hypothesis("NVLS", "Simple")));
    let ran = phi2(
        1,
        With {
            provider: Some(Arc::new(impossible)),
            ..with_oracle(1)
        },
    );
    assert!(ran.summary().refused >= 1);
    assert_eq!(ran.summary().verdict, Verdict::Faster);
}

#[test]
fn nonsense_and_silence_leave_the_rule_mind_in_charge() {
    let nonsense = json!({"hypotheses": [{"key": 99}]});
    let silence = Failure::Unreachable {
        address: "x".to_owned(),
        reason: "y".to_owned(),
    };
    for answer in [Ok(nonsense), Err(silence)] {
        let model = Model(answer);
        let ran = phi2(
            1,
            With {
                provider: Some(Arc::new(model)),
                ..with_oracle(1)
            },
        );
        let llm = &ran.summary().llm;
        assert_eq!((llm.calls, llm.failed, llm.fallback_used), (1, 1, true));
        assert!(
            ran.trace
                .iter()
                .any(|l| matches!(l.event, TraceEvent::LlmFailed { .. }))
        );
        assert_eq!(ran.summary().verdict, Verdict::Faster);
        // Who was asked and did not answer changes no decision.
        assert_eq!(ran.decisions(), phi2(1, with_oracle(1)).decisions());
    }
}

#[test]
fn what_an_earlier_run_learnt_is_tried_first() {
    let learnt = phi2(1, with_oracle(1)).learnt;
    let mut testbed = simulated(
        "autoccl/phi2-2b.json",
        "a40-pcie-8gpu",
        2,
        Scenario::default(),
    );
    let with = With {
        remembered: learnt,
        ..with_oracle(2)
    };
    let ran = tune(&mut testbed, &cluster("a40-pcie-8gpu"), with);
    assert!(ran.summary().warm_start.rules >= 1);
    assert_eq!(ran.summary().verdict, Verdict::Faster);
}

#[test]
fn what_does_nothing_on_the_simulator_is_left_out_with_the_evidence() {
    let on = "a40-pcie-8gpu";
    let sweep = "modern/nccl-tests-sweep.json";
    let mut testbed = simulated(sweep, on, 1, Scenario::default());
    let ran = tune(&mut testbed, &cluster(on), With::default());
    let mut pruned = 0;
    for line in &ran.trace {
        let TraceEvent::Pruned {
            evidence,
            before,
            after,
            ..
        } = &line.event
        else {
            continue;
        };
        pruned += 1;
        assert!(after < before && *after > 0);
        let is_filed = |event: &TraceEvent| {
            matches!(event, TraceEvent::EvidenceGathered { evidence: filed }
                if evidence.contains(&filed.id) && filed.source == Source::Simulated)
        };
        assert!(ran.trace.iter().any(|l| is_filed(&l.event)));
    }
    assert!(pruned > 0);
}
