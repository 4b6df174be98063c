//! The models of the keys: made from what is known before the job is touched, told every trial.

use std::collections::BTreeMap;

use ccl_core::{Candidate, Choice, Outcome, Policy, TaskKey};

use crate::key_model::{CheapFigures, KeyModel};
use crate::oracle::space_of;
use crate::situation::KeyState;
use crate::tuner::Tuner;

/// Pairs whose median one outlier does not move.
const PAIRS_TO_KNOW_OUTLIERS: u32 = 3;
/// Standard deviations from what was expected that make an outlier likelier than a discovery.
const SURPRISING: f64 = 3.0;

/// Name of the simulator as a source of figures.
const SIMULATOR: &str = "the simulator";

impl Tuner<'_> {
    /// A model for every key, with what the machine should do.
    pub(super) fn make_models(&mut self) {
        for index in 0..self.situation.keys.len() {
            let Some(state) = self.situation.keys.get(index) else {
                continue;
            };
            let key = state.facts.key;
            let sources = self.simulated_figures(state).into_iter().collect();
            let seed = self
                .options
                .seed
                .wrapping_mul(0x9e37_79b9)
                .wrapping_add(index as u64);
            let untuned = state.observed.choice;
            let model = KeyModel::new(space_of(&state.facts), untuned, sources, seed);
            self.models.insert(key, model);
        }
    }

    /// What the simulator says of every choice of a key: of the call where it is waited for, of the
    /// iteration where it runs beside computation.
    fn simulated_figures(&self, state: &KeyState) -> Option<CheapFigures> {
        let expectation = self.expectation()?;
        let facts = &state.facts;
        let untuned_us = if facts.overlapped {
            expectation.iteration_us(&Policy::default())?
        } else {
            expectation.call_us(facts, None)?
        };
        // Of an iteration, only what its calls take of it is missed.
        #[allow(clippy::cast_precision_loss)] // a count of calls
        let misses = match facts.overlapped {
            true => (facts.calls as f64 * expectation.call_us(facts, None)? / untuned_us).min(1.0),
            false => 1.0,
        };
        let points = space_of(facts).points().into_iter();
        let figures: BTreeMap<_, _> = points
            .filter_map(|choice| {
                let time_us = if facts.overlapped {
                    let policy = Policy::default().with_choice(facts.key, Some(choice));
                    expectation.iteration_us(&policy)
                } else {
                    expectation.call_us(facts, Some(choice))
                };
                Some((choice, (time_us? / untuned_us).ln()))
            })
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
            .belief(&choice)
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
