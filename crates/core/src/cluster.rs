//! What a cluster is made of: GPUs, links inside a node, NICs, fabric.
//!
//! Only facts of the machine. How fast collectives run on it is the simulator's business. How the text is
//! read and checked is in `read`.

mod read;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::NcclVersion;
pub use read::ClusterError;

/// A homogeneous cluster: every node is the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterSpec {
    /// Catalogue name, such as `a40-pcie-8gpu`.
    pub name: String,
    /// One line for people.
    #[serde(default)]
    pub description: String,
    /// Where the figures come from.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Nodes, 1 to 1,000,000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub nodes: u32,
    /// GPUs per node, 1 to 1024.
    #[schemars(range(min = 1, max = 1024))]
    pub gpus_per_node: u32,
    /// The NCCL the cluster runs.
    pub nccl_version: NcclVersion,
    /// The GPU.
    pub gpu: GpuSpec,
    /// Links between the GPUs of a node.
    pub intra: IntraSpec,
    /// PCI Express of a node.
    pub pcie: PcieSpec,
    /// Host processors.
    pub cpu: CpuSpec,
    /// Network between nodes; `None` for a single machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkSpec>,
    /// What NCCL's graph search finds here, where that is known from its logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nccl_graph: Option<NcclGraphSpec>,
    /// What collectives reach here, where that was measured; else derived from the links.
    #[serde(default)]
    pub hardware: HardwareSpec,
}

/// Channels and bandwidth that NCCL's graph search was seen to find inside a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NcclGraphSpec {
    /// Channels of the ring graph before NCCL duplicates them.
    pub channels: u32,
    /// Bandwidth of one of them, GB/s.
    pub channel_gbs: f64,
    /// Where this was seen.
    pub source: String,
}

/// Calibrated figures of a machine. Every field is optional: without it the simulator derives a
/// value from the links (see the simulator's `hardware` module for the rules).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HardwareSpec {
    /// Where these figures come from.
    pub sources: Vec<String>,
    /// Launch and completion of one call, microseconds.
    pub launch_us: Option<f64>,
    /// Ring bus bandwidth inside a node with everything saturated, GB/s.
    pub intra_gbs: Option<f64>,
    /// The same through host memory (`NCCL_P2P_DISABLE=1`), GB/s.
    pub staged_gbs: Option<f64>,
    /// Bus bandwidth of NVLink SHARP AllReduce with everything saturated, GB/s.
    pub nvls_gbs: Option<f64>,
    /// Start-up of NVLink SHARP, microseconds.
    pub nvls_startup_us: Option<f64>,
    /// Throughput of one channel with LL, LL128 and Simple, GB/s.
    pub channel_gbs: Option<[f64; 3]>,
    /// One step inside a node with LL, LL128 and Simple, microseconds.
    pub intra_step_us: Option<[f64; 3]>,
    /// One step between nodes with LL, LL128 and Simple, microseconds.
    pub inter_step_us: Option<[f64; 3]>,
    /// Share of the NICs' line rate that collectives reach, 0..=1.
    pub network_efficiency: Option<f64>,
    /// Share of the NICs' line rate that one channel can use, GB/s.
    pub network_channel_gbs: Option<f64>,
    /// What each channel costs the proxy that serves the network, microseconds a call.
    pub proxy_us: Option<f64>,
    /// What a step of flagged data costs more once the fabric asks for a rendezvous, microseconds.
    pub rendezvous_us: Option<f64>,
    /// What AllToAll gets of the NICs, over what a ring gets.
    pub all_to_all_share: Option<f64>,
    /// What each peer costs in an AllToAll, microseconds.
    pub peer_us: Option<f64>,
    /// How strongly jitter between ranks grows with the volume, microseconds per square root of
    /// a megabyte.
    pub jitter_us: Option<f64>,
}

/// One GPU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GpuSpec {
    /// Product name as the measurements call it (`A40`, `H100`, `B300`).
    pub model: String,
    /// CUDA compute capability times ten (80, 86, 90, 100).
    pub compute_capability: u32,
    /// Streaming multiprocessors.
    #[schemars(range(min = 1))]
    pub sms: u32,
    /// Memory bandwidth, GB/s (1e9 bytes per second).
    pub memory_gbs: f64,
    /// Dense bf16 peak, TFLOP/s.
    pub bf16_tflops: f64,
}

/// How the GPUs of a node reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IntraLink {
    /// All-to-all through NVSwitch.
    NvSwitch,
    /// Direct NVLinks between every pair of GPUs of a node.
    NvLinkMesh,
    /// NVLink bridges between pairs; PCIe between pairs of pairs.
    NvLinkPairs,
    /// PCI Express only.
    Pcie,
}

/// Links between the GPUs of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IntraSpec {
    /// The kind.
    pub link: IntraLink,
    /// NVLink bandwidth of one GPU in one direction, all its links together, GB/s; 0 without.
    #[serde(default)]
    pub nvlink_gbs: f64,
    /// NVLinks per GPU; 0 without.
    #[serde(default)]
    pub nvlink_links: u32,
    /// Whether the switches can reduce and multicast (NVLink SHARP).
    #[serde(default)]
    pub nvls: bool,
    /// GPUs in one NVLink domain where it is larger than a node (GB200 NVL72: 72).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nvlink_domain_gpus: Option<u32>,
}

/// PCI Express of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PcieSpec {
    /// Generation, 3 to 6.
    #[schemars(range(min = 3, max = 6))]
    pub generation: u32,
    /// Lanes to each GPU.
    pub lanes: u32,
    /// GPUs below one PCIe switch; 0 when GPUs sit at the CPU's root ports.
    #[serde(default)]
    pub gpus_per_switch: u32,
    /// Whether GPUs may read and write each other's memory across PCIe; without it NCCL goes
    /// through host memory (SHM).
    pub peer_to_peer: bool,
}

/// Processor vendor, as NCCL's tuning tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CpuVendor {
    /// Intel x86.
    Intel,
    /// AMD x86.
    Amd,
    /// Arm (Grace).
    Arm,
}

/// Host processors of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CpuSpec {
    /// The vendor.
    pub vendor: CpuVendor,
    /// Product or generation (`Sapphire Rapids`, `Milan`), for people and for NCCL's model.
    #[serde(default)]
    pub model: String,
    /// Sockets.
    pub sockets: u32,
}

/// What carries messages between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fabric {
    /// InfiniBand verbs.
    Infiniband,
    /// RDMA over Converged Ethernet.
    Roce,
    /// AWS Elastic Fabric Adapter (libfabric plugin).
    Efa,
    /// HPE Slingshot (libfabric plugin).
    Slingshot,
    /// TCP sockets.
    Tcp,
}

/// Network between nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// The fabric.
    pub fabric: Fabric,
    /// NICs per node.
    #[schemars(range(min = 1, max = 1024))]
    pub nics_per_node: u32,
    /// Line rate of one NIC, Gbit/s.
    pub nic_gbits: f64,
    /// One-way latency NIC to NIC, microseconds.
    pub latency_us: f64,
    /// Whether NICs read and write GPU memory directly.
    pub gpu_direct: bool,
}

impl ClusterSpec {
    /// GPUs in the cluster.
    pub fn total_gpus(&self) -> u32 {
        self.nodes * self.gpus_per_node
    }

    /// Line rate of all NICs of a node in one direction, GB/s; 0 without a network.
    pub fn node_network_gbs(&self) -> f64 {
        self.network
            .as_ref()
            .map_or(0.0, |n| f64::from(n.nics_per_node) * n.nic_gbits / 8.0)
    }
}
