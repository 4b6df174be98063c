//! What an event costs the thread that tells it, with every record going into the ring.
//!
//! Wanted: at most 100 ns an event, and 300 ns a collective (its own two events and its record).

#![allow(clippy::unwrap_used, clippy::undocumented_unsafe_blocks)]

use std::ffi::{c_int, c_void};
use std::path::PathBuf;
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

use ccl_abi::nccl::profiler::{
    CollectiveV4, CollectiveV5, DescriptorV6, KernelChannelV4, ProxyOp, StateArguments, kind, state,
};
use ccl_abi::shared::{Control, Mapping, Ring};
use divan::Bencher;
use nccl_ccl_agent::profiler::exports::ncclProfiler_v6 as V6;

fn main() {
    divan::main();
    if let Some(folder) = FOLDER.get() {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

struct Rank {
    context: *mut c_void,
    mapping: Mapping,
}

impl Rank {
    fn open(kinds: u64) -> Self {
        let folder = FOLDER.get_or_init(|| {
            let folder = std::env::temp_dir().join(format!("ccl-bench-{}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            unsafe { std::env::set_var("CCL_AGENT_JOB", &folder) };
            folder
        });
        let mask: &'static mut c_int = Box::leak(Box::new(0));
        let mut context = null_mut();
        unsafe { (V6.init)(&raw mut context, 1, mask, null(), 1, 8, 0, None) };
        let file = folder.join(format!("events-{}-0.ring", std::process::id()));
        let mapping = Mapping::existing(&file).unwrap();
        let kinds = u32::try_from(kinds).unwrap();
        Ring::new(mapping.words())
            .unwrap()
            .ask(Control { kinds, one_in: 1 });
        Self { context, mapping }
    }

    /// Between samples, as an observer would.
    fn drain(&self) {
        let ring = Ring::new(self.mapping.words()).unwrap();
        let mut damaged = 0;
        while ring.pop(&mut damaged).is_some() {}
    }

    fn start(&self, descriptor: &mut DescriptorV6) -> *mut c_void {
        let mut handle = null_mut();
        unsafe { (V6.start_event)(self.context, &raw mut handle, &raw mut *descriptor) };
        handle
    }
}

fn describe(kind: u64, parent: *mut c_void) -> DescriptorV6 {
    let mut descriptor: DescriptorV6 = unsafe { std::mem::zeroed() };
    descriptor.kind = kind;
    descriptor.parent = parent;
    descriptor
}

fn collective() -> DescriptorV6 {
    let mut descriptor = describe(kind::COLLECTIVE, null_mut());
    descriptor.of.collective = CollectiveV5 {
        v4: CollectiveV4 {
            sequence: 0,
            function: c"AllReduce".as_ptr(),
            send: null(),
            receive: null_mut(),
            count: 1 << 20,
            root: 0,
            datatype: c"ncclFloat32".as_ptr(),
            channels: 1,
            warps: 16,
            algorithm: c"RING".as_ptr(),
            protocol: c"SIMPLE".as_ptr(),
        },
        parent_group: null_mut(),
    };
    descriptor
}

/// Enqueued and recorded.
#[divan::bench(sample_size = 4000)]
fn collective_alone(bencher: Bencher<'_, '_>) {
    let rank = Rank::open(kind::COLLECTIVE);
    let mut descriptor = collective();
    bencher
        .with_inputs(|| rank.drain())
        .bench_local_values(|()| {
            let handle = rank.start(&mut descriptor);
            unsafe { (V6.stop_event)(handle) };
        });
}

/// With one kernel channel, which are five calls.
#[divan::bench(sample_size = 4000)]
fn collective_with_a_kernel(bencher: Bencher<'_, '_>) {
    let rank = Rank::open(kind::COLLECTIVE | kind::KERNEL_CHANNEL);
    let mut descriptor = collective();
    bencher
        .with_inputs(|| rank.drain())
        .bench_local_values(|()| {
            let handle = rank.start(&mut descriptor);
            unsafe { (V6.stop_event)(handle) };
            let mut kernel = describe(kind::KERNEL_CHANNEL, handle);
            kernel.of.kernel = KernelChannelV4 {
                channel: 0,
                timer_ns: 5,
            };
            let kernel = rank.start(&mut kernel);
            let mut end = StateArguments { timer_ns: 9 };
            unsafe {
                (V6.record_event_state)(kernel, state::KERNEL_CHANNEL_STOP, &raw mut end);
                (V6.stop_event)(kernel);
            }
        });
}

/// One transfer: begun, two states, ended, which are four calls.
#[divan::bench(sample_size = 4000)]
fn transfer(bencher: Bencher<'_, '_>) {
    let rank =
        Rank::open(kind::COLLECTIVE | kind::KERNEL_CHANNEL | kind::PROXY_OP | kind::PROXY_STEP);
    let handle = rank.start(&mut collective());
    let mut op = describe(kind::PROXY_OP, handle);
    op.of.proxy_op = ProxyOp {
        pid: c_int::try_from(std::process::id()).unwrap(),
        channel: 0,
        peer: 1,
        steps: 1,
        chunk_bytes: 1,
        is_send: 1,
    };
    let op = rank.start(&mut op);
    let mut descriptor = describe(kind::PROXY_STEP, op);
    let mut bytes = StateArguments {
        transfer_bytes: 4096,
    };
    bencher.bench_local(|| {
        let step = rank.start(&mut descriptor);
        unsafe {
            (V6.record_event_state)(step, state::SEND_GPU_WAIT, &raw mut bytes);
            (V6.record_event_state)(step, state::SEND_WAIT, &raw mut bytes);
            (V6.stop_event)(step);
        }
    });
}

/// A collective that is not sampled, and its children.
#[divan::bench(sample_size = 4000)]
fn event_that_is_not_recorded(bencher: Bencher<'_, '_>) {
    let rank = Rank::open(kind::COLLECTIVE);
    let mut descriptor = describe(kind::KERNEL_CHANNEL, null_mut());
    bencher.bench_local(|| rank.start(&mut descriptor));
}
