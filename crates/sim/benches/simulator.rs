//! The simulator's speed: collective evaluations a second, and whole iterations.
//!
//! Wanted: 100,000 evaluations a second and core, an iteration in a millisecond, at any scale.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use ccl_core::{ClusterSpec, Collective, CommShape, DecisionTable, WorkloadSpec, cluster_text};
use ccl_sim::hardware::Hardware;
use ccl_sim::iteration::IterationModel;
use ccl_sim::nccl::{Model, System};
use ccl_sim::{CollectiveCall, ComputeLoad, Group, ProcessSettings};
use divan::Bencher;
use divan::counter::ItemsCount;

fn main() {
    divan::main();
}

fn cluster(name: &str, nodes: u32) -> ClusterSpec {
    let mut cluster = ClusterSpec::parse(cluster_text(name).unwrap()).unwrap();
    cluster.nodes = nodes;
    cluster
}

/// NCCL's choice and the hardware's time for one call, over sizes from 1 KiB to 1 GiB.
#[divan::bench(args = [8, 256, 16384])]
fn collective_evaluations(bencher: Bencher<'_, '_>, gpus: u32) {
    let cluster = cluster("dgx-h100", gpus / 8);
    let settings = ProcessSettings::default();
    let shape = CommShape::new(gpus, gpus / 8);
    let model = Model::new(System::derive(&cluster, shape, &settings), settings.clone());
    let hardware = Hardware::new(&cluster, &settings);
    let sizes: Vec<u64> = (10..=30).map(|log| 1 << log).collect();
    bencher
        .counter(ItemsCount::new(sizes.len()))
        .bench_local(|| {
            sizes
                .iter()
                .map(|&bytes| {
                    let collective = Collective::AllReduce;
                    let choice = model.choose(collective, bytes).unwrap();
                    let call = CollectiveCall {
                        collective,
                        bytes,
                        group: Group::alone(shape),
                        choice,
                    };
                    hardware.time(&call, ComputeLoad::NONE).time_us
                })
                .sum::<f64>()
        });
}

/// One noise-free iteration of a workload.
#[divan::bench(args = ["autoccl/phi2-2b", "modern/llama3-70b-3d", "modern/qwen3-30b-a3b-moe"])]
fn iteration(bencher: Bencher<'_, '_>, name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../workload")
        .join(name);
    let text = std::fs::read_to_string(path.with_extension("json")).unwrap();
    let workload = WorkloadSpec::parse(&text).unwrap();
    let cluster = cluster("dgx-h100", 32);
    let model = IterationModel::new(&workload, &cluster, &ProcessSettings::default()).unwrap();
    let untuned = DecisionTable::default();
    bencher.bench_local(|| model.evaluate(&untuned).iteration_us);
}
