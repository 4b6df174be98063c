//! Where something was learnt: the facts that must match before it may be carried elsewhere.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ClusterSpec, Fabric, IntraLink, NcclVersion};

/// The signature of a context. Two equal signatures may share rules; anything else is a
/// hypothesis to be tried, not knowledge.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ContextSignature {
    /// GPU product.
    pub gpu: String,
    /// Links inside a node.
    pub intra: IntraLink,
    /// Network between nodes; `None` on one machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Fabric>,
    /// Line rate of all NICs of a node, Gbit/s, rounded; 0 without a network.
    pub network_gbits: u32,
    /// Nodes of the job.
    pub nodes: u32,
    /// Ranks per node of the job.
    pub ranks_per_node: u32,
    /// NCCL's version.
    pub nccl_version: NcclVersion,
    /// The workload's name.
    pub workload: String,
}

impl ContextSignature {
    /// The context of a job of `nodes` x `ranks_per_node` on a cluster.
    pub fn of(cluster: &ClusterSpec, workload: &str, nodes: u32, ranks_per_node: u32) -> Self {
        let network = cluster.network.as_ref().filter(|_| nodes > 1);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a line rate
        let network_gbits = network.map_or(0, |n| {
            (f64::from(n.nics_per_node) * n.nic_gbits).round() as u32
        });
        Self {
            gpu: cluster.gpu.model.clone(),
            intra: cluster.intra.link,
            network: network.map(|n| n.fabric),
            network_gbits,
            nodes,
            ranks_per_node,
            nccl_version: cluster.nccl_version,
            workload: workload.to_owned(),
        }
    }

    /// Whether a rule of `other` may become a hypothesis here: the same machine and release,
    /// whatever the scale and the workload. Never enough to apply it untried.
    pub fn is_related_to(&self, other: &Self) -> bool {
        self.gpu == other.gpu
            && self.intra == other.intra
            && self.network == other.network
            && self.nccl_version == other.nccl_version
    }
}
