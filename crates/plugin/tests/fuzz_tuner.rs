//! The tuner through its C interfaces with any arguments: contexts that are open, ended, or never
//! were; any collective and size; tables of any shape with anything in them; null pointers; policies
//! of all kinds and decision logs that are damaged while they are followed.
//!
//! What is written is in range: at most one cell of a table, to 0, where NCCL says that it can be
//! run; 1 to 64 channels; a chunk of at most 64 MiB. What two ranks are told by one policy is the same.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::undocumented_unsafe_blocks
)]

use std::ffi::{c_int, c_void};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::ptr::{null_mut, without_provenance_mut};
use std::sync::atomic::AtomicU64;

use ccl_abi::shared::job::{CommunicatorName, communicator_words, parts};
use ccl_abi::shared::{Mapping, Reader, Rule, State, Word, Writer};
use nccl_ccl_agent::exports::ncclTunerPlugin_v6 as V6;

#[path = "../../abi/tests/fuzz/random.rs"]
mod random;
use random::{Random, cases};
#[path = "support/every_tuner.rs"]
mod every_tuner;
use every_tuner::{Question, VERSIONS, finalize, init};

const POLICIES: usize = 16;
const COMMUNICATORS: usize = 12;
/// Where the state lies in a log, as its layout says, and the flag that ends waiting.
const STATE_AT: usize = 16;
const FROZEN: u64 = 1 << 63;
/// What nobody would choose, so that a write shows.
const UNTOUCHED: c_int = -77;

/// Two ranks of one communicator in this process, and its log if it is live.
struct Communicator {
    version: u32,
    contexts: [*mut c_void; 2],
    is_open: bool,
    log: Option<Mapping>,
}

struct World {
    folder: PathBuf,
    communicators: Vec<Communicator>,
}

fn range(random: &mut Random) -> (u64, u64) {
    match random.one_in(3) {
        true => (0, u64::MAX),
        false => {
            let (a, b) = (random.number(), random.number());
            (a.min(b), a.max(b))
        }
    }
}

fn policy(random: &mut Random) -> String {
    let mut text = "#! ccl-agent 1\n".to_owned();
    for _ in 0..4 + random.below(24) {
        let words = [
            "broadcast",
            "reduce",
            "allgather",
            "reducescatter",
            "allreduce",
        ];
        let algorithms = ["tree", "ring", "collnet_direct", "nvls", "nvls_tree", "pat"];
        let (from, to) = range(random);
        let _ = writeln!(
            text,
            "{},{from},{to},{},{},{},-1,-1,{},-1,{},{}",
            random.of(&words),
            random.of(&algorithms),
            random.of(&["ll", "ll128", "simple"]),
            random.of(&["-1", "0", "1", "64"]),
            random.of(&["-1", "-1", "1", "2"]),
            random.of(&["-1", "1", "65536", "67108864"]),
            random.of(&["-1", "-1", "0", "1"]),
        );
    }
    if random.one_in(16) {
        text.push_str("nonsense\n");
    }
    text
}

fn rule(random: &mut Random) -> Rule {
    let (min_bytes, max_bytes) = range(random);
    Rule {
        collective: random.of(&[0, 1, 2, 3, 4]),
        min_bytes,
        max_bytes,
        algorithm: random.of(&[0, 1, 2, 3, 4, 5, 6]),
        protocol: random.of(&[0, 1, 2]),
        channels: random.of(&[0, 1, 64]),
        chunk_bytes: random.of(&[0, 1, 64 << 20]),
    }
}

/// A communicator's file without the roll of its ranks.
fn log_of(file: &Mapping) -> &[AtomicU64] {
    parts(file.words()).unwrap().0
}

impl World {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("ccl-fuzz-tuner-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        unsafe { std::env::set_var("CCL_AGENT_JOB", &folder) };
        let mut random = Random::default();
        for number in 0..POLICIES {
            let text = policy(&mut random);
            std::fs::write(folder.join(format!("{number}.csv")), text).unwrap();
        }
        let mut world = Self {
            folder,
            communicators: Vec::new(),
        };
        for _ in 0..COMMUNICATORS {
            let new = world.open(&mut random);
            world.communicators.push(new);
        }
        world
    }

    /// A communicator of any version and mode.
    fn open(&self, random: &mut Random) -> Communicator {
        let version = random.of(&[2, 3, 4, 5, 6, 6]);
        let mode = match random.below(16) {
            0..=8 => "static",
            9..=13 => "live",
            14 => "off",
            _ => "observe",
        };
        let file = self
            .folder
            .join(format!("{}.csv", random.below(POLICIES as u64 + 1)));
        unsafe {
            std::env::set_var("CCL_AGENT_MODE", mode);
            std::env::set_var("CCL_AGENT_POLICY", file);
        }
        let (id, ranks, nodes) = match random.one_in(4) {
            true => (random.number(), random.number(), random.number()),
            false => (random.below(2), 8, 1),
        };
        let path = self
            .folder
            .join(CommunicatorName { id, ranks, nodes }.file());
        let _ = std::fs::remove_file(&path);
        let words = communicator_words().unwrap();
        if random.one_in(4) {
            // Something lies there already: cut short, too long, or no log at all.
            let length = random.of(&[0, 1, 8, 4096, 8 * words - 1, 8 * words, 8 * words + 8]);
            let byte = u8::try_from(random.below(256)).unwrap();
            std::fs::write(&path, vec![byte; length]).unwrap();
        }
        let [first, second] = [(); 2].map(|()| {
            let mut context = without_provenance_mut(1);
            let size = |n: u64| usize::try_from(n).unwrap();
            init(version, id, size(ranks), size(nodes), &raw mut context);
            context
        });
        let log = match path.exists() {
            true => Mapping::open(&path, words).ok(),
            false => None,
        };
        let log = log.filter(|log| Writer::new(log_of(log)).is_ok());
        let _ = std::fs::remove_file(path);
        if let Some(log) = &log {
            let writer = Writer::new(log_of(log)).unwrap();
            for from in 0..random.below(20) {
                let rules: Vec<_> = (0..random.below(17)).map(|_| rule(random)).collect();
                writer.append(from * 3, &rules, from * 3 + 1).unwrap();
            }
            match random.one_in(2) {
                true => writer.extend(State::FOR_EVER).unwrap(),
                false => Reader::new(log_of(log)).unwrap().freeze(),
            }
        }
        Communicator {
            version,
            contexts: [first, second],
            is_open: true,
            log,
        }
    }

    /// Ends a communicator, more than once or not, or replaces one that was ended.
    fn change(&mut self, random: &mut Random) {
        let at = random.index(COMMUNICATORS);
        let old = &mut self.communicators[at];
        for _ in 0..1 + random.below(3) {
            for context in old.contexts {
                finalize(old.version, context);
            }
        }
        old.is_open = false;
        if random.one_in(8) {
            old.log = None;
        } else {
            self.communicators[at] = self.open(random);
        }
    }
}

/// Nearly all damage comes with the frozen flag, or every other case would wait for an agent.
fn damage(words: &[AtomicU64], random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        let word = match random.one_in(2) {
            true => &words[random.index(2000)],
            false => &words[random.index(words.len())],
        };
        match random.one_in(2) {
            true => word.write(word.read() ^ 1 << random.below(64)),
            false => word.write(random.number()),
        }
    }
    words[STATE_AT].set(FROZEN);
    if random.one_in(200_000) {
        words[STATE_AT].write(0);
    }
}

/// One question.
#[derive(Clone, Debug)]
struct Call {
    collective: c_int,
    bytes: usize,
    pipe_ops: c_int,
    algorithms: c_int,
    protocols: c_int,
    collnet: c_int,
    nvls: c_int,
    registered: c_int,
    has_table: bool,
    has_channels: bool,
    chunk_of: [c_int; 2],
    cells: Vec<f32>,
}

fn int(random: &mut Random) -> c_int {
    match random.below(4) {
        0 => c_int::MIN,
        1 => c_int::MAX,
        2 => -1,
        #[allow(clippy::cast_possible_truncation)] // any bits
        _ => random.word() as c_int,
    }
}

fn few(random: &mut Random, limit: u64) -> c_int {
    match random.one_in(16) {
        true => int(random),
        false => c_int::try_from(random.below(limit)).unwrap(),
    }
}

fn call(random: &mut Random) -> Call {
    let (algorithms, protocols) = match random.below(32) {
        0 => (int(random), 3),
        1 => (7, int(random)),
        2 => (few(random, 66), few(random, 66)),
        3 => (few(random, 15), few(random, 7)),
        4..=6 => (6, 3),
        _ => (7, 3),
    };
    // What NCCL would have to lend for such sizes, and a little more that must stay as it is.
    let of = |n: c_int| usize::try_from(n).ok().filter(|n| *n <= 64).unwrap_or(0);
    let cells = (0..of(algorithms) * of(protocols) + 8).map(|_| match random.below(16) {
        0 => f32::NAN,
        1 => f32::INFINITY,
        2 => f32::NEG_INFINITY,
        3 => -0.0,
        4 => 0.0,
        #[allow(clippy::cast_possible_truncation)] // any bits
        5 => f32::from_bits(random.word() as u32),
        6..=7 => -1.0,
        _ => 12.5,
    });
    Call {
        cells: cells.collect(),
        collective: few(random, 5),
        bytes: usize::try_from(random.number()).unwrap(),
        pipe_ops: few(random, 3),
        algorithms,
        protocols,
        collnet: few(random, 2),
        nvls: few(random, 2),
        registered: few(random, 2),
        has_table: !random.one_in(16),
        has_channels: !random.one_in(16),
        chunk_of: [few(random, 8), few(random, 4)],
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    /// Bits, so that a NaN that was left alone is equal to itself.
    cells: Vec<u32>,
    channels: c_int,
    algorithm: c_int,
    protocol: c_int,
    chunk_bytes: usize,
}

fn bits(cells: &[f32]) -> Vec<u32> {
    cells.iter().map(|cell| cell.to_bits()).collect()
}

/// What comes back where nothing is decided.
fn nothing(call: &Call) -> Told {
    Told {
        cells: bits(&call.cells),
        channels: UNTOUCHED,
        algorithm: UNTOUCHED,
        protocol: UNTOUCHED,
        chunk_bytes: 0,
    }
}

fn ask(version: u32, context: *mut c_void, call: &Call) -> Told {
    let mut cells = call.cells.clone();
    let (mut channels, mut algorithm, mut protocol) = (UNTOUCHED, UNTOUCHED, UNTOUCHED);
    let mut chunk_bytes: usize = 0;
    let table = match call.has_table {
        true => cells.as_mut_ptr(),
        false => null_mut(),
    };
    let places = match call.has_channels {
        true => &raw mut channels,
        false => null_mut(),
    };
    let question = Question {
        collective: call.collective,
        bytes: call.bytes,
        pipe_ops: call.pipe_ops,
        collnet: call.collnet,
        nvls: call.nvls,
        // Either place can be missing.
        pair: match call.has_table {
            true => [&raw mut algorithm, &raw mut protocol],
            false => [null_mut(), &raw mut protocol],
        },
        table,
        algorithms: call.algorithms,
        protocols: call.protocols,
        registered: call.registered,
        channels: places,
    };
    every_tuner::ask(version, context, &question);
    if version == 6 {
        let chunk = match call.has_channels {
            true => &raw mut chunk_bytes,
            false => null_mut(),
        };
        let Call {
            collective,
            bytes,
            chunk_of: [algorithm, protocol],
            ..
        } = *call;
        let get = V6.get_chunk_size.unwrap();
        let result = unsafe { get(context, collective, bytes, algorithm, protocol, 8, chunk) };
        assert_eq!(result, 0);
    }
    Told {
        cells: bits(&cells),
        channels,
        algorithm,
        protocol,
        chunk_bytes,
    }
}

/// Whether something was decided.
fn check(version: u32, call: &Call, told: &Told) -> bool {
    assert!(
        told.channels == UNTOUCHED || (1..=64).contains(&told.channels),
        "{told:?}"
    );
    assert!(told.chunk_bytes <= 64 << 20, "{told:?}");
    let before = bits(&call.cells);
    let changed: Vec<usize> = (0..before.len())
        .filter(|at| before[*at] != told.cells[*at])
        .collect();
    let may_be_run = match version {
        2 => {
            let needs_collnet = matches!(told.algorithm, 2 | 3);
            let needs_nvls = matches!(told.algorithm, 4 | 5);
            assert_eq!(told.algorithm == UNTOUCHED, told.protocol == UNTOUCHED);
            assert!(changed.is_empty());
            (told.algorithm == UNTOUCHED || (0..7).contains(&told.algorithm))
                && (told.protocol == UNTOUCHED || (0..3).contains(&told.protocol))
                && (!needs_collnet || call.collnet != 0)
                && (!needs_nvls || call.nvls != 0)
        }
        _ => match changed[..] {
            [] => true,
            [at] => {
                let protocols = usize::try_from(call.protocols).unwrap();
                let algorithms = usize::try_from(call.algorithms).unwrap();
                at / protocols < algorithms.min(7)
                    && at % protocols < 3
                    && call.cells[at] >= 0.0
                    && told.cells[at] == 0
            }
            _ => false,
        },
    };
    assert!(may_be_run, "v{version} {call:?} {told:?}");
    !changed.is_empty() || told.algorithm != UNTOUCHED
}

#[test]
fn any_call_is_survived_and_nothing_out_of_range_is_chosen() {
    let mut world = World::new();
    let (mut decided, mut live, mut agreed) = (0u64, 0u64, 0u64);
    let count = cases(|random| {
        if random.one_in(128) {
            world.change(random);
        }
        let communicator = &world.communicators[random.index(COMMUNICATORS)];
        let Communicator {
            version,
            contexts: [first, second],
            is_open,
            ..
        } = *communicator;
        if let Some(log) = communicator.log.as_ref().filter(|_| random.one_in(256)) {
            damage(log.words(), random);
        }
        let call = call(random);
        let told = ask(version, first, &call);
        decided += u64::from(check(version, &call, &told));
        let other = ask(version, second, &call);
        check(version, &call, &other);
        match &communicator.log {
            _ if !is_open => assert_eq!(told, nothing(&call), "a context that was ended"),
            Some(_) => live += u64::from(told != nothing(&call)),
            None => {
                assert_eq!(told, other, "two ranks are told different things");
                agreed += u64::from(told != nothing(&call));
            }
        }
        // A context of another version, from nowhere, or with a bit flipped.
        let other_version = random.of(&VERSIONS);
        let context = match random.below(4) {
            0 => null_mut(),
            1 => without_provenance_mut(usize::try_from(random.number()).unwrap()),
            2 => without_provenance_mut(first.addr() ^ 1 << random.below(64)),
            _ => first,
        };
        check(other_version, &call, &ask(other_version, context, &call));
        if random.one_in(64) {
            init(other_version, 0, 8, 1, null_mut());
            if context != first
                && world
                    .communicators
                    .iter()
                    .all(|c| !c.contexts.contains(&context))
            {
                finalize(other_version, context);
            }
        }
    });
    eprintln!("{count} calls: {decided} decided something, {live} live, {agreed} agreed upon");
    std::fs::remove_dir_all(&world.folder).unwrap();
    if count >= 10_000 {
        assert!(decided > count / 20 && live > count / 200 && agreed > count / 20);
    }
}
