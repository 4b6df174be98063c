//! A suite: jobs on clusters, and what happens to them. A TOML file; `builtin` is part of the
//! program.
//!
//! ```toml
//! name = "mine"
//! machine_spread = 0.12             # standard deviation of the logarithm of each hardware figure
//!
//! [[task]]
//! name = "phi-2 on A40"             # unique
//! workload = "autoccl/phi2-2b"      # one of the program's own, or a JSON file beside this one
//! cluster = "a40-pcie-8gpu"         # a catalogue entry, or a TOML file beside this one
//! nodes = 2                         # optional: in place of the workload's own figure
//! gpus_per_node = 4                 # optional, likewise
//! drift = { amplitude = 0.05, period_iterations = 40 }       # optional: in place of 1 % in 60
//! tenant = { every_iterations = 25, lasts_iterations = 8, factor = 1.3 }   # optional
//! default_is_optimal = true         # optional: machines are drawn until it is
//! ```

mod file;
#[cfg(test)]
mod tests;
mod workloads;

use std::path::Path;

use ccl_core::{ClusterSpec, WorkloadSpec};
use ccl_sim::noise::{NoiseModel, Scenario, ScenarioEvent};
use serde::Deserialize;

pub use file::SuiteError;
use file::read;

/// The suite that is part of the program.
const BUILTIN: &str = include_str!("../../../../suite/builtin.toml");
/// Iterations for which tenants come and go.
const TENANCY_ITERATIONS: u64 = 2_000;

/// A job on a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Unique in its suite.
    pub name: String,
    /// The job.
    pub workload: WorkloadSpec,
    /// The cluster as its specification has it.
    pub cluster: ClusterSpec,
    /// Slow change of everything, in place of the usual one.
    pub drift: Option<Drift>,
    /// Another job that comes and goes.
    pub tenant: Option<Tenant>,
    /// Whether only machines count on which nothing is to be gained.
    pub default_is_optimal: bool,
}

/// Slow change of everything that runs.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// Amplitude as a share, 0 to 1.
    pub amplitude: f64,
    /// Iterations from one crest to the next.
    pub period_iterations: f64,
}

/// Another job on the machine, now and then.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Iterations from one arrival to the next; the first comes after as many.
    pub every_iterations: u64,
    /// Iterations that it stays.
    pub lasts_iterations: u64,
    /// How many times as long everything takes while it is there.
    pub factor: f64,
}

/// Tasks, and how far their machines differ from what is known of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Suite {
    /// Its name.
    pub name: String,
    /// Standard deviation of the logarithm of each figure of the hardware.
    pub machine_spread: f64,
    /// At least one.
    pub tasks: Vec<Task>,
}

impl Suite {
    /// The suite of the program.
    ///
    /// # Errors
    /// None that a test would not have found.
    pub fn builtin() -> Result<Self, SuiteError> {
        Self::parse(BUILTIN, Path::new("."))
    }

    /// A suite in a file; what it names lies beside it.
    ///
    /// # Errors
    /// A file that cannot be read or used.
    pub fn load(path: &Path) -> Result<Self, SuiteError> {
        let text = read(path)?;
        Self::parse(&text, path.parent().unwrap_or(Path::new(".")))
    }
}

impl Task {
    /// The noise of its job.
    pub fn noise(&self, seed: u64) -> NoiseModel {
        let typical = NoiseModel::typical(seed);
        match self.drift {
            None => typical,
            Some(drift) => NoiseModel {
                drift: drift.amplitude,
                drift_period: drift.period_iterations,
                ..typical
            },
        }
    }

    /// What happens to its job.
    pub fn scenario(&self) -> Scenario {
        let Some(tenant) = self.tenant else {
            return Scenario::default();
        };
        let visits = 1..=TENANCY_ITERATIONS / tenant.every_iterations;
        Scenario {
            events: visits
                .map(|visit| ScenarioEvent::Neighbour {
                    from: visit * tenant.every_iterations,
                    lasts: tenant.lasts_iterations,
                    factor: tenant.factor,
                })
                .collect(),
        }
    }
}
