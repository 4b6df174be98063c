//! The race: candidates of all keys that are waited for, leased inside the same iterations, for as long as
//! each is worth its calls.
//!
//! After every iteration the models are told what the pairs show so far. What is then believed of each,
//! by its pairs, by those of its neighbours and by the cheaper sources, decides: the best of a key is kept
//! as soon as it is surely faster; what is not expected to save enough any more gives its calls to others; the
//! rest goes on. A single iteration is the step, so nobody waits for the slowest to be decided.

use ccl_core::{Outcome, StoppedBecause, TaskKey};
use ccl_search::Decision;
use ccl_search::surrogate::Posterior;

use super::Contender;
use super::contender::faster;
use crate::arbiter::WORTH_TRYING;
use crate::key_model::saving;
use crate::tools::Ended;
use crate::tuner::{RunError, Tuner};

/// How sure a candidate has to be to be better than the incumbent, by all that is known, to be kept.
const SURE: f64 = 0.95;

impl Tuner<'_> {
    /// One iteration of the race.
    pub(super) fn race(&mut self, round: u32) -> Result<(), RunError> {
        let mut contenders = std::mem::take(&mut self.racing);
        self.refuse_suspects(&mut contenders);
        // What promises most gets its calls first.
        let mut valued: Vec<(f64, Contender)> = contenders
            .into_iter()
            .map(|c| (self.value_of(&c), c))
            .collect();
        valued.sort_by(|a, b| b.0.total_cmp(&a.0));
        contenders = valued.into_iter().map(|(_, c)| c).collect();
        let ran = self.run_leases(round, &mut contenders);
        self.racing = contenders;
        ran?;
        self.tell_models();
        self.settle_race()
    }

    /// What a contender is expected to save, a share of the iteration per iteration, as far as its lane is
    /// trusted.
    fn value_of(&self, contender: &Contender) -> f64 {
        let candidate = &contender.candidate;
        let saves = self.belief_of(contender).map_or(0.0, saving);
        let offer = self.offer(candidate.key, candidate.lane, saves);
        offer.map_or(0.0, |o| self.arbiter.value(&o))
    }

    /// What all that is on its way is expected to save, a share of the iteration per iteration.
    pub(in crate::phases) fn value_of_race(&self) -> f64 {
        self.racing.iter().map(|c| self.value_of(c)).sum()
    }

    /// Whether any candidate is on its way.
    pub(in crate::phases) fn is_racing(&self) -> bool {
        !self.racing.is_empty()
    }

    /// Candidates of a key that are on their way.
    pub(in crate::phases) fn racing_on(&self, key: TaskKey) -> usize {
        self.racing
            .iter()
            .filter(|c| c.candidate.key == key)
            .count()
    }

    /// What is on its way, as far as its pairs tell.
    pub(crate) fn on_their_way(&self) -> Vec<Ended> {
        let racing = self.racing.iter().filter(|c| c.is_undecided());
        let told = |c: &Contender| {
            let pairs = c.comparison.pairs();
            Ended::of(&c.candidate, None, c.ratio(), pairs)
        };
        racing.map(told).collect()
    }

    fn belief_of(&self, contender: &Contender) -> Option<Posterior> {
        let candidate = &contender.candidate;
        let model = self.models.get(&candidate.key)?;
        model.belief(&candidate.choice)
    }

    /// The models hear what the pairs show so far, once: told again, a surprise would be none.
    fn tell_models(&mut self) {
        let mut news = Vec::new();
        for contender in self.racing.iter_mut().filter(|c| c.is_undecided()) {
            let pairs = contender.comparison.pairs();
            let Some(estimate) = contender
                .estimate()
                .filter(|_| pairs > contender.told_pairs)
            else {
                continue;
            };
            contender.told_pairs = pairs;
            let candidate = &contender.candidate;
            news.push((candidate.key, candidate.choice, estimate, pairs));
        }
        for (key, choice, estimate, pairs) in news {
            self.tell_model(key, choice, estimate, pairs);
        }
    }

    /// Keeps what is surely better, and ends what is decided or not worth going on with.
    fn settle_race(&mut self) -> Result<(), RunError> {
        let mut keys: Vec<TaskKey> = self.racing.iter().map(|c| c.candidate.key).collect();
        keys.sort_unstable();
        keys.dedup();
        if !self.guard.is_over() {
            for key in keys {
                self.keep_best_of(key);
            }
        }
        for index in 0..self.racing.len() {
            if let Some(why) = self.why_over(index) {
                self.racing[index].ended = Some(why);
            }
        }
        let (open, over): (Vec<_>, Vec<_>) = std::mem::take(&mut self.racing)
            .into_iter()
            .partition(Contender::is_undecided);
        self.close(over, "call")?;
        // What raced beside something else starts anew; the models remember.
        for mut contender in open {
            let beside = self
                .situation
                .key(contender.candidate.key)
                .and_then(|k| k.incumbent);
            if beside != contender.beside {
                contender.beside = beside;
                contender.comparison = self.comparison(self.pair_noise_of_iterations());
                contender.unpaired_us = None;
                contender.told_pairs = 0;
                if self.value_of(&contender) < WORTH_TRYING {
                    contender.ended = Some((
                        Outcome::RolledBackNoDifference,
                        "another candidate of the key gained more".to_owned(),
                    ));
                    self.close(vec![contender], "call")?;
                    continue;
                }
            }
            self.racing.push(contender);
        }
        Ok(())
    }

    /// Of what raced on a key and is surely better than the incumbent, keeps the one believed best.
    fn keep_best_of(&mut self, key: TaskKey) {
        let better = self.racing.iter().enumerate().filter_map(|(index, c)| {
            let is_candidate =
                c.candidate.key == key && c.is_undecided() && c.comparison.pairs() > 0;
            let belief = self.belief_of(c).filter(|_| is_candidate)?;
            Some((index, belief, self.why_kept(c)?))
        });
        let best = better.min_by(|(_, a, _), (_, b, _)| a.mean.total_cmp(&b.mean));
        if let Some((index, _, because)) = best {
            self.racing[index].ended = Some((Outcome::Kept, because));
        }
    }

    /// Why a contender is to be kept, if it is: its pairs say so, or all that is known with them.
    /// An earlier run is no part of that.
    pub(super) fn why_kept(&self, contender: &Contender) -> Option<String> {
        let candidate = &contender.candidate;
        let model = self.models.get(&candidate.key)?;
        let belief = model.own_belief(&candidate.choice)?;
        let sure = belief.chance_below(0.0);
        let is_sure = sure >= SURE && belief.mean < -self.options.minimum_effect;
        let seems_faster = contender.median().is_some_and(|ratio| ratio < 1.0);
        if !seems_faster || !(contender.is_faster() || is_sure) {
            return None;
        }
        let why = faster(contender.ratio()?, contender.comparison.pairs());
        Some(match contender.is_faster() {
            true => why,
            false => format!(
                "{why}; with what else is known {:.1} % faster, and the chance that it is faster at all {:.1} %",
                100.0 * (1.0 - belief.mean.exp()),
                100.0 * sure.min(0.999)
            ),
        })
    }

    /// Why a contender needs no more calls.
    fn why_over(&self, index: usize) -> Option<(Outcome, String)> {
        let contender = &self.racing[index];
        if !contender.is_undecided() || contender.comparison.pairs() == 0 {
            return None;
        }
        if contender.is_faster() {
            if self.guard.is_over() {
                let (outcome, why) = contender.verdict();
                return Some((
                    outcome,
                    format!("{why}, but the job is back on NCCL's own choices"),
                ));
            }
            // Not yet the best of its key: it may be, once that runs.
            let is_kept = |c: &Contender| {
                let kept = c
                    .ended
                    .as_ref()
                    .is_some_and(|(outcome, _)| outcome.is_kept());
                kept && c.candidate.key == contender.candidate.key
            };
            return match self.racing.iter().any(is_kept) {
                true => None,
                false => Some(contender.verdict()),
            };
        }
        if !contender.is_open() {
            return Some(contender.verdict());
        }
        self.why_not_worth(contender)
    }

    /// Why a contender is not worth any more calls, if it is not.
    pub(super) fn why_not_worth(&self, contender: &Contender) -> Option<(Outcome, String)> {
        let value = self.value_of(contender);
        (value < WORTH_TRYING).then(|| {
            let (_, why) = contender.verdict();
            let outcome = match contender.comparison.decision() {
                Decision::Slower => Outcome::RolledBackSlower,
                _ => Outcome::RolledBackNoDifference,
            };
            (
                outcome,
                format!(
                    "{why}; expected to save {:.3} % of the iteration for every iteration it takes, less than \
                     is worth its calls",
                    100.0 * value
                ),
            )
        })
    }

    /// Ends the race: whatever is still on its way was not decided.
    pub(in crate::phases) fn end_race(&mut self, because: &str) -> Result<(), RunError> {
        let mut rest = std::mem::take(&mut self.racing);
        for contender in &mut rest {
            if contender.is_undecided() {
                contender.ended = Some((
                    Outcome::RolledBackNoDifference,
                    format!(
                        "not decided after {} pairs: {because}",
                        contender.comparison.pairs()
                    ),
                ));
            }
        }
        self.close(rest, "call")
    }

    /// Whether the run may go on at all.
    pub(super) fn may_not_go_on(&self) -> bool {
        self.must_stop()
            .is_some_and(|(why, _)| why != StoppedBecause::Budget)
    }
}
