//! The profiler interface, v1 (NCCL 2.23) to v6 (2.29 and 2.30).
//!
//! Facts from `src/include/plugin/nccl_profiler.h` and `profiler/profiler_v1.h` to `profiler_v6.h`.
//! Functions are called from the application's threads and NCCL's proxy threads. A handle is
//! whatever the plugin wrote; NCCL only passes it back, also as the parent of later events, and skips
//! what follows an event whose handle is null. A child may start after its parent was stopped: a
//! collective is stopped when it was enqueued, its kernel channels start when the GPU gets there.

mod descriptor;

use std::ffi::{c_char, c_int, c_void};
use std::mem::{offset_of, size_of};

pub use descriptor::{
    CollectiveV1, CollectiveV2, CollectiveV3, CollectiveV4, CollectiveV5, DescriptorV1,
    DescriptorV2, DescriptorV3, DescriptorV4, DescriptorV5, DescriptorV6, KernelChannelV3,
    KernelChannelV4, ProxyOp, ProxyStep, StateArguments,
};

use super::common::{Logger, NcclResult};
use super::tuner::Name;

/// Kinds of events, one bit each, as in the mask that init writes.
pub mod kind {
    /// A collective, enqueued by the host.
    pub const COLLECTIVE: u64 = 1 << 1;
    /// One channel's share of the network work of an operation.
    pub const PROXY_OP: u64 = 1 << 3;
    /// One transfer of that.
    pub const PROXY_STEP: u64 = 1 << 4;
    /// One channel of a kernel on the GPU. From v3 on.
    pub const KERNEL_CHANNEL: u64 = 1 << 6;
}

/// States that `record_event_state` passes (`ncclProfilerEventState_t`).
pub mod state {
    use std::ffi::c_uint;

    /// Sending waits for data of the GPU. Before v4 also for the peer's credits.
    pub const SEND_GPU_WAIT: c_uint = 8;
    /// Sending waits for the network.
    pub const SEND_WAIT: c_uint = 9;
    /// Receiving waits for the network.
    pub const RECV_WAIT: c_uint = 10;
    /// Receiving waits until data is flushed to the GPU.
    pub const RECV_FLUSH_WAIT: c_uint = 11;
    /// Receiving waits until the GPU took the data.
    pub const RECV_GPU_WAIT: c_uint = 12;
    /// Sending waits for the peer's credits. From v4 on.
    pub const SEND_PEER_WAIT: c_uint = 20;
    /// A kernel channel ended; the argument is the GPU's timer. From v4 on.
    pub const KERNEL_CHANNEL_STOP: c_uint = 22;
}

/// Creates a context; the mask says which events are wanted, and NCCL keeps the place it lies in.
/// v1 to v3.
pub type InitV1 = unsafe extern "C" fn(context: *mut *mut c_void, mask: *mut c_int) -> NcclResult;
/// The same for a communicator that is named. v4.
pub type InitV4 = unsafe extern "C" fn(
    context: *mut *mut c_void,
    mask: *mut c_int,
    name: *const c_char,
    comm_id: u64,
    nodes: c_int,
    ranks: c_int,
    rank: c_int,
    logger: Option<Logger>,
) -> NcclResult;
/// The same in another order. v5 and v6.
pub type InitV5 = unsafe extern "C" fn(
    context: *mut *mut c_void,
    comm_id: u64,
    mask: *mut c_int,
    name: *const c_char,
    nodes: c_int,
    ranks: c_int,
    rank: c_int,
    logger: Option<Logger>,
) -> NcclResult;
/// Begins an event; `handle` is written, null for an event that is not wanted.
pub type StartEvent<D> = unsafe extern "C" fn(
    context: *mut c_void,
    handle: *mut *mut c_void,
    descriptor: *mut D,
) -> NcclResult;
/// Ends an event.
pub type StopEvent = unsafe extern "C" fn(handle: *mut c_void) -> NcclResult;
/// An event changed its state.
pub type RecordEventState = unsafe extern "C" fn(
    handle: *mut c_void,
    state: std::ffi::c_uint,
    arguments: *mut StateArguments,
) -> NcclResult;
/// Ends a context.
pub type Finalize = unsafe extern "C" fn(context: *mut c_void) -> NcclResult;

/// `ncclProfiler_v1_t` to `ncclProfiler_v6_t`: the same fields, other types behind them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Profiler<I, D> {
    /// The plugin's name.
    pub name: Name,
    /// See the type.
    pub init: I,
    /// See the type.
    pub start_event: StartEvent<D>,
    /// See the type.
    pub stop_event: StopEvent,
    /// See the type.
    pub record_event_state: RecordEventState,
    /// See the type.
    pub finalize: Finalize,
}

/// NCCL 2.23 to 2.25.
pub type ProfilerV1 = Profiler<InitV1, DescriptorV1>;
/// NCCL 2.26.
pub type ProfilerV2 = Profiler<InitV1, DescriptorV2>;
/// NCCL 2.26.
pub type ProfilerV3 = Profiler<InitV1, DescriptorV3>;
/// NCCL 2.27.
pub type ProfilerV4 = Profiler<InitV4, DescriptorV4>;
/// NCCL 2.28.
pub type ProfilerV5 = Profiler<InitV5, DescriptorV5>;
/// NCCL 2.29 and later.
pub type ProfilerV6 = Profiler<InitV5, DescriptorV6>;

const POINTER: usize = size_of::<*const c_void>();
const _: () = assert!(size_of::<ProfilerV1>() == 6 * POINTER);
const _: () = assert!(size_of::<ProfilerV6>() == 6 * POINTER);
const _: () = assert!(offset_of!(ProfilerV5, start_event) == 2 * POINTER);
const _: () = assert!(offset_of!(ProfilerV5, finalize) == 5 * POINTER);
