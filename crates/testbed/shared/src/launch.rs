//! One kernel launch of NCCL as the stub driver read it, and the callback it is handed to.
//!
//! The numbers are NCCL's own: collectives 0 to 4 are Broadcast, Reduce, AllGather, ReduceScatter
//! and AllReduce, algorithms and protocols as in NCCL 2.21.

use std::ffi::{c_char, c_void};

/// A launch. Valid, with all it points to, until the callback returns.
#[repr(C)]
#[derive(Debug)]
pub struct Launch {
    /// Why it could not be read, null when it was; then nothing below `thread_blocks` is set.
    pub error: *const c_char,
    /// Name of the kernel as the module names it.
    pub kernel: *const c_char,
    /// The GPU.
    pub device: i32,
    /// Thread blocks: NCCL launches one per channel.
    pub thread_blocks: u32,
    /// Threads per block.
    pub block_threads: u32,
    /// Rank in the communicator.
    pub rank: i32,
    /// Ranks of the communicator.
    pub ranks: i32,
    /// Nodes of the communicator.
    pub nodes: i32,
    /// Address of the communicator's device side: one per rank and communicator.
    pub communicator: u64,
    /// When the launch starts on its stream's clock, nanoseconds.
    pub start_ns: u64,
    /// The operations in it, in the order in which the first channel runs them.
    pub operations: *const Operation,
    /// How many.
    pub operation_count: usize,
}

/// One collective of a launch.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// NCCL's id of the collective.
    pub collective: u32,
    /// NCCL's id of the algorithm.
    pub algorithm: u32,
    /// NCCL's id of the protocol.
    pub protocol: u32,
    /// Channels that have work of it.
    pub channels: u32,
    /// Threads that work on it, per channel.
    pub threads: u32,
    /// Root of a Broadcast or Reduce.
    pub root: u32,
    /// Bytes as nccl-tests and NCCL's tuner interface count them: for AllGather and ReduceScatter
    /// all ranks together.
    pub bytes: u64,
    /// Bytes a channel moves per pipeline step.
    pub chunk_bytes: u64,
}

/// Is told of every launch, on the thread that launches, and answers how long the kernel takes,
/// nanoseconds. It must not call the driver and must not unwind.
pub type OnLaunch = unsafe extern "C" fn(context: *mut c_void, launch: *const Launch) -> u64;

/// `ccl_stub_on_launch`: sets the callback, and what it is handed. `None` removes it; kernels then
/// take no time.
pub type SetOnLaunch = unsafe extern "C" fn(callback: Option<OnLaunch>, context: *mut c_void);

/// `ccl_stub_quiesce`: waits until NCCL's network proxies have made no progress for `quiet_ms`.
pub type Quiesce = unsafe extern "C" fn(quiet_ms: u64);

/// `ccl_stub_advance`: queues work of `duration_ns` on a stream, computation for example. Answers a
/// `CUresult`.
pub type Advance = unsafe extern "C" fn(stream: *mut c_void, duration_ns: u64) -> i32;
