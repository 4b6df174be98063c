//! Summing up what was seen: one row per task key and choice.
//!
//! Durations are those of the latest calls; everything else counts from the beginning. Memory is bounded
//! whatever comes: a job can run for months, vary its sizes, and open communicators by the million.

use std::collections::{BTreeMap, VecDeque};

use ccl_abi::shared::Timing;
use ccl_core::{Choice, CommShape, TaskKey};

use super::row::{self, Row};
use super::seen::Seen;

/// Durations kept of each rank for a row; the latest.
pub(super) const KEPT: usize = 512;
/// Rows; what comes beyond is counted and not shown.
const MOST_ROWS: usize = 1024;
/// Ranks with durations, over all rows: 64 MiB at most. Beyond, the communicators that were quiet for
/// longest are forgotten, but for their calls.
const MOST_CELLS: usize = 8192;

/// What a row is about. Simulated and measured durations never share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub task: TaskKey,
    pub choice: Choice,
    pub is_simulated: bool,
}

/// The calls of one rank.
#[derive(Clone, Debug, Default)]
pub(super) struct OfRank {
    /// Calls, those included that sampling passed over.
    pub calls: u64,
    /// Microseconds and bytes of the latest.
    pub timed: VecDeque<(f64, u64)>,
}

/// A rank of a communicator; unknown of what nobody described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Who {
    pub rank: Option<u32>,
    pub pid: u32,
}

/// The calls of one communicator.
#[derive(Clone, Debug, Default)]
pub(super) struct OfCommunicator {
    pub ranks: BTreeMap<Who, OfRank>,
    /// When it was heard of last, in records.
    heard: u64,
}

impl OfCommunicator {
    /// Calls, each counted once: those of the rank that tells of most.
    pub fn calls(&self) -> u64 {
        self.ranks.values().map(|r| r.calls).max().unwrap_or(0)
    }

    /// Calls, counted for each rank.
    pub fn rank_calls(&self) -> u64 {
        let calls = self.ranks.values().map(|r| r.calls);
        calls.fold(0, u64::saturating_add)
    }
}

/// What a row sums up.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    /// By id; `None` for all that nobody described.
    pub communicators: BTreeMap<Option<u64>, OfCommunicator>,
    /// Calls of communicators that are forgotten.
    pub past_calls: u64,
    pub past_rank_calls: u64,
    pub min_bytes: u64,
    pub max_bytes: u64,
    /// The clock of the durations that are kept: the best that was seen.
    pub timing: Option<Timing>,
    pub waits_ns: [u64; 6],
    pub transfers: u64,
    /// Records of which something was missing.
    pub incomplete: u64,
    /// Records without a duration of that clock.
    pub untimed: u64,
}

/// Everything that was seen of a job.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: BTreeMap<Key, Sums>,
    cells: usize,
    records: u64,
    unlisted: u64,
}

impl Table {
    /// Adds what one rank saw of one collective.
    pub fn add(&mut self, seen: &Seen) {
        self.records = self.records.saturating_add(1);
        let shape = seen
            .member
            .map_or(CommShape::new(0, 0), |m| CommShape::new(m.ranks, m.nodes));
        let key = Key {
            task: TaskKey::of(shape, seen.collective, seen.bytes()),
            choice: seen.choice,
            is_simulated: seen.is_simulated,
        };
        if self.rows.len() >= MOST_ROWS && !self.rows.contains_key(&key) {
            self.unlisted = self.unlisted.saturating_add(1);
            return;
        }
        self.cells += usize::from(self.rows.entry(key).or_default().add(seen, self.records));
        if self.cells > MOST_CELLS {
            self.forget();
        }
    }

    /// Forgets the quarter of the communicators that were quiet for longest: many at once, so that it is
    /// done seldom.
    fn forget(&mut self) {
        let communicators = self.rows.values().flat_map(|s| s.communicators.values());
        let mut heard: Vec<u64> = communicators.map(|c| c.heard).collect();
        heard.sort_unstable();
        let Some(limit) = heard.get(heard.len() / 4).copied() else {
            return;
        };
        for sums in self.rows.values_mut() {
            sums.forget(limit);
        }
        let communicators = self.rows.values().flat_map(|s| s.communicators.values());
        self.cells = communicators.map(|c| c.ranks.len()).sum();
    }

    /// Records that were added.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Records of rows beyond the most there can be.
    pub fn unlisted(&self) -> u64 {
        self.unlisted
    }

    /// The rows, those that cost most first.
    pub fn rows(&self) -> Vec<Row> {
        row::rows(&self.rows)
    }
}

impl Sums {
    /// Forgets the communicators that were heard of last at that moment or before, but for their calls.
    fn forget(&mut self, limit: u64) {
        let (calls, rank_calls) = (&mut self.past_calls, &mut self.past_rank_calls);
        self.communicators.retain(|_, past| {
            let is_recent = past.heard > limit;
            if !is_recent {
                *calls = calls.saturating_add(past.calls());
                *rank_calls = rank_calls.saturating_add(past.rank_calls());
            }
            is_recent
        });
    }

    /// Adds a record; whether it is the first of its rank.
    fn add(&mut self, seen: &Seen, now: u64) -> bool {
        let (record, bytes) = (&seen.record, seen.bytes());
        let is_first_of_row = self.communicators.is_empty() && self.max_bytes == 0;
        self.min_bytes = if is_first_of_row {
            bytes
        } else {
            self.min_bytes.min(bytes)
        };
        self.max_bytes = self.max_bytes.max(bytes);
        for (sum, ns) in self.waits_ns.iter_mut().zip(record.waits.all()) {
            *sum = sum.saturating_add(ns);
        }
        self.transfers = self.transfers.saturating_add(u64::from(record.transfers));
        let is_timed = self.takes_time_of(seen);

        let communicator = self
            .communicators
            .entry(seen.member.map(|m| m.id))
            .or_default();
        communicator.heard = now;
        let who = Who {
            rank: seen.member.map(|m| m.rank),
            pid: seen.pid,
        };
        let ranks = communicator.ranks.len();
        let rank = communicator.ranks.entry(who).or_default();
        rank.calls = rank.calls.saturating_add(u64::from(record.sampled.max(1)));
        if is_timed {
            if rank.timed.len() == KEPT {
                rank.timed.pop_front();
            }
            #[allow(clippy::cast_precision_loss)] // nanoseconds below 2^53 are 104 days
            rank.timed
                .push_back((record.duration_ns as f64 / 1e3, bytes));
        }
        communicator.ranks.len() > ranks
    }

    /// Whether the record's duration goes into the row. Parts of a duration do not, and of two clocks
    /// only the better one's: the first duration by it puts aside what the other told.
    fn takes_time_of(&mut self, seen: &Seen) -> bool {
        let record = &seen.record;
        if !record.is_complete {
            self.incomplete = self.incomplete.saturating_add(1);
            return false;
        }
        let better = self.timing.is_none_or(|timing| record.timing <= timing);
        if record.timing == Timing::Enqueue || !better {
            self.untimed = self.untimed.saturating_add(1);
            return false;
        }
        if self.timing.is_some_and(|timing| record.timing < timing) {
            for rank in self
                .communicators
                .values_mut()
                .flat_map(|c| c.ranks.values_mut())
            {
                self.untimed = self.untimed.saturating_add(rank.timed.len() as u64);
                rank.timed.clear();
            }
        }
        self.timing = Some(record.timing);
        true
    }
}
