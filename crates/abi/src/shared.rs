//! What an agent and the ranks of a job share in memory: the decision log of each communicator, by
//! which a running job changes its mind without two ranks ever disagreeing, and the ring of each
//! process, by which its ranks tell what their collectives did.
//!
//! # The decision log with a horizon
//!
//! Per communicator there is an append-only log of entries, each a small decision table that
//! applies from a call index on, and one 64-bit word that holds everything that must change
//! together: whether the log is frozen, how many entries are committed, and the horizon, below which
//! the writer promises to add nothing. A rank at call `k` below the horizon uses the newest entry
//! that applies at `k`; at the horizon it waits, and after a time-out it freezes the log: from then on
//! no writer can change anything, and every rank goes on with what is committed. While no writer has
//! claimed the log there is nobody to wait for, and ranks move the horizon themselves: a job may
//! begin before its agent comes.
//!
//! # Both
//!
//! Both live in memory that several processes map ([`Mapping`]), as a slice of 64-bit words. All but
//! the mapping is safe code over atomics. Readers trust nothing they
//! read: what is out of bounds or out of range is a doubt, and a doubt means NCCL's own choice.

pub mod job;
mod layout;
mod mapping;
mod process;
mod queue;
mod reader;
mod record;
mod ring;
mod roll;
mod rule;
mod seal;
mod state;
mod word;
mod writer;

pub use layout::{Doubt, Geometry, MAGIC, MAJOR, MINOR, initialise};
pub use mapping::Mapping;
pub use process::Process;
pub use queue::Queue;
pub use reader::{Answer, Reader, Version};
pub use record::{PackedRecord, Record, Timing, Waits};
pub use ring::{Control, Losses, MOST_COMMUNICATORS, Membership, Ring};
pub use roll::{Presence, Roll, Seat};
pub use rule::{PackedRule, Rule};
pub use state::State;
pub use word::Word;
pub use writer::{Refused, Unclaimed, Writer};
