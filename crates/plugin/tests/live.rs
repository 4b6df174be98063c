//! Live switching between real processes: ranks that load the plugin, an agent that switches as fast as
//! it can and is killed at a random moment. The ranks' choices must be the same, call by call, and
//! the job must always end.
//!
//! `CCL_AGREEMENT_RUNS` sets the number of runs (20 without it).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::undocumented_unsafe_blocks
)]

use std::ffi::c_int;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::ptr::null_mut;
use std::time::{Duration, Instant};

use ccl_abi::shared::job::{CommunicatorName, communicator_words, parts};
use ccl_abi::shared::{Mapping, Process, Reader, Refused, Rule, State, Writer};
use nccl_ccl_agent::exports::ncclTunerPlugin_v6 as V6;

const ALL_REDUCE: c_int = 4;
const COMM_ID: u64 = 0xfeed;
const RANKS: u64 = 3;
const NAME: CommunicatorName = CommunicatorName {
    id: COMM_ID,
    ranks: RANKS,
    nodes: 1,
};
const CALLS: usize = 4000;

/// Runs one of the roles below in a process of its own.
fn role(name: &str, job: &Path, number: u64, waits: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    if waits {
        command.env("ROLE_WAITS", "1");
    }
    command
        .args(["--ignored", "--exact", name, "--nocapture"])
        .env("CCL_AGENT_MODE", "live")
        .env("CCL_AGENT_JOB", job)
        .env("ROLE_NUMBER", number.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn job() -> PathBuf {
    PathBuf::from(std::env::var_os("CCL_AGENT_JOB").unwrap())
}

fn number() -> u64 {
    std::env::var("ROLE_NUMBER").unwrap().parse().unwrap()
}

/// A rank: asks for every call and writes down what it was told, and how long it waited at most.
#[test]
#[ignore = "a role of the test below"]
fn rank() {
    let mut context = null_mut();
    let ranks = usize::try_from(RANKS).unwrap();
    unsafe {
        (V6.init)(
            &raw mut context,
            COMM_ID,
            ranks,
            1,
            None,
            null_mut(),
            null_mut(),
        )
    };
    // Half of the runs begin without waiting for the agent, which comes in the middle of them or after.
    let mapping = Mapping::existing(&job().join(NAME.file())).unwrap();
    let log = Reader::new(parts(mapping.words()).unwrap().0).unwrap();
    let began = Instant::now();
    let waits = std::env::var_os("ROLE_WAITS").is_some();
    while waits && log.writer().is_none() && began.elapsed() < Duration::from_millis(100) {
        std::thread::sleep(Duration::from_micros(50));
    }
    let mut told = String::new();
    let mut longest = Duration::ZERO;
    for call in 0..CALLS {
        let mut cells = [[10.0f32; 3]; 7];
        let mut channels = 0;
        let mut chunk: usize = 1;
        let began = Instant::now();
        let bytes = 1024 << (call % 4);
        unsafe {
            let table = cells.as_mut_ptr().cast();
            (V6.get_coll_info)(
                context,
                ALL_REDUCE,
                bytes,
                1,
                table,
                7,
                3,
                0,
                &raw mut channels,
            );
        }
        longest = longest.max(began.elapsed());
        let chosen = cells.iter().flatten().position(|cost| *cost == 0.0);
        if let Some(pair) = chosen.map(|n| c_int::try_from(n).unwrap()) {
            unsafe {
                (V6.get_chunk_size.unwrap())(
                    context,
                    ALL_REDUCE,
                    bytes,
                    pair / 3,
                    pair % 3,
                    channels,
                    &raw mut chunk,
                );
            }
        }
        let _ = writeln!(told, "{chosen:?} {channels} {chunk}");
        // A job does something between its collectives.
        if !waits && call % 32 == 0 {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
    unsafe { (V6.finalize)(context) };
    let number = number();
    std::fs::write(
        job().join(format!("longest-{number}")),
        longest.as_millis().to_string(),
    )
    .unwrap();
    // Last, and by renaming: a file that is there is whole.
    std::fs::write(job().join(format!("part-{number}")), told).unwrap();
    std::fs::rename(
        job().join(format!("part-{number}")),
        job().join(format!("told-{number}")),
    )
    .unwrap();
}

/// The agent: switches and extends until it is killed or the log is full.
#[test]
#[ignore = "a role of the test below"]
fn agent() {
    let path = job().join(NAME.file());
    let words = communicator_words().unwrap();
    let mapping = loop {
        let mapping = path
            .exists()
            .then(|| Mapping::open(&path, words).ok())
            .flatten();
        if let Some(mapping) = mapping.filter(|m| Writer::new(m.words()).is_ok()) {
            break mapping;
        }
        std::thread::sleep(Duration::from_micros(100));
    };
    // From now on ranks wait for it.
    let log = parts(mapping.words()).unwrap().0;
    let writer = Writer::claim(log, Process::this(), Process::is_gone).unwrap();
    let mut random = number().wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    loop {
        let horizon = writer.state().horizon;
        let from = horizon + next(4);
        let rule = Rule {
            collective: 4,
            min_bytes: 0,
            max_bytes: 1023 << next(5),
            algorithm: u8::try_from(next(2)).unwrap(),
            protocol: u8::try_from(next(3)).unwrap(),
            channels: u8::try_from(1 + next(64)).unwrap(),
            chunk_bytes: 4096 * (1 + next(16)),
        };
        let done = match next(3) {
            0 => writer.extend(horizon + 1 + next(8)),
            1 => writer.append(from, &[], from + 1),
            _ => writer.append(from, &[rule], from + 1 + next(4)),
        };
        writer.beat();
        // At the pace of a job, so that a kill finds the ranks in the middle of it.
        std::thread::sleep(Duration::from_micros(20));
        // Ranks that looked before it came may move the horizon once more.
        if done.is_err_and(|why| !matches!(why, Refused::BelowHorizon { .. })) {
            return;
        }
    }
}

fn one_run(seed: u64) -> (u64, State, usize) {
    let job = std::env::temp_dir().join(format!("ccl-live-{}-{seed}", std::process::id()));
    std::fs::create_dir_all(&job).unwrap();
    let waits = seed.is_multiple_of(2);
    let mut ranks: Vec<Child> = (0..RANKS).map(|n| role("rank", &job, n, waits)).collect();
    let mut agent = role("agent", &job, seed + 1, waits);
    // A moment between before the first call and after the last.
    std::thread::sleep(Duration::from_micros(seed.wrapping_mul(7919) % 40_000));
    // SIGKILL; an agent that ended by itself is as dead.
    let _ = agent.kill();
    agent.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    for rank in &mut ranks {
        loop {
            if let Some(status) = rank.try_wait().unwrap() {
                assert!(status.success(), "seed {seed}: a rank failed");
                break;
            }
            assert!(
                Instant::now() < deadline,
                "seed {seed}: the job does not end"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let read = |name: String| std::fs::read_to_string(job.join(name)).unwrap();
    let told: Vec<String> = (0..RANKS).map(|n| read(format!("told-{n}"))).collect();
    assert_eq!(told[0].lines().count(), CALLS);
    for other in &told[1..] {
        let differs = told[0].lines().zip(other.lines()).position(|(a, b)| a != b);
        assert_eq!(differs, None, "seed {seed}: ranks disagree at a call");
    }
    let mapping = Mapping::open(&job.join(NAME.file()), communicator_words().unwrap());
    let mapping = mapping.unwrap();
    let state = Writer::new(parts(mapping.words()).unwrap().0)
        .unwrap()
        .state();
    let longest = (0..RANKS)
        .map(|n| read(format!("longest-{n}")).parse::<u64>().unwrap())
        .max();
    let mut different: Vec<&str> = told[0].lines().collect();
    different.sort_unstable();
    different.dedup();
    let different = different.len();
    std::fs::remove_dir_all(&job).unwrap();
    (longest.unwrap(), state, different)
}

#[test]
fn ranks_agree_when_the_agent_is_killed_at_any_moment() {
    let runs = std::env::var("CCL_AGREEMENT_RUNS").map_or(20, |n| n.parse().unwrap());
    let (mut longest, mut frozen, mut switched, mut most) = (0, 0, 0, 0);
    for seed in 0..runs {
        let (waited, state, different) = one_run(seed);
        longest = longest.max(waited);
        frozen += u64::from(state.frozen);
        switched += u64::from(different > 1);
        most = most.max(different);
    }
    eprintln!(
        "{runs} runs: ranks agreed in all; {frozen} logs frozen; choices changed in {switched} of \
         them, up to {most} different ones; longest wait {longest} ms"
    );
    // A run in which nothing ever changed would prove nothing.
    assert!(
        switched > 0 && frozen > 0,
        "{switched} switched, {frozen} frozen"
    );
}
