//! The models of the keys: made from what is known before the job is touched, told every trial.
//!
//! What an earlier run measured, and what calls took outside the job, are observations of the same model
//! with a variance for the difference between there and here. So they need no weights of their own: a
//! trial counts for more, and where trials contradict them they are heard no more.

use std::collections::{BTreeMap, BTreeSet};

use ccl_core::{Candidate, Choice, Outcome, Policy, TaskKey};
use ccl_memory::{Measured, SurrogateRecord};

use crate::key_model::{CheapFigures, Elsewhere, KeyModel};
use crate::oracle::space_of;
use crate::situation::KeyState;
use crate::tuner::{RunError, Tuner};

/// Pairs whose median one outlier does not move.
const PAIRS_TO_KNOW_OUTLIERS: u32 = 3;
/// Standard deviations from what was expected that make an outlier likelier than a discovery.
const SURPRISING: f64 = 3.0;

/// Name of the simulator as a source of figures.
const SIMULATOR: &str = "the simulator";

/// How far a ratio of times differs on another machine of the kind, or another day: a standard deviation of
/// the logarithm, as far as the simulator misses between algorithms and protocols, for the same reasons.
const ANOTHER_DAY: f64 = 0.10;
/// How far a ratio of times outside the job misses the one inside: a standard deviation of the logarithm.
/// Medians of three calls, of which each differs by some percent, and nothing beside them.
const OUTSIDE_THE_JOB: f64 = 0.05;

impl Tuner<'_> {
    /// A model for every key, with what the machine should do.
    pub(super) fn make_models(&mut self) {
        for index in 0..self.situation.keys.len() {
            self.make_model(index);
        }
    }

    /// The model of a key, with all that is known of it but trials.
    pub(super) fn make_model(&mut self, index: usize) {
        let Some(state) = self.situation.keys.get(index) else {
            return;
        };
        let key = state.facts.key;
        let simulated = self.simulated_figures(state);
        let misses = simulated.as_ref().map_or(1.0, |figures| figures.misses);
        let sources = simulated.into_iter().collect();
        let elsewhere: Vec<Elsewhere> =
            [self.timed_outside(state), self.remembered_of(state, misses)]
                .into_iter()
                .flatten()
                .collect();
        let seed = self
            .options
            .seed
            .wrapping_mul(0x9e37_79b9)
            .wrapping_add(index as u64);
        let untuned = state.observed.choice;
        let model = KeyModel::new(space_of(&state.facts), untuned, sources, &elsewhere, seed);
        self.models.insert(key, model);
    }

    /// What choices of a key that is waited for took outside the job, where they were timed there.
    fn timed_outside(&self, state: &KeyState) -> Option<Elsewhere> {
        let key = state.facts.key;
        let untuned_us = (*self.probed_us.get(&(key, None))?)?;
        let of_key = self.probed_us.iter().filter(|((of, _), _)| *of == key);
        let observations: Vec<_> = of_key
            .filter_map(|((_, choice), us)| {
                let log_ratio = ((*us)? / untuned_us).ln();
                Some(((*choice)?, log_ratio, OUTSIDE_THE_JOB.powi(2)))
            })
            .filter(|(_, log_ratio, _)| log_ratio.is_finite())
            .collect();
        (!state.facts.overlapped && !observations.is_empty()).then(|| Elsewhere {
            name: "the micro-benchmark".to_owned(),
            observations,
            is_remembered: false,
        })
    }

    /// What earlier runs measured of a key: in this context, or else in those related to it. `misses` is how
    /// much of a difference between calls shows in its figures.
    fn remembered_of(&self, state: &KeyState, misses: f64) -> Option<Elsewhere> {
        let context = &self.situation.context;
        let (key, overlapped) = (state.facts.key, state.facts.overlapped);
        let untuned = state.observed.choice;
        let all = self.remembered.surrogates.iter();
        let mut records: Vec<&SurrogateRecord> = all
            .filter(|r| r.applies_to(context, key, overlapped, untuned))
            .collect();
        if records.iter().any(|r| r.context == *context) {
            records.retain(|r| r.context == *context);
        }
        let differs = (ANOTHER_DAY * misses).powi(2);
        let measured = records.iter().flat_map(|r| &r.observations);
        let observations: Vec<_> = measured
            .map(|m| (m.choice, m.log_ratio, m.variance + differs))
            .collect();
        let runs: BTreeSet<&str> = records.iter().map(|r| r.run_id.as_str()).collect();
        let runs: Vec<&str> = runs.into_iter().collect();
        (!observations.is_empty()).then(|| Elsewhere {
            name: format!("what run {} measured", runs.join(", ")),
            observations,
            is_remembered: true,
        })
    }

    /// What is remembered may say what to try first, not that there is nothing to try: the models forget what
    /// earlier runs measured. Whether any believed it, and so may see something now.
    pub(super) fn forget_earlier_runs(&mut self) -> Result<bool, RunError> {
        let mut keys = Vec::new();
        for (key, model) in &mut self.models {
            if model.forget_earlier_runs() {
                keys.push(*key);
            }
        }
        for key in &keys {
            let statement = format!(
                "{key}: by what an earlier run measured nothing more is worth trying; from now on without it"
            );
            self.observe(Some(*key), statement)?;
        }
        Ok(!keys.is_empty())
    }

    /// What this run measured of its keys' choices, as records of this run.
    pub fn measured(&self, run_id: &str) -> Vec<SurrogateRecord> {
        let source = self.testbed.describe().source;
        let keys = self.situation.keys.iter();
        keys.filter_map(|state| {
            let model = self.models.get(&state.facts.key)?;
            let measured = model.measured().into_iter();
            let observations: Vec<Measured> = measured
                .map(|(choice, known)| Measured {
                    choice,
                    log_ratio: known.mean,
                    variance: known.variance,
                })
                .collect();
            (!observations.is_empty()).then(|| SurrogateRecord {
                context: self.situation.context.clone(),
                key: state.facts.key,
                overlapped: state.facts.overlapped,
                untuned: state.observed.choice,
                observations,
                source,
                run_id: run_id.to_owned(),
            })
        })
        .collect()
    }

    /// What the simulator says of every choice of a key: of the call where it is waited for, of the
    /// iteration where it runs beside computation.
    fn simulated_figures(&self, state: &KeyState) -> Option<CheapFigures> {
        let expectation = self.expectation()?;
        let facts = &state.facts;
        let time_us = |choice: Option<Choice>| match facts.overlapped {
            true => expectation.iteration_us(&Policy::default().with_choice(facts.key, choice)),
            false => expectation.call_us(facts, choice),
        };
        let untuned_us = time_us(None)?;
        // Of an iteration, only what its calls take of it is missed.
        #[allow(clippy::cast_precision_loss)] // a count of calls
        let misses = match facts.overlapped {
            true => (facts.calls as f64 * expectation.call_us(facts, None)? / untuned_us).min(1.0),
            false => 1.0,
        };
        let points = space_of(facts).points().into_iter();
        let figures: BTreeMap<_, _> = points
            .filter_map(|choice| Some((choice, (time_us(Some(choice))? / untuned_us).ln())))
            .collect();
        Some(CheapFigures {
            name: SIMULATOR.to_owned(),
            figures,
            misses,
        })
    }

    /// Tells a model what so many pairs say of a choice: the logarithm of candidate over incumbent, with its
    /// variance. Of fewer pairs than it takes to know an outlier, none counts for much more than was
    /// to be expected.
    pub(super) fn tell_model(
        &mut self,
        key: TaskKey,
        choice: Choice,
        (log_ratio, variance): (f64, f64),
        pairs: u32,
    ) {
        let Some(model) = self.models.get_mut(&key) else {
            return;
        };
        let surprise = match model
            .own_belief(&choice)
            .filter(|_| pairs < PAIRS_TO_KNOW_OUTLIERS)
        {
            Some(belief) => {
                let expected = belief.variance + variance;
                ((log_ratio - belief.mean) / SURPRISING).powi(2) - expected
            }
            None => 0.0,
        };
        model.observe(choice, log_ratio, variance + surprise.max(0.0));
    }

    /// Tells the model and the arbiter how a trial ended; `estimate` is the logarithm of candidate
    /// over incumbent, with its variance.
    pub(super) fn learn(
        &mut self,
        candidate: &Candidate,
        outcome: Outcome,
        estimate: Option<(f64, f64)>,
        pairs: u32,
    ) {
        let (log_ratio, variance) = match (outcome, estimate) {
            (Outcome::RolledBackFailed, _) => (f64::INFINITY, 0.0),
            (_, Some(estimate)) => estimate,
            (_, None) => return,
        };
        match estimate {
            Some(estimate) if log_ratio.is_finite() => {
                self.tell_model(candidate.key, candidate.choice, estimate, pairs);
            }
            _ => {
                if let Some(model) = self.models.get_mut(&candidate.key) {
                    model.observe(candidate.choice, log_ratio, variance);
                }
            }
        }
        let share = self.situation.key(candidate.key).map_or(0.0, |k| {
            if k.facts.overlapped {
                1.0
            } else {
                k.observed.share
            }
        });
        let saved = share * (1.0 - log_ratio.exp());
        let promised = self.promised.get(&(candidate.key, candidate.choice));
        self.arbiter.book(
            candidate.lane,
            promised.copied().unwrap_or(0.0),
            outcome.is_kept().then_some(saved),
        );
    }
}
