//! Channels, threads and chunk of a call: what NCCL does once algorithm and protocol are set.
//!
//! `topoGetAlgoInfo`, `scheduleCollTasksToPlan` and `calcCollChunking` of `src/enqueue.cc`, for
//! one operation at a time on unregistered buffers.

use ccl_core::{Algorithm, Choice, Collective, Protocol};

use super::constants::{BUFFER_BYTES, GRAIN_BYTES, MAX_THREADS, STEPS, THREAD_THRESHOLD, WARP};
use super::model::Model;
use super::system::PathType;
use crate::ResolvedChoice;

/// How a call is spread over channels: NCCL gives the first channel `low` bytes, the last one
/// `high`, and all between them `middle` (of one rank's count).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// Channels with work.
    pub channels: u32,
    /// Bytes of the first channel.
    pub low: u64,
    /// Bytes of each channel between.
    pub middle: u64,
    /// Bytes of the last channel.
    pub high: u64,
}

impl Model {
    /// Fills in what a choice leaves open, the way NCCL would; explicit values are bounded as
    /// NCCL bounds them.
    pub fn resolve(&self, choice: Choice, collective: Collective, bytes: u64) -> ResolvedChoice {
        let Choice {
            algorithm,
            protocol,
            ..
        } = choice;
        let (own_channels, own_threads) = self.own_channels_and_threads(algorithm, protocol, bytes);
        let most = self.most_channels(algorithm);
        let asked = choice
            .channels
            .unwrap_or(own_channels)
            .clamp(1, most.max(1));
        let spread = self.spread(algorithm, protocol, collective, bytes, asked);
        let threads = choice.threads.unwrap_or(own_threads);
        let chunk_bytes =
            self.chunk_bytes(algorithm, protocol, collective, spread, choice.chunk_bytes);
        ResolvedChoice {
            algorithm,
            protocol,
            channels: spread.channels,
            threads,
            chunk_bytes,
        }
    }

    /// Channels an algorithm may use in this communicator.
    pub fn most_channels(&self, algorithm: Algorithm) -> u32 {
        match algorithm {
            Algorithm::Nvls | Algorithm::NvlsTree => self.system.nvls_channels,
            _ => self.system.channels,
        }
    }

    /// `topoGetAlgoInfo`: small messages lose channels first, then threads.
    pub(super) fn own_channels_and_threads(
        &self,
        algorithm: Algorithm,
        protocol: Protocol,
        bytes: u64,
    ) -> (u32, u32) {
        let mut channels = self.most_channels(algorithm).max(1);
        let mut threads = self.max_threads(algorithm, protocol);
        let ring_ll = algorithm == Algorithm::Ring && protocol == Protocol::Ll;
        let threshold = THREAD_THRESHOLD[protocol.nccl_id() as usize]
            * if ring_ll {
                u64::from(self.system.ranks)
            } else {
                1
            };
        let enough = |channels: u32, threads: u32| {
            bytes >= u64::from(channels) * u64::from(threads) * threshold
        };
        if !matches!(algorithm, Algorithm::Nvls | Algorithm::NvlsTree) {
            while !enough(channels, threads) && channels >= 2 {
                channels -= 1;
            }
            while !enough(channels, threads) && threads % 128 == 0 && threads > 0 {
                threads /= 2;
            }
        }
        if protocol == Protocol::Simple && algorithm == Algorithm::Ring {
            threads += WARP; // synchronisation
        }
        threads = threads.max(3 * WARP);
        if matches!(algorithm, Algorithm::Tree | Algorithm::Pat) {
            threads = MAX_THREADS;
        }
        (channels, threads)
    }

    /// `scheduleCollTasksToPlan`: cuts the call into cells and deals them to channels.
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
        let ll = if protocol == Protocol::Ll { 4 } else { 1 };
        let least = self.constants.min_traffic_per_channel;
        let traffic = least.max(count * factor * ll);
        let per_channel = if self.constants.rounds_traffic {
            (traffic / u64::from(asked)).div_ceil(16) * 16
        } else {
            least.max(traffic / u64::from(asked))
        };
        let per_byte = factor * ll;
        let cell = least.div_ceil(per_byte).div_ceil(16) * 16;
        let per_cell = cell * per_byte;
        let cells = count.div_ceil(cell).max(1);
        let mut cells_per_channel = cells.min(per_channel.div_ceil(per_cell)).max(1);
        let most = u64::from(self.most_channels(algorithm).max(1));
        let mut low = if most == 1 {
            cells
        } else {
            cells.min(per_channel.div_ceil(per_cell))
        };
        let mut middle_channels = (cells - low) / cells_per_channel;
        let mut high = (cells - low) % cells_per_channel;
        let wanted = u64::from(low != 0) + middle_channels + u64::from(high != 0);
        if most < wanted {
            middle_channels = most.saturating_sub(2);
            cells_per_channel = (cells - low) / (middle_channels + 1);
            high = cells_per_channel + (cells - low) % (middle_channels + 1);
        }
        if high == 0 && middle_channels != 0 {
            high = cells_per_channel;
            middle_channels -= 1;
        }
        if low == 0 {
            low = if middle_channels == 0 {
                std::mem::take(&mut high)
            } else {
                cells_per_channel
            };
            middle_channels = middle_channels.saturating_sub(1);
        }
        let excess = (cells * cell).saturating_sub(count);
        let middle = if middle_channels == 0 {
            0
        } else {
            cells_per_channel * cell
        };
        let (mut low, mut high) = (low * cell, high * cell);
        *(if high == 0 { &mut low } else { &mut high }) -= excess;
        let channels = u64::from(low != 0) + middle_channels + u64::from(high != 0);
        let channels = u32::try_from(channels.max(1)).unwrap_or(u32::MAX);
        Spread {
            channels,
            low,
            middle,
            high,
        }
    }

    /// `calcCollChunking` for the channel in the middle of the spread (the first where there is
    /// none between).
    fn chunk_bytes(
        &self,
        algorithm: Algorithm,
        protocol: Protocol,
        collective: Collective,
        spread: Spread,
        asked: Option<u64>,
    ) -> u64 {
        let count = if spread.middle != 0 {
            spread.middle
        } else {
            spread.low
        };
        self.chunk_of_channel(algorithm, protocol, collective, count, asked)
    }

    /// Chunk of a channel that moves `count` bytes of one rank's count.
    pub fn chunk_of_channel(
        &self,
        algorithm: Algorithm,
        protocol: Protocol,
        collective: Collective,
        count: u64,
        asked: Option<u64>,
    ) -> u64 {
        let system = &self.system;
        let gathers = matches!(
            collective,
            Collective::AllGather | Collective::ReduceScatter
        );
        let bytes = count * if gathers { u64::from(system.ranks) } else { 1 };
        let p = protocol.nccl_id() as usize;
        let simple = protocol == Protocol::Simple;
        let buffer = self
            .settings
            .buffer_bytes
            .filter(|_| simple)
            .unwrap_or(BUFFER_BYTES[p]);
        let twice = !matches!(collective, Collective::Broadcast | Collective::Reduce);
        let steps = if simple && algorithm == Algorithm::Ring && twice {
            STEPS / 2
        } else {
            1
        };
        let mut chunk = buffer / STEPS * steps;
        match protocol {
            Protocol::Ll => chunk /= 2,
            Protocol::Ll128 => chunk = chunk / 16 * 15,
            Protocol::Simple => {}
        }
        let most = chunk;
        let heads = system.nvls.map_or(1, |g| u64::from(g.channels));
        match algorithm {
            Algorithm::Nvls => {
                chunk = chunk.min(self.nvls_chunk().0);
                for (times, size) in [(64, 65_536), (8, 32_768), (2, 16_384)] {
                    if bytes < times * heads * chunk && chunk > size {
                        chunk = size;
                    }
                }
            }
            Algorithm::NvlsTree => {
                let (own, tree) = self.nvls_chunk();
                chunk = own.min(tree);
                for (times, size) in [(32, 262_144), (16, 131_072), (4, 65_536), (1, 32_768)] {
                    if bytes < times * heads * chunk && chunk > size {
                        chunk = size;
                    }
                }
            }
            Algorithm::Tree if protocol == Protocol::Ll128 => {
                #[allow(clippy::cast_precision_loss)] // counts
                let ppn = system.ranks as f32 / system.nodes as f32;
                #[allow(clippy::cast_precision_loss)]
                let steps = 1.0 + system.nodes.ilog2() as f32 + 0.1 * ppn;
                #[allow(clippy::cast_precision_loss)] // a quotient, as NCCL compares it
                let few = |chunk: u64, times: f32| ((bytes / chunk) as f32) < steps * times / ppn;
                while few(chunk, 64.0) && chunk > 131_072 {
                    chunk /= 2;
                }
                while few(chunk, 16.0) && chunk > 32_768 {
                    chunk /= 2;
                }
            }
            Algorithm::Pat => {
                let times = if collective == Collective::AllGather {
                    32
                } else {
                    16
                };
                while chunk * times > bytes && chunk > 65_536 {
                    chunk /= 2;
                }
            }
            _ => {}
        }
        let chunk = asked.map_or(chunk, |n| n.min(most));
        let grain = GRAIN_BYTES[p];
        (chunk / grain * grain).max(grain)
    }

    /// Chunk of NVLS, and the most NVLSTree uses, bytes (`ncclNvlsTuning`).
    fn nvls_chunk(&self) -> (u64, u64) {
        let system = &self.system;
        let mut chunk = 128 << 10;
        let mut tree = 0;
        if self.constants.tunes_nvls_tree && system.compute_capability >= 100 && system.nodes > 1 {
            let ppn = system.ranks_per_node();
            let near = system.nvls.is_some_and(|g| g.inter_path <= PathType::Pxb);
            let nic_gbs = system.nvls.map_or(0.0, |g| g.inter_gbs);
            if system.nodes == 2 && nic_gbs >= 48.0 {
                tree = 128 << 10;
                if ppn <= 4 {
                    chunk = 256 << 10;
                    tree = 256 << 10;
                } else if ppn >= 16 || (ppn <= 8 && near && nic_gbs < 96.0) {
                    tree = 64 << 10;
                }
            } else if nic_gbs >= 96.0 {
                if ppn <= 8 {
                    chunk = 256 << 10;
                    tree = 256 << 10;
                } else {
                    tree = if ppn < 32 { 128 << 10 } else { 64 << 10 };
                }
            } else if nic_gbs >= 48.0 {
                tree = if near { 64 << 10 } else { 128 << 10 };
            }
        }
        if tree == 0 {
            tree = if system.nodes >= 4 { 65_536 } else { chunk };
        }
        (chunk, tree)
    }
}
