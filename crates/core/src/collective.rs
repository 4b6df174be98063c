//! Collectives, algorithms and protocols, by the names and ids NCCL gives them.
//!
//! Which algorithm serves which collective is a fact of NCCL's kernels, not of a machine; what a
//! machine can run in addition (NVSwitch, nodes) is the business of the simulator and the guard.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A communication primitive of a training job.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Collective {
    /// One rank's buffer to all.
    Broadcast,
    /// Reduction to one rank.
    Reduce,
    /// Every rank's part to all.
    AllGather,
    /// Reduction, each rank keeps its part.
    ReduceScatter,
    /// Reduction to all.
    AllReduce,
    /// Every rank sends a part to every rank (grouped send/recv in NCCL).
    AllToAll,
    /// Point to point.
    SendRecv,
}

impl Collective {
    /// All collectives, NCCL's five first, in the order of NCCL's ids.
    pub const ALL: [Self; 7] = [
        Self::Broadcast,
        Self::Reduce,
        Self::AllGather,
        Self::ReduceScatter,
        Self::AllReduce,
        Self::AllToAll,
        Self::SendRecv,
    ];

    /// NCCL's `ncclFunc_t` id as a tuner plugin sees it; `None` for what NCCL builds from
    /// send and receive, which no tuner is asked about.
    pub fn nccl_id(self) -> Option<u32> {
        match self {
            Self::Broadcast => Some(0),
            Self::Reduce => Some(1),
            Self::AllGather => Some(2),
            Self::ReduceScatter => Some(3),
            Self::AllReduce => Some(4),
            Self::AllToAll | Self::SendRecv => None,
        }
    }

    /// Whether NCCL asks a tuner plugin about this primitive.
    pub fn is_tunable(self) -> bool {
        self.nccl_id().is_some()
    }

    /// Bus bandwidth divided by algorithm bandwidth (bytes / time), as nccl-tests defines it
    /// (`PERFORMANCE.md` of nccl-tests).
    pub fn bus_factor(self, ranks: u32) -> f64 {
        let n = f64::from(ranks.max(1));
        match self {
            Self::AllReduce => 2.0 * (n - 1.0) / n,
            Self::AllGather | Self::ReduceScatter | Self::AllToAll => (n - 1.0) / n,
            Self::Broadcast | Self::Reduce | Self::SendRecv => 1.0,
        }
    }

    /// The algorithms whose kernels exist for this collective.
    pub fn algorithms(self) -> &'static [Algorithm] {
        use Algorithm::{CollNetChain, CollNetDirect, Nvls, NvlsTree, Pat, Ring, Tree};
        match self {
            Self::Broadcast | Self::Reduce => &[Ring],
            Self::AllGather | Self::ReduceScatter => &[Ring, CollNetDirect, Nvls, Pat],
            Self::AllReduce => &[Tree, Ring, CollNetDirect, CollNetChain, Nvls, NvlsTree],
            Self::AllToAll | Self::SendRecv => &[],
        }
    }

    /// The name NCCL's logs and nccl-tests use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Broadcast => "Broadcast",
            Self::Reduce => "Reduce",
            Self::AllGather => "AllGather",
            Self::ReduceScatter => "ReduceScatter",
            Self::AllReduce => "AllReduce",
            Self::AllToAll => "AllToAll",
            Self::SendRecv => "SendRecv",
        }
    }

    /// The lower-case name of NVIDIA's tuner CSV (`allreduce`, `reducescatter`, ...).
    pub fn csv_name(self) -> String {
        self.name().to_ascii_lowercase()
    }
}

/// How a collective walks the ranks.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Algorithm {
    /// Double binary tree.
    Tree,
    /// Ring.
    Ring,
    /// In-network reduction, every GPU of a node talks to the switch.
    CollNetDirect,
    /// In-network reduction, one chain per node.
    CollNetChain,
    /// NVLink SHARP inside one NVLink domain.
    #[serde(rename = "NVLS")]
    Nvls,
    /// NVLink SHARP inside a node, tree between nodes.
    #[serde(rename = "NVLSTree")]
    NvlsTree,
    /// Parallel aggregated trees; one rank per node.
    #[serde(rename = "PAT")]
    Pat,
}

impl Algorithm {
    /// In the order of NCCL's `NCCL_ALGO_*` ids.
    pub const ALL: [Self; 7] = [
        Self::Tree,
        Self::Ring,
        Self::CollNetDirect,
        Self::CollNetChain,
        Self::Nvls,
        Self::NvlsTree,
        Self::Pat,
    ];

    /// NCCL's `NCCL_ALGO_*` id.
    pub fn nccl_id(self) -> u32 {
        self as u32
    }

    /// Whether kernels exist for this pair: everything but Tree and Ring is Simple only.
    pub fn speaks(self, protocol: Protocol) -> bool {
        matches!(self, Self::Tree | Self::Ring) || protocol == Protocol::Simple
    }

    /// Whether kernels exist for this collective.
    pub fn serves(self, collective: Collective) -> bool {
        collective.algorithms().contains(&self)
    }

    /// NCCL's own spelling.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tree => "Tree",
            Self::Ring => "Ring",
            Self::CollNetDirect => "CollNetDirect",
            Self::CollNetChain => "CollNetChain",
            Self::Nvls => "NVLS",
            Self::NvlsTree => "NVLSTree",
            Self::Pat => "PAT",
        }
    }

    /// The lower-case name of NVIDIA's tuner CSV (`collnet_direct`, `nvls_tree`, ...), as in
    /// NCCL's `ext-tuner/example/plugin.c`.
    pub fn csv_name(self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Ring => "ring",
            Self::CollNetDirect => "collnet_direct",
            Self::CollNetChain => "collnet_chain",
            Self::Nvls => "nvls",
            Self::NvlsTree => "nvls_tree",
            Self::Pat => "pat",
        }
    }
}

/// How data and its arrival are signalled.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Protocol {
    /// Low latency: 8-byte stores, 4 of them flags; half the bandwidth.
    #[serde(rename = "LL")]
    Ll,
    /// 128-byte stores, 8 of them flags; needs the hardware to keep them whole.
    #[serde(rename = "LL128")]
    Ll128,
    /// Bulk copies with fences; full bandwidth, higher latency.
    Simple,
}

impl Protocol {
    /// In the order of NCCL's `NCCL_PROTO_*` ids.
    pub const ALL: [Self; 3] = [Self::Ll, Self::Ll128, Self::Simple];

    /// NCCL's `NCCL_PROTO_*` id.
    pub fn nccl_id(self) -> u32 {
        self as u32
    }

    /// NCCL's own spelling.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ll => "LL",
            Self::Ll128 => "LL128",
            Self::Simple => "Simple",
        }
    }

    /// The lower-case name of NVIDIA's tuner CSV.
    pub fn csv_name(self) -> &'static str {
        match self {
            Self::Ll => "ll",
            Self::Ll128 => "ll128",
            Self::Simple => "simple",
        }
    }
}

/// A name that is none of the known ones.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown {what} {given:?}; known: {known}")]
pub struct ParseNameError {
    /// What kind of name was expected (`collective`, `algorithm`, `protocol`).
    pub what: &'static str,
    /// What was given.
    pub given: String,
    /// The known names, comma separated.
    pub known: String,
}

/// Compares names as people write them: case, `_` and `-` do not count.
fn parse_name<T: Copy>(
    given: &str,
    what: &'static str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, ParseNameError> {
    let plain = |s: &str| s.replace(['_', '-'], "").to_ascii_lowercase();
    let wanted = plain(given.trim());
    all.iter()
        .copied()
        .find(|&t| plain(name(t)) == wanted)
        .ok_or_else(|| ParseNameError {
            what,
            given: given.to_owned(),
            known: all.iter().map(|&t| name(t)).collect::<Vec<_>>().join(", "),
        })
}

macro_rules! named {
    ($type:ty, $what:literal) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
        impl FromStr for $type {
            type Err = ParseNameError;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                parse_name(s, $what, &Self::ALL, Self::name)
            }
        }
    };
}
named!(Collective, "collective");
named!(Algorithm, "algorithm");
named!(Protocol, "protocol");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_nccl() {
        assert_eq!(
            Algorithm::ALL.map(Algorithm::nccl_id),
            [0, 1, 2, 3, 4, 5, 6]
        );
        assert_eq!(Protocol::ALL.map(Protocol::nccl_id), [0, 1, 2]);
        let ids: Vec<_> = Collective::ALL.iter().filter_map(|c| c.nccl_id()).collect();
        assert_eq!(ids, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn names_read_back_in_every_spelling() {
        for a in Algorithm::ALL {
            assert_eq!(a.name().parse(), Ok(a));
            assert_eq!(a.csv_name().parse(), Ok(a));
        }
        assert_eq!("all_reduce".parse(), Ok(Collective::AllReduce));
        assert_eq!("LL128".parse(), Ok(Protocol::Ll128));
        let err = "Rings".parse::<Algorithm>().unwrap_err();
        assert!(err.to_string().contains("known: Tree, Ring"));
    }

    #[test]
    fn simple_is_the_only_protocol_beyond_ring_and_tree() {
        for a in Algorithm::ALL {
            assert!(a.speaks(Protocol::Simple));
            assert_eq!(
                a.speaks(Protocol::Ll),
                matches!(a, Algorithm::Ring | Algorithm::Tree)
            );
        }
    }
}
