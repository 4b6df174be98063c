//! Latency and bandwidth of every (collective, algorithm, protocol), as NCCL estimates them.
//!
//! One function per question of `ncclTopoTuneModel` (`src/graph/tuning.cc`): how much bandwidth,
//! how many steps of which latency, and whether the entry is enabled at all. NCCL computes in
//! single precision and so do we, since equal costs are decided by the order of the table.

use ccl_core::{Algorithm, Collective, CpuVendor, Protocol};

use super::constants::{
    BASE_LATENCY_US, Constants, Generation, LL_MAX_GBS, LL128_MAX_THREADS, MAX_THREADS,
    NVLINK_LATENCY_US, NVLS_EFFICIENCY, NVLS_TREE_GBS, PCI_GBS, PCI_LATENCY_US, RING_LL128_GBS,
    SIMPLE_MAX_THREADS, TREE_GBS, TREE_LL128_GBS,
};
use super::system::{CpuArchitecture, Graph, PathType, Pattern, System};
use crate::ProcessSettings;

/// What NCCL believes of one (collective, algorithm, protocol).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Entry {
    /// Latency, microseconds.
    pub latency_us: f32,
    /// Algorithm bandwidth, GB/s; 0 = disabled.
    pub bandwidth_gbs: f32,
}

/// The model of one communicator: built once, asked often.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) system: System,
    pub(super) settings: ProcessSettings,
    pub(super) constants: Constants,
    /// By collective id (five of them), algorithm id and protocol id.
    entries: [[[Entry; 3]; 7]; 5],
}

impl Model {
    /// Computes the table for a communicator.
    pub fn new(system: System, settings: ProcessSettings) -> Self {
        let constants = Constants::of(system.version);
        let mut model = Self {
            system,
            settings,
            constants,
            entries: Default::default(),
        };
        for (c, collective) in Collective::ALL.into_iter().take(5).enumerate() {
            for (a, algorithm) in Algorithm::ALL.into_iter().enumerate() {
                for (p, protocol) in Protocol::ALL.into_iter().enumerate() {
                    model.entries[c][a][p] = model.estimate(collective, algorithm, protocol);
                }
            }
        }
        model
    }

    /// The communicator.
    pub fn system(&self) -> &System {
        &self.system
    }

    /// The entry for one pair; zero for primitives NCCL builds from send and receive.
    pub fn entry(&self, collective: Collective, algorithm: Algorithm, protocol: Protocol) -> Entry {
        let index = |id: u32| id as usize;
        collective.nccl_id().map_or(Entry::default(), |c| {
            self.entries[index(c)][index(algorithm.nccl_id())][index(protocol.nccl_id())]
        })
    }

    /// Threads of one channel before small messages take some away (`comm->maxThreads`).
    pub fn max_threads(&self, algorithm: Algorithm, protocol: Protocol) -> u32 {
        let user = |wanted: Option<u32>, least: u32, most: u32, default: u32| match wanted {
            None | Some(0) => default,
            Some(n) if n % 32 != 0 => most,
            Some(n) => n.clamp(least, most),
        };
        let ring = &self.system.ring;
        #[allow(clippy::cast_precision_loss)] // channel counts
        let slow_ring = ring.intra_gbs * ring.channels as f32 <= PCI_GBS;
        match (algorithm, protocol) {
            (Algorithm::Ring | Algorithm::Tree, Protocol::Ll128) => user(
                self.settings.ll128_threads,
                LL128_MAX_THREADS / 4,
                LL128_MAX_THREADS,
                LL128_MAX_THREADS,
            ),
            (Algorithm::Ring | Algorithm::Tree, _) => {
                let few = algorithm == Algorithm::Ring && protocol == Protocol::Simple && slow_ring;
                let default = if few { 256 } else { SIMPLE_MAX_THREADS };
                user(self.settings.threads, 64, SIMPLE_MAX_THREADS, default)
            }
            (Algorithm::Pat, _) => 0,
            (_, Protocol::Simple) => MAX_THREADS,
            _ => 0,
        }
    }

    fn estimate(&self, collective: Collective, algorithm: Algorithm, protocol: Protocol) -> Entry {
        if self.system.ranks <= 1
            || !algorithm.serves(collective)
            || !(algorithm.speaks(protocol) || algorithm == Algorithm::Pat)
        {
            return Entry::default();
        }
        let Some(graph) = self.system.graph(algorithm) else {
            return Entry::default();
        };
        if algorithm == Algorithm::Pat && (protocol != Protocol::Simple || !self.pat_enabled()) {
            return Entry::default();
        }
        let nvls = matches!(algorithm, Algorithm::Nvls | Algorithm::NvlsTree);
        if nvls && self.constants.nvls_efficiency_rules && graph.channels < 2 {
            return Entry::default();
        }
        let latency_us = self.latency_us(collective, algorithm, protocol, graph);
        let enabled = self.is_enabled(algorithm, protocol, graph);
        let bandwidth_gbs = if enabled {
            self.bandwidth_gbs(collective, algorithm, protocol, graph)
        } else {
            0.0
        };
        Entry {
            latency_us,
            bandwidth_gbs,
        }
    }

    /// PAT aggregates over nodes, one rank on each.
    fn pat_enabled(&self) -> bool {
        self.system.compute_capability >= 60 && self.system.nodes == self.system.ranks
    }

    fn is_enabled(&self, algorithm: Algorithm, protocol: Protocol, graph: &Graph) -> bool {
        let one_node = self.system.nodes == 1;
        match algorithm {
            Algorithm::NvlsTree if one_node => return false,
            // Between nodes NVLS needs CollNet.
            Algorithm::Nvls if !one_node => return false,
            Algorithm::Nvls | Algorithm::NvlsTree if self.settings.nvls_disable => return false,
            _ => {}
        }
        protocol != Protocol::Ll128 || self.ll128_is_safe(graph)
    }

    /// LL128 needs every link on the way to keep 128-byte stores whole.
    fn ll128_is_safe(&self, graph: &Graph) -> bool {
        let hopper = self.system.compute_capability >= 90;
        let farthest = if hopper { PathType::Pxn } else { PathType::Pxb };
        graph.inter_path <= farthest
            && graph.intra_path <= PathType::Nvb
            && self.system.compute_capability >= 70
    }

    fn bandwidth_gbs(
        &self,
        collective: Collective,
        algorithm: Algorithm,
        protocol: Protocol,
        graph: &Graph,
    ) -> f32 {
        let System { ranks, nodes, .. } = self.system;
        let nodes_index = nodes.clamp(1, 3) as usize - 1;
        let generation = Generation::of(self.system.compute_capability);
        let cap = |table: &[[f64; 3]; 3], blackwell: usize| match generation {
            Generation::Blackwell => self.constants.blackwell[blackwell][nodes_index],
            older => table[older as usize][nodes_index],
        };
        #[allow(clippy::cast_precision_loss)] // counts
        let (channels, ranks_f, ppn) = (
            graph.channels as f32,
            f64::from(ranks),
            ranks as f32 / nodes as f32,
        );

        let per_channel = match algorithm {
            Algorithm::Nvls | Algorithm::NvlsTree => {
                self.nvls_channel_gbs(collective, algorithm, graph, ppn)
            }
            _ if nodes <= 2 => graph.intra_gbs,
            _ => graph.inter_gbs,
        };
        let mut bus = channels * per_channel;

        // Each refinement is stored in single precision, as NCCL's variable is.
        let least = |bus: f32, factor: f64, most: f64| (f64::from(bus) * factor).min(most) as f32;
        let all = |per_channel: f64| f64::from(graph.channels) * per_channel;
        let ll_max = LL_MAX_GBS[self.ll_row(generation)][nodes_index];
        match (algorithm, protocol) {
            (Algorithm::Ring, Protocol::Ll) => bus = least(bus, 0.5, ll_max),
            (Algorithm::Ring, Protocol::Ll128) => {
                bus = least(bus, 0.92, all(cap(&RING_LL128_GBS, 0)));
            }
            (Algorithm::Tree, _) => {
                bus = least(bus, 0.92, all(cap(&TREE_GBS, 2)));
                match protocol {
                    Protocol::Ll => bus = least(bus, 1.0 / 3.8, ll_max),
                    Protocol::Ll128 => {
                        let share = if nodes == 1 { 7.0 / 9.0 } else { 120.0 / 128.0 };
                        bus = least(bus, share, all(cap(&TREE_LL128_GBS, 1)));
                    }
                    Protocol::Simple => {}
                }
                if self.system.worst_tree == Pattern::Tree {
                    bus = least(bus, 0.85, f64::MAX);
                }
            }
            (Algorithm::Pat, _) => bus = least(bus, 0.75, f64::MAX),
            _ => {}
        }

        // From bus bandwidth to algorithm bandwidth.
        let gathers = matches!(
            collective,
            Collective::AllGather | Collective::ReduceScatter
        );
        if algorithm != Algorithm::Ring && gathers {
            return bus;
        }
        let per_step = (ranks_f / f64::from(self.ring_steps(collective))) as f32;
        bus * match algorithm {
            Algorithm::Ring => per_step,
            Algorithm::Nvls | Algorithm::NvlsTree if self.constants.nvls_efficiency_rules => {
                per_step
            }
            Algorithm::Nvls | Algorithm::NvlsTree => (5.0 / 6.0) as f32,
            _ => 0.5,
        }
    }

    /// LL's cap follows the GPU on one node and the host's vendor on several.
    fn ll_row(&self, generation: Generation) -> usize {
        match (self.system.nodes, self.system.cpu_vendor) {
            (1, _) => generation as usize,
            (_, CpuVendor::Amd) => 1,
            _ => 0,
        }
    }

    fn nvls_channel_gbs(
        &self,
        collective: Collective,
        algorithm: Algorithm,
        graph: &Graph,
        ppn: f32,
    ) -> f32 {
        let all_reduce = collective == Collective::AllReduce;
        let two_nodes = self.system.nodes <= 2;
        if !self.constants.nvls_efficiency_rules {
            return match algorithm {
                Algorithm::NvlsTree if two_nodes => graph.intra_gbs.min(graph.inter_gbs),
                Algorithm::NvlsTree => graph.intra_gbs.min(graph.inter_gbs / 2.0),
                _ if all_reduce => graph.intra_gbs.min(graph.inter_gbs),
                _ => (graph.intra_gbs * (ppn - 1.0) / ppn).min(graph.inter_gbs * 0.9),
            };
        }
        let generation = Generation::of(self.system.compute_capability) as usize;
        #[allow(clippy::cast_precision_loss)] // channel counts
        let channels = graph.channels as f32;
        let mut intra = graph.intra_gbs * NVLS_EFFICIENCY[generation] * (channels - 1.0) / channels;
        // AllReduce pipelines two operations.
        intra *= if all_reduce { 2.0 } else { (ppn - 1.0) / ppn };
        let tree = algorithm == Algorithm::NvlsTree;
        let inter = graph.inter_gbs * if two_nodes && tree { 2.0 } else { 1.0 };
        let column = self.system.nodes.clamp(1, 3) as usize - 1;
        let most = if tree {
            NVLS_TREE_GBS[generation][column] as f32
        } else {
            f32::MAX
        };
        intra.min(inter).min(most)
    }

    /// Steps of a ring, one after the other.
    fn ring_steps(&self, collective: Collective) -> u32 {
        match collective {
            Collective::AllReduce => 2 * (self.system.ranks - 1),
            Collective::AllGather | Collective::ReduceScatter => self.system.ranks - 1,
            _ => self.system.ranks,
        }
    }

    fn latency_us(
        &self,
        collective: Collective,
        algorithm: Algorithm,
        protocol: Protocol,
        graph: &Graph,
    ) -> f32 {
        let System { ranks, nodes, .. } = self.system;
        let (a, p) = (algorithm.nccl_id() as usize, protocol.nccl_id() as usize);
        let net = &self.constants.net_latency_us;
        let nvlink = matches!(graph.intra_path, PathType::Nvl);
        let intra_table = if nvlink {
            &NVLINK_LATENCY_US
        } else {
            &PCI_LATENCY_US
        };
        let table = if nodes == 1 { intra_table } else { net };
        let base = BASE_LATENCY_US[a][p];
        let intra = intra_table[a][p];
        // With one rank per node latencies are fully exposed: the tree's network latency counts.
        let mut inter = if ranks == nodes { net[0][p] } else { net[a][p] };
        inter += graph.inter_latency_us;
        if protocol == Protocol::Simple {
            inter += graph.inter_latency_us; // the flush
        }
        #[allow(clippy::cast_precision_loss)] // counts
        let count = |n: u32| n as f32;
        let depth = count(nodes.max(1).ilog2());
        let inside = count(self.system.ranks_per_node() - 1);
        match algorithm {
            Algorithm::Ring if matches!(collective, Collective::Broadcast | Collective::Reduce) => {
                let step = table[a][p];
                if graph.same_channels {
                    base + step
                } else {
                    let simple = protocol == Protocol::Simple;
                    base + count(self.ring_steps(collective))
                        * if simple { table[0][p] } else { step }
                }
            }
            Algorithm::Ring => {
                let overhead = if nodes > 1 {
                    self.net_overhead_us(protocol)
                } else {
                    0.0
                };
                let between = match collective {
                    Collective::AllReduce => 2 * (nodes - 1),
                    _ => nodes - 1,
                };
                let steps = self.ring_steps(collective);
                base + count(steps - between) * intra.max(overhead) + count(between) * inter
            }
            Algorithm::Tree => base + 2.0 * (inside * intra + depth * inter),
            Algorithm::Nvls => intra + if nodes > 1 { inter } else { 0.0 },
            Algorithm::NvlsTree => base + intra + 2.0 * depth * inter,
            Algorithm::Pat => base + depth * (inter / 3.5) + count(ranks) * 2.8,
            Algorithm::CollNetDirect | Algorithm::CollNetChain => 0.0,
        }
    }

    /// Cost of posting to the network, microseconds (`getNetOverhead`).
    fn net_overhead_us(&self, protocol: Protocol) -> f32 {
        let amd = self.system.cpu_architecture == CpuArchitecture::X86
            && self.system.cpu_vendor == CpuVendor::Amd;
        let one = if amd { 2.0 } else { 1.0 };
        if protocol == Protocol::Simple {
            3.0 * one
        } else {
            one
        }
    }
}
