//! Where a knob means something, and what is known of a platform.
//!
//! Four independent questions: the links inside a node, the network, the GPU generation, the
//! processor. What is not known is never held against a knob.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

use crate::{ClusterSpec, CpuVendor, Fabric, IntraLink};

/// A word for a property of a platform. On a knob it reads "means something with": `NvLink` covers
/// every NVLink machine, `Hopper` Hopper and newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "&'static str")]
pub enum PlatformWord {
    /// GPUs joined by PCI Express only.
    Pcie,
    /// NVLink of any kind.
    NvLink,
    /// NVLink through switches.
    NvSwitch,
    /// NVLink across nodes.
    MultiNodeNvLink,
    /// InfiniBand.
    Infiniband,
    /// RDMA over Converged Ethernet.
    Roce,
    /// AWS Elastic Fabric Adapter.
    Efa,
    /// HPE Slingshot.
    Slingshot,
    /// TCP sockets.
    Tcp,
    /// GPUs before Hopper.
    Ampere,
    /// Hopper.
    Hopper,
    /// Blackwell.
    Blackwell,
    /// Intel or AMD.
    X86,
    /// Arm (Grace).
    Arm,
}

use PlatformWord::{
    Ampere, Arm, Blackwell, Efa, Hopper, Infiniband, MultiNodeNvLink, NvLink, NvSwitch, Pcie, Roce,
    Slingshot, Tcp, X86,
};

/// The words of each question; within one, a later NVLink or GPU word includes the earlier.
const LINKS: &[PlatformWord] = &[Pcie, NvLink, NvSwitch, MultiNodeNvLink];
const NETWORKS: &[PlatformWord] = &[Infiniband, Roce, Efa, Slingshot, Tcp];
const GENERATIONS: &[PlatformWord] = &[Ampere, Hopper, Blackwell];
const PROCESSORS: &[PlatformWord] = &[X86, Arm];

impl PlatformWord {
    /// All words.
    pub const ALL: [Self; 14] = [
        Pcie,
        NvLink,
        NvSwitch,
        MultiNodeNvLink,
        Infiniband,
        Roce,
        Efa,
        Slingshot,
        Tcp,
        Ampere,
        Hopper,
        Blackwell,
        X86,
        Arm,
    ];

    /// The word on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Pcie => "pcie",
            NvLink => "nvlink",
            NvSwitch => "nvswitch",
            MultiNodeNvLink => "mnnvl",
            Infiniband => "ib",
            Roce => "roce",
            Efa => "efa",
            Slingshot => "slingshot",
            Tcp => "tcp",
            Ampere => "ampere",
            Hopper => "hopper",
            Blackwell => "blackwell",
            X86 => "x86",
            Arm => "arm",
        }
    }

    /// How a sentence names it.
    const fn phrase(self) -> &'static str {
        match self {
            Pcie => "GPUs joined by PCIe",
            NvLink => "NVLink",
            NvSwitch => "NVLink switches",
            MultiNodeNvLink => "NVLink across nodes",
            Infiniband => "InfiniBand",
            Roce => "RoCE",
            Efa => "EFA",
            Slingshot => "Slingshot",
            Tcp => "TCP",
            Ampere => "GPUs up to Ampere and Ada",
            Hopper => "Hopper or newer GPUs",
            Blackwell => "Blackwell GPUs",
            X86 => "x86 processors",
            Arm => "Arm processors (Grace)",
        }
    }
}

impl From<PlatformWord> for &'static str {
    fn from(word: PlatformWord) -> Self {
        word.word()
    }
}

impl fmt::Display for PlatformWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A word that is none, or words that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParsePlatformError {
    /// Not one of the words.
    #[error("{0:?} is no platform word")]
    Unknown(String),
    /// Two answers to one question.
    #[error("{0} and {1} exclude each other")]
    Contradiction(PlatformWord, PlatformWord),
}

/// What is known of a platform.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Platform {
    link: Option<PlatformWord>,
    /// The outer `None` is "not known", the inner one "a single machine without a network".
    network: Option<Option<PlatformWord>>,
    generation: Option<PlatformWord>,
    processor: Option<PlatformWord>,
}

impl Platform {
    /// The platform a cluster is.
    pub fn of(cluster: &ClusterSpec) -> Self {
        let across = cluster
            .intra
            .nvlink_domain_gpus
            .is_some_and(|gpus| gpus > cluster.gpus_per_node);
        let link = match cluster.intra.link {
            _ if across => MultiNodeNvLink,
            IntraLink::NvSwitch => NvSwitch,
            IntraLink::NvLinkMesh | IntraLink::NvLinkPairs => NvLink,
            IntraLink::Pcie => Pcie,
        };
        let network = cluster.network.as_ref().map(|n| match n.fabric {
            Fabric::Infiniband => Infiniband,
            Fabric::Roce => Roce,
            Fabric::Efa => Efa,
            Fabric::Slingshot => Slingshot,
            Fabric::Tcp => Tcp,
        });
        let generation = match cluster.gpu.compute_capability {
            0..90 => Ampere,
            90..100 => Hopper,
            _ => Blackwell,
        };
        let processor = match cluster.cpu.vendor {
            CpuVendor::Intel | CpuVendor::Amd => X86,
            CpuVendor::Arm => Arm,
        };
        Self {
            link: Some(link),
            network: Some(network),
            generation: Some(generation),
            processor: Some(processor),
        }
    }

    /// Why a knob that needs one of these words means nothing here; `None` when it may.
    pub fn lacks(&self, needs: &[PlatformWord]) -> Option<String> {
        let axes = [
            (LINKS, self.link.map(Some)),
            (NETWORKS, self.network),
            (GENERATIONS, self.generation.map(Some)),
            (PROCESSORS, self.processor.map(Some)),
        ];
        for (words, known) in axes {
            let Some(here) = known else { continue };
            let asked: Vec<PlatformWord> = needs
                .iter()
                .copied()
                .filter(|n| words.contains(n))
                .collect();
            if asked.is_empty() || here.is_some_and(|h| asked.iter().any(|need| covers(*need, h))) {
                continue;
            }
            let names: Vec<&str> = asked.iter().map(|w| w.phrase()).collect();
            let here = here.map_or("a single machine without a network", PlatformWord::phrase);
            return Some(format!(
                "it means something with {} only; this is {here}",
                names.join(" or ")
            ));
        }
        None
    }

    /// Whether the link inside a node is known to be PCIe only.
    pub fn is_pcie_only(&self) -> bool {
        self.link == Some(Pcie)
    }

    /// The words that are known.
    pub fn words(&self) -> Vec<PlatformWord> {
        [
            self.link,
            self.network.flatten(),
            self.generation,
            self.processor,
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Whether a platform that is `here` satisfies a knob that needs `need`.
fn covers(need: PlatformWord, here: PlatformWord) -> bool {
    let rank = |words: &[PlatformWord], word| words.iter().position(|w| *w == word);
    match need {
        NvLink | NvSwitch => rank(LINKS, here) >= rank(LINKS, need),
        Hopper => rank(GENERATIONS, here) >= rank(GENERATIONS, need),
        _ => here == need,
    }
}

impl FromStr for Platform {
    type Err = ParsePlatformError;

    /// Reads words separated by commas, such as `nvlink,ib,hopper`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut platform = Self::default();
        for part in text.split(',').map(str::trim) {
            let word = PlatformWord::ALL
                .into_iter()
                .find(|w| w.word().eq_ignore_ascii_case(part))
                .ok_or_else(|| ParsePlatformError::Unknown(part.to_owned()))?;
            let previous = if LINKS.contains(&word) {
                // nvlink,nvswitch says one thing twice; the stronger word stands.
                let stronger = platform
                    .link
                    .filter(|old| *old != Pcie && word != Pcie)
                    .map(|old| old.max(word));
                let old = if stronger.is_some() {
                    None
                } else {
                    platform.link
                };
                platform.link = stronger.or(Some(word));
                old
            } else if NETWORKS.contains(&word) {
                platform.network.replace(Some(word)).flatten()
            } else if GENERATIONS.contains(&word) {
                platform.generation.replace(word)
            } else {
                platform.processor.replace(word)
            };
            if let Some(old) = previous.filter(|old| *old != word) {
                return Err(ParsePlatformError::Contradiction(old, word));
            }
        }
        Ok(platform)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_not_held_against_a_knob() {
        let platform: Platform = "pcie,tcp".parse().unwrap();
        assert!(platform.lacks(&[NvSwitch, Hopper]).is_some());
        assert!(platform.lacks(&[Infiniband, Roce]).is_some());
        assert_eq!(platform.lacks(&[Hopper]), None);
        assert_eq!(platform.lacks(&[]), None);
        assert_eq!(Platform::default().lacks(&[NvSwitch, Arm, Tcp]), None);
    }

    #[test]
    fn stronger_words_include_weaker_ones() {
        let platform: Platform = "mnnvl,roce,blackwell".parse().unwrap();
        assert_eq!(platform.lacks(&[NvLink, Hopper]), None);
        assert_eq!(platform.lacks(&[NvSwitch]), None);
        assert!(platform.lacks(&[Pcie]).is_some());
        assert_eq!("nvswitch,nvlink".parse::<Platform>(), "nvswitch".parse());
    }

    #[test]
    fn contradictions_and_unknown_words_are_refused() {
        assert_eq!(
            "ib,tcp".parse::<Platform>(),
            Err(ParsePlatformError::Contradiction(Infiniband, Tcp))
        );
        assert_eq!(
            "nvlink,pcie".parse::<Platform>(),
            Err(ParsePlatformError::Contradiction(NvLink, Pcie))
        );
        assert_eq!(
            "".parse::<Platform>(),
            Err(ParsePlatformError::Unknown(String::new()))
        );
    }
}
