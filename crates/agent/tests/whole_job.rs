//! Variables that NCCL reads once: found where they help, never believed where they do not, and never tried
//! again where they do harm.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod common;

use ccl_agent::guard::{Approved, ApprovedProbe, ApprovedRestart};
use ccl_agent::testbed::{
    IterationSample, KeyFacts, RestartTerms, SimulatedTestbed, Testbed, TestbedError, TestbedInfo,
};
use ccl_agent::tuner::TuneOptions;
use ccl_core::{
    Choice, ClusterSpec, Environment, Outcome, RolledBackTo, TaskKey, TraceEvent, Verdict,
    WorkloadSpec,
};
use ccl_sim::noise::{NoiseModel, Scenario, ScenarioEvent};
use common::restarts::{PRICE_US, options, with};
use common::{Ran, cluster, tune, workload};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SWITCHES: &str = "dgx-h100";

/// A job on a machine whose switches can reduce, started with that switched off.
fn without_switches() -> WorkloadSpec {
    let mut job = workload("demo/allreduce-8gpu.json");
    job.env.insert("NCCL_NVLS_ENABLE".into(), "0".into());
    job
}

fn set(name: &str, value: &str) -> Environment {
    Environment {
        variables: [(name.to_owned(), value.to_owned())].into(),
    }
}

/// What goes wrong with an environment.
#[derive(Clone, Copy, PartialEq)]
enum Harm {
    None,
    /// Its iterations hang, from one on.
    Hang {
        from: u32,
    },
    /// The job does not start with it.
    NoStart,
}

/// A simulated job that counts its starts.
struct Job {
    inner: SimulatedTestbed,
    harmful: Environment,
    harm: Harm,
    /// Iterations in the environment that does harm.
    met: u32,
    starts: Vec<Environment>,
    /// What the job runs with now, by what it was told.
    running: Environment,
    left_with: Option<Environment>,
}

impl Job {
    fn new(job: &WorkloadSpec, on: &ClusterSpec, seed: u64, events: Vec<ScenarioEvent>) -> Self {
        let scenario = Scenario { events };
        let inner = SimulatedTestbed::new(job, on, NoiseModel::typical(seed), scenario).unwrap();
        Self {
            inner,
            harmful: Environment::default(),
            harm: Harm::None,
            met: 0,
            starts: Vec::new(),
            running: Environment::default(),
            left_with: None,
        }
    }

    fn harmed_by(mut self, environment: Environment, harm: Harm) -> Self {
        (self.harmful, self.harm) = (environment, harm);
        self
    }
}

impl Testbed for Job {
    fn describe(&self) -> &TestbedInfo {
        self.inner.describe()
    }

    fn keys(&self) -> &[KeyFacts] {
        self.inner.keys()
    }

    fn untuned_choice(&self, key: TaskKey) -> Option<Choice> {
        self.inner.untuned_choice(key)
    }

    fn run_iteration(&mut self, approved: &Approved) -> Result<IterationSample, TestbedError> {
        assert_eq!(approved.configuration().environment, self.running);
        if let Harm::Hang { from } = self.harm
            && self.running == self.harmful
        {
            self.met += 1;
            if self.met > from {
                let waited_s = approved.deadline_us() / 1e6;
                return Err(TestbedError::Hung { waited_s });
            }
        }
        self.inner.run_iteration(approved)
    }

    fn probe(&mut self, approved: &ApprovedProbe, n: u32) -> Result<Vec<f64>, TestbedError> {
        self.inner.probe(approved, n)
    }

    fn recover(&mut self, approved: &Approved) -> Result<f64, TestbedError> {
        self.running = approved.configuration().environment.clone();
        self.inner.recover(approved)
    }

    fn leave(&mut self, approved: &Approved) -> Result<(), TestbedError> {
        assert_eq!(approved.configuration().environment, self.running);
        self.left_with = Some(self.running.clone());
        self.inner.leave(approved)
    }

    fn restart_terms(&self) -> Option<RestartTerms> {
        self.inner.restart_terms()
    }

    fn restart(&mut self, approved: &ApprovedRestart) -> Result<f64, TestbedError> {
        self.starts.push(approved.environment().clone());
        if self.harm == Harm::NoStart && *approved.environment() == self.harmful {
            return Err(TestbedError::Failed {
                reason: "a communicator could not be opened".to_owned(),
            });
        }
        self.running = approved.environment().clone();
        self.inner.restart(approved)
    }

    fn oracle_iteration_us(&self, choices: &[(TaskKey, Choice)]) -> Result<f64, TestbedError> {
        self.inner.oracle_iteration_us(choices)
    }
}

fn run(job: &WorkloadSpec, on: &str, testbed: &mut Job, options: TuneOptions) -> Ran {
    let on = cluster(on);
    let with = with(job, &on, testbed, options);
    tune(testbed, &on, with)
}

fn restarted(ran: &Ran) -> usize {
    let is_restart = |l: &&ccl_core::TraceLine| matches!(l.event, TraceEvent::Restarted { .. });
    ran.trace.iter().filter(is_restart).count()
}

fn chosen(ran: &Ran) -> Vec<(Vec<Environment>, String)> {
    let events = ran.trace.iter().filter_map(|line| match &line.event {
        TraceEvent::EnvironmentsChosen {
            candidates,
            because,
        } => Some((
            candidates.iter().map(|c| c.environment.clone()).collect(),
            because.clone(),
        )),
        _ => None,
    });
    events.collect()
}

fn outcome_of(ran: &Ran, of: &Environment) -> Option<Outcome> {
    ran.trace.iter().find_map(|line| match &line.event {
        TraceEvent::EnvironmentJudged {
            environment,
            outcome,
            ..
        } if environment == of => Some(*outcome),
        _ => None,
    })
}

#[test]
fn a_variable_that_helps_is_found_confirmed_and_kept() {
    let job = without_switches();
    let best = set("NCCL_NVLS_ENABLE", "2");
    for seed in 1..=5 {
        let mut testbed = Job::new(&job, &cluster(SWITCHES), seed, Vec::new());
        let ran = run(&job, SWITCHES, &mut testbed, options(seed, 7));
        let summary = ran.summary();
        assert_eq!(outcome_of(&ran, &best), Some(Outcome::Kept), "seed {seed}");
        assert_eq!(summary.verdict, Verdict::Faster, "seed {seed}");
        assert_eq!(summary.best.configuration.environment, best, "seed {seed}");
        assert_eq!(testbed.left_with, Some(best.clone()), "seed {seed}");
        // Far beyond what choices per call can do without the switches.
        let mut without = Job::new(&job, &cluster(SWITCHES), seed, Vec::new());
        let per_call = run(&job, SWITCHES, &mut without, options(seed, 0));
        let (both, alone) = (summary.speedup.median, per_call.summary().speedup.median);
        assert!(both > 1.1 * alone, "seed {seed}: {both:.3} and {alone:.3}");
        // What it cost is in the books, and the advice that was tried is no advice any more.
        let cost = summary.tuning_cost;
        // Two more where spikes make a second turn of the comparison necessary.
        assert!([5, 7].contains(&cost.restarts), "seed {seed}");
        let baseline_us = 1e3 * summary.baseline.iteration_ms.median;
        let least = f64::from(cost.restarts) * PRICE_US / baseline_us;
        assert!(cost.restart_iterations > 0.95 * least, "seed {seed}");
        assert!(cost.regret_iterations >= cost.restart_iterations);
        assert!(summary.advice.is_empty(), "seed {seed}");
        // No choice is recommended to others that was only confirmed together with the switches.
        assert!(
            ran.learnt
                .iter()
                .all(|rule| rule.ratio.is_none_or(|r| r.median > 1.0))
        );
    }
}

#[test]
fn the_simulator_finds_a_variable_that_nobody_advised() {
    let job = workload("demo/allreduce-8gpu.json");
    let on = "a40-nvlink-8gpu";
    let mut testbed = Job::new(&job, &cluster(on), 3, Vec::new());
    let ran = run(&job, on, &mut testbed, options(3, 7));
    let best = &ran.summary().best.configuration.environment;
    assert_eq!(ran.summary().verdict, Verdict::Faster);
    assert!(chosen(&ran)[0].0.contains(best), "{best:?}");
    assert_eq!(restarted(&ran), testbed.starts.len());
    assert_eq!(testbed.starts.len(), 7);
}

#[test]
fn one_seed_gives_the_same_decisions_byte_for_byte_over_restarts() {
    let job = without_switches();
    let decisions = |seed| {
        let mut testbed = Job::new(&job, &cluster(SWITCHES), seed, Vec::new());
        run(&job, SWITCHES, &mut testbed, options(seed, 9)).decisions()
    };
    assert_eq!(decisions(4), decisions(4));
    assert_ne!(decisions(4), decisions(5));
}

#[test]
fn without_restarts_allowed_nothing_is_said_or_done_about_them() {
    let job = without_switches();
    let mut testbed = Job::new(&job, &cluster(SWITCHES), 1, Vec::new());
    let ran = run(&job, SWITCHES, &mut testbed, options(1, 0));
    assert!(testbed.starts.is_empty());
    assert!(chosen(&ran).is_empty());
    assert!(!ran.summary().advice.is_empty());
}

fn never_again(harm: Harm) {
    let job = without_switches();
    let harmful = set("NCCL_NVLS_ENABLE", "2");
    let mut faster = 0;
    for seed in 1..=10 {
        let testbed = Job::new(&job, &cluster(SWITCHES), seed, Vec::new());
        let mut testbed = testbed.harmed_by(harmful.clone(), harm);
        let ran = run(&job, SWITCHES, &mut testbed, options(seed, 15));
        let summary = ran.summary();
        let tried = testbed.starts.iter().filter(|e| **e == harmful).count();
        assert_eq!(tried, 1, "seed {seed}");
        assert_eq!(
            outcome_of(&ran, &harmful),
            Some(Outcome::RolledBackFailed),
            "seed {seed}"
        );
        let rolled_back = ran.trace.iter().find_map(|line| match &line.event {
            TraceEvent::RolledBack { to, reason, .. }
                if reason.contains("NCCL_NVLS_ENABLE=2 was set") =>
            {
                Some(*to)
            }
            _ => None,
        });
        assert_eq!(rolled_back, Some(RolledBackTo::Kept), "seed {seed}");
        // The job is as it came, with what was found per call before.
        assert!(summary.best.configuration.environment.variables.is_empty());
        assert_eq!(testbed.left_with, Some(Environment::default()));
        assert_ne!(summary.verdict, Verdict::Slower, "seed {seed}");
        faster += usize::from(summary.verdict == Verdict::Faster);
    }
    // Four percent per call is what there is, and now and then the noise hides it.
    assert!(faster >= 8, "{faster} of 10");
}

#[test]
fn a_variable_that_hangs_the_job_is_rolled_back_and_never_tried_again() {
    // In the iteration that warms up, and in one of the race.
    never_again(Harm::Hang { from: 0 });
    never_again(Harm::Hang { from: 3 });
}

#[test]
fn a_variable_that_the_job_does_not_start_with_is_rolled_back_and_never_tried_again() {
    never_again(Harm::NoStart);
}

#[test]
fn a_winner_that_hangs_in_the_final_comparison_is_not_kept() {
    let job = without_switches();
    let harmful = set("NCCL_NVLS_ENABLE", "2");
    // Seventeen iterations in the race, one to get warm, a few of the comparison.
    let testbed = Job::new(&job, &cluster(SWITCHES), 2, Vec::new());
    let mut testbed = testbed.harmed_by(harmful.clone(), Harm::Hang { from: 21 });
    let ran = run(&job, SWITCHES, &mut testbed, options(2, 5));
    assert_eq!(outcome_of(&ran, &harmful), Some(Outcome::Kept));
    let summary = ran.summary();
    assert!(summary.best.configuration.environment.variables.is_empty());
    assert_eq!(testbed.left_with, Some(Environment::default()));
    // What was found per call had its own comparison.
    assert_eq!(summary.verdict, Verdict::Faster);
    assert!(!summary.best.configuration.is_untuned());
}

#[test]
fn a_kept_variable_that_hangs_the_job_later_leads_to_nccls_own_choices() {
    let job = without_switches();
    let harmful = set("NCCL_NVLS_ENABLE", "2");
    let testbed = Job::new(&job, &cluster(SWITCHES), 2, Vec::new());
    let mut testbed = testbed.harmed_by(harmful, Harm::Hang { from: 60 });
    let options = TuneOptions {
        watch_iterations: 100,
        ..options(2, 5)
    };
    let ran = run(&job, SWITCHES, &mut testbed, options);
    let rolled_back = ran.trace.iter().find_map(|line| match &line.event {
        TraceEvent::RolledBack {
            to,
            reason,
            configuration,
            ..
        } if reason.contains("NCCL_NVLS_ENABLE=2 was set, and had been kept") => {
            Some((*to, configuration.is_untuned()))
        }
        _ => None,
    });
    assert_eq!(rolled_back, Some((RolledBackTo::Defaults, true)));
    // Tuned again it may be, but not with that.
    let best = &ran.summary().best.configuration.environment;
    assert!(best.variables.is_empty());
    assert_eq!(testbed.left_with, Some(Environment::default()));
    assert_eq!(testbed.met, 61);
}

#[test]
fn the_job_is_never_started_more_often_than_allowed() {
    let job = without_switches();
    let other = workload("demo/allreduce-8gpu.json");
    let mut most = 0;
    for seed in 0..150_u64 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let allowed = rng.random_range(0..16);
        let (job, on) = match seed % 2 {
            0 => (&job, SWITCHES),
            _ => (&other, "a40-nvlink-8gpu"),
        };
        let at = rng.random_range(20..120);
        let events = match seed % 3 {
            0 => Vec::new(),
            1 => vec![ScenarioEvent::Hang { at }],
            _ => vec![ScenarioEvent::Failure { at }],
        };
        let mut testbed = Job::new(job, &cluster(on), seed, events);
        if seed % 5 == 0 {
            let from = rng.random_range(0..30);
            let harmful = set("NCCL_NVLS_ENABLE", "2");
            testbed = testbed.harmed_by(harmful, Harm::Hang { from });
        }
        let ran = run(job, on, &mut testbed, options(seed, allowed));
        let summary = ran.summary();
        let starts = u32::try_from(testbed.starts.len()).unwrap();
        assert!(starts <= allowed, "seed {seed}: {starts} of {allowed}");
        assert!(starts <= summary.tuning_cost.restarts, "seed {seed}");
        assert!(summary.tuning_cost.restarts <= allowed, "seed {seed}");
        assert!(allowed >= 5 || starts == 0, "seed {seed}");
        // Wherever it ended, the job runs what the summary says.
        let best = &summary.best.configuration.environment;
        assert_eq!(testbed.left_with.as_ref(), Some(best), "seed {seed}");
        most = most.max(starts);
    }
    assert!(most >= 7, "hardly a restart was made: {most}");
}

#[test]
fn restarts_that_the_regret_budget_cannot_pay_for_are_not_made() {
    let job = without_switches();
    // 1 % of the job is 100 iterations of 30 ms: less than one start.
    for (iterations, may) in [(10_000, false), (10_000_000, true)] {
        let mut testbed = Job::new(&job, &cluster(SWITCHES), 1, Vec::new());
        let options = TuneOptions {
            expected_iterations: Some(iterations),
            ..options(1, 5)
        };
        let ran = run(&job, SWITCHES, &mut testbed, options);
        assert_eq!(!testbed.starts.is_empty(), may, "{iterations}");
        let (candidates, because) = &chosen(&ran)[0];
        assert_eq!(!candidates.is_empty(), may, "{because}");
        let cost = ran.summary().tuning_cost.regret_iterations;
        assert!(cost < 0.01 * iterations as f64, "{cost} of {iterations}");
    }
}

/// A job that somebody else started.
struct NotOurs(SimulatedTestbed);

impl Testbed for NotOurs {
    fn describe(&self) -> &TestbedInfo {
        self.0.describe()
    }

    fn keys(&self) -> &[KeyFacts] {
        self.0.keys()
    }

    fn untuned_choice(&self, key: TaskKey) -> Option<Choice> {
        self.0.untuned_choice(key)
    }

    fn run_iteration(&mut self, approved: &Approved) -> Result<IterationSample, TestbedError> {
        self.0.run_iteration(approved)
    }

    fn probe(&mut self, approved: &ApprovedProbe, n: u32) -> Result<Vec<f64>, TestbedError> {
        self.0.probe(approved, n)
    }

    fn oracle_iteration_us(&self, choices: &[(TaskKey, Choice)]) -> Result<f64, TestbedError> {
        self.0.oracle_iteration_us(choices)
    }
}

#[test]
fn a_job_that_cannot_be_started_again_says_so() {
    let job = without_switches();
    let on = cluster(SWITCHES);
    let quiet = NoiseModel::typical(1);
    let inner = SimulatedTestbed::new(&job, &on, quiet, Scenario::default()).unwrap();
    let mut testbed = NotOurs(inner);
    let with = with(&job, &on, &testbed, options(1, 20));
    let ran = tune(&mut testbed, &on, with);
    let (candidates, because) = &chosen(&ran)[0];
    assert!(candidates.is_empty());
    assert!(because.contains("cannot start the job again"), "{because}");
    assert_eq!(restarted(&ran), 0);
    assert!(ran.result.is_ok());
}
