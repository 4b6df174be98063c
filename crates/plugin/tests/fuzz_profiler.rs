//! The profiler through its C interfaces, all six versions at once: events of any kind in any order,
//! handles that are open, over, another version's, with a bit flipped or from nowhere, null pointers,
//! communicators that come and go, and a ring that an observer damages while it is written.
//!
//! No crash and no hang; what comes out of a ring that nobody damaged are whole records of what was
//! told.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::undocumented_unsafe_blocks
)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::PathBuf;
use std::ptr::{null, null_mut, without_provenance_mut};
use std::sync::atomic::AtomicU64;

use ccl_abi::nccl::profiler::{
    CollectiveV1, CollectiveV2, CollectiveV3, CollectiveV4, CollectiveV5, DescriptorV1,
    DescriptorV2, DescriptorV3, DescriptorV4, DescriptorV5, DescriptorV6, KernelChannelV3,
    KernelChannelV4, ProxyOp, StateArguments, kind,
};
use ccl_abi::shared::{Control, Mapping, Ring, Word};
use nccl_ccl_agent::profiler::exports::{
    ncclProfiler_v1 as V1, ncclProfiler_v2 as V2, ncclProfiler_v3 as V3, ncclProfiler_v4 as V4,
    ncclProfiler_v5 as V5, ncclProfiler_v6 as V6,
};

#[path = "../../abi/tests/fuzz/random.rs"]
mod random;
use random::{Random, cases};

const COMMUNICATORS: usize = 12;
const HANDLES: usize = 64;
const ALL: u64 = kind::COLLECTIVE | kind::PROXY_OP | kind::PROXY_STEP | kind::KERNEL_CHANNEL;

/// Words NCCL uses, and a few it does not.
const FUNCTIONS: [&CStr; 7] = [
    c"Broadcast",
    c"Reduce",
    c"AllGather",
    c"ReduceScatter",
    c"AllReduce",
    c"AlltoAll",
    c"",
];
const ALGORITHMS: [&CStr; 9] = [
    c"TREE",
    c"RING",
    c"COLLNET_DIRECT",
    c"COLLNET_CHAIN",
    c"NVLS",
    c"NVLS_TREE",
    c"PAT",
    c"RING ",
    c"",
];
const PROTOCOLS: [&CStr; 5] = [c"LL", c"LL128", c"SIMPLE", c"LL1", c""];
const TYPES: [&CStr; 7] = [
    c"ncclFloat32",
    c"ncclInt8",
    c"ncclBfloat16",
    c"Unknown",
    c"ncclFloat64",
    c"nccl",
    c"",
];

struct Communicator {
    version: u32,
    context: *mut c_void,
}

struct World {
    folder: PathBuf,
    ring: Mapping,
    communicators: Vec<Communicator>,
    /// With the communicator that gave each.
    handles: Vec<(usize, *mut c_void)>,
}

fn init(version: u32, random: &mut Random, has_places: bool) -> Communicator {
    // NCCL's mask lives as long as the process; here a few serve for all.
    static MASKS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];
    let mut context = without_provenance_mut(1);
    let (place, mask) = match has_places {
        true => (
            &raw mut context,
            MASKS[random.index(4)].as_ptr().cast::<c_int>(),
        ),
        false => match random.one_in(2) {
            true => (null_mut(), MASKS[0].as_ptr().cast()),
            false => (&raw mut context, null_mut()),
        },
    };
    let (id, name) = (random.number(), c"dp".as_ptr());
    let (nodes, ranks, rank) = (int(random), int(random), int(random));
    let result = unsafe {
        match version {
            1 => (V1.init)(place, mask),
            2 => (V2.init)(place, mask),
            3 => (V3.init)(place, mask),
            4 => (V4.init)(place, mask, name, id, nodes, ranks, rank, None),
            5 => (V5.init)(place, id, mask, name, nodes, ranks, rank, None),
            _ => (V6.init)(place, id, mask, null(), nodes, ranks, rank, None),
        }
    };
    assert_eq!(result, 0);
    Communicator { version, context }
}

fn int(random: &mut Random) -> c_int {
    match random.below(4) {
        0 => c_int::MIN,
        1 => -1,
        _ => c_int::try_from(random.below(1 << 20)).unwrap(),
    }
}

fn word(random: &mut Random, words: &[&'static CStr]) -> *const c_char {
    match random.below(64) {
        0 => null(),
        1 => words[words.len() - 1].as_ptr(),
        2 => words[words.len() - 2].as_ptr(),
        // The last two are the ones it does not use.
        _ => random.of(&words[..words.len() - 2]).as_ptr(),
    }
}

fn byte(random: &mut Random) -> u8 {
    u8::try_from(random.below(256)).unwrap()
}

/// Mostly few channels, so that collectives come to an end.
fn channels(random: &mut Random) -> u8 {
    match random.one_in(16) {
        true => byte(random),
        false => random.of(&[0, 1, 1, 2]),
    }
}

fn event_kind(random: &mut Random) -> u64 {
    match random.below(20) {
        0 => random.number(),
        1 => 1 << random.below(16),
        2..=7 => kind::COLLECTIVE,
        8..=12 => kind::KERNEL_CHANNEL,
        13..=15 => kind::PROXY_OP,
        _ => kind::PROXY_STEP,
    }
}

fn pid(random: &mut Random) -> c_int {
    match random.one_in(16) {
        true => int(random),
        false => c_int::try_from(std::process::id()).unwrap(),
    }
}

/// So that a record of two collectives' parts would show.
fn count_of(sequence: u64) -> usize {
    usize::try_from(sequence.rotate_left(17) ^ 0x55).unwrap()
}

fn collective_v4(random: &mut Random) -> CollectiveV4 {
    let sequence = random.number();
    CollectiveV4 {
        sequence,
        function: word(random, &FUNCTIONS[..]),
        send: null(),
        receive: null_mut(),
        count: count_of(sequence),
        root: int(random),
        datatype: word(random, &TYPES),
        channels: channels(random),
        warps: byte(random),
        algorithm: word(random, &ALGORITHMS),
        protocol: word(random, &PROTOCOLS),
    }
}

/// A descriptor of one version; the member that its kind names is set, as NCCL promises, or all of it
/// is zeros.
macro_rules! start {
    ($profiler:ident, $descriptor:ident, $context:expr, $parent:expr, $random:expr,
     $collective:expr, $kernel:expr) => {{
        let random: &mut Random = $random;
        let mut descriptor: $descriptor = unsafe { std::mem::zeroed() };
        let kind = event_kind(random);
        #[allow(clippy::cast_possible_truncation, clippy::unnecessary_cast)] // a byte before v5
        {
            descriptor.kind = kind as _;
        }
        descriptor.parent = $parent;
        descriptor.rank = int(random);
        // By the bits that are left of it.
        #[allow(clippy::useless_conversion)]
        match u64::from(descriptor.kind) {
            kind::COLLECTIVE => $collective(&mut descriptor, random),
            kind::PROXY_OP => {
                descriptor.of.proxy_op = ProxyOp {
                    pid: pid(random),
                    channel: byte(random),
                    peer: int(random),
                    steps: int(random),
                    chunk_bytes: int(random),
                    is_send: int(random),
                };
            }
            kind::KERNEL_CHANNEL => $kernel(&mut descriptor, random),
            _ => {}
        }
        let mut handle = without_provenance_mut(0xdead);
        let (place, what) = match random.below(64) {
            0 => (null_mut(), &raw mut descriptor),
            1 => (&raw mut handle, null_mut()),
            _ => (&raw mut handle, &raw mut descriptor),
        };
        let result = unsafe { ($profiler.start_event)($context, place, what) };
        assert_eq!(result, 0);
        assert!(place.is_null() || handle.addr() != 0xdead, "not written");
        assert!(!what.is_null() || handle.is_null());
        match place.is_null() {
            true => null_mut(),
            false => handle,
        }
    }};
}

fn start(version: u32, context: *mut c_void, parent: *mut c_void, r: &mut Random) -> *mut c_void {
    match version {
        1 => start!(
            V1,
            DescriptorV1,
            context,
            parent,
            r,
            |d: &mut DescriptorV1, r: &mut Random| {
                let sequence = r.number();
                d.of.collective = CollectiveV1 {
                    name: null(),
                    comm_hash: r.number(),
                    sequence,
                    function: r.of(&[0, 1, 2, 3, 4, 5, 255]),
                    send: null(),
                    receive: null_mut(),
                    count: count_of(sequence),
                    root: 0,
                    datatype: r.of(&[0, 7, 9, 11, 12, 255]),
                    operation: 0,
                    traffic_bytes: 0,
                    most_channels: channels(r),
                    warps: byte(r),
                    algorithm: r.of(&[0, 1, 6, 7, 255]),
                    protocol: r.of(&[0, 1, 2, 3, 255]),
                    is_collnet: 0,
                    is_nvls: 0,
                };
            },
            |_: &mut DescriptorV1, _: &mut Random| {}
        ),
        2 => start!(
            V2,
            DescriptorV2,
            context,
            parent,
            r,
            |d: &mut DescriptorV2, r: &mut Random| {
                let c = collective_v4(r);
                d.of.collective = CollectiveV2 {
                    name: null(),
                    comm_hash: r.number(),
                    sequence: c.sequence,
                    function: c.function,
                    send: null(),
                    receive: null_mut(),
                    count: c.count,
                    root: c.root,
                    datatype: c.datatype,
                    traffic_bytes: 1,
                    most_channels: c.channels,
                    warps: c.warps,
                    algorithm: c.algorithm,
                    protocol: c.protocol,
                };
            },
            |_: &mut DescriptorV2, _: &mut Random| {}
        ),
        3 => start!(
            V3,
            DescriptorV3,
            context,
            parent,
            r,
            |d: &mut DescriptorV3, r: &mut Random| {
                let c = collective_v4(r);
                d.of.collective = CollectiveV3 {
                    name: null(),
                    comm_hash: r.number(),
                    sequence: c.sequence,
                    function: c.function,
                    send: null(),
                    receive: null_mut(),
                    count: c.count,
                    root: c.root,
                    datatype: c.datatype,
                    most_channels: c.channels,
                    warps: c.warps,
                    algorithm: c.algorithm,
                    protocol: c.protocol,
                };
            },
            |d: &mut DescriptorV3, r: &mut Random| {
                d.of.kernel = KernelChannelV3 { channel: byte(r) };
            }
        ),
        4 => start!(
            V4,
            DescriptorV4,
            context,
            parent,
            r,
            |d: &mut DescriptorV4, r: &mut Random| {
                d.of.collective = collective_v4(r);
            },
            |d: &mut DescriptorV4, r: &mut Random| d.of.kernel = kernel(r)
        ),
        5 => start!(
            V5,
            DescriptorV5,
            context,
            parent,
            r,
            |d: &mut DescriptorV5, r: &mut Random| {
                d.of.collective = collective_v5(r);
            },
            |d: &mut DescriptorV5, r: &mut Random| d.of.kernel = kernel(r)
        ),
        _ => start!(
            V6,
            DescriptorV6,
            context,
            parent,
            r,
            |d: &mut DescriptorV6, r: &mut Random| {
                d.of.collective = collective_v5(r);
            },
            |d: &mut DescriptorV6, r: &mut Random| d.of.kernel = kernel(r)
        ),
    }
}

fn collective_v5(random: &mut Random) -> CollectiveV5 {
    CollectiveV5 {
        v4: collective_v4(random),
        parent_group: null_mut(),
    }
}

fn kernel(random: &mut Random) -> KernelChannelV4 {
    KernelChannelV4 {
        channel: byte(random),
        timer_ns: random.number(),
    }
}

fn stop(version: u32, handle: *mut c_void) {
    let stop = [
        V1.stop_event,
        V2.stop_event,
        V3.stop_event,
        V4.stop_event,
        V5.stop_event,
    ];
    let stop = stop
        .get(version as usize - 1)
        .copied()
        .unwrap_or(V6.stop_event);
    assert_eq!(unsafe { stop(handle) }, 0);
}

fn state(version: u32, handle: *mut c_void, random: &mut Random) {
    let all = [
        V1.record_event_state,
        V2.record_event_state,
        V3.record_event_state,
        V4.record_event_state,
        V5.record_event_state,
        V6.record_event_state,
    ];
    let state = match random.below(8) {
        0 => u32::MAX,
        1 => u32::try_from(random.below(40)).unwrap(),
        _ => random.of(&[8, 9, 10, 11, 12, 20, 22, 22]),
    };
    let mut arguments = StateArguments {
        room: [random.number(), random.number()],
    };
    let place = match random.one_in(32) {
        true => null_mut(),
        false => &raw mut arguments,
    };
    assert_eq!(
        unsafe { all[version as usize - 1](handle, state, place) },
        0
    );
}

fn finalize(version: u32, context: *mut c_void) {
    let all = [
        V1.finalize,
        V2.finalize,
        V3.finalize,
        V4.finalize,
        V5.finalize,
        V6.finalize,
    ];
    assert_eq!(unsafe { all[version as usize - 1](context) }, 0);
}

impl World {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("ccl-fuzz-profiler-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        // Without the budget, which would thin out whoever calls as fast as this.
        unsafe {
            std::env::set_var("CCL_AGENT_JOB", &folder);
            std::env::set_var("CCL_AGENT_SAMPLE", "1");
        }
        let mut random = Random::default();
        let communicators: Vec<_> = (0..COMMUNICATORS)
            .map(|n| init(1 + u32::try_from(n % 6).unwrap(), &mut random, true))
            .collect();
        let file = folder.join(format!("events-{}-0.ring", std::process::id()));
        Self {
            ring: Mapping::existing(&file).unwrap(),
            folder,
            communicators,
            handles: vec![(0, null_mut()); HANDLES],
        }
    }

    fn ring(&self) -> Ring<'_, AtomicU64> {
        Ring::new(self.ring.words()).unwrap()
    }

    /// Mostly one that was given out, by whichever version and whenever.
    fn handle(&self, random: &mut Random) -> (usize, *mut c_void) {
        let (owner, known) = self.handles[random.index(HANDLES)];
        match random.below(32) {
            0 => (
                owner,
                without_provenance_mut(known.addr() ^ 1 << random.below(64)),
            ),
            1 => (
                owner,
                without_provenance_mut(usize::try_from(random.number()).unwrap()),
            ),
            2 => (random.index(COMMUNICATORS), known),
            _ => (owner, known),
        }
    }

    fn one_call(&mut self, random: &mut Random) {
        let (mut at, handle) = self.handle(random);
        if handle.is_null() || random.one_in(4) {
            at = random.index(COMMUNICATORS);
        }
        let Communicator {
            mut version,
            mut context,
        } = self.communicators[at];
        if random.one_in(32) {
            version = random.of(&[1, 2, 3, 4, 5, 6]);
            context = handle;
        }
        match random.below(256) {
            0 => finalize(version, context),
            1 => {
                finalize(version, context);
                self.communicators[at] = init(version, random, true);
            }
            2 => {
                init(version, random, false);
            }
            3..=140 => {
                let new = start(version, context, handle, random);
                if !new.is_null() {
                    self.handles[random.index(HANDLES)] = (at, new);
                }
            }
            141..=180 => state(version, handle, random),
            _ => stop(version, handle),
        }
    }
}

/// Anything in the ring while it is written. All of it is put back afterwards.
fn damage(world: &mut World, random: &mut Random) {
    let words = world.ring.words();
    let whole: Vec<u64> = words.iter().map(Word::read).collect();
    for _ in 0..8 {
        let words = world.ring.words();
        let at = match random.below(3) {
            0 => random.index(40),
            1 => 32 + 3 * 4096 + random.index(400),
            _ => random.index(words.len()),
        };
        match random.one_in(2) {
            true => words[at].write(words[at].read() ^ 1 << random.below(64)),
            false => words[at].write(random.number()),
        }
        for _ in 0..40 {
            world.one_call(random);
        }
        if let Ok(ring) = Ring::new(world.ring.words()) {
            let mut damaged = 0;
            for _ in 0..10 {
                let _ = ring.pop(&mut damaged);
            }
        }
    }
    for (word, value) in world.ring.words().iter().zip(whole) {
        word.write(value);
    }
}

#[test]
fn any_events_are_survived_and_what_is_recorded_is_whole() {
    let mut world = World::new();
    world.ring().ask(Control {
        kinds: u32::try_from(ALL).unwrap(),
        one_in: 1,
    });
    let (mut recorded, mut complete, mut damaged) = (0u64, 0u64, 0u64);
    let mut number = 0u64;
    let count = cases(|random| {
        for _ in 0..random.below(40) {
            world.one_call(random);
        }
        if random.one_in(1000) {
            damage(&mut world, random);
        }
        if random.one_in(100) {
            world.ring().ask(Control {
                kinds: random.of(&[u32::try_from(ALL).unwrap(), u32::MAX, 2, 0]),
                one_in: random.of(&[0, 1, 1, 1, 1, 1, 2, u32::MAX]),
            });
        }
        // Now and then the observer is away for so long that the ring fills up.
        number += 1;
        let is_away = number % 80_000 > 60_000;
        while !is_away && let Some(record) = world.ring().pop(&mut damaged) {
            recorded += 1;
            complete += u64::from(record.is_complete);
            assert_eq!(record.count, count_of(record.sequence) as u64);
        }
        assert_eq!(damaged, 0);
    });
    eprintln!(
        "{count} sequences: {recorded} records, {complete} of them complete; lost: {:?}",
        world.ring().losses()
    );
    std::fs::remove_dir_all(&world.folder).unwrap();
    if count >= 10_000 {
        assert!(recorded > count / 4 && complete > count / 10);
    }
}
