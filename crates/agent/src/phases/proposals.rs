//! What to try next: the offers of both lanes, and the round of them that is worth most.

use std::collections::{BTreeMap, BTreeSet};

use ccl_core::{Choice, Hypothesis, Lane, Proposer, TaskKey};
use ccl_search::surrogate::Posterior;

use crate::arbiter::{Offer, WORTH_GOING_ON, WORTH_TRYING};
use crate::key_model::saving;
use crate::mind::Mind;
use crate::situation::KeyState;
use crate::tuner::Tuner;

/// Most candidates of one key in one round.
const MOST_PER_KEY: usize = 8;
/// A key with less than this share of the iteration is left alone.
const NEGLIGIBLE_SHARE: f64 = 0.002;
/// Iterations a trial of leases takes: a canary, growing leases, and the pairs that decide.
const ITERATIONS_OF_LEASES: f64 = 4.0;
/// Iterations a trial takes when each pair is two whole iterations.
const ITERATIONS_OF_PAIRS: f64 = 10.0;

/// A candidate without a number.
#[derive(Clone)]
pub(crate) struct Proposed {
    pub(crate) key: TaskKey,
    pub(crate) choice: Choice,
    pub(crate) proposer: Proposer,
    pub(crate) because: String,
    pub(crate) hypothesis: Option<Hypothesis>,
    pub(crate) offer: Offer,
}

/// What somebody proposed and what was not tried yet.
pub(crate) struct Proposal {
    /// Its number within the run, from 1.
    pub(crate) number: u32,
    /// What.
    pub(crate) what: Proposed,
}

/// A round that is worth it, or what the best of the rest would have been worth.
pub(super) enum Next {
    /// Candidates, and why these.
    Round(Vec<Proposed>, String),
    /// Nothing new: what is on its way is worth most.
    GoOn,
    /// Nothing; what is expected of all that is left, a share of the iteration per iteration.
    Nothing(f64),
}

impl Tuner<'_> {
    /// Whether nobody tried this on its key yet, and there is such a key.
    pub(crate) fn is_untried(&self, hypothesis: &Hypothesis) -> bool {
        let key = self.situation.key(hypothesis.key);
        key.is_some_and(|k| !k.tried.contains(&hypothesis.choice))
    }

    /// The round worth most per iteration among the offers of both lanes.
    pub(super) fn next_proposals(&mut self) -> Next {
        // What a model proposes and cannot be is for the guard to refuse, in the open.
        let mut waiting = std::mem::take(&mut self.proposals);
        waiting.retain(|p| {
            p.what
                .hypothesis
                .as_ref()
                .is_some_and(|h| self.is_untried(h))
        });
        self.proposals = waiting;
        let (best, value) = self.best_of_all();
        let is_asked_for = best.iter().any(|p| p.proposer == Proposer::Llm);
        if !(is_asked_for || value >= WORTH_GOING_ON) {
            return Next::Nothing(value);
        }
        if best.is_empty() {
            return Next::GoOn;
        }
        let chosen: Vec<Offer> = best.iter().map(|p| p.offer).collect();
        let left = self.guard.regret_left_iterations();
        Next::Round(best, self.arbiter.why(&chosen, left))
    }

    /// What all that is left is expected to save, a share of the iteration per iteration.
    pub(crate) fn value_of_rest(&mut self) -> f64 {
        self.best_of_all().1
    }

    /// The round worth most of everything on offer, with that worth.
    fn best_of_all(&mut self) -> (Vec<Proposed>, f64) {
        let mut offers = Vec::new();
        if self.options.hypothesis_lane {
            offers.extend(self.explained());
        }
        if self.options.numeric_lane {
            offers.extend(self.searched());
        }
        // Stable: equal values keep their order.
        // What a model proposes goes first where a trial costs a few calls, and takes its place by what is
        // expected of it where it costs whole iterations.
        offers.sort_by(|a, b| {
            let asked = |p: &Proposed| p.proposer == Proposer::Llm && !self.is_alone(p);
            let value = |p: &Proposed| self.arbiter.value(&p.offer);
            asked(b).cmp(&asked(a)).then(value(b).total_cmp(&value(a)))
        });
        self.best_round(&offers)
    }

    /// Hypotheses that are open: of the language model, of memory, of the mechanisms.
    fn explained(&self) -> Vec<Proposed> {
        let proposed = self.proposals.iter();
        let proposed = proposed.filter_map(|p| Some((p.what.proposer, p.what.hypothesis.clone()?)));
        let remembered = self.remembered_hypotheses().into_iter();
        let rules = self.rule_mind.propose(&self.situation).into_iter();
        proposed
            .chain(remembered.map(|h| (Proposer::Memory, h)))
            .chain(rules.map(|h| (Proposer::Rules, h)))
            .filter_map(|(proposer, hypothesis)| self.explained_by(proposer, hypothesis))
            .collect()
    }

    /// A hypothesis with what it is expected to save, all that is known taken together; `None` where the job
    /// has no such key.
    pub(crate) fn explained_by(
        &self,
        proposer: Proposer,
        hypothesis: Hypothesis,
    ) -> Option<Proposed> {
        let claimed = self.claimed(&hypothesis)?;
        let believed = self
            .models
            .get(&hypothesis.key)
            .and_then(|m| m.belief(&hypothesis.choice));
        // A reason makes a choice no less worth trying than the search finds it.
        let without = believed.map_or(0.0, saving);
        let belief = believed.map_or(claimed, |b| claimed.and(b));
        let credit = self
            .rule_mind
            .credit(&self.situation, proposer, &hypothesis);
        let saves = credit * saving(belief).max(without);
        Some(Proposed {
            key: hypothesis.key,
            choice: hypothesis.choice,
            proposer,
            because: hypothesis.because.clone(),
            offer: self.offer(hypothesis.key, Lane::Hypothesis, saves)?,
            hypothesis: Some(hypothesis),
        })
    }

    /// Chance that a choice is faster than what runs, as far as its key's model tells.
    pub(crate) fn chance_of(&self, key: TaskKey, choice: &Choice) -> Option<f64> {
        let belief = self.models.get(&key)?.belief(choice)?;
        Some(belief.chance_below(0.0))
    }

    /// What a hypothesis says, in the metric of its key's model.
    fn claimed(&self, hypothesis: &Hypothesis) -> Option<Posterior> {
        let key = self.situation.key(hypothesis.key)?;
        let [low, high] = hypothesis.predicted_ratio.map(|r| key.in_metric(r));
        Some(normal_of(low, high))
    }

    /// What the search of each key would try.
    pub(crate) fn searched(&mut self) -> Vec<Proposed> {
        let mut found = Vec::new();
        for index in 0..self.situation.keys.len() {
            let Some(state) = self.situation.keys.get(index) else {
                continue;
            };
            let key = state.facts.key;
            let width = self.width(key);
            let is_open = |choice: &Choice| state.is_open(choice);
            let most = self.most_feared(state);
            let suggestions = match self.models.get_mut(&key) {
                Some(model) if width > 0 && state.observed.share >= NEGLIGIBLE_SHARE => {
                    model.suggest(width, most, &is_open)
                }
                _ => continue,
            };
            found.extend(suggestions.into_iter().filter_map(|s| {
                Some(Proposed {
                    key,
                    choice: s.choice,
                    proposer: Proposer::Search,
                    because: s.because,
                    hypothesis: None,
                    offer: self.offer(key, Lane::Numeric, saving(s.belief))?,
                })
            }));
        }
        found
    }

    /// Logarithm of the ratio, in the metric of a key's model, up to which even a single call of the key
    /// would do no more than a trial may.
    fn most_feared(&self, state: &KeyState) -> f64 {
        #[allow(clippy::cast_precision_loss)] // a count of calls
        let calls = state.facts.calls.max(1) as f64;
        let share = match state.facts.overlapped {
            true => 1.0,
            false => state.observed.share.max(f64::MIN_POSITIVE),
        };
        (1.0 + self.guard.harm_allowed() * calls / share).ln()
    }

    /// Whether the guard would let the first call of a candidate run, by what is believed of it.
    fn may_begin(&self, proposal: &Proposed) -> bool {
        let state = self.situation.key(proposal.key);
        let model = self.models.get(&proposal.key);
        let feared = model.and_then(|m| m.feared(&proposal.choice));
        match (state, feared) {
            (Some(state), Some(feared)) => feared <= self.most_feared(state),
            _ => true,
        }
    }

    /// What a saving in the metric of a key's model is worth to the iteration, and what its trial costs.
    pub(super) fn offer(&self, key: TaskKey, lane: Lane, saves: f64) -> Option<Offer> {
        let state = self.situation.key(key)?;
        let by_iteration = state.facts.overlapped;
        // Beside computation the iteration itself is what is modelled.
        let of_iteration = if by_iteration {
            saves
        } else {
            saves * state.observed.share
        };
        Some(Offer {
            lane,
            saves: of_iteration,
            iterations: if by_iteration || state.facts.calls == 1 {
                ITERATIONS_OF_PAIRS
            } else {
                ITERATIONS_OF_LEASES
            },
        })
    }

    /// How many more candidates of a key fit into one iteration.
    fn width(&self, key: TaskKey) -> usize {
        let Some(state) = self.situation.key(key) else {
            return 0;
        };
        if state.facts.overlapped {
            return 1;
        }
        let leases = self.guard.most_leased(key) / self.guard.calls_of_one_lease(key).max(1);
        let all = usize::try_from(leases)
            .unwrap_or(MOST_PER_KEY)
            .clamp(1, MOST_PER_KEY);
        all.saturating_sub(self.racing_on(key))
    }

    /// Of the rounds that one trial can compare the one worth most per iteration, with that worth:
    /// the race of all keys that are waited for, with what is on its way there, or one choice for each key
    /// that hides behind computation.
    fn best_round(&self, offers: &[Proposed]) -> (Vec<Proposed>, f64) {
        let together = self.fit(offers.iter().filter(|p| !self.is_alone(p)));
        let alone = self.fit(offers.iter().filter(|p| self.is_alone(p)));
        let value = |round: &[Proposed]| -> f64 {
            round.iter().map(|p| self.arbiter.value(&p.offer)).sum()
        };
        let asked = |round: &[Proposed]| round.iter().any(|p| p.proposer == Proposer::Llm);
        let (of_alone, of_race) = (value(&alone), self.value_of_race() + value(&together));
        // Where nothing is worth it otherwise, whoever asked is heard.
        let is_left = of_alone.max(of_race) < WORTH_GOING_ON && asked(&alone) && !asked(&together);
        if is_left || of_alone > of_race {
            (alone, of_alone)
        } else {
            (together, of_race)
        }
    }

    /// Whether a proposal's key hides behind computation, so that it is judged by whole iterations.
    fn is_alone(&self, proposed: &Proposed) -> bool {
        let state = self.situation.key(proposed.key);
        state.is_some_and(|k| k.facts.overlapped)
    }

    /// Keeps what one trial can compare: no choice twice, no more per key than fit, and no more
    /// than the budget has left.
    fn fit<'p>(&self, offers: impl Iterator<Item = &'p Proposed>) -> Vec<Proposed> {
        let fitting: Vec<&Proposed> = offers.filter(|p| self.may_be_tried(p)).collect();
        // What helped here before is tried alone: where it helps again, nothing else need be.
        let remembered = fitting.iter().filter(|p| p.proposer == Proposer::Memory);
        let led: BTreeSet<TaskKey> = remembered.map(|p| p.key).collect();
        let is_beside = |p: &Proposed| led.contains(&p.key) && p.proposer != Proposer::Memory;
        let mut chosen: Vec<Proposed> = Vec::new();
        let mut of_key: BTreeMap<TaskKey, usize> = BTreeMap::new();
        let left = (self.options.budget - self.counts.trials.min(self.options.budget)) as usize;
        for proposal in fitting {
            let is_double = |c: &Proposed| c.key == proposal.key && c.choice == proposal.choice;
            if is_beside(proposal) || chosen.len() >= left || chosen.iter().any(is_double) {
                continue;
            }
            let count = of_key.entry(proposal.key).or_default();
            if *count < self.width(proposal.key) {
                *count += 1;
                chosen.push(proposal.clone());
            }
        }
        chosen
    }

    /// Whether a proposal may be tried now: worth it or asked for, on a key that counts, and not tried before.
    fn may_be_tried(&self, proposal: &Proposed) -> bool {
        let Some(key) = self.situation.key(proposal.key) else {
            return false;
        };
        let asked = proposal.proposer == Proposer::Llm;
        let worth = self.arbiter.value(&proposal.offer) >= WORTH_TRYING;
        (asked || worth && key.is_open(&proposal.choice) && self.may_begin(proposal))
            && key.observed.share >= NEGLIGIBLE_SHARE
            && !key.tried.contains(&proposal.choice)
    }
}

/// A ratio that lies, with 95 %, between `low` and `high`, as a normal logarithm.
fn normal_of(low: f64, high: f64) -> Posterior {
    let (low, high) = (low.max(1e-3).ln(), high.max(1e-3).ln());
    Posterior {
        mean: f64::midpoint(low, high),
        variance: ((high - low) / 3.92).powi(2).max(1e-9),
    }
}
