//! What the run is about: the machine, the job, and its task keys.

use ccl_core::{Bottleneck, Caller, ClusterSpec, ContextSignature, Source, format_bytes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::arguments::Nothing;
use super::{About, Cost, Tool, ToolError, Touches};
use crate::situation::KeyState;
use crate::tuner::Tuner;

/// Most complete choices of a key that are listed, where nothing but them can be run.
const MOST_LISTED: usize = 40;

pub(super) struct DescribeCluster;

#[derive(Serialize, JsonSchema)]
pub(super) struct Cluster {
    /// The machine as its specification describes it.
    cluster: ClusterSpec,
    /// What the run is tried on.
    testbed: String,
    /// Where its figures come from.
    source: Source,
    /// Smallest relative difference that its figures can show.
    resolution: f64,
    /// What a reader of its results must know.
    notes: Vec<String>,
}

impl Tool for DescribeCluster {
    type Arguments = Nothing;
    type Answer = Cluster;
    const ABOUT: About = About {
        name: "describe_cluster",
        description: "The machine: nodes, GPUs, links, network, NCCL version, and what the figures of this run \
                      come from.",
        cost: Cost::Nothing,
        touches: Touches::Nothing,
    };

    fn run(tuner: &mut Tuner<'_>, _: Caller, _: Nothing) -> Result<Cluster, ToolError> {
        let info = tuner.testbed.describe();
        Ok(Cluster {
            cluster: tuner.situation.cluster.clone(),
            testbed: info.kind.to_owned(),
            source: info.source,
            resolution: info.resolution,
            notes: info.notes.clone(),
        })
    }
}

pub(super) struct DescribeWorkload;

#[derive(Serialize, JsonSchema)]
pub(super) struct Workload {
    /// Where what is learnt here is filed.
    context: ContextSignature,
    /// Median iteration of untuned NCCL, milliseconds; null before it was measured.
    untuned_iteration_ms: Option<f64>,
    /// Iterations spent so far.
    iterations: u64,
    /// What tuning has cost, iterations.
    regret_iterations: f64,
    /// What it may still cost, iterations.
    regret_left_iterations: f64,
    /// Candidates tried, and most that may be.
    trials: [u32; 2],
    /// What the job runs instead of NCCL's own choices, one line for each key.
    incumbent: Vec<String>,
}

impl Tool for DescribeWorkload {
    type Arguments = Nothing;
    type Answer = Workload;
    const ABOUT: About = About {
        name: "describe_workload",
        description: "The job: its scale, its untuned iteration time, what it runs now, and what tuning has cost \
                      it and still may.",
        cost: Cost::Nothing,
        touches: Touches::Nothing,
    };

    fn run(tuner: &mut Tuner<'_>, _: Caller, _: Nothing) -> Result<Workload, ToolError> {
        let kept = tuner
            .situation
            .keys
            .iter()
            .filter_map(|k| Some(format!("{}: {}", k.facts.key, k.incumbent?)));
        Ok(Workload {
            context: tuner.situation.context.clone(),
            untuned_iteration_ms: ccl_search::median(&tuner.baseline_us).map(|us| us / 1e3),
            iterations: tuner.guard.iterations(),
            regret_iterations: tuner.guard.regret_iterations(),
            regret_left_iterations: tuner.guard.regret_left_iterations(),
            trials: [tuner.counts.trials, tuner.options.budget],
            incumbent: kept.collect(),
        })
    }
}

pub(super) struct ListTaskKeys;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Most {
    /// Most keys to list, those with the largest share of the iteration first; all without it.
    #[serde(default)]
    most: Option<usize>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Keys {
    /// The keys, largest share first.
    keys: Vec<Key>,
}

#[derive(Serialize, JsonSchema)]
struct Key {
    /// Its number.
    number: usize,
    /// Its name.
    key: String,
    /// Size of one call.
    size: String,
    /// Calls in one iteration.
    calls: u64,
    /// Whether computation runs beside it: it is then judged by the iteration.
    beside_computation: bool,
    /// Part of the iteration that its calls take, percent.
    share_percent: f64,
    /// Median time of a call, microseconds.
    call_us: f64,
    /// Bus bandwidth, GB/s.
    bus_gbs: f64,
    /// What holds it back.
    bottleneck: Bottleneck,
    /// What it runs now.
    runs: Option<String>,
    /// Pairs of algorithm and protocol that can be asked for.
    pairs: Vec<String>,
    /// Channel counts that can be asked for; empty where they cannot be set.
    channels: Vec<u32>,
    /// Chunk sizes that can be asked for, bytes; empty where they cannot be set.
    chunk_bytes: Vec<u64>,
    /// The first of the complete choices, where nothing but them can be run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    only: Vec<String>,
    /// The evidence its figures are in.
    evidence: String,
}

impl Tool for ListTaskKeys {
    type Arguments = Most;
    type Answer = Keys;
    const ABOUT: About = About {
        name: "list_task_keys",
        description: "The task keys (shape, collective, size) with their share of the iteration, what holds them \
                      back, what they run now, and every value that can be asked for.",
        cost: Cost::Nothing,
        touches: Touches::Nothing,
    };

    fn run(tuner: &mut Tuner<'_>, _: Caller, arguments: Most) -> Result<Keys, ToolError> {
        let keys = tuner.situation.keys.iter().enumerate();
        let listed = keys.take(arguments.most.unwrap_or(usize::MAX));
        Ok(Keys {
            keys: listed.map(|(index, state)| key(index, state)).collect(),
        })
    }
}

fn key(index: usize, state: &KeyState) -> Key {
    let legal = &state.facts.legal;
    let only = legal.only.iter().flatten().take(MOST_LISTED);
    Key {
        number: index + 1,
        key: state.facts.key.to_string(),
        size: format_bytes(state.facts.bytes),
        calls: state.facts.calls,
        beside_computation: state.facts.overlapped,
        share_percent: rounded(100.0 * state.observed.share),
        call_us: rounded(state.observed.call_us),
        bus_gbs: rounded(state.observed.bus_gbs),
        bottleneck: state.bottleneck(),
        runs: state.running().map(|c| c.to_string()),
        pairs: legal
            .pairs
            .iter()
            .map(|(a, p)| format!("{a}/{p}"))
            .collect(),
        channels: legal.channels.clone(),
        chunk_bytes: legal.chunk_bytes.clone(),
        only: only.map(ToString::to_string).collect(),
        evidence: state.evidence.to_string(),
    }
}

/// A figure with as many digits as it is worth: four.
pub(super) fn rounded(figure: f64) -> f64 {
    if figure == 0.0 || !figure.is_finite() {
        return 0.0;
    }
    let digits = 10_f64.powf(3.0 - figure.abs().log10().floor());
    (figure * digits).round() / digits
}
