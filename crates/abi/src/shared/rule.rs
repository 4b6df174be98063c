//! One rule of a decision table in four words.

use crate::nccl::common::{ALGORITHMS, COLLECTIVES, PROTOCOLS};

/// Words of a rule.
pub(super) const WORDS: usize = 4;
/// Marks a rule, so that zeroed or foreign memory is none.
const MARK: u64 = 0xa6;

/// What to run for calls of one collective with a size in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// NCCL's id of the collective.
    pub collective: u8,
    /// Smallest size, bytes, inclusive.
    pub min_bytes: u64,
    /// Largest size, bytes, inclusive.
    pub max_bytes: u64,
    /// NCCL's id of the algorithm.
    pub algorithm: u8,
    /// NCCL's id of the protocol.
    pub protocol: u8,
    /// Channels; 0 keeps NCCL's.
    pub channels: u8,
    /// Chunk size, bytes; 0 keeps NCCL's.
    pub chunk_bytes: u64,
}

/// A rule as it lies in memory.
pub type PackedRule = [u64; WORDS];

impl Rule {
    /// As four words.
    pub fn pack(self) -> PackedRule {
        let ids = [
            self.collective,
            self.algorithm,
            self.protocol,
            self.channels,
        ];
        let ids = ids.iter().fold(MARK, |word, id| word << 8 | u64::from(*id));
        [self.min_bytes, self.max_bytes, ids, self.chunk_bytes]
    }

    /// From four words; `None` for what no writer of this version can have written.
    pub fn unpack(words: PackedRule) -> Option<Self> {
        let [min_bytes, max_bytes, ids, chunk_bytes] = words;
        #[allow(clippy::cast_possible_truncation)] // one byte each
        let id = |shift: u32| (ids >> shift) as u8;
        let rule = Self {
            collective: id(24),
            min_bytes,
            max_bytes,
            algorithm: id(16),
            protocol: id(8),
            channels: id(0),
            chunk_bytes,
        };
        (ids >> 32 == MARK && rule.is_sane()).then_some(rule)
    }

    /// Whether NCCL knows these ids and counts.
    pub fn is_sane(&self) -> bool {
        usize::from(self.collective) < COLLECTIVES
            && usize::from(self.algorithm) < ALGORITHMS
            && usize::from(self.protocol) < PROTOCOLS
            && self.channels <= 64
            && self.chunk_bytes <= 64 << 20
            && self.min_bytes <= self.max_bytes
    }

    /// Whether it is for this call.
    pub fn matches(&self, collective: u8, bytes: u64) -> bool {
        self.collective == collective && (self.min_bytes..=self.max_bytes).contains(&bytes)
    }
}
