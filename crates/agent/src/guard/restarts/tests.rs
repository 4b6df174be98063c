//! The rules about restarts, one by one.

use ccl_core::knobs::CheckContext;
use ccl_core::{Algorithm, Collective, CommShape, Configuration, NcclVersion, Policy, Protocol};

use super::*;
use crate::guard::Bounds;
use crate::testbed::LegalChoices;

const RING: (Algorithm, Protocol) = (Algorithm::Ring, Protocol::Simple);
const NVLS: (Algorithm, Protocol) = (Algorithm::Nvls, Protocol::Simple);

fn key() -> TaskKey {
    TaskKey::of(CommShape::new(8, 1), Collective::AllReduce, 80 << 20)
}

fn keys(pairs: &[(Algorithm, Protocol)]) -> Vec<KeyFacts> {
    vec![KeyFacts {
        key: key(),
        bytes: 80 << 20,
        calls: 100,
        overlapped: false,
        legal: LegalChoices {
            pairs: pairs.to_vec(),
            ..LegalChoices::default()
        },
    }]
}

fn guard(restarts: u32) -> Guard {
    let context = CheckContext {
        nccl_version: Some(NcclVersion::new(2, 27, 3)),
        platform: None,
    };
    Guard::new(Bounds::default(), &keys(&[RING]))
        .with_catalogue(context)
        .with_restarts(restarts)
}

fn set(name: &str, value: &str) -> Environment {
    Environment {
        variables: [(name.to_owned(), value.to_owned())].into(),
    }
}

fn terms(own: Environment) -> RestartTerms {
    RestartTerms {
        price_us: 1e8,
        own,
        variables: vec!["NCCL_BUFFSIZE", "NCCL_NTHREADS"],
    }
}

fn plain() -> Environment {
    Environment::default()
}

#[test]
fn no_restart_is_approved_that_leaves_none_for_the_way_back() {
    let (mut guard, terms) = (guard(3), terms(plain()));
    let larger = set("NCCL_BUFFSIZE", "8388608");
    let none_left = |made, needed| {
        Err(Refusal::NoRestartLeft {
            made,
            allowed: 3,
            needed,
        })
    };
    assert!(guard.approve_restart(&larger, &terms, false).is_ok());
    assert!(guard.approve_restart(&plain(), &terms, false).is_ok());
    assert_eq!(
        guard.approve_restart(&larger, &terms, false),
        none_left(2, 2)
    );
    // To stay it takes no way back.
    assert!(guard.approve_restart(&larger, &terms, true).is_ok());
    assert_eq!(
        guard.approve_restart(&plain(), &terms, false),
        none_left(3, 1)
    );
    assert_eq!(guard.restarts_made(), 3);
}

#[test]
fn what_the_catalogue_calls_an_error_is_refused_and_what_the_job_brings_is_not_blamed() {
    let mut guard = guard(10);
    let mut check = |own: Environment, added: &Environment| {
        guard.approve_restart(added, &terms(own), false).map(|_| ())
    };
    let wrong = set("NCCL_NTHREADS", "many");
    assert!(matches!(
        check(plain(), &wrong),
        Err(Refusal::Catalogue { .. })
    ));
    assert!(check(wrong, &set("NCCL_BUFFSIZE", "8388608")).is_ok());
}

#[test]
fn a_setting_that_failed_is_refused_and_its_variable_is_not() {
    let (mut guard, terms) = (guard(10), terms(plain()));
    let bad = set("NCCL_BUFFSIZE", "1048576");
    assert_eq!(guard.fail_environment(&bad, "hung"), 1);
    assert!(matches!(
        guard.approve_restart(&bad, &terms, false),
        Err(Refusal::SuspectSetting { .. })
    ));
    let other = set("NCCL_BUFFSIZE", "8388608");
    assert!(guard.approve_restart(&other, &terms, false).is_ok());
    // The job as it came fails by itself.
    assert_eq!(guard.fail_environment(&plain(), "hung"), 1);
}

#[test]
fn nothing_runs_but_in_the_environment_the_job_runs_in() {
    let mut guard = guard(10);
    let larger = set("NCCL_BUFFSIZE", "8388608");
    let with = |environment: &Environment| Configuration {
        environment: environment.clone(),
        policy: Policy::default(),
    };
    let needs = |name: &str| {
        Err(Refusal::NeedsRestart {
            name: name.to_owned(),
        })
    };
    assert_eq!(guard.approve(&with(&larger)), needs("NCCL_BUFFSIZE"));
    guard.runs_in(&larger, &keys(&[NVLS]), []);
    assert!(guard.approve(&with(&larger)).is_ok());
    assert_eq!(guard.approve(&with(&plain())), needs("NCCL_BUFFSIZE"));
    let own = guard.approve_untuned();
    assert_eq!(own.configuration().environment, larger);
    assert!(!own.is_untuned(), "it is not the job as it came");
    // What is possible goes with it.
    let nvls = Choice::new(Algorithm::Nvls, Protocol::Simple);
    assert!(guard.check_choice(key(), &nvls).is_ok());
    guard.runs_at_home();
    assert!(guard.check_choice(key(), &nvls).is_err());
    assert!(guard.approve_untuned().is_untuned());
}

#[test]
fn restarts_are_paid_from_the_budget_where_the_job_has_a_length() {
    let mut guard = guard(10);
    guard.set_baseline_us(1e6);
    assert_eq!(guard.restarts_left(1e8), 10);
    // 1 % of a job of 50,000 iterations are 500, five times the 100 that a restart takes.
    let mut guard = guard.for_iterations(Some(50_000));
    assert_eq!(guard.restarts_left(1e8), 5);
    assert_eq!(guard.book_restart(1e8), 100.0);
    guard.book_warm_up(1.5e6);
    assert_eq!(guard.restarts_left(1e8), 3);
    assert_eq!(guard.restart_iterations(), 100.5);
    assert_eq!(guard.regret_iterations(), 100.5);
    assert_eq!(guard.worst_iteration_ratio(), 1.0);
    assert_eq!(guard.iterations(), 1);
}
