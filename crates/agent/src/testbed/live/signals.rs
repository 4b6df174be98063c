//! What the watched calls showed besides their time, by key.

use std::collections::BTreeMap;

use ccl_abi::shared::Timing;
use ccl_core::{CommShape, TaskKey};

use super::legal::key_of;
use super::observed::name_of;
use crate::live::iterations::Iteration;
use crate::observe::row::Row;
use crate::observe::seen::Seen;
use crate::observe::table::Table;
use crate::testbed::{LateRank, Signals, wait_for_ranks};

/// The signals of the iterations between the first and the last line: what came before was warm-up.
/// Of a key that ran with several choices the one that cost most speaks.
pub(super) fn signals(lines: &[Iteration], seen: &[Seen]) -> BTreeMap<TaskKey, Signals> {
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else {
        return BTreeMap::new();
    };
    let watched = first.ended_us..last.ended_us;
    let mut table = Table::default();
    let mut calls: BTreeMap<TaskKey, BTreeMap<_, Vec<f64>>> = BTreeMap::new();
    for one in seen.iter().filter(|one| watched.contains(&one.enqueued_us)) {
        table.add(one);
        let (Some(key), Some(name)) = (key_of(one), name_of(one)) else {
            continue;
        };
        if one.record.is_complete && one.record.timing != Timing::Enqueue {
            #[allow(clippy::cast_precision_loss)] // far below 2^53 ns
            let us = one.record.duration_ns as f64 / 1e3;
            let of_key = calls.entry(key).or_default();
            of_key
                .entry((name, one.record.sequence))
                .or_default()
                .push(us);
        }
    }
    let mut found: BTreeMap<TaskKey, Signals> = BTreeMap::new();
    for row in table.rows() {
        if let (Some(ranks), Some(nodes)) = (row.ranks, row.nodes) {
            let key = TaskKey::of(CommShape::new(ranks, nodes), row.collective, row.min_bytes);
            found.entry(key).or_insert_with(|| of_row(&row));
        }
    }
    for (key, calls) in calls {
        let calls: Vec<Vec<f64>> = calls.into_values().collect();
        found.entry(key).or_default().wait_for_ranks = wait_for_ranks(key.collective, &calls);
    }
    found
}

fn of_row(row: &Row) -> Signals {
    let late_rank = row.late_rank.as_ref().map(|late| LateRank {
        rank: late.rank,
        wait_share: late.others_wait_us / (late.median_us + late.others_wait_us),
    });
    let tail_ratio = row.p99_us.zip(row.median_us.filter(|us| *us > 0.0));
    Signals {
        late_rank,
        network_waits: row.waits,
        tail_ratio: tail_ratio.map(|(p99, median)| p99 / median),
        ..Signals::default()
    }
}

#[cfg(test)]
mod tests {
    use ccl_abi::shared::{Membership, Record, Waits};
    use ccl_core::{Algorithm, Choice, Collective, Protocol};

    use super::*;

    fn line(ended_us: u64) -> Iteration {
        Iteration {
            number: 0,
            time_ms: 1.0,
            ended_us,
            is_simulated: false,
        }
    }

    fn seen(rank: u32, sequence: u64, enqueued_us: u64, us: u64) -> Seen {
        let record = Record {
            communicator: 1,
            sequence,
            collective: 4,
            algorithm: 1,
            protocol: 2,
            channels: 8,
            warps: 16,
            element_bytes: 4,
            timing: Timing::Device,
            is_complete: true,
            count: 1 << 20,
            enqueued_ns: 1000 * enqueued_us,
            duration_ns: 1000 * us,
            transfers: 4,
            sampled: 1,
            transferred_bytes: 0,
            waits: Waits {
                recv_ns: 600,
                send_ns: 400,
                ..Waits::default()
            },
        };
        Seen {
            pid: rank,
            member: Some(Membership {
                id: 1,
                ranks: 4,
                nodes: 2,
                rank,
            }),
            collective: Collective::AllReduce,
            choice: Choice::new(Algorithm::Ring, Protocol::Simple).with_channels(8),
            enqueued_us,
            record,
            is_simulated: false,
        }
    }

    fn of_calls(late: fn(u64) -> u32) -> Signals {
        let mut all: Vec<Seen> = Vec::new();
        // A warm-up that would drown everything else.
        all.extend((0..4).map(|rank| seen(rank, 0, 50, 1_000_000)));
        for call in 1..40 {
            let us = |rank| if rank == late(call) { 60 } else { 100 };
            all.extend((0..4).map(|rank| seen(rank, call, 100 + call, us(rank))));
        }
        let key = key_of(&all[0]).unwrap();
        signals(&[line(100), line(1000)], &all)
            .remove(&key)
            .unwrap()
    }

    #[test]
    fn a_straggler_and_skew_are_told_apart() {
        let straggler = of_calls(|_| 2);
        let late = straggler.late_rank.unwrap();
        assert_eq!(late.rank, 2);
        assert!((late.wait_share - 0.4).abs() < 1e-9);
        let skew = of_calls(|call| u32::try_from(call % 4).unwrap());
        assert_eq!(skew.late_rank, None);
        assert!((skew.wait_for_ranks.unwrap() - 0.4).abs() < 1e-9);
        let waits = skew.network_waits.unwrap();
        assert!((waits.recv - 0.6).abs() < 1e-9);
        assert!(skew.tail_ratio.unwrap() < 2.0, "the warm-up counts");
    }

    #[test]
    fn nothing_watched_is_nothing_known() {
        assert!(signals(&[], &[seen(0, 0, 5, 10)]).is_empty());
    }
}
