//! Trials on all calls of a key, iteration beside iteration: for calls that hide behind computation,
//! where a faster call can make a slower job.

use ccl_core::{Candidate, Choice, Outcome, TraceEvent};
use ccl_search::Decision;

use super::{Contender, PAIRS_TO_SEE_VALUE};
use crate::guard::Lease;
use crate::testbed::IterationSample;
use crate::tuner::{RunError, Tuner};

/// Most pairs of iterations one trial of an overlapped key may take.
const MOST_ITERATION_PAIRS: u32 = 12;

impl Tuner<'_> {
    /// Runs each contender on all calls, iteration beside iteration with the incumbent.
    pub(super) fn compare_iterations(
        &mut self,
        round: u32,
        contenders: &mut [Contender],
    ) -> Result<(), RunError> {
        for contender in contenders.iter_mut() {
            let Candidate {
                id, key, choice, ..
            } = contender.candidate;
            // A few calls first: a choice that is hopeless as a call is not worth an iteration.
            let calls = self.guard.calls_of_a_canary(key);
            let canary = self
                .guard
                .approve_with_leases(&self.incumbent, &[Lease { key, choice, calls }])?;
            self.emit(TraceEvent::Applied {
                round,
                candidates: vec![id],
                how: format!(
                    "{calls} leased calls first, then all calls of the key, iteration by iteration"
                ),
            })?;
            match self.spend(&canary)? {
                Ok(sample) => {
                    let ratio = call_ratio(&sample, key, choice);
                    if ratio.is_some_and(|r| self.guard.canary_failed(r)) {
                        let ratio = ratio.unwrap_or(f64::INFINITY);
                        contender.ended = Some((
                            Outcome::RolledBackCanary,
                            format!("the first calls took {ratio:.2} times as long"),
                        ));
                        continue;
                    }
                }
                Err(error) => {
                    contender.ended = Some((Outcome::RolledBackFailed, error.to_string()));
                    continue;
                }
            }
            let candidate = ccl_core::Configuration {
                policy: self.incumbent.policy.with_choice(key, Some(choice)),
                ..self.incumbent.clone()
            };
            let with = self.guard.approve(&candidate)?;
            let without = self.approved_incumbent()?;
            for pair in 0..MOST_ITERATION_PAIRS {
                // Which goes first changes from pair to pair, so that drift favours neither.
                let order = if pair % 2 == 0 {
                    [&without, &with]
                } else {
                    [&with, &without]
                };
                let [first, second] = order;
                let first = self.spend(first)?.map(|s| s.iteration_us);
                let second = self.spend(second)?.map(|s| s.iteration_us);
                match (first, second) {
                    (Ok(first), Ok(second)) => {
                        let (old, new) = if pair % 2 == 0 {
                            (first, second)
                        } else {
                            (second, first)
                        };
                        contender.comparison.push(old, new);
                        if self.breaks_service_level(old, new) {
                            contender.ended = Some((
                                Outcome::RolledBackIteration,
                                format!("an iteration took {:.2} times as long", new / old),
                            ));
                            break;
                        }
                    }
                    (Err(error), _) | (_, Err(error)) => {
                        contender.ended = Some((Outcome::RolledBackFailed, error.to_string()));
                        break;
                    }
                }
                let hopeless = contender.comparison.pairs() >= PAIRS_TO_SEE_VALUE
                    && contender.median().is_some_and(|ratio| ratio > 1.0);
                if hopeless || contender.comparison.decision() != Decision::Continue {
                    break;
                }
            }
        }
        Ok(())
    }

    fn breaks_service_level(&self, incumbent_us: f64, candidate_us: f64) -> bool {
        candidate_us > incumbent_us * self.guard.bounds().worst_iteration_ratio
    }
}

/// Median candidate / incumbent of one lease in one iteration.
fn call_ratio(sample: &IterationSample, key: ccl_core::TaskKey, choice: Choice) -> Option<f64> {
    let key = sample.keys.iter().find(|k| k.key == key)?;
    let lease = key.leases.iter().find(|l| l.choice == choice)?;
    let mut ratios: Vec<f64> = key
        .calls_us
        .iter()
        .zip(&lease.calls_us)
        .map(|(a, b)| b / a)
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied()
}
