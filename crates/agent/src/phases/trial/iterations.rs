//! Trials beside computation, iteration beside iteration: a faster call can make a slower job there.
//!
//! The candidate's share of the calls grows from a few to all, each step no larger than what the smaller
//! ones showed to be safe; only pairs of iterations on all calls are compared for the verdict. Until the
//! iterations say otherwise a call is taken to cost as much as if nothing ran beside it.

use ccl_core::{Candidate, Choice, Outcome, TaskKey, TraceEvent};
use ccl_search::{Decision, median, relative_noise};

use super::leases::upper_call_ratio;
use super::shares::Shares;
use super::{Contender, PAIRS_TO_SEE_VALUE};
use crate::guard::{Approved, Lease};
use crate::testbed::IterationSample;
use crate::tuner::{RunError, Tuner};

/// Most pairs of iterations on all calls one trial may take.
const MOST_ITERATION_PAIRS: u32 = 12;
/// Most steps of one trial before all calls run it.
const MOST_STEPS: u32 = 16;
/// Steps without growth after which a candidate cannot be shown to be safe.
const MOST_IDLE_STEPS: u32 = 3;
/// Share of the calls from which on the iteration shows something.
const SHARE_TO_SEE: f64 = 0.04;
/// Relative noise of an iteration below which nobody should believe it: a few samples are often alike.
const LEAST_NOISE: f64 = 0.003;
/// Incumbent iterations that the present pace is taken from.
const PACE: usize = 5;
/// An iteration this many times as long as the baseline is out of all bounds.
const OUT_OF_BOUNDS: f64 = 2.0;

/// What one trial saw.
struct Seen {
    shares: Shares,
    /// The incumbent's last iterations, microseconds.
    pace_us: Vec<f64>,
    /// Ratios of call times, candidate / incumbent.
    calls: Vec<f64>,
    /// Iterations beyond the service level.
    breaks: u32,
}

impl Tuner<'_> {
    /// Tries each contender alone.
    pub(super) fn compare_iterations(
        &mut self,
        round: u32,
        contenders: &mut [Contender],
    ) -> Result<(), RunError> {
        for contender in contenders {
            self.refuse_suspects(std::slice::from_mut(contender));
            if contender.is_open() {
                self.compare_one(round, contender)?;
            }
        }
        Ok(())
    }

    fn compare_one(&mut self, round: u32, contender: &mut Contender) -> Result<(), RunError> {
        let Candidate {
            id, key, choice, ..
        } = contender.candidate;
        let calls = self.guard.calls(key);
        let noise = relative_noise(&self.baseline_us).unwrap_or(0.0);
        let mut seen = Seen {
            shares: Shares::new(noise.max(LEAST_NOISE)),
            pace_us: Vec::new(),
            calls: Vec::new(),
            breaks: 0,
        };
        self.emit(TraceEvent::Applied {
            round,
            candidates: vec![id],
            how: format!(
                "{} of {calls} leased calls first, then more as long as they do no harm, then all, \
                 iteration by iteration",
                self.guard.next_calls(key, &choice).min(calls)
            ),
        })?;
        let (mut idle, mut ran_calls) = (0, 0);
        for step in 0..MOST_STEPS + MOST_ITERATION_PAIRS {
            let earned = self.guard.next_calls(key, &choice);
            let is_all = earned >= calls;
            let next = match is_all {
                true => calls,
                false => earned.min(self.guard.most_leased(key)),
            };
            idle = if next > ran_calls || is_all {
                0
            } else {
                idle + 1
            };
            if next == 0 || idle > MOST_IDLE_STEPS || (step >= MOST_STEPS && !is_all) {
                contender.end_as_too_risky(ran_calls > 0);
                break;
            }
            ran_calls = ran_calls.max(next);
            let with = self.approve_step(key, choice, next, is_all)?;
            self.take_step(contender, &mut seen, &with, step % 2 == 1, is_all)?;
            self.learn_from(contender, &seen);
            self.judge_step(contender, &seen, is_all)?;
            let is_stopped = self
                .must_stop()
                .is_some_and(|(why, _)| why != ccl_core::StoppedBecause::Budget);
            if contender.ended.is_some() || is_stopped {
                break;
            }
            let hopeless = contender.comparison.pairs() >= PAIRS_TO_SEE_VALUE
                && contender.median().is_some_and(|ratio| ratio > 1.0);
            if hopeless
                || contender.comparison.pairs() >= MOST_ITERATION_PAIRS
                || contender.comparison.decision() != Decision::Continue
            {
                break;
            }
        }
        Ok(())
    }

    fn approve_step(
        &self,
        key: TaskKey,
        choice: Choice,
        calls: u64,
        is_all: bool,
    ) -> Result<Approved, RunError> {
        Ok(match is_all {
            true => self
                .guard
                .approve_on_all_calls(&self.incumbent, &[(key, choice)])?,
            false => {
                let lease = Lease { key, choice, calls };
                self.guard.approve_with_leases(&self.incumbent, &[lease])?
            }
        })
    }

    /// One step: the candidate's iteration, and the incumbent's beside it where the share is large enough
    /// to be seen.
    fn take_step(
        &mut self,
        contender: &mut Contender,
        seen: &mut Seen,
        with: &Approved,
        candidate_first: bool,
        is_all: bool,
    ) -> Result<(), RunError> {
        let (key, choice) = (contender.candidate.key, contender.candidate.choice);
        #[allow(clippy::cast_precision_loss)] // counts of calls
        let share = match is_all {
            true => 1.0,
            false => with.leased_calls(key) as f64 / self.guard.calls(key).max(1) as f64,
        };
        let without = self.approved_incumbent()?;
        let is_pair = is_all || share >= SHARE_TO_SEE;
        // Which goes first changes from pair to pair, so that drift favours neither.
        let mut incumbent_us = None;
        if is_pair && !candidate_first {
            incumbent_us = Some(self.spend_without(contender, &without)?);
        }
        if contender.ended.is_some() {
            return Ok(());
        }
        let sample = match self.spend(with)? {
            Ok(sample) => sample,
            Err(error) => {
                contender.ended = Some((Outcome::RolledBackFailed, error.to_string()));
                return Ok(());
            }
        };
        seen.calls.extend(call_ratios(&sample, key, choice));
        if is_pair && candidate_first {
            incumbent_us = Some(self.spend_without(contender, &without)?);
        }
        let leases: Vec<Lease> = with
            .on_trial()
            .map(|(key, choice)| Lease {
                key,
                choice,
                calls: self.guard.calls(key),
            })
            .collect();
        self.look_at_iteration(
            sample.iteration_us,
            &leases,
            std::slice::from_mut(contender),
        )?;
        if let (Some(old_us), None) = (incumbent_us, &contender.ended) {
            seen.pace_us.push(old_us);
            let recent = seen.pace_us.len().saturating_sub(PACE);
            let pace_us = median(seen.pace_us.get(recent..).unwrap_or_default());
            let pace_us = pace_us.map_or(old_us, |pace_us| pace_us.min(old_us));
            seen.shares.push(share, pace_us, sample.iteration_us);
            if is_all {
                contender.comparison.push(old_us, sample.iteration_us);
            }
            let worst = self.guard.bounds().worst_iteration_ratio;
            seen.breaks += u32::from(sample.iteration_us > old_us * worst);
        }
        Ok(())
    }

    /// An iteration of the incumbent, microseconds; where it fails there is nothing to compare with.
    fn spend_without(
        &mut self,
        contender: &mut Contender,
        without: &Approved,
    ) -> Result<f64, RunError> {
        match self.spend(without)? {
            Ok(sample) => Ok(sample.iteration_us),
            Err(error) => {
                contender.ended = Some((
                    Outcome::RolledBackNoDifference,
                    format!("nothing to compare with: {error}, without the candidate"),
                ));
                Ok(f64::NAN)
            }
        }
    }

    /// What the step showed becomes what the guard knows.
    fn learn_from(&mut self, contender: &Contender, seen: &Seen) {
        let (key, choice) = (contender.candidate.key, contender.candidate.choice);
        let pairs = u32::try_from(seen.calls.len()).unwrap_or(u32::MAX);
        let of_calls = median(&seen.calls).map(|ratio| {
            let upper = upper_call_ratio(ratio, pairs);
            self.guard.harm_of_calls(key, &choice, upper)
        });
        let known = [of_calls, seen.shares.upper()];
        let harm = known.into_iter().flatten().reduce(f64::min);
        if let Some(harm) = harm {
            self.guard.learn_harm(key, &choice, harm);
        }
    }

    /// Whether the step showed enough to give the candidate up.
    fn judge_step(
        &mut self,
        contender: &mut Contender,
        seen: &Seen,
        is_all: bool,
    ) -> Result<(), RunError> {
        if contender.ended.is_some() {
            return Ok(());
        }
        if let Some(ratio) = median(&seen.calls).filter(|_| !is_all) {
            self.look_at_canary(contender, ratio)?;
        }
        if contender.ended.is_none() && seen.breaks >= 2 {
            contender.ended = Some((
                Outcome::RolledBackIteration,
                format!(
                    "{} iterations took more than {:.2} times as long",
                    seen.breaks,
                    self.guard.bounds().worst_iteration_ratio
                ),
            ));
        } else if contender.ended.is_none() && seen.shares.is_slower() {
            contender.ended = Some((
                Outcome::RolledBackSlower,
                "the iterations it ran in were slower, one after the other".to_owned(),
            ));
        }
        Ok(())
    }

    /// Whether an iteration is so long that noise is no explanation.
    pub(super) fn is_out_of_bounds(&self, iteration_us: f64) -> bool {
        let baseline_us = median(&self.baseline_us);
        baseline_us.is_some_and(|baseline| iteration_us > OUT_OF_BOUNDS * baseline)
    }
}

/// Candidate / incumbent of each block of one lease in one iteration.
fn call_ratios(sample: &IterationSample, key: TaskKey, choice: Choice) -> Vec<f64> {
    let Some(of_key) = sample.keys.iter().find(|k| k.key == key) else {
        return Vec::new();
    };
    let lease = of_key.leases.iter().find(|l| l.choice == choice);
    let leased = lease.map_or(&[][..], |l| &l.calls_us);
    let pairs = of_key.calls_us.iter().zip(leased);
    pairs.map(|(old, new)| new / old).collect()
}
