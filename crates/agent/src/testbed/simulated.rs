//! The simulated testbed: a workload on a cluster, in the models of [`ccl_sim`], with noise.
//!
//! An iteration is the model's noise-free time under the configuration, shifted by what the leased
//! calls cost, times noise that depends on the seed and the iteration's number alone. No state
//! carries a gain from one configuration to the next.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use ccl_core::{
    Choice, ClusterSpec, Configuration, DecisionTable, Environment, Policy, Source, TaskKey,
    WorkloadSpec,
};
use ccl_sim::iteration::{IterationError, IterationModel, IterationTime};
use ccl_sim::noise::{Fate, NoiseModel, Scenario};
use ccl_sim::{ProcessSettings, SettingsError};
use thiserror::Error;

use super::{
    IterationSample, KeyFacts, KeySample, LeaseSample, LegalChoices, RestartTerms, Testbed,
    TestbedError, TestbedInfo,
};
use crate::guard::{Approved, ApprovedProbe, ApprovedRestart};

/// Channels a communicator is opened with: all NCCL has (`MAXCHANNELS`).
const OPENED_CHANNELS: u32 = 64;
/// Channel counts worth asking for.
const CHANNELS: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Chunk sizes worth asking for: 32 KiB to 2 MiB, half of NCCL's default buffer.
const CHUNK_LOG2: std::ops::RangeInclusive<u32> = 15..=21;
/// Blocks that the leased calls of an iteration are spread over.
const BLOCKS: u64 = 8;
/// Noise streams of one key: one per lease and block, the incumbent's first.
const STREAMS_OF_KEY: u64 = 4096;
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

struct Known {
    configuration: Configuration,
    time: IterationTime,
    with: BTreeMap<(TaskKey, Choice), IterationTime>,
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

    /// Noise-free times under an approved configuration and with each of its leases on all calls.
    fn learn(&mut self, approved: &Approved) -> Result<Known, TestbedError> {
        let configuration = approved.configuration();
        let mut known = match self.known.take() {
            Some(known) if known.configuration == *configuration => known,
            _ => Known {
                configuration: configuration.clone(),
                time: self.evaluate(&configuration.policy)?,
                with: BTreeMap::new(),
            },
        };
        for lease in approved.leases() {
            if let Entry::Vacant(unknown) = known.with.entry((lease.key, lease.choice)) {
                let policy = configuration
                    .policy
                    .with_choice(lease.key, Some(lease.choice));
                unknown.insert(self.evaluate(&policy)?);
            }
        }
        Ok(known)
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

    /// The choices that somebody asked for and that run in an iteration.
    fn asked_for(&self, approved: &Approved) -> Vec<(TaskKey, Choice)> {
        let policy = &approved.configuration().policy;
        let of_keys = self.keys.iter().filter_map(|facts| {
            let choice = policy.choice_for(facts.key)?;
            (approved.leased_calls(facts.key) < facts.calls).then_some((facts.key, choice))
        });
        let leased = approved.leases().iter().map(|l| (l.key, l.choice));
        of_keys.chain(leased).collect()
    }

    /// What slowed calls add to an iteration, microseconds: as if nothing ran beside them.
    fn slowed_us(&self, number: u64, approved: &Approved, known: &Known) -> f64 {
        let policy = &approved.configuration().policy;
        let mut added_us = 0.0;
        for facts in &self.keys {
            let mut add = |choice: &Choice, calls: u64, time: &IterationTime| {
                let factor = self.scenario.calls_factor(number, facts.key, choice);
                let call_us = time.keys.get(&facts.key).map_or(0.0, |k| k.call_us);
                #[allow(clippy::cast_precision_loss)] // counts of calls
                let calls = calls as f64;
                added_us += calls * call_us * (factor - 1.0);
            };
            if let Some(choice) = policy.choice_for(facts.key) {
                let left = facts.calls.saturating_sub(approved.leased_calls(facts.key));
                add(&choice, left, &known.time);
            }
            for lease in approved.leases().iter().filter(|l| l.key == facts.key) {
                if let Some(with) = known.with.get(&(lease.key, lease.choice)) {
                    add(&lease.choice, lease.calls.min(facts.calls), with);
                }
            }
        }
        added_us
    }
}

impl Known {
    /// Time of an iteration some of whose calls are leased, microseconds: each lease shifts it by its
    /// share of what it would do on all calls.
    fn mixed_us(&self, approved: &Approved, keys: &[KeyFacts]) -> f64 {
        let shifts = approved.leases().iter().filter_map(|lease| {
            let with = self.with.get(&(lease.key, lease.choice))?;
            let calls = keys.iter().find(|k| k.key == lease.key)?.calls.max(1);
            #[allow(clippy::cast_precision_loss)] // counts of calls
            let share = lease.calls.min(calls) as f64 / calls as f64;
            Some(share * (with.iteration_us - self.time.iteration_us))
        });
        self.time.iteration_us + shifts.sum::<f64>()
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
        let number = self.iteration;
        self.iteration += 1;
        let asked_for = self.asked_for(approved);
        let disturbance = match self.scenario.fate_with(number, &asked_for) {
            Fate::Runs(factor) => factor,
            Fate::Hangs => {
                return Err(TestbedError::Hung {
                    waited_s: approved.deadline_us() / 1e6,
                });
            }
            Fate::Fails => {
                return Err(TestbedError::Failed {
                    reason: "a rank died".to_owned(),
                });
            }
        };
        let known = self.learn(approved)?;
        let mut iteration_us =
            known.mixed_us(approved, &self.keys) + self.slowed_us(number, approved, &known);
        let mut keys = Vec::new();
        for (index, facts) in self.keys.iter().enumerate() {
            let Some(time) = known.time.keys.get(&facts.key) else {
                continue;
            };
            let leases: Vec<_> = approved
                .leases()
                .iter()
                .filter(|l| l.key == facts.key)
                .collect();
            let leased: u64 = leases.iter().map(|l| l.calls).sum();
            let left = facts.calls.saturating_sub(leased);
            // As many blocks as the largest lease has calls, up to a few; the incumbent's calls lie
            // around all of them. Without leases one block of everything.
            let blocks_of = |calls: u64| BLOCKS.min(calls).max(1);
            let blocks = leases.iter().map(|l| blocks_of(l.calls)).max().unwrap_or(1);
            let first_stream = (index as u64 + 1) * STREAMS_OF_KEY;
            let policy = &approved.configuration().policy;
            let slow = |choice: Option<Choice>| {
                choice.map_or(1.0, |c| self.scenario.calls_factor(number, facts.key, &c))
            };
            let sample = |mean_us: f64, lease: u64, calls: u64, blocks: u64| -> Vec<f64> {
                let calls_of_block = (calls / blocks).max(1);
                (0..blocks)
                    .map(|block| {
                        let stream = first_stream + lease * (BLOCKS + 1) + block;
                        mean_us
                            * self.noise.calls_factor(number, stream, calls_of_block)
                            * disturbance
                    })
                    .collect()
            };
            let calls_us = if left == 0 {
                Vec::new()
            } else {
                sample(
                    time.call_us * slow(policy.choice_for(facts.key)),
                    0,
                    left,
                    blocks,
                )
            };
            let mut lease_samples = Vec::new();
            for (lease, slot) in leases.iter().zip(1..) {
                let Some(with) = known.with.get(&(lease.key, lease.choice)) else {
                    continue;
                };
                let call_us = with.keys.get(&lease.key).map_or(f64::NAN, |k| k.call_us);
                lease_samples.push(LeaseSample {
                    choice: lease.choice,
                    calls_us: sample(
                        call_us * slow(Some(lease.choice)),
                        slot,
                        lease.calls,
                        blocks_of(lease.calls),
                    ),
                });
            }
            let choice = policy
                .choice_for(facts.key)
                .or_else(|| self.untuned_choice(facts.key));
            keys.push(KeySample {
                key: facts.key,
                calls_us,
                choice,
                leases: lease_samples,
            });
        }
        iteration_us *= self.noise.iteration_factor(number) * disturbance;
        if std::mem::take(&mut self.is_cold) {
            iteration_us *= 1.0 + self.noise.cold_start;
        }
        self.known = Some(known);
        Ok(IterationSample { iteration_us, keys })
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
mod tests {
    use ccl_core::{Algorithm, cluster_text};

    use super::*;
    use crate::guard::{Bounds, Guard};

    #[test]
    fn a_restart_changes_what_is_possible_and_what_runs_but_not_the_keys() {
        let cluster = ClusterSpec::parse(cluster_text("dgx-h100").unwrap()).unwrap();
        let text = include_str!("../../../../workload/demo/allreduce-8gpu.json");
        let mut job = WorkloadSpec::parse(text).unwrap();
        job.env.insert("NCCL_NVLS_ENABLE".into(), "0".into());
        let quiet = NoiseModel::none();
        let mut testbed =
            SimulatedTestbed::new(&job, &cluster, quiet, Scenario::default()).unwrap();
        let offers_nvls = |testbed: &SimulatedTestbed| {
            let pairs = testbed.keys().iter().flat_map(|k| &k.legal.pairs);
            pairs.into_iter().any(|(a, _)| *a == Algorithm::Nvls)
        };
        let keys = |testbed: &SimulatedTestbed| -> Vec<(TaskKey, u64, u64)> {
            let keys = testbed.keys().iter();
            keys.map(|k| (k.key, k.bytes, k.calls)).collect()
        };
        let terms = testbed.restart_terms().unwrap();
        assert_eq!(terms.own.get("NCCL_NVLS_ENABLE"), Some("0"));
        let mut guard = Guard::new(Bounds::default(), testbed.keys()).with_restarts(9);
        let home = guard.approve_untuned();
        let slow_us = testbed.run_iteration(&home).unwrap().iteration_us;
        let before = keys(&testbed);
        assert!(!offers_nvls(&testbed));

        let set = |name: &str, value: &str| Environment {
            variables: [(name.to_owned(), value.to_owned())].into(),
        };
        let unknown = guard.approve_restart(&set("NCCL_IB_TC", "106"), &terms, false);
        let refused = testbed.restart(&unknown.unwrap()).unwrap_err();
        assert!(!refused.is_harm() && refused.to_string().contains("NCCL_IB_TC"));
        assert!(testbed.run_iteration(&home).is_ok(), "it runs on as it was");

        let switches = set("NCCL_NVLS_ENABLE", "2");
        let restart = guard.approve_restart(&switches, &terms, false).unwrap();
        assert_eq!(testbed.restart(&restart), Ok(RESTART_US));
        assert!(offers_nvls(&testbed));
        assert_eq!(keys(&testbed), before);
        assert!(matches!(
            testbed.run_iteration(&home),
            Err(TestbedError::NotMeasurable { .. })
        ));
        guard.runs_in(&switches, testbed.keys(), []);
        let there = guard.approve_untuned();
        let fast_us = testbed.run_iteration(&there).unwrap().iteration_us;
        assert!(fast_us < 0.9 * slow_us, "{fast_us} against {slow_us}");

        // A failure there leads back, whatever it takes.
        assert_eq!(testbed.recover(&home), Ok(RESTART_US));
        assert_eq!(testbed.run_iteration(&home).unwrap().iteration_us, slow_us);
    }
}
