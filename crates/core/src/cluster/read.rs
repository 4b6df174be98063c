//! How a cluster specification is read, and what no machine can be.
//!
//! Every error names the place in the text and what was expected there.

use thiserror::Error;
use toml::Value;

use super::{ClusterSpec, HardwareSpec};
use crate::place::{in_toml, line_and_column};

/// Why a cluster specification is unusable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ClusterError {
    /// Not TOML, a missing or an unknown field, a value of the wrong kind.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What was wrong and what was expected.
        message: String,
    },
    /// A value no machine has.
    #[error("line {line}, column {column}: {field} is {value}; expected {expected}")]
    Value {
        /// Line of the value, from 1; of its table where it is missing.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// The field.
        field: String,
        /// Its value.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
}

/// A value that no machine has: field, value, what was expected.
type Wrong = (String, String, &'static str);

impl ClusterSpec {
    /// Reads and checks a specification.
    ///
    /// # Errors
    /// With line and column of what is wrong.
    pub fn parse(text: &str) -> Result<Self, ClusterError> {
        let spec: Self = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            let (line, column) = line_and_column(text, start);
            ClusterError::Syntax {
                line,
                column,
                message: error.message().to_owned(),
            }
        })?;
        let Some((field, value, expected)) = spec.wrong_value() else {
            return Ok(spec);
        };
        let (line, column) = line_and_column(text, in_toml(text, &field));
        Err(ClusterError::Value {
            line,
            column,
            field,
            value,
            expected,
        })
    }

    /// The first value that no machine has: field, value, what was expected.
    fn wrong_value(&self) -> Option<Wrong> {
        const POSITIVE: &str = "a number above 0";
        let whole = [
            ("nodes", Some(self.nodes), 1..=1_000_000, "1 to 1000000"),
            (
                "gpus_per_node",
                Some(self.gpus_per_node),
                1..=1024,
                "1 to 1024",
            ),
            (
                "gpu.compute_capability",
                Some(self.gpu.compute_capability),
                10..=999,
                "ten times the CUDA compute capability, as in 90",
            ),
            ("gpu.sms", Some(self.gpu.sms), 1..=u32::MAX, POSITIVE),
            (
                "intra.nvlink_domain_gpus",
                self.intra.nvlink_domain_gpus,
                1..=u32::MAX,
                POSITIVE,
            ),
            (
                "pcie.generation",
                Some(self.pcie.generation),
                3..=6,
                "3 to 6",
            ),
            ("pcie.lanes", Some(self.pcie.lanes), 1..=32, "1 to 32"),
            (
                "cpu.sockets",
                Some(self.cpu.sockets),
                1..=u32::MAX,
                POSITIVE,
            ),
            (
                "network.nics_per_node",
                self.network.as_ref().map(|n| n.nics_per_node),
                1..=1024,
                "1 to 1024",
            ),
            (
                "nccl_graph.channels",
                self.nccl_graph.as_ref().map(|g| g.channels),
                1..=64,
                "1 to 64",
            ),
        ];
        for (field, value, range, expected) in whole {
            if let Some(value) = value.filter(|v| !range.contains(v)) {
                return Some((field.to_owned(), value.to_string(), expected));
            }
        }
        let network = self.network.as_ref();
        // TOML has inf and nan.
        let positive = [
            ("gpu.memory_gbs", Some(self.gpu.memory_gbs)),
            ("gpu.bf16_tflops", Some(self.gpu.bf16_tflops)),
            ("network.nic_gbits", network.map(|n| n.nic_gbits)),
            (
                "nccl_graph.channel_gbs",
                self.nccl_graph.as_ref().map(|g| g.channel_gbs),
            ),
        ];
        for (field, value) in positive {
            if let Some(value) = value.filter(|v| !(*v > 0.0 && v.is_finite())) {
                return Some((field.to_owned(), value.to_string(), POSITIVE));
            }
        }
        let not_negative = [
            (
                "intra.nvlink_gbs",
                Some(self.intra.nvlink_gbs),
                "0 or more GB/s",
            ),
            (
                "network.latency_us",
                network.map(|n| n.latency_us),
                "0 or more microseconds",
            ),
        ];
        for (field, value, expected) in not_negative {
            if let Some(value) = value.filter(|v| !(*v >= 0.0 && v.is_finite())) {
                return Some((field.to_owned(), value.to_string(), expected));
            }
        }
        if network.is_none() && self.nodes > 1 {
            let expected = "a [network] section, since there is more than one node";
            return Some(("network".to_owned(), "missing".to_owned(), expected));
        }
        wrong_figure(&self.hardware)
    }
}

/// The first of the calibrated figures that cannot be: none is negative or without end, and
/// bandwidths and shares are above 0.
fn wrong_figure(hardware: &HardwareSpec) -> Option<Wrong> {
    let Ok(Value::Table(figures)) = Value::try_from(hardware) else {
        return None;
    };
    for (name, value) in figures {
        let some = ["_gbs", "_efficiency", "_share"];
        let (least, expected) = if some.iter().any(|end| name.ends_with(end)) {
            (f64::MIN_POSITIVE, "a number above 0")
        } else {
            (0.0, "0 or more")
        };
        let each = match value {
            Value::Array(values) => values,
            one => vec![one],
        };
        let bad = |v: &f64| !(*v >= least && v.is_finite());
        if let Some(wrong) = each.iter().filter_map(Value::as_float).find(bad) {
            return Some((format!("hardware.{name}"), wrong.to_string(), expected));
        }
    }
    None
}
