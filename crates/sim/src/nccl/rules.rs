//! What changes between NCCL versions, as data.
//!
//! 2.27.7 and 2.30.7 are checked against what those versions computed; the others are read from
//! their sources (`src/graph/tuning.cc`, `src/enqueue.cc`, `src/init.cc` of the tag named beside
//! each rule) and checked against nothing. Not followed in old versions: CollNet, and the
//! scheduler's sharing of channels between calls of one group.

use ccl_core::NcclVersion;

use super::constants::{
    BASE_LATENCY_US, ByGeneration, ByPair, LL_MAX_GBS, NET_LATENCY_US, NVLINK_LATENCY_US,
    NVLS_TREE_GBS, PCI_LATENCY_US, RING_LL128_GBS, TREE_GBS, TREE_LL128_GBS,
};

const TREE: usize = 0;
const NVLS: usize = 4;
const NVLS_TREE: usize = 5;
const SIMPLE: usize = 2;
const HOPPER: usize = 2;
const BLACKWELL: usize = 3;

/// How NVLS bandwidth is estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NvlsRule {
    /// 2.18: as a tree, at a fixed share of the links.
    FixedShare,
    /// 2.19 to 2.26: the slower of the link and the network.
    SlowerLink,
    /// 2.27: the same, with (ranks - 1) / ranks for AllGather and ReduceScatter.
    SlowerLinkByRanks,
    /// 2.28 and later: an efficiency per GPU generation and a cap.
    Efficiency,
}

/// Everything in the model that depends on the version.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rules {
    pub(super) base_latency_us: ByPair,
    pub(super) nvlink_latency_us: ByPair,
    pub(super) pci_latency_us: ByPair,
    pub(super) net_latency_us: ByPair,
    pub(super) ll_max_gbs: ByGeneration,
    pub(super) ring_ll128_gbs: ByGeneration,
    pub(super) tree_ll128_gbs: ByGeneration,
    pub(super) tree_gbs: ByGeneration,
    pub(super) nvls_tree_gbs: ByGeneration,
    pub(super) nvls: NvlsRule,
    /// Ring with LL reaches a quarter (a third on one node for what does not reduce to all)
    /// instead of half of the link.
    pub(super) slow_ring_ll: bool,
    /// One rank per node costs LL128 rings bandwidth.
    pub(super) discounts_lone_ring_ll128: bool,
    /// One rank per node exposes the tree's network latency.
    pub(super) exposes_lone_latency: bool,
    /// AllGather and ReduceScatter turn bus into algorithm bandwidth for all algorithms.
    pub(super) converts_gathers: bool,
    /// A multi-node AllReduce ring counts 2 x nodes network steps instead of 2 x (nodes - 1).
    pub(super) counts_every_node_twice: bool,
    /// LL128 is enabled only for the GPUs it was tested on, by compute capability.
    pub(super) ll128_tested_on: Option<&'static [u32]>,
    /// PAT exists, with this share of the link's bandwidth.
    pub(super) pat_share: Option<f64>,
    /// NVLS serves AllGather and ReduceScatter.
    pub(super) nvls_gathers: bool,
    /// Collectives that share one batch of device work.
    pub(super) batch_collectives: u32,
    /// Least traffic worth a channel, bytes; `None` where calls are split evenly instead.
    pub(super) min_traffic_per_channel: Option<u64>,
    /// Traffic per channel is rounded to 16 bytes instead of kept above the least.
    pub(super) rounds_traffic: bool,
    /// Tree (and PAT) always run with all threads.
    pub(super) trees_use_all_threads: bool,
    /// Chunks of Tree with Simple follow the depth of the tree.
    pub(super) tree_chunk_by_depth: bool,
    /// NVLSTree gets the tree's correction from compute capability 10.0 on x86.
    pub(super) corrects_nvls_tree: bool,
    /// NVLSTree's channels and chunks are tuned for compute capability 10.0 on several nodes.
    pub(super) tunes_nvls_tree: bool,
    /// The Simple buffer is 1 MiB on Arm.
    pub(super) small_arm_buffer: bool,
    /// Most channels (`MAXCHANNELS`).
    pub(super) max_channels: u32,
}

impl Rules {
    pub(super) fn of(version: NcclVersion) -> Self {
        let from = |minor, patch| version >= NcclVersion::new(2, minor, patch);
        Self {
            base_latency_us: base_latency(&from),
            nvlink_latency_us: nvlink_latency(&from),
            pci_latency_us: pci_latency(&from),
            net_latency_us: net_latency(&from),
            ll_max_gbs: ll_max(&from),
            ring_ll128_gbs: ring_ll128(&from),
            tree_ll128_gbs: tree_ll128(&from),
            tree_gbs: tree(&from),
            nvls_tree_gbs: nvls_tree(&from),
            nvls: match () {
                () if from(28, 0) => NvlsRule::Efficiency,
                () if from(27, 0) => NvlsRule::SlowerLinkByRanks,
                () if from(19, 0) => NvlsRule::SlowerLink,
                () => NvlsRule::FixedShare,
            },
            slow_ring_ll: !from(21, 0),
            discounts_lone_ring_ll128: !from(23, 0),
            exposes_lone_latency: from(23, 0),
            converts_gathers: !from(23, 0),
            counts_every_node_twice: !from(23, 0),
            ll128_tested_on: match () {
                () if from(27, 0) => None,
                () if from(25, 0) => Some(&[70, 80, 90, 100, 120]),
                () => Some(&[70, 80, 90]),
            },
            pat_share: match () {
                () if from(24, 0) => Some(0.75),
                () if from(23, 0) => Some(0.85),
                () => None,
            },
            nvls_gathers: from(19, 0),
            batch_collectives: match () {
                () if from(30, 0) => 8,
                () if from(23, 0) => 10,
                () if from(22, 0) => 16,
                () => 9,
            },
            min_traffic_per_channel: match () {
                () if from(29, 0) => Some(32 << 10),
                () if from(23, 0) => Some(16 << 10),
                () if from(22, 0) => Some(512),
                () => None,
            },
            rounds_traffic: from(29, 0),
            trees_use_all_threads: from(22, 0),
            tree_chunk_by_depth: !from(20, 0),
            corrects_nvls_tree: from(29, 0),
            tunes_nvls_tree: from(30, 0),
            small_arm_buffer: !from(19, 0),
            max_channels: if from(25, 0) { 64 } else { 32 },
        }
    }
}

/// Whether the version is at least 2.(minor).(patch).
type From<'a> = &'a dyn Fn(u16, u16) -> bool;

fn base_latency(from: From<'_>) -> ByPair {
    let mut table = BASE_LATENCY_US;
    if !from(23, 0) {
        table[TREE][SIMPLE] = 0.0;
    }
    if !from(19, 0) {
        table[NVLS][SIMPLE] = 23.0;
        table[NVLS_TREE][SIMPLE] = 23.0;
    }
    table
}

fn nvlink_latency(from: From<'_>) -> ByPair {
    let mut table = NVLINK_LATENCY_US;
    if !from(23, 0) && from(19, 0) {
        table[TREE][SIMPLE] = 28.0;
    }
    if !from(21, 0) {
        let nvls = if from(19, 0) { 23.0 } else { 0.0 };
        table[NVLS][SIMPLE] = nvls;
        table[NVLS_TREE][SIMPLE] = nvls;
    }
    table
}

fn pci_latency(from: From<'_>) -> ByPair {
    let mut table = PCI_LATENCY_US;
    if !from(23, 0) {
        table[TREE][SIMPLE] = if from(19, 0) { 28.0 } else { 6.0 };
    }
    table
}

fn net_latency(from: From<'_>) -> ByPair {
    let mut table = NET_LATENCY_US;
    if !from(23, 0) && from(19, 0) {
        table[TREE][SIMPLE] = 28.0;
    }
    // 2.28.7 still has 2.27's value, 2.28.9 has the new one.
    if !from(28, 9) {
        table[NVLS_TREE][SIMPLE] = if from(19, 0) { 14.0 } else { 19.0 };
    }
    table
}

fn ll_max(from: From<'_>) -> ByGeneration {
    let mut table = LL_MAX_GBS;
    if !from(21, 0) {
        table[HOPPER] = table[HOPPER - 1];
    }
    blackwell_since(25, from, table)
}

fn ring_ll128(from: From<'_>) -> ByGeneration {
    let mut table = RING_LL128_GBS;
    let [one, two, more] = match () {
        () if from(29, 7) => [40.0, 40.0, 40.0],
        () if from(29, 0) => [34.5, 34.6, 34.5],
        () if from(28, 7) => [2.0 * 36.7, 34.6, 2.0 * 36.7],
        () => [2.0 * 36.7; 3],
    };
    table[BLACKWELL] = [one, two, more];
    blackwell_since(25, from, table)
}

fn tree_ll128(from: From<'_>) -> ByGeneration {
    let mut table = TREE_LL128_GBS;
    if !from(28, 0) {
        table[BLACKWELL] = table[HOPPER].map(|gbs| 2.0 * gbs);
    }
    blackwell_since(25, from, table)
}

fn tree(from: From<'_>) -> ByGeneration {
    let mut table = TREE_GBS;
    if !from(28, 0) {
        table[BLACKWELL] = table[HOPPER].map(|gbs| 2.0 * gbs);
    }
    blackwell_since(25, from, table)
}

fn nvls_tree(from: From<'_>) -> ByGeneration {
    let mut table = NVLS_TREE_GBS;
    table[BLACKWELL][2] = match () {
        () if from(30, 0) => 80.0,
        () if from(28, 9) => 43.8,
        () => 43.1,
    };
    table
}

/// Before a generation had a row of its own it was taken for the one before.
fn blackwell_since(minor: u16, from: From<'_>, mut table: ByGeneration) -> ByGeneration {
    if !from(minor, 0) {
        table[BLACKWELL] = table[HOPPER];
    }
    table
}
