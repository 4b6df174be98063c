//! A policy compiled for one communicator: for each collective, ranges of sizes without overlap,
//! each with its rules in the order of the file. A call costs one binary search.

use std::collections::BTreeSet;

use super::Rule;

/// Most entries of a table, 32 MiB: rules that overlap stand in the table once for each range they
/// share, and a file of a few megabytes could ask for more memory than there is.
const MOST_ENTRIES: usize = 1 << 20;

/// A rule as the hot path needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// NCCL's id of the algorithm.
    pub algorithm: u8,
    /// NCCL's id of the protocol.
    pub protocol: u8,
    /// Channels; 0 keeps NCCL's.
    pub channels: u8,
    /// Aggregated operations it is for; -1 is any.
    pub pipe_ops: i32,
    /// Chunk size, bytes; 0 keeps NCCL's.
    pub chunk_bytes: u64,
    /// Number of the rule, for counting.
    pub rule: u32,
}

/// One collective.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sizes {
    /// First size of each range, ascending; range `i` ends before range `i + 1`.
    starts: Box<[u64]>,
    /// Where its entries begin and end.
    spans: Box<[(u32, u32)]>,
    entries: Box<[Entry]>,
}

/// The compiled policy of one communicator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    collectives: [Sizes; 5],
    rules: usize,
}

impl Table {
    /// Compiles the rules that can match this communicator; `None` when they overlap so much that
    /// the table would be larger than 2^20 entries.
    pub fn compile(rules: &[Rule], ranks: u64, nodes: u64, comm_id: Option<u64>) -> Option<Self> {
        let fits = |rule: &Rule| {
            rule.ranks.is_none_or(|n| n == ranks)
                && rule.nodes.is_none_or(|n| n == nodes)
                && rule.comm_id.is_none_or(|id| Some(id) == comm_id)
        };
        let numbered: Vec<(u32, &Rule)> = (0u32..).zip(rules).filter(|(_, r)| fits(r)).collect();
        let mut table = Self {
            rules: rules.len(),
            ..Self::default()
        };
        for (collective, sizes) in (0u8..).zip(&mut table.collectives) {
            let of_collective = numbered.iter().filter(|(_, r)| r.collective == collective);
            *sizes = Sizes::of(of_collective.copied())?;
        }
        Some(table)
    }

    /// Number of rules of the policy, those that do not fit included: the range of
    /// [`Entry::rule`].
    pub fn rules(&self) -> usize {
        self.rules
    }

    /// Whether no call can match.
    pub fn is_empty(&self) -> bool {
        self.collectives.iter().all(|c| c.entries.is_empty())
    }

    /// The rules for a call, in the order of the file; no allocation.
    pub fn lookup(&self, collective: usize, bytes: u64) -> &[Entry] {
        let Some(sizes) = self.collectives.get(collective) else {
            return &[];
        };
        let after = sizes.starts.partition_point(|start| *start <= bytes);
        let span = after
            .checked_sub(1)
            .and_then(|range| sizes.spans.get(range));
        span.and_then(|(from, to)| sizes.entries.get(*from as usize..*to as usize))
            .unwrap_or(&[])
    }
}

impl Sizes {
    /// Goes through the sizes from the smallest, with the rules at hand that are for that size.
    fn of<'a>(rules: impl Iterator<Item = (u32, &'a Rule)>) -> Option<Self> {
        let rules: Vec<(u32, &Rule)> = rules.collect();
        let begins = (0..rules.len()).map(|at| (rules[at].1.min_bytes, at));
        // A rule up to the largest size there is never ends.
        let ends = (0..rules.len())
            .filter_map(|at| rules[at].1.max_bytes.checked_add(1).map(|end| (end, at)));
        let mut changes: Vec<(u64, usize)> = begins.chain(ends).collect();
        changes.sort_unstable();

        let (mut starts, mut spans, mut entries) = (Vec::new(), Vec::new(), Vec::new());
        // In the order of the file.
        let mut here = BTreeSet::new();
        for changes in changes.chunk_by(|(a, _), (b, _)| a == b) {
            for (size, at) in changes {
                // A rule ends after it began, so the second mention is its end.
                if rules[*at].1.min_bytes == *size {
                    here.insert(*at);
                } else {
                    here.remove(at);
                }
            }
            let from = entries.len();
            if from + here.len() > MOST_ENTRIES {
                return None;
            }
            entries.extend(here.iter().map(|at| {
                let (number, r) = rules[*at];
                Entry {
                    algorithm: r.algorithm,
                    protocol: r.protocol,
                    channels: r.channels.unwrap_or(0),
                    pipe_ops: r.pipe_ops.unwrap_or(-1),
                    chunk_bytes: r.chunk_bytes.unwrap_or(0),
                    rule: number,
                }
            }));
            starts.extend(changes.first().map(|(size, _)| *size));
            let span = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            spans.push((span(from), span(entries.len())));
        }
        Some(Self {
            starts: starts.into(),
            spans: spans.into(),
            entries: entries.into(),
        })
    }
}
