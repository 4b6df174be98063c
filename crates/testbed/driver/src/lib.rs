//! A stub CUDA driver: enough of `libcuda.so.1` for the real NCCL 2.21.5 to initialise
//! communicators and launch its kernels on a machine that has no GPU.
//!
//! Device memory is host memory. Kernels do nothing; what NCCL launches is read from its work queue
//! and handed to the host program, which answers how long it takes. A stream is a virtual clock that
//! such durations advance, so elapsed times are simulated, and results mean nothing: no data moves.
//!
//! Only the package `nvidia-nccl-cu11` 2.21.5 is supported. Packages built for CUDA 12 and 13
//! authenticate the driver through one more private table; NVIDIA's licence forbids to circumvent
//! that, so this driver answers that it has no such table, and those packages refuse to start.
//!
//! Out of reach: CUDA graphs, NVLS, CollNet, GPUDirect, memory shared between processes.

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("the stub driver is for Linux on x86-64, as the NCCL package it serves is");

mod boundary;
mod context;
mod control;
mod copy;
mod device;
mod event;
mod export_table;
mod launch;
mod memory;
mod module;
mod nccl;
mod pointer;
mod registry;
mod stream;
mod unsupported;
