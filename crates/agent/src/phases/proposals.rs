//! What to try next: hypotheses while there are any, else the search, and only what can pay.

use std::collections::BTreeMap;

use ccl_core::{Choice, Hypothesis, Lane, Proposer, TaskKey, TraceEvent};

use super::trial::WORTH_PURSUING;
use crate::mind::Mind;
use crate::tuner::{RunError, Tuner};

/// Most candidates of one key in one round.
const MOST_PER_KEY: usize = 8;
/// Rounds of the search without a new incumbent on any key after which a key with less than
/// this share of the iteration is left alone.
const NEGLIGIBLE_SHARE: f64 = 0.002;
/// How far the time of a call outside the job may mislead, as a share: the median of a few calls.
const PROBE_ERROR: f64 = 0.06;
/// A candidate for calls beside computation is not tried when it takes this many times as long as
/// the incumbent outside the job, where its time is not the objective.
const HOPELESS_OUTSIDE: f64 = 2.0;

/// A candidate without a number.
pub(super) struct Proposed {
    pub(super) key: TaskKey,
    pub(super) choice: Choice,
    pub(super) lane: Lane,
    pub(super) proposer: Proposer,
    pub(super) because: String,
    pub(super) hypothesis: Option<Hypothesis>,
}

impl Tuner<'_> {
    /// Whether nobody tried this on its key yet, and there is such a key.
    pub(super) fn is_untried(&self, hypothesis: &Hypothesis) -> bool {
        let key = self.situation.key(hypothesis.key);
        key.is_some_and(|k| !k.tried.contains(&hypothesis.choice))
    }

    /// What to try next, and why: hypotheses while there are any, else the search.
    pub(super) fn next_proposals(
        &mut self,
        from_llm: &mut Vec<Hypothesis>,
    ) -> Result<(Vec<Proposed>, String), RunError> {
        let open = |this: &Self, h: &Hypothesis| {
            this.situation
                .key(h.key)
                .is_some_and(|k| k.is_open(&h.choice))
        };
        // What a model proposes and cannot be is for the guard to refuse, in the open.
        from_llm.retain(|h| self.is_untried(h));
        let mut hypotheses: Vec<(Proposer, Hypothesis)> = from_llm
            .iter()
            .cloned()
            .map(|h| (Proposer::Llm, h))
            .collect();
        hypotheses.extend(
            self.remembered_hypotheses()
                .into_iter()
                .filter(|h| open(self, h))
                .map(|h| (Proposer::Memory, h)),
        );
        let rules = self.rule_mind.propose(&self.situation);
        hypotheses.extend(rules.into_iter().map(|h| (Proposer::Rules, h)));
        let count = hypotheses.len();
        let proposed = hypotheses.into_iter().map(|(proposer, h)| Proposed {
            key: h.key,
            choice: h.choice,
            lane: Lane::Hypothesis,
            proposer,
            because: h.because.clone(),
            hypothesis: Some(h),
        });
        let chosen = if self.options.hypothesis_lane {
            self.fit_into_one_round(proposed)
        } else {
            Vec::new()
        };
        if !chosen.is_empty() {
            let because = format!("{count} hypotheses are open; they are explained and few");
            return Ok((chosen, because));
        }
        let asked: Vec<TaskKey> = self.situation.keys.iter().map(|k| k.facts.key).collect();
        let mut numeric = Vec::new();
        let keys = if self.options.numeric_lane {
            asked
        } else {
            Vec::new()
        };
        for key in keys {
            numeric.extend(self.numeric_proposals(key)?);
        }
        let chosen = self.fit_into_one_round(numeric);
        Ok((
            chosen,
            "no hypothesis is open; the search goes on from the incumbents".to_owned(),
        ))
    }

    /// What the search of a key wants to try next, without what the probes speak against.
    fn numeric_proposals(&mut self, key: TaskKey) -> Result<Vec<Proposed>, RunError> {
        let Some(state) = self.situation.key(key) else {
            return Ok(Vec::new());
        };
        if state.observed.share < NEGLIGIBLE_SHARE {
            return Ok(Vec::new());
        }
        let (overlapped, incumbent) = (state.facts.overlapped, state.incumbent);
        let share = state.observed.share;
        let limit = if overlapped {
            HOPELESS_OUTSIDE
        } else {
            // The largest ratio that could still be a gain worth pursuing.
            1.0 + PROBE_ERROR - WORTH_PURSUING / share
        };
        let width = self.width(key);
        loop {
            let asked = self
                .searches
                .get_mut(&key)
                .map(|s| s.ask(width))
                .unwrap_or_default();
            if asked.is_empty() {
                return Ok(Vec::new());
            }
            let now_us = self.probe_us(key, incumbent);
            let mut worth = Vec::new();
            let mut dropped = Vec::new();
            for (choice, because) in asked {
                let ratio = self
                    .probe_us(key, Some(choice))
                    .zip(now_us)
                    .map(|(new, now)| new / now);
                if let Some(ratio) = ratio.filter(|r| *r > limit) {
                    dropped.push(format!("{choice} {ratio:.2}"));
                    if let Some(search) = self.searches.get_mut(&key) {
                        search.tell(choice, Some(ratio), false);
                    }
                } else {
                    worth.push(Proposed {
                        key,
                        choice,
                        lane: Lane::Numeric,
                        proposer: Proposer::Search,
                        because,
                        hypothesis: None,
                    });
                }
            }
            if !dropped.is_empty() {
                self.emit(TraceEvent::ScreenedOut {
                    key,
                    choices: dropped,
                    because: format!(
                        "outside the job more than {limit:.3} times the incumbent's {:.0} us",
                        now_us.unwrap_or(f64::NAN)
                    ),
                })?;
            }
            if !worth.is_empty() {
                return Ok(worth);
            }
        }
    }

    /// How many candidates of a key fit into one iteration.
    fn width(&self, key: TaskKey) -> usize {
        let Some(state) = self.situation.key(key) else {
            return 0;
        };
        if state.facts.overlapped {
            return 1;
        }
        let leases = self.guard.most_leased(key) / self.guard.calls_of_one_lease(key).max(1);
        usize::try_from(leases)
            .unwrap_or(MOST_PER_KEY)
            .clamp(1, MOST_PER_KEY)
    }

    /// Keeps what one trial can compare: no choice twice, no more per key than fit, one key alone
    /// when it hides behind computation, and no more than the budget has left.
    fn fit_into_one_round(&self, proposals: impl IntoIterator<Item = Proposed>) -> Vec<Proposed> {
        let mut chosen: Vec<Proposed> = Vec::new();
        let mut of_key: BTreeMap<TaskKey, usize> = BTreeMap::new();
        let left = (self.options.budget - self.counts.trials.min(self.options.budget)) as usize;
        for proposal in proposals {
            let Some(key) = self.situation.key(proposal.key) else {
                continue;
            };
            let may_be_refused = proposal.proposer == Proposer::Llm;
            if key.observed.share < NEGLIGIBLE_SHARE
                || !(key.is_open(&proposal.choice) || may_be_refused)
                || key.tried.contains(&proposal.choice)
                || chosen.len() >= left
                || chosen
                    .iter()
                    .any(|c| c.key == proposal.key && c.choice == proposal.choice)
            {
                continue;
            }
            let alone = |key: TaskKey| self.situation.key(key).is_some_and(|k| k.facts.overlapped);
            if chosen
                .first()
                .is_some_and(|first| alone(first.key) || alone(proposal.key))
            {
                continue;
            }
            let count = of_key.entry(proposal.key).or_default();
            if *count < self.width(proposal.key) {
                *count += 1;
                chosen.push(proposal);
            }
        }
        chosen
    }
}
