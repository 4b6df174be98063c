//! The training set of whole runs: nothing of what came later stands in what was known before.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use ccl_agent::training::read::{RecordedMemory, RecordedRun};
use ccl_agent::training::{Decided, Example, examples};
use ccl_core::{
    ContextSignature, Interval, Outcome, Phase, Proposer, Source, TraceEvent, TraceLine,
};
use ccl_llm::Exchange;
use ccl_sim::noise::Scenario;
use common::model::{Model, decided, try_one};
use common::{With, cluster, simulated, tune};
use proptest::prelude::*;

const A40: &str = "a40-pcie-8gpu";
const LATER: &str = "told later";

/// A run in which a model was asked and followed.
fn recorded() -> &'static RecordedRun {
    static RUN: OnceLock<RecordedRun> = OnceLock::new();
    RUN.get_or_init(|| {
        let decision = try_one("Ring", "Simple", 4);
        let model = Model::deciding(decision.clone());
        let mut testbed = simulated("autoccl/phi2-2b.json", A40, 1, Scenario::default());
        let on = cluster(A40);
        let with = With {
            provider: Some(model.clone()),
            ..With::default()
        };
        let trace = tune(&mut testbed, &on, with).trace;
        let exchange = |request| {
            Exchange::unsent(
                "test",
                "scripted",
                "nowhere",
                &request,
                Ok(decided(decision.clone())),
            )
        };
        RecordedRun {
            run_id: "test".to_owned(),
            source: Source::Simulated,
            nccl_version: on.nccl_version.to_string(),
            budget: 200,
            context: ContextSignature::of(&on, "test", on.nodes, on.gpus_per_node),
            trace,
            remembered: RecordedMemory::default(),
            exchanges: (1..).zip(model.asked().into_iter().map(exchange)).collect(),
        }
    })
}

/// Another future: other figures, judgements and words in every line that a situation is made of.
fn otherwise(line: &TraceLine, factor: f64) -> TraceLine {
    let mut line = line.clone();
    match &mut line.event {
        TraceEvent::Measured { ratio, .. } => {
            *ratio = Interval {
                median: factor,
                ci95: [factor, factor],
            };
        }
        TraceEvent::Judged {
            outcome, because, ..
        } => {
            *outcome = Outcome::RolledBackFailed;
            LATER.clone_into(because);
        }
        TraceEvent::EvidenceGathered { evidence } => LATER.clone_into(&mut evidence.statement),
        TraceEvent::Diagnosed { diagnosis } => LATER.clone_into(&mut diagnosis.because),
        TraceEvent::Refused { reason, .. } => LATER.clone_into(reason),
        TraceEvent::Pruned { because, .. }
        | TraceEvent::ScreenedOut { because, .. }
        | TraceEvent::Decided { because, .. } => LATER.clone_into(because),
        _ => {}
    }
    line
}

fn text(example: &Example) -> String {
    serde_json::to_string(&example.situation).unwrap()
}

#[test]
fn every_decision_is_a_line_with_all_that_came_of_it() {
    let run = recorded();
    let found = examples(run);
    let rounds = run
        .trace
        .iter()
        .filter(|l| matches!(l.event, TraceEvent::Decided { .. }))
        .count();
    let answers = |e: &&Example| matches!(e.decision, Decided::Answer { .. });
    let answered = found.iter().filter(answers).count();
    assert!(answered > 0 && rounds > 0 && found.len() == rounds + answered);
    let judged = run
        .trace
        .iter()
        .filter(|l| matches!(l.event, TraceEvent::Judged { .. }))
        .count();
    let of_rounds = found.iter().filter(|e| !answers(e));
    let outcomes = of_rounds.flat_map(|e| &e.outcome.candidates);
    assert_eq!(outcomes.filter(|c| c.outcome.is_some()).count(), judged);
    assert!(found.iter().all(|e| e.outcome.run.is_some()));

    // The first answer was followed, and one of its hypotheses tried; what it was sent is there word by word.
    let answer = found.iter().find(answers).unwrap();
    assert_eq!(
        answer.outcome.followed.as_ref().unwrap().mind,
        Proposer::Llm
    );
    assert!(answer.outcome.candidates[0].outcome.is_some());
    let roles: Vec<&str> = answer.situation.prompt.iter().map(|s| s.role).collect();
    assert_eq!(roles, ["system", "user"]);
    assert!(answer.situation.prompt[1].text.contains("Task keys"));
    // What a model makes of rules is no decision of the search.
    let last = run.trace.iter().find(|l| {
        matches!(
            l.event,
            TraceEvent::PhaseStarted {
                phase: Phase::After
            }
        )
    });
    assert!(found.iter().all(|e| e.sequence < last.unwrap().sequence));
}

#[test]
fn what_came_of_a_decision_is_not_in_what_was_known() {
    for example in examples(recorded()) {
        let known = text(&example);
        for candidate in &example.outcome.candidates {
            if let Some(ratio) = candidate.ratio {
                assert!(!known.contains(&ratio.median.to_string()), "{known}");
            }
            let id = candidate.candidate;
            let trials = example.situation.trials.iter().map(|t| &t.candidate);
            assert!(
                trials
                    .chain(&example.situation.on_trial)
                    .all(|c| c.id != id)
            );
            assert!(!known.contains(&format!("candidate {id}:")), "{known}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever happens after a decision: what was known and decided until then reads the same.
    #[test]
    fn no_future_changes_what_was_known(
        which: prop::sample::Index, factor in 0.1_f64..3.0, kept in prop::collection::vec(any::<bool>(), 1..40),
    ) {
        let run = recorded();
        let told = examples(run);
        let at = which.index(told.len());
        let sequence = told[at].sequence;
        let (before, after): (Vec<_>, Vec<_>) = run.trace.iter().partition(|l| l.sequence <= sequence);
        let after = after.into_iter().zip(kept.iter().cycle());
        let after = after.filter(|(_, kept)| **kept).map(|(line, _)| otherwise(line, factor));
        let future = RecordedRun {
            trace: before.into_iter().cloned().chain(after).collect(),
            ..run.clone()
        };
        let found = examples(&future);
        for (one, other) in told.iter().zip(&found).take(at + 1) {
            prop_assert_eq!(&one.situation, &other.situation);
            prop_assert_eq!(&one.decision, &other.decision);
            prop_assert!(!text(other).contains(LATER));
        }
        // A run that was killed there has decided, and nothing came of it.
        let killed = RecordedRun {
            trace: run.trace.iter().take_while(|l| l.sequence <= sequence).cloned().collect(),
            ..run.clone()
        };
        let last = examples(&killed).pop().unwrap();
        prop_assert_eq!(&last.situation, &told[at].situation);
        prop_assert!(last.outcome.run.is_none());
        prop_assert!(last.outcome.candidates.iter().all(|c| c.outcome.is_none() && c.ratio.is_none()));
        prop_assert_eq!(last.redacted, BTreeMap::new());
    }
}
