//! The decision log with a horizon: how a running job changes its mind without two ranks ever
//! disagreeing.
//!
//! Per communicator there is an append-only log of entries, each a small decision table that
//! applies from a call index on, and one 64-bit word that holds everything that must change
//! together: whether the log is frozen, how many entries are committed, and the horizon, below which
//! the writer promises to add nothing. A rank at call `k` below the horizon uses the newest entry
//! that applies at `k`; at the horizon it waits, and after a time-out it freezes the log: from then on
//! no writer can change anything, and every rank goes on with what is committed.
//!
//! The log lives in memory that several processes map, as a slice of 64-bit words. All of this is
//! safe code over atomics; whoever maps the memory hands the slice in. Readers trust nothing they
//! read: what is out of bounds or out of range is a doubt, and a doubt means NCCL's own choice.

mod layout;
mod process;
mod reader;
mod rule;
mod seal;
mod state;
mod word;
mod writer;

pub use layout::{Doubt, Geometry, MAGIC, MAJOR, MINOR, initialise};
pub use process::Process;
pub use reader::{Answer, Reader, Version};
pub use rule::{PackedRule, Rule};
pub use state::State;
pub use word::Word;
pub use writer::{Refused, Unclaimed, Writer};
