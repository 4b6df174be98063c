//! A job on which no variable makes any difference: whatever is called faster there is an error.

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
use ccl_core::{Choice, ClusterSpec, StoppedBecause, TaskKey, Verdict, WorkloadSpec};
use ccl_sim::noise::{NoiseModel, Scenario};
use common::restarts::{PRICE_US, options, with};
use common::{cluster, tune, workload};

/// A job on which no environment makes a difference, whatever the simulator thinks.
struct Indifferent {
    inner: SimulatedTestbed,
    noise: NoiseModel,
    /// What every iteration is slower than the one before, a share of the first.
    drift: f64,
    iteration: u64,
    sample: Option<IterationSample>,
    starts: u32,
    /// Iterations that the first environments of all seem a tenth faster for: by luck, and no longer.
    lucky: u32,
}

impl Indifferent {
    fn new(job: &WorkloadSpec, on: &ClusterSpec, seed: u64, drift: f64, lucky: u32) -> Self {
        let quiet = NoiseModel::none();
        Self {
            inner: SimulatedTestbed::new(job, on, quiet, Scenario::default()).unwrap(),
            noise: NoiseModel::typical(seed),
            drift,
            iteration: 0,
            sample: None,
            starts: 0,
            lucky,
        }
    }
}

impl Testbed for Indifferent {
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
        let sample = match &self.sample {
            Some(sample) => sample.clone(),
            None => self.inner.run_iteration(approved)?,
        };
        self.sample = Some(sample.clone());
        let number = self.iteration;
        self.iteration += 1;
        let drift = 1.0 + self.drift * number as f64;
        let mut factor = self.noise.iteration_factor(number) * drift;
        if !approved.configuration().environment.variables.is_empty() && self.lucky > 0 {
            self.lucky -= 1;
            factor *= 0.9;
        }
        Ok(IterationSample {
            iteration_us: sample.iteration_us * factor,
            keys: sample.keys,
        })
    }

    fn probe(&mut self, approved: &ApprovedProbe, n: u32) -> Result<Vec<f64>, TestbedError> {
        self.inner.probe(approved, n)
    }

    fn recover(&mut self, _approved: &Approved) -> Result<f64, TestbedError> {
        Ok(PRICE_US)
    }

    fn restart_terms(&self) -> Option<RestartTerms> {
        self.inner.restart_terms()
    }

    fn restart(&mut self, _approved: &ApprovedRestart) -> Result<f64, TestbedError> {
        self.starts += 1;
        Ok(PRICE_US)
    }

    fn oracle_iteration_us(&self, choices: &[(TaskKey, Choice)]) -> Result<f64, TestbedError> {
        self.inner.oracle_iteration_us(choices)
    }
}

/// How often an environment that does nothing wins the race, and the verdict, over 50 seeds.
fn false_wins(drift: f64, lucky: u32) -> (u32, u32) {
    let job = workload("demo/allreduce-8gpu.json");
    let on = cluster("a40-nvlink-8gpu");
    let (mut raced, mut faster) = (0, 0);
    for seed in 0..50 {
        let mut testbed = Indifferent::new(&job, &on, seed, drift, lucky);
        let options = TuneOptions {
            hypothesis_lane: false,
            numeric_lane: false,
            ..options(seed, 9)
        };
        let with = with(&job, &on, &testbed, options);
        let ran = tune(&mut testbed, &on, with);
        let summary = ran.summary();
        assert!(testbed.starts >= 4, "seed {seed}: nothing was tried");
        raced += u32::from(testbed.starts > 4);
        faster += u32::from(summary.verdict == Verdict::Faster);
        assert_eq!(summary.stopped_because, StoppedBecause::Plateau);
        assert!(
            summary.verdict == Verdict::Faster || summary.best.configuration.is_untuned(),
            "seed {seed}"
        );
    }
    eprintln!("drift {drift}, luck {lucky}: {raced} of 50 won the race, {faster} the verdict");
    (raced, faster)
}

#[test]
fn an_environment_that_does_nothing_is_never_called_faster() {
    assert_eq!(false_wins(0.0, 0).1, 0);
}

#[test]
fn luck_in_the_race_is_not_taken_for_a_gain() {
    // One iteration to get warm and the sixteen of the first stretch.
    let (raced, faster) = false_wins(0.0, 17);
    assert!(raced > 40, "the verdict was hardly asked: {raced}");
    assert_eq!(faster, 0);
}

#[test]
fn a_drift_in_one_direction_is_not_taken_for_a_gain() {
    // 0.3 % an iteration: half a dozen iterations on, more than any effect that matters here.
    for drift in [0.003, -0.003] {
        assert_eq!(false_wins(drift, 0).1, 0);
        let (raced, faster) = false_wins(drift, 17);
        assert!(raced > 20, "the verdict was hardly asked: {raced}");
        assert_eq!(faster, 0);
    }
}
