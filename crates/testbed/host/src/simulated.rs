//! Durations from the simulator's hardware model: what the machine of a cluster specification would
//! take for what NCCL really launched.

use std::collections::BTreeMap;
use std::time::Duration;

use ccl_core::{ClusterSpec, CommShape};
use ccl_sim::hardware::Hardware;
use ccl_sim::{CollectiveCall, ComputeLoad, Group, ProcessSettings, ResolvedChoice};

use crate::launches::{Durations, Launch, Operation};

/// The hardware of a cluster.
pub struct SimulatedHardware {
    hardware: Hardware,
    /// Groups of a shape that share a node; 1 where nothing is said.
    concurrent: BTreeMap<(u32, u32), u32>,
}

impl SimulatedHardware {
    /// The hardware of a cluster, without any process setting.
    pub fn new(cluster: &ClusterSpec) -> Self {
        Self {
            hardware: Hardware::new(cluster, &ProcessSettings::default()),
            concurrent: BTreeMap::new(),
        }
    }

    /// Says how many groups of a shape work at the same time and share a node.
    #[must_use]
    pub fn with_concurrent(mut self, shape: CommShape, groups: u32) -> Self {
        self.concurrent.insert((shape.ranks, shape.nodes), groups);
        self
    }

    /// Time of one operation, alone on the GPU.
    pub fn time(&self, operation: &Operation, shape: CommShape) -> Duration {
        let concurrent = self.concurrent.get(&(shape.ranks, shape.nodes));
        let call = CollectiveCall {
            collective: operation.collective,
            bytes: operation.bytes,
            group: Group {
                shape,
                concurrent: concurrent.copied().unwrap_or(1),
            },
            choice: ResolvedChoice {
                algorithm: operation.algorithm,
                protocol: operation.protocol,
                channels: operation.channels,
                threads: operation.threads,
                chunk_bytes: operation.chunk_bytes,
            },
        };
        let time_us = self.hardware.time(&call, ComputeLoad::NONE).time_us;
        Duration::from_secs_f64(time_us.max(0.0) / 1e6)
    }
}

impl Durations for SimulatedHardware {
    /// Operations of one launch are charged one after the other. A real GPU runs those that have
    /// different channels side by side, so that groups are dearer here than there.
    fn duration_ns(&self, launch: &Launch) -> u64 {
        let times = launch
            .operations
            .iter()
            .map(|operation| self.time(operation, launch.shape));
        u64::try_from(times.sum::<Duration>().as_nanos()).unwrap_or(u64::MAX)
    }
}
