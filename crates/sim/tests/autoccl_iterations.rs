//! Training iterations of AutoCCL's four workloads against the published times.
//!
//! AutoCCL (Xu et al., NSDI 2025), figure 11, digitised to 0.3 %: NCCL's default and AutoCCL's
//! tuned iteration time, seconds. Cluster B is the PCIe one, cluster A the one with NVLink pairs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

use ccl_core::{Choice, ClusterSpec, DecisionTable, Policy, TaskKey, WorkloadSpec, cluster_text};
use ccl_sim::ProcessSettings;
use ccl_sim::iteration::IterationModel;

/// Workload, cluster, GPUs, default and tuned seconds.
const FIGURE_11: [(&str, &str, u32, f64, f64); 14] = [
    ("phi2-2b", "a40-pcie-8gpu", 8, 169.4, 148.7),
    ("phi2-2b", "a40-pcie-8gpu", 16, 85.2, 64.8),
    ("phi2-2b", "a40-pcie-8gpu", 32, 46.2, 34.9),
    ("phi2-2b", "a40-nvlink-8gpu", 8, 84.6, 76.8),
    ("phi2-2b", "a40-nvlink-8gpu", 16, 42.3, 38.5),
    ("llama3.1-8b", "a40-pcie-8gpu", 8, 566.9, 479.7),
    ("llama3.1-8b", "a40-pcie-8gpu", 16, 285.1, 241.9),
    ("llama3.1-8b", "a40-pcie-8gpu", 32, 155.3, 144.4),
    ("llama3.1-8b", "a40-nvlink-8gpu", 8, 309.0, 287.9),
    ("llama3.1-8b", "a40-nvlink-8gpu", 16, 154.7, 144.9),
    ("yi-1.5-34b", "a40-pcie-8gpu", 32, 1412.0, 1129.5),
    ("vgg19", "a40-pcie-8gpu", 8, 0.1610, 0.1577),
    ("vgg19", "a40-pcie-8gpu", 16, 0.1964, 0.1640),
    ("vgg19", "a40-pcie-8gpu", 32, 0.2007, 0.1812),
];

fn model(workload: &str, cluster: &str, gpus: u32) -> IterationModel {
    let path = format!(
        "{}/../../workload/autoccl/{workload}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let mut spec = WorkloadSpec::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    spec.nodes = gpus / 8;
    let cluster = ClusterSpec::parse(cluster_text(cluster).unwrap()).unwrap();
    // AutoCCL's patched NCCL opens as many channels as it likes.
    let settings = ProcessSettings {
        opened_channels: Some(64),
        ..ProcessSettings::default()
    };
    IterationModel::new(&spec, &cluster, &settings).unwrap()
}

/// The best iteration time over algorithm, protocol, channels and chunk, key by key.
fn best_s(model: &IterationModel) -> f64 {
    let mut policy = Policy::default();
    let time = |policy: &Policy| model.evaluate(&policy.compile().unwrap()).iteration_us;
    let keys: Vec<TaskKey> = model
        .evaluate(&DecisionTable::default())
        .keys
        .keys()
        .copied()
        .collect();
    for key in keys {
        let Some(nccl) = model.nccl_model(key) else {
            continue;
        };
        let mut best = (time(&policy), None);
        let bytes = key.bucket.min_bytes();
        for (algorithm, protocol) in nccl.cost_table(key.collective, bytes, 1).possible() {
            for channels in [1, 2, 4, 8, 16, 32, 64] {
                for chunk in (15..=22).map(|k| 1 << k) {
                    let choice = Choice::new(algorithm, protocol)
                        .with_channels(channels)
                        .with_chunk_bytes(chunk);
                    let with = time(&policy.with_choice(key, Some(choice)));
                    if with < best.0 {
                        best = (with, Some(choice));
                    }
                }
            }
        }
        policy = policy.with_choice(key, best.1);
    }
    time(&policy) / 1e6
}

#[test]
fn default_iterations_and_the_best_gain_are_near_the_published_ones() {
    let (mut default_near, mut gain_near) = (0, 0);
    for (workload, cluster, gpus, default_s, tuned_s) in FIGURE_11 {
        let model = model(workload, cluster, gpus);
        let ours_s = model.evaluate(&DecisionTable::default()).iteration_us / 1e6;
        let best_s = best_s(&model);
        let error = 100.0 * (ours_s / default_s - 1.0);
        let (gain, published) = (
            100.0 * (1.0 - best_s / ours_s),
            100.0 * (1.0 - tuned_s / default_s),
        );
        default_near += u32::from(error.abs() <= 15.0);
        gain_near += u32::from((gain - published).abs() <= 10.0);
        eprintln!(
            "{workload:12} {cluster:16} {gpus:2} GPUs: default {ours_s:9.3} s, published {default_s:9.3} s \
             ({error:+5.1} %); best gain {gain:4.1} %, published {published:4.1} %"
        );
    }
    eprintln!(
        "{default_near} of 14 defaults within 15 %, {gain_near} of 14 gains within 10 points"
    );
    assert!(default_near >= 10, "{default_near} of 14");
    assert!(gain_near >= 10, "{gain_near} of 14");
}
