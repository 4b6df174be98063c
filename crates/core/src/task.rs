//! Where a choice applies: one communicator shape, one collective, one size bucket.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Collective, format_bytes};

/// The shape of a communicator as a tuner plugin sees it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct CommShape {
    /// Ranks of the communicator.
    pub ranks: u32,
    /// Nodes they live on.
    pub nodes: u32,
}

impl CommShape {
    /// A shape from ranks and nodes.
    pub const fn new(ranks: u32, nodes: u32) -> Self {
        Self { ranks, nodes }
    }

    /// Ranks per node, at least 1.
    pub fn ranks_per_node(self) -> u32 {
        (self.ranks / self.nodes.max(1)).max(1)
    }
}

impl fmt::Display for CommShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}r{}n", self.ranks, self.nodes)
    }
}

/// A power-of-two bucket of sizes: bucket `k` holds `2^k ..= 2^(k+1) - 1` bytes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct SizeBucket(pub u8);

impl SizeBucket {
    /// The bucket a size falls into; 0 bytes count as 1.
    pub fn of(bytes: u64) -> Self {
        Self(u8::try_from(bytes.max(1).ilog2()).unwrap_or(63))
    }

    /// Smallest size of the bucket, in bytes.
    pub fn min_bytes(self) -> u64 {
        1u64 << self.0.min(63)
    }

    /// Largest size of the bucket, in bytes.
    pub fn max_bytes(self) -> u64 {
        self.min_bytes() + (self.min_bytes() - 1)
    }
}

/// The unit of tuning: every call with this key gets the same choice.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct TaskKey {
    /// The communicator's shape.
    pub shape: CommShape,
    /// The collective.
    pub collective: Collective,
    /// The size, to a factor of two.
    pub bucket: SizeBucket,
}

impl TaskKey {
    /// The key of one call.
    pub fn of(shape: CommShape, collective: Collective, bytes: u64) -> Self {
        Self {
            shape,
            collective,
            bucket: SizeBucket::of(bytes),
        }
    }
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {}",
            self.collective,
            format_bytes(self.bucket.min_bytes()),
            self.shape
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_every_size_once() {
        for bytes in [1, 2, 3, 4095, 4096, 80 << 20, u64::MAX] {
            let b = SizeBucket::of(bytes);
            assert!(b.min_bytes() <= bytes && bytes <= b.max_bytes(), "{bytes}");
        }
        assert_eq!(SizeBucket::of(8191), SizeBucket::of(4096));
        assert_eq!(SizeBucket(63).max_bytes(), u64::MAX);
    }
}
