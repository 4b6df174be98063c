//! Tuning a job that runs: ranks as threads that follow the plugin's own decision log and record what
//! they ran, with durations from a formula. What NCCL would do between the two is tested with NCCL
//! itself, in `crates/testbed`.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, SystemTime};

use ccl_abi::shared::job::{CommunicatorName, communicator_words, parts, ring_file};
use ccl_abi::shared::{Control, Mapping, Membership, Process, Record, Ring, State, Timing, Waits};
use ccl_agent::guard::{Bounds, Guard, Lease};
use ccl_agent::testbed::{LiveError, LiveJob, LiveTestbed, Testbed, TestbedError};
use ccl_agent::tuner::TuneOptions;
use ccl_core::{
    Algorithm, Choice, Collective, CommShape, Configuration, Policy, Protocol, Source, TaskKey,
    Verdict,
};
use common::{With, cluster, tune};
use nccl_ccl_agent::live::Live;

const RANKS: u32 = 4;
const NAME: CommunicatorName = CommunicatorName {
    id: 77,
    ranks: RANKS as u64,
    nodes: 1,
};
const RING_SLOTS: u32 = 1 << 15;
/// NCCL's id of AllReduce and AllGather.
const ALL_REDUCE: u8 = 4;
const ALL_GATHER: u8 = 2;
/// An iteration: 60 large AllReduces with 20 small AllGathers between them.
const CALLS: usize = 80;

fn call(index: usize) -> (u8, u64) {
    match index % 4 {
        3 => (ALL_GATHER, 1 << 14),
        _ => (ALL_REDUCE, 32 << 20),
    }
}

fn key(collective: Collective, bytes: u64) -> TaskKey {
    TaskKey::of(CommShape::new(RANKS, 1), collective, bytes)
}

fn big() -> TaskKey {
    key(Collective::AllReduce, 32 << 20)
}

/// What the job misbehaves in.
#[derive(Clone, Copy, Default, PartialEq)]
struct Habits {
    /// Never more than this many channels, whatever is ordered.
    most_channels: Option<u8>,
    /// Every other iteration has a call more.
    is_irregular: bool,
    /// One rank never follows the log.
    has_stray_rank: bool,
    /// Only the enqueuing is timed.
    has_no_durations: bool,
}

/// Microseconds: channels help, Tree is slower, with 2 % noise that is the same on all ranks.
fn duration_us(pair: (u8, u8), channels: u8, bytes: u64, call: u64) -> f64 {
    let gbs = 10.0 * f64::from(channels).powf(0.4) * if pair.0 == 0 { 0.7 } else { 1.0 };
    let mut random = call.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234;
    random ^= random >> 29;
    random = random.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    random ^= random >> 32;
    #[allow(clippy::cast_precision_loss)]
    let noise = 1.0 + 0.02 * ((random % 2000) as f64 / 1000.0 - 1.0);
    #[allow(clippy::cast_precision_loss)]
    let us = 12.0 + bytes as f64 / (gbs * 1e3);
    us * noise
}

/// Runs the job beside `agent`, which gets its directory, and ends it then.
fn beside<T>(habits: Habits, agent: impl FnOnce(&Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let job = folder.path();
    let words = Ring::<AtomicU64>::words(RING_SLOTS).unwrap();
    let mapping = Mapping::create(&job.join(ring_file(std::process::id(), 0)), words).unwrap();
    let control = Control {
        kinds: 0,
        one_in: 1,
    };
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let began = std::time::Instant::now();
    let ring = Ring::initialise(
        mapping.words(),
        RING_SLOTS,
        Process::this(),
        u64::try_from(now.as_nanos()).unwrap(),
        true,
        control,
    );
    let ring = ring.unwrap();
    let lines = Mutex::new(std::fs::File::create(job.join("iterations.jsonl")).unwrap());
    let (stop, barrier) = (AtomicBool::new(false), Barrier::new(RANKS as usize));
    let is_over = AtomicBool::new(false);
    let sum_us = Mutex::new(0.0);
    std::thread::scope(|scope| {
        for rank in 0..RANKS {
            let (ring, lines, stop, barrier) = (&ring, &lines, &stop, &barrier);
            let (sum_us, is_over) = (&sum_us, &is_over);
            scope.spawn(move || {
                let follows = !(habits.has_stray_rank && rank == 1);
                let live = follows.then(|| Live::open(job, NAME, None).unwrap());
                let member = Membership {
                    id: NAME.id,
                    ranks: RANKS,
                    nodes: 1,
                    rank,
                };
                ring.describe(rank, member);
                let (mut sequences, mut calls) = ([0u64; 5], 0u64);
                let elapsed_ns = || u64::try_from(began.elapsed().as_nanos()).unwrap();
                // All ranks stop after the same iteration.
                for iteration in 0u64.. {
                    if rank == 0 {
                        is_over.store(stop.load(Ordering::Relaxed), Ordering::Relaxed);
                    }
                    barrier.wait();
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let extra = usize::from(habits.is_irregular && iteration % 2 == 1);
                    for index in 0..CALLS + extra {
                        let (collective, bytes) = call(index);
                        let possible = |a: usize, p: usize| a < 2 && p != 1;
                        let rule = live
                            .as_ref()
                            .and_then(|l| l.next(collective, bytes, possible));
                        let pair = rule.map_or((1, 2), |rule| (rule.algorithm, rule.protocol));
                        let ordered = rule.map_or(2, |rule| rule.channels).max(1);
                        let channels = ordered.min(habits.most_channels.unwrap_or(64));
                        // A large call on 16 channels, so that as many may be asked for.
                        let channels = match (rule, index) {
                            (None, 3) => 16,
                            _ => channels,
                        };
                        let us = duration_us(pair, channels, bytes, calls);
                        if rank == 0 {
                            *sum_us.lock().unwrap() += us;
                        }
                        let count = match collective {
                            ALL_GATHER => bytes / u64::from(RANKS),
                            _ => bytes,
                        };
                        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                        let record = Record {
                            communicator: rank,
                            sequence: sequences[usize::from(collective)],
                            collective,
                            algorithm: pair.0,
                            protocol: pair.1,
                            channels,
                            warps: 16,
                            element_bytes: 1,
                            timing: match habits.has_no_durations {
                                true => Timing::Enqueue,
                                false => Timing::Device,
                            },
                            is_complete: true,
                            count,
                            enqueued_ns: elapsed_ns(),
                            duration_ns: (us * 1e3) as u64,
                            transfers: 0,
                            sampled: 1,
                            transferred_bytes: 0,
                            waits: Waits::default(),
                        };
                        sequences[usize::from(collective)] += 1;
                        calls += 1;
                        ring.push(&record);
                    }
                    std::thread::sleep(Duration::from_millis(1));
                    barrier.wait();
                    if rank == 0 {
                        let us = std::mem::take(&mut *sum_us.lock().unwrap());
                        let ended_us =
                            (u64::try_from(now.as_nanos()).unwrap() + elapsed_ns()) / 1000;
                        let mut line = String::new();
                        let _ = write!(
                            line,
                            "{{\"iteration\": {iteration}, \"ended_us\": {ended_us}, "
                        );
                        let _ = write!(line, "\"iteration_time_ms\": {}}}", us / 1e3 + 5.0);
                        writeln!(lines.lock().unwrap(), "{line}").unwrap();
                    }
                    barrier.wait();
                }
            });
        }
        // Whatever the agent's side does, the job must be told to end.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| agent(job)));
        stop.store(true, Ordering::Relaxed);
        match result {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn attach(directory: &Path) -> Result<LiveTestbed, LiveError> {
    LiveTestbed::attach(job(directory))
}

fn job(directory: &Path) -> LiveJob {
    LiveJob {
        directory: directory.to_owned(),
        cluster: "dgx-h100".to_owned(),
        nccl_version: cluster("dgx-h100").nccl_version,
        is_exposed: Box::new(|_| true),
        patience: Duration::from_secs(20),
        wait: Duration::from_secs(20),
        notes: Vec::new(),
    }
}

fn ring(channels: u32) -> Choice {
    Choice::new(Algorithm::Ring, Protocol::Simple).with_channels(channels)
}

#[test]
fn what_a_job_shows_and_what_leases_do() {
    beside(Habits::default(), |job| {
        let mut testbed = attach(job).unwrap();
        assert_eq!(testbed.describe().source, Source::Simulated);
        let keys = testbed.keys().to_vec();
        assert_eq!(keys.len(), 2);
        let facts = keys.iter().find(|k| k.key == big()).unwrap();
        assert_eq!((facts.calls, facts.bytes), (60, 32 << 20));
        assert_eq!(facts.legal.channels, [1, 2, 4, 8, 16]);
        let ring_and_tree = [Algorithm::Tree, Algorithm::Ring]
            .map(|a| [(a, Protocol::Ll), (a, Protocol::Simple)])
            .concat();
        assert_eq!(facts.legal.pairs, ring_and_tree);
        assert_eq!(testbed.untuned_choice(big()), Some(ring(2)));
        let signals = testbed.signals(big());
        assert!(signals.wait_for_ranks.is_some() && signals.tail_ratio.is_some());

        let guard = Guard::new(
            Bounds {
                lease_share: 0.1,
                leased_share: 0.5,
                ..Bounds::default()
            },
            &keys,
        );
        let untuned = testbed.run_iteration(&guard.approve_untuned()).unwrap();
        let sum = untuned.iteration_us;
        let lease = |channels, calls| Lease {
            key: big(),
            choice: ring(channels),
            calls,
        };
        let leases = [lease(16, 4), lease(1, 4)];
        let approved = guard
            .approve_with_leases(&Configuration::default(), &leases)
            .unwrap();
        let sample = testbed.run_iteration(&approved).unwrap();
        let of_key = sample.keys.iter().find(|k| k.key == big()).unwrap();
        assert_eq!(of_key.choice, Some(ring(2).with_threads(512)));
        assert_eq!(of_key.calls_us.len(), 4);
        for (lease, faster) in of_key.leases.iter().zip([true, false]) {
            assert_eq!(lease.calls_us.len(), 4);
            for (own, leased) in of_key.calls_us.iter().zip(&lease.calls_us) {
                let expected = match faster {
                    true => (0.40, 0.50),
                    false => (1.2, 1.45),
                };
                let ratio = leased / own;
                assert!(expected.0 < ratio && ratio < expected.1, "{ratio}");
            }
        }
        // And all calls.
        let policy = Policy::default().with_choice(big(), Some(ring(16)));
        let best = Configuration {
            policy,
            ..Configuration::default()
        };
        let tuned = testbed
            .run_iteration(&guard.approve(&best).unwrap())
            .unwrap();
        let gain = tuned.iteration_us / sum;
        assert!((0.3..0.55).contains(&gain), "{gain}");
        // It was for one iteration: the job is back by itself, until something is settled.
        let ratio_of_latest = || {
            std::thread::sleep(Duration::from_millis(200));
            let lines = std::fs::read_to_string(job.join("iterations.jsonl")).unwrap();
            let line: serde_json::Value =
                serde_json::from_str(lines.lines().last().unwrap()).unwrap();
            line["iteration_time_ms"].as_f64().unwrap() * 1e3 / sum
        };
        let back = ratio_of_latest();
        assert!((0.95..1.05).contains(&back), "{back}");
        testbed.settle(&guard.approve(&best).unwrap()).unwrap();
        let settled = ratio_of_latest();
        assert!((0.3..0.55).contains(&settled), "{settled}");
        let tried = testbed.run_iteration(&guard.approve_untuned()).unwrap();
        assert!((0.95..1.05).contains(&(tried.iteration_us / sum)));
        let again = ratio_of_latest();
        assert!((0.3..0.55).contains(&again), "{again}");
        // The job goes on alone with what it is left.
        testbed.leave(&guard.approve(&best).unwrap()).unwrap();
        assert!(testbed.run_iteration(&guard.approve_untuned()).is_err());
        std::thread::sleep(Duration::from_millis(50));
        let mapping = Mapping::open(&job.join(NAME.file()), communicator_words().unwrap()).unwrap();
        let (log, _) = parts(mapping.words()).unwrap();
        let reader = ccl_abi::shared::Reader::new(log).unwrap();
        let state = reader.state();
        assert!(!state.frozen && state.horizon == State::FOR_EVER);
        let last = reader.at(State::FOR_EVER - 1, ALL_REDUCE, 32 << 20);
        assert!(matches!(last, ccl_abi::shared::Answer::Run(rule) if rule.channels == 16));
    });
}

#[test]
fn a_running_job_is_tuned_and_left_with_the_best() {
    beside(Habits::default(), |job| {
        let mut testbed = attach(job).unwrap();
        let on = cluster("dgx-h100");
        let options = TuneOptions {
            budget: 40,
            final_pairs: 12,
            ..TuneOptions::default()
        };
        let with = With {
            options,
            ..With::default()
        };
        let ran = tune(&mut testbed, &on, with);
        let summary = ran.summary();
        assert_eq!(summary.verdict, Verdict::Faster);
        let trace = serde_json::to_string(&ran.trace).unwrap();
        assert!(!trace.contains("NaN") && !trace.contains("null us"));
        assert_eq!(summary.source, Source::Simulated);
        assert!(summary.speedup.median > 1.5, "{:?}", summary.speedup);
        assert!(summary.tuning_cost.worst_iteration_ratio < 1.10);
        // The job has it, and goes on alone.
        assert!(
            testbed
                .run_iteration(&Guard::new(Bounds::default(), &[]).approve_untuned())
                .is_err()
        );
    });
}

#[test]
fn orders_that_are_not_followed_are_failures() {
    let habits = Habits {
        most_channels: Some(4),
        ..Habits::default()
    };
    beside(habits, |job| {
        let mut testbed = attach(job).unwrap();
        let guard = Guard::new(Bounds::default(), testbed.keys());
        let policy = Policy::default().with_choice(big(), Some(ring(8)));
        let wanted = Configuration {
            policy,
            ..Configuration::default()
        };
        let error = testbed
            .run_iteration(&guard.approve(&wanted).unwrap())
            .unwrap_err();
        let TestbedError::NotFollowed { reason } = error else {
            unreachable!("{error}")
        };
        assert!(reason.contains("8ch was ordered and NCCL ran"), "{reason}");
    });
}

#[test]
fn a_job_that_cannot_be_tuned_says_why() {
    let why = |habits: Habits| beside(habits, |job| attach(job).unwrap_err().to_string());
    let irregular = why(Habits {
        is_irregular: true,
        ..Habits::default()
    });
    assert!(
        irregular.contains("iterations differ from call 80 on"),
        "{irregular}"
    );
    let stray = why(Habits {
        has_stray_rank: true,
        ..Habits::default()
    });
    assert!(stray.contains("all ranks of comm-"), "{stray}");
    let blind = why(Habits {
        has_no_durations: true,
        ..Habits::default()
    });
    assert!(blind.contains("no durations"), "{blind}");
    let empty = tempfile::tempdir().unwrap();
    let nobody = LiveTestbed::attach(LiveJob {
        wait: Duration::ZERO,
        ..job(empty.path())
    });
    let nobody = nobody.unwrap_err().to_string();
    assert!(nobody.contains("a rank that follows"), "{nobody}");
}
