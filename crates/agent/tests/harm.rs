//! What tuning does to the job, without the noise: over everything that ships and fits.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod common;

use ccl_agent::guard::{Approved, ApprovedProbe};
use ccl_agent::testbed::{
    IterationSample, KeyFacts, SimulatedTestbed, Testbed, TestbedError, TestbedInfo,
};
use ccl_agent::tuner::TuneOptions;
use ccl_core::{CLUSTERS, Choice, TaskKey, TraceEvent};
use ccl_sim::noise::{NoiseModel, Scenario};
use common::{With, cluster, tune, workload};

const WORKLOADS: [&str; 11] = [
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

/// Watches a simulated job, and knows what each iteration would have taken without noise.
struct Watched {
    inner: SimulatedTestbed,
    default_us: f64,
    ratios: Vec<f64>,
    last_us: f64,
}

impl Watched {
    fn regret(&self) -> f64 {
        self.ratios.iter().map(|r| (r - 1.0).max(0.0)).sum()
    }

    fn worst(&self) -> f64 {
        self.ratios.iter().copied().fold(1.0, f64::max)
    }
}

impl Testbed for Watched {
    fn describe(&self) -> &TestbedInfo {
        self.inner.describe()
    }

    fn keys(&self) -> &[KeyFacts] {
        self.inner.keys()
    }

    fn untuned_choice(&self, key: TaskKey) -> Option<Choice> {
        self.inner.untuned_choice(key)
    }

    fn run_iteration(&mut self, approved: &Approved) -> Result<IterationSample, TestbedError> {
        let us = self.inner.noise_free_iteration_us(approved)?;
        if self.default_us == 0.0 {
            self.default_us = us;
        }
        self.ratios.push(us / self.default_us);
        self.inner.run_iteration(approved)
    }

    fn probe(&mut self, approved: &ApprovedProbe, n: u32) -> Result<Vec<f64>, TestbedError> {
        self.inner.probe(approved, n)
    }

    fn recover(&mut self, approved: &Approved) -> Result<f64, TestbedError> {
        self.inner.recover(approved)
    }

    fn leave(&mut self, approved: &Approved) -> Result<(), TestbedError> {
        self.last_us = self.inner.noise_free_iteration_us(approved)?;
        Ok(())
    }

    fn oracle_iteration_us(&self, choices: &[(TaskKey, Choice)]) -> Result<f64, TestbedError> {
        self.inner.oracle_iteration_us(choices)
    }
}

#[test]
fn no_iteration_is_a_tenth_slower_and_tuning_costs_less_than_half_an_iteration() {
    let mut regrets = Vec::new();
    let mut worst = (1.0, String::new());
    let seeds: u64 = std::env::var("HARM_SEEDS").map_or(1, |n| n.parse().unwrap());
    let mut captured = Vec::new();
    let began = std::time::Instant::now();
    for name in WORKLOADS {
        let spec = workload(name);
        for (on, _) in CLUSTERS {
            let on = cluster(on);
            for seed in 1..=seeds {
                let noise = NoiseModel::typical(seed);
                let Ok(inner) = SimulatedTestbed::new(&spec, &on, noise, Scenario::default())
                else {
                    continue;
                };
                let mut testbed = Watched {
                    inner,
                    default_us: 0.0,
                    ratios: Vec::new(),
                    last_us: 0.0,
                };
                let options = TuneOptions {
                    seed,
                    oracle: std::env::var("HARM_ORACLE").is_ok(),
                    ..TuneOptions::default()
                };
                let with = With {
                    options,
                    ..With::default()
                };
                let ran = tune(&mut testbed, &on, with);
                if ran.result.is_err() {
                    eprintln!("{name} {} {:?}", on.name, ran.result.as_ref().err());
                    continue;
                }
                let summary = ran.summary();
                let rolled = ran
                    .trace
                    .iter()
                    .filter(|l| matches!(l.event, TraceEvent::RolledBack { .. }))
                    .count();
                let label = format!("{name} on {} seed {seed}", on.name);
                eprintln!(
                    "{label}: worst {:.3} regret {:.3} booked {:.2} iterations {} trials {} refused {} rolled {rolled} {:?} {} captured {:?} final {:.3}",
                    testbed.worst(),
                    testbed.regret(),
                    summary.tuning_cost.regret_iterations,
                    summary.tuning_cost.iterations,
                    summary.trials,
                    summary.refused,
                    summary.stopped_because,
                    summary.verdict == ccl_core::Verdict::Faster,
                    summary.oracle.map(|o| o.captured),
                    testbed.last_us / testbed.default_us
                );
                captured.extend(summary.oracle.map(|o| o.captured));
                regrets.push(testbed.regret());
                if testbed.worst() > worst.0 {
                    worst = (testbed.worst(), label);
                }
            }
        }
    }
    regrets.sort_by(f64::total_cmp);
    captured.sort_by(f64::total_cmp);
    eprintln!(
        "{} runs {:?}: median regret {:.3} p90 {:.3} max {:.3}; worst {worst:?}",
        regrets.len(),
        began.elapsed(),
        regrets[regrets.len() / 2],
        regrets[regrets.len() * 9 / 10],
        regrets[regrets.len() - 1]
    );
    if !captured.is_empty() {
        eprintln!(
            "captured median {:.3} p10 {:.3} mean {:.3}",
            captured[captured.len() / 2],
            captured[captured.len() / 10],
            captured.iter().sum::<f64>() / captured.len() as f64
        );
    }
}
