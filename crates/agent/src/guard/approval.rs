//! What is let through: configurations, leases, candidates on all calls of their keys, and probes.
//!
//! Each is checked against what can be, what failed, and what an iteration may be predicted to suffer.
//! Nothing is booked here.

use ccl_core::{Choice, Configuration, Environment, Protocol, TaskKey};

use super::{Approved, ApprovedProbe, Guard, Lease, Refusal, catalogue};

impl Guard {
    /// NCCL's own choices in the environment the job runs in: always allowed. It is untuned NCCL unless the
    /// job was started again with something else.
    pub fn approve_untuned(&self) -> Approved {
        let configuration = Configuration {
            environment: self.restarts.running.clone(),
            ..Configuration::default()
        };
        self.approved(&configuration, &[], &[])
    }

    /// Lets a configuration run on all calls.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn approve(&self, configuration: &Configuration) -> Result<Approved, Refusal> {
        self.check_configuration(configuration)?;
        Ok(self.approved(configuration, &[], &[]))
    }

    /// Lets a configuration run, and beside it each candidate on as many calls as the lease says.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn approve_with_leases(
        &self,
        configuration: &Configuration,
        leases: &[Lease],
    ) -> Result<Approved, Refusal> {
        self.check_configuration(configuration)?;
        for lease in leases {
            self.check_choice(lease.key, &lease.choice)?;
            self.check_lease(lease)?;
            let of_key = leases.iter().filter(|other| other.key == lease.key);
            let leased = of_key.map(|other| other.calls).sum();
            let (calls, allowed) = (self.calls(lease.key), self.most_leased(lease.key));
            if leased > allowed {
                return Err(Refusal::TooManyLeased {
                    key: lease.key,
                    leased,
                    calls,
                    allowed,
                });
            }
        }
        let mut new: Vec<(TaskKey, Choice)> = leases.iter().map(|l| (l.key, l.choice)).collect();
        new.sort_unstable();
        new.dedup();
        new.retain(|(key, choice)| !self.failures.has_run(*key, choice));
        if new.len() > self.most_new() {
            return Err(Refusal::TooManyNew {
                new: new.len(),
                allowed: self.most_new(),
            });
        }
        let predicted = 1.0 + leases.iter().map(|l| self.harm_of(l)).sum::<f64>();
        let allowed = self.bounds.trial_iteration_ratio;
        if predicted > allowed + f64::EPSILON {
            return Err(Refusal::TooRisky { predicted, allowed });
        }
        Ok(self.approved(configuration, leases, &[]))
    }

    /// Lets candidates, at most one of each key, run on all calls of their keys, together. Each must
    /// have earned it on fewer calls, and all of them together must stay within what a trial may do.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn approve_on_all_calls(
        &self,
        configuration: &Configuration,
        candidates: &[(TaskKey, Choice)],
    ) -> Result<Approved, Refusal> {
        let mut with = configuration.clone();
        let mut predicted = 1.0;
        for (index, &(key, choice)) in candidates.iter().enumerate() {
            if candidates[..index].iter().any(|(other, _)| *other == key) {
                return Err(Refusal::TwoOfOneKey { key });
            }
            with.policy = with.policy.with_choice(key, Some(choice));
            let (calls, allowed) = (self.calls(key), self.next_calls(key, &choice));
            if allowed < calls {
                return Err(Refusal::TooFast {
                    key,
                    choice,
                    calls,
                    allowed,
                });
            }
            predicted += self.harm_of(&Lease { key, choice, calls });
        }
        self.check_configuration(&with)?;
        let allowed = self.bounds.trial_iteration_ratio;
        if predicted > allowed + f64::EPSILON {
            return Err(Refusal::TooRisky { predicted, allowed });
        }
        Ok(self.approved(&with, &[], candidates))
    }

    /// Lets a choice be timed outside the job.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn approve_probe(
        &self,
        key: TaskKey,
        choice: Option<Choice>,
    ) -> Result<ApprovedProbe, Refusal> {
        match choice {
            Some(choice) => self.check_choice(key, &choice)?,
            None if !self.keys.contains_key(&key) => return Err(Refusal::UnknownKey { key }),
            None => {}
        }
        Ok(ApprovedProbe::new(key, choice))
    }

    /// Whether a choice may run on a key at all.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn check_choice(&self, key: TaskKey, choice: &Choice) -> Result<(), Refusal> {
        let facts = self.keys.get(&key).ok_or(Refusal::UnknownKey { key })?;
        let offered = |p: Protocol| facts.legal.pairs.iter().any(|(_, q)| *q == p);
        if choice.protocol == Protocol::Ll128 && !offered(Protocol::Ll128) {
            return Err(Refusal::UnsafeLl128 { key });
        }
        if choice.check(key.collective).is_err() || !facts.legal.allows(choice) {
            return Err(Refusal::NotPossible {
                key,
                choice: *choice,
            });
        }
        if let Some(context) = &self.catalogue {
            catalogue::check_choice(key, choice, context)?;
        }
        if let Some((suspected, why)) = self.failures.forbids(key, choice) {
            return Err(Refusal::Suspect {
                key,
                choice: *choice,
                suspected,
                why: why.to_owned(),
            });
        }
        Ok(())
    }

    /// Whether this NCCL, on this platform, knows a variable and takes the value.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn check_variable(&self, name: &str, value: &str) -> Result<(), Refusal> {
        let environment = Environment {
            variables: [(name.to_owned(), value.to_owned())].into(),
        };
        let context = self.catalogue.as_ref();
        context.map_or(Ok(()), |context| {
            catalogue::check_variables(&environment, context)
        })
    }

    fn check_configuration(&self, configuration: &Configuration) -> Result<(), Refusal> {
        if let Some(context) = &self.catalogue {
            catalogue::check_variables(&configuration.environment, context)?;
        }
        if let Some(name) = self.restarts.differs(&configuration.environment) {
            return Err(Refusal::NeedsRestart { name });
        }
        configuration.policy.compile()?;
        for facts in self.keys.values() {
            if let Some(choice) = configuration.policy.choice_for(facts.key) {
                self.check_choice(facts.key, &choice)?;
            }
        }
        Ok(())
    }

    fn check_lease(&self, lease: &Lease) -> Result<(), Refusal> {
        let Lease { key, choice, calls } = *lease;
        let of_one = match self.is_overlapped(key) || self.has_run(key, &choice) {
            true => self.most_leased(key),
            false => self.calls_of_one_lease(key),
        };
        let allowed = match self.exposures.get(&(key, choice)) {
            Some(_) => self.next_calls(key, &choice).min(of_one),
            None => self.calls_of_one_lease(key),
        };
        if calls == 0 || calls > allowed {
            return Err(Refusal::TooFast {
                key,
                choice,
                calls,
                allowed,
            });
        }
        Ok(())
    }

    fn approved(
        &self,
        configuration: &Configuration,
        leases: &[Lease],
        on_all_calls: &[(TaskKey, Choice)],
    ) -> Approved {
        let choice_of = |key: &TaskKey| Some((*key, configuration.policy.choice_for(*key)?));
        Approved::new(
            configuration.clone(),
            leases.to_vec(),
            on_all_calls.to_vec(),
            self.keys.keys().filter_map(choice_of).collect(),
            self.books.deadline_us(),
        )
    }
}
