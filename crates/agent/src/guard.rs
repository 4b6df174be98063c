//! The guard: no configuration reaches a testbed except through here.
//!
//! Compile, validate, bound. The types make it so: [`Approved`] and [`ApprovedProbe`] have no
//! public constructor, and a testbed accepts nothing else. The guard knows nothing about speed;
//! it knows what is impossible, what is dangerous, and how much harm a trial may do.

mod refusal;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use ccl_core::{Candidate, Choice, Configuration, Protocol, TaskKey};

use crate::testbed::KeyFacts;
pub use refusal::Refusal;

/// How much harm the run may do to the job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Largest share of one key's calls in an iteration that one untried choice may get, 0..=1.
    pub lease_share: f64,
    /// Largest share of one key's calls in an iteration that all untried choices together may
    /// get, 0..=1.
    pub leased_share: f64,
    /// Largest share of one key's calls that the very first trial of a choice may get, 0..=1; one
    /// call at least.
    pub canary_share: f64,
    /// Call-time ratio of those first calls at which no more are spent.
    pub canary_ratio: f64,
    /// Largest iteration time, as a ratio to the baseline, that a trial may be predicted to cause
    /// or may cause before it is stopped (the job's service level).
    pub worst_iteration_ratio: f64,
    /// Sum over the tuning iterations of (time / baseline - 1), where positive, that the run may
    /// spend.
    pub regret_budget_iterations: f64,
}

impl Default for Bounds {
    /// 0.05 % of a key's calls at first, then 2 % for one untried choice and 16 % for all of them
    /// together; out when the first calls take 1.5 times as long, so that a full house of leases
    /// costs at most 8 % of the key's time; no iteration more than 10 % slower; five iterations'
    /// worth of regret over the whole run.
    fn default() -> Self {
        Self {
            lease_share: 0.02,
            leased_share: 0.16,
            canary_share: 0.0005,
            canary_ratio: 1.5,
            worst_iteration_ratio: 1.10,
            regret_budget_iterations: 5.0,
        }
    }
}

/// Some calls of one key run another choice within an iteration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lease {
    /// The key.
    pub key: TaskKey,
    /// What the leased calls run.
    pub choice: Choice,
    /// Leased calls per iteration.
    pub calls: u64,
}

/// A configuration, with its leases, that passed the guard.
#[derive(Clone, Debug, PartialEq)]
pub struct Approved {
    configuration: Configuration,
    leases: Vec<Lease>,
}

impl Approved {
    /// The configuration all other calls run.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The leases, at most one per key.
    pub fn leases(&self) -> &[Lease] {
        &self.leases
    }
}

/// One key and choice that may be timed outside the job; `None` is NCCL's own choice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ApprovedProbe {
    key: TaskKey,
    choice: Option<Choice>,
}

impl ApprovedProbe {
    /// The key.
    pub fn key(&self) -> TaskKey {
        self.key
    }

    /// The choice; `None` is NCCL's own.
    pub fn choice(&self) -> Option<Choice> {
        self.choice
    }
}

/// Watches over one run.
#[derive(Clone, Debug)]
pub struct Guard {
    bounds: Bounds,
    keys: BTreeMap<TaskKey, KeyFacts>,
    iterations: u64,
    regret_iterations: f64,
    worst_ratio: f64,
    baseline_us: Option<f64>,
}

impl Guard {
    /// A guard for a job with these keys.
    pub fn new(bounds: Bounds, keys: &[KeyFacts]) -> Self {
        Self {
            bounds,
            keys: keys.iter().map(|k| (k.key, k.clone())).collect(),
            iterations: 0,
            regret_iterations: 0.0,
            worst_ratio: 1.0,
            baseline_us: None,
        }
    }

    /// The bounds in force.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// From now on iterations are compared with this baseline, microseconds.
    pub fn set_baseline_us(&mut self, baseline_us: f64) {
        self.baseline_us = Some(baseline_us);
    }

    /// Untuned NCCL: always allowed.
    pub fn approve_untuned(&self) -> Approved {
        Approved {
            configuration: Configuration::default(),
            leases: Vec::new(),
        }
    }

    /// Lets a configuration run on all calls.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn approve(&self, configuration: &Configuration) -> Result<Approved, Refusal> {
        self.approve_with_leases(configuration, &[])
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
        if let Some(name) = configuration.environment.variables.keys().next() {
            return Err(Refusal::NeedsRestart { name: name.clone() });
        }
        configuration.policy.compile()?;
        for facts in self.keys.values() {
            if let Some(choice) = configuration.policy.choice_for(facts.key) {
                self.check_choice(facts.key, &choice)?;
            }
        }
        for lease in leases {
            self.check_choice(lease.key, &lease.choice)?;
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
        Ok(Approved {
            configuration: configuration.clone(),
            leases: leases.to_vec(),
        })
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
        Ok(ApprovedProbe { key, choice })
    }

    /// Validates a candidate before anything is spent on it, with the harm it could do if
    /// `predicted_call_ratio` (candidate / incumbent) came true on a key with this share of the
    /// iteration.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn check_candidate(
        &self,
        candidate: &Candidate,
        share: f64,
        predicted_call_ratio: f64,
    ) -> Result<(), Refusal> {
        self.check_choice(candidate.key, &candidate.choice)?;
        let exposed = self.share_of_one_lease(candidate.key);
        let predicted = 1.0 + share * (predicted_call_ratio - 1.0) * exposed;
        let allowed = self.bounds.worst_iteration_ratio;
        if predicted > allowed {
            return Err(Refusal::TooRisky { predicted, allowed });
        }
        let (spent, budget) = (self.regret_iterations, self.bounds.regret_budget_iterations);
        if spent >= budget {
            return Err(Refusal::RegretSpent { spent, budget });
        }
        Ok(())
    }

    fn check_choice(&self, key: TaskKey, choice: &Choice) -> Result<(), Refusal> {
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
        Ok(())
    }

    /// Books an iteration. Untuned iterations cost no regret, whatever the noise made of them.
    pub fn book(&mut self, approved: &Approved, iteration_us: f64) {
        self.iterations += 1;
        let untuned = approved.configuration.is_untuned() && approved.leases.is_empty();
        if let Some(baseline_us) = self.baseline_us.filter(|_| !untuned) {
            let ratio = iteration_us / baseline_us;
            self.regret_iterations += (ratio - 1.0).max(0.0);
            self.worst_ratio = self.worst_ratio.max(ratio);
        }
    }

    /// Whether the first leased calls are so slow that no more may be spent.
    pub fn canary_failed(&self, call_ratio: f64) -> bool {
        call_ratio > self.bounds.canary_ratio
    }

    fn calls(&self, key: TaskKey) -> u64 {
        self.keys.get(&key).map_or(0, |k| k.calls)
    }

    /// Calls one untried choice may get in one iteration: at least one, since less is nothing.
    pub fn calls_of_one_lease(&self, key: TaskKey) -> u64 {
        share_of(self.calls(key), self.bounds.lease_share).max(1)
    }

    /// Calls the first trial of a choice may get: at least one.
    pub fn calls_of_a_canary(&self, key: TaskKey) -> u64 {
        share_of(self.calls(key), self.bounds.canary_share).max(1)
    }

    /// Calls all untried choices of a key may get in one iteration: at least one.
    pub fn most_leased(&self, key: TaskKey) -> u64 {
        share_of(self.calls(key), self.bounds.leased_share).max(1)
    }

    #[allow(clippy::cast_precision_loss)] // counts of calls, below 2^53
    fn share_of_one_lease(&self, key: TaskKey) -> f64 {
        self.calls_of_one_lease(key) as f64 / self.calls(key).max(1) as f64
    }

    /// Iterations booked.
    pub fn iterations(&self) -> u64 {
        self.iterations
    }

    /// Regret booked, iterations.
    pub fn regret_iterations(&self) -> f64 {
        self.regret_iterations
    }

    /// The slowest iteration booked, as a ratio to the baseline; at least 1.
    pub fn worst_iteration_ratio(&self) -> f64 {
        self.worst_ratio
    }

    /// Whether the job's service level or the regret budget is broken.
    pub fn exhausted(&self) -> Option<Refusal> {
        let (spent, budget) = (self.regret_iterations, self.bounds.regret_budget_iterations);
        (spent >= budget).then_some(Refusal::RegretSpent { spent, budget })
    }
}

/// A share of a count, rounded down.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation
)]
fn share_of(count: u64, share: f64) -> u64 {
    (count as f64 * share) as u64
}
