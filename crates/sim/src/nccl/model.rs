//! Latency and bandwidth of every (collective, algorithm, protocol), as NCCL estimates them.
//!
//! `ncclTopoTuneModel` (`src/graph/tuning.cc`) in three parts: which entries exist and are enabled
//! (here), their bandwidth and their latency. NCCL computes in single precision and so do we,
//! since equal costs are decided by the order of the table.

mod bandwidth;
mod latency;

use ccl_core::{Algorithm, Collective, Protocol};

use super::constants::{
    LL128_MAX_THREADS, MAX_THREADS, PCI_GBS, SIMPLE_MAX_THREADS, THREAD_THRESHOLD,
};
use super::rules::{NvlsRule, Rules};
use super::system::{Graph, PathType, System};
use crate::ProcessSettings;

/// What NCCL believes of one (collective, algorithm, protocol).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Entry {
    /// Latency, microseconds. A disabled entry may have one; it counts for nothing.
    pub latency_us: f32,
    /// Algorithm bandwidth, GB/s; 0 = disabled.
    pub bandwidth_gbs: f32,
}

/// The model of one communicator: built once, asked often.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) system: System,
    pub(super) settings: ProcessSettings,
    pub(super) rules: Rules,
    /// By collective id (five of them), algorithm id and protocol id.
    entries: [[[Entry; 3]; 7]; 5],
}

impl Model {
    /// Computes the table for a communicator. Channel bounds and NVLS are taken from `settings`
    /// here; `p2p_disable` changes the graphs and belongs to whoever made `system`.
    pub fn new(system: System, settings: ProcessSettings) -> Self {
        let rules = Rules::of(system.version);
        let mut model = Self {
            system: bounded(system, &settings, rules.max_channels),
            settings,
            rules,
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

    /// The communicator, its channels bounded by the settings.
    pub fn system(&self) -> &System {
        &self.system
    }

    /// The process settings the model was built with.
    pub fn settings(&self) -> &ProcessSettings {
        &self.settings
    }

    /// The entry for one pair; zero for primitives NCCL builds from send and receive.
    pub fn entry(&self, collective: Collective, algorithm: Algorithm, protocol: Protocol) -> Entry {
        let index = |id: u32| id as usize;
        collective.nccl_id().map_or(Entry::default(), |c| {
            self.entries[index(c)][index(algorithm.nccl_id())][index(protocol.nccl_id())]
        })
    }

    /// Threads of one channel before small messages take some away (`comm->maxThreads`); 0 for
    /// pairs without kernels, and for PAT, which ignores it.
    pub fn max_threads(&self, algorithm: Algorithm, protocol: Protocol) -> u32 {
        let user = |wanted: Option<u32>, least: u32, most: u32, default: u32| match wanted {
            None | Some(0) => default,
            Some(n) if !n.is_multiple_of(32) => most,
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

    /// Bytes per thread below which channels and threads are taken away
    /// (`comm->threadThresholds`).
    pub fn thread_threshold(&self, algorithm: Algorithm, protocol: Protocol) -> u64 {
        match (algorithm, protocol) {
            (Algorithm::CollNetDirect | Algorithm::CollNetChain, Protocol::Simple) => 512,
            (Algorithm::Ring, Protocol::Ll) => THREAD_THRESHOLD[0] * u64::from(self.system.ranks),
            _ => THREAD_THRESHOLD[protocol.nccl_id() as usize],
        }
    }

    fn estimate(&self, collective: Collective, algorithm: Algorithm, protocol: Protocol) -> Entry {
        if self.system.ranks <= 1 || !self.is_listed(collective, algorithm, protocol) {
            return Entry::default();
        }
        let graph = self.system.graph(algorithm);
        let latency_us = self.latency_us(collective, algorithm, protocol, graph);
        let bandwidth_gbs = match graph {
            Some(graph) if self.is_enabled(algorithm, protocol, graph) => {
                self.bandwidth_gbs(collective, algorithm, protocol, graph)
            }
            _ => 0.0,
        };
        Entry {
            latency_us,
            bandwidth_gbs,
        }
    }

    /// Whether NCCL computes the entry at all.
    fn is_listed(&self, collective: Collective, algorithm: Algorithm, protocol: Protocol) -> bool {
        let system = &self.system;
        algorithm.serves(collective)
            && match algorithm {
                // PAT aggregates over nodes, one rank on each.
                Algorithm::Pat => {
                    protocol == Protocol::Simple
                        && self.rules.pat_share.is_some()
                        && system.compute_capability >= 60
                        && system.nodes == system.ranks
                }
                Algorithm::Nvls | Algorithm::NvlsTree => {
                    let channels = system.nvls.map_or(0, |graph| graph.channels);
                    protocol == Protocol::Simple
                        && (self.rules.nvls != NvlsRule::Efficiency || channels >= 2)
                        && (self.rules.nvls_gathers || collective == Collective::AllReduce)
                }
                _ => true,
            }
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
        let capability = self.system.compute_capability;
        let farthest = if capability >= 90 {
            PathType::Pxn
        } else {
            PathType::Pxb
        };
        graph.inter_path <= farthest
            && graph.intra_path <= PathType::Nvb
            && match self.rules.ll128_tested_on {
                None => capability >= 70,
                Some(tested) => tested.contains(&capability),
            }
    }
}

/// `NCCL_MAX_NCHANNELS`, then `NCCL_MIN_NCHANNELS`: the first channels only, then copies of them
/// (`ncclTopoPostset` in `src/graph/connect.cc`, `ncclNvlsTuning` in `src/transport/nvls.cc`).
fn bounded(mut system: System, settings: &ProcessSettings, most_channels: u32) -> System {
    let bound = |channels: u32| {
        let most = settings.max_channels.unwrap_or(u32::MAX).max(1);
        let least = settings.min_channels.unwrap_or(0);
        channels.min(most).max(least).min(most_channels)
    };
    if settings.max_channels.is_some() || settings.min_channels.is_some() {
        system.channels = bound(system.channels);
        if system.nvls_channels > 0 {
            system.nvls_channels = bound(system.nvls_channels);
        }
    }
    system
}
