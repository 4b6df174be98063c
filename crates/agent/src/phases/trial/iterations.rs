//! Trials beside computation, iteration beside iteration: a faster call can make a slower job there.
//!
//! The candidates' share of the calls grows from a few to all, each step no larger than what the smaller
//! ones showed to be safe; only iterations on all calls, each beside one of the incumbent's, are compared for
//! the verdict. Candidates of several keys run together first, because what holds for one of them is mostly
//! true of its neighbours; alone only where together they did not do. Until the iterations say otherwise a
//! call is taken to cost as much as if nothing ran beside it.

use ccl_core::{Choice, Outcome, TaskKey, TraceEvent};
use ccl_search::{Decision, median, relative_noise};

use super::Contender;
use super::leases::upper_call_ratio;
use super::shares::Shares;
use crate::guard::{Approved, Lease};
use crate::testbed::IterationSample;
use crate::tuner::{RunError, Tuner};

/// Most pairs of iterations on all calls one trial may take.
const MOST_ITERATION_PAIRS: u32 = 12;
/// Pairs after which a candidate that seems slower, or not worth its iterations, is given up.
const PAIRS_TO_SEE_VALUE: u32 = 4;
/// Most steps of one trial before all calls run it.
const MOST_STEPS: u32 = 16;
/// Steps without growth after which a candidate cannot be shown to be safe.
const MOST_IDLE_STEPS: u32 = 3;
/// Share of the calls from which on the iteration shows something.
const SHARE_TO_SEE: f64 = 0.04;
/// Relative noise of an iteration below which nobody should believe it: a few samples are often alike.
const LEAST_NOISE: f64 = 0.003;
/// The same where too few were taken to know.
const USUAL_NOISE: f64 = 0.015;
/// Iterations whose noise can be told.
const FEW: usize = 4;
/// Incumbent iterations that the present pace is taken from.
const PACE: usize = 5;
/// How far an incumbent's iteration may be from its pace before another one is asked for, as a share.
const OFF_PACE: f64 = 0.03;
/// An iteration this many times as long as the baseline is looked into: a short baseline may be a spike
/// itself.
const STRANGE: f64 = 1.6;

/// Harm that is foreseen of any candidate where harm is shared out, a share of the iteration.
const LEAST_HARM: f64 = 0.01;

/// What one trial saw.
struct Seen {
    shares: Shares,
    /// The incumbent's last iteration, microseconds, while only one candidate's iteration was held
    /// against it.
    beside_us: Option<f64>,
    /// Ratios of call times, candidate / incumbent, of each contender.
    calls: Vec<Vec<f64>>,
    /// Iterations beyond the service level.
    breaks: u32,
}

impl Tuner<'_> {
    /// Tries the contenders together where they are of several keys, and those that are not decided by
    /// that alone.
    pub(super) fn compare_iterations(
        &mut self,
        round: u32,
        contenders: &mut [Contender],
    ) -> Result<(), RunError> {
        self.refuse_suspects(contenders);
        let is_group = contenders.len() > 1 && contenders.iter().all(Contender::is_open);
        if is_group {
            self.compare_together(round, contenders)?;
            let is_faster =
                |c: &Contender| c.ended.is_none() && c.comparison.decision() == Decision::Faster;
            if contenders.iter().all(is_faster) {
                let parts = self.parts_of(contenders);
                for (contender, part) in contenders.iter_mut().zip(parts) {
                    contender.part = part;
                }
                return Ok(());
            }
            let noise = self.pair_noise_of_iterations();
            for contender in contenders.iter_mut().filter(|c| !c.has_failed()) {
                contender.ended = None;
                contender.comparison = self.comparison(noise);
            }
        }
        for contender in contenders {
            self.refuse_suspects(std::slice::from_mut(contender));
            let is_stopped = self.may_not_go_on();
            if contender.is_open() && !is_stopped {
                self.compare_together(round, std::slice::from_mut(contender))?;
            }
        }
        Ok(())
    }

    /// What each contender of a group is given of what they did together, by what was believed of it.
    fn parts_of(&self, contenders: &[Contender]) -> Vec<f64> {
        let believed: Vec<f64> = contenders
            .iter()
            .map(|c| {
                let model = self.models.get(&c.candidate.key);
                let belief = model.and_then(|m| m.own_belief(&c.candidate.choice));
                belief.map_or(1e-3, |b| (-b.mean).max(1e-3))
            })
            .collect();
        let all: f64 = believed.iter().sum();
        believed.iter().map(|b| b / all).collect()
    }

    /// Runs contenders of different keys in the same iterations.
    fn compare_together(
        &mut self,
        round: u32,
        contenders: &mut [Contender],
    ) -> Result<(), RunError> {
        let candidates: Vec<(TaskKey, Choice)> = contenders
            .iter()
            .map(|c| (c.candidate.key, c.candidate.choice))
            .collect();
        let of = |times: &[f64]| relative_noise(times).filter(|_| times.len() >= FEW);
        let known = of(&self.baseline_us).or_else(|| of(&self.pace_us));
        let noise = known.unwrap_or(USUAL_NOISE).max(LEAST_NOISE);
        let mut seen = Seen {
            shares: Shares::new(noise),
            beside_us: None,
            calls: vec![Vec::new(); contenders.len()],
            breaks: 0,
        };
        self.emit(TraceEvent::Applied {
            round,
            candidates: contenders.iter().map(|c| c.candidate.id).collect(),
            how: "a few leased calls first, then more as long as they do no harm, then all, iteration by \
                  iteration"
                .to_owned(),
        })?;
        let (mut idle, mut ran_share) = (0, 0.0);
        for step in 0..MOST_STEPS + MOST_ITERATION_PAIRS {
            let on_all_calls = self
                .guard
                .approve_on_all_calls(&self.incumbent, &candidates);
            let is_all = on_all_calls.is_ok();
            let with = if let Ok(with) = on_all_calls {
                with
            } else {
                let leases = self.leases_of(&candidates);
                let share = self.share_of(&leases);
                idle = if share > ran_share { 0 } else { idle + 1 };
                if leases.is_empty() || idle > MOST_IDLE_STEPS || step >= MOST_STEPS {
                    for contender in contenders.iter_mut() {
                        contender.end_as_too_risky(ran_share > 0.0);
                    }
                    break;
                }
                ran_share = share.max(ran_share);
                self.guard.approve_with_leases(&self.incumbent, &leases)?
            };
            self.take_step(contenders, &mut seen, &with, is_all)?;
            self.learn_from(contenders, &seen);
            self.judge_step(contenders, &seen, is_all)?;
            if let [alone] = contenders {
                self.look_at_belief(alone);
            }
            let is_stopped = self.may_not_go_on();
            let Some(first) = contenders.first() else {
                break;
            };
            let hopeless = first.comparison.pairs() >= PAIRS_TO_SEE_VALUE
                && first.median().is_some_and(|ratio| ratio > 1.0);
            if contenders.iter().any(|c| c.ended.is_some())
                || is_stopped
                || hopeless
                || first.comparison.pairs() >= MOST_ITERATION_PAIRS
                || first.comparison.decision() != Decision::Continue
            {
                break;
            }
        }
        Ok(())
    }

    /// What each candidate has earned, as far as all of them together stay harmless.
    fn leases_of(&self, candidates: &[(TaskKey, Choice)]) -> Vec<Lease> {
        let mut harm_left = self.guard.harm_allowed();
        let mut leases = Vec::new();
        for &(key, choice) in candidates {
            let calls = self
                .guard
                .next_calls(key, &choice)
                .min(self.guard.most_leased(key));
            let lease = Lease { key, choice, calls };
            let harm = self.guard.harm_of(&lease);
            if calls > 0 && harm <= harm_left {
                harm_left -= harm;
                leases.push(lease);
            }
        }
        leases
    }

    /// The smallest share of its key's calls that one of the leases has.
    #[allow(clippy::cast_precision_loss)] // counts of calls
    fn share_of(&self, leases: &[Lease]) -> f64 {
        leases
            .iter()
            .map(|l| l.calls as f64 / self.guard.calls(l.key).max(1) as f64)
            .fold(1.0, f64::min)
    }

    /// One step: the candidates' iteration, held against the incumbent's: its pace where only some calls
    /// are leased, an iteration beside it where all are.
    fn take_step(
        &mut self,
        contenders: &mut [Contender],
        seen: &mut Seen,
        with: &Approved,
        is_all: bool,
    ) -> Result<(), RunError> {
        let share = if is_all {
            1.0
        } else {
            self.share_of(with.leases())
        };
        let sample = match self.spend(with)? {
            Ok(sample) => sample,
            Err(error) => {
                for contender in contenders.iter_mut() {
                    contender.ended = Some((Outcome::RolledBackFailed, error.to_string()));
                }
                return Ok(());
            }
        };
        for (contender, calls) in contenders.iter().zip(&mut seen.calls) {
            let candidate = &contender.candidate;
            calls.extend(call_ratios(&sample, candidate.key, candidate.choice));
        }
        let on_trial: Vec<Lease> = with
            .on_trial()
            .map(|(key, choice)| Lease {
                key,
                choice,
                calls: self.guard.calls(key),
            })
            .collect();
        self.look_at_iteration(sample.iteration_us, &on_trial, contenders)?;
        if contenders.iter().any(|c| c.ended.is_some()) || share < SHARE_TO_SEE {
            return Ok(());
        }
        let beside_us = match (is_all, seen.beside_us.take()) {
            (true, Some(us)) => us,
            (true, None) => {
                let Some(us) = self.incumbent_beside(contenders)? else {
                    return Ok(());
                };
                seen.beside_us = Some(us);
                us
            }
            (false, _) => match median(&self.pace_us) {
                Some(us) => us,
                None => match self.incumbent_beside(contenders)? {
                    Some(us) => us,
                    None => return Ok(()),
                },
            },
        };
        seen.shares.push(share, beside_us, sample.iteration_us);
        if is_all {
            for contender in contenders.iter_mut() {
                contender.comparison.push(beside_us, sample.iteration_us);
            }
        }
        let worst = self.guard.bounds().worst_iteration_ratio;
        seen.breaks += u32::from(sample.iteration_us > beside_us * worst);
        Ok(())
    }

    /// An iteration of the incumbent, microseconds, and another one where it is off its pace: the two
    /// agree when the machine changed, else the shorter one counts. Nothing where it fails: there is
    /// nothing to compare with.
    fn incumbent_beside(&mut self, contenders: &mut [Contender]) -> Result<Option<f64>, RunError> {
        let without = self.approved_incumbent()?;
        let pace_us = median(&self.pace_us);
        let mut us = match self.spend(&without)? {
            Ok(sample) => sample.iteration_us,
            Err(error) => return Ok(nothing_beside(contenders, &error.to_string())),
        };
        if pace_us.is_some_and(|pace| (us / pace - 1.0).abs() > OFF_PACE) {
            let again_us = match self.spend(&without)? {
                Ok(sample) => sample.iteration_us,
                Err(error) => return Ok(nothing_beside(contenders, &error.to_string())),
            };
            if (again_us / us - 1.0).abs() <= OFF_PACE {
                self.pace_us.clear();
                us = again_us;
            } else {
                us = us.min(again_us);
            }
        }
        self.pace_us.push(us);
        let old = self.pace_us.len().saturating_sub(PACE);
        self.pace_us.drain(..old);
        Ok(Some(us))
    }

    /// A contender alone in its iterations is kept as soon as they and what else is known make it surely
    /// better.
    fn look_at_belief(&mut self, alone: &mut Contender) {
        let pairs = alone.comparison.pairs();
        let Some(estimate) = alone
            .estimate()
            .filter(|_| pairs > 0 && alone.is_undecided())
        else {
            return;
        };
        let candidate = &alone.candidate;
        self.tell_model(candidate.key, candidate.choice, estimate, pairs);
        if let Some(because) = self.why_kept(alone).filter(|_| !self.guard.is_over()) {
            alone.ended = Some((Outcome::Kept, because));
        } else if pairs >= PAIRS_TO_SEE_VALUE {
            alone.ended = self.why_not_worth(alone);
        }
    }

    /// What the step showed becomes what the guard knows.
    fn learn_from(&mut self, contenders: &[Contender], seen: &Seen) {
        let parts = self.parts_of_harm(contenders);
        for ((contender, calls), part) in contenders.iter().zip(&seen.calls).zip(parts) {
            let (key, choice) = (contender.candidate.key, contender.candidate.choice);
            let pairs = u32::try_from(calls.len()).unwrap_or(u32::MAX);
            let of_calls = median(calls).map(|ratio| {
                let upper = upper_call_ratio(ratio, pairs);
                self.guard.learn_calls(key, &choice, upper);
                self.guard.harm_of_calls(key, &choice, upper)
            });
            let of_iteration = seen.shares.upper().map(|upper| upper * part);
            let known = [of_calls, of_iteration];
            if let Some(harm) = known.into_iter().flatten().reduce(f64::min) {
                self.guard.learn_harm(key, &choice, harm);
            }
        }
    }

    /// What each contender of a group may have of the harm that they do together: the iteration does not say whose it
    /// is, so it is shared by what was foreseen of each.
    fn parts_of_harm(&self, contenders: &[Contender]) -> Vec<f64> {
        let foreseen = contenders.iter().map(|c| {
            let risk = self.guard.risk(c.candidate.key, &c.candidate.choice);
            risk.map_or(0.0, |risk| risk.harm).max(LEAST_HARM)
        });
        let foreseen: Vec<f64> = foreseen.collect();
        let all: f64 = foreseen.iter().sum();
        foreseen.iter().map(|harm| harm / all).collect()
    }

    /// Whether the step showed enough to give the candidates up.
    fn judge_step(
        &mut self,
        contenders: &mut [Contender],
        seen: &Seen,
        is_all: bool,
    ) -> Result<(), RunError> {
        for (contender, calls) in contenders.iter_mut().zip(&seen.calls) {
            if contender.ended.is_some() {
                continue;
            }
            if let Some(ratio) = median(calls).filter(|_| !is_all) {
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
        }
        Ok(())
    }

    /// Whether an iteration is so long that noise is hardly an explanation.
    pub(super) fn is_strange(&self, iteration_us: f64) -> bool {
        // A short baseline may be a spike itself; the cold iteration before it is an upper bound as well.
        let baseline_us = median(&self.baseline_us);
        let known = [baseline_us, self.cold_us].into_iter().flatten();
        let usual = known.reduce(f64::min);
        usual.is_some_and(|usual| iteration_us > STRANGE * usual)
    }
}

/// There is nothing to hold the candidates against.
fn nothing_beside(contenders: &mut [Contender], error: &str) -> Option<f64> {
    for contender in contenders.iter_mut() {
        contender.ended = Some((
            Outcome::RolledBackNoDifference,
            format!("nothing to compare with: {error}, without the candidate"),
        ));
    }
    None
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
