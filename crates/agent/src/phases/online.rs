//! Online: round after round until nothing promising is left.
//!
//! A round is what both lanes offer, as far as one trial can compare it and it is expected to save most for
//! every iteration it takes; what a language model proposes goes first. Where nothing new is worth more than
//! what is on its way, the race goes on by itself; where nothing is worth it at all, the search is over.

use std::collections::BTreeMap;

use ccl_core::{Candidate, Interval, Lane, Proposer, StoppedBecause, TaskKey, TraceEvent};

use super::proposals::{Next, Proposed};
use crate::arbiter::WORTH_GOING_ON;
use crate::tuner::{RunError, Tuner};

/// Why the search ended, in a word and in a sentence.
pub(super) type Stop = (StoppedBecause, String);

impl Tuner<'_> {
    pub(super) fn online(&mut self) -> Result<Stop, RunError> {
        self.measure_baseline()?;
        if let Some(stop) = self.diagnose()? {
            return self.stop(stop);
        }
        self.screen_keys()?;
        let mut from_llm = self.ask_llm()?;
        let stop = loop {
            if let Some(stop) = self.must_stop() {
                // The budget is one of candidates: those that have begun are seen through.
                if stop.0 == StoppedBecause::Budget && self.is_racing() {
                    self.trial(self.counts.rounds, Vec::new())?;
                    self.review_models()?;
                    continue;
                }
                break stop;
            }
            let (proposals, because) = match self.next_proposals(&mut from_llm) {
                Next::Round(proposals, because) => (proposals, because),
                Next::GoOn => {
                    self.trial(self.counts.rounds, Vec::new())?;
                    self.review_models()?;
                    continue;
                }
                Next::Nothing(_) if self.forget_earlier_runs()? || self.hear_neighbours() => {
                    continue;
                }
                Next::Nothing(left) => {
                    // The model may see something in what was tried since; it has a few calls.
                    from_llm = self.ask_llm()?;
                    from_llm.retain(|h| self.is_untried(h));
                    if from_llm.is_empty() {
                        break self.plateau(left);
                    }
                    continue;
                }
            };
            self.counts.rounds += 1;
            let round = self.counts.rounds;
            for proposed in &proposals {
                let worth = self.arbiter.worth(&proposed.offer);
                self.promised.insert((proposed.key, proposed.choice), worth);
            }
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
            let risk = |c: &Candidate| Some(self.guard.risk(c.key, &c.choice)?.to_string());
            let risks = passed.iter().filter_map(risk).collect();
            self.emit(TraceEvent::Approved {
                round,
                candidates: ids,
                bounds,
                risks,
            })?;
            self.trial(round, passed)?;
            self.review_models()?;
        };
        self.stop(stop)
    }

    fn stop(&mut self, stop: Stop) -> Result<Stop, RunError> {
        self.end_race(&stop.1)?;
        self.emit(TraceEvent::Stopped {
            because: stop.0,
            explanation: stop.1.clone(),
        })?;
        Ok(stop)
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
                    proposer,
                    because,
                    hypothesis,
                    offer,
                } = p;
                Candidate {
                    id: next,
                    key,
                    choice,
                    lane: offer.lane,
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
            let verdict = self.assess(&candidate);
            if let Some(key) = self.key_state_mut(candidate.key) {
                key.tried.push(candidate.choice);
            }
            match verdict {
                Ok(_) => {
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
                    let reason = refusal.to_string();
                    self.emit(TraceEvent::Refused { candidate, reason })?;
                }
            }
        }
        Ok(passed)
    }

    fn bounds_in_words(&self) -> String {
        let bounds = self.guard.bounds();
        format!(
            "at most {:.0} % of a key's calls per candidate, beside computation {:.0} %, before all; out \
             at {:.1} times the call time; no iteration foreseen beyond {:.2} of the incumbent's, none \
             seen beyond {:.2}; {}",
            100.0 * bounds.lease_share,
            100.0 * bounds.overlapped_share,
            bounds.canary_ratio,
            bounds.trial_iteration_ratio,
            bounds.worst_iteration_ratio,
            self.guard.budget_in_words()
        )
    }

    fn plateau(&self, left: f64) -> Stop {
        let kept = self.tried.iter().filter(|t| t.outcome.is_kept()).count();
        (
            StoppedBecause::Plateau,
            format!(
                "{} candidates tried, {kept} kept; all that is left is expected to save {:.3} % of the \
                 iteration for every iteration it takes, less than the {:.3} % worth going on for",
                self.counts.trials,
                100.0 * left.max(0.0),
                100.0 * WORTH_GOING_ON
            ),
        )
    }

    /// Says where the run stands, from the intervals of what was kept.
    pub(super) fn report_incumbent(&mut self) -> Result<(), RunError> {
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
