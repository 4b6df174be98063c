//! The agent's side of a running job on one machine: it writes the decision logs that the ranks
//! follow, and reads what they did.
//!
//! [`pilot`] keeps the horizon of every log ahead of the ranks and appends entries; [`pattern`] knows
//! which call of an iteration is which; [`leases`] turns what the guard approved into entries;
//! [`iterations`] reads the job's own iteration times. [`crate::testbed::LiveTestbed`] puts them
//! together. Not here: starting and ending the job.

pub mod iterations;
pub mod leases;
pub mod pattern;
pub mod pilot;
