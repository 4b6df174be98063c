//! The guard: no configuration reaches a testbed except through here.
//!
//! Compile, validate, bound. The types make it so: [`Approved`] and [`ApprovedProbe`] have no
//! public constructor, and a testbed accepts nothing else. The guard knows nothing about speed;
//! it knows what is impossible, what is dangerous ([`Risk`]), what failed ([`Failure`]), and how much harm
//! a trial and a run may do.

mod account;
mod approval;
mod approved;
mod books;
mod bounds;
mod candidates;
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
use ccl_core::{Choice, ContextSignature, TaskKey};
use ccl_memory::RuleRecord;

use self::books::Books;
use self::exposure::Exposures;
use self::failures::Failures;
use self::restarts::Restarts;
use crate::testbed::KeyFacts;
pub use approved::{Approved, ApprovedProbe, ApprovedRestart, Lease};
pub use bounds::Bounds;
pub use failures::{Blame, Failure, Suspect};
pub use refusal::Refusal;
pub use risk::{Foreseen, Risk, RiskClass};

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
}
