//! A machine where no choice makes any difference: whatever is called faster there is an error.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod common;

use ccl_agent::guard::{Approved, ApprovedProbe};
use ccl_agent::testbed::{
    IterationSample, KeyFacts, KeySample, LeaseSample, LegalChoices, Testbed, TestbedError,
    TestbedInfo,
};
use ccl_agent::tuner::TuneOptions;
use ccl_core::{
    Algorithm, Choice, Collective, CommShape, NcclVersion, Protocol, Source, TaskKey, Verdict,
};
use ccl_sim::noise::NoiseModel;
use common::{With, cluster, tune};

const CALL_US: f64 = 1000.0;

/// Every call takes the same time but for the noise.
struct PureNoise {
    info: TestbedInfo,
    keys: Vec<KeyFacts>,
    noise: NoiseModel,
    iteration: u64,
    probes: u64,
}

impl PureNoise {
    fn new(seed: u64) -> Self {
        let legal = LegalChoices {
            pairs: [Algorithm::Tree, Algorithm::Ring]
                .into_iter()
                .flat_map(|a| [Protocol::Ll, Protocol::Simple].map(|p| (a, p)))
                .collect(),
            channels: vec![1, 2, 4, 8],
            chunk_bytes: vec![1 << 15, 1 << 17, 1 << 19],
            only: None,
        };
        let key = |bytes: u64, calls, overlapped| KeyFacts {
            key: TaskKey::of(CommShape::new(8, 1), Collective::AllReduce, bytes),
            bytes,
            calls,
            overlapped,
            legal: legal.clone(),
        };
        Self {
            info: TestbedInfo {
                kind: "noise",
                source: Source::Simulated,
                cluster: "noise".to_owned(),
                nccl_version: NcclVersion::new(2, 27, 0),
                resolution: 0.0,
                notes: Vec::new(),
            },
            keys: vec![
                key(1 << 20, 400, false),
                key(1 << 24, 1, false),
                key(1 << 26, 40, true),
            ],
            // Noisier than usual, with everything in it that could look like a gain.
            noise: NoiseModel {
                iteration: 0.02,
                call: 0.1,
                ..NoiseModel::typical(seed)
            },
            iteration: 0,
            probes: 0,
        }
    }
}

impl Testbed for PureNoise {
    fn describe(&self) -> &TestbedInfo {
        &self.info
    }

    fn keys(&self) -> &[KeyFacts] {
        &self.keys
    }

    fn untuned_choice(&self, _key: TaskKey) -> Option<Choice> {
        Some(Choice::new(Algorithm::Ring, Protocol::Simple).with_channels(2))
    }

    fn run_iteration(&mut self, approved: &Approved) -> Result<IterationSample, TestbedError> {
        let number = self.iteration;
        self.iteration += 1;
        let keys = self.keys.iter().enumerate().map(|(index, facts)| {
            let leases: Vec<_> = approved
                .leases()
                .iter()
                .filter(|l| l.key == facts.key)
                .collect();
            let sample = |slot: u64| -> Vec<f64> {
                let blocks = if facts.calls == 1 { 1 } else { 8 };
                let stream = |block| (index as u64 + 1) * 1000 + slot * 10 + block;
                (0..blocks)
                    .map(|block| CALL_US * self.noise.calls_factor(number, stream(block), 1))
                    .collect()
            };
            let all_leased = facts.calls == 1 && !leases.is_empty();
            KeySample {
                key: facts.key,
                calls_us: if all_leased { Vec::new() } else { sample(0) },
                choice: None,
                leases: leases
                    .iter()
                    .zip(1..)
                    .map(|(l, slot)| LeaseSample {
                        choice: l.choice,
                        calls_us: sample(slot),
                    })
                    .collect(),
            }
        });
        let keys = keys.collect();
        Ok(IterationSample {
            iteration_us: 1e6 * self.noise.iteration_factor(number),
            keys,
        })
    }

    fn probe(&mut self, _approved: &ApprovedProbe, n: u32) -> Result<Vec<f64>, TestbedError> {
        self.probes += 1;
        let stream = |i| 1_000_000 + self.probes * 64 + i;
        Ok((0..u64::from(n))
            .map(|i| CALL_US * self.noise.calls_factor(0, stream(i), 1))
            .collect())
    }

    fn oracle_iteration_us(&self, _choices: &[(TaskKey, Choice)]) -> Result<f64, TestbedError> {
        Ok(1e6)
    }
}

#[test]
fn pure_noise_is_hardly_ever_called_faster() {
    const SEEDS: u64 = 200;
    let on = cluster("a40-pcie-8gpu");
    let (mut faster, mut kept) = (0, 0);
    for seed in 0..SEEDS {
        let options = TuneOptions {
            seed,
            ..TuneOptions::default()
        };
        let mut testbed = PureNoise::new(seed);
        let ran = tune(
            &mut testbed,
            &on,
            With {
                options,
                ..With::default()
            },
        );
        let summary = ran.summary();
        faster += u32::from(summary.verdict == Verdict::Faster);
        kept += u32::from(summary.trials > summary.rolled_back);
    }
    eprintln!("{faster} of {SEEDS} called faster; in {kept} the search had kept something");
    let allowed = TuneOptions::default().alpha * SEEDS as f64;
    assert!(
        f64::from(faster) <= allowed,
        "{faster} of {SEEDS}, {allowed} allowed"
    );
}
