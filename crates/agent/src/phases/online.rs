//! Online: round after round until nothing promising is left.
//!
//! A round is a hypothesis step or a numeric step, never both, so that each lane can be judged by
//! what it found. Hypotheses go first while there are any: they are few, explained, and aimed at
//! what was seen. When they are exhausted the search takes over, and a new incumbent gives the
//! mechanisms something new to look at.

use std::collections::BTreeMap;

use ccl_core::{Candidate, Interval, Lane, Proposer, StoppedBecause, TaskKey, TraceEvent};

use super::proposals::Proposed;
use crate::tuner::{RunError, Tuner};

/// Why the search ended, in a word and in a sentence.
pub(super) type Stop = (StoppedBecause, String);

impl Tuner<'_> {
    pub(super) fn online(&mut self) -> Result<Stop, RunError> {
        self.measure_baseline()?;
        if let Some(stop) = self.diagnose()? {
            return self.stop(stop);
        }
        let mut from_llm = self.ask_llm()?;
        let stop = loop {
            if let Some(stop) = self.must_stop() {
                break stop;
            }
            let (proposals, because) = self.next_proposals(&mut from_llm)?;
            if proposals.is_empty() {
                // The model may see something in what was tried since; it has a few calls.
                from_llm = self.ask_llm()?;
                from_llm.retain(|h| self.is_untried(h));
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
        self.stop(stop)
    }

    fn stop(&mut self, stop: Stop) -> Result<Stop, RunError> {
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
