//! The hardware model against the published measurements, where they are at hand.
//!
//! The data is not part of the repository: `CCL_SHARED` names the folder that holds
//! `measured/nccl_measured.csv`. The figures asserted here are those of doc/model-validation.md.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

use std::path::{Path, PathBuf};

use ccl_core::{Algorithm, ClusterSpec, Collective, CommShape, cluster_text, read_measured_csv};
use ccl_sim::hardware::Hardware;
use ccl_sim::nccl::{Model, System};
use ccl_sim::validation::{Validation, validate};
use ccl_sim::{CollectiveCall, ComputeLoad, Group, ProcessSettings};

/// Largest median error a healthy data set may have, percent.
const HEALTHY: [(&str, f64); 8] = [
    ("aws_p4de", 15.0),
    ("aws_p5", 15.0),
    ("b300_algo", 15.0),
    ("b300_channels", 10.0),
    ("h100_cluster01", 15.0),
    ("h200_b200_nvls", 15.0),
    ("polaris_a100_slingshot", 15.0),
    ("rtx4090_pcie", 15.0),
];

fn validation() -> Option<Validation> {
    let root = std::env::var_os("CCL_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let file = root.join("measured/nccl_measured.csv");
    let Ok(text) = std::fs::read_to_string(&file) else {
        eprintln!("skipped: {} is not there; set CCL_SHARED", file.display());
        return None;
    };
    Some(validate(&read_measured_csv(&text).unwrap()))
}

#[test]
fn healthy_data_sets_are_met() {
    let Some(found) = validation() else { return };
    for (name, most) in HEALTHY {
        let set = found.datasets.iter().find(|d| d.name == name).unwrap();
        let median = set.median_abs_pct_error.unwrap();
        assert!(median <= most, "{name}: {median:.1} %");
        let untuned = set.default_median_abs_pct_error.unwrap_or(0.0);
        assert!(untuned <= most, "{name}, untuned: {untuned:.1} %");
        assert_eq!(set.not_covered, 0, "{name}: {:?}", set.reasons);
    }
}

#[test]
fn configurations_are_ranked_as_measured() {
    let Some(found) = validation() else { return };
    for name in ["autoccl_tables", "b300_algo", "b300_channels"] {
        let set = found.datasets.iter().find(|d| d.name == name).unwrap();
        assert!(set.spearman.unwrap() >= 0.9, "{name}: {:?}", set.spearman);
    }
}

/// Published: on 8xB300 Ring beats what NCCL chooses from 4 to 128 MiB and loses from 256 MiB up
/// (eunomia-bpf/nccl-eBPF, docs/eval-plan-b300.md).
#[test]
fn ring_and_nvls_cross_where_they_were_seen_to_cross() {
    let cluster = ClusterSpec::parse(cluster_text("hgx-b300").unwrap()).unwrap();
    let settings = ProcessSettings::default();
    let shape = CommShape::new(8, 1);
    let model = Model::new(System::derive(&cluster, shape, &settings), settings.clone());
    let hardware = Hardware::new(&cluster, &settings);
    let time_us = |algorithm: Algorithm, bytes: u64| {
        let collective = Collective::AllReduce;
        let table = model.cost_table(collective, bytes, 1);
        let (_, protocol) = table
            .possible()
            .filter(|(a, _)| *a == algorithm)
            .min_by(|x, y| {
                table
                    .get(x.0, x.1)
                    .partial_cmp(&table.get(y.0, y.1))
                    .unwrap()
            })
            .unwrap();
        let choice = ccl_core::Choice::new(algorithm, protocol);
        let choice = model.resolve(choice, collective, bytes);
        let group = Group::alone(shape);
        let call = CollectiveCall {
            collective,
            bytes,
            group,
            choice,
        };
        hardware.time(&call, ComputeLoad::NONE).time_us
    };
    for log in 22..=27 {
        let (ring, nvls) = (
            time_us(Algorithm::Ring, 1 << log),
            time_us(Algorithm::Nvls, 1 << log),
        );
        assert!(
            ring < nvls,
            "{} MiB: {ring:.0} against {nvls:.0} us",
            (1 << log) >> 20
        );
    }
    for log in 28..=33u32 {
        let bytes = 1u64 << log;
        let (ring, nvls) = (
            time_us(Algorithm::Ring, bytes),
            time_us(Algorithm::Nvls, bytes),
        );
        assert!(
            ring > nvls,
            "{} MiB: {ring:.0} against {nvls:.0} us",
            bytes >> 20
        );
    }
}
