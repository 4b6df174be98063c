//! A simulated job under observation: what ran in each iteration, and what it would have taken without noise.

use ccl_agent::guard::{Approved, ApprovedProbe, ApprovedRestart};
use ccl_agent::testbed::{
    IterationSample, KeyFacts, RestartTerms, SimulatedTestbed, Testbed, TestbedError, TestbedInfo,
};
use ccl_core::{Choice, ChoicePattern, TaskKey};

/// The job.
pub struct Watched {
    inner: SimulatedTestbed,
    default_us: f64,
    /// Noise-free time of each iteration, as a ratio to the first, untuned one.
    pub ratios: Vec<f64>,
    /// What was asked for in each iteration.
    pub ran: Vec<Vec<(TaskKey, Choice)>>,
    /// Seconds that hangs were waited for.
    pub waited_s: Vec<f64>,
    /// Noise-free time of what the job was left with, as a ratio to untuned.
    pub last: f64,
}

impl Watched {
    pub fn new(inner: SimulatedTestbed) -> Self {
        Self {
            inner,
            default_us: 0.0,
            ratios: Vec::new(),
            ran: Vec::new(),
            waited_s: Vec::new(),
            last: f64::NAN,
        }
    }

    /// Iterations' worth of time that tuning took, without noise.
    pub fn regret(&self) -> f64 {
        self.ratios.iter().map(|r| (r - 1.0).max(0.0)).sum()
    }

    /// The slowest iteration, without noise.
    pub fn worst(&self) -> f64 {
        self.ratios.iter().copied().fold(1.0, f64::max)
    }

    /// In how many iterations something ran that this means.
    pub fn iterations_with(&self, pattern: &ChoicePattern) -> usize {
        let is_meant = |ran: &&Vec<(TaskKey, Choice)>| {
            ran.iter()
                .any(|(key, choice)| pattern.matches(*key, choice))
        };
        self.ran.iter().filter(is_meant).count()
    }
}

impl Testbed for Watched {
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
        let us = self.inner.noise_free_iteration_us(approved)?;
        if self.default_us == 0.0 {
            self.default_us = us;
        }
        self.ratios.push(us / self.default_us);
        self.ran
            .push(approved.on_trial().chain(approved.kept()).collect());
        let result = self.inner.run_iteration(approved);
        if let Err(TestbedError::Hung { waited_s }) = &result {
            assert!(*waited_s <= approved.deadline_us() / 1e6);
            self.waited_s.push(*waited_s);
        }
        result
    }

    fn probe(&mut self, approved: &ApprovedProbe, n: u32) -> Result<Vec<f64>, TestbedError> {
        self.inner.probe(approved, n)
    }

    fn recover(&mut self, approved: &Approved) -> Result<f64, TestbedError> {
        self.inner.recover(approved)
    }

    fn restart_terms(&self) -> Option<RestartTerms> {
        self.inner.restart_terms()
    }

    fn restart(&mut self, approved: &ApprovedRestart) -> Result<f64, TestbedError> {
        self.inner.restart(approved)
    }

    fn leave(&mut self, approved: &Approved) -> Result<(), TestbedError> {
        self.last = self.inner.noise_free_iteration_us(approved)? / self.default_us;
        Ok(())
    }

    fn oracle_iteration_us(&self, choices: &[(TaskKey, Choice)]) -> Result<f64, TestbedError> {
        self.inner.oracle_iteration_us(choices)
    }
}
