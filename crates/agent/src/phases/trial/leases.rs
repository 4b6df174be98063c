//! One iteration with leases: each block of leased calls is paired with the incumbent's block beside it.
//!
//! Few contenders begin in one iteration, so that a failure has few suspects; each gets more calls from one
//! iteration to the next as long as what is known of it allows for that.

use ccl_core::{Outcome, TraceEvent};

use super::Contender;
use crate::guard::Lease;
use crate::testbed::{IterationSample, TestbedError};
use crate::tuner::{RunError, Tuner};

/// Calls of one lease beyond which there is little to learn in one iteration.
const MOST_CALLS: u64 = 16;
/// How far the median of a single pair of calls may be off, as a share; of n pairs, the root of n less.
const CALL_PAIR_SPREAD: f64 = 0.3;
/// Iterations without anything on trial that tell a slow machine from a slow choice: one of them may have a
/// spike.
const MOST_LOOKS: u32 = 3;
/// An iteration this many times as long as the next one without anything on trial is out of all bounds.
const OUT_OF_BOUNDS: f64 = 2.0;
/// A call that takes this many times as long as was feared before is more than slow.
const ANOMALY: f64 = 2.0;

impl Tuner<'_> {
    /// Leases the contenders in one iteration, those in front first.
    pub(super) fn run_leases(
        &mut self,
        round: u32,
        contenders: &mut [Contender],
    ) -> Result<(), RunError> {
        let leases = self.next_leases(contenders);
        let waiting = contenders.iter().any(|c| c.unpaired_us.is_some());
        if leases.is_empty() && !waiting {
            for contender in contenders.iter_mut().filter(|c| c.is_open()) {
                contender.end_as_too_risky(contender.comparison.pairs() > 0);
            }
            return Ok(());
        }
        let approved = self.guard.approve_with_leases(&self.incumbent, &leases)?;
        self.announce(round, &leases, contenders)?;
        let was_new: Vec<Lease> = leases
            .iter()
            .copied()
            .filter(|l| !self.guard.has_run(l.key, &l.choice))
            .collect();
        match self.spend(&approved)? {
            Ok(sample) => {
                self.take_pairs(&sample, &leases, contenders);
                self.look_at_calls(contenders, &was_new)?;
                self.look_at_iteration(sample.iteration_us, &leases, contenders)?;
            }
            Err(error) => fail_leased(&leases, contenders, &error),
        }
        Ok(())
    }

    /// Contenders that share what may have made the job fail are not tried.
    pub(super) fn refuse_suspects(&self, contenders: &mut [Contender]) {
        for contender in contenders.iter_mut().filter(|c| c.is_open()) {
            let (key, choice) = (contender.candidate.key, contender.candidate.choice);
            if let Err(refusal) = self.guard.check_choice(key, &choice) {
                match contender.comparison.pairs() {
                    0 => contender.refused = Some(refusal.to_string()),
                    _ => {
                        contender.ended = Some((Outcome::RolledBackFailed, refusal.to_string()));
                    }
                }
            }
        }
    }

    /// The next iteration's leases: as many calls as each has earned, as long as all of them together
    /// stay within what trials may do to an iteration.
    fn next_leases(&self, contenders: &[Contender]) -> Vec<Lease> {
        let mut leases: Vec<Lease> = Vec::new();
        let mut harm_left = self.guard.harm_allowed();
        let mut new_left = self.guard.most_new();
        for contender in contenders.iter().filter(|c| c.is_open()) {
            if contender.unpaired_us.is_some() {
                continue;
            }
            let (key, choice) = (contender.candidate.key, contender.candidate.choice);
            let is_new = !self.guard.has_run(key, &choice);
            if is_new && new_left == 0 {
                continue;
            }
            let leased: u64 = leases
                .iter()
                .filter(|l| l.key == key)
                .map(|l| l.calls)
                .sum();
            let room = self.guard.most_leased(key).saturating_sub(leased);
            // What ran without harm shares the room with the others of its key.
            let others = contenders
                .iter()
                .filter(|c| c.is_open() && c.candidate.key == key)
                .count();
            let part = self.guard.most_leased(key) / (others as u64).max(1);
            let most = match is_new {
                true => self.guard.calls_of_one_lease(key),
                false => self.guard.calls_of_one_lease(key).max(part.min(MOST_CALLS)),
            };
            let calls = self.guard.next_calls(key, &choice).min(most).min(room);
            let lease = Lease { key, choice, calls };
            let harm = self.guard.harm_of(&lease);
            if calls == 0 || harm > harm_left {
                continue;
            }
            harm_left -= harm;
            new_left -= usize::from(is_new);
            leases.push(lease);
        }
        leases
    }

    /// Says which contenders run for the first time, and on how much.
    fn announce(
        &mut self,
        round: u32,
        leases: &[Lease],
        contenders: &[Contender],
    ) -> Result<(), RunError> {
        let begins = |c: &&Contender| {
            c.comparison.pairs() == 0
                && c.unpaired_us.is_none()
                && leases
                    .iter()
                    .any(|l| l.key == c.candidate.key && l.choice == c.candidate.choice)
        };
        let beginning: Vec<u32> = contenders
            .iter()
            .filter(begins)
            .map(|c| c.candidate.id)
            .collect();
        if beginning.is_empty() {
            return Ok(());
        }
        let all: u64 = leases.iter().map(|l| l.calls).sum();
        self.emit(TraceEvent::Applied {
            round,
            candidates: beginning,
            how: format!(
                "{all} leased calls, of {} choices, in the next iteration, the incumbent beside them; \
                 then more as long as they do no harm",
                leases.len()
            ),
        })
    }

    #[allow(clippy::cast_precision_loss)] // counts of calls
    fn take_pairs(&self, sample: &IterationSample, leases: &[Lease], contenders: &mut [Contender]) {
        for contender in contenders.iter_mut().filter(|c| c.is_undecided()) {
            let Some(key) = sample
                .keys
                .iter()
                .find(|k| k.key == contender.candidate.key)
            else {
                continue;
            };
            if let Some(candidate_us) = contender.unpaired_us.take() {
                if let Some(&incumbent_us) = key.calls_us.first() {
                    if contender.comparison.pairs() == 0 {
                        contender.comparison = self.comparison(self.pair_noise_of_calls(1.0, 1.0));
                    }
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
            if contender.comparison.pairs() == 0 {
                let calls = leases
                    .iter()
                    .find(|l| l.key == key.key && l.choice == leased.choice)
                    .map_or(1, |l| l.calls);
                let of_key = |l: &&Lease| l.key == key.key;
                let taken: u64 = leases.iter().filter(of_key).map(|l| l.calls).sum();
                let beside = self.guard.calls(key.key).saturating_sub(taken);
                let blocks = |values: &[f64]| values.len().max(1) as f64;
                let noise = self.pair_noise_of_calls(
                    calls as f64 / blocks(&leased.calls_us),
                    beside as f64 / blocks(&key.calls_us),
                );
                contender.comparison = self.comparison(noise);
            }
            for (&incumbent_us, &candidate_us) in key.calls_us.iter().zip(&leased.calls_us) {
                contender.comparison.push(incumbent_us, candidate_us);
            }
        }
    }

    /// What the calls showed becomes what is known of each; one whose first calls are too slow is out.
    fn look_at_calls(
        &mut self,
        contenders: &mut [Contender],
        was_new: &[Lease],
    ) -> Result<(), RunError> {
        for contender in contenders.iter_mut().filter(|c| c.is_undecided()) {
            let (key, choice) = (contender.candidate.key, contender.candidate.choice);
            let Some(ratio) = contender.median() else {
                continue;
            };
            let upper = upper_call_ratio(ratio, contender.comparison.pairs());
            let harm = self.guard.harm_of_calls(key, &choice, upper);
            self.guard.learn_harm(key, &choice, harm);
            let is_first = was_new.iter().any(|l| l.key == key && l.choice == choice);
            if is_first || contender.comparison.pairs() <= 1 {
                self.look_at_canary(contender, ratio)?;
            }
        }
        Ok(())
    }

    /// Judges the first calls of a contender by their time.
    pub(super) fn look_at_canary(
        &mut self,
        contender: &mut Contender,
        ratio: f64,
    ) -> Result<(), RunError> {
        if !self.guard.canary_failed(ratio) {
            return Ok(());
        }
        let (key, choice) = (contender.candidate.key, contender.candidate.choice);
        contender.ended = Some((
            Outcome::RolledBackCanary,
            format!("the first calls took {ratio:.2} times as long; no more were spent"),
        ));
        let feared = self.guard.risk(key, &choice).map(|r| r.call_ratio);
        match feared.filter(|feared| ratio > ANOMALY * feared.max(1.0)) {
            Some(feared) => {
                let symptom = format!(
                    "its calls took {ratio:.2} times as long, at most {feared:.2} was to be expected: \
                     there is more behind it"
                );
                self.distrust(&[(key, choice)], &symptom)
            }
            None => Ok(()),
        }
    }

    /// An iteration far beyond anything its leased calls could add up to, with the machine back to normal
    /// right after it: whatever ran in it is not tried again.
    pub(super) fn look_at_iteration(
        &mut self,
        iteration_us: f64,
        leases: &[Lease],
        contenders: &mut [Contender],
    ) -> Result<(), RunError> {
        if leases.is_empty() || !self.is_strange(iteration_us) {
            return Ok(());
        }
        let Some(after_us) = self.pace_without_trials()? else {
            return Ok(());
        };
        let ratio = iteration_us / after_us;
        if ratio < OUT_OF_BOUNDS {
            return Ok(());
        }
        let because = format!(
            "the iteration took {ratio:.2} times as long as the one after it without what was on trial"
        );
        let blamed: Vec<_> = leases.iter().map(|l| (l.key, l.choice)).collect();
        for contender in contenders.iter_mut() {
            let found = (contender.candidate.key, contender.candidate.choice);
            if blamed.contains(&found) && contender.ended.is_none() {
                contender.ended = Some((Outcome::RolledBackIteration, because.clone()));
            }
        }
        self.distrust(&blamed, &because)
    }
}

impl Tuner<'_> {
    /// An iteration without anything on trial, microseconds, unless the machine is slow by itself.
    fn pace_without_trials(&mut self) -> Result<Option<f64>, RunError> {
        for _ in 0..MOST_LOOKS {
            let without = self.approved_incumbent()?;
            if let Ok(sample) = self.spend(&without)?
                && !self.is_strange(sample.iteration_us)
            {
                return Ok(Some(sample.iteration_us));
            }
        }
        Ok(None)
    }
}

/// Upper bound of a ratio of call times from the median of so many pairs.
pub(super) fn upper_call_ratio(median: f64, pairs: u32) -> f64 {
    median * (1.0 + CALL_PAIR_SPREAD / f64::from(pairs.max(1)).sqrt())
}

/// Those that ran in an iteration that failed are out; the others have nothing to do with it.
fn fail_leased(leases: &[Lease], contenders: &mut [Contender], error: &TestbedError) {
    for contender in contenders.iter_mut().filter(|c| c.ended.is_none()) {
        let ran = leases
            .iter()
            .any(|l| l.key == contender.candidate.key && l.choice == contender.candidate.choice);
        if ran {
            contender.ended = Some((Outcome::RolledBackFailed, error.to_string()));
        }
    }
}
