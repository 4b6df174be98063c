//! Where nobody says how many collectives are to be recorded: the budget, through the C interface. In a
//! process of its own, because the budget is the process's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block
)]

use std::ffi::{c_int, c_void};
use std::ptr::{null, null_mut};

use ccl_abi::nccl::profiler::{
    CollectiveV4, CollectiveV5, DescriptorV6, KernelChannelV4, StateArguments, kind, state,
};
use ccl_abi::shared::job::ring_file;
use ccl_abi::shared::{Control, Mapping, Ring};
use nccl_ccl_agent::profiler::communicator::is_sampled;
use nccl_ccl_agent::profiler::exports::ncclProfiler_v6 as V6;

fn start(context: *mut c_void, descriptor: &mut DescriptorV6) -> *mut c_void {
    let mut handle = null_mut();
    unsafe { (V6.start_event)(context, &raw mut handle, &raw mut *descriptor) };
    handle
}

fn stop(handle: *mut c_void) {
    if !handle.is_null() {
        unsafe { (V6.stop_event)(handle) };
    }
}

/// One that used a single channel.
fn collective(context: *mut c_void, sequence: u64) {
    let mut descriptor: DescriptorV6 = unsafe { std::mem::zeroed() };
    descriptor.kind = kind::COLLECTIVE;
    descriptor.of.collective = CollectiveV5 {
        v4: CollectiveV4 {
            sequence,
            function: c"AllReduce".as_ptr(),
            send: null(),
            receive: null_mut(),
            count: 1024,
            root: 0,
            datatype: c"ncclFloat32".as_ptr(),
            channels: 1,
            warps: 16,
            algorithm: c"RING".as_ptr(),
            protocol: c"LL".as_ptr(),
        },
        parent_group: null_mut(),
    };
    let handle = start(context, &mut descriptor);
    stop(handle);
    let mut kernel: DescriptorV6 = unsafe { std::mem::zeroed() };
    (kernel.kind, kernel.parent) = (kind::KERNEL_CHANNEL, handle);
    kernel.of.kernel = KernelChannelV4 {
        channel: 0,
        timer_ns: 5,
    };
    let kernel = start(context, &mut kernel);
    assert_eq!(kernel.is_null(), handle.is_null());
    if !kernel.is_null() {
        let mut end = StateArguments { timer_ns: 9 };
        unsafe { (V6.record_event_state)(kernel, state::KERNEL_CHANNEL_STOP, &raw mut end) };
    }
    stop(kernel);
}

#[test]
fn an_endless_burst_is_thinned_out_and_says_so_and_an_observer_goes_before() {
    let folder = std::env::temp_dir().join(format!("ccl-budget-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    unsafe { std::env::set_var("CCL_AGENT_JOB", &folder) };
    let mask: &'static mut c_int = Box::leak(Box::new(0));
    let mut context = null_mut();
    unsafe { (V6.init)(&raw mut context, 1, mask, null(), 1, 8, 0, None) };
    assert!(!context.is_null());
    let mapping = Mapping::existing(&folder.join(ring_file(std::process::id(), 0))).unwrap();
    let ring = Ring::new(mapping.words()).unwrap();
    let mut damaged = 0;
    let (mut records, mut thinnest, mut sequence) = (0, 1, 0);
    // The credit buys some twenty thousand; after that a pause of the machine may buy more.
    while sequence < 4_000_000 && thinnest == 1 {
        for _ in 0..1000 {
            collective(context, sequence);
            sequence += 1;
        }
        while let Some(record) = ring.pop(&mut damaged) {
            assert!(record.is_complete && is_sampled(record.sequence, record.sampled));
            thinnest = thinnest.max(record.sampled);
            records += 1;
        }
    }
    assert!(records > 10_000, "{records}");
    assert!(thinnest > 1 && thinnest.is_power_of_two(), "{thinnest}");
    let control = ring.control();
    ring.ask(Control {
        one_in: 3,
        ..control
    });
    for _ in 0..1000 {
        collective(context, sequence);
        sequence += 1;
    }
    let asked: Vec<u32> =
        std::iter::from_fn(|| ring.pop(&mut damaged).map(|r| r.sampled)).collect();
    assert!((300..=370).contains(&asked.len()), "{}", asked.len());
    assert!(asked.iter().all(|one_in| *one_in == 3));
    assert_eq!((damaged, ring.losses().dropped), (0, 0));
    unsafe { (V6.finalize)(context) };
    std::fs::remove_dir_all(&folder).unwrap();
}
