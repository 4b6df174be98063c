//! Watching a job through the rings its ranks write: what NCCL chose, how long it took, and what it
//! waited for.
//!
//! [`rings`] finds and drains the rings of a job directory, [`table`] sums up what came, [`inspector`]
//! writes it in the form of NVIDIA's NCCL Inspector. Nothing here decides anything.

pub mod inspector;
pub mod rings;
pub mod table;
