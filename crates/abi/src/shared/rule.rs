//! One rule of a decision table in four words.

use super::seal::{join, lower, seal};
use crate::nccl::common::{ALGORITHMS, COLLECTIVES, PROTOCOLS};

/// Words of a rule.
pub(super) const WORDS: usize = 4;

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

/// A rule as it lies in memory: smallest size, largest size, seal (32 bits) and ids, chunk size.
pub type PackedRule = [u64; WORDS];

impl Rule {
    /// As four words, sealed.
    pub fn pack(self) -> PackedRule {
        let ids = u32::from_be_bytes([
            self.collective,
            self.algorithm,
            self.protocol,
            self.channels,
        ]);
        let Self {
            min_bytes,
            max_bytes,
            chunk_bytes,
            ..
        } = self;
        let check = seal([min_bytes, max_bytes, u64::from(ids), chunk_bytes]);
        [min_bytes, max_bytes, join(check, ids), chunk_bytes]
    }

    /// From four words; `None` for what no writer of this version can have written.
    #[inline]
    pub fn unpack(words: PackedRule) -> Option<Self> {
        let [min_bytes, max_bytes, sealed, chunk_bytes] = words;
        let ids = lower(sealed);
        let [collective, algorithm, protocol, channels] = ids.to_be_bytes();
        let rule = Self {
            collective,
            min_bytes,
            max_bytes,
            algorithm,
            protocol,
            channels,
            chunk_bytes,
        };
        let check = seal([min_bytes, max_bytes, u64::from(ids), chunk_bytes]);
        (sealed == join(check, ids) && rule.is_sane()).then_some(rule)
    }

    /// Whether a rule with this third word is for this collective, should it be a rule at all.
    #[inline]
    pub(super) fn is_for(sealed: u64, collective: u8) -> bool {
        lower(sealed) >> 24 == u32::from(collective)
    }

    /// Whether NCCL knows these ids and counts.
    #[inline]
    pub fn is_sane(&self) -> bool {
        usize::from(self.collective) < COLLECTIVES
            && usize::from(self.algorithm) < ALGORITHMS
            && usize::from(self.protocol) < PROTOCOLS
            && self.channels <= 64
            && self.chunk_bytes <= 64 << 20
            && self.min_bytes <= self.max_bytes
    }

    /// Whether it is for this call.
    #[inline]
    pub fn matches(&self, collective: u8, bytes: u64) -> bool {
        self.collective == collective && (self.min_bytes..=self.max_bytes).contains(&bytes)
    }
}
