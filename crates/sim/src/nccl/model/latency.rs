//! How long NCCL expects an empty message to take: a base, and a latency for every step.

use ccl_core::{Algorithm, Collective, Protocol};

use super::super::rules::NvlsRule;
use super::super::system::{CpuArchitecture, Graph, HostVendor, PathType, System};
use super::Model;

/// PCIe latency of a tree with Simple on POWER, where trees are to win (ring's value).
const POWER_TREE_PCI_LATENCY_US: f32 = 5.7;

impl Model {
    /// Latency, microseconds. Without a graph (CollNet, NVLS that is not there) as NCCL computes
    /// it from an empty one; such an entry is disabled.
    pub(super) fn latency_us(
        &self,
        collective: Collective,
        algorithm: Algorithm,
        protocol: Protocol,
        graph: Option<&Graph>,
    ) -> f32 {
        let System { ranks, nodes, .. } = self.system;
        let rules = &self.rules;
        let p = protocol.nccl_id() as usize;
        let nvlink = graph.is_some_and(|g| g.intra_path == PathType::Nvl);
        let intra_latency = |algorithm: Algorithm| match (algorithm, nvlink) {
            (_, true) => rules.nvlink_latency_us[algorithm.nccl_id() as usize][p],
            (Algorithm::Tree, false) if self.is_power() && protocol == Protocol::Simple => {
                POWER_TREE_PCI_LATENCY_US
            }
            (_, false) => rules.pci_latency_us[algorithm.nccl_id() as usize][p],
        };
        let net_latency =
            |algorithm: Algorithm| rules.net_latency_us[algorithm.nccl_id() as usize][p];
        let base = rules.base_latency_us[algorithm.nccl_id() as usize][p];
        let intra = intra_latency(algorithm);
        // With one rank per node latencies are fully exposed: the tree's network latency counts.
        let lone = rules.exposes_lone_latency && ranks == nodes;
        let mut inter = net_latency(if lone { Algorithm::Tree } else { algorithm });
        let added = graph.map_or(0.0, |g| g.inter_latency_us);
        inter += added;
        if protocol == Protocol::Simple {
            inter += added; // the flush
        }
        #[allow(clippy::cast_precision_loss)] // counts
        let count = |n: u32| n as f32;
        let depth = count(nodes.max(1).ilog2());
        let inside = count(self.system.ranks_per_node() - 1);
        match algorithm {
            Algorithm::Ring if matches!(collective, Collective::Broadcast | Collective::Reduce) => {
                let step = |algorithm| {
                    if nodes == 1 {
                        intra_latency(algorithm)
                    } else {
                        net_latency(algorithm)
                    }
                };
                if graph.is_some_and(|g| g.same_channels) {
                    base + step(Algorithm::Ring)
                } else if protocol == Protocol::Simple {
                    base + count(self.ring_steps(collective)) * step(Algorithm::Tree)
                } else {
                    base + count(self.ring_steps(collective)) * step(Algorithm::Ring)
                }
            }
            Algorithm::Ring => {
                let overhead = if nodes > 1 {
                    self.net_overhead_us(protocol)
                } else {
                    0.0
                };
                let between = self.ring_steps_between_nodes(collective);
                // Versions that count every node twice can subtract more steps than there are.
                let within = count(self.ring_steps(collective)) - count(between);
                base + (within * intra.max(overhead) + count(between) * inter)
            }
            Algorithm::Tree => base + 2.0 * (inside * intra + depth * inter),
            Algorithm::Nvls | Algorithm::NvlsTree if rules.nvls == NvlsRule::FixedShare => {
                let steps = match algorithm {
                    Algorithm::Nvls => u32::from(nodes > 1),
                    _ => 2 * (nodes - 1),
                };
                base + count(steps) * net_latency(algorithm)
            }
            Algorithm::Nvls => intra + if nodes > 1 { inter } else { 0.0 },
            Algorithm::NvlsTree => base + (intra + 2.0 * depth * inter),
            Algorithm::Pat => {
                let logarithmic = f64::from(depth) * (f64::from(inter) / 3.5);
                (f64::from(base) + (logarithmic + f64::from(ranks) * 2.8)) as f32
            }
            // 0.4 us for every GPU the head serves in turn.
            Algorithm::CollNetDirect => {
                let turns = f64::from(inside) * 0.4;
                let near = f64::from(inside.min(1.0) * intra);
                (f64::from(base) + (2.0 * (near + turns) + f64::from(inter))) as f32
            }
            Algorithm::CollNetChain => base + (2.0 * inside * intra + inter),
        }
    }

    fn ring_steps_between_nodes(&self, collective: Collective) -> u32 {
        let nodes = self.system.nodes;
        match (nodes, collective) {
            (1, _) => 0,
            (_, Collective::AllReduce) if self.rules.counts_every_node_twice => 2 * nodes,
            (_, Collective::AllReduce) => 2 * (nodes - 1),
            _ => nodes - 1,
        }
    }

    fn is_power(&self) -> bool {
        self.system.cpu_architecture == CpuArchitecture::Power
    }

    /// Cost of posting to the network, microseconds (`getNetOverhead`).
    fn net_overhead_us(&self, protocol: Protocol) -> f32 {
        let amd = self.system.cpu_architecture == CpuArchitecture::X86
            && self.system.cpu_vendor == HostVendor::Amd;
        let one = if amd { 2.0 } else { 1.0 };
        if protocol == Protocol::Simple {
            3.0 * one
        } else {
            one
        }
    }
}
