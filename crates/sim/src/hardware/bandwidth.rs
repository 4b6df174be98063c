//! The bottleneck of a call: the narrowest of its channels, its node's links and its NICs.

use ccl_core::{Collective, Protocol};

use super::Hardware;
use crate::{CollectiveCall, ComputeLoad};

/// Payload share of a protocol on a saturated link: LL sends 4 of 8 bytes as flags, LL128 8 of
/// 128 and needs more instructions for them.
const LINK_SHARE: [f64; 3] = [0.5, 0.92, 1.0];

/// How sharply limits meet: at equal limits a call gets 2^(-1/8) = 92 % of them.
const SHARPNESS: i32 = 8;

/// The narrowest of several limits, rounded off where they meet.
fn narrowest(limits: [f64; 3]) -> f64 {
    let sum: f64 = limits.iter().map(|gbs| (1.0 / gbs).powi(SHARPNESS)).sum();
    sum.powf(-1.0 / f64::from(SHARPNESS))
}

impl Hardware {
    /// What the call's channels move together, GB/s.
    #[allow(clippy::cast_precision_loss)] // bytes below 2^53
    fn channels_gbs(&self, call: &CollectiveCall, load: ComputeLoad) -> f64 {
        let p = &self.parameters;
        let choice = &call.choice;
        let i = choice.protocol.nccl_id() as usize;
        // A channel needs about 256 threads for its full rate; fewer move proportionally less,
        // more add little.
        let threads = (f64::from(choice.threads) / 256.0).min(1.0).powf(0.7);
        let rate = p.channel_gbs[i] * threads;
        let per_channel = if choice.protocol == Protocol::Simple {
            // Two slices of a chunk are in flight, each with a flag and a fence at its end.
            let slice = (choice.chunk_bytes as f64 / 2.0).max(512.0);
            let moving_us = slice / 1e3 / rate;
            rate * moving_us / (moving_us + 0.5 * p.slice_us)
        } else {
            rate
        };
        // Computation takes issue slots from every channel's thread block: AutoCCL table 6,
        // 18.3 of 30.1 GB/s beside a heavy GEMM.
        f64::from(choice.channels.max(1)) * per_channel * (1.0 - 0.42 * load.sm_fraction)
    }

    /// What the links inside a node carry, GB/s.
    #[allow(clippy::cast_precision_loss)] // bytes below 2^53
    fn links_gbs(&self, call: &CollectiveCall, load: ComputeLoad) -> f64 {
        let p = &self.parameters;
        let choice = &call.choice;
        let channels = f64::from(choice.channels.max(1));
        let mut gbs = p.intra_gbs * LINK_SHARE[choice.protocol.nccl_id() as usize];
        if choice.protocol == Protocol::Simple {
            // Data in flight beyond the caches takes the way through memory.
            let in_flight =
                channels * (choice.chunk_bytes as f64).min(call.bytes as f64 / channels);
            let spilled = 1.0 - (p.cache_bytes / in_flight.max(1.0)).min(1.0);
            gbs *= 1.0 - (1.0 - p.spilled_share) * spilled;
        }
        if p.over_pcie && !p.staged {
            // Many small peer transactions crowd out each other on PCIe: AutoCCL table 4,
            // 23.2 GB/s with 64 channels against 30.2 with 8.
            let crowd = (channels * f64::from(choice.threads) / 1024.0)
                .log2()
                .max(0.0);
            gbs *= (1.0 - 0.065 * crowd).max(0.5);
        }
        gbs * (1.0 - 0.12 * load.memory_fraction)
    }

    /// What one group gets of its node's NICs, GB/s of data that crosses nodes.
    fn network_gbs(&self, call: &CollectiveCall) -> f64 {
        let p = &self.parameters;
        if call.group.shape.nodes <= 1 {
            return f64::INFINITY;
        }
        let share = LINK_SHARE[call.choice.protocol.nccl_id() as usize];
        let concurrent = f64::from(call.group.concurrent.max(1));
        let channels = f64::from(call.choice.channels.max(1));
        let all = p.node_network_gbs * share / concurrent;
        // A rank alone on its node uses the NICs beside it.
        let reachable = p.rank_network_gbs * share * f64::from(call.group.shape.ranks_per_node());
        all.min(reachable)
            .min(channels * p.network_channel_gbs * share)
    }

    /// Bus bandwidth of a ring, GB/s.
    pub(super) fn ring_gbs(&self, call: &CollectiveCall, load: ComputeLoad) -> f64 {
        let alone = call.group.shape.ranks_per_node() == 1;
        let links = if alone {
            f64::INFINITY
        } else {
            self.links_gbs(call, load)
        };
        narrowest([self.channels_gbs(call, load), links, self.network_gbs(call)])
    }

    /// Algorithm bandwidth of a tree AllReduce, GB/s: inner ranks receive from children and send
    /// up while the result comes down, which costs more than half of the links (8xB300: 311 of
    /// 697 GB/s).
    pub(super) fn tree_gbs(&self, call: &CollectiveCall, load: ComputeLoad) -> f64 {
        let p = &self.parameters;
        let shape = call.group.shape;
        let through_switch = call.choice.algorithm == ccl_core::Algorithm::NvlsTree;
        let links = if through_switch {
            0.57 * p.nvls_gbs
        } else if call.group.shape.ranks_per_node() == 1 {
            f64::INFINITY
        } else {
            0.46 * self.links_gbs(call, load)
        };
        let channels = if through_switch {
            f64::INFINITY
        } else {
            0.7 * self.channels_gbs(call, load)
        };
        // Of two nodes each is the root of one tree and the leaf of the other: all bytes cross a
        // NIC once each way. With more, an inner node of one tree also serves two children.
        let crossings = if shape.nodes > 2 { 2.0 } else { 1.0 };
        narrowest([channels, links, self.network_gbs(call) / crossings])
    }

    /// Bus bandwidth of NVLink SHARP, GB/s. AllGather and ReduceScatter use one half of what the
    /// switch does for AllReduce.
    #[allow(clippy::cast_precision_loss)] // bytes below 2^53
    pub(super) fn nvls_gbs(&self, call: &CollectiveCall, load: ComputeLoad) -> f64 {
        let p = &self.parameters;
        let half = if call.collective == Collective::AllReduce {
            1.0
        } else {
            0.75
        };
        // Each channel feeds the switch at a bounded rate; 8 of 16 reach most of it.
        let channels = f64::from(call.choice.channels.max(1)) * p.nvls_gbs / 10.0;
        let chunk = call.choice.chunk_bytes as f64;
        let stores = chunk / (chunk + 1024.0);
        narrowest([
            channels * (1.0 - 0.42 * load.sm_fraction),
            p.nvls_gbs * half * stores * (1.0 - 0.12 * load.memory_fraction),
            self.network_gbs(call),
        ])
    }

    /// Bus bandwidth of AllToAll, GB/s: the share that leaves the node goes through the NICs.
    pub(super) fn all_to_all_gbs(&self, call: &CollectiveCall, load: ComputeLoad) -> f64 {
        let p = &self.parameters;
        let shape = call.group.shape;
        let inside = p.intra_gbs * 0.96 * (1.0 - 0.12 * load.memory_fraction);
        if shape.nodes <= 1 {
            return inside;
        }
        let (ranks, local) = (f64::from(shape.ranks), f64::from(shape.ranks_per_node()));
        let remote_share = (ranks - local) / (ranks - 1.0);
        let concurrent = f64::from(call.group.concurrent.max(1));
        let per_rank = (p.node_network_gbs / local / concurrent).min(p.rank_network_gbs);
        let network = p.all_to_all_share * per_rank / remote_share;
        narrowest([inside, network, f64::INFINITY])
    }

    /// Bandwidth of a send to the next rank, GB/s. NCCL gives a peer more channels as the message
    /// grows, 16 MiB for each (8xH100: 82 GB/s at 64 MiB, 163 at 128 MiB, 300 at 256 MiB).
    #[allow(clippy::cast_precision_loss)] // bytes below 2^53
    pub(super) fn send_recv_gbs(&self, call: &CollectiveCall, load: ComputeLoad) -> f64 {
        let p = &self.parameters;
        let shape = call.group.shape;
        let least = 32.0 / f64::from(shape.ranks.clamp(1, 32));
        let channels = (call.bytes as f64 / f64::from(16 << 20)).clamp(least, 32.0);
        let rate = channels * 0.85 * p.channel_gbs[2] * (1.0 - 0.42 * load.sm_fraction);
        if shape.nodes <= 1 {
            return narrowest([rate, p.intra_gbs, f64::INFINITY]);
        }
        // Send and receive of the ranks at a node's edge share the NIC's queue.
        let network = p.rank_network_gbs;
        narrowest([rate, p.intra_gbs.max(network), 0.53 * network])
    }
}
