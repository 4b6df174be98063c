//! A host that forks after its communicators were made, as data loaders do: the child has the parent's
//! memory and its mapping of the log, and must not disturb the ranks.
//!
//! One test, because the environment belongs to the whole process.

#![allow(clippy::unwrap_used, clippy::panic, clippy::undocumented_unsafe_blocks)]

use std::ffi::{c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr::null_mut;

use ccl_abi::shared::job::{CommunicatorName, communicator_words, parts};
use ccl_abi::shared::{Mapping, Process, Roll, Rule, State, Writer};
use nccl_ccl_agent::exports::ncclTunerPlugin_v6 as V6;

const ALL_REDUCE: c_int = 4;
const BYTES: usize = 1 << 20;

unsafe extern "C" {
    fn fork() -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn _exit(code: c_int) -> !;
}

/// What a child does; whether it ended with code 0.
fn in_child(does: impl FnOnce() -> bool) -> bool {
    let child = unsafe { fork() };
    if child == 0 {
        unsafe { _exit(c_int::from(!does())) }
    }
    let mut status = -1;
    assert_eq!(unsafe { waitpid(child, &raw mut status, 0) }, child);
    status == 0
}

fn open(id: u64) -> *mut c_void {
    let mut context = null_mut();
    let log = None;
    unsafe { (V6.init)(&raw mut context, id, 2, 1, log, null_mut(), null_mut()) };
    context
}

/// The channels ordered for the next call; 0 where NCCL chooses.
fn ask(context: *mut c_void) -> c_int {
    let mut cells = [[10.0f32; 3]; 7];
    let table = cells.as_mut_ptr().cast();
    let mut channels = 0;
    let place = &raw mut channels;
    unsafe { (V6.get_coll_info)(context, ALL_REDUCE, BYTES, 1, table, 7, 3, 0, place) };
    assert_eq!(channels > 0, cells[1][2] == 0.0);
    channels
}

fn chunk_bytes(context: *mut c_void) -> usize {
    let mut bytes = 0;
    unsafe { (V6.get_chunk_size.unwrap())(context, ALL_REDUCE, BYTES, 1, 2, 8, &raw mut bytes) };
    bytes
}

fn log(job: &Path, id: u64) -> Mapping {
    let name = CommunicatorName {
        id,
        ranks: 2,
        nodes: 1,
    };
    Mapping::open(&job.join(name.file()), communicator_words().unwrap()).unwrap()
}

fn rule(channels: u8) -> Rule {
    Rule {
        collective: 4,
        min_bytes: 0,
        max_bytes: u64::MAX,
        algorithm: 1,
        protocol: 2,
        channels,
        chunk_bytes: 65536,
    }
}

#[test]
fn a_forked_child_neither_follows_nor_freezes_its_parents_log() {
    let job: PathBuf = std::env::temp_dir().join(format!("ccl-fork-{}", std::process::id()));
    std::fs::create_dir_all(&job).unwrap();
    unsafe {
        std::env::set_var("CCL_AGENT_MODE", "live");
        std::env::set_var("CCL_AGENT_JOB", &job);
    }
    let rank = open(1);
    let mapping = log(&job, 1);
    let (words, roll) = parts(mapping.words()).unwrap();
    // Without a writer a rank would not wait.
    let writer = Writer::claim(words, Process::this(), Process::is_gone).unwrap();
    // Calls 0, 1 and 2 have one rule each; at call 3 a rank would wait, lose patience and freeze.
    for call in 0..3u8 {
        writer
            .append(u64::from(call), &[rule(10 + call)], u64::from(call) + 1)
            .unwrap();
    }
    assert_eq!((ask(rank), chunk_bytes(rank)), (10, 65536));

    // The log, and the rank's seat on the roll.
    let untouched = |calls: u64| {
        let as_it_was = State {
            frozen: false,
            entries: 3,
            horizon: 3,
        };
        let ranks: Vec<_> = Roll::open(roll).unwrap().present().collect();
        assert_eq!(ranks.len(), 1);
        let seat = (ranks[0].calls, ranks[0].has_left, ranks[0].declined);
        assert_eq!((writer.state(), seat), (as_it_was, (calls, false, 0)));
    };
    assert!(in_child(|| {
        // More calls than there are below the horizon.
        let nothing = (0..10).all(|_| ask(rank) == 0 && chunk_bytes(rank) == 0);
        // An exit handler may well end the communicator, here as in the parent.
        unsafe { (V6.finalize)(rank) };
        nothing && ask(rank) == 0
    }));
    untouched(1);
    // A child of a child.
    assert!(in_child(|| in_child(|| ask(rank) == 0) && ask(rank) == 0));
    untouched(1);

    // The parent goes on where it was.
    assert_eq!((ask(rank), ask(rank)), (11, 12));
    untouched(3);

    // A communicator that the child makes is its own: it follows that one's log, and moves its horizon,
    // since nobody writes to it.
    assert!(in_child(|| {
        let own = open(2);
        ask(own);
        let mapping = log(&job, 2);
        let (words, _) = parts(mapping.words()).unwrap();
        let state = Writer::new(words).unwrap().state();
        !state.frozen && state.horizon > 0
    }));
    untouched(3);

    // A policy is the process's own memory: a child applies it as well.
    let path = job.join("policy.csv");
    std::fs::write(&path, "allreduce,0,99999999,ring,simple,4,1,2\n").unwrap();
    unsafe {
        std::env::set_var("CCL_AGENT_MODE", "static");
        std::env::set_var("CCL_AGENT_POLICY", &path);
    }
    let rank = open(3);
    assert!(in_child(|| ask(rank) == 4));
    assert_eq!(ask(rank), 4);
    std::fs::remove_dir_all(job).unwrap();
}
