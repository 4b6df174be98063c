//! Restarts: which environment the job runs in, how often it may be started again, and with what.
//!
//! A job is started again only with what the catalogue finds no error in, what no failure speaks against, and
//! what the budget has room for; the way back to the job as it came is always open, and no restart is
//! approved that would leave none for it. Failures are not counted here: a job that failed has to be
//! brought back whatever was allowed.

use std::collections::BTreeMap;

use ccl_core::{Choice, Environment, TaskKey};

use super::{ApprovedRestart, Guard, Refusal, catalogue};
use crate::testbed::{KeyFacts, RestartTerms};

/// What is known of the job's starts.
#[derive(Clone, Debug, Default)]
pub(super) struct Restarts {
    allowed: u32,
    made: u32,
    /// What the job runs with beside its own variables.
    pub(super) running: Environment,
    /// What is possible in the job as it came, and what NCCL runs there by itself, while it runs otherwise.
    home: Option<(BTreeMap<TaskKey, KeyFacts>, BTreeMap<TaskKey, Choice>)>,
    /// Settings that the job failed with, and why.
    suspects: Vec<((String, String), String)>,
}

impl Restarts {
    fn left(&self) -> u32 {
        self.allowed.saturating_sub(self.made)
    }

    /// The first variable in which an environment differs from what the job runs with.
    pub(super) fn differs(&self, from: &Environment) -> Option<String> {
        let all = from.variables.keys().chain(self.running.variables.keys());
        let differs = |name: &&String| from.get(name) != self.running.get(name);
        all.filter(differs).min().cloned()
    }
}

impl Guard {
    /// The same, allowing for so many restarts.
    #[must_use]
    pub fn with_restarts(mut self, allowed: u32) -> Self {
        self.restarts.allowed = allowed;
        self
    }

    /// Restarts that may still be made where each takes so long, microseconds: by their number, and by the
    /// regret budget where the job's length is known.
    pub fn restarts_left(&self, price_us: f64) -> u32 {
        let affordable = self.books.affordable(&self.bounds, price_us);
        self.restarts.left().min(affordable)
    }

    /// Restarts made.
    pub fn restarts_made(&self) -> u32 {
        self.restarts.made
    }

    /// What they took, iterations; it is a part of the regret.
    pub fn restart_iterations(&self) -> f64 {
        self.books.restart_iterations
    }

    /// What the job runs with beside its own variables.
    pub fn environment(&self) -> &Environment {
        &self.restarts.running
    }

    /// Lets the job be started again, and counts it. The job as it came needs one restart and no leave;
    /// anything else must be free of errors and suspicion, and affordable with the way back, unless it
    /// is to `stay`.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn approve_restart(
        &mut self,
        environment: &Environment,
        terms: &RestartTerms,
        stay: bool,
    ) -> Result<ApprovedRestart, Refusal> {
        let is_back = environment.variables.is_empty();
        let needed = if is_back || stay { 1 } else { 2 };
        if !is_back {
            self.check_environment(environment, terms)?;
        }
        if needed > 1 {
            self.exhausted().map_or(Ok(()), Err)?;
        }
        let left = match is_back {
            true => self.restarts.left(),
            false => self.restarts_left(terms.price_us),
        };
        if left < needed {
            return Err(Refusal::NoRestartLeft {
                made: self.restarts.made,
                allowed: self.restarts.made + left,
                needed,
            });
        }
        self.restarts.made += 1;
        Ok(ApprovedRestart::new(environment.clone()))
    }

    /// Whether the job may be started with this at all.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn check_environment(
        &self,
        environment: &Environment,
        terms: &RestartTerms,
    ) -> Result<(), Refusal> {
        if let Some(context) = &self.catalogue {
            catalogue::check_beside(&terms.own, environment, context)?;
        }
        let is_set = |(name, value): &(String, String)| environment.get(name) == Some(value);
        let suspect = self.restarts.suspects.iter().find(|(s, _)| is_set(s));
        if let Some(((name, value), why)) = suspect {
            return Err(Refusal::SuspectSetting {
                setting: format!("{name}={value}"),
                why: why.clone(),
            });
        }
        Ok(())
    }

    /// The job runs in this environment now, where other choices may be possible.
    pub fn runs_in(
        &mut self,
        environment: &Environment,
        keys: &[KeyFacts],
        untuned: impl IntoIterator<Item = (TaskKey, Choice)>,
    ) {
        if self.restarts.home.is_none() {
            self.restarts.home = Some((self.keys.clone(), self.untuned.clone()));
        }
        self.restarts.running = environment.clone();
        self.keys = keys.iter().map(|k| (k.key, k.clone())).collect();
        self.untuned = untuned.into_iter().collect();
    }

    /// The job runs as it came again.
    pub fn runs_at_home(&mut self) {
        self.restarts.running = Environment::default();
        if let Some((keys, untuned)) = self.restarts.home.take() {
            (self.keys, self.untuned) = (keys, untuned);
        }
    }

    /// Books how long a restart took, microseconds; gives it in iterations.
    pub fn book_restart(&mut self, lost_us: f64) -> f64 {
        self.books.book_restart(lost_us)
    }

    /// Books the first iteration after a restart: what it takes longer than the baseline is a part of the
    /// restart's price and not a slow iteration.
    pub fn book_warm_up(&mut self, iteration_us: f64) {
        self.books.iterations += 1;
        let longer_us = self.books.baseline_us.map_or(0.0, |us| iteration_us - us);
        self.books.book_restart(longer_us.max(0.0));
    }

    /// Files a failure of the job in an environment that is not its own, and gives how many of this run a
    /// candidate may have caused: none of its settings is tried again.
    pub fn fail_environment(&mut self, environment: &Environment, symptom: &str) -> u32 {
        if environment.variables.is_empty() {
            self.failures.environment_in_a_row += 1;
            return self.failures.count;
        }
        self.failures.count += 1;
        let settings = environment.variables.iter();
        self.restarts.suspects.extend(
            settings.map(|(name, value)| ((name.clone(), value.clone()), symptom.to_owned())),
        );
        self.failures.count
    }
}

#[cfg(test)]
mod tests;
