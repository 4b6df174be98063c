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
//! ```no_run
//! # use std::{path::Path, sync::Arc, time::Duration};
//! # use ccl_core::{ClusterSpec, Collective, CommShape, cluster_text};
//! # use ccl_testbed::{simulated::SimulatedHardware, world::{JobError, Libraries, World}};
//! # fn example(cluster: &ClusterSpec) -> Result<(), JobError> {
//! let libraries = Libraries::load(Path::new("target/nccl/2.21.5/libnccl.so.2"))?;
//! let mut world = World::new(4, 8);
//! for shape in [CommShape::new(8, 1), CommShape::new(4, 4), CommShape::new(16, 2)] {
//!     world.communicators.extend(world.tile(shape)?);
//! }
//! let hardware = Arc::new(SimulatedHardware::new(cluster));
//! let iterations_us = world.run(&libraries, hardware, |rank| {
//!     rank.elapsed_us(|rank| {
//!         for communicator in rank.communicators() {
//!             rank.compute(Duration::from_micros(500))?;
//!             rank.collective(communicator, Collective::AllReduce, 64 << 20)?;
//!         }
//!         for launch in rank.launches()? {
//!             assert_eq!(launch.operations.len(), 1);
//!         }
//!         Ok(())
//!     })
//! })?;
//! # let _ = iterations_us;
//! # Ok(())
//! # }
//! ```
//!
//! A program that puts ranks on several nodes must export the two functions of [`overrides`], as the
//! build script of this package asks the linker to for `ccl-testbed`.
//!
//! Nothing is linked against CUDA or NCCL: both are looked up when a program starts.

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("the testbed is for Linux on x86-64, as the NCCL package it runs is");

pub mod barrier;
pub mod check;
pub mod driver;
pub mod job;
pub mod launches;
pub mod nccl;
pub mod overrides;
pub mod placement;
pub mod rank;
pub mod report;
pub mod simulated;
pub mod world;
