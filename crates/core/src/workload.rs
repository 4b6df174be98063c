//! A training job: how it is started, and what it sends.
//!
//! The `traffic` section says what one iteration of the job does at a reference scale: phases of
//! computation with collectives beside or after it. It is what a simulated or recorded run works
//! from; a real run measures instead.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Collective;

/// A workload specification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkloadSpec {
    /// Its name, part of run ids and memory.
    pub name: String,
    /// What it is (`training`, `benchmark`).
    #[serde(default)]
    pub kind: String,
    /// The command of the job; empty where there is nothing to run.
    #[serde(default)]
    pub command: Vec<String>,
    /// Nodes the job uses, 1 and up.
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
    /// GPUs the job uses on each node, 1 and up.
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
    pub utilization: Option<f64>,
    /// Or the time itself, milliseconds.
    #[serde(default)]
    pub ms: Option<f64>,
    /// Share of the SMs it uses, 0..=1.
    #[serde(default = "most")]
    pub sm_fraction: f64,
    /// Share of the memory bandwidth it uses, 0..=1.
    #[serde(default = "half")]
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
    /// Size as nccl-tests counts it, bytes.
    pub bytes: u64,
    /// Ranks of one group; left out for `spread` (one per node) and `all`.
    #[serde(default)]
    pub group_size: Option<u32>,
    /// Which ranks form it.
    pub placement: Placement,
    /// Calls of one rank in an iteration, at the reference scale.
    pub count: f64,
    /// Whether computation waits for it.
    pub overlap: Overlap,
}

/// Why a workload specification is unusable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WorkloadError {
    /// Not JSON, a missing or an unknown field, a value of the wrong kind.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What was wrong and what was expected.
        message: String,
    },
    /// A value no job has.
    #[error("line {line}: {field} is {value}; expected {expected}")]
    Value {
        /// Line of the field, from 1.
        line: usize,
        /// The field.
        field: String,
        /// Its value.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
}

impl WorkloadSpec {
    /// Reads and checks a specification.
    ///
    /// # Errors
    /// With the place in the text.
    pub fn parse(text: &str) -> Result<Self, WorkloadError> {
        // Serde would accept an array of the fields in order; a person would not.
        let first = text.find(|c: char| !c.is_whitespace());
        if let Some(start) = first.filter(|&n| !text[n..].starts_with('{')) {
            let line = text[..start].matches('\n').count() + 1;
            let message = "expected a JSON object with the workload's fields, found something else";
            return Err(WorkloadError::Syntax {
                line,
                column: 1,
                message: message.to_owned(),
            });
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let spec: Self = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let path = error.path().to_string();
            let error = error.into_inner();
            // The place is rendered separately.
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or(&message);
            WorkloadError::Syntax {
                line: error.line(),
                column: error.column(),
                message: match path.as_str() {
                    "." => message.to_owned(),
                    field => format!("{field}: {message}"),
                },
            }
        })?;
        deserializer.end().map_err(|error| WorkloadError::Syntax {
            line: error.line(),
            column: error.column(),
            message: "expected the end of the file after the object".to_owned(),
        })?;
        spec.check(text)?;
        Ok(spec)
    }

    fn check(&self, text: &str) -> Result<(), WorkloadError> {
        let fail = |field: &str, value: String, expected| {
            let last = field.rsplit('.').next().unwrap_or(field);
            let quoted = format!("\"{last}\"");
            let line = text
                .find(&quoted)
                .map_or(1, |n| text[..n].matches('\n').count() + 1);
            Err(WorkloadError::Value {
                line,
                field: field.to_owned(),
                value,
                expected,
            })
        };
        if self.name.is_empty() || self.name.contains(['/', '\\', '\0']) {
            return fail("name", format!("{:?}", self.name), "a name without slashes");
        }
        for (field, value) in [("nodes", self.nodes), ("gpus_per_node", self.gpus_per_node)] {
            if value == 0 {
                return fail(field, "0".to_owned(), "1 or more");
            }
        }
        let Some(traffic) = &self.traffic else {
            return Ok(());
        };
        if traffic.reference_gpus == 0 {
            return fail("traffic.reference_gpus", "0".to_owned(), "1 or more");
        }
        for phase in &traffic.phases {
            let compute = &phase.compute;
            let given = (
                compute.ms.is_some(),
                compute.tflop.is_some(),
                compute.utilization.is_some(),
            );
            if !matches!(given, (true, false, false) | (false, true, true)) {
                let expected = "either ms, or tflop with utilization";
                return fail(
                    "traffic.phases.compute",
                    "neither or both".to_owned(),
                    expected,
                );
            }
            let shares = [
                ("sm_fraction", compute.sm_fraction),
                ("memory_fraction", compute.memory_fraction),
                ("utilization", compute.utilization.unwrap_or(1.0)),
            ];
            for (field, value) in shares {
                if !(0.0..=1.0).contains(&value) {
                    return fail(field, value.to_string(), "0 to 1");
                }
            }
            for call in &phase.calls {
                if call.bytes == 0 {
                    return fail("traffic.phases.calls.bytes", "0".to_owned(), "1 or more");
                }
                if !(call.count > 0.0 && call.count.is_finite()) {
                    return fail("count", call.count.to_string(), "a number above 0");
                }
                if call.group_size == Some(0) {
                    return fail("group_size", "0".to_owned(), "1 or more");
                }
                if call.placement == Placement::Packed && call.group_size.is_none() {
                    return fail("placement", "packed".to_owned(), "group_size beside packed");
                }
            }
        }
        Ok(())
    }

    /// GPUs of the job.
    pub fn total_gpus(&self) -> u32 {
        self.nodes * self.gpus_per_node
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> (usize, String) {
        match WorkloadSpec::parse(text).unwrap_err() {
            WorkloadError::Syntax { line, message, .. } => (line, message),
            WorkloadError::Value {
                line,
                field,
                value,
                expected,
            } => (line, format!("{field} {value} {expected}")),
        }
    }

    #[test]
    fn bad_specifications_say_where_and_what() {
        let (line, message) = place("[]");
        assert_eq!(line, 1);
        assert!(message.contains("expected a JSON object"));
        let (line, message) = place("{\n\"name\": \"a\",\n\"nodes\": -1,\n\"gpus_per_node\": 8\n}");
        assert_eq!(line, 3);
        assert!(message.contains("-1"), "{message}");
        let (line, message) =
            place("{\"name\": \"a\", \"nodes\": 1, \"gpus_per_node\": 8,\n \"metadata\": null}");
        assert_eq!(line, 2);
        assert!(message.contains("null"), "{message}");
        let (line, message) = place("{\"name\": \"a\", \"nodes\": 1,\n \"gpus_per_node\": 0}");
        assert_eq!((line, message.as_str()), (2, "gpus_per_node 0 1 or more"));
        let (_, message) = place("{\"name\": \"a\", \"nodez\": 1}");
        assert!(message.contains("nodez"), "{message}");
        let (_, message) = place("{\"name\": ");
        assert!(message.contains("EOF"), "{message}");
    }

    #[test]
    fn a_minimal_specification_is_enough() {
        let spec = WorkloadSpec::parse("{\"name\":\"a\",\"nodes\":2,\"gpus_per_node\":8}").unwrap();
        assert_eq!(
            (spec.total_gpus(), spec.traffic, spec.command.len()),
            (16, None, 0)
        );
    }
}
