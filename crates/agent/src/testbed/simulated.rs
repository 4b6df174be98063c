//! The simulated testbed: a workload on a cluster, in the models of [`ccl_sim`], with noise.
//!
//! An iteration is the model's noise-free time under the configuration, shifted by what the leased
//! calls cost, times noise that depends on the seed and the iteration's number alone. No state
//! carries a gain from one configuration to the next.

mod iteration;

use std::collections::BTreeMap;

use ccl_core::{
    Choice, ClusterSpec, DecisionTable, Environment, Policy, Source, TaskKey, WorkloadSpec,
};
use ccl_sim::iteration::{IterationError, IterationModel, IterationTime};
use ccl_sim::noise::{NoiseModel, Scenario};
use ccl_sim::{ProcessSettings, SettingsError};
use thiserror::Error;

use self::iteration::Known;
use super::{
    IterationSample, KeyFacts, LegalChoices, RestartTerms, Testbed, TestbedError, TestbedInfo,
};
use crate::guard::{Approved, ApprovedProbe, ApprovedRestart};

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
    workload: WorkloadSpec,
    cluster: ClusterSpec,
    /// What the job was started with beside the workload's own variables.
    environment: Environment,
    /// Whether the next iteration is the first after a restart.
    is_cold: bool,
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
        let model = modelled(workload, cluster, &Environment::default())?;
        let untuned_time = model.evaluate(&DecisionTable::default());
        let untuned = untuned(&untuned_time);
        let mut keys = Vec::new();
        for (key, time) in &untuned_time.keys {
            let legal = legal(&model, *key, time.bytes);
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
            workload: workload.clone(),
            cluster: cluster.clone(),
            environment: Environment::default(),
            is_cold: false,
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

    /// The job runs with these variables beside its own from now on.
    fn start(&mut self, environment: &Environment) -> Result<(), SimulatedError> {
        self.model = modelled(&self.workload, &self.cluster, environment)?;
        self.untuned = untuned(&self.model.evaluate(&DecisionTable::default()));
        for facts in &mut self.keys {
            facts.legal = legal(&self.model, facts.key, facts.bytes);
        }
        self.environment = environment.clone();
        self.known = None;
        Ok(())
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

/// The variables of NCCL that the workload itself sets.
fn own_variables(workload: &WorkloadSpec) -> Environment {
    let of_nccl = |(name, _): &(&String, &String)| name.starts_with("NCCL_");
    let variables = workload.env.iter().filter(of_nccl);
    Environment {
        variables: variables.map(|(n, v)| (n.clone(), v.clone())).collect(),
    }
}

/// The job with variables beside its own.
fn modelled(
    workload: &WorkloadSpec,
    cluster: &ClusterSpec,
    added: &Environment,
) -> Result<IterationModel, SimulatedError> {
    let mut environment = own_variables(workload);
    environment.variables.extend(added.variables.clone());
    let settings = ProcessSettings {
        opened_channels: Some(OPENED_CHANNELS),
        ..ProcessSettings::from_environment(&environment)?
    };
    Ok(IterationModel::new(workload, cluster, &settings)?)
}

/// What NCCL runs by itself.
fn untuned(time: &IterationTime) -> BTreeMap<TaskKey, Choice> {
    let tunable = time.keys.iter().filter(|(k, _)| k.collective.is_tunable());
    let choices = tunable.filter_map(|(key, time)| {
        let c = time.choice?;
        let choice = Choice::new(c.algorithm, c.protocol).with_channels(c.channels);
        Some((*key, choice.with_chunk_bytes(c.chunk_bytes)))
    });
    choices.collect()
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
        if approved.configuration().environment != self.environment {
            return Err(TestbedError::NotMeasurable {
                reason: "the job runs in another environment".to_owned(),
            });
        }
        let mut sample = self.next_iteration(approved)?;
        if std::mem::take(&mut self.is_cold) {
            sample.iteration_us *= 1.0 + self.noise.cold_start;
        }
        Ok(sample)
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

    fn restart_terms(&self) -> Option<RestartTerms> {
        Some(RestartTerms {
            price_us: RESTART_US,
            own: own_variables(&self.workload),
            variables: ProcessSettings::MODELLED.to_vec(),
        })
    }

    fn restart(&mut self, approved: &ApprovedRestart) -> Result<f64, TestbedError> {
        self.start(approved.environment())
            .map_err(|error| TestbedError::NotMeasurable {
                reason: error.to_string(),
            })?;
        self.is_cold = true;
        Ok(RESTART_US)
    }

    fn recover(&mut self, approved: &Approved) -> Result<f64, TestbedError> {
        let environment = &approved.configuration().environment;
        if *environment != self.environment {
            self.start(environment)
                .map_err(|error| TestbedError::Gone {
                    reason: error.to_string(),
                })?;
        }
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

#[cfg(test)]
mod tests;
