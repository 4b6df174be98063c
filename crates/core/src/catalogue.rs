//! The clusters that ship with the program.
//!
//! The files in `cluster/` are part of the binary: a name works without the repository at hand.

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

/// The text of a catalogue entry.
pub fn cluster_text(name: &str) -> Option<&'static str> {
    CLUSTERS
        .iter()
        .find(|(n, _)| *n == name)
        .map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClusterSpec;

    #[test]
    fn every_entry_reads_and_is_named_like_its_file() {
        for (name, text) in CLUSTERS {
            let spec = ClusterSpec::parse(text).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(spec.name, name);
            assert!(!spec.sources.is_empty(), "{name} has no source");
        }
    }
}
