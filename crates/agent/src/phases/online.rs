//! Online: round after round until nothing promising is left.
//!
//! A round is a hypothesis step or a numeric step, never both, so that each lane can be judged by
//! what it found. Hypotheses go first while there are any: they are few, explained, and aimed at
//! what was seen. When they are exhausted the search takes over, and a new incumbent gives the
//! mechanisms something new to look at.

use std::collections::BTreeMap;

use ccl_core::{
    Candidate, Choice, Hypothesis, Interval, Lane, Proposer, StoppedBecause, TaskKey, TraceEvent,
};

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

/// Why the search ended, in a word and in a sentence.
pub(super) type Stop = (StoppedBecause, String);

impl Tuner<'_> {
    pub(super) fn online(&mut self) -> Result<Stop, RunError> {
        self.measure_baseline()?;
        let mut from_llm = self.ask_llm()?;
        let stop = loop {
            if let Some(stop) = self.must_stop() {
                break stop;
            }
            let (proposals, because) = self.next_proposals(&mut from_llm)?;
            if proposals.is_empty() {
                // The model may see something in what was tried since; it has a few calls.
                from_llm = self.ask_llm()?;
                if from_llm.is_empty() {
                    break self.plateau();
                }
                continue;
            }
            self.counts.rounds += 1;
            let round = self.counts.rounds;
            let candidates = self.number(proposals);
            self.emit(TraceEvent::Decided {
                round,
                candidates: candidates.clone(),
                because,
            })?;
            let passed = self.pass_guard(candidates)?;
            if passed.is_empty() {
                continue;
            }
            let ids = passed.iter().map(|c| c.id).collect();
            let bounds = self.bounds_in_words();
            self.emit(TraceEvent::Approved {
                round,
                candidates: ids,
                bounds,
            })?;
            self.trial(round, passed)?;
            self.report_incumbent()?;
        };
        self.emit(TraceEvent::Stopped {
            because: stop.0,
            explanation: stop.1.clone(),
        })?;
        Ok(stop)
    }

    /// What to try next, and why: hypotheses while there are any, else the search.
    fn next_proposals(
        &mut self,
        from_llm: &mut Vec<Hypothesis>,
    ) -> Result<(Vec<Proposed>, String), RunError> {
        let open = |this: &Self, h: &Hypothesis| {
            this.situation
                .key(h.key)
                .is_some_and(|k| k.is_open(&h.choice))
        };
        // What a model proposes and cannot be is for the guard to refuse, in the open.
        from_llm.retain(|h| {
            self.situation
                .key(h.key)
                .is_some_and(|k| !k.tried.contains(&h.choice))
        });
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
        let chosen = self.fit_into_one_round(proposed);
        if !chosen.is_empty() {
            let because = format!("{count} hypotheses are open; they are explained and few");
            return Ok((chosen, because));
        }
        let asked: Vec<TaskKey> = self.situation.keys.iter().map(|k| k.facts.key).collect();
        let mut numeric = Vec::new();
        for key in asked {
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

    fn number(&mut self, proposals: Vec<Proposed>) -> Vec<Candidate> {
        let mut next = self.counts.trials + self.counts.refused;
        proposals
            .into_iter()
            .map(|p| {
                next += 1;
                let Proposed {
                    key,
                    choice,
                    lane,
                    proposer,
                    because,
                    hypothesis,
                } = p;
                Candidate {
                    id: next,
                    key,
                    choice,
                    lane,
                    proposer,
                    because,
                    hypothesis,
                }
            })
            .collect()
    }

    /// Compile, validate, guard: one by one, so that a bad one does not take the others with it.
    fn pass_guard(&mut self, candidates: Vec<Candidate>) -> Result<Vec<Candidate>, RunError> {
        let mut passed = Vec::new();
        for candidate in candidates {
            let share = self
                .situation
                .key(candidate.key)
                .map_or(0.0, |k| k.observed.share);
            let predicted = self.predicted_ratio(&candidate);
            let verdict = self.guard.check_candidate(&candidate, share, predicted);
            if let Some(key) = self.key_state_mut(candidate.key) {
                key.tried.push(candidate.choice);
            }
            match verdict {
                Ok(()) => {
                    self.counts.trials += 1;
                    match candidate.lane {
                        Lane::Hypothesis => self.counts.hypothesis += 1,
                        Lane::Numeric => self.counts.numeric += 1,
                    }
                    self.counts.warm_rules += u32::from(candidate.proposer == Proposer::Memory);
                    passed.push(candidate);
                }
                Err(refusal) => {
                    self.counts.refused += 1;
                    if let Some(search) = self.searches.get_mut(&candidate.key) {
                        search.tell(candidate.choice, None, false);
                    }
                    let reason = refusal.to_string();
                    self.emit(TraceEvent::Refused { candidate, reason })?;
                }
            }
        }
        Ok(passed)
    }

    /// How much longer a call may take, as far as anybody can tell before it runs: as outside the
    /// job, or as the hypothesis fears, or twice as long.
    fn predicted_ratio(&mut self, candidate: &Candidate) -> f64 {
        let incumbent = self.situation.key(candidate.key).and_then(|k| k.incumbent);
        let now = self.probe_us(candidate.key, incumbent);
        let new = self.probe_us(candidate.key, Some(candidate.choice));
        let feared = candidate.hypothesis.as_ref().map(|h| h.predicted_ratio[1]);
        new.zip(now)
            .map(|(new, now)| new / now)
            .or(feared)
            .unwrap_or(2.0)
    }

    fn bounds_in_words(&self) -> String {
        let bounds = self.guard.bounds();
        format!(
            "at most {:.0} % of a key's calls per candidate; out at {:.1} times the call time; \
             no iteration beyond {:.2} of the baseline; {:.2} of {:.1} iterations of regret spent",
            100.0 * bounds.lease_share,
            bounds.canary_ratio,
            bounds.worst_iteration_ratio,
            self.guard.regret_iterations(),
            bounds.regret_budget_iterations
        )
    }

    fn plateau(&self) -> Stop {
        let kept = self.tried.iter().filter(|t| t.outcome.is_kept()).count();
        // Those that were faster but gave way to another one of their key are not left over.
        let best_left = self
            .tried
            .iter()
            .rev()
            .take_while(|t| !t.outcome.is_kept())
            .filter_map(|t| t.ratio.filter(|r| r.ci95[1] >= 1.0))
            .map(|r| 100.0 * (1.0 - r.median))
            .fold(f64::NEG_INFINITY, f64::max);
        let since = self
            .tried
            .iter()
            .rev()
            .take_while(|t| !t.outcome.is_kept())
            .count();
        let best = if best_left > 0.0 {
            format!(
                "the best of the last {since} made its call {best_left:.1} % faster, not beyond the noise"
            )
        } else if best_left.is_finite() {
            format!("none of the last {since} made its call faster")
        } else {
            "nothing was left to try".to_owned()
        };
        (
            StoppedBecause::Plateau,
            format!(
                "{} candidates tried, {kept} kept; {best}",
                self.counts.trials
            ),
        )
    }

    /// Says where the run stands, from the intervals of what was kept.
    fn report_incumbent(&mut self) -> Result<(), RunError> {
        let ratio_by = |of: &dyn Fn(Interval) -> f64| {
            let mut calls: BTreeMap<TaskKey, f64> = BTreeMap::new();
            let mut iterations = 1.0;
            for tried in self.tried.iter().filter(|t| t.outcome.is_kept()) {
                let Some(ratio) = tried.ratio.map(of) else {
                    continue;
                };
                let key = tried.candidate.key;
                if self.situation.key(key).is_some_and(|k| k.facts.overlapped) {
                    iterations *= ratio;
                } else {
                    *calls.entry(key).or_insert(1.0) *= ratio;
                }
            }
            let saved = |(key, ratio): (&TaskKey, &f64)| {
                self.situation
                    .key(*key)
                    .map_or(0.0, |k| k.observed.share * (1.0 - ratio))
            };
            iterations * (1.0 - calls.iter().map(saved).sum::<f64>())
        };
        let estimated_ratio = Interval {
            median: ratio_by(&|r| r.median),
            ci95: [ratio_by(&|r| r.ci95[0]), ratio_by(&|r| r.ci95[1])],
        };
        let event = TraceEvent::Incumbent {
            configuration: self.incumbent.clone(),
            estimated_ratio,
            iterations: self.guard.iterations(),
            regret_iterations: self.guard.regret_iterations(),
        };
        self.emit(event)
    }
}

/// A candidate without a number.
pub(super) struct Proposed {
    pub(super) key: TaskKey,
    pub(super) choice: Choice,
    pub(super) lane: Lane,
    pub(super) proposer: Proposer,
    pub(super) because: String,
    pub(super) hypothesis: Option<Hypothesis>,
}
