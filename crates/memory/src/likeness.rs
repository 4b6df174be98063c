//! How much of a rule that was learnt there is to be expected here: a weight, and what differs in words.
//!
//! Each difference takes its share of the weight, and the shares multiply. How much each takes is our judgement of
//! how much NCCL's times depend on it, chosen and not measured; that a difference never adds weight, and a larger
//! one never takes less, is tested. About another collective, or far other sizes, a rule says nothing. On another
//! machine neither, but that is seen before anything is compared: stores select by it.

use ccl_core::{ContextSignature, Fabric, NcclVersion, SizeBucket, TaskKey, format_bytes};

use crate::signature::Signature;

/// Size buckets that a rule may be away: beyond a factor of eight other protocols are best.
pub(crate) const MOST_BUCKETS: u8 = 3;

/// For each factor of two in size.
const SIZE: f64 = 0.8;
/// For each factor of two in nodes: the same links, more steps.
const NODES: f64 = 0.85;
/// For each factor of two in ranks of a node: fewer or more share its links.
const RANKS_PER_NODE: f64 = 0.8;
/// Where one stays inside a node and the other does not: other links limit.
const CROSSES_NODES: f64 = 0.3;
/// For each factor of two in the network's speed.
const NETWORK_SPEED: f64 = 0.8;
/// Another kind of network.
const OTHER_NETWORK: f64 = 0.4;
/// For each minor release of NCCL: its tuning model changes with most.
const MINOR_RELEASE: f64 = 0.9;
/// Another patch of the same release.
const OTHER_PATCH: f64 = 0.98;
/// Another workload: other calls beside these.
const OTHER_WORKLOAD: f64 = 0.9;

/// What is compared: a rule, and a key of the job here, or the job as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Likeness<'a> {
    there: &'a Signature<'a>,
    here: &'a ContextSignature,
    key: Option<TaskKey>,
}

/// Nodes and ranks per node.
#[derive(Clone, Copy, PartialEq)]
struct Scale {
    nodes: u32,
    ranks_per_node: u32,
}

impl Scale {
    fn ranks(self) -> u32 {
        self.nodes.saturating_mul(self.ranks_per_node)
    }
}

/// A share taken once for each factor of two between the numbers.
fn for_each_doubling(share: f64, a: u32, b: u32) -> f64 {
    if a == b {
        return 1.0;
    }
    share.powf((f64::from(a.max(1)) / f64::from(b.max(1))).log2().abs())
}

/// Whether a rule about calls of `there` can say anything about calls of `here`.
fn is_comparable(there: TaskKey, here: TaskKey) -> bool {
    there.collective == here.collective && there.bucket.0.abs_diff(here.bucket.0) <= MOST_BUCKETS
}

impl<'a> Likeness<'a> {
    /// Compares a rule of this machine with a job, or with one of its keys where the rule is about calls; `None`
    /// where it says nothing at all.
    pub(crate) fn of(
        there: &'a Signature<'a>,
        here: &'a ContextSignature,
        key: Option<TaskKey>,
    ) -> Option<Self> {
        let is_same_subject = match (there.key, key) {
            (Some(there), Some(here)) => is_comparable(there, here),
            (None, None) => true,
            _ => false,
        };
        let is_same_major = there.versions.to.major == here.nccl_version.major;
        (is_same_subject && is_same_major).then_some(Self { there, here, key })
    }

    /// The key compared with.
    pub(crate) fn key(&self) -> Option<TaskKey> {
        self.key
    }

    /// The share of what the rule says that is to be expected here, 0..=1; 1 where nothing differs.
    pub(crate) fn weight(&self) -> f64 {
        self.network() * self.scale() * self.size() * self.version() * self.workload()
    }

    /// The nearest scale that the rule speaks about, and the one here: of the communicator where it is about calls,
    /// else of the job.
    fn scales(&self) -> [Scale; 2] {
        let [there, here] = self.own_scales();
        let nodes = match self.there.reach.nodes {
            Some([from, to]) => here.nodes.max(from).min(to),
            None => there.nodes,
        };
        [Scale { nodes, ..there }, here]
    }

    fn own_scales(&self) -> [Scale; 2] {
        let of_key = |key: TaskKey| Scale {
            nodes: key.shape.nodes,
            ranks_per_node: key.shape.ranks_per_node(),
        };
        match (self.there.key, self.key) {
            (Some(there), Some(here)) => [of_key(there), of_key(here)],
            _ => [
                Scale {
                    nodes: self.there.nodes,
                    ranks_per_node: self.there.ranks_per_node,
                },
                Scale {
                    nodes: self.here.nodes,
                    ranks_per_node: self.here.ranks_per_node,
                },
            ],
        }
    }

    /// What stays inside a node does not know the network.
    fn uses_network(&self) -> bool {
        self.scales().iter().all(|s| s.nodes > 1)
    }

    fn network(&self) -> f64 {
        let (there, here) = (self.there, self.here);
        if !self.uses_network() {
            1.0
        } else if there.network != here.network {
            OTHER_NETWORK
        } else {
            for_each_doubling(NETWORK_SPEED, there.network_gbits, here.network_gbits)
        }
    }

    fn scale(&self) -> f64 {
        let [there, here] = self.scales();
        let crosses = if (there.nodes > 1) == (here.nodes > 1) {
            1.0
        } else {
            CROSSES_NODES
        };
        crosses
            * for_each_doubling(NODES, there.nodes, here.nodes)
            * for_each_doubling(RANKS_PER_NODE, there.ranks_per_node, here.ranks_per_node)
    }

    /// The nearest size that the rule speaks about, and the one here.
    fn buckets(&self) -> Option<[SizeBucket; 2]> {
        let (there, here) = (self.there.key?.bucket, self.key?.bucket);
        let nearest = match self.there.reach.sizes {
            Some([from, to]) => here.max(from).min(to),
            None => there,
        };
        Some([nearest, here])
    }

    fn size(&self) -> f64 {
        let apart = self.buckets().map_or(0, |[a, b]| a.0.abs_diff(b.0));
        SIZE.powi(i32::from(apart))
    }

    /// The nearest release in which the rule is known to hold.
    fn nearest_version(&self) -> NcclVersion {
        let known = self.there.versions;
        self.here.nccl_version.max(known.from).min(known.to)
    }

    fn version(&self) -> f64 {
        let (there, here) = (self.nearest_version(), self.here.nccl_version);
        if there == here {
            return 1.0;
        }
        match there.minor.abs_diff(here.minor) {
            0 => OTHER_PATCH,
            releases => MINOR_RELEASE.powi(i32::from(releases)),
        }
    }

    fn is_same_workload(&self) -> bool {
        let there = &self.there.workload;
        there.is_empty() || *there == self.here.workload
    }

    fn workload(&self) -> f64 {
        if self.is_same_workload() {
            1.0
        } else {
            OTHER_WORKLOAD
        }
    }

    /// What is the same, then what differs: here instead of there.
    pub(crate) fn in_words(&self) -> Vec<String> {
        let (there, here) = (self.there, self.here);
        let is_same_network = !self.uses_network() || self.network() >= 1.0;
        let mut words = vec![match (is_same_network, self.uses_network()) {
            (true, true) => "same GPU, links and network".to_owned(),
            _ => "same GPU and links".to_owned(),
        }];
        if !is_same_network {
            let name = |n: Option<Fabric>| n.map_or("none".to_owned(), |n| format!("{n:?}"));
            words.push(if there.network == here.network {
                let (new, old) = (here.network_gbits, there.network_gbits);
                format!("{new} instead of {old} Gbit/s")
            } else {
                format!(
                    "network {} instead of {}",
                    name(here.network),
                    name(there.network)
                )
            });
        }
        let [old, new] = self.scales();
        if old.ranks() != new.ranks() {
            words.push(format!("{} instead of {} ranks", new.ranks(), old.ranks()));
        }
        if old.nodes != new.nodes {
            words.push(format!("{} instead of {} nodes", new.nodes, old.nodes));
        }
        if let Some([old, new]) = self.buckets().filter(|[a, b]| a != b) {
            let size = |b: SizeBucket| format_bytes(b.min_bytes());
            words.push(format!("{} instead of {}", size(new), size(old)));
        }
        let (old, new) = (self.nearest_version(), here.nccl_version);
        if old != new {
            words.push(format!("NCCL {new} instead of {old}"));
        }
        if !self.is_same_workload() {
            words.push("another workload".to_owned());
        }
        words
    }
}

#[cfg(test)]
mod tests;
