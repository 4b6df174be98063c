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
/// Every so many runs are followed by one that remembers them.
const REMEMBERED: u64 = 4;
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

/// What undisturbed runs of each job try: culprits are drawn from it.
fn tried() -> [Vec<Candidate>; 2] {
    [0, 1].map(|job| (1..4).flat_map(|seed| tried_by(job, seed)).collect())
}

fn tried_by(job: usize, seed: u64) -> Vec<Candidate> {
    let (ran, _) = run(job, seed, Vec::new(), Vec::new());
    let decided = ran.trace.into_iter().filter_map(|line| match line.event {
        TraceEvent::Decided { candidates, .. } => Some(candidates),
        _ => None,
    });
    decided.flatten().collect()
}

/// A culprit among what would be tried, as narrow or as wide as chance wants it, but none that NCCL's own
/// choice or the whole key is.
fn culprit(job: usize, tried: &[Candidate], rng: &mut ChaCha8Rng) -> ChoicePattern {
    let (workload, on) = JOBS[job];
    let plain = simulated(workload, on, 1, Scenario::default());
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
    let tried = tried();
    for seed in 1..=RUNS {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let job = usize::try_from(seed).unwrap() % JOBS.len();
        let runs = culprit(job, &tried[job], &mut rng);
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
        // Each time it was seen; once in many runs a spike is taken for one.
        assert!(
            rolled_back(&ran).len() >= watched.iterations_with(&runs),
            "{label}"
        );
        met += watched.iterations_with(&runs);
        // Whoever remembers this run does not try it once.
        if seed % REMEMBERED == 0 && watched.iterations_with(&runs) > 0 {
            let (later, watched) = run(job, seed + RUNS, scenario(runs, effect), ran.learnt);
            assert!(later.result.is_ok(), "{label}, later");
            assert_eq!(
                watched.iterations_with(&runs),
                0,
                "{label}: tried by a later run"
            );
        }
    }
    eprintln!("{met} of {RUNS} runs met their culprit");
    assert!(met as u64 > RUNS / 3);
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
    let tried = tried();
    for seed in 1..=RUNS {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let job = usize::try_from(seed).unwrap() % JOBS.len();
        let one = &tried[job][rng.random_range(0..tried[job].len())];
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
        assert!(
            ran.result.is_ok(),
            "seed {seed}, {event:?}: {:?}",
            ran.result.err()
        );
        assert!(watched.waited_s.iter().all(|s| *s < WATCHDOG_S));
        assert!(watched.last <= 1.0, "seed {seed}: left at {}", watched.last);
    }
}

/// The iterations of an undisturbed run in which something is on trial.
fn iterations_with_trials() -> Vec<u64> {
    let (_, watched) = run(0, 1, Vec::new(), Vec::new());
    let mut kept: Vec<_> = Vec::new();
    let mut found = Vec::new();
    for (number, ran) in (0..).zip(&watched.ran) {
        if ran.iter().any(|r| !kept.contains(r)) {
            found.push(number);
        }
        kept.clone_from(ran);
    }
    found
}

#[test]
fn the_second_failure_leads_to_nccls_own_choices() {
    let first = iterations_with_trials()[0];
    let events = vec![
        ScenarioEvent::Failure { at: first },
        ScenarioEvent::Hang { at: first + 2 },
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
    let after = usize::try_from(first).unwrap() + 3;
    assert!(watched.ran[after..].iter().all(Vec::is_empty));
    // Two restarts and a hang took their time, and that is in the books.
    let cost = summary.tuning_cost.regret_iterations;
    let baseline_s = summary.baseline.iteration_ms.median / 1e3;
    assert!(cost * baseline_s > 240.0, "{cost} of {baseline_s} s");
}

#[test]
fn after_a_failure_trials_have_one_suspect_each() {
    let first = iterations_with_trials()[0];
    let (ran, watched) = run(0, 1, vec![ScenarioEvent::Failure { at: first }], Vec::new());
    assert!(ran.result.is_ok());
    let after = usize::try_from(first).unwrap() + 1;
    let mut seen: Vec<_> = watched.ran[..after].iter().flatten().copied().collect();
    for ran in &watched.ran[after..] {
        let new = ran.iter().filter(|r| !seen.contains(r)).count();
        assert!(new <= 1, "{new} new choices in one iteration");
        seen.extend(ran.iter().copied());
    }
}

#[test]
fn what_the_job_had_kept_has_to_go_when_it_fails_without_anything_on_trial() {
    let (_, undisturbed) = run(0, 1, Vec::new(), Vec::new());
    // The last iterations compare what was kept with untuned NCCL, in turn.
    let at = undisturbed.ran.iter().rposition(|ran| !ran.is_empty());
    let at = u64::try_from(at.unwrap()).unwrap();
    let (ran, watched) = run(0, 1, vec![ScenarioEvent::Failure { at }], Vec::new());
    assert_eq!(rolled_back(&ran), [RolledBackTo::Defaults]);
    assert!(ran.summary().best.configuration.is_untuned());
    assert!((watched.last - 1.0).abs() < 1e-12);
    // It may have been the machine: no later run is told.
    assert!(ran.learnt.iter().all(|rule| rule.failure.is_none()));
}
