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
mod tests {
    use ccl_core::knobs::CheckContext;
    use ccl_core::{
        Algorithm, Collective, CommShape, Configuration, NcclVersion, Policy, Protocol,
    };

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
}
