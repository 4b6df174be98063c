//! What any store must do, one function each: a fresh, empty store comes in.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod books;

use ccl_core::{Interval, NcclVersion, Source};
use ccl_memory::{
    Generalisation, Judgement, Lessons, Memory, MemoryError, Query, RuleKind, RuleRecord,
    VersionRange,
};
use jiff::civil::date;

use crate::common::{TODAY, rng, rule};

/// A case with its name.
pub type Case = (&'static str, fn(&mut dyn Memory));

/// Every case.
pub const CASES: [Case; 10] = [
    ("sources", what_was_simulated_is_a_prior_at_most),
    ("whole", lessons_are_kept_as_a_whole_or_not_at_all),
    ("confirmed", a_rule_met_again_is_confirmed),
    ("judged", what_became_of_a_recalled_rule_is_booked),
    (
        "contradiction",
        rules_that_contradict_each_other_lose_until_runs_decide,
    ),
    ("scores", books::scores_add_up_and_fade_on_their_machine),
    (
        "surrogates",
        books::of_a_context_and_key_the_newest_run_stays,
    ),
    ("books", books::what_is_kept_is_what_is_found),
    (
        "transfer",
        books::export_and_import_keep_everything_and_import_twice_changes_nothing,
    ),
    ("recall", books::recall_leaves_out_nothing_that_ranks),
];

const SOURCE: Source = Source::Measured;

fn with_rules(rules: &[RuleRecord]) -> Lessons {
    Lessons {
        rules: rules.to_vec(),
        ..Lessons::of(SOURCE, TODAY)
    }
}

/// A rule about a call that nothing contradicts yet, and the query whose place and key are its own.
fn call_rule(seed: u64) -> (RuleRecord, Query) {
    let mut rng = rng(seed);
    let found = (0..).map(|_| rule(SOURCE, &mut rng)).find(|rule| {
        let is_plain = rule.generalised.is_none() && rule.versions.is_none();
        rule.kind == RuleKind::Positive && rule.call().is_some() && is_plain
    });
    let rule = RuleRecord {
        wins: 1,
        losses: 0,
        expires: None,
        ..found.unwrap()
    };
    let query = Query {
        context: rule.context.clone(),
        keys: vec![rule.call().unwrap().0],
        today: TODAY,
        kind: None,
        limit: 100,
    };
    (rule, query)
}

fn what_was_simulated_is_a_prior_at_most(memory: &mut dyn Memory) {
    let (measured, query) = call_rule(1);
    let simulated = RuleRecord {
        source: Source::Simulated,
        ..measured
    };
    let misfiled = memory.learn(&with_rules(std::slice::from_ref(&simulated)));
    assert!(matches!(misfiled, Err(MemoryError::WrongSource { .. })));
    let lessons = Lessons {
        rules: vec![simulated.clone()],
        ..Lessons::of(Source::Simulated, TODAY)
    };
    memory.learn(&lessons).unwrap();
    for other in [Source::Measured, Source::Recorded] {
        assert_eq!(memory.rules(other).unwrap(), []);
        assert_eq!(memory.recall(other, &query).unwrap(), []);
    }
    let own = &memory.recall(Source::Simulated, &query).unwrap()[0];
    let priors = memory.priors(Source::Simulated, &query).unwrap();
    assert_eq!((priors.len(), priors[0].source), (1, Source::Simulated));
    assert_eq!(priors[0].change, simulated.change);
    assert!(priors[0].score < own.score && priors[0].reasons.starts_with("simulated"));
}

fn lessons_are_kept_as_a_whole_or_not_at_all(memory: &mut dyn Memory) {
    let (measured, _) = call_rule(2);
    let simulated = RuleRecord {
        source: Source::Simulated,
        ..measured.clone()
    };
    let lessons = with_rules(&[measured, simulated]);
    memory.learn(&lessons).unwrap_err();
    assert_eq!(memory.export().unwrap(), []);
}

fn a_rule_met_again_is_confirmed(memory: &mut dyn Memory) {
    let (rule, _) = call_rule(3);
    memory
        .learn(&with_rules(std::slice::from_ref(&rule)))
        .unwrap();
    let (later, newer) = (date(2026, 7, 1), 0.5 * rule.ratio.unwrap().median);
    let again = Lessons {
        rules: vec![RuleRecord {
            run_id: "later".to_owned(),
            ratio: Some(Interval {
                median: newer,
                ci95: [newer; 2],
            }),
            ..rule
        }],
        ..Lessons::of(SOURCE, later)
    };
    memory.learn(&again).unwrap();
    let known = &memory.rules(SOURCE).unwrap()[..];
    assert_eq!((known.len(), known[0].wins), (1, 2));
    assert_eq!(
        (known[0].created, known[0].last_use),
        (Some(TODAY), Some(later))
    );
    assert_eq!(
        (known[0].run_id.as_str(), known[0].ratio.unwrap().median),
        ("later", newer)
    );
}

fn what_became_of_a_recalled_rule_is_booked(memory: &mut dyn Memory) {
    let (rule, _) = call_rule(4);
    let guess = RuleRecord {
        wins: 0,
        generalised: Some(Generalisation::new("a model", "wherever there is a switch")),
        ..rule
    };
    assert!(guess.statement().contains("as a model generalises"));
    memory
        .learn(&with_rules(std::slice::from_ref(&guess)))
        .unwrap();
    let newer = NcclVersion::new(2, 30, 1);
    let judged = |holds| Lessons {
        judgements: vec![
            Judgement {
                rule: guess.id(),
                holds,
                nccl_version: newer,
            },
            Judgement {
                rule: "long gone".to_owned(),
                holds,
                nccl_version: newer,
            },
        ],
        ..Lessons::of(SOURCE, TODAY)
    };
    memory.learn(&judged(false)).unwrap();
    let known = memory.rules(SOURCE).unwrap().remove(0);
    assert_eq!(
        (known.wins, known.losses, known.is_unconfirmed()),
        (0, 1, true)
    );
    assert_eq!(known.versions, None);
    memory.learn(&judged(true)).unwrap();
    let known = memory.rules(SOURCE).unwrap().remove(0);
    assert_eq!(
        (known.wins, known.losses, known.is_unconfirmed()),
        (1, 1, false)
    );
    let from = guess.context.nccl_version;
    assert_eq!(known.versions, Some(VersionRange { from, to: newer }));
}

fn rules_that_contradict_each_other_lose_until_runs_decide(memory: &mut dyn Memory) {
    let (positive, query) = call_rule(5);
    let avoid = RuleRecord {
        kind: RuleKind::Avoid,
        ..positive.clone()
    };
    memory
        .learn(&with_rules(std::slice::from_ref(&positive)))
        .unwrap();
    let score = |memory: &mut dyn Memory, kind| {
        let recalled = memory.recall(SOURCE, &query).unwrap();
        let of_kind = recalled.iter().find(|r| r.rule.kind == kind);
        of_kind.unwrap().score
    };
    let alone = score(memory, RuleKind::Positive);
    assert_eq!(memory.contradictions(SOURCE).unwrap(), []);
    memory
        .learn(&with_rules(std::slice::from_ref(&avoid)))
        .unwrap();
    let [disputed, against] = [RuleKind::Positive, RuleKind::Avoid].map(|kind| score(memory, kind));
    assert!(disputed < alone && (disputed - against).abs() < 1e-12);
    let found = memory.contradictions(SOURCE).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (&found[0].one, &found[0].other),
        (&avoid.id(), &positive.id())
    );
    for _ in 0..5 {
        memory
            .learn(&with_rules(std::slice::from_ref(&positive)))
            .unwrap();
    }
    let [decided, lost] = [RuleKind::Positive, RuleKind::Avoid].map(|kind| score(memory, kind));
    assert!(decided > alone && lost < against, "{decided} and {lost}");
}
