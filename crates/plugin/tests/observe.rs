//! From NCCL's calls to the observer's table: ranks in processes of their own, told what NCCL tells, read
//! by what `ccl-agent observe` reads with.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::undocumented_unsafe_blocks
)]

use std::ffi::{c_int, c_void};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::ptr::{null, null_mut};

use ccl_abi::nccl::profiler::{
    CollectiveV4, CollectiveV5, DescriptorV6, KernelChannelV4, ProxyOp, ProxyStep, StateArguments,
    kind, state,
};
use ccl_agent::observe::report::{Depth, Report};
use ccl_agent::observe::rings::Rings;
use ccl_agent::observe::row::{Clock, Row};
use ccl_agent::observe::table::Table;
use ccl_core::{Algorithm, Collective, Protocol, Source};
use nccl_ccl_agent::profiler::exports::ncclProfiler_v6 as V6;

/// Set in a process that plays a rank; its value is the rank.
const ROLE: &str = "CCL_TEST_RANK";
const CALLS: u64 = 20;

/// The profiler as NCCL holds it.
struct Nccl {
    context: *mut c_void,
}

impl Nccl {
    fn init(rank: c_int) -> Self {
        let (mut context, mask) = (null_mut(), Box::leak(Box::new(0)));
        let name = c"dp".as_ptr();
        let result = unsafe { (V6.init)(&raw mut context, 0xfeed, mask, name, 1, 2, rank, None) };
        assert_eq!((result, context.is_null()), (0, false));
        Self { context }
    }

    fn start(
        &self,
        kind: u64,
        parent: *mut c_void,
        fill: impl FnOnce(&mut DescriptorV6),
    ) -> *mut c_void {
        let mut descriptor: DescriptorV6 = unsafe { std::mem::zeroed() };
        (descriptor.kind, descriptor.parent) = (kind, parent);
        fill(&mut descriptor);
        let mut handle = null_mut();
        unsafe { (V6.start_event)(self.context, &raw mut handle, &raw mut descriptor) };
        handle
    }

    fn state(&self, handle: *mut c_void, state: u32, value: u64) {
        let mut arguments = StateArguments { room: [value, 0] };
        if !handle.is_null() {
            unsafe { (V6.record_event_state)(handle, state, &raw mut arguments) };
        }
    }

    fn stop(&self, handle: *mut c_void) {
        if !handle.is_null() {
            unsafe { (V6.stop_event)(handle) };
        }
    }

    /// An AllReduce of 4 MiB on two channels with one send, which took that long on the GPU.
    fn all_reduce(&self, sequence: u64, took_ns: u64) {
        let collective = self.start(kind::COLLECTIVE, null_mut(), |d| {
            d.of.collective = CollectiveV5 {
                v4: CollectiveV4 {
                    sequence,
                    function: c"AllReduce".as_ptr(),
                    send: null(),
                    receive: null_mut(),
                    count: 1 << 20,
                    root: 0,
                    datatype: c"ncclFloat32".as_ptr(),
                    channels: 2,
                    warps: 17,
                    algorithm: c"RING".as_ptr(),
                    protocol: c"SIMPLE".as_ptr(),
                },
                parent_group: null_mut(),
            };
        });
        self.stop(collective);
        let op = self.start(kind::PROXY_OP, collective, |d| {
            d.of.proxy_op = ProxyOp {
                pid: c_int::try_from(std::process::id()).unwrap(),
                channel: 0,
                peer: 1,
                steps: 1,
                chunk_bytes: 1 << 19,
                is_send: 1,
            };
        });
        let step = self.start(kind::PROXY_STEP, op, |d| {
            d.of.proxy_step = ProxyStep { step: 0 }
        });
        self.state(step, state::SEND_PEER_WAIT, 0);
        std::thread::sleep(std::time::Duration::from_millis(1));
        self.stop(step);
        self.stop(op);
        for channel in 0..2 {
            let kernel = self.start(kind::KERNEL_CHANNEL, collective, |d| {
                d.of.kernel = KernelChannelV4 {
                    channel,
                    timer_ns: 1000,
                };
            });
            self.state(kernel, state::KERNEL_CHANNEL_STOP, 1000 + took_ns);
            self.stop(kernel);
        }
    }
}

/// What a rank does. It says when it is done and ends when its input does, or is killed before.
#[test]
#[ignore = "a role of the test below"]
fn a_rank() {
    let Some(rank) = std::env::var(ROLE).ok().and_then(|r| r.parse().ok()) else {
        return;
    };
    let nccl = Nccl::init(rank);
    for sequence in 0..CALLS {
        nccl.all_reduce(sequence, if rank == 1 { 150_000 } else { 400_000 });
    }
    println!("done");
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read(&mut [0]);
    unsafe { (V6.finalize)(nccl.context) };
}

fn rank(job: &Path, rank: u32) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "a_rank", "--nocapture"])
        .env(ROLE, rank.to_string())
        .env("CCL_AGENT_JOB", job)
        .env_remove("CCL_AGENT_MODE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let is_done = |line: Result<String, _>| line.unwrap().ends_with("done");
    assert!(output.by_ref().lines().any(is_done));
    (child, output)
}

fn look(rings: &mut Rings, table: &mut Table, job: &Path) -> Report {
    rings.find().unwrap();
    rings.drain(|seen| table.add(&seen));
    Report::new(job, 0, false, rings, table)
}

fn only(report: Report) -> Row {
    assert_eq!(report.rows.len(), 1, "{report:?}");
    report.rows.into_iter().next().unwrap()
}

#[test]
fn what_nccl_tells_arrives_in_the_table() {
    let job = std::env::temp_dir().join(format!("ccl-observe-{}", std::process::id()));
    std::fs::create_dir_all(&job).unwrap();
    let mut ranks = [rank(&job, 0), rank(&job, 1)];
    let (mut rings, mut table) = (Rings::new(&job), Table::default());
    let report = look(&mut rings, &mut table, &job);
    assert_eq!((report.processes, report.living), (2, 2));
    assert_eq!(report.records, 2 * CALLS);
    assert_eq!(report.asked.and_then(|a| a.depth), Some(Depth::Transfers));
    assert_eq!(report.lost, Default::default());
    let row = only(report);
    assert_eq!((row.collective, row.calls), (Collective::AllReduce, CALLS));
    assert_eq!(
        (row.ranks, row.nodes, row.min_bytes),
        (Some(2), Some(1), 4 << 20)
    );
    let choice = row.choice;
    assert_eq!(
        (choice.algorithm, choice.protocol),
        (Algorithm::Ring, Protocol::Simple)
    );
    assert_eq!((choice.channels, choice.threads), (Some(2), Some(544)));
    assert_eq!((row.clock, row.source), (Clock::Gpu, Source::Measured));
    assert_eq!(row.p99_us, Some(400.0));
    assert_eq!(row.transfers, 2 * CALLS);
    assert!(row.waits.unwrap().send_peer > 0.99, "{row:?}");
    let late = row.late_rank.unwrap();
    assert_eq!((late.rank, late.pid), (1, ranks[1].0.id()));
    assert_eq!(late.others_wait_us, 125.0);

    // A rank that is killed leaves what it recorded; one that ends as well.
    ranks[0].0.kill().unwrap();
    drop(ranks[1].0.stdin.take());
    for (rank, _) in &mut ranks {
        rank.wait().unwrap();
    }
    let report = look(&mut rings, &mut table, &job);
    assert_eq!((report.processes, report.living), (2, 0));
    assert_eq!(only(report).incomplete, 0);
    std::fs::remove_dir_all(&job).unwrap();
}
