//! Which machines are called broken: none that is healthy, and one whose links are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod common;

use std::path::{Path, PathBuf};

use ccl_agent::diagnosis::fault;
use ccl_agent::testbed::{SimulatedTestbed, Testbed};
use ccl_agent::tuner::TuneOptions;
use ccl_core::{
    Bottleneck, CLUSTERS, ClusterSpec, HardwareSpec, StoppedBecause, TraceEvent, Verdict,
    read_measured_csv,
};
use ccl_sim::noise::{NoiseModel, Scenario, ScenarioEvent};
use ccl_sim::validation::validate;
use common::{Ran, With, cluster, simulated, tune, workload};

const WORKLOADS: [&str; 10] = [
    "autoccl/llama3.1-8b.json",
    "autoccl/phi2-2b.json",
    "autoccl/torch-demo.json",
    "autoccl/vgg19.json",
    "autoccl/yi-1.5-34b.json",
    "demo/allreduce-8gpu.json",
    "demo/already-optimal.json",
    "modern/llama3-70b-3d.json",
    "modern/llama3-8b-fsdp.json",
    "modern/qwen3-30b-a3b-moe.json",
];

/// Nothing is tried: what is diagnosed after the baseline is all that is asked for.
fn untried(seed: u64) -> With {
    With {
        options: TuneOptions {
            seed,
            budget: 0,
            ..TuneOptions::default()
        },
        ..With::default()
    }
}

fn share_of(ran: &Ran) -> Option<f64> {
    let diagnosis = ran.summary().diagnosis.as_ref()?;
    Some(diagnosis.figures[0].value)
}

#[test]
fn no_healthy_machine_of_the_catalogue_is_called_broken() {
    let mut judged = 0;
    for (name, _) in CLUSTERS {
        for job in WORKLOADS {
            let spec = cluster(name);
            let noise = NoiseModel::typical(1);
            let testbed = SimulatedTestbed::new(&workload(job), &spec, noise, Scenario::default());
            let Ok(mut testbed) = testbed else { continue };
            if !testbed
                .keys()
                .iter()
                .any(ccl_agent::testbed::KeyFacts::is_tunable)
            {
                continue;
            }
            let ran = tune(&mut testbed, &spec, untried(1));
            eprintln!("{name} {job} {:?}", share_of(&ran));
            for line in &ran.trace {
                if let TraceEvent::Diagnosed { diagnosis } = &line.event {
                    eprintln!(
                        "   {} {:?} {:.2} {}",
                        diagnosis.class, diagnosis.also, diagnosis.confidence, diagnosis.because
                    );
                }
            }
            for a in &ran.summary().advice {
                eprintln!("   ADVICE {} {} {}", a.variable, a.value, a.because);
            }
            judged += 1;
        }
    }
    eprintln!("{judged} judged");
}

#[test]
fn recorded() {
    let root = std::env::var_os("CCL_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let file = root.join("measured/nccl_measured.csv");
    let Ok(text) = std::fs::read_to_string(&file) else {
        eprintln!("skipped: {} is not there; set CCL_SHARED", file.display());
        return;
    };
    let found = validate(&read_measured_csv(&text).unwrap());
    let mut rows: Vec<_> = found
        .compared
        .iter()
        .filter(|r| r.point.cell.bytes >= 4 << 20)
        .map(|r| (r.predicted_us / r.point.time_us, r))
        .collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (share, r) in rows.iter().take(40) {
        eprintln!(
            "{share:.3} {} {} {} {} {}",
            r.point.dataset,
            r.point.cell.shape,
            r.point.cell.collective,
            r.point.cell.bytes,
            r.point.asked
        );
    }
    eprintln!("{} rows", rows.len());
}
