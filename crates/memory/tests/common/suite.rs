//! What any store must do, one function each: a fresh, empty store comes in.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use ccl_core::{
    Bottleneck, Collective, Evidence, EvidenceId, Interval, NcclVersion, Outcome, Source, Verdict,
};
use ccl_memory::{
    Candidate, Change, DocumentRecord, EvidenceRecord, Generalisation, ImportanceRecord, Judgement,
    Lessons, Measured, Memory, MemoryError, Query, Record, RuleKind, RuleRecord, RunRecord,
    ScoreBook, ScoreContext, ScoreRecord, SurrogateRecord, TrialRecord, VersionRange, rank,
};
use jiff::civil::date;

use crate::common::{TODAY, context, key, query, rng, rule, rules};

/// Every case, by name.
pub const CASES: [(&str, fn(&mut dyn Memory)); 10] = [
    ("sources", what_was_simulated_is_a_prior_at_most),
    ("whole", lessons_are_kept_as_a_whole_or_not_at_all),
    ("confirmed", a_rule_met_again_is_confirmed),
    ("judged", what_became_of_a_recalled_rule_is_booked),
    (
        "contradiction",
        rules_that_contradict_each_other_lose_until_runs_decide,
    ),
    ("scores", scores_add_up_and_fade_on_their_machine),
    ("surrogates", of_a_context_and_key_the_newest_run_stays),
    ("books", what_is_kept_is_what_is_found),
    (
        "transfer",
        export_and_import_keep_everything_and_import_twice_changes_nothing,
    ),
    ("recall", recall_leaves_out_nothing_that_ranks),
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
        generalised: Some(Generalisation {
            by: "a model".to_owned(),
            words: "wherever there is a switch".to_owned(),
            confirmed: false,
        }),
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

fn scores_add_up_and_fade_on_their_machine(memory: &mut dyn Memory) {
    let (rule, _) = call_rule(6);
    let score = |mechanism: &str, gpu: &str, failed| ScoreRecord {
        mechanism: mechanism.to_owned(),
        context: ScoreContext {
            place: ccl_core::ContextSignature {
                gpu: gpu.to_owned(),
                ..rule.context.clone()
            },
            collective: Collective::AllGather,
            bottleneck: Bottleneck::IntraNodeLink,
        },
        held: 0.0,
        failed,
        source: SOURCE,
        run_id: "run".to_owned(),
    };
    let learn = |memory: &mut dyn Memory, score: ScoreRecord| {
        let scores = vec![score];
        memory
            .learn(&Lessons {
                scores,
                ..Lessons::of(SOURCE, TODAY)
            })
            .unwrap();
    };
    let of = |memory: &mut dyn Memory, gpu: &str| {
        let place = score("", gpu, 0.0).context.place;
        memory.scores(SOURCE, &place).unwrap()
    };
    learn(memory, score("pipeline-fill", "A", 5.0));
    learn(memory, score("pipeline-fill", "B", 5.0));
    learn(memory, score("pipeline-fill", "A", 5.0));
    assert!((of(memory, "A")[0].failed - 9.0).abs() < 1e-12);
    assert!((of(memory, "B")[0].failed - 5.0).abs() < 1e-12);
    let trust = |memory: &mut dyn Memory| {
        let book = ScoreBook::new(of(memory, "A"));
        book.trust("pipeline-fill", &score("", "A", 0.0).context)
    };
    let before = trust(memory);
    // Later runs in which it was not asked: it is heard again.
    for _ in 0..8 {
        learn(memory, score("starved-link", "A", 1.0));
    }
    assert!(before < 0.1 && trust(memory) > 0.2);
}

fn surrogate(rule: &RuleRecord, run_id: &str, workload: &str, log_ratio: f64) -> SurrogateRecord {
    let (key, choice) = rule.call().unwrap();
    SurrogateRecord {
        context: ccl_core::ContextSignature {
            workload: workload.to_owned(),
            ..rule.context.clone()
        },
        key,
        overlapped: false,
        untuned: None,
        observations: vec![Measured {
            choice,
            log_ratio,
            variance: 1e-4,
        }],
        source: SOURCE,
        run_id: run_id.to_owned(),
    }
}

fn of_a_context_and_key_the_newest_run_stays(memory: &mut dyn Memory) {
    let (rule, _) = call_rule(7);
    let first = [
        surrogate(&rule, "1", "a", -0.1),
        surrogate(&rule, "1", "b", -0.2),
    ];
    let second = surrogate(&rule, "2", "a", -0.3);
    for surrogates in [first.to_vec(), vec![second.clone()], vec![]] {
        memory
            .learn(&Lessons {
                surrogates,
                ..Lessons::of(SOURCE, TODAY)
            })
            .unwrap();
    }
    let known = memory.surrogates(SOURCE, &rule.context).unwrap();
    assert_eq!(known, [second, first[1].clone()]);
}

/// Everything a run may leave, and a document.
fn whole_run(seed: u64, run_id: &str) -> (Lessons, DocumentRecord) {
    let (rule, _) = call_rule(seed);
    let (key, choice) = rule.call().unwrap();
    let (context, run_id) = (rule.context.clone(), run_id.to_owned());
    let lessons = Lessons {
        run: Some(RunRecord {
            id: run_id.clone(),
            context: context.clone(),
            source: SOURCE,
            verdict: Verdict::Faster,
            speedup: Interval {
                median: 1.1,
                ci95: [1.05, 1.0 + 0.1 + 0.2],
            },
            options: [("budget".to_owned(), "200".to_owned())].into(),
            started: TODAY,
        }),
        trials: vec![TrialRecord {
            run_id: run_id.clone(),
            number: 1,
            key,
            choice,
            against: None,
            outcome: Outcome::Kept,
            ratio: rule.ratio,
            pairs: 9,
            hypothesis: None,
            source: SOURCE,
        }],
        evidence: vec![EvidenceRecord {
            run_id: run_id.clone(),
            source: SOURCE,
            // What a model expected is known to be that, in a measured run as well.
            evidence: Evidence {
                id: EvidenceId(7),
                key: Some(key),
                statement: "\u{0}\"é\u{1f600}\n".to_owned(),
                source: Source::Simulated,
            },
        }],
        importances: vec![ImportanceRecord {
            context,
            key,
            parameter: "channels".to_owned(),
            share: 1.0 / 3.0,
            evaluations: 40,
            source: SOURCE,
            run_id,
        }],
        surrogates: vec![surrogate(&rule, "run", "a", f64::MIN_POSITIVE)],
        rules: vec![rule],
        ..Lessons::of(SOURCE, TODAY)
    };
    let document = DocumentRecord {
        id: "fabric".to_owned(),
        title: "Our fabric".to_owned(),
        body: "It's slow; DROP TABLE.\n".to_owned(),
        origin: "notes/fabric.md".to_owned(),
    };
    (lessons, document)
}

fn what_is_kept_is_what_is_found(memory: &mut dyn Memory) {
    let (lessons, document) = whole_run(8, "run/1%");
    memory.learn(&lessons).unwrap();
    memory.learn(&whole_run(9, "run/1").0).unwrap();
    let run = lessons.run.unwrap();
    let runs = memory.runs(SOURCE).unwrap();
    assert_eq!((runs.len(), &runs[1]), (2, &run));
    assert_eq!(memory.trials(SOURCE, &run.id).unwrap(), lessons.trials);
    assert_eq!(memory.evidence(SOURCE, &run.id).unwrap(), lessons.evidence);
    assert_eq!(memory.runs(Source::Recorded).unwrap(), []);
    let matter = memory.importances(SOURCE, &run.context).unwrap();
    assert!(matter.contains(&lessons.importances[0]));
    memory.add_document(&document).unwrap();
    let newer = DocumentRecord {
        title: "Our new fabric".to_owned(),
        ..document.clone()
    };
    memory.add_document(&newer).unwrap();
    assert_eq!(memory.documents().unwrap(), [newer]);
    assert!(memory.remove_document("fabric").unwrap());
    assert!(!memory.remove_document("fabric").unwrap());
}

fn export_and_import_keep_everything_and_import_twice_changes_nothing(memory: &mut dyn Memory) {
    let mut elsewhere = ccl_memory::SqliteMemory::in_memory().unwrap();
    let (lessons, document) = whole_run(10, "run");
    elsewhere.learn(&lessons).unwrap();
    elsewhere.learn(&with_rules(&rules(200, 12))).unwrap();
    elsewhere.add_document(&document).unwrap();
    let there = elsewhere.export().unwrap();

    let first = memory.import(&there).unwrap();
    assert_eq!((first.added, first.merged, first.kept), (there.len(), 0, 0));
    assert_eq!(memory.export().unwrap(), there);
    let queries: Vec<Query> = (0..20).map(|seed| query(50, &mut rng(seed))).collect();
    for query in &queries {
        let here = memory.recall(SOURCE, query).unwrap();
        assert_eq!(here, elsewhere.recall(SOURCE, query).unwrap());
    }
    let again = memory.import(&there).unwrap();
    assert_eq!((again.added, again.merged, again.kept), (0, 0, there.len()));
    assert_eq!(memory.export().unwrap(), there);

    // A rule that was confirmed there meanwhile takes the larger count; everything else stays.
    elsewhere.learn(&with_rules(&lessons.rules)).unwrap();
    let after = memory.import(&elsewhere.export().unwrap()).unwrap();
    assert_eq!((after.added, after.merged), (0, 1));
    let id = lessons.rules[0].id();
    let known = memory.rules(SOURCE).unwrap();
    assert_eq!(known.iter().find(|r| r.id() == id).unwrap().wins, 2);
    // What is here is never overwritten.
    let mine = DocumentRecord {
        body: "Mine.".to_owned(),
        ..document.clone()
    };
    memory.add_document(&mine).unwrap();
    memory
        .import(&[Record::Document(Box::new(document))])
        .unwrap();
    assert_eq!(memory.documents().unwrap(), [mine]);
}

/// What a store preselects by costs no rule its place: ranking all rules gives the same.
fn recall_leaves_out_nothing_that_ranks(memory: &mut dyn Memory) {
    memory.learn(&with_rules(&rules(1000, 11))).unwrap();
    let all = memory.rules(SOURCE).unwrap();
    let pairs = memory.contradictions(SOURCE).unwrap();
    let wins = |id: &str| all.iter().find(|r| r.id() == id).unwrap().wins;
    let candidates: Vec<Candidate> = all
        .iter()
        .map(|rule| {
            let id = rule.id();
            let opponents = pairs.iter().filter_map(|pair| match () {
                () if pair.one == id => Some(wins(&pair.other)),
                () if pair.other == id => Some(wins(&pair.one)),
                () => None,
            });
            Candidate {
                rule: rule.clone(),
                opposed: opponents.sum(),
            }
        })
        .collect();
    assert!(
        !pairs.is_empty(),
        "the rules contradict each other somewhere"
    );
    let mut ranked = 0;
    for seed in 0..100 {
        let mut rng = rng(seed);
        let mut query = query([1000, 7][seed as usize % 2], &mut rng);
        query.keys.push(key(&context(&mut rng), &mut rng));
        let expected = rank(&query, &candidates);
        ranked += expected.len();
        assert_eq!(memory.recall(SOURCE, &query).unwrap(), expected);
        // Positive change of the whole job and calls alike, never outside 0..=1, best first.
        assert!(
            expected
                .iter()
                .all(|r| r.score > 0.0 && r.score <= r.likeness)
        );
        assert!(
            expected
                .iter()
                .all(|r| r.likeness <= 1.0 && r.confidence < 1.0)
        );
        assert!(expected.is_sorted_by(|a, b| a.score >= b.score));
        assert!(
            expected
                .iter()
                .all(|r| r.key.is_some() != matches!(r.rule.change, Change::Variable { .. }))
        );
    }
    assert!(ranked > 1000, "{ranked}");
}
