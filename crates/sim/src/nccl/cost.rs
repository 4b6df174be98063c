//! The table of costs a tuner plugin is handed, and the choice NCCL makes from it.

use ccl_core::{Algorithm, Choice, Collective, Protocol};

use super::constants::TREE_CORRECTION;
use super::model::Model;
use super::system::CpuArchitecture;
use crate::ResolvedChoice;

/// Largest number of ranks on one node that NVLS serves but for AllReduce
/// (`NCCL_MAX_NVLS_ARITY`).
const NVLS_MAX_RANKS: u32 = 32;

/// Cost of every pair, microseconds; `None` = cannot. By algorithm id and protocol id.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CostTable {
    costs_us: [[Option<f32>; 3]; 7],
}

impl CostTable {
    /// The cost of one pair, microseconds.
    pub fn get(&self, algorithm: Algorithm, protocol: Protocol) -> Option<f32> {
        self.costs_us[algorithm.nccl_id() as usize][protocol.nccl_id() as usize]
    }

    /// The cheapest pair; the first in NCCL's order among equals.
    pub fn cheapest(&self) -> Option<(Algorithm, Protocol, f32)> {
        let mut best: Option<(Algorithm, Protocol, f32)> = None;
        for algorithm in Algorithm::ALL {
            for protocol in Protocol::ALL {
                if let Some(cost) = self.get(algorithm, protocol)
                    && best.is_none_or(|(_, _, least)| cost < least)
                {
                    best = Some((algorithm, protocol, cost));
                }
            }
        }
        best
    }

    /// The pairs that are possible, in NCCL's order.
    pub fn possible(&self) -> impl Iterator<Item = (Algorithm, Protocol)> + '_ {
        Algorithm::ALL
            .into_iter()
            .flat_map(|a| Protocol::ALL.into_iter().map(move |p| (a, p)))
            .filter(|&(a, p)| self.get(a, p).is_some())
    }
}

impl Model {
    /// What NCCL's table holds for a call; `operations` > 1 when NCCL aggregates a group.
    pub fn cost_table(&self, collective: Collective, bytes: u64, operations: u32) -> CostTable {
        let mut table = CostTable::default();
        for algorithm in Algorithm::ALL {
            for protocol in Protocol::ALL {
                table.costs_us[algorithm.nccl_id() as usize][protocol.nccl_id() as usize] =
                    self.cost_us(collective, algorithm, protocol, bytes, operations);
            }
        }
        table
    }

    /// Estimated time of one pair, microseconds (`ncclTopoGetAlgoTime`); `None` = cannot.
    pub fn cost_us(
        &self,
        collective: Collective,
        algorithm: Algorithm,
        protocol: Protocol,
        bytes: u64,
        operations: u32,
    ) -> Option<f32> {
        let entry = self.entry(collective, algorithm, protocol);
        if entry.bandwidth_gbs == 0.0 {
            return None;
        }
        let system = &self.system;
        let nvls = matches!(algorithm, Algorithm::Nvls | Algorithm::NvlsTree);
        if nvls && collective != Collective::AllReduce && system.ranks_per_node() > NVLS_MAX_RANKS {
            return None;
        }
        let mut bandwidth = entry.bandwidth_gbs;
        let mut latency = entry.latency_us;
        let all_reduce = collective == Collective::AllReduce;
        // log2(bytes / 64); below 64 bytes NCCL's log2 of 0 gives -1.
        let log_size = (bytes >> 6).checked_ilog2().map(|n| n as usize);
        let correction = |most: usize| {
            log_size
                .filter(|&n| n < most)
                .map_or(1.0, |n| TREE_CORRECTION[protocol.nccl_id() as usize][n])
        };
        if algorithm == Algorithm::Tree && all_reduce {
            bandwidth *= correction(23);
        }
        let corrects = self.rules.corrects_nvls_tree
            && system.compute_capability >= 100
            && system.cpu_architecture == CpuArchitecture::X86;
        if algorithm == Algorithm::NvlsTree && all_reduce && corrects {
            bandwidth *= correction(24);
        }
        let shares = u64::from(system.channels) * u64::from(system.ranks);
        let plateau = algorithm == Algorithm::Ring
            && protocol == Protocol::Simple
            && all_reduce
            && system.nodes > 1
            && bytes / shares.max(1) >= 64;
        if plateau {
            latency = (f64::from(latency)
                * if system.compute_capability < 80 {
                    1.9
                } else {
                    1.4
                }) as f32;
        }
        let batches = if algorithm == Algorithm::Ring {
            operations
        } else {
            operations.div_ceil(self.rules.batch_collectives)
        };
        #[allow(clippy::cast_precision_loss)] // as NCCL computes it
        let time = latency * batches as f32 + bytes as f32 / (1000.0 * bandwidth);
        Some(time)
    }

    /// What NCCL runs when nobody interferes; `None` for primitives it builds from send and
    /// receive, and for a communicator of one rank.
    pub fn choose(&self, collective: Collective, bytes: u64) -> Option<ResolvedChoice> {
        self.choose_grouped(collective, bytes, 1)
    }

    /// The same when NCCL aggregates `operations` calls; `bytes` is what one of them moves.
    pub fn choose_grouped(
        &self,
        collective: Collective,
        bytes: u64,
        operations: u32,
    ) -> Option<ResolvedChoice> {
        let (algorithm, protocol, _) = self.cost_table(collective, bytes, operations).cheapest()?;
        Some(self.resolve(Choice::new(algorithm, protocol), collective, bytes))
    }
}
