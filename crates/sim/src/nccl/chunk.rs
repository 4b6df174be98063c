//! The chunk of a call: how many bytes a channel moves per pipeline step.
//!
//! `calcCollChunking` of `src/enqueue.cc` and `ncclNvlsTuning` of `src/transport/nvls.cc`.

use ccl_core::{Algorithm, Collective, Protocol};

use super::constants::{ARM_BUFFER_BYTES, BUFFER_BYTES, GRAIN_BYTES, STEPS};
use super::model::Model;
use super::schedule::Spread;
use super::system::{CpuArchitecture, PathType};

impl Model {
    /// Chunk of the channel in the middle of the spread (the first where there is none between).
    pub(super) fn chunk_bytes(
        &self,
        algorithm: Algorithm,
        protocol: Protocol,
        collective: Collective,
        spread: &Spread,
        asked: Option<u64>,
    ) -> u64 {
        let count = if spread.middle != 0 {
            spread.middle
        } else {
            spread.low
        };
        self.chunk_of_channel(algorithm, protocol, collective, count, asked)
    }

    /// Chunk of a channel that moves `count` bytes of one rank's count; `asked` is what a tuner
    /// wants instead, bounded by the buffer. Always a multiple of the protocol's grain.
    pub fn chunk_of_channel(
        &self,
        algorithm: Algorithm,
        protocol: Protocol,
        collective: Collective,
        count: u64,
        asked: Option<u64>,
    ) -> u64 {
        let gathers = matches!(
            collective,
            Collective::AllGather | Collective::ReduceScatter
        );
        let bytes = count
            * if gathers {
                u64::from(self.system.ranks)
            } else {
                1
            };
        let most = self.most_chunk_bytes(algorithm, protocol, collective);
        let chunk = match asked {
            Some(asked) => asked.min(most),
            None => self.own_chunk_bytes(algorithm, protocol, collective, bytes, most),
        };
        let grain = GRAIN_BYTES[protocol.nccl_id() as usize];
        (chunk / grain * grain).max(grain)
    }

    /// Largest chunk the buffer holds, bytes.
    pub fn most_chunk_bytes(
        &self,
        algorithm: Algorithm,
        protocol: Protocol,
        collective: Collective,
    ) -> u64 {
        let simple = protocol == Protocol::Simple;
        // Rings that do not stop at a root fill half of the buffer's steps at once.
        let rootless = !matches!(collective, Collective::Broadcast | Collective::Reduce);
        let steps = if simple && algorithm == Algorithm::Ring && rootless {
            STEPS / 2
        } else {
            1
        };
        let chunk = self.buffer_bytes(protocol) / STEPS * steps;
        match protocol {
            Protocol::Ll => chunk / 2,          // half of each line is a flag
            Protocol::Ll128 => chunk / 16 * 15, // 8 of 128 bytes are
            Protocol::Simple => chunk,
        }
    }

    fn buffer_bytes(&self, protocol: Protocol) -> u64 {
        let arm = self.system.cpu_architecture == CpuArchitecture::Arm;
        let default = match protocol {
            Protocol::Simple if arm && self.rules.small_arm_buffer => ARM_BUFFER_BYTES,
            _ => BUFFER_BYTES[protocol.nccl_id() as usize],
        };
        self.settings
            .buffer_bytes
            .filter(|_| protocol == Protocol::Simple)
            .unwrap_or(default)
    }

    fn own_chunk_bytes(
        &self,
        algorithm: Algorithm,
        protocol: Protocol,
        collective: Collective,
        bytes: u64,
        most: u64,
    ) -> u64 {
        let heads = self.system.nvls_heads();
        // Shrinks to `size` when there are fewer than `times` chunks for every head.
        let shrink = |chunk: u64, steps: &[(u64, u64)]| {
            steps.iter().fold(chunk, |chunk, &(times, size)| {
                if bytes < times * heads * chunk && chunk > size {
                    size
                } else {
                    chunk
                }
            })
        };
        match (algorithm, protocol) {
            (Algorithm::Nvls, _) => shrink(
                most.min(self.nvls_chunk_bytes().0),
                &[(64, 65_536), (8, 32_768), (2, 16_384)],
            ),
            (Algorithm::NvlsTree, _) => {
                let (own, tree) = self.nvls_chunk_bytes();
                let steps = [(32, 262_144), (16, 131_072), (4, 65_536), (1, 32_768)];
                shrink(own.min(tree), &steps)
            }
            (Algorithm::Tree, Protocol::Ll128) => self.tree_ll128_chunk_bytes(bytes, most),
            (Algorithm::Tree, Protocol::Simple) if self.rules.tree_chunk_by_depth => {
                let depth =
                    u64::from(self.system.ranks_per_node() - 1 + self.system.nodes.max(1).ilog2());
                [(8, 131_072), (4, 65_536), (1, 32_768)].into_iter().fold(
                    most,
                    |chunk, (times, least)| {
                        halve_while(chunk, least, |chunk| bytes / chunk < depth * times)
                    },
                )
            }
            (Algorithm::Pat, _) => {
                let times = if collective == Collective::AllGather {
                    32
                } else {
                    16
                };
                halve_while(most, 65_536, |chunk| chunk * times > bytes)
            }
            _ => most,
        }
    }

    fn tree_ll128_chunk_bytes(&self, bytes: u64, most: u64) -> u64 {
        #[allow(clippy::cast_precision_loss)] // counts
        let ranks_per_node = self.system.ranks as f32 / self.system.nodes as f32;
        let depth = f64::from(1 + self.system.nodes.max(1).ilog2());
        // Single precision where NCCL stores it.
        let steps = (depth + 0.1 * f64::from(ranks_per_node)) as f32;
        #[allow(clippy::cast_precision_loss)] // a quotient, as NCCL compares it
        let few =
            |chunk: u64, times: f32| ((bytes / chunk) as f32) < steps * times / ranks_per_node;
        let chunk = halve_while(most, 131_072, |chunk| few(chunk, 64.0));
        halve_while(chunk, 32_768, |chunk| few(chunk, 16.0))
    }

    /// Chunk of NVLS, and the most NVLSTree uses, bytes.
    fn nvls_chunk_bytes(&self) -> (u64, u64) {
        const KIB: u64 = 1 << 10;
        let system = &self.system;
        let default = 128 * KIB;
        if self.rules.tunes_nvls_tree && system.compute_capability >= 100 && system.nodes > 1 {
            let near = system.nvls.is_some_and(|g| g.inter_path <= PathType::Pxb);
            let nic = system.nic_gbs;
            match (system.nodes, system.ranks_per_node()) {
                (2, ..=4) if nic >= 48.0 => return (256 * KIB, 256 * KIB),
                (2, 16..) if nic >= 48.0 => return (default, 64 * KIB),
                (2, ..=8) if nic >= 48.0 && near && nic < 96.0 => return (default, 64 * KIB),
                (2, _) if nic >= 48.0 => return (default, 128 * KIB),
                (_, ..=8) if nic >= 96.0 => return (256 * KIB, 256 * KIB),
                (_, ..32) if nic >= 96.0 => return (default, 128 * KIB),
                _ if nic >= 96.0 || (nic >= 48.0 && near) => return (default, 64 * KIB),
                _ if nic >= 48.0 => return (default, 128 * KIB),
                _ => {}
            }
        }
        let tree = if system.nodes >= 4 { 64 * KIB } else { default };
        (default, tree)
    }
}

fn halve_while(mut chunk: u64, least: u64, too_large: impl Fn(u64) -> bool) -> u64 {
    while chunk > least && too_large(chunk) {
        chunk /= 2;
    }
    chunk
}
