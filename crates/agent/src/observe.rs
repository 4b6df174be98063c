//! Watching a job through the rings its ranks write: what NCCL chose, how long it took, and what it
//! waited for.
//!
//! [`rings`] finds and drains the rings of a job directory, [`seen`] says each record in the words of
//! the domain, [`table`] sums them up, [`row`] makes figures of the sums, [`reasons`] says what the
//! figures show, and [`report`] is all of it at one moment. [`inspector`] writes the records in the form
//! of NVIDIA's NCCL Inspector. Nothing here decides anything.
//!
//! What is read was written by other processes and is believed in nothing but its form: any value of any
//! field gives a table, if a strange one.

pub mod inspector;
pub mod reasons;
pub mod report;
pub mod rings;
pub mod row;
pub mod seen;
pub mod table;
