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
