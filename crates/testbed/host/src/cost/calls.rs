//! The calls that NCCL makes to a profiler for a collective, in the order and from the threads of its
//! source (2.30: `src/plugin/profiler.cc` and who calls it in `enqueue.cc`, `proxy.cc`,
//! `transport/net.cc`, `transport/profiler.cc`).
//!
//! ```text
//! application   group API, collective API, group: begin (answered with null, so never ended)
//!               collective: begin, end
//! proxy         each channel of the kernel: begin; then each: state, end
//!               network work of each channel, sending and receiving: begin, state
//!                 each transfer: begin, three states, end
//!               network work: end
//! ```
//!
//! NCCL reads the mask once per collective, keeps it, and begins what it names; it begins children also of
//! what was answered with null, and only leaves out states and ends.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicI32, Ordering};

use ccl_abi::nccl::profiler::{
    CollectiveV4, CollectiveV5, DescriptorV6, KernelChannelV4, ProfilerV6, ProxyOp, ProxyStep,
    StateArguments, kind, state,
};
use ccl_core::{Algorithm, Collective, CommShape, Protocol};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::network::{self, Work};
use crate::launches::Operation;

/// Kinds that no reader of this program asks for, but that NCCL begins for their children's sake.
const GROUP: u64 = 1 << 0;
const GROUP_API: u64 = 1 << 8;
const COLLECTIVE_API: u64 = 1 << 9;
/// `ncclProfilerProxyOpInProgress_v4`.
const PROXY_OP_IN_PROGRESS: u32 = 19;

/// `MAXCHANNELS`.
const MOST_CHANNELS: usize = 64;

/// NCCL's variable.
static MASK: AtomicI32 = AtomicI32::new(0);

/// A profiler that was loaded.
#[derive(Clone, Copy)]
pub struct Profiler(&'static ProfilerV6);

/// One rank's side of a communicator, as the profiler knows it.
#[derive(Clone, Copy)]
pub struct Context {
    profiler: Profiler,
    context: *mut c_void,
    rank: c_int,
    shape: CommShape,
    pid: c_int,
}

// SAFETY: NCCL passes contexts and handles between its threads, and a profiler must bear that.
unsafe impl Send for Context {}

/// What a collective of a step is, in NCCL's words.
#[derive(Clone, Copy, Debug)]
pub struct Enqueued {
    collective: &'static CStr,
    algorithm: &'static CStr,
    protocol: &'static CStr,
    channels: u32,
    warps: u32,
    count: usize,
    work: Option<Work>,
}

/// A collective that the application's thread is done with.
#[derive(Clone, Copy)]
pub struct Launched {
    context: Context,
    enqueued: Enqueued,
    mask: u64,
    handle: *mut c_void,
}

// SAFETY: as with `Context`.
unsafe impl Send for Launched {}

impl Profiler {
    /// Loads a plugin as NCCL does. It stays loaded.
    ///
    /// # Errors
    /// That it is not there, or has no profiler of this version.
    pub fn load(plugin: &Path) -> Result<Self, libloading::Error> {
        // SAFETY: a plugin's initialisers are made for any process.
        let library = unsafe { Library::open(Some(plugin), RTLD_NOW | RTLD_LOCAL) }?;
        // SAFETY: the symbol is a structure of this type, which the plugin never changes.
        let table = unsafe { *library.get::<*const ProfilerV6>(b"ncclProfiler_v6")? };
        std::mem::forget(library);
        // SAFETY: as above; what it is in stays loaded.
        Ok(Self(unsafe { &*table }))
    }

    /// Opens a communicator; `None` when the plugin does not want to hear of it.
    pub fn open(self, id: u64, rank: u32, shape: CommShape) -> Option<Context> {
        let mut context = null_mut();
        let number = |n: u32| c_int::try_from(n).unwrap_or(0);
        // SAFETY: places for a context and, for ever, the mask.
        unsafe {
            (self.0.init)(
                &raw mut context,
                id,
                MASK.as_ptr(),
                null(),
                number(shape.nodes),
                number(shape.ranks),
                number(rank),
                None,
            )
        };
        (!context.is_null()).then_some(Context {
            profiler: self,
            context,
            rank: number(rank),
            shape,
            pid: c_int::try_from(std::process::id()).unwrap_or(0),
        })
    }
}

impl Enqueued {
    /// What NCCL would say of an operation that it launched for `count` elements.
    pub fn of(operation: &Operation, shape: CommShape, count: usize) -> Self {
        Self {
            collective: match operation.collective {
                Collective::Broadcast => c"Broadcast",
                Collective::Reduce => c"Reduce",
                Collective::AllGather => c"AllGather",
                Collective::ReduceScatter => c"ReduceScatter",
                _ => c"AllReduce",
            },
            algorithm: match operation.algorithm {
                Algorithm::Tree => c"TREE",
                _ => c"RING",
            },
            protocol: match operation.protocol {
                Protocol::Ll => c"LL",
                Protocol::Ll128 => c"LL128",
                Protocol::Simple => c"SIMPLE",
            },
            channels: operation.channels,
            warps: operation.threads / 32,
            count,
            work: network::of_channel(operation, shape),
        }
    }
}

impl Context {
    /// In place, as NCCL does: a descriptor that was copied would cost more than most calls.
    #[inline]
    fn begin(
        &self,
        kind: u64,
        parent: *mut c_void,
        tell: impl FnOnce(&mut DescriptorV6),
    ) -> *mut c_void {
        let mut handle = null_mut();
        // SAFETY: numbers and pointers, for which zero is a value.
        let mut descriptor: DescriptorV6 = unsafe { std::mem::zeroed() };
        descriptor.kind = kind;
        descriptor.parent = parent;
        descriptor.rank = self.rank;
        tell(&mut descriptor);
        let start = self.profiler.0.start_event;
        // SAFETY: a place for a handle, and a descriptor whose member is the kind's.
        unsafe { start(self.context, &raw mut handle, &raw mut descriptor) };
        handle
    }

    fn state(&self, handle: *mut c_void, state: u32, mut arguments: StateArguments) {
        if !handle.is_null() {
            // SAFETY: a handle of this profiler's.
            unsafe { (self.profiler.0.record_event_state)(handle, state, &raw mut arguments) };
        }
    }

    fn end(&self, handle: *mut c_void) {
        if !handle.is_null() {
            // SAFETY: a handle of this profiler's.
            unsafe { (self.profiler.0.stop_event)(handle) };
        }
    }

    /// When the application calls: what comes before NCCL's own work. The mask, as NCCL keeps it.
    pub fn called(&self) -> u64 {
        let mask = u64::try_from(MASK.load(Ordering::Relaxed)).unwrap_or(0);
        if mask != 0 {
            let group = self.begin(GROUP_API, null_mut(), |_| {});
            let call = self.begin(COLLECTIVE_API, group, |_| {});
            self.end(call);
            self.end(group);
        }
        mask
    }

    /// When it is launched, on the application's thread. `sequence`: how many of this collective came
    /// before on the communicator.
    pub fn launched(&self, mask: u64, sequence: u64, enqueued: &Enqueued) -> Launched {
        let mut handle = null_mut();
        if mask != 0 {
            let group = self.begin(GROUP, null_mut(), |_| {});
            let small = |n: u32| u8::try_from(n).unwrap_or(u8::MAX);
            let collective = CollectiveV5 {
                v4: CollectiveV4 {
                    sequence,
                    function: enqueued.collective.as_ptr(),
                    send: null(),
                    receive: null_mut(),
                    count: enqueued.count,
                    root: 0,
                    datatype: c"ncclFloat32".as_ptr().cast::<c_char>(),
                    channels: small(enqueued.channels),
                    warps: small(enqueued.warps),
                    algorithm: enqueued.algorithm.as_ptr(),
                    protocol: enqueued.protocol.as_ptr(),
                },
                parent_group: group,
            };
            handle = self.begin(kind::COLLECTIVE, null_mut(), |descriptor| {
                descriptor.of.collective = collective;
            });
            self.end(handle);
            self.end(group);
        }
        Launched {
            context: *self,
            enqueued: *enqueued,
            mask,
            handle,
        }
    }

    /// Ends it all.
    pub fn close(self) {
        // SAFETY: a context of this profiler's, used no more.
        unsafe { (self.profiler.0.finalize)(self.context) };
    }
}

impl Launched {
    /// While and after it runs, on the proxy's thread. Network work is taken up before the kernel ends, and
    /// is over before it.
    pub fn progress(&self) {
        let mut operations = [(null_mut(), false); 2 * MOST_CHANNELS];
        let mut begun = 0;
        if let Some(work) = self.enqueued.work
            && self.mask & (kind::PROXY_OP | kind::PROXY_STEP) != 0
        {
            let Context { rank, shape, .. } = self.context;
            for channel in 0..self.channels() {
                if !network::takes_up(rank.unsigned_abs(), shape, u32::from(channel)) {
                    continue;
                }
                for is_send in [true, false] {
                    operations[begun] = (self.begin_network(channel, work, is_send), is_send);
                    begun += 1;
                }
            }
        }
        let mut kernels = [null_mut(); MOST_CHANNELS];
        let kernels = &mut kernels[..usize::from(self.channels())];
        let tells_kernels = self.mask & kind::KERNEL_CHANNEL != 0;
        if tells_kernels {
            self.begin_kernel(kernels);
        }
        for &(operation, is_send) in &operations[..begun] {
            self.network(operation, is_send);
        }
        if tells_kernels {
            self.end_kernel(kernels);
        }
    }

    fn channels(&self) -> u8 {
        let most = u32::try_from(MOST_CHANNELS).unwrap_or(0);
        u8::try_from(self.enqueued.channels.min(most)).unwrap_or(0)
    }

    fn begin_kernel(&self, handles: &mut [*mut c_void]) {
        for (channel, handle) in (0u8..).zip(handles.iter_mut()) {
            let begin = self
                .context
                .begin(kind::KERNEL_CHANNEL, self.handle, |descriptor| {
                    descriptor.of.kernel = KernelChannelV4 {
                        channel,
                        // Blocks begin and end in no order.
                        timer_ns: 1000 + u64::from(channel) * 7 % 24,
                    };
                });
            *handle = begin;
        }
    }

    fn end_kernel(&self, handles: &[*mut c_void]) {
        for (channel, handle) in (0u64..).zip(handles) {
            let stopped = StateArguments {
                timer_ns: 2000 + channel * 11 % 24,
            };
            self.context
                .state(*handle, state::KERNEL_CHANNEL_STOP, stopped);
            self.context.end(*handle);
        }
    }

    fn begin_network(&self, channel: u8, work: Work, is_send: bool) -> *mut c_void {
        let context = &self.context;
        let number = |n: u64| c_int::try_from(n).unwrap_or(c_int::MAX);
        let proxy_op = ProxyOp {
            pid: context.pid,
            channel,
            peer: 0,
            steps: number(work.transfers.into()),
            chunk_bytes: number(work.bytes),
            is_send: c_int::from(is_send),
        };
        context.begin(kind::PROXY_OP, self.handle, |descriptor| {
            descriptor.of.proxy_op = proxy_op;
        })
    }

    fn network(&self, operation: *mut c_void, is_send: bool) {
        let nothing = StateArguments { room: [0; 2] };
        self.context.state(operation, PROXY_OP_IN_PROGRESS, nothing);
        if let Some(work) = self.enqueued.work
            && self.mask & kind::PROXY_STEP != 0
        {
            let mut first = 0;
            while first < work.transfers {
                let some = work.depth.min(work.transfers - first);
                self.transfers(operation, first, some, work.bytes, is_send);
                first += some;
            }
        }
        self.context.end(operation);
    }

    /// As many transfers as are under way at once.
    fn transfers(&self, operation: *mut c_void, first: u32, some: u32, bytes: u64, is_send: bool) {
        let context = &self.context;
        let states = if is_send {
            [
                state::SEND_GPU_WAIT,
                state::SEND_PEER_WAIT,
                state::SEND_WAIT,
            ]
        } else {
            [
                state::RECV_WAIT,
                state::RECV_FLUSH_WAIT,
                state::RECV_GPU_WAIT,
            ]
        };
        let bytes = StateArguments {
            transfer_bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
        };
        let mut handles = [null_mut(); 8];
        let handles = &mut handles[..some.min(8) as usize];
        for (step, handle) in (first..).zip(handles.iter_mut()) {
            let step = c_int::try_from(step).unwrap_or(0);
            *handle = context.begin(kind::PROXY_STEP, operation, |descriptor| {
                descriptor.of.proxy_step = ProxyStep { step };
            });
            context.state(*handle, states[0], bytes);
        }
        for state in &states[1..] {
            for handle in handles.iter() {
                context.state(*handle, *state, bytes);
            }
        }
        for handle in handles {
            context.end(*handle);
        }
    }
}
