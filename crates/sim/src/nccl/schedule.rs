//! Channels and threads of a call: what NCCL does once algorithm and protocol are set.
//!
//! `topoGetAlgoInfo` and `scheduleCollTasksToPlan` of `src/enqueue.cc`, for one operation at a
//! time on unregistered buffers. The size of a chunk is in `chunk`.

use ccl_core::{Algorithm, Choice, Collective, Protocol};

use super::constants::{LL128_MAX_THREADS, MAX_THREADS, WARP};
use super::model::Model;
use crate::ResolvedChoice;

/// How a call is spread over channels: NCCL gives the first channel `low` bytes, the last one
/// `high`, and all between them `middle` (of one rank's count).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// Channels with work, 1 and up.
    pub channels: u32,
    /// Bytes of the first channel.
    pub low: u64,
    /// Bytes of each channel between.
    pub middle: u64,
    /// Bytes of the last channel.
    pub high: u64,
}

impl Spread {
    /// Bytes of the busiest channel.
    pub fn most(&self) -> u64 {
        self.low.max(self.middle).max(self.high)
    }
}

impl Model {
    /// Fills in what a choice leaves open, the way NCCL would; explicit values are bounded as
    /// NCCL bounds them.
    ///
    /// * Channels: at most what the communicator has, and no more than there is work for.
    /// * Threads: the count a channel is launched with. An explicit count is rounded down to
    ///   warps and kept within 96..=640; Tree (from 2.22), PAT, NVLS and NVLSTree always run
    ///   with 640.
    /// * Chunk: at most what the buffer holds, rounded down to the protocol's grain.
    pub fn resolve(&self, choice: Choice, collective: Collective, bytes: u64) -> ResolvedChoice {
        let Choice {
            algorithm,
            protocol,
            ..
        } = choice;
        let (own_channels, own_threads) = self.own_channels_and_threads(algorithm, protocol, bytes);
        let asked = choice.channels.unwrap_or(own_channels);
        let spread = self.spread(algorithm, protocol, collective, bytes, asked);
        let threads = choice.threads.map_or(own_threads, |n| {
            self.launched_threads(algorithm, protocol, n)
        });
        let chunk_bytes =
            self.chunk_bytes(algorithm, protocol, collective, &spread, choice.chunk_bytes);
        ResolvedChoice {
            algorithm,
            protocol,
            channels: spread.channels,
            threads,
            chunk_bytes,
        }
    }

    /// Channels an algorithm may use in this communicator, 1 and up.
    pub fn most_channels(&self, algorithm: Algorithm) -> u32 {
        match algorithm {
            Algorithm::Nvls | Algorithm::NvlsTree => self.system.nvls_channels,
            _ => self.system.channels,
        }
        .max(1)
    }

    /// Channels that an explicit choice may ask for: as many as the communicator was opened with,
    /// even where NCCL by itself would use fewer.
    pub fn opened_channels(&self, algorithm: Algorithm) -> u32 {
        let nvls = matches!(algorithm, Algorithm::Nvls | Algorithm::NvlsTree);
        let opened = self.settings.opened_channels.filter(|_| !nvls).unwrap_or(0);
        self.most_channels(algorithm).max(opened)
    }

    /// Channels NCCL asks for and threads it launches: small messages lose channels first, then
    /// threads.
    pub fn own_channels_and_threads(
        &self,
        algorithm: Algorithm,
        protocol: Protocol,
        bytes: u64,
    ) -> (u32, u32) {
        let mut channels = self.most_channels(algorithm);
        let mut threads = self.max_threads(algorithm, protocol);
        let threshold = self.thread_threshold(algorithm, protocol);
        let enough = |channels: u32, threads: u32| {
            bytes >= u64::from(channels) * u64::from(threads) * threshold
        };
        if !matches!(algorithm, Algorithm::Nvls | Algorithm::NvlsTree) {
            while !enough(channels, threads) && channels >= 2 {
                channels -= 1;
            }
            while !enough(channels, threads) && threads.is_multiple_of(128) && threads > 0 {
                threads /= 2;
            }
        }
        match (algorithm, protocol) {
            (Algorithm::Ring, Protocol::Simple) => threads += WARP, // synchronisation
            (Algorithm::Tree, Protocol::Simple) => threads += 4 * WARP, // two directions
            _ => {}
        }
        (
            channels,
            self.launched_threads(algorithm, protocol, threads),
        )
    }

    /// At least three warps, at most what the kernels take.
    fn launched_threads(&self, algorithm: Algorithm, protocol: Protocol, threads: u32) -> u32 {
        let always_all = match algorithm {
            Algorithm::Tree => self.rules.trees_use_all_threads,
            Algorithm::Ring => false,
            _ => true,
        };
        let most = match protocol {
            Protocol::Ll128 => LL128_MAX_THREADS,
            _ => MAX_THREADS,
        };
        if always_all {
            MAX_THREADS
        } else {
            (threads / WARP * WARP).clamp(3 * WARP, most)
        }
    }

    /// Cuts the call into cells of least traffic and deals them to channels.
    pub fn spread(
        &self,
        algorithm: Algorithm,
        protocol: Protocol,
        collective: Collective,
        bytes: u64,
        asked: u32,
    ) -> Spread {
        let ranks = u64::from(self.system.ranks.max(1));
        // Bytes of one rank's count, and the traffic each of them causes.
        let (count, factor) = match collective {
            Collective::AllReduce => (bytes, 2),
            Collective::AllGather | Collective::ReduceScatter => (bytes / ranks, ranks),
            _ => (bytes, 1),
        };
        let most = self
            .most_channels(algorithm)
            .max(asked.min(self.opened_channels(algorithm)));
        let asked = asked.clamp(1, most);
        let Some(least) = self.rules.min_traffic_per_channel else {
            return split_evenly(count, asked);
        };
        let per_byte = factor * if protocol == Protocol::Ll { 4 } else { 1 };
        let traffic = least.max(count.saturating_mul(per_byte));
        let per_channel = if self.rules.rounds_traffic {
            (traffic / u64::from(asked)).div_ceil(16) * 16
        } else {
            least.max(traffic / u64::from(asked))
        };
        let cell = least.div_ceil(per_byte).div_ceil(16) * 16;
        deal(
            count,
            cell,
            per_channel.div_ceil(cell * per_byte),
            u64::from(most),
        )
    }
}

/// Before 2.22 every channel got the same.
fn split_evenly(count: u64, channels: u32) -> Spread {
    let each = count.div_ceil(u64::from(channels));
    Spread {
        channels,
        low: each,
        middle: if channels > 2 { each } else { 0 },
        high: if channels > 1 { each } else { 0 },
    }
}

/// Deals `count` bytes in cells, `wanted` of them to a channel, to at most `most` channels.
fn deal(count: u64, cell: u64, wanted: u64, most: u64) -> Spread {
    let cells = count.div_ceil(cell).max(1);
    let mut each = cells.min(wanted).max(1);
    let low = if most == 1 { cells } else { each };
    let rest = cells - low;
    let mut middle_channels = rest / each;
    let mut high = rest % each;
    if most < 1 + middle_channels + u64::from(high != 0) {
        // More channels than there are: the last one takes what is left over.
        middle_channels = most.saturating_sub(2);
        each = rest / (middle_channels + 1);
        high = each + rest % (middle_channels + 1);
    }
    if high == 0 && middle_channels != 0 {
        high = each;
        middle_channels -= 1;
    }
    let excess = cells * cell - count;
    let channels = 1 + middle_channels + u64::from(high != 0);
    let (mut low, mut high) = (low * cell, high * cell);
    *(if high == 0 { &mut low } else { &mut high }) -= excess;
    Spread {
        channels: u32::try_from(channels).unwrap_or(u32::MAX),
        low,
        middle: if middle_channels == 0 { 0 } else { each * cell },
        high,
    }
}
