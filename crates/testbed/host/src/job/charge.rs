//! What launches cost: the simulator's time for what NCCL really scheduled, with noise that is the
//! same on all ranks.

use std::cell::Cell;

use ccl_core::Collective;
use ccl_sim::ResolvedChoice;
use ccl_sim::iteration::{CallCost, IterationModel};
use ccl_sim::noise::NoiseModel;

use crate::launches::{Durations, Launch, Operation};
use crate::world::JobError;

thread_local! {
    /// Iteration, place in it and kind of the call that this thread is about to launch.
    static CALL: Cell<(u64, u64, usize)> = const { Cell::new((0, 0, 0)) };
}

/// Says which call the calling thread launches next.
pub(super) fn about_to_launch(iteration: u64, index: usize, kind: usize) {
    CALL.set((iteration, index as u64, kind));
}

/// The source of durations.
pub(super) struct Charges {
    model: IterationModel,
    noise: NoiseModel,
}

impl Charges {
    pub(super) fn new(model: IterationModel, noise: NoiseModel) -> Self {
        Self { model, noise }
    }

    fn cost(&self, kind: usize, operation: &Operation) -> Option<CallCost> {
        let choice = ResolvedChoice {
            algorithm: operation.algorithm,
            protocol: operation.protocol,
            channels: operation.channels,
            threads: operation.threads,
            chunk_bytes: operation.chunk_bytes,
        };
        self.model.call_cost(kind, choice)
    }

    pub(super) fn sums(&self) -> Sums<'_> {
        let kinds = self.model.iteration_calls();
        let costs = kinds.iter().enumerate().map(|(kind, call)| {
            // What NCCL builds from send and receive is not run here, and charged all the same.
            let unseen = self
                .model
                .resolve(kind, None)
                .filter(|_| !call.collective.is_tunable());
            unseen.and_then(|choice| self.model.call_cost(kind, choice))
        });
        Sums {
            charges: self,
            sums: costs
                .map(|cost| cost.map_or((NOTHING, 0.0), |cost| (cost, 1.0)))
                .collect(),
        }
    }

    /// Wall time of an iteration whose calls cost that, microseconds.
    pub(super) fn iteration_us(&self, iteration: u64, sums: &Sums<'_>) -> f64 {
        let means = sums.sums.iter().map(|(sum, count)| CallCost {
            time_us: sum.time_us / count.max(1.0),
            alone_us: sum.alone_us / count.max(1.0),
            compute_slowdown: sum.compute_slowdown / count.max(1.0),
        });
        let costs: Vec<CallCost> = means.collect();
        self.model.iteration_us(&costs) * self.noise.iteration_factor(iteration)
    }
}

const NOTHING: CallCost = CallCost {
    time_us: 0.0,
    alone_us: 0.0,
    compute_slowdown: 0.0,
};

impl Durations for Charges {
    fn duration_ns(&self, launch: &Launch) -> u64 {
        let (iteration, index, kind) = CALL.get();
        let costs = launch.operations.iter().filter_map(|o| self.cost(kind, o));
        let us: f64 = costs.map(|cost| cost.time_us).sum();
        // The same stream on all ranks: a collective takes as long on each.
        let factor = self.noise.calls_factor(iteration, 1 + index, 1);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a time
        let ns = (us * factor * 1e3).max(0.0) as u64;
        ns
    }
}

/// What the calls of an iteration cost, by kind: sum and count.
pub(super) struct Sums<'a> {
    charges: &'a Charges,
    sums: Vec<(CallCost, f64)>,
}

impl Sums<'_> {
    pub(super) fn add(&mut self, kind: usize, launch: &Launch) -> Result<(), JobError> {
        let [operation] = launch.operations[..] else {
            let count = launch.operations.len();
            return Err(JobError::Unreadable(format!(
                "{count} operations in one launch"
            )));
        };
        let cost = self.charges.cost(kind, &operation);
        let sum = self.sums.get_mut(kind);
        let (Some(cost), Some((sum, count))) = (cost, sum) else {
            let collective: Collective = operation.collective;
            return Err(JobError::Unreadable(format!("an unknown {collective}")));
        };
        #[allow(clippy::cast_precision_loss)] // a time
        let cost = match cost.time_us > 0.0 {
            true => cost.times(launch.duration_ns as f64 / 1e3 / cost.time_us),
            false => cost,
        };
        sum.time_us += cost.time_us;
        sum.alone_us += cost.alone_us;
        sum.compute_slowdown += cost.compute_slowdown;
        *count += 1.0;
        Ok(())
    }
}
