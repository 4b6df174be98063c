//! The policy file: what to run for which calls.
//!
//! The format is the CSV of NVIDIA's example tuner (8, 9 or 10 columns), read strictly: what that
//! parser would silently take for something else is an error here, and an error means that the
//! whole file is not used. With a first line `#! ccl-agent 1` two columns more are known, chunk size
//! and communicator id, and lines `#! nccl 2.27.3..2.30.7` bound the releases it is for.

mod parse;
mod table;

pub use parse::{ALGORITHMS, MOST_BYTES, PROTOCOLS, Parsed, PolicyError, Skipped, parse};
pub use table::{Entry, Table};

/// One rule; `None` matches anything, or leaves the part to NCCL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// NCCL's id of the collective, 0..5.
    pub collective: u8,
    /// Smallest size, bytes, inclusive.
    pub min_bytes: u64,
    /// Largest size, bytes, inclusive.
    pub max_bytes: u64,
    /// NCCL's id of the algorithm, 0..7.
    pub algorithm: u8,
    /// NCCL's id of the protocol, 0..3.
    pub protocol: u8,
    /// Channels, 1..=64.
    pub channels: Option<u8>,
    /// Nodes of the communicator.
    pub nodes: Option<u64>,
    /// Ranks of the communicator.
    pub ranks: Option<u64>,
    /// Collectives aggregated in one group.
    pub pipe_ops: Option<i32>,
    /// Chunk size, bytes; tuner v6 only.
    pub chunk_bytes: Option<u64>,
    /// Communicator id; tuner v5 and v6 only.
    pub comm_id: Option<u64>,
    /// Line of the file, from 1.
    pub line: u32,
}
