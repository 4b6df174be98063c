//! Runs a whole tuning run in memory.

#![allow(dead_code)] // every test file uses its part

pub mod model;
pub mod restarts;
pub mod watched;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ccl_agent::expectation::Expectation;
use ccl_agent::mind::llm::LlmMind;
use ccl_agent::remembered::Remembered;
use ccl_agent::summary::Summary;
use ccl_agent::testbed::{SimulatedTestbed, Testbed};
use ccl_agent::trace::Tracer;
use ccl_agent::tuner::{RunError, TuneOptions, Tuner};
use ccl_core::{ClusterSpec, ContextSignature, TaskKey, TraceLine, WorkloadSpec, cluster_text};
use ccl_llm::Provider;
use ccl_memory::{
    Document, Knowledge, Lessons, Memory, RuleRecord, ScoreRecord, SqliteMemory, SurrogateRecord,
};
use ccl_sim::noise::{NoiseModel, Scenario};
use jiff::civil::Date;

/// The workloads that ship.
pub const WORKLOADS: [&str; 11] = [
    "autoccl/llama3.1-8b.json",
    "autoccl/phi2-2b.json",
    "autoccl/torch-demo.json",
    "autoccl/vgg19.json",
    "autoccl/yi-1.5-34b.json",
    "demo/allreduce-8gpu.json",
    "demo/already-optimal.json",
    "modern/llama3-70b-3d.json",
    "modern/llama3-8b-fsdp.json",
    "modern/nccl-tests-sweep.json",
    "modern/qwen3-30b-a3b-moe.json",
];

/// What a run left behind.
pub struct Ran {
    pub result: Result<Summary, RunError>,
    pub trace: Vec<TraceLine>,
    pub learnt: Vec<RuleRecord>,
    pub scores: Vec<ScoreRecord>,
    pub measured: Vec<SurrogateRecord>,
    pub lessons: Lessons,
}

impl Ran {
    pub fn summary(&self) -> &Summary {
        self.result.as_ref().unwrap()
    }

    /// The decisions as they would stand in the run directory.
    pub fn decisions(&self) -> String {
        let decisions = self
            .trace
            .iter()
            .map(|l| &l.event)
            .filter(|e| e.is_decision());
        decisions
            .map(|e| serde_json::to_string(e).unwrap() + "\n")
            .collect()
    }
}

/// How a run differs from the plain one.
#[derive(Default)]
pub struct With {
    pub options: TuneOptions,
    pub provider: Option<Arc<dyn Provider>>,
    pub remembered: Vec<RuleRecord>,
    pub scores: Vec<ScoreRecord>,
    pub surrogates: Vec<SurrogateRecord>,
    pub interrupted: bool,
    pub expectation: Option<Expectation>,
    pub documents: Vec<Document>,
    /// The workload's name in the context; `test` unless given.
    pub named: Option<&'static str>,
}

pub fn cluster(name: &str) -> ClusterSpec {
    ClusterSpec::parse(cluster_text(name).unwrap()).unwrap()
}

pub fn workload(name: &str) -> WorkloadSpec {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../workload")
        .join(name);
    WorkloadSpec::parse(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub fn simulated(name: &str, on: &str, seed: u64, scenario: Scenario) -> SimulatedTestbed {
    SimulatedTestbed::new(
        &workload(name),
        &cluster(on),
        NoiseModel::typical(seed),
        scenario,
    )
    .unwrap()
}

/// A run on a testbed, filed under the cluster's context.
pub fn tune(testbed: &mut dyn Testbed, on: &ClusterSpec, with: With) -> Ran {
    let mut trace: Vec<TraceLine> = Vec::new();
    let mut nobody = ();
    let no_time = || Duration::ZERO;
    let knowledge = Knowledge::new(on.nccl_version, &with.documents).unwrap();
    let interrupted = AtomicBool::new(with.interrupted);
    let context =
        ContextSignature::of(on, with.named.unwrap_or("test"), on.nodes, on.gpus_per_node);
    let (source, today) = (testbed.describe().source, Date::default());
    let mut memory = SqliteMemory::in_memory().unwrap();
    let lessons = Lessons {
        rules: with.remembered,
        scores: with.scores,
        surrogates: with.surrogates,
        ..Lessons::of(source, today)
    };
    memory.learn(&lessons).unwrap();
    let keys: Vec<TaskKey> = testbed.keys().iter().map(|k| k.key).collect();
    let remembered = Remembered::recall(&mut memory, source, &context, keys, today).unwrap();
    let mut tuner = Tuner::new(
        testbed,
        on,
        context,
        Tracer::new(&mut trace, &mut nobody, &no_time),
        with.options,
        LlmMind::new(with.provider, Box::new(|_, _| Ok(()))),
        &knowledge,
        remembered,
        &interrupted,
    );
    if let Some(expectation) = with.expectation {
        tuner = tuner.expecting(expectation);
    }
    let result = tuner.run("test");
    let learnt = tuner.learnt().to_vec();
    let scores = tuner.scores("test");
    let measured = tuner.measured("test");
    let lessons = tuner.lessons("test", result.as_ref().ok(), today);
    drop(tuner);
    Ran {
        result,
        trace,
        learnt,
        scores,
        measured,
        lessons,
    }
}
