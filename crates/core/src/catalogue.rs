//! The clusters that ship with the program, and how a specification is read.
//!
//! The files in `cluster/` are part of the binary: a name works without the repository at hand.

use thiserror::Error;

use crate::ClusterSpec;

/// Name and text of every cluster of the catalogue, by name.
pub const CLUSTERS: [(&str, &str); 17] = [
    (
        "a40-nvlink-8gpu",
        include_str!("../../../cluster/a40-nvlink-8gpu.toml"),
    ),
    (
        "a40-pcie-8gpu",
        include_str!("../../../cluster/a40-pcie-8gpu.toml"),
    ),
    ("dgx-a100", include_str!("../../../cluster/dgx-a100.toml")),
    ("dgx-b200", include_str!("../../../cluster/dgx-b200.toml")),
    ("dgx-h100", include_str!("../../../cluster/dgx-h100.toml")),
    ("dgx-h200", include_str!("../../../cluster/dgx-h200.toml")),
    ("dgx-spark", include_str!("../../../cluster/dgx-spark.toml")),
    (
        "gb200-nvl72",
        include_str!("../../../cluster/gb200-nvl72.toml"),
    ),
    (
        "gh200-alps",
        include_str!("../../../cluster/gh200-alps.toml"),
    ),
    (
        "h100-cluster01",
        include_str!("../../../cluster/h100-cluster01.toml"),
    ),
    ("hgx-b300", include_str!("../../../cluster/hgx-b300.toml")),
    ("p4de", include_str!("../../../cluster/p4de.toml")),
    ("p5", include_str!("../../../cluster/p5.toml")),
    ("polaris", include_str!("../../../cluster/polaris.toml")),
    (
        "polaris-tcp",
        include_str!("../../../cluster/polaris-tcp.toml"),
    ),
    (
        "rtx4090-pcie",
        include_str!("../../../cluster/rtx4090-pcie.toml"),
    ),
    (
        "rtx6000-pcie",
        include_str!("../../../cluster/rtx6000-pcie.toml"),
    ),
];

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
    #[error("{field} is {value}; expected {expected}")]
    Value {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
}

/// The text of a catalogue entry.
pub fn cluster_text(name: &str) -> Option<&'static str> {
    CLUSTERS
        .iter()
        .find(|(n, _)| *n == name)
        .map(|(_, text)| *text)
}

impl ClusterSpec {
    /// Reads and checks a specification.
    ///
    /// # Errors
    /// With line and column for what the text says wrongly, with the field for what no machine
    /// can be.
    pub fn parse(text: &str) -> Result<Self, ClusterError> {
        let spec: Self = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            let before = text.get(..start).unwrap_or("");
            let line_start = before.rfind('\n').map_or(0, |n| n + 1);
            ClusterError::Syntax {
                line: before.matches('\n').count() + 1,
                column: before.get(line_start..).unwrap_or("").chars().count() + 1,
                message: error.message().to_owned(),
            }
        })?;
        spec.check()?;
        Ok(spec)
    }

    fn check(&self) -> Result<(), ClusterError> {
        let positive = |field, value: f64| {
            if value > 0.0 && value.is_finite() {
                Ok(())
            } else {
                let value = value.to_string();
                Err(ClusterError::Value {
                    field,
                    value,
                    expected: "a number above 0",
                })
            }
        };
        positive("nodes", f64::from(self.nodes))?;
        positive("gpus_per_node", f64::from(self.gpus_per_node))?;
        positive("gpu.sms", f64::from(self.gpu.sms))?;
        positive("gpu.memory_gbs", self.gpu.memory_gbs)?;
        positive("gpu.bf16_tflops", self.gpu.bf16_tflops)?;
        positive("pcie.lanes", f64::from(self.pcie.lanes))?;
        if !(3..=6).contains(&self.pcie.generation) {
            let value = self.pcie.generation.to_string();
            return Err(ClusterError::Value {
                field: "pcie.generation",
                value,
                expected: "3 to 6",
            });
        }
        if self.intra.nvlink_gbs < 0.0 || !self.intra.nvlink_gbs.is_finite() {
            let value = self.intra.nvlink_gbs.to_string();
            let expected = "0 or more GB/s";
            return Err(ClusterError::Value {
                field: "intra.nvlink_gbs",
                value,
                expected,
            });
        }
        match &self.network {
            None if self.nodes > 1 => Err(ClusterError::Value {
                field: "network",
                value: "missing".to_owned(),
                expected: "a [network] section, since there is more than one node",
            }),
            None => Ok(()),
            Some(network) => {
                positive("network.nics_per_node", f64::from(network.nics_per_node))?;
                positive("network.nic_gbits", network.nic_gbits)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_reads_and_is_named_like_its_file() {
        for (name, text) in CLUSTERS {
            let spec = ClusterSpec::parse(text).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(spec.name, name);
            assert!(!spec.sources.is_empty(), "{name} has no source");
        }
    }

    #[test]
    fn what_is_wrong_is_shown_with_its_place() {
        let text = cluster_text("dgx-h100").unwrap();
        let negative = text.replace("nodes = 32", "nodes = -4");
        let Err(ClusterError::Syntax { line, column, .. }) = ClusterSpec::parse(&negative) else {
            panic!("a negative count was accepted");
        };
        assert_eq!(
            (negative.lines().nth(line - 1), column),
            (Some("nodes = -4"), 9)
        );
        let unknown = text.replace("sockets", "socket");
        assert!(
            ClusterSpec::parse(&unknown)
                .unwrap_err()
                .to_string()
                .contains("socket")
        );
        let none = text.replace("gpus_per_node = 8", "gpus_per_node = 0");
        assert!(
            ClusterSpec::parse(&none)
                .unwrap_err()
                .to_string()
                .contains("gpus_per_node is 0")
        );
    }
}
