//! One collective call with everything decided, and what the machine makes of it.
//!
//! The vocabulary between the layers: the NCCL model produces a [`ResolvedChoice`], the hardware
//! model turns a [`CollectiveCall`] into a [`CallTime`], the iteration adds those up.

use ccl_core::{Algorithm, Choice, Collective, CommShape, Protocol};

/// A choice with nothing left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResolvedChoice {
    /// The walk over the ranks.
    pub algorithm: Algorithm,
    /// The signalling.
    pub protocol: Protocol,
    /// Channels, 1 and up.
    pub channels: u32,
    /// Threads per channel.
    pub threads: u32,
    /// Bytes a channel moves per pipeline step.
    pub chunk_bytes: u64,
}

impl ResolvedChoice {
    /// What point-to-point traffic runs with, as far as SMs are concerned; its algorithm means
    /// nothing.
    pub const POINT_TO_POINT: Self = Self {
        algorithm: Algorithm::Ring,
        protocol: Protocol::Simple,
        channels: 8,
        threads: 512,
        chunk_bytes: 512 << 10,
    };
}

impl From<ResolvedChoice> for Choice {
    fn from(r: ResolvedChoice) -> Self {
        Choice::new(r.algorithm, r.protocol)
            .with_channels(r.channels)
            .with_threads(r.threads)
            .with_chunk_bytes(r.chunk_bytes)
    }
}

/// A communicator and its neighbours: `concurrent` equal groups work at the same time and share
/// the links of the nodes they live on (eight data-parallel groups of one rank per node share
/// the node's NICs, for example).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    /// Ranks and nodes of one group.
    pub shape: CommShape,
    /// Groups of this kind that share a node, 1 and up.
    pub concurrent: u32,
}

impl Group {
    /// A group that has its nodes to itself.
    pub const fn alone(shape: CommShape) -> Self {
        Self {
            shape,
            concurrent: 1,
        }
    }
}

/// A call as the hardware sees it. `bytes` as nccl-tests counts them: for AllGather and
/// ReduceScatter all ranks together, for AllToAll one rank's whole send buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CollectiveCall {
    /// The primitive.
    pub collective: Collective,
    /// Size in bytes, see above.
    pub bytes: u64,
    /// Who takes part.
    pub group: Group,
    /// How it runs. AllToAll and SendRecv ignore the algorithm.
    pub choice: ResolvedChoice,
}

/// Computation that runs beside a call on the same GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ComputeLoad {
    /// Share of the SMs the computation would use if it were alone, 0..=1.
    pub sm_fraction: f64,
    /// Share of the memory bandwidth it would use if it were alone, 0..=1.
    pub memory_fraction: f64,
}

impl ComputeLoad {
    /// Nothing runs beside the call.
    pub const NONE: Self = Self {
        sm_fraction: 0.0,
        memory_fraction: 0.0,
    };
}

/// What a call costs, itself and others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CallTime {
    /// Duration, microseconds.
    pub time_us: f64,
    /// How much longer concurrent computation takes while the call runs: 1 = not at all.
    pub compute_slowdown: f64,
}
