//! From a cluster's links to the graphs NCCL would search: the input of the model for a cluster
//! that nobody recorded.
//!
//! A closed form, not NCCL's search: it adds up bandwidths and lays no paths. How often it ends
//! with the same graphs is in `doc/reference/graph-derivation.md`. Hosts are taken to be equal and
//! a communicator to be spread evenly over them; NICs to report no latency, as NCCL's own
//! plugins do.

mod channels;
mod links;

use ccl_core::{ClusterSpec, CommShape, CpuVendor, NcclVersion};

use self::channels::{Channels, Limits, best, duplicate, raise, speeds};
use self::links::{Links, Reach};
use super::rules::Rules;
use super::system::{CpuArchitecture, Graph, HostVendor, PathType, Pattern, System};
use crate::ProcessSettings;

/// Most GPUs that head an NVLS channel (`NCCL_MAX_NVLS_ARITY`).
const NVLS_MAX_HEADS: u32 = 32;

impl System {
    /// The system NCCL would find for a communicator of `shape` on `cluster`.
    ///
    /// Nodes are what NCCL calls nodes: an NVLink domain that spans several machines is one.
    pub fn derive(cluster: &ClusterSpec, shape: CommShape, settings: &ProcessSettings) -> Self {
        let hosts = hosts_of_a_node(cluster);
        let nodes = shape.nodes.max(1).div_ceil(hosts);
        let gpus = shape.ranks.div_ceil(nodes).max(1);
        let links = Links::of(cluster, gpus, settings);
        let capability = cluster.gpu.compute_capability;
        let version = cluster.nccl_version;
        let rules = Rules::of(version);
        let most = rules.max_channels / 2;
        let (mut ring, mut tree) = if nodes > 1 {
            between_nodes(&links, speeds(version, capability, true), capability, most)
        } else {
            inside_a_node(&links, speeds(version, capability, false), capability, most)
        };
        // What was seen beats what is derived.
        if let Some(seen) = cluster
            .nccl_graph
            .as_ref()
            .filter(|_| nodes == 1 && gpus > 1)
        {
            for graph in [&mut ring, &mut tree] {
                graph.channels = seen.channels;
                graph.intra_gbs = seen.channel_gbs as f32;
                graph.inter_gbs = seen.channel_gbs as f32;
            }
        }
        let nvls = nvls_graph(cluster, &links, nodes, settings);
        let nic_gbs = if nodes > 1 { links.nic_gbs } else { 0.0 };
        let nvls_channels = nvls.map_or(0, |_| {
            nvls_channels(version, capability, nodes, gpus, nic_gbs)
        });
        let arm = cluster.cpu.vendor == CpuVendor::Arm;
        Self {
            version,
            ranks: shape.ranks,
            nodes,
            compute_capability: capability,
            cpu_architecture: if arm {
                CpuArchitecture::Arm
            } else {
                CpuArchitecture::X86
            },
            cpu_vendor: match cluster.cpu.vendor {
                CpuVendor::Intel => HostVendor::Intel,
                CpuVendor::Amd => HostVendor::Amd,
                CpuVendor::Arm => HostVendor::Undefined,
            },
            nic_gbs,
            tree,
            ring,
            nvls,
            channels: communicator_channels(version, capability, nodes, &ring, nvls_channels)
                .min(rules.max_channels),
            nvls_channels,
            worst_tree: tree.pattern,
        }
    }
}

/// Machines that NCCL takes for one node, because NVLink connects them.
fn hosts_of_a_node(cluster: &ClusterSpec) -> u32 {
    cluster
        .intra
        .nvlink_domain_gpus
        .map_or(1, |domain| domain / cluster.gpus_per_node.max(1))
        .max(1)
}

fn inside_a_node(links: &Links, speeds: &[f32], capability: u32, most: u32) -> (Graph, Graph) {
    let limits = Limits {
        channel_gbs: links.ring_gbs,
        port_gbs: links.ring_gbs,
        ports: 1,
        total_gbs: links.ring_gbs,
        channels: most,
    };
    let found = duplicate(best(speeds, limits), capability, most);
    let pattern = if links.gpus > 1 {
        Pattern::BalancedTree
    } else {
        Pattern::Tree
    };
    let path = intra_path(links);
    // Every channel can repeat the first one's path, but for direct links between pairs.
    let same_channels = links.reach != Reach::NvLink || links.switched;
    let ring = graph(Pattern::Ring, found, PathType::Pix, path, same_channels);
    let mut tree = graph(
        pattern,
        found,
        PathType::Pix,
        path,
        same_channels && links.gpus != 2,
    );
    // A tree's chain of GPUs is one link shorter than the ring.
    let speed = raise(
        speeds,
        found.count,
        found.speed_gbs,
        links.ring_gbs,
        chain_gbs(links),
        false,
    );
    tree.intra_gbs = speed;
    tree.inter_gbs = speed;
    (ring, tree)
}

fn between_nodes(links: &Links, speeds: &[f32], capability: u32, most: u32) -> (Graph, Graph) {
    let total_gbs = chain_gbs(links);
    let inside = if links.reach == Reach::NvLink {
        f32::MAX
    } else {
        links.ring_gbs
    };
    let limits = Limits {
        channel_gbs: links.channel_to_nic_gbs.min(links.nic_gbs).min(inside),
        port_gbs: if links.direct_nic || links.own_nic {
            links.nic_gbs.min(links.channel_to_nic_gbs)
        } else {
            links.nic_gbs
        },
        ports: links.nics,
        total_gbs: match links.reach {
            Reach::Alone => links.nic_gbs,
            Reach::NvLink => total_gbs,
            _ => links.ring_gbs,
        },
        channels: most,
    };
    let single = best(speeds, limits);
    let found = duplicate(single, capability, most);
    let inter_path = if links.direct_nic {
        PathType::Pix
    } else {
        PathType::Phb
    };
    // A ring comes back to the NIC it came from through another GPU, if NVLink has room for that.
    #[allow(clippy::cast_precision_loss)] // channel counts
    let round = found.count as f32 * found.speed_gbs;
    let through_peer = links.own_nic && links.gpus > 1 && round <= links.nvlink_gbs;
    let ring_path = if through_peer && inter_path == PathType::Pix {
        PathType::Pxn
    } else {
        inter_path
    };
    // One NIC per GPU leaves no second GPU near the NIC for a balanced tree (Hopper and newer).
    let plain = links.gpus == 1 || (capability >= 90 && links.own_nic);
    let pattern = if plain {
        Pattern::Tree
    } else {
        Pattern::BalancedTree
    };
    let same_channels = single.count == 1;
    let path = intra_path(links);
    let ring = graph(Pattern::Ring, found, ring_path, path, same_channels);
    let mut tree = graph(
        pattern,
        found,
        inter_path,
        path,
        same_channels && links.reach_is_cheap(),
    );
    if links.reach_is_cheap() {
        tree.intra_gbs = raise(
            speeds,
            found.count,
            found.speed_gbs,
            f32::MAX,
            total_gbs,
            true,
        );
    }
    (ring, tree)
}

impl Links {
    /// Traffic inside the node does not share PCIe with the network.
    fn reach_is_cheap(&self) -> bool {
        matches!(self.reach, Reach::Alone | Reach::NvLink)
    }
}

/// What a chain over the GPUs, one link shorter than a ring, leaves to all channels.
fn chain_gbs(links: &Links) -> f32 {
    if links.gpus < 2 {
        return f32::MAX;
    }
    #[allow(clippy::cast_precision_loss)] // GPUs of a node
    let gpus = links.gpus as f32;
    links.ring_gbs * gpus / (gpus - 1.0)
}

fn intra_path(links: &Links) -> PathType {
    match links.reach {
        Reach::Alone => PathType::Loc,
        Reach::NvLink => PathType::Nvl,
        Reach::PcieSwitch => PathType::Pix,
        Reach::HostBridge => PathType::Phb,
        Reach::Sockets => PathType::Sys,
    }
}

fn graph(
    pattern: Pattern,
    channels: Channels,
    inter_path: PathType,
    intra_path: PathType,
    same_channels: bool,
) -> Graph {
    Graph {
        pattern,
        channels: channels.count,
        intra_gbs: channels.speed_gbs,
        inter_gbs: channels.speed_gbs,
        inter_latency_us: 0.0,
        intra_path,
        inter_path,
        same_channels,
    }
}

/// The NVLS graph: a channel for every GPU that pulls from the switches.
fn nvls_graph(
    cluster: &ClusterSpec,
    links: &Links,
    nodes: u32,
    settings: &ProcessSettings,
) -> Option<Graph> {
    let capability = cluster.gpu.compute_capability;
    let fewest = if cluster.nccl_version >= NcclVersion::new(2, 29, 0) {
        2
    } else {
        3
    };
    let possible = cluster.intra.nvls
        && links.reach == Reach::NvLink
        && capability >= 90
        && links.gpus >= fewest
        && !settings.nvls_disable
        && !settings.p2p_disable;
    if !possible {
        return None;
    }
    let network = nodes > 1;
    let speeds = speeds(cluster.nccl_version, capability, network);
    let heads = links.gpus.min(NVLS_MAX_HEADS);
    // A head carries its own channel twice and every other head's once.
    #[allow(clippy::cast_precision_loss)] // GPUs of a node
    let fits = |speed: f32, channels: u32| speed * (channels + 1) as f32 <= links.nvlink_gbs;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // small and positive
    let reached = |speed: f32| {
        if network {
            heads.min(links.nics * (links.nic_gbs / speed) as u32)
        } else {
            heads
        }
    };
    // More channels are always better, then more bandwidth.
    let mut found: Option<Channels> = None;
    for &speed_gbs in speeds {
        let most = reached(speed_gbs);
        let count = (1..=most).rev().find(|&n| fits(speed_gbs, n)).unwrap_or(0);
        if count > 0 && found.is_none_or(|f| count > f.count) {
            found = Some(Channels { count, speed_gbs });
        }
        if count == heads {
            break;
        }
    }
    let found = found?;
    let port = if network { links.nic_gbs } else { f32::MAX };
    let mut nvls = graph(Pattern::Nvls, found, PathType::Pix, PathType::Nvl, false);
    nvls.inter_gbs = raise(speeds, found.count, found.speed_gbs, port, f32::MAX, true);
    nvls.inter_path = if network && !links.direct_nic {
        PathType::Phb
    } else {
        PathType::Pix
    };
    Some(nvls)
}

/// Channels of NVLS (`NVLS_NCHANNELS_*` and `ncclNvlsTuning` in `src/transport/nvls.cc`).
fn nvls_channels(version: NcclVersion, capability: u32, nodes: u32, gpus: u32, nic: f32) -> u32 {
    let from = |minor| version >= NcclVersion::new(2, minor, 0);
    match (capability, nodes) {
        (..100, _) => 16,
        (_, _) if !from(25) => 16,
        (_, 1) if from(27) => 24,
        (_, 2) => 32,
        _ if from(30) && ((nic >= 96.0 && gpus <= 8) || (48.0..96.0).contains(&nic)) => 24,
        _ => 32,
    }
}

/// Channels of the communicator: NCCL doubles what the search found, and once more for few fast
/// channels between nodes (`ncclTopoPostset` in `src/graph/connect.cc`).
fn communicator_channels(
    version: NcclVersion,
    capability: u32,
    nodes: u32,
    ring: &Graph,
    nvls_channels: u32,
) -> u32 {
    let mut channels = 2 * ring.channels;
    if capability >= 90 && nodes > 1 && ring.intra_gbs > 45.0 && channels < 16 {
        channels *= 2;
    }
    // Until 2.28 NVLS channels counted for everybody.
    if version < NcclVersion::new(2, 28, 0) {
        channels = channels.max(nvls_channels);
    }
    channels
}
