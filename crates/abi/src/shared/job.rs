//! A job's directory on one machine: which files are in it, and how a communicator's file is laid out.
//!
//! ```text
//! comm-ID-RrNn.log      one per communicator: its decision log, and behind it the roll of its ranks
//! events-PID-A.ring     one per process: the ring of its records
//! iterations.jsonl      the job's own: a line per iteration, where it has a way to write them
//! ```

use std::sync::atomic::AtomicU64;

use super::{Geometry, Roll};

/// The size of every log: 4,096 entries of up to 32 rules, 4 MiB. A lease takes two entries for each
/// of its blocks.
pub const GEOMETRY: Geometry = Geometry {
    slots: 4096,
    rules: 32,
};

/// The file of the job's iteration times.
pub const ITERATIONS_FILE: &str = "iterations.jsonl";

/// The first half of an id that stands for an ordinal: `ordr`.
const ORDINAL: u64 = 0x6f72_6472 << 32;

/// A communicator, as its file is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommunicatorName {
    /// NCCL's id of it, or what [`CommunicatorName::of_ordinal`] makes of its number.
    pub id: u64,
    /// Ranks.
    pub ranks: u64,
    /// Nodes.
    pub nodes: u64,
}

impl CommunicatorName {
    /// The name of the communicator that was the `ordinal`-th to be made (from 0), where NCCL tells no
    /// id (tuner v2 to v4) and the launcher confirmed the order.
    pub fn of_ordinal(ordinal: u32, ranks: u64, nodes: u64) -> Self {
        let id = ORDINAL | u64::from(ordinal);
        Self { id, ranks, nodes }
    }

    /// The name of its file: equal on all its ranks, since the id and the shape are.
    pub fn file(self) -> String {
        let Self { id, ranks, nodes } = self;
        format!("comm-{id:016x}-{ranks}r{nodes}n.log")
    }

    /// The communicator a file is of; `None` for any other file.
    pub fn from_file(name: &str) -> Option<Self> {
        let (id, shape) = name
            .strip_prefix("comm-")?
            .strip_suffix("n.log")?
            .split_once('-')?;
        let (ranks, nodes) = shape.split_once('r')?;
        let this = Self {
            id: u64::from_str_radix(id, 16).ok()?,
            ranks: ranks.parse().ok()?,
            nodes: nodes.parse().ok()?,
        };
        (this.file() == name).then_some(this)
    }
}

/// Words of a communicator's file; `None` never, for [`GEOMETRY`] is allowed.
pub fn communicator_words() -> Option<usize> {
    Some(GEOMETRY.words()? + Roll::<AtomicU64>::WORDS)
}

/// The log and the roll in such a file's words; `None` when they are too few.
#[inline]
pub fn parts(words: &[AtomicU64]) -> Option<(&[AtomicU64], &[AtomicU64])> {
    words.split_at_checked(GEOMETRY.words()?)
}

/// Name of a process's ring; `attempt` tells two processes apart that have the same pid, in two
/// containers that share the directory.
pub fn ring_file(pid: u32, attempt: u32) -> String {
    format!("events-{pid}-{attempt}.ring")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_communicators_file_names_it() {
        let name = CommunicatorName {
            id: 0xfeed,
            ranks: 16,
            nodes: 2,
        };
        assert_eq!(name.file(), "comm-000000000000feed-16r2n.log");
        assert_eq!(CommunicatorName::from_file(&name.file()), Some(name));
        for other in [
            "comm-feed-16r2n.log",
            "comm-000000000000feed-16r2n.lo",
            "comm-000000000000feed-+16r2n.log",
            "events-1-0.ring",
            "",
        ] {
            assert_eq!(CommunicatorName::from_file(other), None, "{other}");
        }
        assert_ne!(CommunicatorName::of_ordinal(1, 16, 2), name);
        assert_eq!(communicator_words(), Some(24 + 4096 * 130 + 8 + 128 * 8));
    }
}
