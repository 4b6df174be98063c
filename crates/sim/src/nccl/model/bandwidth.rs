//! How much bandwidth NCCL expects of an algorithm: graph bandwidth, capped and discounted.

use ccl_core::{Algorithm, Collective, Protocol};

use super::super::constants::{ByGeneration, Generation, NVLS_EFFICIENCY};
use super::super::rules::NvlsRule;
use super::super::system::{Graph, HostVendor, Pattern, System};
use super::Model;

impl Model {
    /// Algorithm bandwidth, GB/s.
    pub(super) fn bandwidth_gbs(
        &self,
        collective: Collective,
        algorithm: Algorithm,
        protocol: Protocol,
        graph: &Graph,
    ) -> f32 {
        let System { ranks, nodes, .. } = self.system;
        let rules = &self.rules;
        let column = self.nodes_column();
        let generation = Generation::of(self.system.compute_capability);
        // Caps are per channel.
        let cap =
            |table: &ByGeneration| f64::from(graph.channels) * table[generation as usize][column];
        #[allow(clippy::cast_precision_loss)] // counts
        let (channels, ranks_per_node) = (graph.channels as f32, ranks as f32 / nodes as f32);

        let per_channel = match algorithm {
            Algorithm::Nvls | Algorithm::NvlsTree => {
                self.nvls_channel_gbs(collective, algorithm, graph, ranks_per_node)
            }
            _ => self.channel_gbs(graph),
        };
        let mut bus = channels * per_channel;

        // Each refinement is stored in single precision, as NCCL's variable is.
        let least = |bus: f32, factor: f64, most: f64| (f64::from(bus) * factor).min(most) as f32;
        let ll_max = rules.ll_max_gbs[self.ll_row(generation)][column];
        match (algorithm, protocol) {
            (Algorithm::Ring, Protocol::Ll) => {
                bus = least(bus, self.ring_ll_share(collective), ll_max);
            }
            (Algorithm::Ring, Protocol::Ll128) => {
                let lone = rules.discounts_lone_ring_ll128 && ranks_per_node < 2.0;
                let share = if lone { 0.7 } else { 0.92 };
                bus = least(bus, share, cap(&rules.ring_ll128_gbs));
            }
            (Algorithm::Tree, _) => {
                bus = least(bus, 0.92, cap(&rules.tree_gbs));
                match protocol {
                    Protocol::Ll => bus = (f64::from(bus) / 3.8).min(ll_max) as f32,
                    Protocol::Ll128 => {
                        let share = if nodes == 1 { 7.0 / 9.0 } else { 120.0 / 128.0 };
                        bus = least(bus, share, cap(&rules.tree_ll128_gbs));
                    }
                    Protocol::Simple => {}
                }
                if self.system.worst_tree == Pattern::Tree {
                    bus = least(bus, 0.85, f64::MAX);
                }
            }
            (Algorithm::Pat, _) => bus = least(bus, rules.pat_share.unwrap_or(0.0), f64::MAX),
            _ => {}
        }
        self.algorithm_share(collective, algorithm)
            .map_or(bus, |share| bus * share)
    }

    fn nodes_column(&self) -> usize {
        self.system.nodes.clamp(1, 3) as usize - 1
    }

    /// Up to two nodes every byte crosses the node once, so the inside of the node counts.
    fn channel_gbs(&self, graph: &Graph) -> f32 {
        if self.system.nodes <= 2 {
            graph.intra_gbs
        } else {
            graph.inter_gbs
        }
    }

    /// From bus bandwidth to algorithm bandwidth; `None` where NCCL does not convert.
    fn algorithm_share(&self, collective: Collective, algorithm: Algorithm) -> Option<f32> {
        let gathers = matches!(
            collective,
            Collective::AllGather | Collective::ReduceScatter
        );
        if algorithm != Algorithm::Ring && gathers && !self.rules.converts_gathers {
            return None;
        }
        let System { ranks, nodes, .. } = self.system;
        let per_step = (f64::from(ranks) / f64::from(self.ring_steps(collective))) as f32;
        Some(match (algorithm, self.rules.nvls) {
            (Algorithm::Ring, _) => per_step,
            (Algorithm::Nvls | Algorithm::NvlsTree, NvlsRule::Efficiency) => per_step,
            (Algorithm::NvlsTree, NvlsRule::FixedShare) => {
                (0.7 * f64::from(nodes) / f64::from(2 * (nodes - 1).max(1))) as f32
            }
            (Algorithm::Nvls | Algorithm::NvlsTree, _) => (5.0 / 6.0) as f32,
            _ => 0.5,
        })
    }

    fn ring_ll_share(&self, collective: Collective) -> f64 {
        let all = matches!(collective, Collective::AllReduce | Collective::Reduce);
        match self.rules.slow_ring_ll {
            false => 0.5,
            true if self.system.nodes > 1 || all => 0.25,
            true => 1.0 / 3.0,
        }
    }

    /// LL's cap follows the GPU on one node and the host's vendor on several.
    fn ll_row(&self, generation: Generation) -> usize {
        match (self.system.nodes, self.system.cpu_vendor) {
            (1, _) => generation as usize,
            (_, HostVendor::Amd | HostVendor::Mixed) => 1,
            _ => 0,
        }
    }

    fn nvls_channel_gbs(
        &self,
        collective: Collective,
        algorithm: Algorithm,
        graph: &Graph,
        ranks_per_node: f32,
    ) -> f32 {
        let all_reduce = collective == Collective::AllReduce;
        let tree = algorithm == Algorithm::NvlsTree;
        let two_nodes = self.system.nodes <= 2;
        let others = (ranks_per_node - 1.0) / ranks_per_node;
        match self.rules.nvls {
            NvlsRule::FixedShare => self.channel_gbs(graph),
            NvlsRule::SlowerLink | NvlsRule::SlowerLinkByRanks if tree => {
                let inter = graph.inter_gbs / if two_nodes { 1.0 } else { 2.0 };
                graph.intra_gbs.min(inter)
            }
            NvlsRule::SlowerLinkByRanks if !all_reduce => {
                (graph.intra_gbs * (ranks_per_node - 1.0) / ranks_per_node)
                    .min(graph.inter_gbs * 0.9)
            }
            NvlsRule::SlowerLink | NvlsRule::SlowerLinkByRanks => {
                graph.intra_gbs.min(graph.inter_gbs)
            }
            NvlsRule::Efficiency => {
                let generation = Generation::of(self.system.compute_capability) as usize;
                #[allow(clippy::cast_precision_loss)] // channel counts
                let channels = graph.channels as f32;
                let mut intra =
                    graph.intra_gbs * NVLS_EFFICIENCY[generation] * (channels - 1.0) / channels;
                // AllReduce pipelines two operations.
                intra *= if all_reduce { 2.0 } else { others };
                let inter = graph.inter_gbs * if two_nodes && tree { 2.0 } else { 1.0 };
                let most = if tree {
                    self.rules.nvls_tree_gbs[generation][self.nodes_column()] as f32
                } else {
                    f32::MAX
                };
                intra.min(inter).min(most)
            }
        }
    }

    /// Steps of a ring, one after the other.
    pub(super) fn ring_steps(&self, collective: Collective) -> u32 {
        match collective {
            Collective::AllReduce => 2 * (self.system.ranks - 1),
            Collective::AllGather | Collective::ReduceScatter => self.system.ranks - 1,
            _ => self.system.ranks,
        }
    }
}
