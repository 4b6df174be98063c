//! What no NCCL does, and what must not take a job down all the same, through every version of both
//! interfaces: null pointers, zero algorithms, tables with only impossible entries, events without
//! parents, stop before start, finalize twice, contexts and handles that never were.

#![allow(clippy::unwrap_used, clippy::panic, clippy::undocumented_unsafe_blocks)]

use std::ffi::{c_int, c_void};
use std::path::PathBuf;
use std::ptr::{null, null_mut, without_provenance_mut};
use std::sync::{Mutex, MutexGuard};

use ccl_abi::nccl::profiler::{
    DescriptorV1, DescriptorV2, DescriptorV3, DescriptorV4, DescriptorV5, DescriptorV6,
    StateArguments, kind, state,
};
use ccl_abi::shared::{Mapping, Record, Ring};
use nccl_ccl_agent::exports::ncclTunerPlugin_v6 as T6;
use nccl_ccl_agent::profiler::exports::{
    ncclProfiler_v1 as P1, ncclProfiler_v2 as P2, ncclProfiler_v3 as P3, ncclProfiler_v4 as P4,
    ncclProfiler_v5 as P5, ncclProfiler_v6 as P6,
};

#[path = "support/every_tuner.rs"]
mod every_tuner;
use every_tuner::{Question, VERSIONS, ask, finalize, init};

/// The environment and the ring are the process's, so tests take turns.
static TURN: Mutex<()> = Mutex::new(());

struct Folder {
    path: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Folder {
    fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
        let path = std::env::temp_dir().join(format!("ccl-misuse-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self { path, _turn: turn }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Contexts and handles that nobody was given.
fn garbage() -> impl Iterator<Item = *mut c_void> {
    let bits = (0..usize::BITS).map(|bit| 1 << bit);
    let numbers = [0, 3, 4097, 70_000, 0x3fff_ffff_ffff_ffff, usize::MAX];
    bits.chain(numbers).map(without_provenance_mut)
}

const ALL_REDUCE: c_int = 4;

#[test]
fn every_tuner_survives_misuse() {
    let folder = Folder::new();
    let path = folder.path.join("policy.csv");
    std::fs::write(&path, "allreduce,0,99999999,ring,simple,4,-1,-1\n").unwrap();
    unsafe { std::env::set_var("CCL_AGENT_POLICY", &path) };
    for version in VERSIONS {
        tuner_survives_misuse(version);
    }
    unsafe { std::env::remove_var("CCL_AGENT_POLICY") };
}

fn tuner_survives_misuse(version: u32) {
    init(version, 1, 8, 1, null_mut());
    let mut context = null_mut();
    init(version, 1, 8, 1, &raw mut context);
    let mut cells = [10.0f32; 21];
    let (mut algorithm, mut protocol, mut channels) = (-7, -7, -7);
    let good = Question {
        collective: ALL_REDUCE,
        bytes: 1024,
        pipe_ops: 1,
        collnet: 1,
        nvls: 1,
        pair: [&raw mut algorithm, &raw mut protocol],
        table: cells.as_mut_ptr(),
        algorithms: 7,
        protocols: 3,
        registered: 0,
        channels: &raw mut channels,
    };
    let untouched = |channels: c_int, algorithm: c_int, cells: &[f32; 21]| {
        channels == -7 && algorithm == -7 && cells.iter().all(|cost| *cost == 10.0)
    };

    // No such context, and no such collective.
    for nowhere in garbage().filter(|other| *other != context) {
        ask(version, nowhere, &good);
        finalize(version, nowhere);
    }
    for collective in [-1, 5, 99, c_int::MIN, c_int::MAX] {
        let question = Question { collective, ..good };
        ask(version, context, &question);
    }
    // No place for what must be written, and sizes that no table has.
    let table = good.table;
    for (table, algorithms, protocols) in [
        (null_mut(), 7, 3),
        (table, 0, 3),
        (table, 7, 0),
        (table, 0, 0),
        (table, -1, 3),
        (table, 7, c_int::MIN),
        (table, c_int::MAX, c_int::MAX),
    ] {
        // v2 has no table.
        let pair = [null_mut(), good.pair[1]];
        let question = Question {
            pair,
            table,
            algorithms,
            protocols,
            ..good
        };
        ask(version, context, &question);
    }
    assert!(untouched(channels, algorithm, &cells), "v{version}");
    assert_eq!(protocol, -7, "v{version}");

    // Only entries that cannot be run, and nonsense.
    for cost in [-1.0, -2.0, f32::NAN, f32::NEG_INFINITY] {
        let mut cells = [cost; 21];
        let question = Question {
            pair: [null_mut(); 2],
            table: cells.as_mut_ptr(),
            ..good
        };
        ask(version, context, &question);
        assert_eq!(channels, -7, "v{version}");
        assert!(cells.iter().all(|c| c.to_bits() == cost.to_bits()));
    }
    // Nowhere to write the channels: the rest is still said.
    let question = Question {
        channels: null_mut(),
        ..good
    };
    ask(version, context, &question);
    match version {
        2 => assert_eq!((algorithm, protocol), (1, 2)),
        _ => assert_eq!((cells[5], cells[4]), (0.0, 10.0)),
    }
    if version == 6 {
        let get = T6.get_chunk_size.unwrap();
        let (most, least) = (c_int::MAX, c_int::MIN);
        let mut bytes = 7;
        for (algorithm, protocol) in [(-1, 2), (1, 3), (most, most), (least, least), (1, 2)] {
            for context in [context, null_mut()] {
                let place = &raw mut bytes;
                assert_eq!(
                    unsafe { get(context, 4, 1, algorithm, protocol, 0, place) },
                    0
                );
                assert_eq!(
                    unsafe { get(context, 4, 1, algorithm, protocol, 0, null_mut()) },
                    0
                );
            }
        }
        assert_eq!(bytes, 7);
    }

    // It is still there; then it is ended, again and again, and asked.
    channels = -7;
    ask(version, context, &good);
    assert_eq!(channels, 4, "v{version}");
    let (mut cells, mut algorithm, mut channels) = ([10.0f32; 21], -7, -7);
    let good = Question {
        pair: [&raw mut algorithm, &raw mut protocol],
        table: cells.as_mut_ptr(),
        channels: &raw mut channels,
        ..good
    };
    let mut next = null_mut();
    for round in 0..3 {
        finalize(version, context);
        ask(version, context, &good);
        if round == 1 {
            // Its place is another's by now.
            init(version, 1, 8, 1, &raw mut next);
        }
    }
    assert!(untouched(channels, algorithm, &cells), "v{version}");
    ask(version, next, &good);
    assert_eq!(channels, 4, "v{version}: the other one lives");
    finalize(version, next);
}

/// One version of the profiler, in one form for all.
struct Profiler {
    version: u32,
    init: fn(*mut *mut c_void, *mut c_int),
    start: fn(*mut c_void, *mut *mut c_void, Option<(u64, *mut c_void)>),
    stop: fn(*mut c_void),
    record: fn(*mut c_void, u32, *mut StateArguments),
    finalize: fn(*mut c_void),
}

fn done(result: u32) {
    assert_eq!(result, 0);
}

macro_rules! profiler {
    ($version:literal, $profiler:ident, $descriptor:ident, $init:expr, $name:expr) => {
        Profiler {
            version: $version,
            init: |context, mask| done($init(context, mask)),
            start: |context, handle, event| {
                let mut descriptor: $descriptor = unsafe { std::mem::zeroed() };
                let mut place = null_mut();
                if let Some((kind, parent)) = event {
                    descriptor.kind = kind.try_into().unwrap();
                    descriptor.parent = parent;
                    $name(&mut descriptor);
                    place = &raw mut descriptor;
                }
                done(unsafe { ($profiler.start_event)(context, handle, place) });
            },
            stop: |handle| done(unsafe { ($profiler.stop_event)(handle) }),
            record: |handle, state, arguments| {
                done(unsafe { ($profiler.record_event_state)(handle, state, arguments) });
            },
            finalize: |context| done(unsafe { ($profiler.finalize)(context) }),
        }
    };
}

/// A collective on one channel in words; only where the event is one.
macro_rules! named {
    ($of:ident $(. $v4:ident)?, $channels:ident) => {
        |descriptor: &mut _| {
            let descriptor: &mut $of = descriptor;
            if u64::from(descriptor.kind) == kind::COLLECTIVE {
                let collective = unsafe { &mut descriptor.of.collective };
                $(let collective = &mut collective.$v4;)?
                collective.function = c"AllReduce".as_ptr();
                collective.algorithm = c"RING".as_ptr();
                collective.protocol = c"LL".as_ptr();
                collective.datatype = c"ncclInt8".as_ptr();
                collective.$channels = 1;
            }
        }
    };
}

fn profilers() -> [Profiler; 6] {
    [
        profiler!(
            1,
            P1,
            DescriptorV1,
            |c, m| unsafe { (P1.init)(c, m) },
            |_: &mut _| {
                // Zeros are a broadcast of bytes.
            }
        ),
        profiler!(
            2,
            P2,
            DescriptorV2,
            |c, m| unsafe { (P2.init)(c, m) },
            named!(DescriptorV2, most_channels)
        ),
        profiler!(
            3,
            P3,
            DescriptorV3,
            |c, m| unsafe { (P3.init)(c, m) },
            named!(DescriptorV3, most_channels)
        ),
        profiler!(
            4,
            P4,
            DescriptorV4,
            |c, m| unsafe { (P4.init)(c, m, null(), 1, -1, -1, -1, None) },
            named!(DescriptorV4, channels)
        ),
        profiler!(
            5,
            P5,
            DescriptorV5,
            |c, m| unsafe { (P5.init)(c, 1, m, null(), -1, -1, -1, None) },
            named!(DescriptorV5.v4, channels)
        ),
        profiler!(
            6,
            P6,
            DescriptorV6,
            |c, m| unsafe { (P6.init)(c, 1, m, null(), -1, -1, -1, None) },
            named!(DescriptorV6.v4, channels)
        ),
    ]
}

#[test]
fn every_profiler_survives_misuse() {
    let folder = Folder::new();
    unsafe { std::env::set_var("CCL_AGENT_JOB", &folder.path) };
    for profiler in profilers() {
        profiler_survives_misuse(&profiler, &folder);
    }
    unsafe { std::env::remove_var("CCL_AGENT_JOB") };
}

fn records(folder: &Folder) -> Vec<Record> {
    let file = format!("events-{}-0.ring", std::process::id());
    let mapping = Mapping::existing(&folder.path.join(file)).unwrap();
    let ring = Ring::new(mapping.words()).unwrap();
    let mut damaged = 0;
    let records = std::iter::from_fn(|| ring.pop(&mut damaged)).collect();
    assert_eq!(damaged, 0);
    records
}

fn profiler_survives_misuse(profiler: &Profiler, folder: &Folder) {
    let version = profiler.version;
    // NCCL's mask lives as long as the process.
    let mask: &'static mut c_int = Box::leak(Box::new(-1));
    let mask = &raw mut *mask;
    let mut context = without_provenance_mut(9);
    (profiler.init)(null_mut(), mask);
    (profiler.init)(&raw mut context, null_mut());
    (profiler.init)(null_mut(), null_mut());
    (profiler.init)(&raw mut context, mask);
    assert!(context.addr() != 9 && !context.is_null());

    let start = |context, kind, parent| {
        let mut handle = without_provenance_mut(0xdead);
        (profiler.start)(context, &raw mut handle, Some((kind, parent)));
        assert_ne!(handle.addr(), 0xdead, "v{version}: not written");
        handle
    };
    // No place for the handle, no descriptor, no such context.
    (profiler.start)(context, null_mut(), Some((kind::COLLECTIVE, null_mut())));
    let mut handle = without_provenance_mut(0xdead);
    (profiler.start)(context, &raw mut handle, None);
    assert!(handle.is_null());
    for nowhere in garbage().filter(|other| *other != context) {
        assert!(start(nowhere, kind::COLLECTIVE, null_mut()).is_null());
    }
    // Events without parents, and with parents that never were.
    let children = [kind::PROXY_OP, kind::PROXY_STEP, kind::KERNEL_CHANNEL];
    for child in children {
        for parent in garbage() {
            assert!(start(context, child, parent).is_null(), "v{version}");
        }
    }
    // Stop and state before anything was started.
    let mut arguments = StateArguments { room: [1, 2] };
    for handle in garbage() {
        (profiler.stop)(handle);
        for nccl_state in [state::SEND_WAIT, state::KERNEL_CHANNEL_STOP, 0, u32::MAX] {
            (profiler.record)(handle, nccl_state, &raw mut arguments);
            (profiler.record)(handle, nccl_state, null_mut());
        }
    }
    assert!(records(folder).is_empty(), "v{version}");

    // A whole collective in between, then everything of it once more. v1 and v2 have no kernels.
    let collective = start(context, kind::COLLECTIVE, null_mut());
    assert!(!collective.is_null(), "v{version}");
    (profiler.record)(collective, state::SEND_WAIT, null_mut());
    let kernel = start(context, kind::KERNEL_CHANNEL, collective);
    assert_eq!(kernel.is_null(), version < 3);
    for _ in 0..3 {
        (profiler.stop)(collective);
        (profiler.record)(kernel, state::KERNEL_CHANNEL_STOP, null_mut());
        (profiler.stop)(kernel);
    }
    // Finalize, again and again, and events afterwards.
    for _ in 0..3 {
        (profiler.finalize)(context);
        assert!(start(context, kind::COLLECTIVE, null_mut()).is_null());
        assert!(start(context, kind::KERNEL_CHANNEL, collective).is_null());
        (profiler.stop)(collective);
        (profiler.record)(kernel, state::KERNEL_CHANNEL_STOP, null_mut());
    }
    garbage()
        .filter(|other| *other != context)
        .for_each(profiler.finalize);
    assert_eq!(
        records(folder).len(),
        1,
        "v{version}: one collective, one record"
    );
}
