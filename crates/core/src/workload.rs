//! A training job: how it is started, and what it sends.
//!
//! The `traffic` section says what one iteration of the job does at a reference scale: phases of
//! computation with collectives beside or after it. It is what a simulated or recorded run works
//! from; a real run measures instead. How the text is read and checked is in `read`.

mod read;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Collective;
pub use read::WorkloadError;

/// A workload specification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkloadSpec {
    /// Its name, part of run ids and memory.
    #[schemars(regex(pattern = r"^[^/\\]+$"))]
    pub name: String,
    /// What it is (`training`, `benchmark`).
    #[serde(default)]
    pub kind: String,
    /// The command of the job; empty where there is nothing to run.
    #[serde(default)]
    pub command: Vec<String>,
    /// Nodes the job uses, 1 to 1,000,000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub nodes: u32,
    /// How ranks are laid out (`TP8 x DP4`), for people.
    #[serde(default)]
    pub topology: String,
    /// Batch sizes and the like, for people.
    #[serde(default)]
    pub scale: String,
    /// Environment of the job.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Anything else worth keeping: sources, derivations.
    #[serde(default)]
    pub metadata: BTreeMap<String, serde_json::Value>,
    /// `local`, `torchrun`, `mpirun`, `srun`, `kubernetes`.
    #[serde(default)]
    pub launcher: String,
    /// Arguments of the launcher.
    #[serde(default)]
    pub launcher_args: Vec<String>,
    /// GPUs the job uses on each node, 1 to 1024.
    #[schemars(range(min = 1, max = 1024))]
    pub gpus_per_node: u32,
    /// How process-level knobs may be tried: `none` or `restart`.
    #[serde(default)]
    pub eval_mode: String,
    /// Iterations of one evaluation.
    #[serde(default)]
    pub eval_steps: Option<u32>,
    /// Longest evaluation, seconds.
    #[serde(default)]
    pub eval_timeout_sec: Option<u32>,
    /// What an iteration does.
    #[serde(default)]
    pub traffic: Option<Traffic>,
}

/// What one iteration does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// GPUs at which the counts and computation below hold.
    #[schemars(range(min = 1))]
    pub reference_gpus: u32,
    /// The phases, one after the other.
    pub phases: Vec<TrafficPhase>,
}

/// One phase of an iteration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrafficPhase {
    /// Its name.
    pub name: String,
    /// What the GPUs compute meanwhile.
    pub compute: Compute,
    /// How counts and computation change with the number of GPUs.
    #[serde(default)]
    pub scaling: Scaling,
    /// The collectives.
    pub calls: Vec<TrafficCall>,
}

/// Computation of a phase, on every GPU.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Compute {
    /// Floating-point work of one GPU, 1e12 operations; time follows from the cluster's GPU.
    #[serde(default)]
    pub tflop: Option<f64>,
    /// Share of the GPU's dense bf16 peak that the work reaches, 0..=1; with `tflop`.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub utilization: Option<f64>,
    /// Or the time itself, milliseconds.
    #[serde(default)]
    pub ms: Option<f64>,
    /// Share of the SMs it uses, 0..=1.
    #[serde(default = "most")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sm_fraction: f64,
    /// Share of the memory bandwidth it uses, 0..=1.
    #[serde(default = "half")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub memory_fraction: f64,
}

fn most() -> f64 {
    0.95
}

fn half() -> f64 {
    0.5
}

/// How a phase changes with the number of GPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// The global batch stays: fewer GPUs run more micro-batches each.
    #[default]
    MicroBatches,
    /// Once per iteration whatever the number of GPUs.
    Iteration,
}

/// Which ranks form a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// Consecutive ranks: a node is filled before the next one is begun.
    Packed,
    /// One rank of each node, the same on all.
    Spread,
    /// All ranks.
    All,
}

/// Whether computation waits for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// The phase's computation waits for it.
    Exposed,
    /// It runs beside the phase's computation.
    Overlapped,
}

/// One kind of collective call.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrafficCall {
    /// The primitive.
    pub collective: Collective,
    /// Size as nccl-tests counts it, bytes, up to 1 PiB.
    #[schemars(range(min = 1, max = 1_125_899_906_842_624_u64))]
    pub bytes: u64,
    /// Ranks of one group; left out for `spread` (one per node) and `all`.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub group_size: Option<u32>,
    /// Which ranks form it.
    pub placement: Placement,
    /// Calls of one rank in an iteration, at the reference scale; above 0, to 1e9.
    pub count: f64,
    /// Whether computation waits for it.
    pub overlap: Overlap,
}

impl WorkloadSpec {
    /// GPUs of the job.
    pub fn total_gpus(&self) -> u32 {
        self.nodes * self.gpus_per_node
    }
}
