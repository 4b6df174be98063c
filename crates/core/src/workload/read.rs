//! How a workload specification is read, and what no job can be.
//!
//! Every error names the place in the text and what was expected there.

use thiserror::Error;

use super::{Compute, Placement, TrafficCall, WorkloadSpec};
use crate::place::{in_json, line_and_column};

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
    #[error("line {line}, column {column}: {field} is {value}; expected {expected}")]
    Value {
        /// Line of the value, from 1; of what should hold it where it is missing.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// The field, as in `traffic.phases[0].name`.
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
            // What is JSON but not a workload has a path, and so a place to point at.
            let (line, column) = if error.is_data() {
                line_and_column(text, in_json(text, path.trim_start_matches('.')))
            } else {
                stopped_at(text, &error)
            };
            // The place is rendered separately.
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or(&message);
            WorkloadError::Syntax {
                line,
                column,
                message: match path.as_str() {
                    "." => message.to_owned(),
                    field => format!("{field}: {message}"),
                },
            }
        })?;
        deserializer.end().map_err(|error| {
            let (line, column) = stopped_at(text, &error);
            WorkloadError::Syntax {
                line,
                column,
                message: "expected the end of the file after the object".to_owned(),
            }
        })?;
        match spec.wrong_value() {
            None => Ok(spec),
            Some(wrong) => {
                let (line, column) = line_and_column(text, in_json(text, &wrong.field));
                Err(WorkloadError::Value {
                    line,
                    column,
                    field: wrong.field,
                    value: wrong.value,
                    expected: wrong.expected,
                })
            }
        }
    }

    /// The first value that no job has.
    fn wrong_value(&self) -> Option<Wrong> {
        let length = self.name.chars().count();
        if !(1..=100).contains(&length) || self.name.contains(['/', '\\', '\0']) {
            let value = format!("{:?}", self.name);
            return Wrong::because("name", value, "1 to 100 characters without slashes");
        }
        if !(1..=1_000_000).contains(&self.nodes) {
            return Wrong::because("nodes", self.nodes, "1 to 1000000");
        }
        if !(1..=1024).contains(&self.gpus_per_node) {
            return Wrong::because("gpus_per_node", self.gpus_per_node, "1 to 1024");
        }
        let traffic = self.traffic.as_ref()?;
        if traffic.reference_gpus == 0 {
            return Wrong::because("traffic.reference_gpus", 0, "1 or more");
        }
        for (index, phase) in traffic.phases.iter().enumerate() {
            let path = format!("traffic.phases[{index}]");
            let wrong = wrong_compute(&format!("{path}.compute"), &phase.compute);
            let mut calls = phase.calls.iter().enumerate();
            let wrong = wrong
                .or_else(|| calls.find_map(|(n, c)| wrong_call(&format!("{path}.calls[{n}]"), c)));
            if wrong.is_some() {
                return wrong;
            }
        }
        None
    }
}

/// Largest count, milliseconds or teraflop of an iteration; beyond, somebody mistook a unit.
const MOST: f64 = 1e9;
/// Largest call, bytes.
const MOST_BYTES: u64 = 1 << 50;

/// Where the reader gave up: it counts columns in bytes, people in characters.
fn stopped_at(text: &str, error: &serde_json::Error) -> (usize, usize) {
    let line = text
        .lines()
        .nth(error.line().saturating_sub(1))
        .unwrap_or("");
    let before = error.column().saturating_sub(1);
    let column = line
        .char_indices()
        .take_while(|(at, _)| *at < before)
        .count()
        + 1;
    (error.line().max(1), column)
}

/// A value that no job has.
struct Wrong {
    field: String,
    value: String,
    expected: &'static str,
}

impl Wrong {
    fn because(
        field: impl Into<String>,
        value: impl ToString,
        expected: &'static str,
    ) -> Option<Self> {
        Some(Self {
            field: field.into(),
            value: value.to_string(),
            expected,
        })
    }
}

fn wrong_compute(path: &str, compute: &Compute) -> Option<Wrong> {
    const EXPECTED: &str = "either ms, or tflop with utilization";
    match (compute.ms, compute.tflop, compute.utilization) {
        (Some(_), None, None) | (None, Some(_), Some(_)) => {}
        (None, None, None) => return Wrong::because(path, "without a time", EXPECTED),
        (Some(_), ..) => return Wrong::because(path, "given both ways", EXPECTED),
        (None, ..) => return Wrong::because(path, "given by half", EXPECTED),
    }
    for (field, amount) in [("ms", compute.ms), ("tflop", compute.tflop)] {
        if let Some(amount) = amount.filter(|a| !(0.0..=MOST).contains(a)) {
            return Wrong::because(format!("{path}.{field}"), amount, "0 to 1000000000");
        }
    }
    if let Some(share) = compute.utilization.filter(|u| !(*u > 0.0 && *u <= 1.0)) {
        return Wrong::because(format!("{path}.utilization"), share, "above 0, to 1");
    }
    let shares = [
        ("sm_fraction", compute.sm_fraction),
        ("memory_fraction", compute.memory_fraction),
    ];
    let (field, share) = shares
        .into_iter()
        .find(|(_, share)| !(0.0..=1.0).contains(share))?;
    Wrong::because(format!("{path}.{field}"), share, "0 to 1")
}

fn wrong_call(path: &str, call: &TrafficCall) -> Option<Wrong> {
    if !(1..=MOST_BYTES).contains(&call.bytes) {
        return Wrong::because(format!("{path}.bytes"), call.bytes, "1 to 2^50 (1 PiB)");
    }
    if !(call.count > 0.0 && call.count <= MOST) {
        return Wrong::because(
            format!("{path}.count"),
            call.count,
            "a number above 0, to 1000000000",
        );
    }
    if call.group_size == Some(0) {
        return Wrong::because(format!("{path}.group_size"), 0, "1 or more");
    }
    if call.placement == Placement::Packed && call.group_size.is_none() {
        return Wrong::because(
            format!("{path}.placement"),
            "packed",
            "group_size beside packed",
        );
    }
    None
}
