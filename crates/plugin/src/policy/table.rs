//! A policy compiled for one communicator: for each collective, ranges of sizes without overlap,
//! each with its rules in the order of the file. A call costs one binary search.

use super::Rule;

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
    /// Compiles the rules that can match this communicator.
    pub fn compile(rules: &[Rule], ranks: u64, nodes: u64, comm_id: Option<u64>) -> Self {
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
            let of_collective: Vec<_> = numbered
                .iter()
                .filter(|(_, r)| r.collective == collective)
                .collect();
            *sizes = Sizes::of(&of_collective);
        }
        table
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
    fn of(rules: &[&(u32, &Rule)]) -> Self {
        let mut starts: Vec<u64> = rules
            .iter()
            .flat_map(|(_, r)| [Some(r.min_bytes), r.max_bytes.checked_add(1)])
            .flatten()
            .collect();
        starts.sort_unstable();
        starts.dedup();
        let mut entries = Vec::new();
        let mut spans = Vec::with_capacity(starts.len());
        for start in &starts {
            let from = entries.len();
            let here = rules
                .iter()
                .filter(|(_, r)| (r.min_bytes..=r.max_bytes).contains(start));
            entries.extend(here.map(|(number, r)| Entry {
                algorithm: r.algorithm,
                protocol: r.protocol,
                channels: r.channels.unwrap_or(0),
                pipe_ops: r.pipe_ops.unwrap_or(-1),
                chunk_bytes: r.chunk_bytes.unwrap_or(0),
                rule: *number,
            }));
            let span = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            spans.push((span(from), span(entries.len())));
        }
        Self {
            starts: starts.into(),
            spans: spans.into(),
            entries: entries.into(),
        }
    }
}
