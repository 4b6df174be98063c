//! One training iteration: computation and communication on one time line.
//!
//! Exposed calls add up. Overlapped calls run beside computation and slow each other down: the
//! calls lose issue slots and bandwidth, the computation loses the SMs their channels sit on. The
//! objective is the iteration's time, and a faster call can make it worse.

use std::collections::BTreeMap;

use ccl_core::{
    Choice, ClusterSpec, Collective, CommShape, Compute, DecisionTable, Overlap, Placement,
    Scaling, TaskKey, WorkloadSpec,
};
use thiserror::Error;

use crate::hardware::Hardware;
use crate::nccl::{Model, System};
use crate::{CollectiveCall, ComputeLoad, Group, ProcessSettings, ResolvedChoice};

mod calls;

pub use calls::{CallCost, IterationCall};

/// Why an iteration cannot be simulated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IterationError {
    /// The workload says nothing about what it sends.
    #[error("workload {workload} has no traffic section")]
    NoTraffic {
        /// The workload.
        workload: String,
    },
    /// The workload wants more than the cluster has.
    #[error("the workload uses {wanted} {what}; the cluster has {available}")]
    TooLarge {
        /// `nodes` or `GPUs per node`.
        what: &'static str,
        /// What it wants.
        wanted: u32,
        /// What there is.
        available: u32,
    },
    /// A group larger than the job.
    #[error("a group of {group} ranks in a job of {ranks}")]
    GroupTooLarge {
        /// Ranks of the group.
        group: u32,
        /// Ranks of the job.
        ranks: u32,
    },
}

/// One call of the iteration with everything but its choice.
#[derive(Clone, Copy, Debug)]
struct Call {
    collective: Collective,
    bytes: u64,
    group: Group,
    count: f64,
    model: usize,
}

impl Call {
    fn key(&self) -> TaskKey {
        TaskKey::of(self.group.shape, self.collective, self.bytes)
    }
}

#[derive(Clone, Debug)]
struct Phase {
    compute_us: f64,
    load: ComputeLoad,
    exposed: Vec<Call>,
    overlapped: Vec<Call>,
}

/// One task key in a simulated iteration.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyTime {
    /// Calls in one iteration.
    pub calls: f64,
    /// Size of its most frequent call, bytes.
    pub bytes: u64,
    /// Mean time of a call, microseconds.
    pub call_us: f64,
    /// What ran; `None` for what NCCL builds from send and receive.
    pub choice: Option<ResolvedChoice>,
    /// Whether computation runs beside some of its calls.
    pub overlapped: bool,
}

/// A simulated iteration, without noise.
#[derive(Clone, Debug, PartialEq)]
pub struct IterationTime {
    /// Wall time, microseconds.
    pub iteration_us: f64,
    /// Computation alone, microseconds.
    pub compute_us: f64,
    /// Its task keys.
    pub keys: BTreeMap<TaskKey, KeyTime>,
}

/// A workload on a cluster, ready to be evaluated under any policy.
#[derive(Clone, Debug)]
pub struct IterationModel {
    phases: Vec<Phase>,
    shapes: Vec<CommShape>,
    models: Vec<Model>,
    hardware: Hardware,
}

impl IterationModel {
    /// Places a workload on a cluster.
    ///
    /// # Errors
    /// A workload without traffic, or larger than the cluster.
    pub fn new(
        workload: &WorkloadSpec,
        cluster: &ClusterSpec,
        settings: &ProcessSettings,
    ) -> Result<Self, IterationError> {
        let traffic = workload
            .traffic
            .as_ref()
            .ok_or_else(|| IterationError::NoTraffic {
                workload: workload.name.clone(),
            })?;
        let sizes = [
            ("nodes", workload.nodes, cluster.nodes),
            (
                "GPUs per node",
                workload.gpus_per_node,
                cluster.gpus_per_node,
            ),
        ];
        for (what, wanted, available) in sizes {
            if wanted > available {
                return Err(IterationError::TooLarge {
                    what,
                    wanted,
                    available,
                });
            }
        }
        let scale = f64::from(traffic.reference_gpus) / f64::from(workload.total_gpus());
        let mut this = Self {
            phases: Vec::new(),
            shapes: Vec::new(),
            models: Vec::new(),
            hardware: Hardware::new(cluster, settings),
        };
        for phase in &traffic.phases {
            let factor = if phase.scaling == Scaling::MicroBatches {
                scale
            } else {
                1.0
            };
            let mut placed = Phase {
                compute_us: factor * compute_us(&phase.compute, cluster),
                load: ComputeLoad {
                    sm_fraction: phase.compute.sm_fraction,
                    memory_fraction: phase.compute.memory_fraction,
                },
                exposed: Vec::new(),
                overlapped: Vec::new(),
            };
            for call in &phase.calls {
                let Some(group) = group_of(workload, call.placement, call.group_size)? else {
                    continue;
                };
                let model = this.model_for(cluster, group.shape, settings);
                let call_here = Call {
                    collective: call.collective,
                    bytes: call.bytes,
                    group,
                    count: factor * call.count,
                    model,
                };
                match call.overlap {
                    Overlap::Exposed => placed.exposed.push(call_here),
                    Overlap::Overlapped => placed.overlapped.push(call_here),
                }
            }
            this.phases.push(placed);
        }
        Ok(this)
    }

    /// NCCL's model of one communicator shape, built once.
    fn model_for(
        &mut self,
        cluster: &ClusterSpec,
        shape: CommShape,
        settings: &ProcessSettings,
    ) -> usize {
        if let Some(found) = self.shapes.iter().position(|known| *known == shape) {
            return found;
        }
        let system = System::derive(cluster, shape, settings);
        self.shapes.push(shape);
        self.models.push(Model::new(system, settings.clone()));
        self.models.len() - 1
    }

    /// NCCL's model of a key's communicator.
    pub fn nccl_model(&self, key: TaskKey) -> Option<&Model> {
        let call = self.calls().find(|c| c.key() == key)?;
        self.models.get(call.model)
    }

    fn calls(&self) -> impl Iterator<Item = &Call> {
        self.phases
            .iter()
            .flat_map(|p| p.exposed.iter().chain(&p.overlapped))
    }

    /// Runs one iteration under a policy.
    pub fn evaluate(&self, policy: &DecisionTable) -> IterationTime {
        let mut keys: BTreeMap<TaskKey, KeyTime> = BTreeMap::new();
        let iteration_us = self.wall_us(|phase, call, overlapped| {
            let choice = self.choice(call, policy);
            let cost = self.cost(phase, call, choice, overlapped);
            book(&mut keys, call, choice, cost.time_us, overlapped);
            cost
        });
        IterationTime {
            iteration_us,
            compute_us: self.phases.iter().map(|phase| phase.compute_us).sum(),
            keys,
        }
    }

    /// Time of one call of a key outside the job, microseconds, and what ran.
    pub fn call_us(&self, key: TaskKey, choice: Option<Choice>) -> Option<f64> {
        let call = self.calls().find(|c| c.key() == key)?;
        let resolved = match choice {
            Some(choice) => {
                self.models
                    .get(call.model)?
                    .resolve(choice, call.collective, call.bytes)
            }
            None => self.untuned(call),
        };
        Some(self.time(call, resolved, ComputeLoad::NONE).time_us)
    }

    fn choice(&self, call: &Call, policy: &DecisionTable) -> ResolvedChoice {
        match policy.lookup(call.group.shape, call.collective, call.bytes) {
            Some(choice) => self.models[call.model].resolve(choice, call.collective, call.bytes),
            None => self.untuned(call),
        }
    }

    fn time(&self, call: &Call, choice: ResolvedChoice, load: ComputeLoad) -> crate::CallTime {
        let Call {
            collective,
            bytes,
            group,
            ..
        } = *call;
        self.hardware.time(
            &CollectiveCall {
                collective,
                bytes,
                group,
                choice,
            },
            load,
        )
    }

    /// NCCL's own choice; send and receive run Simple on the channels NCCL gives a peer.
    fn untuned(&self, call: &Call) -> ResolvedChoice {
        self.models[call.model]
            .choose(call.collective, call.bytes)
            .unwrap_or(ResolvedChoice::POINT_TO_POINT)
    }
}

fn book(
    keys: &mut BTreeMap<TaskKey, KeyTime>,
    call: &Call,
    choice: ResolvedChoice,
    call_us: f64,
    overlapped: bool,
) {
    let tunable = call.collective.is_tunable();
    let entry = keys.entry(call.key()).or_insert(KeyTime {
        calls: 0.0,
        bytes: call.bytes,
        call_us: 0.0,
        choice: tunable.then_some(choice),
        overlapped: false,
    });
    let calls = entry.calls + call.count;
    entry.call_us = (entry.call_us * entry.calls + call_us * call.count) / calls;
    entry.calls = calls;
    entry.overlapped |= overlapped;
}

/// Wall time of computation with calls beside it, microseconds.
///
/// While both run, the computation progresses at 1 / slowdown and the calls at their slowed pace;
/// whatever is left when the other ends runs undisturbed.
fn overlapped_us(compute_us: f64, beside_us: f64, alone_us: f64, slowed: f64) -> f64 {
    if beside_us == 0.0 {
        return compute_us;
    }
    let slowdown = slowed / beside_us;
    let together = beside_us.min(compute_us * slowdown);
    let compute_left = (compute_us - together / slowdown).max(0.0);
    let calls_left = (beside_us - together) * alone_us / beside_us;
    together + compute_left + calls_left
}

fn compute_us(compute: &Compute, cluster: &ClusterSpec) -> f64 {
    match (compute.ms, compute.tflop, compute.utilization) {
        (Some(ms), ..) => 1e3 * ms,
        (None, Some(tflop), Some(share)) => {
            1e6 * tflop / (cluster.gpu.bf16_tflops * share.max(1e-6))
        }
        _ => 0.0,
    }
}

/// The group of a call; `None` where it has one rank and so sends nothing.
fn group_of(
    workload: &WorkloadSpec,
    placement: Placement,
    size: Option<u32>,
) -> Result<Option<Group>, IterationError> {
    let (nodes, local) = (workload.nodes, workload.gpus_per_node);
    let ranks = workload.total_gpus();
    let group = match placement {
        Placement::All => Group::alone(CommShape::new(ranks, nodes)),
        Placement::Spread => Group {
            shape: CommShape::new(nodes, nodes),
            concurrent: local,
        },
        Placement::Packed => {
            let size = size.unwrap_or(local);
            if size > ranks {
                return Err(IterationError::GroupTooLarge { group: size, ranks });
            }
            if size <= local {
                Group {
                    shape: CommShape::new(size, 1),
                    concurrent: local / size,
                }
            } else {
                Group::alone(CommShape::new(size, size.div_ceil(local)))
            }
        }
    };
    Ok((group.shape.ranks > 1).then_some(group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overlaps_costs_the_longer_of_the_two() {
        assert_eq!(overlapped_us(100.0, 0.0, 0.0, 0.0), 100.0);
        assert_eq!(overlapped_us(100.0, 40.0, 40.0, 40.0), 100.0);
        assert_eq!(overlapped_us(40.0, 100.0, 100.0, 100.0), 100.0);
        // 40 us of calls halve the computation's pace: 20 us of it are done by then.
        assert_eq!(overlapped_us(100.0, 40.0, 40.0, 80.0), 120.0);
        // The computation ends after 80 us; the last 20 us of calls run at full speed.
        assert_eq!(overlapped_us(80.0, 100.0, 50.0, 100.0), 90.0);
    }
}
