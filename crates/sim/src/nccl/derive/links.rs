//! A node as NCCL sees it: which bandwidth it assigns to NVLink, PCIe, sockets and NICs.
//!
//! These are NCCL's own round figures (`src/graph/topo.h`, `src/graph/topo.cc`), not what the
//! links reach; all in GB/s and one direction.

use ccl_core::{ClusterSpec, CpuVendor, Fabric, IntraLink, NcclVersion, NetworkSpec};

use crate::ProcessSettings;

/// GPU-to-GPU traffic through an Intel root complex is cut into 64-byte packets
/// (`INTEL_P2P_OVERHEAD`).
const INTEL_PEER_OVERHEAD: f32 = 1.2;

/// How the GPUs of one communicator inside one node reach each other and the network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Links {
    /// GPUs of the communicator in one node (one NVLink domain).
    pub(super) gpus: u32,
    /// NVLink of one GPU towards the others of the communicator; 0 where PCIe is used.
    pub(super) nvlink_gbs: f32,
    /// NVLinks end at switches, so every channel can take the same path.
    pub(super) switched: bool,
    /// What one ring can push through the slowest link between the GPUs.
    pub(super) ring_gbs: f32,
    /// How far apart the GPUs are.
    pub(super) reach: Reach,
    /// Most of a single channel to the network, through the host bridge where it has to.
    pub(super) channel_to_nic_gbs: f32,
    /// One NIC, no faster than its slot.
    pub(super) nic_gbs: f32,
    /// NICs near the communicator's GPUs, at least 1; 0 without a network.
    pub(super) nics: u32,
    /// Every GPU has a PCIe switch and a NIC of its own.
    pub(super) own_nic: bool,
    /// NICs reach GPUs without crossing the host bridge.
    pub(super) direct_nic: bool,
}

/// The worst path between two GPUs of the communicator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// One GPU only.
    Alone,
    NvLink,
    PcieSwitch,
    HostBridge,
    Sockets,
}

impl Links {
    pub(super) fn of(cluster: &ClusterSpec, gpus: u32, settings: &ProcessSettings) -> Self {
        let intel = cluster.cpu.vendor == CpuVendor::Intel;
        let pcie = pcie_gbs(cluster.pcie.generation, cluster.pcie.lanes);
        let per_switch = cluster.pcie.gpus_per_switch;
        let per_socket = cluster.gpus_per_node.div_ceil(cluster.cpu.sockets.max(1));
        let nvlink = if settings.p2p_disable {
            0.0
        } else {
            nvlink_gbs(cluster, gpus)
        };
        let peers = cluster.pcie.peer_to_peer && !settings.p2p_disable;
        let reach = match gpus {
            0 | 1 => Reach::Alone,
            _ if nvlink > 0.0 => Reach::NvLink,
            _ if gpus > per_socket => Reach::Sockets,
            _ if peers && gpus <= per_switch => Reach::PcieSwitch,
            _ => Reach::HostBridge,
        };
        let overhead = if intel { INTEL_PEER_OVERHEAD } else { 1.0 };
        #[allow(clippy::cast_precision_loss)] // GPUs of a switch
        // Without peer access all GPUs of a switch share its link to the host.
        let sharers = if peers { 1.0 } else { per_switch.max(1) as f32 };
        let ring_gbs = match reach {
            Reach::Alone => f32::MAX,
            Reach::NvLink => nvlink,
            Reach::PcieSwitch => pcie,
            Reach::HostBridge => pcie / overhead / sharers,
            Reach::Sockets => (pcie / overhead / sharers).min(socket_gbs(cluster)),
        };

        let (nic_gbs, nics, gpu_direct) = cluster.network.as_ref().map_or((0.0, 0, false), |net| {
            let (of_node, line) = network_devices(net, cluster.gpus_per_node);
            let near = of_node * gpus.min(cluster.gpus_per_node) / cluster.gpus_per_node.max(1);
            let hosts = gpus.div_ceil(cluster.gpus_per_node.max(1));
            (line.min(pcie), near.max(1) * hosts, net.gpu_direct)
        });
        let arm = cluster.cpu.vendor == CpuVendor::Arm;
        let direct_nic = gpu_direct && per_switch > 0;
        let nic_at_switch = per_switch > 0 && nics * per_switch >= gpus;
        let channel_to_nic_gbs = match (gpu_direct, nic_at_switch) {
            _ if arm || direct_nic => nic_gbs,
            // To the host and back through the same switch.
            (false, true) => pcie / (1.0 + overhead),
            _ => pcie / overhead,
        };
        Self {
            gpus,
            nvlink_gbs: nvlink,
            switched: cluster.intra.link == IntraLink::NvSwitch || gpus == 2,
            ring_gbs,
            reach,
            channel_to_nic_gbs,
            nic_gbs,
            nics,
            own_nic: per_switch == 1 && nics >= gpus,
            direct_nic,
        }
    }
}

/// Network devices of a node as NCCL is shown them, and the bandwidth of one. The plugin for EFA
/// groups the NICs of a GPU into one device (aws-ofi-nccl, `src/nccl_ofi_topo.c`).
fn network_devices(network: &NetworkSpec, gpus_per_node: u32) -> (u32, f32) {
    let group = match network.fabric {
        Fabric::Efa => (network.nics_per_node / gpus_per_node.max(1)).max(1),
        _ => 1,
    };
    #[allow(clippy::cast_possible_truncation)] // a link's bandwidth
    let gbs = (f64::from(group) * network.nic_gbits / 8.0) as f32;
    (network.nics_per_node / group, gbs)
}

/// NVLink of one GPU towards the others of its communicator.
fn nvlink_gbs(cluster: &ClusterSpec, gpus: u32) -> f32 {
    let (line_gbs, nccl_gbs) = match cluster.gpu.compute_capability {
        100.. => (50.0, 40.1),
        90.. => (25.0, 20.6),
        86 => (14.0625, 12.0),
        80.. => (25.0, 20.0),
        70.. => (25.0, 20.0),
        _ => (20.0, 18.0),
    };
    let links = match cluster.intra.nvlink_links {
        0 => (cluster.intra.nvlink_gbs / line_gbs).round(),
        links => f64::from(links),
    };
    #[allow(clippy::cast_possible_truncation)] // a link's bandwidth
    let all = (links * nccl_gbs) as f32;
    #[allow(clippy::cast_precision_loss)] // GPUs of a node
    match cluster.intra.link {
        IntraLink::NvSwitch => all,
        IntraLink::NvLinkMesh => {
            let others = cluster.gpus_per_node.saturating_sub(1).max(1);
            all * gpus.saturating_sub(1).min(others) as f32 / others as f32
        }
        // More than a pair has to cross PCIe somewhere.
        IntraLink::NvLinkPairs if gpus == 2 => all,
        IntraLink::NvLinkPairs | IntraLink::Pcie => 0.0,
    }
}

/// A slot, as NCCL counts it: 12 for generation 3 x16, twice as much per generation.
fn pcie_gbs(generation: u32, lanes: u32) -> f32 {
    let per_lane = match generation {
        0..=1 => 0.1875,
        2 => 0.375,
        3 => 0.75,
        4 => 1.5,
        5 => 3.0,
        _ => 6.0,
    };
    #[allow(clippy::cast_precision_loss)] // lanes
    let lanes = lanes as f32;
    per_lane * lanes
}

/// The link between two sockets. NCCL reads the processor's model number; we read its name.
fn socket_gbs(cluster: &ClusterSpec) -> f32 {
    let model = cluster.cpu.model.to_ascii_lowercase();
    let is = |names: &[&str]| names.iter().any(|name| model.contains(name));
    let from = |minor| cluster.nccl_version >= NcclVersion::new(2, minor, 0);
    match cluster.cpu.vendor {
        CpuVendor::Amd if !from(19) => f32::MAX,
        CpuVendor::Amd => 16.0,
        CpuVendor::Arm => 6.0,
        CpuVendor::Intel if is(&["broadwell", "haswell"]) => 6.0,
        CpuVendor::Intel if is(&["skylake", "cascade", "ice lake", "icelake"]) => 10.0,
        // Before 2.26 everything newer counted as Skylake.
        CpuVendor::Intel if !from(26) => 10.0,
        CpuVendor::Intel if is(&["emerald", "granite", "sierra"]) => 40.0,
        CpuVendor::Intel => 22.0,
    }
}
