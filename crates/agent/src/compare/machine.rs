//! The machine a run is on: not the one its specification describes.
//!
//! An agent is told the nominal machine, and so is NCCL, whose own model stays what it is. What
//! calls really take is another matter, and differs from one machine of a kind to the next: every
//! figure of the hardware is multiplied by a log-normal factor of its own, drawn from the seed.

use ccl_core::{ClusterSpec, Configuration, Policy, TaskKey, WorkloadSpec};
use ccl_sim::ProcessSettings;
use ccl_sim::hardware::Parameters;
use ccl_sim::noise::{NoiseModel, Scenario};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::suite::Task;
use crate::oracle::oracle;
use crate::testbed::{SimulatedError, SimulatedTestbed, Testbed, TestbedError};

/// Gain of the oracle, as a share of the iteration, below which NCCL's default is optimal: the
/// smallest effect that a run of ours calls a difference.
pub const NOTHING_TO_GAIN: f64 = 0.005;
/// Machines drawn in search of one whose default is optimal.
const MOST_DRAWS: u64 = 200;

/// Which of the machines of a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// The one that every method is run on.
    Judged,
    /// One that an earlier run was on.
    Earlier,
}

/// A workload on a machine, with what happens to it.
pub struct Machine<'a> {
    workload: &'a WorkloadSpec,
    drawn: ClusterSpec,
    noise: NoiseModel,
    scenario: Scenario,
    reference: SimulatedTestbed,
    default_us: f64,
    oracle_us: f64,
}

impl<'a> Machine<'a> {
    /// The machine of a task and seed. Where the task wants the default to be optimal, the first
    /// draw on which it is.
    ///
    /// # Errors
    /// A workload that does not fit the cluster.
    pub fn draw(
        task: &'a Task,
        spread: f64,
        seed: u64,
        draw: Draw,
    ) -> Result<Self, SimulatedError> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(fingerprint(&task.name) ^ draw as u64);
        let noise = task.noise(rng.random());
        let mut attempts = 0;
        loop {
            let drawn = perturbed(&task.cluster, spread, &mut rng);
            let machine = Self::new(&task.workload, drawn, noise, task.scenario())?;
            attempts += 1;
            if !task.default_is_optimal
                || machine.oracle_gain() < NOTHING_TO_GAIN
                || attempts == MOST_DRAWS
            {
                return Ok(machine);
            }
        }
    }

    /// This very cluster.
    ///
    /// # Errors
    /// A workload that does not fit it.
    pub fn new(
        workload: &'a WorkloadSpec,
        drawn: ClusterSpec,
        noise: NoiseModel,
        scenario: Scenario,
    ) -> Result<Self, SimulatedError> {
        let reference =
            SimulatedTestbed::new(workload, &drawn, NoiseModel::none(), Scenario::default())?;
        let mut machine = Self {
            workload,
            drawn,
            noise,
            scenario,
            reference,
            default_us: f64::NAN,
            oracle_us: f64::NAN,
        };
        machine.default_us = machine.noise_free_us(&Policy::default());
        // A simulated testbed knows its noise-free times.
        machine.oracle_us = oracle(&machine.reference, &Policy::default(), 0.0)
            .map_or(machine.default_us, |found| 1e3 * found.iteration_ms);
        Ok(machine)
    }

    /// The job on this machine, from its first iteration.
    ///
    /// # Errors
    /// As [`Machine::new`].
    pub fn testbed(&self) -> Result<SimulatedTestbed, SimulatedError> {
        SimulatedTestbed::new(
            self.workload,
            &self.drawn,
            self.noise,
            self.scenario.clone(),
        )
    }

    /// Noise-free time of an iteration under a policy, microseconds; infinite for one that does
    /// not run.
    pub fn noise_free_us(&self, policy: &Policy) -> f64 {
        noise_free_us(&self.reference, policy).unwrap_or(f64::INFINITY)
    }

    /// The same of untuned NCCL.
    pub fn default_us(&self) -> f64 {
        self.default_us
    }

    /// The same of the best there is.
    pub fn oracle_us(&self) -> f64 {
        self.oracle_us
    }

    /// What the best saves of untuned NCCL's iteration, as a share of it.
    pub fn oracle_gain(&self) -> f64 {
        1.0 - self.oracle_us / self.default_us
    }
}

/// Noise-free time of an iteration under a policy, microseconds.
///
/// # Errors
/// A testbed that does not know it.
pub fn noise_free_us(testbed: &dyn Testbed, policy: &Policy) -> Result<f64, TestbedError> {
    let keys = testbed.keys().iter().map(|facts| facts.key);
    let choices: Vec<(TaskKey, _)> = keys
        .filter_map(|key| policy.choice_for(key).map(|choice| (key, choice)))
        .collect();
    testbed.oracle_iteration_us(&choices)
}

/// A configuration that is this policy and nothing else.
pub fn configuration(policy: Policy) -> Configuration {
    Configuration {
        policy,
        ..Configuration::default()
    }
}

/// A machine of a kind: [`Machine::draw`] without a task.
pub fn perturbed_by_seed(nominal: &ClusterSpec, spread: f64, seed: u64) -> ClusterSpec {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(fingerprint(&nominal.name));
    perturbed(nominal, spread, &mut rng)
}

/// Every figure of the hardware times a log-normal factor with this standard deviation of its
/// logarithm. What NCCL reads of a machine stays.
fn perturbed(nominal: &ClusterSpec, spread: f64, rng: &mut ChaCha8Rng) -> ClusterSpec {
    let settings = ProcessSettings::default();
    let figures = Parameters::of(nominal, &settings);
    let staged = ProcessSettings {
        p2p_disable: true,
        ..ProcessSettings::default()
    };
    let mut whole = nominal.clone();
    whole.hardware.network_efficiency = Some(1.0);
    let whole = Parameters::of(&whole, &settings);

    let mut drawn = nominal.clone();
    let mut factor = |figure: f64| figure * (spread * normal(rng)).exp();
    let known = &mut drawn.hardware;
    known.launch_us = Some(factor(figures.launch_us));
    known.intra_gbs = Some(factor(figures.intra_gbs));
    known.staged_gbs = Some(factor(Parameters::of(nominal, &staged).intra_gbs));
    known.channel_gbs = Some(figures.channel_gbs.map(&mut factor));
    known.intra_step_us = Some(figures.intra_step_us.map(&mut factor));
    // One specified figure stands for both jitters; where a rule gives two, they stay.
    if figures.jitter_us.to_bits() == figures.network_jitter_us.to_bits() {
        known.jitter_us = Some(factor(figures.jitter_us));
    }
    if nominal.intra.nvls {
        known.nvls_gbs = Some(factor(figures.nvls_gbs));
        known.nvls_startup_us = Some(factor(figures.nvls_startup_us));
    }
    if nominal.network.is_some() {
        let efficiency = factor(figures.node_network_gbs / whole.node_network_gbs);
        known.network_efficiency = Some(efficiency.min(1.0));
        known.network_channel_gbs = Some(factor(figures.network_channel_gbs));
        known.inter_step_us = Some(figures.inter_step_us.map(&mut factor));
        known.proxy_us = Some(factor(figures.proxy_us));
        known.rendezvous_us = Some(factor(figures.rendezvous_us));
        known.all_to_all_share = Some(factor(figures.all_to_all_share));
        known.peer_us = Some(factor(figures.peer_us));
    }
    drawn.gpu.bf16_tflops = factor(nominal.gpu.bf16_tflops);
    drawn.gpu.memory_gbs = factor(nominal.gpu.memory_gbs);
    drawn
}

/// A standard normal value (Box and Muller, Annals of Mathematical Statistics 1958).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius: f64 = rng.random_range(f64::MIN_POSITIVE..1.0);
    let angle: f64 = rng.random_range(0.0..std::f64::consts::TAU);
    (-2.0 * radius.ln()).sqrt() * angle.cos()
}

/// A number for a name, the same on every machine (FNV-1a, 64 bits), with its lowest bit clear.
fn fingerprint(name: &str) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash & !1
}

#[cfg(test)]
mod tests {
    use ccl_sim::nccl::{Model, System};

    use super::super::suite::Suite;
    use super::*;

    #[test]
    fn a_drawn_machine_differs_in_its_hardware_and_nccl_sees_the_nominal_one() {
        let suite = Suite::builtin().unwrap();
        for task in &suite.tasks {
            let mut rng = ChaCha8Rng::seed_from_u64(5);
            let drawn = perturbed(&task.cluster, 0.12, &mut rng);
            assert_ne!(drawn, task.cluster, "{}", task.name);
            let settings = ProcessSettings::default();
            let shape = ccl_core::CommShape::new(
                task.workload.nodes * task.workload.gpus_per_node,
                task.workload.nodes,
            );
            let model = |on: &ClusterSpec| {
                Model::new(System::derive(on, shape, &settings), settings.clone())
            };
            for bytes in [1 << 12, 1 << 20, 1 << 28] {
                let choice = |on| model(on).choose(ccl_core::Collective::AllReduce, bytes);
                assert_eq!(choice(&drawn), choice(&task.cluster), "{}", task.name);
            }
        }
    }

    #[test]
    fn without_a_spread_a_machine_is_the_nominal_one() {
        let suite = Suite::builtin().unwrap();
        for task in &suite.tasks {
            let mut rng = ChaCha8Rng::seed_from_u64(5);
            let drawn = perturbed(&task.cluster, 0.0, &mut rng);
            let settings = ProcessSettings::default();
            let (found, expected) = (
                Parameters::of(&drawn, &settings),
                Parameters::of(&task.cluster, &settings),
            );
            assert!(
                (found.node_network_gbs - expected.node_network_gbs).abs()
                    <= 1e-9 * expected.node_network_gbs
            );
            assert_eq!(
                Parameters {
                    node_network_gbs: 0.0,
                    rank_network_gbs: 0.0,
                    ..found
                },
                Parameters {
                    node_network_gbs: 0.0,
                    rank_network_gbs: 0.0,
                    ..expected
                },
                "{}",
                task.name
            );
        }
    }

    #[test]
    fn seeds_and_draws_give_machines_of_their_own_and_the_same_again() {
        let suite = Suite::builtin().unwrap();
        let machine = |seed, draw| {
            Machine::draw(&suite.tasks[0], 0.12, seed, draw)
                .unwrap()
                .drawn
        };
        assert_eq!(machine(1, Draw::Judged), machine(1, Draw::Judged));
        assert_ne!(machine(1, Draw::Judged), machine(2, Draw::Judged));
        assert_ne!(machine(1, Draw::Judged), machine(1, Draw::Earlier));
    }
}
