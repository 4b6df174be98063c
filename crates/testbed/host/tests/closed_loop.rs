//! The whole loop on the real NCCL: a job whose ranks ask our plugin, an agent that switches it while it
//! runs, and what is left when the agent is gone.
//!
//! NCCL's control path is real, durations are simulated. `CCL_CLOSED_LOOP_RUNS` sets how often the agent
//! is killed (3 without it).

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

#[path = "real_nccl/testbed.rs"]
#[allow(dead_code)]
mod testbed;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use ccl_agent::mind::llm::LlmMind;
use ccl_agent::remembered::Remembered;
use ccl_agent::summary::Summary;
use ccl_agent::testbed::{LiveJob, LiveTestbed, SimulatedTestbed};
use ccl_agent::trace::Tracer;
use ccl_agent::tuner::{RunError, TuneOptions, Tuner};
use ccl_core::{
    ClusterSpec, ContextSignature, NcclVersion, Outcome, Source, TraceEvent, TraceLine, Verdict,
    WorkloadSpec, cluster_text,
};
use ccl_memory::Knowledge;
use ccl_sim::noise::{NoiseModel, Scenario};
use serde::Deserialize;
use testbed::Testbed;

const WORKLOAD: &str = "workload/demo/allreduce-8gpu.json";
/// NCCL takes the stub's machine for one with NVSwitches and uses 24 channels; this one's PCIe is
/// faster with fewer.
const CLUSTER: &str = "a40-pcie-8gpu";

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../..")
        .join(path)
}

fn workload() -> WorkloadSpec {
    WorkloadSpec::parse(&std::fs::read_to_string(repository(WORKLOAD)).unwrap()).unwrap()
}

fn cluster() -> ClusterSpec {
    ClusterSpec::parse(cluster_text(CLUSTER).unwrap()).unwrap()
}

/// A job on the real NCCL; it is ended when this is dropped.
struct Job {
    testbed: Testbed,
    child: Child,
}

/// What a rank said at the end.
#[derive(Debug, Deserialize)]
struct OfRank {
    communicator: usize,
    rank: u32,
    calls: u64,
    digest: String,
}

impl Job {
    fn start(noise: &str) -> Self {
        let testbed = Testbed::new();
        let directory = testbed.path("job");
        std::fs::create_dir(&directory).unwrap();
        let mut command = testbed.command();
        command
            .args(["job", "--noise", noise, "--cluster", CLUSTER, "--job"])
            .args([directory.as_str(), "--workload"])
            .arg(repository(WORKLOAD))
            .arg("--nccl")
            .arg(testbed::nccl())
            .envs([
                ("CCL_AGENT_MODE", "live"),
                ("CCL_AGENT_JOB", directory.as_str()),
                ("CCL_AGENT_INIT_ORDER", "thread"),
                ("NCCL_TUNER_PLUGIN", testbed.plugin().as_str()),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        Self { testbed, child }
    }

    fn directory(&self) -> PathBuf {
        self.testbed.path("job").into()
    }

    /// Ends it and says what its ranks ran; they must have ended well, all alike.
    fn end(mut self) -> Vec<OfRank> {
        std::fs::write(self.directory().join("stop"), "").unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(Instant::now() < deadline, "the job does not end"),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut said = String::new();
        let stderr = self.child.stderr.as_mut().unwrap();
        std::io::Read::read_to_string(stderr, &mut said).unwrap();
        assert!(status.success(), "{said}");
        let lines = std::fs::read_to_string(self.directory().join("ranks.jsonl")).unwrap();
        let ranks: Vec<OfRank> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let mut digests: BTreeMap<usize, Vec<&OfRank>> = BTreeMap::new();
        for rank in &ranks {
            digests.entry(rank.communicator).or_default().push(rank);
        }
        for ranks in digests.values() {
            let first = (ranks[0].calls, &ranks[0].digest);
            for rank in ranks {
                assert_eq!(
                    (rank.calls, &rank.digest),
                    first,
                    "rank {} disagrees",
                    rank.rank
                );
            }
        }
        ranks
    }

    /// Iteration times so far, milliseconds.
    fn iterations_ms(&self) -> Vec<f64> {
        let lines = std::fs::read_to_string(self.directory().join("iterations.jsonl"));
        lines
            .unwrap_or_default()
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter_map(|line| line["iteration_time_ms"].as_f64())
            .collect()
    }

    fn wait_for_iterations(&self, more: usize) {
        let wanted = self.iterations_ms().len() + more;
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.iterations_ms().len() < wanted {
            assert!(Instant::now() < deadline, "the job makes no progress");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn attach(directory: &Path) -> LiveTestbed {
    let exposed = |_| true;
    let mut testbed = LiveTestbed::attach(LiveJob {
        directory: directory.to_owned(),
        cluster: CLUSTER.to_owned(),
        nccl_version: NcclVersion::new(2, 18, 3),
        is_exposed: Box::new(exposed),
        patience: Duration::from_secs(60),
        wait: Duration::from_secs(20),
        notes: Vec::new(),
    })
    .unwrap();
    let elsewhere = SimulatedTestbed::new(
        &workload(),
        &cluster(),
        NoiseModel::typical(1),
        Scenario::default(),
    );
    let taken = testbed.time_calls_on(Box::new(elsewhere.unwrap()));
    assert!(taken.is_ok(), "two simulated testbeds");
    testbed
}

fn tune(testbed: &mut LiveTestbed) -> (Result<Summary, RunError>, Vec<TraceLine>) {
    let mut trace: Vec<TraceLine> = Vec::new();
    let mut nobody = ();
    let no_time = || Duration::ZERO;
    let cluster = cluster();
    let knowledge = Knowledge::new(cluster.nccl_version, &[]).unwrap();
    let interrupted = AtomicBool::new(false);
    let options = TuneOptions {
        final_pairs: 12,
        ..TuneOptions::default()
    };
    let mut tuner = Tuner::new(
        testbed,
        &cluster,
        ContextSignature::of(&cluster, "allreduce-8gpu", 1, 8),
        Tracer::new(&mut trace, &mut nobody, &no_time),
        options,
        LlmMind::none(),
        &knowledge,
        Remembered::default(),
        &interrupted,
    );
    let result = tuner.run("closed-loop");
    drop(tuner);
    (result, trace)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

#[test]
fn a_job_on_the_real_nccl_is_tuned_while_it_runs() {
    let job = Job::start("off");
    // It has begun on its own: an agent may come late, and nobody waited for it.
    job.wait_for_iterations(20);
    let mut testbed = attach(&job.directory());
    let info = ccl_agent::testbed::Testbed::describe(&testbed).clone();
    assert_eq!((info.source, info.kind), (Source::Simulated, "live"));
    // What the ranks said of themselves, not what the cluster's file says.
    assert_eq!(info.nccl_version, NcclVersion::new(2, 21, 5));
    let untuned_ms = median(&job.iterations_ms());

    let (result, trace) = tune(&mut testbed);
    let summary = result.unwrap();
    assert_eq!(summary.verdict, Verdict::Faster, "{summary:?}");
    assert_eq!(summary.source, Source::Simulated);
    assert!(summary.speedup.median > 1.02, "{:?}", summary.speedup);
    assert!(summary.tuning_cost.worst_iteration_ratio < 1.10);
    let failed = trace.iter().filter(|line| {
        matches!(&line.event, TraceEvent::Judged { outcome, .. } if *outcome == Outcome::RolledBackFailed)
    });
    assert_eq!(failed.count(), 0, "every order was followed");

    // The job keeps the best, and goes on alone.
    drop(testbed);
    job.wait_for_iterations(20);
    let all = job.iterations_ms();
    let kept_ms = median(&all[all.len() - 10..]);
    let gain = untuned_ms / kept_ms;
    assert!((gain / summary.speedup.median - 1.0).abs() < 0.02, "{gain}");
    let ranks = job.end();
    assert_eq!(ranks.len(), 8);
    eprintln!(
        "real NCCL 2.21.5, simulated durations: {:.3} [{:.3}, {:.3}] in {} trials; 8 ranks agree \
         on all {} calls",
        summary.speedup.median,
        summary.speedup.ci95[0],
        summary.speedup.ci95[1],
        summary.trials,
        ranks[0].calls
    );
}

/// An agent that tunes over and over until it is killed.
#[test]
#[ignore = "a role of the test below"]
fn agent() {
    let directory = PathBuf::from(std::env::var_os("CCL_AGENT_JOB").unwrap());
    let mut testbed = attach(&directory);
    std::fs::write(directory.join("attached"), "").unwrap();
    let _ = tune(&mut testbed);
}

#[test]
fn the_job_goes_on_when_the_agent_is_killed_at_any_moment() {
    let runs = std::env::var("CCL_CLOSED_LOOP_RUNS").map_or(3, |n| n.parse().unwrap());
    for run in 0..runs {
        let job = Job::start("on");
        let mut agent = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "agent"])
            .env("CCL_AGENT_JOB", job.directory())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !job.directory().join("attached").exists() {
            assert!(Instant::now() < deadline, "the agent does not attach");
            std::thread::sleep(Duration::from_millis(1));
        }
        let untuned_ms = median(&job.iterations_ms());
        std::thread::sleep(Duration::from_millis(run * 271 % 1500));
        let _ = agent.kill();
        agent.wait().unwrap();
        // What was being tried is over with its iteration; what was found so far may stay.
        job.wait_for_iterations(25);
        let all = job.iterations_ms();
        let ratio = median(&all[all.len() - 15..]) / untuned_ms;
        assert!(
            ratio < 1.03,
            "run {run}: the job was left {ratio} times as slow"
        );
        let ranks = job.end();
        assert_eq!(ranks.len(), 8, "run {run}");
    }
    eprintln!("{runs} agents killed; every job went on, its ranks agreeing on every call");
}
