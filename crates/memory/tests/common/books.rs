//! The suite's cases about what is kept beside rules, about moving it, and about recalling among many.

use ccl_core::{Bottleneck, Collective, Evidence, EvidenceId, Interval, Outcome, Source, Verdict};
use ccl_memory::{
    Candidate, Change, Document, EvidenceRecord, ImportanceRecord, Lessons, Measured, Memory,
    Query, Record, RuleRecord, RunRecord, ScoreBook, ScoreContext, ScoreRecord, SurrogateRecord,
    TrialRecord, rank,
};

use super::{SOURCE, call_rule, with_rules};
use crate::common::{TODAY, context, key, query, rng, rules};

pub fn scores_add_up_and_fade_on_their_machine(memory: &mut dyn Memory) {
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

pub fn of_a_context_and_key_the_newest_run_stays(memory: &mut dyn Memory) {
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
fn whole_run(seed: u64, run_id: &str) -> (Lessons, Document) {
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
    let document = Document {
        name: "fabric".to_owned(),
        title: "Our fabric".to_owned(),
        body: "It's slow; DROP TABLE.\n".to_owned(),
        origin: "notes/fabric.md".to_owned(),
    };
    (lessons, document)
}

pub fn what_is_kept_is_what_is_found(memory: &mut dyn Memory) {
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
    memory
        .add_documents(std::slice::from_ref(&document))
        .unwrap();
    let newer = Document {
        title: "Our new fabric".to_owned(),
        ..document.clone()
    };
    memory.add_documents(std::slice::from_ref(&newer)).unwrap();
    assert_eq!(memory.documents().unwrap(), [newer]);
    assert!(memory.remove_document("fabric").unwrap());
    assert!(!memory.remove_document("fabric").unwrap());
}

pub fn export_and_import_keep_everything_and_import_twice_changes_nothing(memory: &mut dyn Memory) {
    let mut elsewhere = ccl_memory::SqliteMemory::in_memory().unwrap();
    let (lessons, document) = whole_run(10, "run");
    elsewhere.learn(&lessons).unwrap();
    elsewhere.learn(&with_rules(&rules(200, 12))).unwrap();
    elsewhere
        .add_documents(std::slice::from_ref(&document))
        .unwrap();
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
    let mine = Document {
        body: "Mine.".to_owned(),
        ..document.clone()
    };
    memory.add_documents(std::slice::from_ref(&mine)).unwrap();
    memory
        .import(&[Record::Document(Box::new(document))])
        .unwrap();
    assert_eq!(memory.documents().unwrap(), [mine]);
}

/// What a store preselects by costs no rule its place: ranking all rules gives the same.
pub fn recall_leaves_out_nothing_that_ranks(memory: &mut dyn Memory) {
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
