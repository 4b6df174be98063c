//! Runs the real NCCL in one process, one thread per rank, and sees what it schedules.
//!
//! On a machine with GPUs this is an ordinary NCCL program. Where `libcuda.so.1` is the stub driver
//! of this repository, NCCL's whole control path is real (topology, communicators, tuner plugin,
//! enqueueing, proxies, sockets) and its data path is simulated: kernels do nothing, no data moves,
//! results mean nothing, and times are what a [`launches::Durations`] answers.
//!
//! ```text
//! World           nodes x GPUs, and the communicators: who is in each
//!   run           one thread per rank; creates the communicators one after another
//!     Rank        in that thread: enqueue, barrier, elapsed time, launches
//! ```
//!
//! Nothing is linked against CUDA or NCCL: both are looked up when a program starts.

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("the testbed is for Linux on x86-64, as the NCCL package it runs is");

pub mod barrier;
pub mod driver;
pub mod launches;
pub mod nccl;
pub mod overrides;
pub mod placement;
pub mod rank;
pub mod report;
pub mod simulated;
pub mod world;
