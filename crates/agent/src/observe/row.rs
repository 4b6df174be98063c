//! Figures of a row, made of its sums.

use std::collections::BTreeMap;

use ccl_abi::shared::Timing;
use ccl_core::{Choice, Collective, Source, busbw_from_time};
use ccl_search::median;
use schemars::JsonSchema;
use serde::Serialize;

use super::reasons;
use super::table::{Key, OfCommunicator, Sums};

/// Calls of a rank below which nothing is said about when it comes.
const FEWEST: usize = 5;

/// Where durations come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// The GPU's own timer: first channel's start to last channel's end.
    Gpu,
    /// The host's clock, as NCCL's proxy saw kernels and transfers begin and end.
    Host,
    /// None: only the enqueuing was seen.
    None,
}

/// One row: what NCCL ran for one task key, and what that cost.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Row {
    /// What was called.
    pub collective: Collective,
    /// Ranks of the communicator; null where nobody says (NCCL before 2.27).
    pub ranks: Option<u32>,
    /// Nodes they live on; null likewise.
    pub nodes: Option<u32>,
    /// Smallest call, bytes as nccl-tests counts them; where `ranks` is null, of AllGather and
    /// ReduceScatter one rank's part.
    pub min_bytes: u64,
    /// Largest call, likewise: less than twice the smallest possible of the same row.
    pub max_bytes: u64,
    /// What ran. Where `ranks` is null, `channels` can be the most NCCL allowed itself.
    pub choice: Choice,
    /// Calls, each counted once, over all communicators; with sampling or losses an estimate.
    pub calls: u64,
    /// Where the durations come from.
    pub clock: Clock,
    /// Whether the durations are measured or simulated.
    pub source: Source,
    /// Middle of the latest durations on the ranks of this machine, microseconds.
    pub median_us: Option<f64>,
    /// One in a hundred of them took longer, microseconds.
    pub p99_us: Option<f64>,
    /// Middle of their bus bandwidths, GB/s as nccl-tests defines it.
    pub busbw_gbs: Option<f64>,
    /// Median times calls, summed over the ranks of this machine, microseconds.
    pub rank_time_us: f64,
    /// Its part of the `rank_time_us` of all rows, 0 to 1.
    pub share: f64,
    /// Where the time of its network transfers went; null where none was seen.
    pub waits: Option<WaitShares>,
    /// Network transfers seen.
    pub transfers: u64,
    /// The rank the others wait for, where the durations show one.
    pub late_rank: Option<LateRank>,
    /// Ranks of this machine seen in it, over all communicators.
    pub ranks_seen: usize,
    /// Records of which something was missing; their durations do not count.
    pub incomplete: u64,
    /// Records that had no duration, or one by a worse clock.
    pub untimed: u64,
    /// What the figures show about its time, a sentence each.
    pub why: Vec<String>,
}

/// A rank for which the others wait.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LateRank {
    /// Its rank in the communicator.
    pub rank: u32,
    /// Its process.
    pub pid: u32,
    /// The communicator's id, as NCCL's logs write it.
    pub communicator: String,
    /// Its median, microseconds.
    pub median_us: f64,
    /// How much longer the typical rank is inside, microseconds.
    pub others_wait_us: f64,
}

/// Shares of the time of network transfers, adding up to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct WaitShares {
    /// Sending, for the GPU to fill a buffer.
    pub send_gpu: f64,
    /// Sending, for the peer to take more.
    pub send_peer: f64,
    /// Sending, by the network.
    pub send: f64,
    /// Receiving, for the network or the peer; they look the same.
    pub recv: f64,
    /// Receiving, for the flush into the GPU's memory.
    pub recv_flush: f64,
    /// Receiving, for the GPU to empty a buffer.
    pub recv_gpu: f64,
}

impl WaitShares {
    fn of(waits_ns: [u64; 6]) -> Option<Self> {
        #[allow(clippy::cast_precision_loss)] // shares
        let waits = waits_ns.map(|ns| ns as f64);
        let total: f64 = waits.iter().sum();
        let [send_gpu, send_peer, send, recv, recv_flush, recv_gpu] = waits.map(|ns| ns / total);
        (total > 0.0).then_some(Self {
            send_gpu,
            send_peer,
            send,
            recv,
            recv_flush,
            recv_gpu,
        })
    }

    /// The shares with a word for each, largest first.
    pub fn by_size(self) -> [(&'static str, f64); 6] {
        let mut all = [
            ("send-gpu", self.send_gpu),
            ("send-peer", self.send_peer),
            ("send", self.send),
            ("recv", self.recv),
            ("recv-flush", self.recv_flush),
            ("recv-gpu", self.recv_gpu),
        ];
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all
    }
}

/// All rows, those that cost most first.
pub(super) fn rows(sums: &BTreeMap<Key, Sums>) -> Vec<Row> {
    let mut rows: Vec<Row> = sums.iter().map(|(key, sums)| row(key, sums)).collect();
    let total: f64 = rows.iter().map(|row| row.rank_time_us).sum();
    for row in &mut rows {
        row.share = if total > 0.0 {
            row.rank_time_us / total
        } else {
            0.0
        };
    }
    rows.sort_by(|a, b| {
        let cost = b.rank_time_us.total_cmp(&a.rank_time_us);
        cost.then(b.calls.cmp(&a.calls))
    });
    let whys: Vec<Vec<String>> = rows.iter().map(|row| reasons::of(row, &rows)).collect();
    for (row, why) in rows.iter_mut().zip(whys) {
        row.why = why;
    }
    rows
}

fn row(key: &Key, sums: &Sums) -> Row {
    let task = key.task;
    let some = |n: u32| (n > 0).then_some(n);
    let add = |of: fn(&OfCommunicator) -> u64, past: u64| {
        let calls = sums.communicators.values().map(of);
        calls.fold(past, u64::saturating_add)
    };
    let ranks = || sums.communicators.values().flat_map(|c| c.ranks.values());
    let timed = || ranks().flat_map(|rank| rank.timed.iter());
    let mut durations_us: Vec<f64> = timed().map(|(us, _)| *us).collect();
    durations_us.sort_by(f64::total_cmp);
    let median_us = median(&durations_us);
    let bandwidths: Vec<f64> = timed()
        .filter(|(us, _)| *us > 0.0 && task.shape.ranks > 1)
        .map(|(us, bytes)| busbw_from_time(task.collective, task.shape.ranks, *bytes, *us))
        .collect();
    let rank_calls = add(OfCommunicator::rank_calls, sums.past_rank_calls);
    #[allow(clippy::cast_precision_loss)] // a count
    let rank_time_us = median_us.unwrap_or(0.0) * rank_calls as f64;
    Row {
        collective: task.collective,
        ranks: some(task.shape.ranks),
        nodes: some(task.shape.nodes),
        min_bytes: sums.min_bytes,
        max_bytes: sums.max_bytes,
        choice: key.choice,
        calls: add(OfCommunicator::calls, sums.past_calls),
        clock: match sums.timing {
            Some(Timing::Device) => Clock::Gpu,
            Some(Timing::Proxy) => Clock::Host,
            Some(Timing::Enqueue) | None => Clock::None,
        },
        source: if key.is_simulated {
            Source::Simulated
        } else {
            Source::Measured
        },
        median_us,
        p99_us: quantile(&durations_us, 99),
        busbw_gbs: median(&bandwidths),
        rank_time_us,
        share: 0.0,
        waits: WaitShares::of(sums.waits_ns),
        transfers: sums.transfers,
        late_rank: late_rank(task.collective, sums),
        ranks_seen: ranks().count(),
        incomplete: sums.incomplete,
        untimed: sums.untimed,
        why: Vec::new(),
    }
}

/// The smallest value that this many in a hundred do not exceed, of sorted values.
fn quantile(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

/// In these collectives no rank can leave before all have come, so the ranks wait inside for the last
/// one, and that one is inside for the shortest time. It is said where the gap is beyond two
/// microseconds and a twentieth of the typical rank's time, in three of four of its calls.
fn late_rank(collective: Collective, sums: &Sums) -> Option<LateRank> {
    use Collective::{AllGather, AllReduce, ReduceScatter};
    if !matches!(collective, AllGather | AllReduce | ReduceScatter) {
        return None;
    }
    // Ranks of different communicators do not wait for each other.
    let of_communicator = |(id, communicator): (&Option<u64>, &OfCommunicator)| {
        let id = (*id)?;
        let mut ranks = Vec::new();
        for (who, rank) in &communicator.ranks {
            let mut sorted: Vec<f64> = rank.timed.iter().map(|(us, _)| *us).collect();
            sorted.sort_by(f64::total_cmp);
            if let (true, Some(rank)) = (sorted.len() >= FEWEST, who.rank) {
                let (middle, upper) = (median(&sorted)?, quantile(&sorted, 75)?);
                ranks.push((rank, who.pid, middle, upper));
            }
        }
        let middles: Vec<f64> = ranks.iter().map(|(_, _, middle, _)| *middle).collect();
        let typical = median(&middles).filter(|_| ranks.len() > 1)?;
        let (rank, pid, least, upper) = ranks.into_iter().min_by(|a, b| a.2.total_cmp(&b.2))?;
        let is_late = |us: f64| typical - us > 2.0 && typical - us > typical / 20.0;
        (is_late(least) && is_late(upper)).then(|| LateRank {
            rank,
            pid,
            communicator: format!("0x{id:x}"),
            median_us: least,
            others_wait_us: typical - least,
        })
    };
    sums.communicators
        .iter()
        .filter_map(of_communicator)
        .max_by(|a, b| a.others_wait_us.total_cmp(&b.others_wait_us))
}
