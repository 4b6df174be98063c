//! An iteration's calls one by one: for whoever makes them himself and asks what they cost.

use ccl_core::Choice;
use ccl_core::Collective;

use super::{Call, IterationModel, Phase, overlapped_us};
use crate::{ComputeLoad, Group, ResolvedChoice};

/// Calls of one kind in an iteration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IterationCall {
    /// The primitive.
    pub collective: Collective,
    /// Its size, bytes.
    pub bytes: u64,
    /// Who takes part.
    pub group: Group,
    /// How many there are.
    pub count: f64,
    /// Whether computation runs beside them.
    pub overlapped: bool,
}

/// What one call costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CallCost {
    /// Its duration, microseconds, beside the computation where there is one.
    pub time_us: f64,
    /// Its duration without computation beside it, microseconds.
    pub alone_us: f64,
    /// How much longer the computation takes while it runs: 1 = not at all.
    pub compute_slowdown: f64,
}

impl CallCost {
    /// The same call on a day on which everything takes longer.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self {
            time_us: self.time_us * factor,
            alone_us: self.alone_us * factor,
            ..self
        }
    }
}

impl IterationModel {
    /// The calls of an iteration in the order of their phases; those of a phase that are waited for come
    /// first.
    pub fn iteration_calls(&self) -> Vec<IterationCall> {
        self.placed()
            .map(|(_, call, overlapped)| IterationCall {
                collective: call.collective,
                bytes: call.bytes,
                group: call.group,
                count: call.count,
                overlapped,
            })
            .collect()
    }

    fn placed(&self) -> impl Iterator<Item = (&Phase, &Call, bool)> {
        self.phases.iter().flat_map(|phase| {
            let exposed = phase.exposed.iter().map(move |call| (phase, call, false));
            let overlapped = phase.overlapped.iter().map(move |call| (phase, call, true));
            exposed.chain(overlapped)
        })
    }

    /// What a call of a kind, by its number in [`IterationModel::iteration_calls`], runs under a choice;
    /// without one, what the model takes for NCCL's own.
    pub fn resolve(&self, number: usize, choice: Option<Choice>) -> Option<ResolvedChoice> {
        let (_, call, _) = self.placed().nth(number)?;
        let choice = match choice {
            Some(choice) => {
                let model = self.models.get(call.model)?;
                model.resolve(choice, call.collective, call.bytes)
            }
            None => self.untuned(call),
        };
        Some(choice)
    }

    /// What it then costs.
    pub fn call_cost(&self, number: usize, choice: ResolvedChoice) -> Option<CallCost> {
        let (phase, call, overlapped) = self.placed().nth(number)?;
        Some(self.cost(phase, call, choice, overlapped))
    }

    pub(super) fn cost(
        &self,
        phase: &Phase,
        call: &Call,
        choice: ResolvedChoice,
        overlapped: bool,
    ) -> CallCost {
        let alone = self.time(call, choice, ComputeLoad::NONE);
        let time = match overlapped {
            true => self.time(call, choice, phase.load),
            false => alone,
        };
        CallCost {
            time_us: time.time_us,
            alone_us: alone.time_us,
            compute_slowdown: time.compute_slowdown,
        }
    }

    /// Wall time of an iteration, microseconds, whose calls of each kind cost this much on average.
    pub fn iteration_us(&self, costs: &[CallCost]) -> f64 {
        let mut costs = costs.iter().copied();
        let nothing = CallCost {
            time_us: 0.0,
            alone_us: 0.0,
            compute_slowdown: 1.0,
        };
        self.wall_us(|_, _, _| costs.next().unwrap_or(nothing))
    }

    /// Adds up the phases; asks for each call in the order of [`IterationModel::iteration_calls`].
    pub(super) fn wall_us(&self, mut cost: impl FnMut(&Phase, &Call, bool) -> CallCost) -> f64 {
        let mut iteration_us = 0.0;
        for phase in &self.phases {
            let mut exposed_us = 0.0;
            for call in &phase.exposed {
                exposed_us += call.count * cost(phase, call, false).time_us;
            }
            let (mut beside_us, mut alone_us, mut slowed) = (0.0, 0.0, 0.0);
            for call in &phase.overlapped {
                let cost = cost(phase, call, true);
                beside_us += call.count * cost.time_us;
                alone_us += call.count * cost.alone_us;
                slowed += call.count * cost.time_us * cost.compute_slowdown;
            }
            iteration_us +=
                exposed_us + overlapped_us(phase.compute_us, beside_us, alone_us, slowed);
        }
        iteration_us
    }
}
