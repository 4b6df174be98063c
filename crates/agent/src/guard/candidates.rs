//! What is known of the candidates on trial, and how many calls that earns them.
//!
//! A candidate is rated once, before anything is spent on it; what its trial shows takes the place of what
//! was foreseen.

use ccl_core::{Candidate, Choice, TaskKey};

use super::exposure::Exposure;
use super::{Foreseen, Guard, Lease, Refusal, Risk, risk};

/// Choices that never ran before and may run together in one iteration: a failure makes suspects of all
/// of them, and there are enough others.
const MOST_NEW: usize = 32;
/// The same after the first failure: the next one must have a clear culprit.
const MOST_NEW_AFTER_FAILURE: usize = 1;
/// Calls whose mean is a figure worth having.
const CALLS_OF_A_FIGURE: u64 = 8;
/// Choices of a key that should find room beside each other.
const MOST_LEASES: u64 = 16;

impl Guard {
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
        let risk = self.rate(candidate, foreseen)?;
        let exposure = Exposure::new(risk.clone(), foreseen.share);
        self.exposures
            .insert((candidate.key, candidate.choice), exposure);
        Ok(risk)
    }

    /// The same without letting anything be leased: what the guard would say.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn rate(&self, candidate: &Candidate, foreseen: &Foreseen) -> Result<Risk, Refusal> {
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
        let first = Exposure::new(risk.clone(), foreseen.share);
        let predicted = 1.0 + first.harm_of(1, self.calls(key));
        let allowed = self.bounds.trial_iteration_ratio;
        if predicted > allowed {
            return Err(Refusal::TooRisky { predicted, allowed });
        }
        Ok(risk)
    }

    /// How risky a candidate that was checked is.
    pub fn risk(&self, key: TaskKey, choice: &Choice) -> Option<&Risk> {
        self.exposures.get(&(key, *choice)).map(|e| &e.risk)
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

    /// The time of its calls beside computation is known: upper bound of candidate / incumbent.
    pub fn learn_calls(&mut self, key: TaskKey, choice: &Choice, call_ratio: f64) {
        if let Some(exposure) = self.exposures.get_mut(&(key, *choice)) {
            exposure.unhidden = exposure.share * (call_ratio - 1.0).max(0.0);
        }
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

    /// Whether the first leased calls are so slow that no more may be spent.
    pub fn canary_failed(&self, call_ratio: f64) -> bool {
        call_ratio > self.bounds.canary_ratio
    }

    /// Choices that never ran before and may run together.
    pub fn most_new(&self) -> usize {
        match self.failures.count {
            0 => MOST_NEW,
            _ => MOST_NEW_AFTER_FAILURE,
        }
    }

    /// Calls of a key in an iteration.
    pub fn calls(&self, key: TaskKey) -> u64 {
        self.keys.get(&key).map_or(0, |k| k.calls)
    }

    pub(super) fn is_overlapped(&self, key: TaskKey) -> bool {
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
