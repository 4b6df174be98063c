//! The guard's rules, one by one.

use ccl_core::{Algorithm, Collective, CommShape};

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
    assert!(guard.approve_with_leases(&untuned, &leases(8)).is_ok());
    let refused = guard.approve_with_leases(&untuned, &leases(9)).unwrap_err();
    assert!(matches!(
        refused,
        Refusal::TooManyLeased {
            leased: 180,
            allowed: 160,
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
