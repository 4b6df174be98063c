//! The constants of NCCL's tuning model, by version.
//!
//! Facts from `src/graph/tuning.cc` at 2.27.7 and 2.30.7: latencies in microseconds, bandwidths
//! in GB/s. The rules changed with 2.28, the scheduler's grain with 2.29.

use ccl_core::NcclVersion;

/// By algorithm id (Tree, Ring, CollNetDirect, CollNetChain, NVLS, NVLSTree, PAT) and protocol id.
pub(super) type ByPair = [[f32; 3]; 7];

/// Latency of the first step (`baseLatencies`).
pub(super) const BASE_LATENCY_US: ByPair = [
    [6.8, 14.0, 8.4],
    [6.6, 14.0, 8.4],
    [0.0; 3],
    [0.0; 3],
    [0.0; 3],
    [0.0; 3],
    [8.0, 8.0, 8.0],
];

/// Latency of every further step over NVLink (`hwLatencies`).
pub(super) const NVLINK_LATENCY_US: ByPair = [
    [0.6, 1.25, 4.0],
    [0.6, 1.9, 3.4],
    [0.0, 0.0, 3.7],
    [0.0, 0.0, 2.8],
    [0.0, 0.0, 25.0],
    [0.0, 0.0, 25.0],
    [0.0, 0.0, 4.0],
];

/// The same over PCIe.
pub(super) const PCI_LATENCY_US: ByPair = [
    [1.0, 1.9, 4.0],
    [1.0, 2.5, 5.7],
    [0.0, 0.0, 3.7],
    [0.0, 0.0, 2.8],
    [0.0; 3],
    [0.0; 3],
    [0.0, 0.0, 4.0],
];

/// The same over the network.
const NET_LATENCY_US: ByPair = [
    [5.0, 8.5, 14.0],
    [2.7, 4.0, 14.0],
    [0.0, 0.0, 31.0],
    [0.0, 0.0, 30.0],
    [0.0, 0.0, 18.0],
    [0.0, 0.0, 20.9],
    [0.0, 0.0, 14.0],
];

/// Network latency of NVLSTree before 2.28.
const NVLS_TREE_NET_LATENCY_US_BEFORE_2_28: f32 = 14.0;

/// What differs between versions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Constants {
    /// Network latencies.
    pub(super) net_latency_us: ByPair,
    /// 2.28 and later: NVLS bandwidth per channel with an efficiency and a cap.
    pub(super) nvls_efficiency_rules: bool,
    /// Collectives that share one batch of device work (`NCCL_MAX_DEV_WORK_BATCH_COLLS`).
    pub(super) batch_collectives: u32,
    /// Least traffic worth a channel (`MinTrafficPerChannel`), bytes.
    pub(super) min_traffic_per_channel: u64,
    /// Traffic per channel is rounded to 16 bytes instead of kept above the least.
    pub(super) rounds_traffic: bool,
    /// Blackwell's per-channel caps, which were twice Hopper's before 2.28:
    /// ring LL128, tree LL128, tree; each for 1, 2 and more nodes.
    pub(super) blackwell: [[f64; 3]; 3],
    /// NVLSTree gets the tree's correction from compute capability 10.0 on x86.
    pub(super) corrects_nvls_tree: bool,
    /// NVLSTree's channels and chunks are tuned for compute capability 10.0 on several nodes.
    pub(super) tunes_nvls_tree: bool,
}

impl Constants {
    pub(super) fn of(version: NcclVersion) -> Self {
        let from = |minor| version >= NcclVersion::new(2, minor, 0);
        let mut net_latency_us = NET_LATENCY_US;
        if !from(28) {
            net_latency_us[5][2] = NVLS_TREE_NET_LATENCY_US_BEFORE_2_28;
        }
        Self {
            net_latency_us,
            nvls_efficiency_rules: from(28),
            batch_collectives: if from(28) { 8 } else { 10 },
            min_traffic_per_channel: if from(29) { 32 << 10 } else { 16 << 10 },
            rounds_traffic: from(29),
            blackwell: if from(28) {
                [[40.0; 3], [55.6, 31.67, 20.0], [70.0, 42.8, 24.0]]
            } else {
                [
                    [2.0 * 36.7; 3],
                    [2.0 * 36.7, 2.0 * 36.7, 58.0],
                    [77.4, 82.8, 72.0],
                ]
            },
            corrects_nvls_tree: from(29),
            tunes_nvls_tree: from(30),
        }
    }
}

/// GPU generations as the tables are indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    Volta,
    Ampere,
    Hopper,
    Blackwell,
}

impl Generation {
    pub(super) fn of(compute_capability: u32) -> Self {
        match compute_capability {
            100.. => Self::Blackwell,
            90.. => Self::Hopper,
            80.. => Self::Ampere,
            _ => Self::Volta,
        }
    }
}

/// Largest LL bandwidth, GB/s (`llMaxBws`): rows by GPU generation on one node, by host vendor
/// (Intel and others, AMD) on several; columns for 1, 2 and more nodes.
pub(super) const LL_MAX_GBS: [[f64; 3]; 4] = [
    [39.0, 39.0, 20.4],
    [87.7, 22.5, 19.0],
    [141.0, 45.0, 35.0],
    [282.0, 90.0, 70.0],
];

/// Largest bandwidth of one ring channel with LL128, GB/s, but for Blackwell.
pub(super) const RING_LL128_GBS: [[f64; 3]; 3] = [[20.0; 3], [20.0; 3], [36.7; 3]];

/// Largest bandwidth of one tree channel with LL128, GB/s, but for Blackwell.
pub(super) const TREE_LL128_GBS: [[f64; 3]; 3] = [[20.0; 3], [20.0; 3], [36.7, 36.7, 29.0]];

/// Largest bandwidth of one tree channel, GB/s, but for Blackwell.
pub(super) const TREE_GBS: [[f64; 3]; 3] =
    [[26.5, 18.5, 10.0], [24.0, 23.6, 17.8], [38.7, 41.4, 36.0]];

/// Largest bandwidth of one NVLSTree channel, GB/s.
pub(super) const NVLS_TREE_GBS: [[f64; 3]; 4] = [
    [26.5, 18.5, 10.0],
    [24.0, 23.6, 17.8],
    [0.0, 57.7, 45.5],
    [0.0, 96.0, 80.0],
];

/// Share of the link NVLS reaches, by generation.
pub(super) const NVLS_EFFICIENCY: [f32; 4] = [0.0, 0.0, 0.85, 0.74];

/// Bandwidth of PCIe 3.0 x16 as NCCL counts it, GB/s: a slower ring gets fewer threads.
pub(super) const PCI_GBS: f32 = 12.0;

/// Trees do not follow the model at middle sizes: factors on the bandwidth by protocol and
/// log2(bytes / 64) (`treeCorrectionFactor`).
pub(super) const TREE_CORRECTION: [[f32; 24]; 3] = [
    [
        1.0, 1.0, 1.0, 1.0, 0.9, 0.8, 0.7, 0.7, 0.7, 0.7, 0.6, 0.5, 0.4, 0.4, 0.5, 0.6, 0.7, 0.8,
        0.9, 1.0, 1.0, 1.0, 1.0, 1.0,
    ],
    [
        1.0, 1.0, 1.0, 1.0, 1.0, 0.9, 0.8, 0.8, 0.8, 0.7, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.8, 0.9,
        0.9, 0.9, 0.9, 1.0, 1.0, 1.0,
    ],
    [
        0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.8, 0.7, 0.6, 0.6, 0.5, 0.5, 0.5, 0.5, 0.6, 0.7, 0.8,
        0.7, 0.7, 0.8, 0.9, 0.9, 0.9,
    ],
];

/// Threads of a warp.
pub(super) const WARP: u32 = 32;
/// Most threads of one channel (`NCCL_MAX_NTHREADS`).
pub(super) const MAX_THREADS: u32 = 640;
/// Most threads of Simple and LL.
pub(super) const SIMPLE_MAX_THREADS: u32 = 512;
/// Most threads of LL128.
pub(super) const LL128_MAX_THREADS: u32 = 640;

/// Bytes per thread below which NCCL takes threads and channels away, by protocol id.
pub(super) const THREAD_THRESHOLD: [u64; 3] = [8, 8, 64];

/// Default buffer of one channel and peer, bytes, by protocol id (`src/init.cc`): LL 8 lines of
/// 16 bytes x 512 threads x 8 steps, LL128 120 8-byte elements x 640 threads x 8 steps, Simple 4 MiB.
pub(super) const BUFFER_BYTES: [u64; 3] = [8 * 512 * 8 * 16, 120 * 640 * 8 * 8, 4 << 20];

/// Steps of a buffer (`NCCL_STEPS`).
pub(super) const STEPS: u64 = 8;

/// Smallest unit a chunk is made of, bytes, by protocol id (`ncclProtoGrainSize`).
pub(super) const GRAIN_BYTES: [u64; 3] = [16, 1920, 512];
