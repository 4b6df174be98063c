//! What the loop itself costs: a whole run on the simulated testbed, per trial.
//!
//! Wanted: at most 5 ms a trial without a language model. The figure includes simulating the
//! iterations and building the evidence; the trace goes to memory.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ccl_agent::mind::llm::LlmMind;
use ccl_agent::remembered::Remembered;
use ccl_agent::testbed::SimulatedTestbed;
use ccl_agent::trace::Tracer;
use ccl_agent::tuner::{TuneOptions, Tuner};
use ccl_core::{ClusterSpec, ContextSignature, TraceLine, WorkloadSpec, cluster_text};
use ccl_memory::Knowledge;
use ccl_sim::noise::{NoiseModel, Scenario};
use divan::Bencher;
use divan::counter::ItemsCount;

fn main() {
    divan::main();
}

fn run(workload: &WorkloadSpec, cluster: &ClusterSpec, knowledge: &Knowledge) -> u32 {
    let mut testbed = SimulatedTestbed::new(
        workload,
        cluster,
        NoiseModel::typical(1),
        Scenario::default(),
    )
    .unwrap();
    let mut trace: Vec<TraceLine> = Vec::new();
    let mut nobody = ();
    let interrupted = AtomicBool::new(false);
    let mut tuner = Tuner::new(
        &mut testbed,
        cluster,
        ContextSignature::of(
            cluster,
            &workload.name,
            workload.nodes,
            workload.gpus_per_node,
        ),
        Tracer::new(&mut trace, &mut nobody, &|| Duration::ZERO),
        TuneOptions::default(),
        LlmMind::none(),
        knowledge,
        Remembered::default(),
        &interrupted,
    );
    tuner.run("bench").unwrap().trials
}

/// A whole run; the counter is trials, so the throughput column says trials a second.
#[divan::bench(
    args = [("autoccl/phi2-2b", "a40-pcie-8gpu"), ("modern/nccl-tests-sweep", "dgx-h100")],
    sample_count = 10
)]
fn trials(bencher: Bencher<'_, '_>, (name, on): (&str, &str)) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../workload")
        .join(name);
    let text = std::fs::read_to_string(path.with_extension("json")).unwrap();
    let workload = WorkloadSpec::parse(&text).unwrap();
    let cluster = ClusterSpec::parse(cluster_text(on).unwrap()).unwrap();
    let knowledge = Knowledge::new(cluster.nccl_version, &[]).unwrap();
    let trials = run(&workload, &cluster, &knowledge);
    bencher
        .counter(ItemsCount::new(trials))
        .bench_local(|| run(&workload, &cluster, &knowledge));
}
