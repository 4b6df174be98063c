//! What the hardware *does*: time of a call with a given choice on given links.
//!
//! A latency-bandwidth model with the effects that separate choices from one another: steps of a
//! ring or tree, the throughput of one channel by protocol, threads and chunk, the links inside a
//! node and the NICs that concurrent groups share, the time until a tree's pipeline is full,
//! host memory between GPUs that cannot reach each other, switches that reduce, jitter between
//! ranks, and computation on the same GPU, both ways. It does not know NCCL's cost model.
//!
//! Validated range and sources: `doc/model-validation.md`. No state, no allocation per call.

mod bandwidth;
mod parameters;

use ccl_core::{Algorithm, ClusterSpec, Collective, Protocol};

use crate::{CallTime, CollectiveCall, ComputeLoad, ProcessSettings};
pub use parameters::Parameters;

/// The hardware of one cluster under given process settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Hardware {
    parameters: Parameters,
}

/// Share of a channel's thread block that concurrent computation would otherwise use of its SM:
/// NCCL's blocks leave part of the registers and issue slots free. Fitted to the compute side of
/// AutoCCL (NSDI 2025) figure 10.
const SM_SHARE_OF_CHANNEL: f64 = 0.7;

/// What a step of a ring between nodes costs, over a step of a tree: Polaris, 4 KiB, 28 us (Ring
/// AllGather) against 19 us (Tree AllReduce), the same at 2 and at 256 nodes.
const RING_HOP: f64 = 1.45;

impl Hardware {
    /// The hardware a cluster's processes see.
    pub fn new(cluster: &ClusterSpec, settings: &ProcessSettings) -> Self {
        Self {
            parameters: Parameters::of(cluster, settings),
        }
    }

    /// The call with nodes that share one NVLink domain seen as one: no network lies between them.
    fn in_domains(&self, call: &CollectiveCall) -> CollectiveCall {
        let mut call = *call;
        let nodes = call.group.shape.nodes;
        call.group.shape.nodes = nodes.div_ceil(self.parameters.nodes_of_domain);
        call
    }

    /// The figures behind the model.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Time of one call and what it does to computation beside it.
    pub fn time(&self, call: &CollectiveCall, load: ComputeLoad) -> CallTime {
        let p = &self.parameters;
        let call = &self.in_domains(call);
        if call.group.shape.ranks <= 1 {
            return CallTime {
                time_us: p.launch_us,
                compute_slowdown: 1.0,
            };
        }
        let time_us = match (call.collective, call.choice.algorithm) {
            (Collective::AllToAll, _) => self.all_to_all_us(call, load),
            (Collective::SendRecv, _) => self.send_recv_us(call, load),
            (_, Algorithm::Tree | Algorithm::NvlsTree) => self.tree_us(call, load),
            (_, Algorithm::Nvls) => self.nvls_us(call, load),
            (_, Algorithm::Pat) => self.pat_us(call, load),
            _ => self.ring_us(call, load),
        };
        CallTime {
            time_us,
            compute_slowdown: self.compute_slowdown(call, time_us, load),
        }
    }

    /// Bytes over the busiest link, in megabytes: what bus bandwidth is measured on.
    #[allow(clippy::cast_precision_loss)] // bytes below 2^53
    fn bus_megabytes(call: &CollectiveCall) -> f64 {
        call.bytes as f64 * call.collective.bus_factor(call.group.shape.ranks) / 1e6
    }

    /// Every step waits for its slowest rank: the lag adds up like a random walk over the volume.
    /// Protocols that carry their flags inside the data hand over finer and lag less.
    fn jitter_us(&self, call: &CollectiveCall, megabytes: f64) -> f64 {
        let p = &self.parameters;
        let share = [0.3, 0.55, 1.0][call.choice.protocol.nccl_id() as usize];
        let of_fabric = if call.group.shape.nodes > 1 {
            p.network_jitter_us
        } else {
            p.jitter_us
        };
        of_fabric * share * megabytes.sqrt()
    }

    fn ring_us(&self, call: &CollectiveCall, load: ComputeLoad) -> f64 {
        let p = &self.parameters;
        let protocol = call.choice.protocol;
        let i = protocol.nccl_id() as usize;
        let shape = call.group.shape;
        let (ranks, nodes) = (f64::from(shape.ranks), f64::from(shape.nodes));
        let rounds = if call.collective == Collective::AllReduce {
            2.0
        } else {
            1.0
        };
        // A ring closes: the longest way round leaves out one edge, and where a node holds several
        // ranks that is one inside a node.
        let edges = if shape.ranks_per_node() > 1 && nodes > 1.0 {
            nodes
        } else {
            nodes - 1.0
        };
        let between = rounds * edges;
        let inside = (rounds * (ranks - 1.0) - between).max(0.0);
        let megabytes = Self::bus_megabytes(call);
        let gbs = self.ring_gbs(call, load);
        // A chain instead of a circle: the last rank waits for the first chunk to come by.
        let chain = matches!(call.collective, Collective::Broadcast | Collective::Reduce);
        let fill = if chain {
            (ranks - 1.0) * self.chunk_us(call, gbs)
        } else {
            0.0
        };
        p.launch_us
            + inside * p.intra_step_us[i]
            + between * self.ring_hop_us(call)
            + self.proxy_us(call)
            + fill
            + self.jitter_us(call, megabytes)
            + 1000.0 * megabytes / gbs
    }

    /// One step of a ring between nodes, microseconds. Data that carries its flags is sent in one
    /// message until the fabric asks for a rendezvous (Slingshot: between 8 and 64 KiB on the wire
    /// a step grows from 30 to 110 us, on 8 as on 1,024 GPUs of the Polaris sweeps); Simple
    /// is slow enough to have that in its step.
    #[allow(clippy::cast_precision_loss)] // bytes below 2^53
    fn ring_hop_us(&self, call: &CollectiveCall) -> f64 {
        let p = &self.parameters;
        let protocol = call.choice.protocol;
        let step_us = p.inter_step_us[protocol.nccl_id() as usize];
        if protocol == Protocol::Simple {
            return step_us;
        }
        let overhead = if protocol == Protocol::Ll {
            2.0
        } else {
            128.0 / 120.0
        };
        let on_the_wire = overhead * call.bytes as f64 / f64::from(call.group.shape.ranks);
        let part = ((on_the_wire / p.rendezvous_bytes).log2() / 3.0).clamp(0.0, 1.0);
        RING_HOP * step_us + part * p.rendezvous_us
    }

    /// The proxy thread serves the channels of a call one after the other.
    fn proxy_us(&self, call: &CollectiveCall) -> f64 {
        if call.group.shape.nodes > 1 {
            f64::from(call.choice.channels) * self.parameters.proxy_us
        } else {
            0.0
        }
    }

    /// Time one chunk of one channel takes over the slowest link, microseconds.
    #[allow(clippy::cast_precision_loss)] // bytes below 2^53
    fn chunk_us(&self, call: &CollectiveCall, gbs: f64) -> f64 {
        let channels = f64::from(call.choice.channels.max(1));
        let chunk = (call.choice.chunk_bytes as f64).min(call.bytes as f64 / channels);
        chunk / 1e3 / (gbs / channels)
    }

    fn tree_us(&self, call: &CollectiveCall, load: ComputeLoad) -> f64 {
        let p = &self.parameters;
        let protocol = call.choice.protocol;
        let i = protocol.nccl_id() as usize;
        let shape = call.group.shape;
        let through_switch = call.choice.algorithm == Algorithm::NvlsTree;
        let depth = f64::from(shape.nodes.max(1)).log2().ceil();
        let inside = if through_switch {
            0.0
        } else {
            f64::from(shape.ranks_per_node() - 1)
        };
        #[allow(clippy::cast_precision_loss)] // bytes below 2^53
        let megabytes = call.bytes as f64 / 1e6;
        let gbs = self.tree_gbs(call, load);
        let startup = if through_switch {
            p.nvls_startup_us
        } else {
            0.0
        };
        // The root sees the first chunk after every hop of the way up has moved one.
        let fill = (inside + depth) * self.chunk_us(call, gbs);
        p.launch_us
            + startup
            + 2.0 * inside * p.intra_step_us[i]
            + 2.0 * depth * p.inter_step_us[i]
            + self.proxy_us(call)
            + fill
            + self.jitter_us(call, 2.0 * megabytes)
            + 1000.0 * megabytes / gbs
    }

    fn nvls_us(&self, call: &CollectiveCall, load: ComputeLoad) -> f64 {
        let p = &self.parameters;
        let megabytes = Self::bus_megabytes(call);
        p.launch_us
            + p.nvls_startup_us
            + p.nvls_jitter_us * megabytes.sqrt()
            + 1000.0 * megabytes / self.nvls_gbs(call, load)
    }

    fn pat_us(&self, call: &CollectiveCall, load: ComputeLoad) -> f64 {
        let p = &self.parameters;
        let megabytes = Self::bus_megabytes(call);
        let depth = f64::from(call.group.shape.nodes.max(1)).log2().ceil();
        // Each of the log2(n) rounds sends to a farther peer; NCCL's own model adds a part that
        // grows with the ranks, which measurements by its authors show too.
        p.launch_us
            + 1.5 * depth * p.inter_step_us[Protocol::Simple.nccl_id() as usize]
            + 0.5 * f64::from(call.group.shape.ranks)
            + self.jitter_us(call, megabytes)
            + 1000.0 * megabytes / (0.85 * self.ring_gbs(call, load))
    }

    fn all_to_all_us(&self, call: &CollectiveCall, load: ComputeLoad) -> f64 {
        let p = &self.parameters;
        let shape = call.group.shape;
        let outside = f64::from(shape.ranks - shape.ranks_per_node());
        let inside = f64::from(shape.ranks_per_node() - 1);
        let megabytes = Self::bus_megabytes(call);
        p.launch_us
            + outside * p.peer_us
            + inside * p.intra_step_us[2]
            + self.jitter_us(call, megabytes)
            + 1000.0 * megabytes / self.all_to_all_gbs(call, load)
    }

    fn send_recv_us(&self, call: &CollectiveCall, load: ComputeLoad) -> f64 {
        let p = &self.parameters;
        let megabytes = Self::bus_megabytes(call);
        let hop = if call.group.shape.nodes > 1 {
            p.inter_step_us[2]
        } else {
            p.intra_step_us[2]
        };
        p.launch_us + hop + 1000.0 * megabytes / self.send_recv_gbs(call, load)
    }

    /// Computation loses the SMs that channels sit on and part of the memory bandwidth.
    fn compute_slowdown(&self, call: &CollectiveCall, time_us: f64, load: ComputeLoad) -> f64 {
        let p = &self.parameters;
        let taken = f64::from(call.choice.channels) * SM_SHARE_OF_CHANNEL / p.sms;
        // SMs the computation leaves idle cost it nothing.
        let lost = (taken - (1.0 - load.sm_fraction)).clamp(0.0, 0.9);
        // Each byte on the bus is read and written, and a reduction reads once more.
        let traffic_gbs = 2.5 * 1000.0 * Self::bus_megabytes(call) / time_us.max(1e-9);
        let contention = (load.memory_fraction + traffic_gbs / p.memory_gbs - 1.0).max(0.0);
        (1.0 / (1.0 - lost)) * (1.0 + contention)
    }
}
