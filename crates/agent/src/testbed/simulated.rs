//! The simulated testbed: a workload on a cluster, in the models of [`ccl_sim`], with noise.
//!
//! An iteration is the model's noise-free time under the configuration, shifted by what the leased
//! calls cost, times noise that depends on the seed and the iteration's number alone. No state
//! carries a gain from one configuration to the next.

mod iteration;

use std::collections::BTreeMap;

use ccl_core::{Choice, ClusterSpec, DecisionTable, Policy, Source, TaskKey, WorkloadSpec};
use ccl_sim::iteration::{IterationError, IterationModel, IterationTime};
use ccl_sim::noise::{NoiseModel, Scenario};
use ccl_sim::{ProcessSettings, SettingsError};
use thiserror::Error;

use self::iteration::Known;
use super::{IterationSample, KeyFacts, LegalChoices, Testbed, TestbedError, TestbedInfo};
use crate::guard::{Approved, ApprovedProbe};

/// Channels a communicator is opened with: all NCCL has (`MAXCHANNELS`).
const OPENED_CHANNELS: u32 = 64;
/// Channel counts worth asking for.
const CHANNELS: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Chunk sizes worth asking for: 32 KiB to 2 MiB, half of NCCL's default buffer.
const CHUNK_LOG2: std::ops::RangeInclusive<u32> = 15..=21;
/// How long the simulated job is down when it has to be started again, microseconds: an assumption, for
/// a scheduler and a checkpoint that are both quick.
const RESTART_US: f64 = 120e6;
/// First stream of the probes, far from those of the iterations.
const PROBE_STREAMS: u64 = 1 << 40;

/// Why a job cannot be simulated.
#[derive(Debug, Error)]
pub enum SimulatedError {
    /// The workload does not fit, or says nothing about its traffic.
    #[error(transparent)]
    Iteration(#[from] IterationError),
    /// The workload sets a variable the simulator does not model.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// A simulated job.
pub struct SimulatedTestbed {
    info: TestbedInfo,
    model: IterationModel,
    keys: Vec<KeyFacts>,
    untuned: BTreeMap<TaskKey, Choice>,
    noise: NoiseModel,
    scenario: Scenario,
    iteration: u64,
    probes: u64,
    /// The last configuration's noise-free times, and what each leased choice did to them.
    known: Option<Known>,
}

impl SimulatedTestbed {
    /// A job on a cluster.
    ///
    /// # Errors
    /// A workload that cannot be simulated there.
    pub fn new(
        workload: &WorkloadSpec,
        cluster: &ClusterSpec,
        noise: NoiseModel,
        scenario: Scenario,
    ) -> Result<Self, SimulatedError> {
        let environment = ccl_core::Environment {
            variables: workload
                .env
                .iter()
                .filter(|(name, _)| name.starts_with("NCCL_"))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        };
        let settings = ProcessSettings {
            opened_channels: Some(OPENED_CHANNELS),
            ..ProcessSettings::from_environment(&environment)?
        };
        let model = IterationModel::new(workload, cluster, &settings)?;
        let untuned_time = model.evaluate(&DecisionTable::default());
        let mut untuned = BTreeMap::new();
        let mut keys = Vec::new();
        for (key, time) in &untuned_time.keys {
            let legal = legal(&model, *key, time.bytes);
            if let Some(c) = time.choice.filter(|_| key.collective.is_tunable()) {
                let choice = Choice::new(c.algorithm, c.protocol).with_channels(c.channels);
                untuned.insert(*key, choice.with_chunk_bytes(c.chunk_bytes));
            }
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a count of calls
            let calls = time.calls.round().max(1.0) as u64;
            let overlapped = time.overlapped;
            keys.push(KeyFacts {
                key: *key,
                bytes: time.bytes,
                calls,
                overlapped,
                legal,
            });
        }
        let info = TestbedInfo {
            kind: "simulated",
            source: Source::Simulated,
            cluster: cluster.name.clone(),
            nccl_version: cluster.nccl_version,
            resolution: 0.0,
            notes: vec![
                "every figure is computed by a model; nothing was measured".to_owned(),
                format!(
                    "channels and chunk are taken to be settable per call, on communicators opened \
                     with {OPENED_CHANNELS} channels: AutoCCL's patched NCCL does that, a plain NCCL \
                     before the tuner interface v6 does not"
                ),
            ],
        };
        Ok(Self {
            info,
            model,
            keys,
            untuned,
            noise,
            scenario,
            iteration: 0,
            probes: 0,
            known: None,
        })
    }

    fn evaluate(&self, policy: &Policy) -> Result<IterationTime, TestbedError> {
        let table = policy
            .compile()
            .map_err(|error| TestbedError::NotMeasurable {
                reason: error.to_string(),
            })?;
        Ok(self.model.evaluate(&table))
    }

    /// Time of an iteration under what is approved if nothing disturbed it, microseconds: for whoever
    /// judges the agent, never shown to it.
    ///
    /// # Errors
    /// A configuration that does not compile.
    pub fn noise_free_iteration_us(&mut self, approved: &Approved) -> Result<f64, TestbedError> {
        let known = self.learn(approved)?;
        let iteration_us = known.mixed_us(approved, &self.keys);
        self.known = Some(known);
        Ok(iteration_us)
    }
}

fn legal(model: &IterationModel, key: TaskKey, bytes: u64) -> LegalChoices {
    let Some(nccl) = model
        .nccl_model(key)
        .filter(|_| key.collective.is_tunable())
    else {
        return LegalChoices::default();
    };
    LegalChoices {
        pairs: nccl
            .cost_table(key.collective, bytes, 1)
            .possible()
            .collect(),
        channels: CHANNELS.to_vec(),
        chunk_bytes: CHUNK_LOG2.map(|k| 1 << k).collect(),
        only: None,
    }
}

impl Testbed for SimulatedTestbed {
    fn describe(&self) -> &TestbedInfo {
        &self.info
    }

    fn keys(&self) -> &[KeyFacts] {
        &self.keys
    }

    fn untuned_choice(&self, key: TaskKey) -> Option<Choice> {
        self.untuned.get(&key).copied()
    }

    fn run_iteration(&mut self, approved: &Approved) -> Result<IterationSample, TestbedError> {
        self.next_iteration(approved)
    }

    fn probe(
        &mut self,
        approved: &ApprovedProbe,
        repetitions: u32,
    ) -> Result<Vec<f64>, TestbedError> {
        let call_us = self
            .model
            .call_us(approved.key(), approved.choice())
            .ok_or_else(|| TestbedError::NotMeasurable {
                reason: format!("{} does not occur", approved.key()),
            })?;
        let samples = (0..u64::from(repetitions)).map(|repetition| {
            let stream = PROBE_STREAMS + self.probes * 64 + repetition;
            call_us * self.noise.calls_factor(0, stream, 1)
        });
        let samples = samples.collect();
        self.probes += 1;
        Ok(samples)
    }

    fn recover(&mut self, _approved: &Approved) -> Result<f64, TestbedError> {
        Ok(RESTART_US)
    }

    fn oracle_iteration_us(&self, choices: &[(TaskKey, Choice)]) -> Result<f64, TestbedError> {
        let policy = choices
            .iter()
            .fold(Policy::default(), |policy, (key, choice)| {
                policy.with_choice(*key, Some(*choice))
            });
        Ok(self.evaluate(&policy)?.iteration_us)
    }
}
