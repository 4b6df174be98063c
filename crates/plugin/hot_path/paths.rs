//! The hot paths by name, set up and ready to run: what instructions, allocations, system calls and
//! nanoseconds are counted on.

use std::ffi::{c_int, c_void};
use std::fmt::Write as _;
use std::path::Path;
use std::ptr::{null, null_mut};

use ccl_abi::nccl::profiler::{
    CollectiveV4, CollectiveV5, DescriptorV6, KernelChannelV4, ProfilerV6, ProxyOp, StateArguments,
    kind, state,
};
use ccl_abi::nccl::tuner::TunerV6;
use ccl_abi::shared::job::{CommunicatorName, communicator_words, parts, ring_file};
use ccl_abi::shared::{Control, Mapping, Ring, Rule, State, Writer};

/// Asked before a collective.
pub const TUNER: [&str; 7] = [
    "static",
    "static_second_rule",
    "static_without_a_match",
    "static_4096_rules",
    "live",
    "live_4096_entries_of_32_rules",
    "live_chunk_size",
];
/// Told during and after one.
pub const PROFILER: [&str; 5] = [
    "collective",
    "collective_that_is_not_sampled",
    "collective_with_a_kernel",
    "transfer",
    "event_that_is_not_recorded",
];
/// What must be caught, or the counting proves nothing.
pub const MUTANTS: [&str; 2] = ["a_system_call", "an_allocation"];

/// All that must be free of both.
pub fn all() -> impl Iterator<Item = &'static str> {
    TUNER.into_iter().chain(PROFILER)
}

/// Rounds that a ring without an observer takes.
pub const MOST_ROUNDS: u64 = 4000;

const ALL_REDUCE: c_int = 4;

/// The interfaces the paths go through: linked, or found in a shared object as NCCL finds them.
#[derive(Clone, Copy)]
pub struct Interfaces {
    pub tuner: &'static TunerV6,
    pub profiler: &'static ProfilerV6,
}

/// A path that is set up.
pub struct HotPath {
    /// Calls of the interface that one round makes.
    pub calls: u64,
    rounds: Box<dyn FnMut(u64)>,
    ring: Option<Mapping>,
}

impl HotPath {
    /// In a folder of the process's own: its first path decides where the ring is.
    pub fn open(name: &str, interfaces: Interfaces, folder: &Path) -> Self {
        let tuner = interfaces.tuner;
        match name {
            "static" => asks(applied(tuner, folder, &policy(40)), tuner, 1 << 20),
            // The first rule is for what is not there.
            "static_second_rule" => asks(applied(tuner, folder, &policy(40)), tuner, 1 << 10),
            "static_without_a_match" => asks(applied(tuner, folder, &policy(40)), tuner, 2 << 30),
            "static_4096_rules" => asks(applied(tuner, folder, &policy(4096)), tuner, 3 << 20),
            "live" => asks(followed(tuner, folder, 10, 8), tuner, 5 << 10),
            "live_4096_entries_of_32_rules" => {
                asks(followed(tuner, folder, 4096, 32), tuner, 32 << 10)
            }
            "live_chunk_size" => chunk_size(followed(tuner, folder, 10, 8), tuner, 5 << 10),
            "a_system_call" => {
                mutant(|| drop(std::hint::black_box(std::thread::available_parallelism())))
            }
            "an_allocation" => mutant(|| drop(std::hint::black_box(Box::new(1)))),
            _ => Rank::open(name, interfaces.profiler, folder),
        }
    }

    /// Runs it so many times; at most [`MOST_ROUNDS`] between two drains.
    pub fn run(&mut self, rounds: u64) {
        (self.rounds)(rounds);
    }

    /// Empties the ring, as an observer would.
    pub fn drain(&self) {
        if let Some(ring) = self.ring.as_ref().map(|ring| Ring::new(ring.words())) {
            let mut damaged = 0;
            while ring.as_ref().unwrap().pop(&mut damaged).is_some() {}
        }
    }
}

fn mutant(does: fn()) -> HotPath {
    HotPath {
        calls: 1,
        rounds: Box::new(move |rounds| (0..rounds).for_each(|_| does())),
        ring: None,
    }
}

/// Side by side, a KiB each, every fifth preceded by one for an algorithm that is not there.
fn policy(rules: usize) -> String {
    let mut text = String::new();
    for number in 0..rules {
        let (from, to) = (number << 10, (number << 10) + 1023);
        if number % 5 == 1 {
            let _ = writeln!(text, "allreduce,{from},{to},nvls,simple,8,8,64");
        }
        let to = if number + 1 == rules { 1 << 30 } else { to };
        let _ = writeln!(text, "allreduce,{from},{to},ring,simple,8,8,64");
    }
    text
}

fn context(tuner: &TunerV6, mode: &str, folder: &Path) -> *mut c_void {
    let mut context = null_mut();
    unsafe {
        std::env::set_var("CCL_AGENT_MODE", mode);
        std::env::set_var("CCL_AGENT_JOB", folder);
        (tuner.init)(&raw mut context, 1, 64, 8, None, null_mut(), null_mut());
        std::env::remove_var("CCL_AGENT_MODE");
    }
    assert!(!context.is_null());
    context
}

/// A tuner that applies a policy.
fn applied(tuner: &TunerV6, folder: &Path, policy: &str) -> *mut c_void {
    let path = folder.join("policy.csv");
    std::fs::write(&path, policy).unwrap();
    unsafe { std::env::set_var("CCL_AGENT_POLICY", &path) };
    context(tuner, "static", folder)
}

/// A tuner that follows a log to which nothing will be added. Rule `n` is for `n` KiB.
fn followed(tuner: &'static TunerV6, folder: &Path, entries: u64, rules: u64) -> *mut c_void {
    let name = CommunicatorName {
        id: 1,
        ranks: 64,
        nodes: 8,
    };
    let path = folder.join(name.file());
    let _ = std::fs::remove_file(&path);
    let context = context(tuner, "live", folder);
    let mapping = Mapping::open(&path, communicator_words().unwrap()).unwrap();
    let writer = Writer::new(parts(mapping.words()).unwrap().0).unwrap();
    let rules: Vec<Rule> = (1..=rules)
        .map(|n| Rule {
            collective: 4,
            min_bytes: n << 10,
            max_bytes: (n << 10) + 1023,
            algorithm: 1,
            protocol: 2,
            channels: 8,
            chunk_bytes: 1 << 16,
        })
        .collect();
    for from in 0..entries {
        writer.append(from, &rules, from + 1).unwrap();
    }
    writer.extend(State::FOR_EVER).unwrap();
    // As in a job that is past all of them, and past the first calls, which are noted more closely.
    asks(context, tuner, 1).run(entries.max(1000));
    context
}

/// One call of `getCollInfo` for so many bytes. The table is as NCCL fills it where there is no NVLS.
fn asks(context: *mut c_void, tuner: &'static TunerV6, bytes: usize) -> HotPath {
    let ask = tuner.get_coll_info;
    let rounds = move |rounds| {
        let mut cells = [[10.0f32; 3]; 7];
        cells[4] = [-1.0; 3];
        for _ in 0..rounds {
            let mut channels: c_int = 0;
            let table = cells.as_mut_ptr().cast();
            let places = &raw mut channels;
            unsafe { ask(context, ALL_REDUCE, bytes, 1, table, 7, 3, 0, places) };
            std::hint::black_box(channels);
        }
    };
    HotPath {
        calls: 1,
        rounds: Box::new(rounds),
        ring: None,
    }
}

fn chunk_size(context: *mut c_void, tuner: &'static TunerV6, bytes: usize) -> HotPath {
    asks(context, tuner, bytes).run(1);
    let ask = tuner.get_chunk_size.unwrap();
    let rounds = move |rounds| {
        for _ in 0..rounds {
            let mut chunk_bytes = 0;
            unsafe { ask(context, ALL_REDUCE, bytes, 1, 2, 8, &raw mut chunk_bytes) };
            assert_eq!(chunk_bytes, 1 << 16);
        }
    };
    HotPath {
        calls: 1,
        rounds: Box::new(rounds),
        ring: None,
    }
}

/// A rank's profiler.
#[derive(Clone, Copy)]
struct Rank {
    profiler: &'static ProfilerV6,
    context: *mut c_void,
}

impl Rank {
    fn open(name: &str, profiler: &'static ProfilerV6, folder: &Path) -> HotPath {
        // All of them, however many: none is to be cheap because it was left out.
        unsafe {
            std::env::set_var("CCL_AGENT_JOB", folder);
            std::env::set_var("CCL_AGENT_SAMPLE", "1");
        }
        // NCCL's mask lives as long as the process.
        let mask: &'static mut c_int = Box::leak(Box::new(0));
        let mut context = null_mut();
        unsafe { (profiler.init)(&raw mut context, 1, mask, null(), 1, 8, 0, None) };
        assert!(!context.is_null());
        let file = ring_file(std::process::id(), 0);
        let ring = Mapping::existing(&folder.join(file)).unwrap();
        let rank = Self { profiler, context };
        let kinds = match name {
            "collective" => kind::COLLECTIVE,
            "transfer" => {
                kind::COLLECTIVE | kind::KERNEL_CHANNEL | kind::PROXY_OP | kind::PROXY_STEP
            }
            _ => kind::COLLECTIVE | kind::KERNEL_CHANNEL,
        };
        let kinds = u32::try_from(kinds).unwrap();
        let one_in = match name {
            "collective_that_is_not_sampled" => u32::MAX,
            _ => 1,
        };
        let control = Control { kinds, one_in };
        Ring::new(ring.words()).unwrap().ask(control);
        let (calls, rounds): (u64, Box<dyn FnMut(u64)>) = match name {
            "collective" => (2, Box::new(move |rounds| rank.collectives(rounds))),
            "collective_that_is_not_sampled" => (4, Box::new(move |rounds| rank.unsampled(rounds))),
            "collective_with_a_kernel" => (5, Box::new(move |rounds| rank.with_a_kernel(rounds))),
            "transfer" => (4, rank.transfers()),
            "event_that_is_not_recorded" => (1, Box::new(move |rounds| rank.nothing(rounds))),
            _ => panic!("no such path: {name}"),
        };
        HotPath {
            calls,
            rounds,
            ring: Some(ring),
        }
    }

    fn start(self, descriptor: &mut DescriptorV6) -> *mut c_void {
        let mut handle = null_mut();
        unsafe { (self.profiler.start_event)(self.context, &raw mut handle, &raw mut *descriptor) };
        handle
    }

    fn stop(self, handle: *mut c_void) {
        unsafe { (self.profiler.stop_event)(handle) };
    }

    fn state(self, handle: *mut c_void, state: u32, mut arguments: StateArguments) {
        unsafe { (self.profiler.record_event_state)(handle, state, &raw mut arguments) };
    }

    /// Enqueued and, without kernels to wait for, recorded some collectives later.
    fn collectives(self, rounds: u64) {
        let mut descriptor = collective();
        for _ in 0..rounds {
            let handle = self.start(&mut descriptor);
            self.stop(handle);
        }
    }

    /// What NCCL begins for a collective and one kernel channel of which nothing is recorded.
    fn unsampled(self, rounds: u64) {
        let mut descriptor = collective();
        descriptor.of.collective.v4.sequence = 1;
        let mut api = describe(1 << 9, null_mut());
        let mut group = describe(1 << 0, null_mut());
        let mut kernel = describe(kind::KERNEL_CHANNEL, null_mut());
        for _ in 0..rounds {
            for event in [&mut api, &mut group, &mut descriptor, &mut kernel] {
                assert!(self.start(event).is_null());
            }
        }
    }

    /// With one kernel channel, and recorded at its end.
    fn with_a_kernel(self, rounds: u64) {
        let mut descriptor = collective();
        for _ in 0..rounds {
            let handle = self.start(&mut descriptor);
            self.stop(handle);
            let mut kernel = describe(kind::KERNEL_CHANNEL, handle);
            kernel.of.kernel = KernelChannelV4 {
                channel: 0,
                timer_ns: 5,
            };
            let kernel = self.start(&mut kernel);
            let end = StateArguments { timer_ns: 9 };
            self.state(kernel, state::KERNEL_CHANNEL_STOP, end);
            self.stop(kernel);
        }
    }

    /// Begun, two states, ended; of one collective.
    fn transfers(self) -> Box<dyn FnMut(u64)> {
        let handle = self.start(&mut collective());
        let mut op = describe(kind::PROXY_OP, handle);
        op.of.proxy_op = ProxyOp {
            pid: c_int::try_from(std::process::id()).unwrap(),
            channel: 0,
            peer: 1,
            steps: 1,
            chunk_bytes: 1,
            is_send: 1,
        };
        let op = self.start(&mut op);
        assert!(!op.is_null());
        Box::new(move |rounds| {
            let mut descriptor = describe(kind::PROXY_STEP, op);
            let bytes = StateArguments {
                transfer_bytes: 4096,
            };
            for _ in 0..rounds {
                let step = self.start(&mut descriptor);
                self.state(step, state::SEND_GPU_WAIT, bytes);
                self.state(step, state::SEND_WAIT, bytes);
                self.stop(step);
            }
        })
    }

    /// A child of a collective that is not sampled.
    fn nothing(self, rounds: u64) {
        let mut descriptor = describe(kind::KERNEL_CHANNEL, null_mut());
        for _ in 0..rounds {
            assert!(self.start(&mut descriptor).is_null());
        }
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
