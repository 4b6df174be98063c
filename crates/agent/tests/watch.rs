//! A locked configuration is watched: what stays changed is tuned again, what passes is left alone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod common;

use ccl_agent::tuner::TuneOptions;
use ccl_core::{ChangeOf, ChoicePattern, Protocol, RolledBackTo, TraceEvent, Verdict};
use ccl_sim::noise::{Effect, Scenario, ScenarioEvent};
use common::watched::Watched;
use common::{Ran, With, cluster, simulated, tune};

const WATCHED: u64 = 400;

fn run(seed: u64, events: Vec<ScenarioEvent>) -> (Ran, Watched) {
    let scenario = Scenario { events };
    let job = simulated("autoccl/phi2-2b.json", "a40-pcie-8gpu", seed, scenario);
    let mut watched = Watched::new(job);
    let options = TuneOptions {
        seed,
        watch_iterations: WATCHED,
        ..TuneOptions::default()
    };
    let with = With {
        options,
        ..With::default()
    };
    let ran = tune(&mut watched, &cluster("a40-pcie-8gpu"), with);
    (ran, watched)
}

/// The first iteration after the verdict of an undisturbed run.
fn locked_at(seed: u64) -> u64 {
    let (ran, watched) = run(seed, Vec::new());
    let checks = count(&ran, |e| matches!(e, TraceEvent::DefaultMeasured { .. }));
    assert_eq!(count(&ran, |e| matches!(e, TraceEvent::Reopened { .. })), 0);
    assert!(checks >= 2, "{checks}");
    // At most six pairs a comparison.
    u64::try_from(watched.ran.len()).unwrap() - WATCHED - 12 * u64::try_from(checks).unwrap()
}

fn count(ran: &Ran, is_meant: impl Fn(&TraceEvent) -> bool) -> usize {
    ran.trace.iter().filter(|l| is_meant(&l.event)).count()
}

#[test]
fn a_link_that_lost_speed_for_good_is_tuned_for_once() {
    for seed in 1..=5 {
        let from = locked_at(seed) + 100;
        let (ran, _) = run(
            seed,
            vec![ScenarioEvent::DegradedLink { from, factor: 1.4 }],
        );
        assert!(ran.result.is_ok());
        let reopened = count(&ran, |e| matches!(e, TraceEvent::Reopened { .. }));
        assert_eq!(reopened, 1, "seed {seed}");
        // And then it is: the machine's slowness is no regret of a trial's, which would forbid it.
        let events = ran.trace.iter().map(|l| &l.event);
        let since = events.skip_while(|e| !matches!(e, TraceEvent::Reopened { .. }));
        let judged = since
            .filter(|e| matches!(e, TraceEvent::Judged { .. }))
            .count();
        assert!(judged > 0, "seed {seed}");
        assert_eq!(ran.summary().verdict, Verdict::Faster, "seed {seed}");
    }
}

#[test]
fn a_neighbour_that_leaves_is_seen_and_nothing_is_done() {
    for seed in 1..=5 {
        let from = locked_at(seed) + 100;
        let neighbour = ScenarioEvent::Neighbour {
            from,
            lasts: 20,
            factor: 1.4,
        };
        let (ran, watched) = run(seed, vec![neighbour]);
        let seen = count(&ran, |e| matches!(e, TraceEvent::ChangeSeen { .. }));
        assert!(seen >= 1, "seed {seed}");
        assert_eq!(count(&ran, |e| matches!(e, TraceEvent::Reopened { .. })), 0);
        assert_eq!(ran.summary().verdict, Verdict::Faster, "seed {seed}");
        assert!(watched.last < 1.0);
    }
}

#[test]
fn a_pace_that_goes_back_and_forth_is_not_tuned_for_each_time() {
    let from = locked_at(1) + 50;
    let change = |n: u64| ScenarioEvent::Neighbour {
        from: from + 120 * n,
        lasts: 60,
        factor: 1.4,
    };
    let (ran, _) = run(1, (0..6).map(change).collect());
    let reopened = count(&ran, |e| matches!(e, TraceEvent::Reopened { .. }));
    assert!(reopened <= 2, "{reopened}");
}

#[test]
fn what_became_slower_than_untuned_goes_back_at_once() {
    let after = locked_at(1) + 50;
    let culprit = ScenarioEvent::Culprit {
        runs: ChoicePattern {
            protocol: Some(Protocol::Simple),
            ..ChoicePattern::default()
        },
        effect: Effect::SlowIteration { factor: 1.5 },
        after,
    };
    let (ran, watched) = run(1, vec![culprit]);
    let to_defaults = count(&ran, |e| {
        matches!(
            e,
            TraceEvent::RolledBack {
                to: RolledBackTo::Defaults,
                ..
            }
        )
    });
    assert!(to_defaults >= 1);
    let slow = watched.ran.iter().skip(usize::try_from(after).unwrap());
    let slow = slow.filter(|ran| !ran.is_empty()).count();
    assert!(slow < 80, "{slow} iterations were slowed");
    assert!(ran.summary().best.configuration.is_untuned());
    assert!((watched.last - 1.0).abs() < 1e-12);
}

/// What every change that was seen was of, in order.
fn changes(ran: &Ran) -> Vec<ChangeOf> {
    let of = |event: &TraceEvent| match event {
        TraceEvent::ChangeSeen { of, .. } => Some(*of),
        _ => None,
    };
    ran.trace.iter().filter_map(|l| of(&l.event)).collect()
}

#[test]
fn a_tenant_is_called_interference_and_what_lasts_is_of_what_is_locked() {
    use ChangeOf::{Candidate, Incumbent, Interference, Open};
    for seed in 1..=5 {
        let from = locked_at(seed) + 40;
        let reopened = |ran: &Ran| count(ran, |e| matches!(e, TraceEvent::Reopened { .. }));
        let visit = |n: u64| ScenarioEvent::Neighbour {
            from: from + 110 * n,
            lasts: 20,
            factor: 1.4,
        };
        let (tenant, _) = run(seed, (0..3).map(visit).collect());
        assert_eq!(changes(&tenant), [Open, Interference].repeat(3), "{seed}");
        assert_eq!(reopened(&tenant), 0, "{seed}");
        let link = ScenarioEvent::DegradedLink { from, factor: 1.4 };
        let (link, _) = run(seed, vec![link]);
        assert_eq!(changes(&link), [Open, Incumbent], "{seed}");
        assert_eq!(reopened(&link), 1, "{seed}");
        // Slower, and still faster than NCCL's own choices, which did not change.
        let culprit = ScenarioEvent::Culprit {
            runs: ChoicePattern {
                protocol: Some(Protocol::Simple),
                ..ChoicePattern::default()
            },
            effect: Effect::SlowIteration { factor: 1.1 },
            after: from,
        };
        let (culprit, _) = run(seed, vec![culprit]);
        // Whether it lasts or what the pairs say is seen first, is chance.
        let seen = changes(&culprit);
        assert_eq!(seen.first(), Some(&Open), "{seed}");
        assert!(
            seen.contains(&Incumbent) && seen.contains(&Candidate),
            "{seed}: {seen:?}"
        );
    }
}
