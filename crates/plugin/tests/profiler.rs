//! The profiler, driven as NCCL's `src/plugin/profiler.cc` and `src/transport/{net,profiler}.cc` drive
//! it: in their order, from their threads, with their handles; then misused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::undocumented_unsafe_blocks
)]

use std::ffi::{c_char, c_int, c_void};
use std::path::PathBuf;
use std::ptr::{null, null_mut};
use std::sync::{Mutex, MutexGuard, OnceLock};

use ccl_abi::nccl::profiler::{
    CollectiveV1, CollectiveV2, CollectiveV3, CollectiveV4, CollectiveV5, DescriptorV1,
    DescriptorV2, DescriptorV3, DescriptorV4, DescriptorV5, DescriptorV6, InitV1, InitV4, InitV5,
    KernelChannelV3, KernelChannelV4, Profiler, ProxyOp, ProxyStep, StateArguments, kind, state,
};
use ccl_abi::shared::{Control, Mapping, Record, Ring, Timing};
use nccl_ccl_agent::profiler::communicator::is_sampled;
use nccl_ccl_agent::profiler::exports::{
    ncclProfiler_v1 as V1, ncclProfiler_v2 as V2, ncclProfiler_v3 as V3, ncclProfiler_v4 as V4,
    ncclProfiler_v5 as V5, ncclProfiler_v6 as V6,
};
use proptest::prelude::*;

/// The ring is the process's, so tests take turns.
static TURN: Mutex<()> = Mutex::new(());

struct Job {
    mapping: Mapping,
    _turn: MutexGuard<'static, ()>,
}

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

impl Job {
    fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
        let folder = FOLDER.get_or_init(|| {
            let folder = std::env::temp_dir().join(format!("ccl-profiler-{}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            // All of them: what is thinned out is another test program's (`budget.rs`).
            unsafe {
                std::env::set_var("CCL_AGENT_JOB", &folder);
                std::env::set_var("CCL_AGENT_SAMPLE", "1");
            }
            folder
        });
        // The ring is there once anything was initialised.
        let opened = Rank::open(&V6, |init, context, mask| unsafe {
            init(context, 1, mask, null(), 1, 1, 0, None)
        });
        unsafe { (V6.finalize)(opened.context) };
        let file = folder.join(format!("events-{}-0.ring", std::process::id()));
        let job = Self {
            mapping: Mapping::existing(&file).unwrap(),
            _turn: turn,
        };
        job.ring().ask(Control {
            kinds: ALL,
            one_in: 1,
        });
        job.records();
        job
    }

    fn ring(&self) -> Ring<'_, std::sync::atomic::AtomicU64> {
        Ring::new(self.mapping.words()).unwrap()
    }

    fn records(&self) -> Vec<Record> {
        let mut damaged = 0;
        let ring = self.ring();
        let records = std::iter::from_fn(|| ring.pop(&mut damaged)).collect();
        assert_eq!(damaged, 0);
        records
    }
}

const ALL: u32 =
    (kind::COLLECTIVE | kind::PROXY_OP | kind::PROXY_STEP | kind::KERNEL_CHANNEL) as u32;

/// One rank's profiler, and the descriptors of its version.
struct Rank<I: 'static, D: 'static> {
    profiler: &'static Profiler<I, D>,
    context: *mut c_void,
    mask: &'static mut c_int,
}

impl<I: Copy, D> Rank<I, D> {
    fn open(
        profiler: &'static Profiler<I, D>,
        init: impl FnOnce(I, *mut *mut c_void, *mut c_int) -> u32,
    ) -> Self {
        // NCCL's mask lives as long as the process.
        let mask: &'static mut c_int = Box::leak(Box::new(-1));
        let mut context = null_mut();
        assert_eq!(init(profiler.init, &raw mut context, &raw mut *mask), 0);
        Self {
            profiler,
            context,
            mask,
        }
    }

    fn start(&self, mut descriptor: D) -> *mut c_void {
        // What NCCL's memory holds before is not ours to rely on.
        let mut handle = 0xdead_beef_usize as *mut c_void;
        let result = unsafe {
            (self.profiler.start_event)(self.context, &raw mut handle, &raw mut descriptor)
        };
        assert_eq!(result, 0);
        handle
    }

    fn stop(&self, handle: *mut c_void) {
        if !handle.is_null() {
            assert_eq!(unsafe { (self.profiler.stop_event)(handle) }, 0);
        }
    }

    fn state(&self, handle: *mut c_void, state: u32, value: u64) {
        let mut arguments = StateArguments { room: [value, 0] };
        if !handle.is_null() {
            let result =
                unsafe { (self.profiler.record_event_state)(handle, state, &raw mut arguments) };
            assert_eq!(result, 0);
        }
    }

    fn close(self) {
        assert_eq!(unsafe { (self.profiler.finalize)(self.context) }, 0);
    }
}

fn of_v1<D>(profiler: &'static Profiler<InitV1, D>) -> Rank<InitV1, D> {
    Rank::open(profiler, |init, context, mask| unsafe {
        init(context, mask)
    })
}

fn of_v4() -> Rank<InitV4, DescriptorV4> {
    Rank::open(&V4, |init, context, mask| unsafe {
        init(context, mask, c"dp".as_ptr(), 0xc0ffee, 2, 16, 3, None)
    })
}

fn of_v5<D>(profiler: &'static Profiler<InitV5, D>) -> Rank<InitV5, D> {
    Rank::open(profiler, |init, context, mask| unsafe {
        init(context, 0xc0ffee, mask, c"dp".as_ptr(), 2, 16, 3, None)
    })
}

fn word(text: &'static std::ffi::CStr) -> *const c_char {
    text.as_ptr()
}

fn collective_v4(sequence: u64, channels: u8) -> CollectiveV4 {
    CollectiveV4 {
        sequence,
        function: word(c"AllReduce"),
        send: null(),
        receive: null_mut(),
        count: 1 << 20,
        root: 0,
        datatype: word(c"ncclFloat32"),
        channels,
        warps: 16,
        algorithm: word(c"RING"),
        protocol: word(c"SIMPLE"),
    }
}

fn pid() -> c_int {
    c_int::try_from(std::process::id()).unwrap()
}

fn proxy_op(pid: c_int) -> ProxyOp {
    ProxyOp {
        pid,
        channel: 0,
        peer: 1,
        steps: 1,
        chunk_bytes: 1 << 19,
        is_send: 1,
    }
}

/// Descriptors of the versions that say how many channels run.
macro_rules! descriptors {
    ($module:ident, $descriptor:ident, $kind:ty, $collective:expr) => {
        mod $module {
            use super::*;

            pub fn describe(kind: u64, parent: *mut c_void) -> $descriptor {
                let mut descriptor: $descriptor = unsafe { std::mem::zeroed() };
                descriptor.kind = <$kind>::try_from(kind).unwrap();
                descriptor.parent = parent;
                descriptor.rank = 3;
                descriptor
            }

            pub fn collective(sequence: u64, channels: u8) -> $descriptor {
                let mut descriptor = describe(kind::COLLECTIVE, null_mut());
                descriptor.of.collective = $collective(sequence, channels);
                descriptor
            }

            pub fn kernel(parent: *mut c_void, channel: u8, timer_ns: u64) -> $descriptor {
                let mut descriptor = describe(kind::KERNEL_CHANNEL, parent);
                descriptor.of.kernel = KernelChannelV4 { channel, timer_ns };
                descriptor
            }

            pub fn proxy_op(parent: *mut c_void, pid: c_int) -> $descriptor {
                let mut descriptor = describe(kind::PROXY_OP, parent);
                descriptor.of.proxy_op = super::proxy_op(pid);
                descriptor
            }

            pub fn transfer(parent: *mut c_void, step: c_int) -> $descriptor {
                let mut descriptor = describe(kind::PROXY_STEP, parent);
                descriptor.of.proxy_step = ProxyStep { step };
                descriptor
            }
        }
    };
}

descriptors!(v4, DescriptorV4, u8, collective_v4);
descriptors!(v5, DescriptorV5, u64, |s, n| CollectiveV5 {
    v4: collective_v4(s, n),
    parent_group: null_mut()
});
descriptors!(v6, DescriptorV6, u64, |s, n| CollectiveV5 {
    v4: collective_v4(s, n),
    parent_group: null_mut()
});

/// A whole collective on two channels with one send, as one version tells it.
macro_rules! tells_all {
    ($rank:expr, $module:ident, $job:expr) => {{
        let rank = $rank;
        assert_eq!(*rank.mask, c_int::try_from(ALL).unwrap());
        let collective = rank.start($module::collective(7, 2));
        rank.stop(collective);
        // The proxy thread gets there later.
        let op = rank.start($module::proxy_op(collective, pid()));
        let step = rank.start($module::transfer(op, 0));
        rank.state(step, state::SEND_GPU_WAIT, 0);
        std::thread::sleep(std::time::Duration::from_millis(2));
        rank.state(step, state::SEND_PEER_WAIT, 0);
        rank.state(step, state::SEND_WAIT, 4096);
        rank.stop(step);
        let kernels = [(0, 1_000), (1, 1_010)]
            .map(|(channel, start)| rank.start($module::kernel(collective, channel, start)));
        assert!($job.records().is_empty(), "it is not over");
        for (kernel, end) in kernels.into_iter().zip([91_000, 90_000]) {
            rank.state(kernel, state::KERNEL_CHANNEL_STOP, end);
            rank.stop(kernel);
        }
        rank.stop(op);
        let records = $job.records();
        let [record] = records[..] else {
            panic!("{records:?}");
        };
        assert_eq!(
            (
                record.collective,
                record.algorithm,
                record.protocol,
                record.channels
            ),
            (4, 1, 2, 2)
        );
        assert_eq!(
            (record.sequence, record.count, record.element_bytes),
            (7, 1 << 20, 4)
        );
        assert_eq!(
            (record.timing, record.duration_ns),
            (Timing::Device, 90_000)
        );
        assert_eq!((record.transfers, record.transferred_bytes), (1, 4096));
        assert!(record.waits.send_gpu_ns >= 2_000_000 && record.waits.recv_ns == 0);
        assert!(record.is_complete && record.sampled == 1 && record.warps == 16);
        let member = $job.ring().membership(record.communicator).unwrap();
        assert_eq!(
            (member.id, member.ranks, member.nodes, member.rank),
            (0xc0ffee, 16, 2, 3)
        );
        rank.close();
        assert!($job.records().is_empty());
    }};
}

#[test]
fn v4_to_v6_tell_a_collective_and_one_record_comes_out() {
    let job = Job::new();
    tells_all!(of_v4(), v4, job);
    tells_all!(of_v5(&V5), v5, job);
    tells_all!(of_v5(&V6), v6, job);
}

fn collective_v1(sequence: u64) -> DescriptorV1 {
    let mut descriptor: DescriptorV1 = unsafe { std::mem::zeroed() };
    descriptor.kind = 1 << 1;
    descriptor.rank = 5;
    descriptor.of.collective = CollectiveV1 {
        name: null(),
        comm_hash: 0xabc,
        sequence,
        function: 2,
        send: null(),
        receive: null_mut(),
        count: 4096,
        root: 0,
        datatype: 9,
        operation: 0,
        traffic_bytes: 0,
        most_channels: 8,
        warps: 4,
        algorithm: 1,
        protocol: 0,
        is_collnet: 0,
        is_nvls: 0,
    };
    descriptor
}

#[test]
fn v1_has_no_kernels_and_is_timed_over_its_network_work() {
    let job = Job::new();
    let rank = of_v1(&V1);
    let collective = rank.start(collective_v1(0));
    rank.stop(collective);
    let mut op: DescriptorV1 = unsafe { std::mem::zeroed() };
    op.kind = 1 << 3;
    op.parent = collective;
    op.of.proxy_op = proxy_op(pid());
    let op = rank.start(op);
    std::thread::sleep(std::time::Duration::from_millis(3));
    rank.stop(op);
    // Nobody says that it is over, so it is kept until many more have come, or the end.
    assert!(job.records().is_empty());
    for sequence in 1..=64 {
        let next = rank.start(collective_v1(sequence));
        rank.stop(next);
    }
    let records = job.records();
    assert_eq!(records.len(), 1);
    assert_eq!(
        (records[0].timing, records[0].is_complete),
        (Timing::Proxy, true)
    );
    assert!(records[0].duration_ns >= 3_000_000);
    let member = job.ring().membership(records[0].communicator).unwrap();
    assert_eq!((member.id, member.ranks, member.rank), (0xabc, 0, 5));
    rank.close();
    let rest = job.records();
    assert_eq!(rest.len(), 64);
    assert!(
        rest.iter()
            .all(|r| r.timing == Timing::Enqueue && r.is_complete)
    );
}

#[test]
fn v2_and_v3_name_things_and_v3_has_kernels_without_a_timer() {
    let job = Job::new();
    let rank = of_v1(&V2);
    let mut descriptor: DescriptorV2 = unsafe { std::mem::zeroed() };
    descriptor.kind = 1 << 1;
    descriptor.of.collective = CollectiveV2 {
        name: null(),
        comm_hash: 1,
        sequence: 3,
        function: word(c"ReduceScatter"),
        send: null(),
        receive: null_mut(),
        count: 10,
        root: 0,
        datatype: word(c"ncclBfloat16"),
        traffic_bytes: 0,
        most_channels: 8,
        warps: 4,
        algorithm: word(c"NVLS"),
        protocol: word(c"SIMPLE"),
    };
    rank.stop(rank.start(descriptor));
    rank.close();
    let records = job.records();
    let seen = (
        records[0].collective,
        records[0].algorithm,
        records[0].element_bytes,
    );
    assert_eq!((records.len(), seen), (1, (3, 4, 2)));

    let rank = of_v1(&V3);
    let mut descriptor: DescriptorV3 = unsafe { std::mem::zeroed() };
    descriptor.kind = 1 << 1;
    descriptor.of.collective = CollectiveV3 {
        name: null(),
        comm_hash: 1,
        sequence: 3,
        function: word(c"AllGather"),
        send: null(),
        receive: null_mut(),
        count: 10,
        root: 0,
        datatype: word(c"Unknown"),
        most_channels: 8,
        warps: 4,
        algorithm: word(c"PAT"),
        protocol: word(c"SIMPLE"),
    };
    let collective = rank.start(descriptor);
    rank.stop(collective);
    let mut kernel: DescriptorV3 = unsafe { std::mem::zeroed() };
    kernel.kind = 1 << 6;
    kernel.parent = collective;
    kernel.of.kernel = KernelChannelV3 { channel: 0 };
    let kernels = [rank.start(kernel), rank.start(kernel)];
    std::thread::sleep(std::time::Duration::from_millis(1));
    for kernel in kernels {
        rank.stop(kernel);
    }
    rank.close();
    let records = job.records();
    assert_eq!((records[0].timing, records[0].channels), (Timing::Proxy, 2));
    assert!(records[0].duration_ns >= 1_000_000);
}

#[test]
fn what_is_not_recorded_has_a_null_handle() {
    let job = Job::new();
    let rank = of_v5(&V6);
    // Group, point-to-point, proxy control, net plugin, APIs, launches, copy engine.
    for bit in [0, 2, 5, 7, 8, 9, 10, 11, 12, 13, 14, 40] {
        assert!(
            rank.start(v6::describe(1 << bit, null_mut())).is_null(),
            "{bit}"
        );
    }
    let mut strange = v6::collective(0, 1);
    strange.of.collective.v4.function = word(c"AlltoAll");
    assert!(rank.start(strange).is_null());
    strange.of.collective.v4.function = null();
    assert!(rank.start(strange).is_null());
    // Children of nothing, and of another process.
    assert!(rank.start(v6::proxy_op(null_mut(), pid())).is_null());
    assert!(rank.start(v6::kernel(null_mut(), 0, 1)).is_null());
    let collective = rank.start(v6::collective(0, 1));
    assert!(rank.start(v6::proxy_op(collective, pid() + 1)).is_null());
    assert!(
        rank.start(v6::transfer(collective, 0)).is_null(),
        "not of network work"
    );
    rank.close();
    let records = job.records();
    assert_eq!((records.len(), records[0].is_complete), (1, false));
}

/// NCCL begins children whatever became of their parent; of a collective that is not sampled they must come
/// to nothing at the first look, and be no loss.
#[test]
fn parts_of_what_is_not_sampled_are_nothing() {
    let job = Job::new();
    let one_in = 10;
    job.ring().ask(Control { kinds: ALL, one_in });
    let rank = of_v5(&V6);
    let before = job.ring().losses();
    let mut sampled = 0;
    for sequence in 0..100 {
        let collective = rank.start(v6::collective(sequence, 2));
        rank.stop(collective);
        assert_eq!(collective.is_null(), !is_sampled(sequence, one_in));
        let operation = rank.start(v6::proxy_op(collective, pid()));
        let transfer = rank.start(v6::transfer(operation, 0));
        let kernels = [0, 1].map(|channel| rank.start(v6::kernel(collective, channel, 5)));
        for part in [operation, transfer].iter().chain(&kernels) {
            assert_eq!(part.is_null(), collective.is_null());
        }
        rank.stop(transfer);
        rank.stop(operation);
        for kernel in kernels {
            rank.state(kernel, state::KERNEL_CHANNEL_STOP, 9);
            rank.stop(kernel);
        }
        sampled += u32::from(!collective.is_null());
    }
    let records = job.records();
    assert!((5..=15).contains(&sampled), "{sampled}");
    assert_eq!(records.len(), sampled as usize);
    for record in records {
        assert!(record.is_complete && record.channels == 2 && record.transfers == 1);
        assert_eq!(record.sampled, one_in);
    }
    let losses = job.ring().losses();
    assert_eq!((losses.late, losses.crowded), (before.late, before.crowded));
    rank.close();
}

#[test]
fn misuse_is_survived() {
    let job = Job::new();
    let rank = of_v5(&V6);
    unsafe {
        let (start, stop, record) = (V6.start_event, V6.stop_event, V6.record_event_state);
        assert_eq!(start(rank.context, null_mut(), null_mut()), 0);
        let mut handle = std::ptr::dangling_mut();
        assert_eq!(start(rank.context, &raw mut handle, null_mut()), 0);
        assert!(handle.is_null());
        let mut descriptor = v6::collective(0, 1);
        for context in [0_usize, 4097, 70_000, usize::MAX] {
            start(context as *mut c_void, &raw mut handle, &raw mut descriptor);
            assert!(handle.is_null(), "{context}");
        }
        for number in [
            0_usize,
            1,
            1 << 60,
            2 << 60,
            0x3fff_ffff_ffff_ffff,
            usize::MAX,
        ] {
            assert_eq!(stop(number as *mut c_void), 0);
            assert_eq!(record(number as *mut c_void, 22, null_mut()), 0);
        }
    }
    // Stop before start of the children, twice, and after the end.
    let collective = rank.start(v6::collective(1, 1));
    rank.stop(collective);
    let kernel = rank.start(v6::kernel(collective, 0, 5));
    rank.state(kernel, state::KERNEL_CHANNEL_STOP, 6);
    for _ in 0..3 {
        rank.stop(kernel);
    }
    rank.state(kernel, state::KERNEL_CHANNEL_STOP, 7);
    assert!(rank.start(v6::kernel(collective, 0, 5)).is_null());
    assert_eq!(job.records().len(), 1);
    assert!(job.ring().losses().late > 0);
    // Finalize twice, and events of a communicator that is gone.
    let context = rank.context;
    rank.close();
    unsafe { (V6.finalize)(context) };
    unsafe { (V6.finalize)(null_mut()) };
    let late = Rank {
        profiler: &V6,
        context,
        mask: Box::leak(Box::new(0)),
    };
    assert!(late.start(v6::collective(2, 1)).is_null());
    late.stop(collective);
    assert!(job.records().is_empty());
}

#[test]
fn the_mask_is_lowered_while_a_job_runs_and_sampling_takes_the_same_on_all_ranks() {
    let job = Job::new();
    let rank = of_v5(&V6);
    let collectives = kind::COLLECTIVE as u32;
    // This one stands for itself, although fewer are recorded by the time it ends.
    let before = rank.start(v6::collective(0, 1));
    job.ring().ask(Control {
        kinds: collectives,
        one_in: 4,
    });
    rank.stop(before);
    let kernel = rank.start(v6::kernel(before, 0, 1));
    rank.stop(kernel);
    let sampled: Vec<u32> = job.records().iter().map(|r| r.sampled).collect();
    assert_eq!(sampled, [1]);
    for sequence in 0..12 {
        let handle = rank.start(v6::collective(sequence, 1));
        assert_eq!(handle.is_null(), !is_sampled(sequence, 4));
        rank.stop(handle);
        assert_eq!(*rank.mask, c_int::try_from(collectives).unwrap());
    }
    rank.close();
    let seen: Vec<(u64, u32)> = job
        .records()
        .iter()
        .map(|r| (r.sequence, r.sampled))
        .collect();
    assert_eq!(seen, [(0, 4), (2, 4), (5, 4), (10, 4)]);
}

#[test]
fn open_collectives_beyond_the_places_push_out_the_oldest() {
    let job = Job::new();
    let rank = of_v5(&V6);
    for sequence in 0..1030 {
        assert!(!rank.start(v6::collective(sequence, 1)).is_null());
    }
    let records = job.records();
    assert_eq!(records.len(), 6);
    assert!(records.iter().all(|r| !r.is_complete));
    rank.close();
    assert_eq!(job.records().len(), 1024);
}

/// Two communicators, enqueued by one thread each, their kernels and transfers told by two proxy
/// threads: as many complete records as collectives, none torn.
#[test]
fn many_threads_tell_and_nothing_is_lost() {
    const EACH: u64 = 3000;
    let job = Job::new();
    let done = std::sync::atomic::AtomicUsize::new(0);
    let mut records = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let done = &done;
            scope.spawn(move || {
                let rank = of_v5(&V6);
                let context = rank.context as usize;
                let (to_proxy, from_host) = std::sync::mpsc::sync_channel::<usize>(200);
                let proxy = std::thread::spawn(move || {
                    let mask = Box::leak(Box::new(0));
                    let rank = Rank {
                        profiler: &V6,
                        context: context as *mut c_void,
                        mask,
                    };
                    for collective in from_host {
                        let collective = collective as *mut c_void;
                        let op = rank.start(v6::proxy_op(collective, pid()));
                        let step = rank.start(v6::transfer(op, 0));
                        rank.state(step, state::RECV_WAIT, 64);
                        let kernels = [0, 1].map(|c| rank.start(v6::kernel(collective, c, 100)));
                        rank.stop(step);
                        rank.stop(op);
                        for kernel in kernels {
                            rank.state(kernel, state::KERNEL_CHANNEL_STOP, 200);
                            rank.stop(kernel);
                        }
                    }
                });
                for sequence in 0..EACH {
                    let collective = rank.start(v6::collective(sequence, 2));
                    to_proxy.send(collective as usize).unwrap();
                    rank.stop(collective);
                }
                drop(to_proxy);
                proxy.join().unwrap();
                rank.close();
                done.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            });
        }
        while done.load(std::sync::atomic::Ordering::SeqCst) < 2 {
            records.extend(job.records());
            std::thread::yield_now();
        }
    });
    records.extend(job.records());
    let losses = job.ring().losses();
    let whole = records
        .iter()
        .filter(|r| r.is_complete && r.duration_ns == 100 && r.transfers == 1);
    assert_eq!(
        whole.count() as u64 + losses.dropped,
        2 * EACH,
        "{losses:?}"
    );
}

unsafe extern "C" {
    fn fork() -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn _exit(code: c_int) -> !;
}

/// A data loader's worker, say: it has the parent's memory and the parent's ring.
#[test]
fn a_forked_child_records_nothing_and_the_parent_goes_on() {
    let job = Job::new();
    let rank = of_v5(&V6);
    let before = rank.start(v6::collective(0, 1));
    let child = unsafe { fork() };
    if child == 0 {
        // Nothing that could lock: another thread may have held the lock.
        let mut handle = null_mut();
        let mut descriptor = v6::collective(1, 1);
        unsafe {
            (V6.start_event)(rank.context, &raw mut handle, &raw mut descriptor);
            (V6.stop_event)(before);
            (V6.finalize)(rank.context);
            // Nor a communicator of its own, which would take a place in the parent's table.
            let (mut own, mut mask) = (null_mut(), -1);
            (V6.init)(&raw mut own, 0xbad, &raw mut mask, null(), 1, 1, 0, None);
            _exit(c_int::from(
                !handle.is_null() || !own.is_null() || mask != 0,
            ))
        }
    }
    let mut status = -1;
    assert_eq!(unsafe { waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child got a handle, or died");
    let known = (0..3 * 4096).filter_map(|number| job.ring().membership(number));
    assert!(known.into_iter().all(|member| member.id != 0xbad));
    assert!(job.records().is_empty());
    rank.stop(before);
    let kernel = rank.start(v6::kernel(before, 0, 1));
    rank.state(kernel, state::KERNEL_CHANNEL_STOP, 5);
    rank.stop(kernel);
    let records = job.records();
    assert_eq!((records.len(), records[0].duration_ns), (1, 4));
    rank.close();
}

/// What a fuzzed sequence of calls may do.
#[derive(Clone, Debug)]
enum Call {
    Start(u64, usize, u64),
    Stop(usize),
    State(usize, u32, u64),
    Finalize,
    Init,
}

fn call() -> impl Strategy<Value = Call> {
    let handle = 0usize..40;
    prop_oneof![
        6 => (0u64..16, handle.clone(), any::<u64>()).prop_map(|(k, p, v)| Call::Start(1 << k, p, v)),
        4 => handle.clone().prop_map(Call::Stop),
        3 => (handle, 0u32..32, any::<u64>()).prop_map(|(h, s, v)| Call::State(h, s, v)),
        1 => Just(Call::Finalize),
        1 => Just(Call::Init),
    ]
}

proptest! {
    /// Any calls in any order, with handles of any kind and from nowhere: no crash, no record that is
    /// not one. `PROPTEST_CASES` sets how many.
    #[test]
    fn any_sequence_of_events_is_survived(calls in prop::collection::vec(call(), 0..60)) {
        let job = Job::new();
        let mut rank = of_v5(&V6);
        let mut handles: Vec<*mut c_void> = vec![null_mut(), std::ptr::dangling_mut(), usize::MAX as *mut c_void];
        for call in calls {
            match call {
                Call::Start(kind, parent, value) => {
                    let parent = handles[parent % handles.len()];
                    let channels = u8::try_from(value % 4).unwrap();
                    let descriptor = match kind {
                        kind::COLLECTIVE => v6::collective(value, channels),
                        kind::PROXY_OP => v6::proxy_op(parent, pid()),
                        kind::PROXY_STEP => v6::transfer(parent, 0),
                        kind::KERNEL_CHANNEL => v6::kernel(parent, channels, value),
                        other => v6::describe(other, parent),
                    };
                    handles.push(rank.start(descriptor));
                }
                Call::Stop(handle) => rank.stop(handles[handle % handles.len()]),
                Call::State(handle, state, value) => {
                    rank.state(handles[handle % handles.len()], state, value);
                }
                Call::Finalize => unsafe { (V6.finalize)(rank.context); },
                Call::Init => {
                    unsafe { (V6.finalize)(rank.context) };
                    rank = of_v5(&V6);
                }
            }
        }
        rank.close();
        // Drained and checked record by record.
        job.records();
    }
}
