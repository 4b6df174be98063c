//! Summing up what was seen: one row per task key and choice.

use std::collections::{BTreeMap, VecDeque};

use ccl_abi::shared::{Timing, Waits};
use ccl_core::{Choice, Collective, busbw_from_time};
use ccl_search::median;
use serde::Serialize;

use super::rings::Seen;

/// Durations kept of each rank for a row; the latest.
const KEPT: usize = 2048;

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    ranks: u32,
    nodes: u32,
    collective: Collective,
    bytes: u64,
    choice: Choice,
}

/// One rank of one communicator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Who {
    comm_id: u64,
    rank: u32,
    pid: u32,
}

#[derive(Clone, Debug, Default)]
struct OfRank {
    calls: u64,
    durations_us: VecDeque<f64>,
}

#[derive(Clone, Debug, Default)]
struct Sums {
    ranks: BTreeMap<Who, OfRank>,
    waits_ns: [u64; 6],
    incomplete: u64,
    timing: Option<Timing>,
    sampled: u32,
    is_simulated: bool,
}

/// Everything that was seen of a job.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: BTreeMap<Key, Sums>,
    /// Collectives that were seen, on all ranks.
    pub records: u64,
}

/// A rank for which the others wait.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Straggler {
    /// Its rank.
    pub rank: u32,
    /// How much longer than it the median rank is in the collective, microseconds.
    pub others_wait_us: f64,
}

/// One row, as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Ranks of the communicator; 0 where nobody says.
    pub ranks: u32,
    /// Nodes likewise.
    pub nodes: u32,
    /// What was called.
    pub collective: Collective,
    /// Bytes of a call, as nccl-tests counts them.
    pub bytes: u64,
    /// What ran.
    pub choice: Choice,
    /// Calls, whichever rank saw most of them; with sampling, an estimate.
    pub calls: u64,
    /// Middle of the durations on all ranks, microseconds; none where only the enqueuing was seen.
    pub median_us: Option<f64>,
    /// One in a hundred took longer, microseconds.
    pub p99_us: Option<f64>,
    /// Bus bandwidth at the median, GB/s; none where the number of ranks is unknown.
    pub busbw_gbs: Option<f64>,
    /// Calls times median, microseconds: what the row costs a rank.
    pub total_us: f64,
    /// Shares of the network's time in each wait, adding up to 1; none without network transfers.
    pub waits: Option<WaitShares>,
    /// Who comes late to it.
    pub straggler: Option<Straggler>,
    /// Whether the durations are the GPU's own.
    pub is_device_time: bool,
    /// Records of which something was missing.
    pub incomplete: u64,
    /// Whether the durations come from a simulation.
    pub simulated: bool,
}

/// Shares of network time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WaitShares {
    /// Sending, for the GPU.
    pub send_gpu: f64,
    /// Sending, for the peer.
    pub send_peer: f64,
    /// Sending, for the network.
    pub send: f64,
    /// Receiving, for the network or the peer.
    pub recv: f64,
    /// Receiving, for the flush.
    pub recv_flush: f64,
    /// Receiving, for the GPU.
    pub recv_gpu: f64,
}

impl WaitShares {
    fn of(waits_ns: [u64; 6]) -> Option<Self> {
        let total: u64 = waits_ns.iter().sum();
        #[allow(clippy::cast_precision_loss)] // shares
        let share = |n: u64| n as f64 / total as f64;
        let [send_gpu, send_peer, send, recv, recv_flush, recv_gpu] = waits_ns.map(share);
        (total > 0).then_some(Self {
            send_gpu,
            send_peer,
            send,
            recv,
            recv_flush,
            recv_gpu,
        })
    }

    /// The shares with their names, largest first.
    pub fn by_size(self) -> [(&'static str, f64); 6] {
        let mut all = [
            ("send waits for GPU", self.send_gpu),
            ("send waits for peer", self.send_peer),
            ("sending", self.send),
            ("receiving", self.recv),
            ("flush", self.recv_flush),
            ("receive waits for GPU", self.recv_gpu),
        ];
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all
    }
}

impl Table {
    /// Adds what one rank saw of one collective.
    pub fn add(&mut self, seen: &Seen) {
        self.records += 1;
        let key = Key {
            ranks: seen.member.map_or(0, |m| m.ranks),
            nodes: seen.member.map_or(0, |m| m.nodes),
            collective: seen.collective,
            bytes: seen.bytes(),
            choice: seen.choice,
        };
        let sums = self.rows.entry(key).or_default();
        let who = Who {
            comm_id: seen.member.map_or(0, |m| m.id),
            rank: seen.member.map_or(0, |m| m.rank),
            pid: seen.pid,
        };
        let record = &seen.record;
        let rank = sums.ranks.entry(who).or_default();
        rank.calls += u64::from(record.sampled.max(1));
        if record.timing != Timing::Enqueue {
            if rank.durations_us.len() == KEPT {
                rank.durations_us.pop_front();
            }
            #[allow(clippy::cast_precision_loss)] // far below 2^53 ns
            rank.durations_us.push_back(record.duration_ns as f64 / 1e3);
        }
        let Waits { .. } = record.waits;
        for (sum, ns) in sums.waits_ns.iter_mut().zip(record.waits.all()) {
            *sum = sum.saturating_add(ns);
        }
        sums.incomplete += u64::from(!record.is_complete);
        sums.timing = sums.timing.max(Some(record.timing));
        sums.sampled = sums.sampled.max(record.sampled);
        sums.is_simulated |= seen.is_simulated;
    }

    /// The rows, those that cost most first.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.rows.iter().map(|(key, sums)| row(key, sums)).collect();
        rows.sort_by(|a, b| b.total_us.total_cmp(&a.total_us));
        rows
    }
}

fn row(key: &Key, sums: &Sums) -> Row {
    let mut by_communicator: BTreeMap<u64, u64> = BTreeMap::new();
    for (who, rank) in &sums.ranks {
        let most = by_communicator.entry(who.comm_id).or_default();
        *most = rank.calls.max(*most);
    }
    let calls = by_communicator.values().sum();
    let mut all: Vec<f64> = sums
        .ranks
        .values()
        .flat_map(|rank| rank.durations_us.iter().copied())
        .collect();
    all.sort_by(f64::total_cmp);
    let median_us = median(&all);
    let busbw_gbs = median_us
        .filter(|us| *us > 0.0 && key.ranks > 1)
        .map(|us| busbw_from_time(key.collective, key.ranks, key.bytes, us));
    #[allow(clippy::cast_precision_loss)] // a count
    let total_us = median_us.unwrap_or(0.0) * calls as f64;
    Row {
        ranks: key.ranks,
        nodes: key.nodes,
        collective: key.collective,
        bytes: key.bytes,
        choice: key.choice,
        calls,
        median_us,
        p99_us: p99(&all),
        busbw_gbs,
        total_us,
        waits: WaitShares::of(sums.waits_ns),
        straggler: straggler(sums),
        is_device_time: sums.timing == Some(Timing::Device),
        incomplete: sums.incomplete,
        simulated: sums.is_simulated,
    }
}

/// The value that one in a hundred is above: nearest rank on sorted values.
fn p99(sorted: &[f64]) -> Option<f64> {
    let rank = (sorted.len() * 99).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

/// Inside a collective the ranks wait for the last one to come, so the one that comes late is the
/// one that is inside for the shortest time. Said where that is a twentieth of the median and two
/// microseconds.
fn straggler(sums: &Sums) -> Option<Straggler> {
    // Ranks of different communicators do not wait for each other: the one with the largest gap.
    let mut groups: BTreeMap<u64, Vec<(u32, f64)>> = BTreeMap::new();
    for (who, rank) in &sums.ranks {
        let durations: Vec<f64> = rank.durations_us.iter().copied().collect();
        if let Some(middle) = median(&durations) {
            groups
                .entry(who.comm_id)
                .or_default()
                .push((who.rank, middle));
        }
    }
    groups
        .values()
        .filter_map(|ranks| {
            let middles: Vec<f64> = ranks.iter().map(|(_, us)| *us).collect();
            let typical = median(&middles).filter(|_| ranks.len() > 1)?;
            let (rank, least) = ranks.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
            let gap = typical - least;
            (gap > 2.0 && gap > typical / 20.0).then_some(Straggler {
                rank: *rank,
                others_wait_us: gap,
            })
        })
        .max_by(|a, b| a.others_wait_us.total_cmp(&b.others_wait_us))
}
