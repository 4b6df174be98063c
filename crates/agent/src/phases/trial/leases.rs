//! Trials on a few calls: all contenders in the same iterations, each block of leased calls paired
//! with the incumbent's block beside it.

use ccl_core::{Outcome, TraceEvent};

use super::Contender;
use crate::guard::Lease;
use crate::testbed::{IterationSample, TestbedError};
use crate::tuner::{RunError, Tuner};

/// Most iterations one trial of leases may take; a key with a single call needs two for a pair.
const MOST_LEASE_ITERATIONS: u32 = 24;

impl Tuner<'_> {
    /// Leases all contenders in the same iterations until each is decided.
    pub(super) fn compare_leases(
        &mut self,
        round: u32,
        contenders: &mut [Contender],
    ) -> Result<(), RunError> {
        for iteration in 0..MOST_LEASE_ITERATIONS {
            let leases: Vec<Lease> = contenders
                .iter()
                .filter(|c| c.is_open() && c.unpaired_us.is_none())
                .map(|c| Lease {
                    key: c.candidate.key,
                    choice: c.candidate.choice,
                    calls: if iteration == 0 {
                        self.guard.calls_of_a_canary(c.candidate.key)
                    } else {
                        self.guard.calls_of_one_lease(c.candidate.key)
                    },
                })
                .collect();
            if !contenders.iter().any(Contender::is_open) {
                break;
            }
            let approved = self.guard.approve_with_leases(&self.incumbent, &leases)?;
            if iteration == 0 {
                let ids = contenders
                    .iter()
                    .map(|c| c.candidate.id)
                    .collect::<Vec<_>>();
                let first: u64 = leases.iter().map(|l| l.calls).sum();
                let then: u64 = leases
                    .iter()
                    .map(|l| self.guard.calls_of_one_lease(l.key))
                    .sum();
                self.emit(TraceEvent::Applied {
                    round,
                    candidates: ids,
                    how: format!(
                        "{first} leased calls in the first iteration, then {then}, the incumbent \
                         beside them"
                    ),
                })?;
            }
            match self.spend(&approved)? {
                Ok(sample) => self.take_pairs(&sample, contenders, iteration == 0),
                Err(error) => {
                    fail_all(contenders, &error);
                    break;
                }
            }
            if self
                .must_stop()
                .is_some_and(|(why, _)| why != ccl_core::StoppedBecause::Budget)
            {
                break;
            }
        }
        Ok(())
    }

    fn take_pairs(&self, sample: &IterationSample, contenders: &mut [Contender], canary: bool) {
        for contender in contenders.iter_mut().filter(|c| c.ended.is_none()) {
            let Some(key) = sample
                .keys
                .iter()
                .find(|k| k.key == contender.candidate.key)
            else {
                continue;
            };
            if let Some(candidate_us) = contender.unpaired_us.take() {
                if let Some(&incumbent_us) = key.calls_us.first() {
                    contender.comparison.push(incumbent_us, candidate_us);
                }
                continue;
            }
            let leased = key
                .leases
                .iter()
                .find(|l| l.choice == contender.candidate.choice);
            let Some(leased) = leased else { continue };
            if key.calls_us.is_empty() {
                contender.unpaired_us = leased.calls_us.first().copied();
                continue;
            }
            for (&incumbent_us, &candidate_us) in key.calls_us.iter().zip(&leased.calls_us) {
                contender.comparison.push(incumbent_us, candidate_us);
            }
            let ratio = contender.median().unwrap_or(1.0);
            if canary && self.guard.canary_failed(ratio) {
                contender.ended = Some((
                    Outcome::RolledBackCanary,
                    format!("the first calls took {ratio:.2} times as long; no more were spent"),
                ));
            }
        }
    }
}

fn fail_all(contenders: &mut [Contender], error: &TestbedError) {
    for contender in contenders.iter_mut().filter(|c| c.ended.is_none()) {
        contender.ended = Some((Outcome::RolledBackFailed, error.to_string()));
    }
}
