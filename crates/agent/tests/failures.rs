//! A job that comes to harm goes on, and what did it is never tried again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod common;

use ccl_agent::tuner::TuneOptions;
use ccl_core::{
    Candidate, ChoicePattern, RolledBackTo, StoppedBecause, TaskKey, TraceEvent, Verdict,
};
use ccl_memory::RuleRecord;
use ccl_sim::noise::{Effect, Scenario, ScenarioEvent};
use common::watched::Watched;
use common::{Ran, With, cluster, simulated, tune};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const RUNS: u64 = 200;
/// Exposed calls, and calls beside computation.
const JOBS: [(&str, &str); 2] = [
    ("autoccl/phi2-2b.json", "a40-pcie-8gpu"),
    ("autoccl/torch-demo.json", "rtx4090-pcie"),
];
/// PyTorch's watchdog, seconds.
const WATCHDOG_S: f64 = 600.0;

fn run(
    job: usize,
    seed: u64,
    events: Vec<ScenarioEvent>,
    memory: Vec<RuleRecord>,
) -> (Ran, Watched) {
    let (workload, on) = JOBS[job];
    let mut watched = Watched::new(simulated(workload, on, seed, Scenario { events }));
    let options = TuneOptions {
        seed,
        ..TuneOptions::default()
    };
    let with = With {
        options,
        remembered: memory,
        ..With::default()
    };
    let ran = tune(&mut watched, &cluster(on), with);
    (ran, watched)
}

/// What an undisturbed run tries: a culprit is drawn from it.
fn tried(job: usize, seed: u64) -> Vec<Candidate> {
    let (ran, _) = run(job, seed, Vec::new(), Vec::new());
    let decided = ran.trace.into_iter().filter_map(|line| match line.event {
        TraceEvent::Decided { candidates, .. } => Some(candidates),
        _ => None,
    });
    decided.flatten().collect()
}

/// A culprit among what would be tried, as narrow or as wide as chance wants it, but none that NCCL's own
/// choice or the whole key is.
fn culprit(job: usize, seed: u64, rng: &mut ChaCha8Rng) -> ChoicePattern {
    let tried = tried(job, seed);
    let (_, on) = JOBS[job];
    let plain = simulated(JOBS[job].0, on, seed, Scenario::default());
    let own = |p: &ChoicePattern| {
        use ccl_agent::testbed::Testbed;
        let keys: Vec<TaskKey> = plain.keys().iter().map(|k| k.key).collect();
        keys.into_iter()
            .any(|k| plain.untuned_choice(k).is_some_and(|c| p.matches(k, &c)))
    };
    loop {
        let candidate = &tried[rng.random_range(0..tried.len())];
        let mut pattern = ChoicePattern::of(candidate.key, &candidate.choice);
        for part in 0..7 {
            if rng.random_range(0..2) == 0 {
                continue;
            }
            match part {
                0 => pattern.shape = None,
                1 => pattern.collective = None,
                2 => pattern.bucket = None,
                3 => pattern.algorithm = None,
                4 => pattern.protocol = None,
                5 => pattern.channels = None,
                _ => pattern.chunk_bytes = None,
            }
        }
        if pattern.is_about_choices() && !own(&pattern) {
            return pattern;
        }
    }
}

fn scenario(runs: ChoicePattern, effect: Effect) -> Vec<ScenarioEvent> {
    vec![ScenarioEvent::Culprit {
        runs,
        effect,
        after: 0,
    }]
}

/// How often the job went back.
fn rolled_back(ran: &Ran) -> Vec<RolledBackTo> {
    let events = ran.trace.iter().filter_map(|line| match &line.event {
        TraceEvent::RolledBack { to, suspects, .. } if !suspects.is_empty() => Some(*to),
        _ => None,
    });
    events.collect()
}

fn never_again(effect: Effect) {
    let mut met = 0;
    for seed in 1..=RUNS {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let job = usize::try_from(seed).unwrap() % JOBS.len();
        let runs = culprit(job, seed, &mut rng);
        let label = format!("seed {seed}, {runs} in {}", JOBS[job].0);
        let (ran, watched) = run(job, seed, scenario(runs, effect), Vec::new());
        let summary = ran
            .result
            .as_ref()
            .unwrap_or_else(|e| panic!("{label}: {e}"));
        assert!(watched.iterations_with(&runs) <= 1, "{label}: ran again");
        assert!(watched.waited_s.iter().all(|s| *s < WATCHDOG_S), "{label}");
        let best = &summary.best.configuration.policy.rules;
        let is_in_best = best.iter().any(|rule| {
            let key = TaskKey::of(rule.shape, rule.collective, rule.min_bytes);
            runs.matches(key, &rule.choice)
        });
        assert!(!is_in_best, "{label}: kept");
        assert_eq!(
            watched.iterations_with(&runs),
            rolled_back(&ran).len(),
            "{label}"
        );
        met += watched.iterations_with(&runs);
        // Whoever remembers this run does not try it once.
        let (later, watched) = run(job, seed + RUNS, scenario(runs, effect), ran.learnt);
        assert!(later.result.is_ok(), "{label}, later");
        if !rolled_back_nothing(&ran.trace) {
            assert_eq!(
                watched.iterations_with(&runs),
                0,
                "{label}: tried by a later run"
            );
        }
    }
    eprintln!("{met} of {RUNS} runs met their culprit");
    assert!(met as u64 > RUNS / 2);
}

fn rolled_back_nothing(trace: &[ccl_core::TraceLine]) -> bool {
    !trace
        .iter()
        .any(|line| matches!(&line.event, TraceEvent::RolledBack { suspects, .. } if !suspects.is_empty()))
}

#[test]
fn a_choice_that_hangs_is_never_tried_again() {
    never_again(Effect::Hang);
}

#[test]
fn a_choice_that_crashes_the_job_is_never_tried_again() {
    never_again(Effect::Crash);
}

#[test]
fn a_choice_that_makes_a_rank_late_is_never_tried_again() {
    never_again(Effect::SlowIteration { factor: 3.0 });
}

#[test]
fn a_choice_whose_calls_take_three_times_as_long_is_dropped_and_not_kept() {
    for seed in 1..=RUNS {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let job = usize::try_from(seed).unwrap() % JOBS.len();
        let tried = tried(job, seed);
        let one = &tried[rng.random_range(0..tried.len())];
        let runs = ChoicePattern::of(one.key, &one.choice);
        let effect = Effect::SlowCalls { factor: 3.0 };
        let (ran, watched) = run(job, seed, scenario(runs, effect), Vec::new());
        let label = format!("seed {seed}, {runs} in {}", JOBS[job].0);
        assert!(ran.result.is_ok(), "{label}");
        // It may take a few calls in a few iterations to see it, but then never again.
        let first = watched
            .ran
            .iter()
            .position(|r| r.contains(&(one.key, one.choice)));
        let last = watched
            .ran
            .iter()
            .rposition(|r| r.contains(&(one.key, one.choice)));
        if let (Some(first), Some(last)) = (first, last) {
            assert!(last - first < 8, "{label}: {first} to {last}");
        }
        let kept = ran.summary().best.configuration.policy.choice_for(one.key);
        assert_ne!(kept, Some(one.choice), "{label}");
    }
}

#[test]
fn a_job_that_fails_at_some_iteration_goes_on() {
    for seed in 1..=RUNS {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let job = usize::try_from(seed).unwrap() % JOBS.len();
        // After the baseline: without one there is nothing to tune.
        let at = rng.random_range(9..60);
        let event = match seed % 3 {
            0 => ScenarioEvent::Failure { at },
            _ => ScenarioEvent::Hang { at },
        };
        let (ran, watched) = run(job, seed, vec![event], Vec::new());
        assert!(ran.result.is_ok(), "seed {seed}, {event:?}");
        assert!(watched.waited_s.iter().all(|s| *s < WATCHDOG_S));
        assert!(watched.last <= 1.0, "seed {seed}: left at {}", watched.last);
    }
}

#[test]
fn the_second_failure_leads_to_nccls_own_choices() {
    let events = vec![
        ScenarioEvent::Failure { at: 10 },
        ScenarioEvent::Hang { at: 13 },
    ];
    let (ran, watched) = run(0, 1, events, Vec::new());
    assert_eq!(
        rolled_back(&ran),
        [RolledBackTo::Kept, RolledBackTo::Defaults]
    );
    let summary = ran.summary();
    assert_eq!(summary.stopped_because, StoppedBecause::Sla);
    assert_eq!(summary.verdict, Verdict::NoDifference);
    assert!(summary.best.configuration.is_untuned());
    assert!(watched.ran[14..].iter().all(Vec::is_empty));
    // Two restarts and a hang took their time, and that is in the books.
    assert!(summary.tuning_cost.regret_iterations > 10.0);
}

#[test]
fn after_a_failure_trials_have_one_suspect_each() {
    let (ran, watched) = run(0, 1, vec![ScenarioEvent::Failure { at: 10 }], Vec::new());
    assert!(ran.result.is_ok());
    let mut seen: Vec<_> = watched.ran[..11].iter().flatten().copied().collect();
    for ran in &watched.ran[11..] {
        let new = ran.iter().filter(|r| !seen.contains(r)).count();
        assert!(new <= 1, "{new} new choices in one iteration");
        seen.extend(ran.iter().copied());
    }
}
