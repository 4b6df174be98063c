//! What NCCL tells about its collectives, condensed in the process: events in, one record per
//! collective out, into the ring that an observer reads.
//!
//! Callbacks come from the application's threads and from NCCL's proxy threads, several thousand a
//! millisecond in the worst case. Between init and finalize nothing here allocates, locks or calls the
//! system (the clock is read through the vDSO); places for open events are a fixed number, and an
//! event that finds none is counted and forgotten. Handles are numbers that are checked, not
//! addresses that are followed: what comes too late, twice or from somewhere else finds a place of
//! another generation and changes nothing.
//!
//! Not recorded: send and receive, copy-engine collectives, network plugins' own events, and the work
//! that another process's proxy does for this one (PXN), whose events that process gets.

pub mod budget;
pub mod clock;
pub mod collective;
pub mod communicator;
pub mod event;
pub mod exports;
pub mod handle;
pub mod names;
pub mod recorder;
pub mod transfer;
