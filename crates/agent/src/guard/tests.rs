//! The guard's rules, one by one.

use ccl_core::{Algorithm, Candidate, Collective, CommShape, Configuration, Protocol};

use super::*;
use crate::testbed::LegalChoices;

fn key() -> TaskKey {
    TaskKey::of(CommShape::new(8, 1), Collective::AllReduce, 80 << 20)
}

fn guard(calls: u64) -> Guard {
    let legal = LegalChoices {
        pairs: vec![
            (Algorithm::Ring, Protocol::Simple),
            (Algorithm::Tree, Protocol::Ll),
        ],
        channels: vec![1, 2, 4],
        chunk_bytes: vec![],
        only: None,
    };
    let facts = KeyFacts {
        key: key(),
        bytes: 80 << 20,
        calls,
        overlapped: false,
        legal,
    };
    Guard::new(Bounds::default(), &[facts])
}

const RING: Choice = Choice::new(Algorithm::Ring, Protocol::Simple);

#[test]
fn what_nccl_does_not_offer_is_refused() {
    let guard = guard(1000);
    let probe = |choice: Choice| guard.approve_probe(key(), Some(choice));
    assert!(probe(RING).is_ok());
    assert!(probe(RING.with_channels(4)).is_ok());
    assert!(matches!(
        probe(RING.with_channels(3)),
        Err(Refusal::NotPossible { .. })
    ));
    let ll128 = Choice::new(Algorithm::Ring, Protocol::Ll128);
    assert!(matches!(probe(ll128), Err(Refusal::UnsafeLl128 { .. })));
    let other = TaskKey::of(CommShape::new(4, 1), Collective::AllReduce, 1);
    assert!(matches!(
        guard.approve_probe(other, None),
        Err(Refusal::UnknownKey { .. })
    ));
}

#[test]
fn untried_choices_get_a_bounded_share_of_the_calls() {
    let guard = guard(1000);
    assert_eq!(guard.calls_of_one_lease(key()), 20);
    let leases = |n: usize| {
        vec![
            Lease {
                key: key(),
                choice: RING,
                calls: 20
            };
            n
        ]
    };
    let untuned = Configuration::default();
    assert!(guard.approve_with_leases(&untuned, &leases(25)).is_ok());
    let refused = guard
        .approve_with_leases(&untuned, &leases(26))
        .unwrap_err();
    assert!(matches!(
        refused,
        Refusal::TooManyLeased {
            leased: 520,
            allowed: 500,
            ..
        }
    ));
}

#[test]
fn process_level_knobs_do_not_slip_through() {
    let mut configuration = Configuration::default();
    configuration
        .environment
        .variables
        .insert("NCCL_BUFFSIZE".into(), "1".into());
    let refused = guard(1).approve(&configuration).unwrap_err();
    assert!(matches!(refused, Refusal::NeedsRestart { .. }));
}

#[test]
fn regret_is_booked_for_tuned_iterations_only_and_ends_the_run() {
    let mut guard = guard(1000);
    guard.set_baseline_us(100.0);
    let untuned = guard.approve_untuned();
    guard.book(&untuned, 200.0);
    assert_eq!(guard.regret_iterations(), 0.0);
    let leases = [Lease {
        key: key(),
        choice: RING,
        calls: 1,
    }];
    let tuned = guard
        .approve_with_leases(&Configuration::default(), &leases)
        .unwrap();
    guard.book(&tuned, 90.0);
    guard.book(&tuned, 150.0);
    assert_eq!(
        (guard.regret_iterations(), guard.worst_iteration_ratio()),
        (0.5, 1.5)
    );
    assert!(guard.exhausted().is_none());
    guard.book(&tuned, 600.0);
    assert!(guard.exhausted().is_some());
    assert_eq!(guard.iterations(), 4);
}

mod growth {
    use std::collections::{BTreeMap, BTreeSet};

    use ccl_core::{Lane, Proposer};
    use proptest::prelude::*;

    use super::*;

    fn keys() -> Vec<KeyFacts> {
        let legal = LegalChoices {
            pairs: vec![
                (Algorithm::Ring, Protocol::Simple),
                (Algorithm::Tree, Protocol::Simple),
                (Algorithm::Tree, Protocol::Ll),
            ],
            channels: vec![1, 2, 4, 8],
            chunk_bytes: vec![],
            only: None,
        };
        let facts = |log2: u32, calls, overlapped| KeyFacts {
            key: TaskKey::of(CommShape::new(8, 1), Collective::AllReduce, 1 << log2),
            bytes: 1 << log2,
            calls,
            overlapped,
            legal: legal.clone(),
        };
        vec![
            facts(20, 1, false),
            facts(21, 30, false),
            facts(22, 4000, false),
            facts(23, 100, true),
            facts(24, 1, true),
        ]
    }

    fn candidate(key: TaskKey, choice: Choice) -> Candidate {
        Candidate {
            id: 1,
            key,
            choice,
            lane: Lane::Numeric,
            proposer: Proposer::Search,
            because: String::new(),
            hypothesis: None,
        }
    }

    /// One step: which key and choice, what is foreseen of it, how many calls somebody wants for it, what
    /// is learnt, and whether the iteration fails.
    type Step = ((usize, usize, u32), f64, f64, Vec<u64>, f64, bool);

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = (
            (0usize..5, 0usize..3, 0u32..4),
            0.01f64..1.0,
            0.5f64..4.0,
            prop::collection::vec(0u64..3000, 1..4),
            -0.1f64..0.6,
            prop::bool::weighted(0.05),
        );
        prop::collection::vec(step, 1..80)
    }

    proptest! {
        /// Whatever is asked for in whatever order: leases stay within their shares, grow by no more than
        /// they may, could not slow an iteration down by more than a trial may, and nothing that a suspect
        /// shares its novelty with runs after a failure.
        #[test]
        fn no_sequence_of_approvals_exceeds_the_bounds(steps in steps()) {
            let keys = keys();
            let mut guard = Guard::new(Bounds::default(), &keys)
                .with_untuned(keys.iter().map(|k| (k.key, RING.with_channels(2))));
            guard.set_baseline_us(1e6);
            let mut ran: BTreeMap<(TaskKey, Choice), u64> = BTreeMap::new();
            let mut ever: BTreeSet<(TaskKey, Choice)> = BTreeSet::new();
            let mut failed: Vec<Suspect> = Vec::new();
            for ((key, pair, channels), share, ratio, wanted, harm, fails) in steps {
                let facts = &keys[key];
                let (a, p) = facts.legal.pairs[pair];
                let choice = Choice::new(a, p).with_channels(1 << channels);
                let foreseen = Foreseen {
                    share,
                    call_ratio: Some((ratio, "test")),
                    iteration_ratio: None,
                    was_good_before: false,
                };
                let admitted = guard.check_candidate(&candidate(facts.key, choice), &foreseen);
                // A candidate is judged anew: what it ran on before has to be earned again.
                ran.remove(&(facts.key, choice));
                let Ok(risk) = admitted else { continue };
                for calls in wanted {
                    let earned = guard.next_calls(facts.key, &choice);
                    let lease = Lease { key: facts.key, choice, calls: calls.min(2 * earned + 1) };
                    let one = [lease];
                    let approved = match guard.approve_on_all_calls(&Configuration::default(), &[(facts.key, choice)]) {
                        Ok(all) if calls % 2 == 0 => Ok(all),
                        _ => guard.approve_with_leases(&Configuration::default(), &one),
                    };
                    let Ok(approved) = approved else { continue };
                    let leased = match approved.leases() {
                        [] => facts.calls,
                        leases => leases.iter().map(|l| l.calls).sum(),
                    };
                    let before = ran.get(&(facts.key, choice)).copied();
                    #[allow(clippy::cast_precision_loss)]
                    let most = before.map_or(risk.first_calls as f64, |n| n as f64 * risk.growth);
                    #[allow(clippy::cast_precision_loss)]
                    let (leased_f, calls_f) = (leased as f64, facts.calls as f64);
                    prop_assert!(leased_f <= most, "{leased} calls, {most} earned");
                    if !approved.leases().is_empty() {
                        let has_run = ever.contains(&(facts.key, choice));
                        let bound = if facts.overlapped || has_run { 0.5 * calls_f } else { (0.02 * calls_f).max(8.0) };
                        prop_assert!(leased_f <= bound.max(1.0));
                    }
                    let predicted = guard.harm_of(&Lease { calls: leased, ..lease });
                    prop_assert!(predicted <= guard.harm_allowed() + 1e-9, "{predicted}");
                    let guilty = failed.iter().flat_map(|s| &s.explanations);
                    for pattern in guilty {
                        prop_assert!(!pattern.matches(facts.key, &choice));
                    }
                    prop_assert!(approved.deadline_us() < 600e6);
                    if fails {
                        failed.extend(guard.fail(&approved, "test").suspects);
                        break;
                    }
                    guard.book(&approved, 1e6);
                    let most = ran.entry((facts.key, choice)).or_default();
                    *most = leased.max(*most);
                    ever.insert((facts.key, choice));
                    guard.learn_harm(facts.key, &choice, harm);
                }
            }
        }
    }
}

#[test]
fn a_choice_that_failed_in_an_earlier_run_is_refused_where_things_are_alike() {
    use ccl_core::{ClusterSpec, Source, cluster_text};
    use ccl_memory::{Change, FailureRecord, RuleKind};
    let cluster = ClusterSpec::parse(cluster_text("a40-pcie-8gpu").unwrap()).unwrap();
    let other = ClusterSpec::parse(cluster_text("dgx-h100").unwrap()).unwrap();
    let here = ContextSignature::of(&cluster, "one", 1, 8);
    let context = ContextSignature::of(&cluster, "another", 1, 8);
    let change = Change::Call {
        key: key(),
        choice: RING.with_channels(4),
        against: None,
    };
    let rule = RuleRecord {
        failure: Some(FailureRecord {
            symptom: "the workload hung for 10 s".to_owned(),
            suspects: 1,
            explanations: vec![],
        }),
        ..RuleRecord::new(RuleKind::Avoid, context, change, Source::Simulated, "run")
    };
    let warned = guard(1000).remembering(std::slice::from_ref(&rule), &here);
    let refused = warned
        .check_choice(key(), &RING.with_channels(4))
        .unwrap_err();
    assert!(refused.to_string().contains("hung"), "{refused}");
    assert!(warned.check_choice(key(), &RING.with_channels(2)).is_ok());
    let elsewhere = ContextSignature::of(&other, "one", 1, 8);
    let unwarned = guard(1000).remembering(&[rule], &elsewhere);
    assert!(unwarned.check_choice(key(), &RING.with_channels(4)).is_ok());
}

#[test]
fn the_catalogue_has_its_say() {
    use ccl_core::NcclVersion;
    use ccl_core::knobs::CheckContext;
    let context = |version| CheckContext {
        nccl_version: Some(version),
        platform: None,
    };
    let facts = KeyFacts {
        key: TaskKey::of(CommShape::new(8, 8), Collective::AllGather, 1 << 20),
        bytes: 1 << 20,
        calls: 10,
        overlapped: false,
        legal: LegalChoices {
            pairs: vec![(Algorithm::Pat, Protocol::Simple)],
            ..LegalChoices::default()
        },
    };
    let guard = Guard::new(Bounds::default(), std::slice::from_ref(&facts));
    let pat = Choice::new(Algorithm::Pat, Protocol::Simple);
    // PAT came with 2.23.
    let old = guard
        .clone()
        .with_catalogue(context(NcclVersion::new(2, 19, 3)));
    let refused = old.check_choice(facts.key, &pat).unwrap_err();
    assert!(matches!(refused, Refusal::Catalogue { .. }), "{refused}");
    let new = guard.with_catalogue(context(NcclVersion::new(2, 27, 7)));
    assert!(new.check_choice(facts.key, &pat).is_ok());
    let mut configuration = Configuration::default();
    let variables = &mut configuration.environment.variables;
    variables.insert("NCCL_BUFFSIZE".into(), "many".into());
    let refused = new.approve(&configuration).unwrap_err();
    assert!(matches!(refused, Refusal::Catalogue { .. }), "{refused}");
}

#[test]
fn what_is_new_here_is_tried_more_carefully() {
    let mut guard = guard(4000).with_untuned([(key(), RING.with_channels(2))]);
    let untuned = guard.approve_untuned();
    guard.book(&untuned, 1e6);
    let foreseen = Foreseen {
        share: 0.3,
        call_ratio: Some((1.2, "timed outside the job")),
        iteration_ratio: None,
        was_good_before: false,
    };
    let candidate = |choice| Candidate {
        id: 1,
        key: key(),
        choice,
        lane: ccl_core::Lane::Numeric,
        proposer: ccl_core::Proposer::Search,
        because: String::new(),
        hypothesis: None,
    };
    let near = guard
        .check_candidate(&candidate(RING.with_channels(4)), &foreseen)
        .unwrap();
    let tree = Choice::new(Algorithm::Tree, Protocol::Ll);
    let far = guard.check_candidate(&candidate(tree), &foreseen).unwrap();
    assert!(
        near.class < far.class && near.growth > far.growth,
        "{near}; {far}"
    );
    // Three times as long on a key with one call an iteration: nothing small enough can be tried.
    let mut single = self::guard(1);
    let slow = Foreseen {
        call_ratio: Some((3.0, "timed outside the job")),
        ..foreseen
    };
    let refused = single.check_candidate(&candidate(tree), &slow).unwrap_err();
    assert!(matches!(refused, Refusal::TooRisky { .. }));
}
