//! Starting the job again: the one place where a restart is spent, and the way back when it did harm.
//!
//! A restart takes the job minutes, and the first iteration after it is cold: both are booked as its price.
//! A failure in an environment leads back to the job as it came; it makes the environment's settings
//! suspects, and where it was kept, the policy that ran in it as well.

use ccl_core::{Configuration, Environment, RolledBackTo, TraceEvent};

use crate::guard::Approved;
use crate::testbed::TestbedError;
use crate::tuner::{RunError, Tuner};

/// What became of a restart.
pub(super) enum Start {
    /// The job runs with this, and is warm.
    Runs(Approved),
    /// It did not come to it, and why: the job runs in the environment it ran in, or in the one it came
    /// with.
    Refused(String),
    /// The job failed over it, and why; it was brought back as it came.
    Failed(String),
}

impl Tuner<'_> {
    /// Starts the job with a configuration's environment, unless it runs there, and spends the iteration it
    /// takes to get warm. With `stay` no restart is kept for the way back.
    ///
    /// # Errors
    /// A job that is no more, or that stays in an environment it should leave.
    pub(super) fn restart_with(
        &mut self,
        configuration: &Configuration,
        stay: bool,
        because: &str,
    ) -> Result<Start, RunError> {
        let environment = &configuration.environment;
        if environment == self.guard.environment() {
            return Ok(Start::Runs(self.guard.approve(configuration)?));
        }
        let Some(terms) = self.testbed.restart_terms() else {
            return Ok(Start::Refused(
                "this testbed cannot start the job again".to_owned(),
            ));
        };
        let approved = match self.guard.approve_restart(environment, &terms, stay) {
            Ok(approved) => approved,
            Err(refusal) => return Ok(Start::Refused(refusal.to_string())),
        };
        let lost_us = match self.testbed.restart(&approved) {
            Ok(lost_us) => lost_us,
            Err(error) if error.is_harm() => {
                let error = self.roll_back_environment(environment, error)?;
                return Ok(Start::Failed(error.to_string()));
            }
            Err(error) if environment.variables.is_empty() => return Err(error.into()),
            Err(error) => return Ok(Start::Refused(error.to_string())),
        };
        self.runs_in(environment);
        self.guard.book_restart(lost_us);
        self.emit(TraceEvent::Restarted {
            environment: environment.clone(),
            lost_us,
            because: because.to_owned(),
        })?;
        match self.guard.approve(configuration) {
            Ok(approved) => self.warm_up(approved),
            Err(refusal) => {
                self.go_back("what the job runs is not possible there")?;
                Ok(Start::Refused(refusal.to_string()))
            }
        }
    }

    /// Starts the job again as it came, with the policy it keeps.
    pub(super) fn go_back(&mut self, because: &str) -> Result<Start, RunError> {
        let home = Configuration {
            environment: Environment::default(),
            policy: self.incumbent.policy.clone(),
        };
        self.restart_with(&home, false, because)
    }

    /// The first iteration after a restart: connections, caches. Nobody compares it with anything.
    fn warm_up(&mut self, approved: Approved) -> Result<Start, RunError> {
        match self.testbed.run_iteration(&approved) {
            Ok(sample) => self.guard.book_warm_up(sample.iteration_us),
            Err(error) if error.is_harm() => {
                let error = self.roll_back(&approved, error)?;
                return Ok(Start::Failed(error.to_string()));
            }
            // It ran, and its time is of no interest.
            Err(_) => {}
        }
        Ok(Start::Runs(approved))
    }

    /// Iteration times of one configuration in a row, microseconds; fewer where somebody interrupts, and
    /// `None` where one of them failed.
    pub(super) fn block(
        &mut self,
        approved: &Approved,
        iterations: usize,
    ) -> Result<Option<Vec<f64>>, RunError> {
        let mut times_us = Vec::new();
        while times_us.len() < iterations && !self.is_interrupted() {
            let Ok(sample) = self.spend(approved)? else {
                return Ok(None);
            };
            times_us.push(sample.iteration_us);
        }
        Ok(Some(times_us))
    }

    /// The job failed where an environment was on trial, kept, or about to be left: brings it back as it came,
    /// and gives the error as the trial's answer. An `environment` without variables is the job's own.
    ///
    /// # Errors
    /// A job that is no more, or that fails again and again as it came.
    pub(super) fn roll_back_environment(
        &mut self,
        environment: &Environment,
        error: TestbedError,
    ) -> Result<TestbedError, RunError> {
        let count = self.guard.fail_environment(environment, &error.to_string());
        let is_own = environment.variables.is_empty();
        let is_kept = !is_own && *environment == self.incumbent.environment;
        let to = match error {
            TestbedError::Gone { .. } => RolledBackTo::Nothing,
            _ if is_kept || self.guard.is_over() => RolledBackTo::Defaults,
            _ => RolledBackTo::Kept,
        };
        if to == RolledBackTo::Defaults {
            self.give_back_to_nccl();
        }
        self.incumbent.environment = Environment::default();
        self.guard.runs_at_home();
        let mut lost_us = match error {
            TestbedError::Hung { waited_s } => 1e6 * waited_s,
            _ => 0.0,
        };
        if to != RolledBackTo::Nothing {
            let target = self.approved_incumbent()?;
            lost_us += self.testbed.recover(&target)?;
        }
        let lost_iterations = self.guard.book_lost(lost_us);
        let who = match is_own {
            true => "the job ran in the environment it came with: it is the machine".to_owned(),
            false => format!(
                "{} was set{}; failure {count} of this run",
                in_words(environment),
                if is_kept { ", and had been kept" } else { "" }
            ),
        };
        self.emit(TraceEvent::RolledBack {
            to,
            configuration: self.incumbent.clone(),
            suspects: Vec::new(),
            reason: format!("{error}; {who}"),
            lost_iterations,
        })?;
        if to == RolledBackTo::Nothing {
            // Nobody will distil anything any more.
            self.learnt = self.failed.clone();
            return Err(error.into());
        }
        if self.guard.is_job_lost() {
            return Err(error.into());
        }
        Ok(error)
    }

    /// Tells the guard where the job runs, and what is possible there.
    fn runs_in(&mut self, environment: &Environment) {
        if environment.variables.is_empty() {
            return self.guard.runs_at_home();
        }
        let keys = self.testbed.keys().to_vec();
        let untuned = keys
            .iter()
            .filter_map(|k| Some((k.key, self.testbed.untuned_choice(k.key)?)));
        let untuned: Vec<_> = untuned.collect();
        self.guard.runs_in(environment, &keys, untuned);
    }
}

/// An environment as somebody would type it.
pub(super) fn in_words(environment: &Environment) -> String {
    let settings = environment.variables.iter();
    let settings: Vec<_> = settings.map(|(n, v)| format!("{n}={v}")).collect();
    settings.join(" ")
}
