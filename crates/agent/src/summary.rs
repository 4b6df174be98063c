//! The result of a run: the one JSON object of the command-line contract.

use ccl_core::{Advice, Configuration, Diagnosis, Interval, Source, StoppedBecause, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A median with its interval and the number of samples behind it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// The median.
    pub median: f64,
    /// 95 % interval of the median.
    pub ci95: [f64; 2],
    /// Iterations behind it.
    pub samples: u32,
}

/// Untuned NCCL in this run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Baseline {
    /// Iteration time, milliseconds.
    pub iteration_ms: Estimate,
}

/// The best configuration of this run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Best {
    /// Iteration time, milliseconds.
    pub iteration_ms: Estimate,
    /// What to run.
    pub configuration: Configuration,
}

/// What finding it cost the job.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TuningCost {
    /// Iterations of the job that ran during tuning, baseline and final comparison included.
    pub iterations: u64,
    /// Sum over them of (time / baseline - 1), where positive, and what failures and restarts took.
    pub regret_iterations: f64,
    /// The slowest of them, as a ratio to the baseline.
    pub worst_iteration_ratio: f64,
    /// Choices timed outside the job.
    pub probes: u32,
    /// What that took, in iterations of the job.
    pub probe_iterations: f64,
    /// Times the job was started again on purpose.
    #[serde(default)]
    pub restarts: u32,
    /// What that took, in iterations of the job, the first one after each included as far as it was slower; a
    /// part of the regret.
    #[serde(default)]
    pub restart_iterations: f64,
}

/// What could have been found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Oracle {
    /// Noise-free iteration time of the best point of the per-call space, milliseconds.
    pub iteration_ms: f64,
    /// Share of the oracle's gain that this run's best captures, noise-free; 1 when there is
    /// nothing to gain.
    pub captured: f64,
}

/// Candidates tried per lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lanes {
    /// Explained candidates.
    pub hypothesis: u32,
    /// Search candidates.
    pub numeric: u32,
}

/// What earlier runs contributed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WarmStart {
    /// Remembered rules that became candidates.
    pub rules: u32,
    /// Whether what an earlier run measured was part of a key's model.
    pub surrogate: bool,
}

/// The language model's part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LlmUse {
    /// The provider asked.
    pub provider: String,
    /// The model asked.
    pub model: String,
    /// Consultations.
    pub calls: u32,
    /// Consultations without a valid decision.
    pub failed: u32,
    /// Whether the rule mind acted in its place.
    pub fallback_used: bool,
    /// Exchanges: turns of all consultations.
    #[serde(default)]
    pub exchanges: u32,
    /// Tokens and money, where the provider says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<LlmUsage>,
}

/// Tokens and money of all exchanges. What a provider does not say is not known, and never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LlmUsage {
    /// Tokens of the questions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens of the answers, thoughts included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
}

/// The whole result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// The run.
    pub run_id: String,
    /// Where every figure comes from.
    pub source: Source,
    /// The workload's name.
    pub workload: String,
    /// The cluster's name.
    pub cluster: String,
    /// NCCL's version there.
    pub nccl_version: String,
    /// The seed.
    pub seed: u64,
    /// Untuned NCCL.
    pub baseline: Baseline,
    /// The best found.
    pub best: Best,
    /// Untuned / best on fresh, paired iterations; above 1 is faster.
    pub speedup: Interval,
    /// What that means.
    pub verdict: Verdict,
    /// Candidates tried.
    pub trials: u32,
    /// Candidates refused before they were tried.
    pub refused: u32,
    /// Candidates tried and rolled back.
    pub rolled_back: u32,
    /// What finding it cost.
    pub tuning_cost: TuningCost,
    /// What could have been found; only on request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oracle: Option<Oracle>,
    /// Candidates per lane.
    pub lanes: Lanes,
    /// What earlier runs contributed.
    pub warm_start: WarmStart,
    /// The language model's part.
    pub llm: LlmUse,
    /// Why the search ended.
    pub stopped_because: StoppedBecause,
    /// The same in a sentence with figures.
    pub stopped_explanation: String,
    /// What is broken, if that is why nothing was tuned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<Diagnosis>,
    /// What could be set before the job starts again; none of it was tried in this run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<Advice>,
    /// What a reader must know about the testbed.
    pub notes: Vec<String>,
}
