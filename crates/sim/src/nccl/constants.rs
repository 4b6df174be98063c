//! The constants of NCCL's tuning model as of 2.30.7.
//!
//! Facts from `src/graph/tuning.cc`: latencies in microseconds, bandwidths in GB/s. What other
//! versions have instead is in `rules`.

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
pub(super) const NET_LATENCY_US: ByPair = [
    [5.0, 8.5, 14.0],
    [2.7, 4.0, 14.0],
    [0.0, 0.0, 31.0],
    [0.0, 0.0, 30.0],
    [0.0, 0.0, 18.0],
    [0.0, 0.0, 20.9],
    [0.0, 0.0, 14.0],
];

/// Rows by GPU generation, columns for 1, 2 and more nodes.
pub(super) type ByGeneration = [[f64; 3]; 4];

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
pub(super) const LL_MAX_GBS: ByGeneration = [
    [39.0, 39.0, 20.4],
    [87.7, 22.5, 19.0],
    [141.0, 45.0, 35.0],
    [282.0, 90.0, 70.0],
];

/// Largest bandwidth of one ring channel with LL128, GB/s.
pub(super) const RING_LL128_GBS: ByGeneration = [[20.0; 3], [20.0; 3], [36.7; 3], [40.0; 3]];

/// Largest bandwidth of one tree channel with LL128, GB/s.
pub(super) const TREE_LL128_GBS: ByGeneration = [
    [20.0; 3],
    [20.0; 3],
    [36.7, 36.7, 29.0],
    [55.6, 31.67, 20.0],
];

/// Largest bandwidth of one tree channel, GB/s.
pub(super) const TREE_GBS: ByGeneration = [
    [26.5, 18.5, 10.0],
    [24.0, 23.6, 17.8],
    [38.7, 41.4, 36.0],
    [70.0, 42.8, 24.0],
];

/// Largest bandwidth of one NVLSTree channel, GB/s.
pub(super) const NVLS_TREE_GBS: ByGeneration = [
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

/// Simple buffer on Arm hosts before 2.19, bytes.
pub(super) const ARM_BUFFER_BYTES: u64 = 1 << 20;

/// Steps of a buffer (`NCCL_STEPS`).
pub(super) const STEPS: u64 = 8;

/// Smallest unit a chunk is made of, bytes, by protocol id (`ncclProtoGrainSize`).
pub(super) const GRAIN_BYTES: [u64; 3] = [16, 1920, 512];
