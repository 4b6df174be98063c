//! What this machine should do, as its specification describes it: the cheapest of the three
//! sources of figures.
//!
//! The simulator's model of a call, without noise, without computation beside it, and without
//! having seen the machine. It ranks candidates before anything was tried, and a machine that
//! falls far behind it is broken. It is never evidence for a gain: its bias is learnt from the job
//! and it loses its say where it misleads.

use std::collections::BTreeMap;

use ccl_core::{Choice, ClusterSpec, CommShape, Environment, Policy, WorkloadSpec};
use ccl_sim::hardware::Hardware;
use ccl_sim::iteration::IterationModel;
use ccl_sim::nccl::{Model, System};
use ccl_sim::{CollectiveCall, ComputeLoad, Group, ProcessSettings, ResolvedChoice};

use crate::testbed::KeyFacts;

/// Channels NCCL has at most (`MAXCHANNELS`): what a communicator may be opened with.
const MOST_CHANNELS: u32 = 64;

/// The model of one cluster, for the communicators of one job.
#[derive(Clone, Debug)]
pub struct Expectation {
    hardware: Hardware,
    models: BTreeMap<CommShape, Model>,
    gpus_per_node: u32,
    settings: ProcessSettings,
    iteration: Option<IterationModel>,
    /// What the iteration is made from: once more for every other environment.
    job: Option<(WorkloadSpec, ClusterSpec)>,
}

impl Expectation {
    /// The model of these keys on a cluster.
    pub fn new(cluster: &ClusterSpec, keys: &[KeyFacts]) -> Self {
        let settable = keys.iter().any(|k| !k.legal.channels.is_empty());
        let settings = ProcessSettings {
            opened_channels: settable.then_some(MOST_CHANNELS),
            ..ProcessSettings::default()
        };
        let mut models = BTreeMap::new();
        for shape in keys.iter().map(|k| k.key.shape) {
            models.entry(shape).or_insert_with(|| {
                Model::new(System::derive(cluster, shape, &settings), settings.clone())
            });
        }
        Self {
            hardware: Hardware::new(cluster, &settings),
            models,
            gpus_per_node: cluster.gpus_per_node,
            settings,
            iteration: None,
            job: None,
        }
    }

    /// The same with what the workload says about its iteration: computation, and which calls run
    /// beside it. A workload that says nothing about its traffic, or does not fit, adds nothing.
    #[must_use]
    pub fn with_workload(mut self, workload: &WorkloadSpec, cluster: &ClusterSpec) -> Self {
        self.iteration = IterationModel::new(workload, cluster, &self.settings).ok();
        self.job = Some((workload.clone(), cluster.clone()));
        self
    }

    /// The iteration where a job starts with these variables; `None` where the workload is not known or the
    /// simulator does not model one of them.
    pub fn iteration_in(&self, environment: &Environment) -> Option<IterationModel> {
        let (workload, cluster) = self.job.as_ref()?;
        let settings = ProcessSettings {
            opened_channels: self.settings.opened_channels,
            ..ProcessSettings::from_environment(environment).ok()?
        };
        IterationModel::new(workload, cluster, &settings).ok()
    }

    /// Time of an iteration under a policy, microseconds, where the workload is known.
    pub fn iteration_us(&self, policy: &Policy) -> Option<f64> {
        let table = policy.compile().ok()?;
        Some(self.iteration.as_ref()?.evaluate(&table).iteration_us)
    }

    /// Time of one call of a key outside the job, microseconds; `None` is NCCL's own choice.
    /// Nothing where NCCL chooses nothing, or the choice cannot be resolved.
    pub fn call_us(&self, facts: &KeyFacts, choice: Option<Choice>) -> Option<f64> {
        self.time_us(facts, facts.bytes, self.resolve(facts, choice)?)
    }

    /// What NCCL would run for a key if nobody interfered.
    pub fn own_choice(&self, facts: &KeyFacts) -> Option<Choice> {
        let own = self.resolve(facts, None)?;
        let pair = Choice::new(own.algorithm, own.protocol);
        Some(
            pair.with_channels(own.channels)
                .with_chunk_bytes(own.chunk_bytes),
        )
    }

    /// How much of a call's time grows with its bytes, 0..=1: 1 where twice the bytes take twice as
    /// long, 0 where they take no longer, one half at the size that reaches half of the bandwidth
    /// (Hockney, Parallel Computing 20, 1994).
    pub fn byte_share(&self, facts: &KeyFacts, choice: Option<Choice>) -> Option<f64> {
        let resolved = self.resolve(facts, choice)?;
        let once = self.time_us(facts, facts.bytes, resolved)?;
        let twice = self.time_us(facts, facts.bytes.checked_mul(2)?, resolved)?;
        Some((twice / once - 1.0).clamp(0.0, 1.0))
    }

    /// What part of a call's time the host threads that serve the network take, 0..=1.
    pub fn proxy_share(&self, facts: &KeyFacts, choice: Option<Choice>) -> Option<f64> {
        if facts.key.shape.nodes < 2 {
            return None;
        }
        let resolved = self.resolve(facts, choice)?;
        let call_us = self.time_us(facts, facts.bytes, resolved)?;
        let proxy_us = f64::from(resolved.channels) * self.hardware.parameters().proxy_us;
        Some((proxy_us / call_us).min(1.0))
    }

    fn resolve(&self, facts: &KeyFacts, choice: Option<Choice>) -> Option<ResolvedChoice> {
        let (collective, bytes) = (facts.key.collective, facts.bytes);
        if !collective.is_tunable() {
            return None;
        }
        let model = self.models.get(&facts.key.shape)?;
        match choice {
            Some(choice) => Some(model.resolve(choice, collective, bytes)),
            None => model.choose(collective, bytes),
        }
    }

    fn time_us(&self, facts: &KeyFacts, bytes: u64, choice: ResolvedChoice) -> Option<f64> {
        let group = Group {
            shape: facts.key.shape,
            concurrent: self.concurrent(facts.key.shape),
        };
        let call = CollectiveCall {
            collective: facts.key.collective,
            bytes,
            group,
            choice,
        };
        let time_us = self.hardware.time(&call, ComputeLoad::NONE).time_us;
        (time_us.is_finite() && time_us > 0.0).then_some(time_us)
    }

    /// Groups of this shape on one node, taking the job to fill its nodes: one rank per node means
    /// a group for every GPU, a group inside a node as many as fit.
    fn concurrent(&self, shape: CommShape) -> u32 {
        (self.gpus_per_node / shape.ranks_per_node()).max(1)
    }
}

#[cfg(test)]
mod tests {
    use ccl_core::{DecisionTable, WorkloadSpec, cluster_text};
    use ccl_sim::iteration::IterationModel;
    use ccl_sim::noise::{NoiseModel, Scenario};

    use super::*;
    use crate::testbed::{SimulatedTestbed, Testbed};

    #[test]
    fn it_agrees_with_the_simulator_where_nothing_runs_beside_a_call() {
        let cluster = ClusterSpec::parse(cluster_text("a40-pcie-8gpu").unwrap()).unwrap();
        let text = include_str!("../../../workload/autoccl/phi2-2b.json");
        let workload = WorkloadSpec::parse(text).unwrap();
        let noise = NoiseModel::none();
        let testbed =
            SimulatedTestbed::new(&workload, &cluster, noise, Scenario::default()).unwrap();
        let model = IterationModel::new(&workload, &cluster, &ProcessSettings::default()).unwrap();
        let time = model.evaluate(&DecisionTable::default());
        let expectation = Expectation::new(&cluster, testbed.keys());
        for facts in testbed.keys() {
            let expected = expectation.call_us(facts, None).unwrap();
            let simulated = time.keys[&facts.key].call_us;
            assert!(
                (expected / simulated - 1.0).abs() < 0.2,
                "{}: {expected} against {simulated}",
                facts.key
            );
        }
    }
}
