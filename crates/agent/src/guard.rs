//! The guard: no configuration reaches a testbed except through here.
//!
//! Compile, validate, bound. The types make it so: [`Approved`] and [`ApprovedProbe`] have no
//! public constructor, and a testbed accepts nothing else. The guard knows nothing about speed;
//! it knows what is impossible, what is dangerous ([`Risk`]), what failed ([`Failure`]), and how much harm
//! a trial and a run may do.

mod approved;
mod books;
mod catalogue;
mod exposure;
mod failures;
mod refusal;
mod restarts;
mod risk;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use ccl_core::knobs::CheckContext;
use ccl_core::{Candidate, Choice, Configuration, ContextSignature, Protocol, TaskKey};
use ccl_memory::RuleRecord;

use self::books::Books;
use self::exposure::{Exposure, Exposures};
use self::failures::Failures;
use self::restarts::Restarts;
use crate::testbed::KeyFacts;
pub use approved::{Approved, ApprovedProbe, ApprovedRestart, Lease};
pub use failures::{Blame, Failure, Suspect};
pub use refusal::Refusal;
pub use risk::{Foreseen, Risk, RiskClass};

/// Iterations of a trial that may be as harmful as a trial may be: what the regret budget must still have
/// before one begins.
const HARMFUL_ITERATIONS: f64 = 12.0;
/// Failures of the environment in a row after which the job is not coming back.
const MOST_ENVIRONMENT_FAILURES: u32 = 3;
/// Choices that never ran before and may run together in one iteration: a failure makes suspects of all
/// of them, and there are enough others.
const MOST_NEW: usize = 32;
/// The same after the first failure: the next one must have a clear culprit.
const MOST_NEW_AFTER_FAILURE: usize = 1;

/// Calls whose mean is a figure worth having.
const CALLS_OF_A_FIGURE: u64 = 8;
/// Choices of a key that should find room beside each other.
const MOST_LEASES: u64 = 16;

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
    /// Largest share of the calls of a key with computation beside it that one choice may get before it
    /// gets all: it takes a share that the iteration shows.
    pub overlapped_share: f64,
    /// Largest iteration time, as a ratio to the incumbent's, that a trial may be predicted to cause, by
    /// the upper bound of what is known.
    pub trial_iteration_ratio: f64,
    /// Largest iteration time, as a ratio to the incumbent's, that a trial may cause before it is stopped
    /// (the job's service level).
    pub worst_iteration_ratio: f64,
    /// Failures of the job, as far as a choice may have caused them, at which the run ends on NCCL's own
    /// choices.
    pub most_failures: u32,
    /// Share of the job's iterations that the run may spend in regret, where their number is known.
    pub regret_share: f64,
    /// Where it is not: sum over the tuning iterations of (time / baseline - 1), where positive, that the
    /// run may spend.
    pub regret_budget_iterations: f64,
}

impl Default for Bounds {
    /// 0.05 % of a key's calls at first where nothing is known, then 2 % for one untried choice and half
    /// for all of them together, as far as what is known of them allows for that; out when the first calls take 1.5 times as long; half of the calls beside computation
    /// before all; no trial predicted to make an iteration more than 5 % slower, none that is seen to make
    /// it 10 % slower; the second failure ends the run; regret of 1 % of the job, or of five iterations.
    fn default() -> Self {
        Self {
            lease_share: 0.02,
            leased_share: 0.5,
            canary_share: 0.0005,
            canary_ratio: 1.5,
            overlapped_share: 0.5,
            trial_iteration_ratio: 1.05,
            worst_iteration_ratio: 1.10,
            most_failures: 2,
            regret_share: 0.01,
            regret_budget_iterations: 5.0,
        }
    }
}

/// Watches over one run.
#[derive(Clone, Debug)]
pub struct Guard {
    bounds: Bounds,
    keys: BTreeMap<TaskKey, KeyFacts>,
    untuned: BTreeMap<TaskKey, Choice>,
    catalogue: Option<CheckContext>,
    books: Books,
    failures: Failures,
    exposures: Exposures,
    restarts: Restarts,
}

impl Guard {
    /// A guard for a job with these keys.
    pub fn new(bounds: Bounds, keys: &[KeyFacts]) -> Self {
        Self {
            bounds,
            keys: keys.iter().map(|k| (k.key, k.clone())).collect(),
            untuned: BTreeMap::new(),
            catalogue: None,
            books: Books::default(),
            failures: Failures::default(),
            exposures: Exposures::new(),
            restarts: Restarts::default(),
        }
    }

    /// The same, checking against the knob catalogue for this NCCL and platform.
    #[must_use]
    pub fn with_catalogue(mut self, context: CheckContext) -> Self {
        self.catalogue = Some(context);
        self
    }

    /// The same, knowing what NCCL runs by itself: that is safe.
    #[must_use]
    pub fn with_untuned(mut self, choices: impl IntoIterator<Item = (TaskKey, Choice)>) -> Self {
        self.untuned = choices.into_iter().collect();
        self
    }

    /// The same for a job of so many iterations, if that is known.
    #[must_use]
    pub fn for_iterations(mut self, iterations: Option<u64>) -> Self {
        self.books.expect_iterations(iterations);
        self
    }

    /// The same, refusing what failed in earlier runs in contexts like this one.
    #[must_use]
    pub fn remembering(mut self, rules: &[RuleRecord], context: &ContextSignature) -> Self {
        self.failures.remember(rules, context);
        self
    }

    /// The bounds in force.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// From now on iterations are compared with this baseline, microseconds.
    pub fn set_baseline_us(&mut self, baseline_us: f64) {
        self.books.baseline_us = Some(baseline_us);
    }

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
        for &(key, choice) in candidates {
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

    /// Validates a candidate before anything is spent on it, and says how risky it is. It may then be
    /// leased, as much at a time as its risk allows.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn check_candidate(
        &mut self,
        candidate: &Candidate,
        foreseen: &Foreseen,
    ) -> Result<Risk, Refusal> {
        let (key, choice) = (candidate.key, candidate.choice);
        self.check_choice(key, &choice)?;
        self.exhausted().map_or(Ok(()), Err)?;
        let of = risk::Of {
            key,
            calls: self.calls(key),
            overlapped: self.is_overlapped(key),
            canary_calls: self.calls_of_a_canary(key),
            lease_calls: self.calls_of_one_lease(key),
            untuned: self.untuned.get(&key).copied(),
            ran: &self.failures,
        };
        let risk = risk::assess(&of, &choice, foreseen);
        let exposure = Exposure {
            harm: risk.harm,
            share: foreseen.share,
            risk: risk.clone(),
            ran_calls: 0,
        };
        let predicted = 1.0 + exposure.harm_of(1, self.calls(key));
        let allowed = self.bounds.trial_iteration_ratio;
        if predicted > allowed {
            return Err(Refusal::TooRisky { predicted, allowed });
        }
        self.exposures.insert((key, choice), exposure);
        Ok(risk)
    }

    /// How risky a candidate that was checked is.
    pub fn risk(&self, key: TaskKey, choice: &Choice) -> Option<&Risk> {
        self.exposures.get(&(key, *choice)).map(|e| &e.risk)
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

    /// Books an iteration that ran.
    pub fn book(&mut self, approved: &Approved, iteration_us: f64) {
        self.books.book(iteration_us, approved.is_untuned());
        for (key, choice) in approved.on_trial() {
            let calls = match approved.leased_calls_of(key, &choice) {
                0 => self.calls(key),
                leased => leased,
            };
            if let Some(exposure) = self.exposures.get_mut(&(key, choice)) {
                exposure.ran_calls = exposure.ran_calls.max(calls);
            }
        }
        let untuned = self.untuned.iter().map(|(key, choice)| (*key, *choice));
        let all = approved.on_trial().chain(approved.kept()).chain(untuned);
        self.failures.ran_well(all);
    }

    /// Files an iteration that failed, and gives whom that makes suspect.
    pub fn fail(&mut self, approved: &Approved, symptom: &str) -> Failure {
        self.failures.file(approved, symptom)
    }

    /// Nothing like this is tried again, though the job did not fail.
    pub fn suspect(&mut self, blamed: &[(TaskKey, Choice)], symptom: &str) -> Vec<Suspect> {
        self.failures.suspect(blamed, symptom)
    }

    /// Books time in which the job did nothing, microseconds; gives it in iterations.
    pub fn book_lost(&mut self, lost_us: f64) -> f64 {
        self.books.book_lost(lost_us)
    }

    /// What is known of a candidate now: upper bound of (iteration / incumbent's - 1) if all calls ran it.
    pub fn learn_harm(&mut self, key: TaskKey, choice: &Choice, harm: f64) {
        if let Some(exposure) = self.exposures.get_mut(&(key, *choice)) {
            exposure.harm = harm;
        }
    }

    /// The same, from the time of its calls: upper bound of candidate / incumbent.
    pub fn harm_of_calls(&self, key: TaskKey, choice: &Choice, call_ratio: f64) -> f64 {
        let exposure = self.exposures.get(&(key, *choice));
        exposure.map_or(0.0, |e| match self.is_overlapped(key) {
            true => e.harm_beside_computation(call_ratio),
            false => e.share * (call_ratio - 1.0),
        })
    }

    /// What a lease may do to an iteration, as a share of it, by what is known now.
    pub fn harm_of(&self, lease: &Lease) -> f64 {
        let exposure = self.exposures.get(&(lease.key, lease.choice));
        exposure.map_or(0.0, |e| e.harm_of(lease.calls, self.calls(lease.key)))
    }

    /// What trials may do to one iteration, as a share of it.
    pub fn harm_allowed(&self) -> f64 {
        self.bounds.trial_iteration_ratio - 1.0
    }

    /// Calls a candidate has earned for the next iteration if it is alone in it; 0 where one is too many.
    pub fn next_calls(&self, key: TaskKey, choice: &Choice) -> u64 {
        let exposure = self.exposures.get(&(key, *choice));
        exposure.map_or(0, |e| e.next_calls(self.calls(key), self.harm_allowed()))
    }

    /// Choices that never ran before and may run together.
    pub fn most_new(&self) -> usize {
        match self.failures.count {
            0 => MOST_NEW,
            _ => MOST_NEW_AFTER_FAILURE,
        }
    }

    /// Whether this ran without failing.
    pub fn has_run(&self, key: TaskKey, choice: &Choice) -> bool {
        self.failures.has_run(key, choice)
    }

    /// Whether the job failed so often that nothing but NCCL's own choices may run any more.
    pub fn is_over(&self) -> bool {
        self.failures.count >= self.bounds.most_failures
    }

    /// Whether the environment failed so often that the job is not coming back.
    pub fn is_job_lost(&self) -> bool {
        self.failures.environment_in_a_row >= MOST_ENVIRONMENT_FAILURES
    }

    /// Whether the first leased calls are so slow that no more may be spent.
    pub fn canary_failed(&self, call_ratio: f64) -> bool {
        call_ratio > self.bounds.canary_ratio
    }

    /// Calls of a key in an iteration.
    pub fn calls(&self, key: TaskKey) -> u64 {
        self.keys.get(&key).map_or(0, |k| k.calls)
    }

    fn is_overlapped(&self, key: TaskKey) -> bool {
        self.keys.get(&key).is_some_and(|k| k.overlapped)
    }

    /// Calls one untried choice may get in one iteration: a share of them, or as few as make a figure
    /// where a share would be fewer.
    pub fn calls_of_one_lease(&self, key: TaskKey) -> u64 {
        let few = (self.calls(key) / MOST_LEASES).clamp(1, CALLS_OF_A_FIGURE);
        share_of(self.calls(key), self.bounds.lease_share).max(few)
    }

    /// Calls the first trial of a choice may get: at least one.
    pub fn calls_of_a_canary(&self, key: TaskKey) -> u64 {
        share_of(self.calls(key), self.bounds.canary_share).max(1)
    }

    /// Calls all untried choices of a key may get in one iteration: at least one.
    pub fn most_leased(&self, key: TaskKey) -> u64 {
        let share = match self.is_overlapped(key) {
            true => self.bounds.overlapped_share,
            false => self.bounds.leased_share,
        };
        share_of(self.calls(key), share).max(1)
    }

    /// Iterations booked.
    pub fn iterations(&self) -> u64 {
        self.books.iterations
    }

    /// Regret booked, iterations: slow ones and what failures took.
    pub fn regret_iterations(&self) -> f64 {
        self.books.regret_iterations()
    }

    /// What is left of the regret budget, iterations; below zero where it was overdrawn.
    pub fn regret_left_iterations(&self) -> f64 {
        self.books.left(&self.bounds)
    }

    /// What is spent of the regret budget, in words.
    pub fn budget_in_words(&self) -> String {
        self.books.budget_in_words(&self.bounds)
    }

    /// The slowest iteration booked, as a ratio to the baseline; at least 1.
    pub fn worst_iteration_ratio(&self) -> f64 {
        self.books.worst_ratio.max(1.0)
    }

    /// Whether the job's service level is broken, or the regret budget would be by one more trial.
    pub fn exhausted(&self) -> Option<Refusal> {
        let (count, allowed) = (self.failures.count, self.bounds.most_failures);
        if self.is_over() {
            return Some(Refusal::TooManyFailures { count, allowed });
        }
        let more = HARMFUL_ITERATIONS * self.harm_allowed();
        self.books.afford(&self.bounds, more).err()
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
