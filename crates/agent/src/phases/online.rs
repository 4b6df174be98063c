//! Online: round after round until nothing promising is left.
//!
//! A round is what both lanes offer, as far as one trial can compare it and it is expected to save most for
//! every iteration it takes; what a language model proposes goes first. Where nothing new is worth more than
//! what is on its way, the race goes on by itself; where nothing is worth it at all, the search is over.

use std::collections::BTreeMap;

use ccl_core::{
    Candidate, Interval, Lane, Proposer, RolledBackTo, StoppedBecause, TaskKey, TraceEvent,
};

use super::proposals::{Next, Proposed};
use crate::arbiter::WORTH_GOING_ON;
use crate::supervisor::Occasion;
use crate::tuner::{RunError, Tuner};

/// Why the search ended, in a word and in a sentence.
pub(super) type Stop = (StoppedBecause, String);

/// Whether a run asks a language model, or somebody else steers it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    Model,
    Nobody,
}

impl Tuner<'_> {
    pub(super) fn online(&mut self) -> Result<Stop, RunError> {
        if let Some(stop) = self.open(Asks::Model)? {
            return self.stop(stop);
        }
        let stop = loop {
            self.hear()?;
            if let Some(stop) = self.must_stop() {
                // The budget is one of candidates: those that have begun are seen through.
                if stop.0 == StoppedBecause::Budget && self.is_racing() {
                    self.go_on()?;
                    continue;
                }
                break stop;
            }
            if let Some(because) = &self.asked_to_stop {
                break (
                    StoppedBecause::Plateau,
                    format!("the language model sees nothing more to try: {because}"),
                );
            }
            match self.next_proposals() {
                Next::Round(proposals, because) => self.try_round(proposals, because)?,
                Next::GoOn => self.go_on()?,
                Next::Nothing(_) if self.forget_earlier_runs()? || self.hear_neighbours() => {}
                // The model may still think, or see something in what was tried since.
                Next::Nothing(_) if self.hear_last()? => {}
                Next::Nothing(left) => {
                    let heard = self.consult(Occasion::Plateau)? && self.hear_last()?;
                    if !heard && self.must_stop().is_none() {
                        break self.plateau(left);
                    }
                }
            }
        };
        self.give_up_llm(format!("the search ended before it answered: {}", stop.1))?;
        self.stop(stop)
    }

    /// Everything before the first round: the baseline, what holds keys back, what is not worth a trial. A machine
    /// that is broken is a reason to stop.
    pub(super) fn open(&mut self, asks: Asks) -> Result<Option<Stop>, RunError> {
        self.measure_baseline()?;
        if let Some(stop) = self.diagnose()? {
            return Ok(Some(stop));
        }
        if asks == Asks::Model {
            // It thinks while the others begin.
            self.consult(Occasion::Start)?;
        }
        self.screen_keys()?;
        Ok(None)
    }

    /// One iteration more: of the race, or of the incumbent where nothing races.
    pub(crate) fn go_on(&mut self) -> Result<(), RunError> {
        if self.is_racing() {
            self.trial(self.counts.rounds, Vec::new())?;
            return self.review_models();
        }
        let incumbent = self.approved_incumbent()?;
        if let Ok(sample) = self.spend(&incumbent)? {
            self.pace_us.push(sample.iteration_us);
        }
        Ok(())
    }

    /// Tries proposals together: numbered, judged by the guard, and then beside the incumbent.
    pub(crate) fn try_round(
        &mut self,
        proposals: Vec<Proposed>,
        because: String,
    ) -> Result<(), RunError> {
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
            return Ok(());
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
        self.review_models()
    }

    /// Refuses what was proposed and cannot be, in the open; it is not proposed again.
    pub(crate) fn refuse(&mut self, proposed: Proposed, reason: String) -> Result<(), RunError> {
        for candidate in self.number(vec![proposed]) {
            self.refuse_candidate(candidate, reason.clone())?;
        }
        Ok(())
    }

    fn refuse_candidate(&mut self, candidate: Candidate, reason: String) -> Result<(), RunError> {
        if let Some(key) = self.key_state_mut(candidate.key) {
            key.tried.push(candidate.choice);
        }
        self.counts.refused += 1;
        let said = format!("{} on {}: {reason}", candidate.choice, candidate.key);
        self.refusals.push(said);
        self.emit(TraceEvent::Refused { candidate, reason })
    }

    /// Gives a key, or all of them, back to NCCL's own choices; candidates on their way end. The keys that ran
    /// something else.
    pub(crate) fn give_back(&mut self, key: Option<TaskKey>) -> Result<Vec<TaskKey>, RunError> {
        self.end_race("rolled back")?;
        let is_meant = |of: TaskKey| key.is_none_or(|key| key == of);
        let mut keys = Vec::new();
        for state in &mut self.situation.keys {
            if is_meant(state.facts.key) && state.incumbent.take().is_some() {
                keys.push(state.facts.key);
            }
        }
        for key in &keys {
            self.incumbent.policy = self.incumbent.policy.with_choice(*key, None);
            if let Some(model) = self.models.get_mut(key) {
                model.give_back();
            }
        }
        self.pace_us.clear();
        let incumbent = self.approved_incumbent()?;
        self.testbed.settle(&incumbent)?;
        self.emit(TraceEvent::RolledBack {
            to: match self.incumbent.is_untuned() {
                true => RolledBackTo::Defaults,
                false => RolledBackTo::Kept,
            },
            configuration: self.incumbent.clone(),
            suspects: Vec::new(),
            reason: "somebody asked for it".to_owned(),
            lost_iterations: 0.0,
        })?;
        Ok(keys)
    }

    pub(super) fn stop(&mut self, stop: Stop) -> Result<Stop, RunError> {
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
            match self.assess(&candidate) {
                Ok(_) => {
                    if let Some(key) = self.key_state_mut(candidate.key) {
                        key.tried.push(candidate.choice);
                    }
                    self.counts.trials += 1;
                    match candidate.lane {
                        Lane::Hypothesis => self.counts.hypothesis += 1,
                        Lane::Numeric => self.counts.numeric += 1,
                    }
                    self.counts.warm_rules += u32::from(candidate.proposer == Proposer::Memory);
                    passed.push(candidate);
                }
                Err(refusal) => self.refuse_candidate(candidate, refusal.to_string())?,
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
