//! The real NCCL 2.21.5 on the stub driver, with and without the plugin: what it logs, and what it
//! launches.
//!
//! NCCL comes from `make nccl`; without it these tests fail and say so.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod long_runs;
mod orders;
mod own_choices;
mod shapes;
mod testbed;
mod tuner;
