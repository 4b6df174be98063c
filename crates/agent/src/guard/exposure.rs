//! How much of the job a choice may have: canary leases that grow.
//!
//! A choice starts with the few calls its risk allows, and gets a multiple of what it ran on without harm,
//! never so much that the iteration could become longer than a trial may make it, by the upper bound of
//! what is known of it so far.

use std::collections::BTreeMap;

use ccl_core::{Choice, TaskKey};

use super::Risk;

/// One choice on trial.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Exposure {
    pub(super) risk: Risk,
    /// Most calls it ran on in one iteration, without failing.
    pub(super) ran_calls: u64,
    /// Upper bound of (iteration / incumbent's iteration - 1) if all calls of its key ran it.
    pub(super) harm: f64,
    /// Share of the iteration that the calls of its key take, 0..=1.
    pub(super) share: f64,
    /// The same bound as `harm` by the time of its calls alone, as if computation hid nothing of what they take
    /// longer: what calls beyond those that ran may do once nothing is left to hide behind.
    pub(super) unhidden: f64,
}

impl Exposure {
    /// A choice that has not run yet, on a key that takes this share of the iteration.
    pub(super) fn new(risk: Risk, share: f64) -> Self {
        Self {
            harm: risk.harm,
            risk,
            ran_calls: 0,
            share,
            unhidden: 0.0,
        }
    }

    /// Calls it may get in the next iteration, of `calls` in all, so that harm stays within `allowed`;
    /// 0 where one call is too many.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation
    )] // counts of calls, below 2^53
    pub(super) fn next_calls(&self, calls: u64, allowed: f64) -> u64 {
        let grown = match self.ran_calls {
            0 => self.risk.first_calls,
            ran => (ran as f64 * self.risk.growth) as u64,
        };
        let safe = match self.harm > 0.0 {
            true => (allowed.max(0.0) / self.harm * calls as f64) as u64,
            false => calls,
        };
        // What few calls did says nothing of many where computation hid them.
        let beyond = match self.unhidden > 0.0 {
            true => self.ran_calls + (allowed.max(0.0) / self.unhidden * calls as f64) as u64,
            false => calls,
        };
        grown.min(safe).min(beyond).min(calls)
    }

    /// Upper bound of (iteration / incumbent's - 1) if all calls ran it, by the time of those that did:
    /// what was foreseen, and beside it whatever the calls take longer than was foreseen; at most as if
    /// nothing ran beside them.
    pub(super) fn harm_beside_computation(&self, call_ratio: f64) -> f64 {
        let longer = (call_ratio - self.risk.call_ratio).max(0.0);
        (self.risk.harm + self.share * longer).min(self.share * call_ratio)
    }

    /// What so many of `calls` calls may do to the iteration: a share.
    #[allow(clippy::cast_precision_loss)] // counts of calls, below 2^53
    pub(super) fn harm_of(&self, leased: u64, calls: u64) -> f64 {
        self.harm.max(0.0) * leased as f64 / calls.max(1) as f64
    }
}

/// All choices on trial.
pub(super) type Exposures = BTreeMap<(TaskKey, Choice), Exposure>;
