//! The input of the model: what NCCL knows of a communicator once its graph search is done.

use ccl_core::{Algorithm, NcclVersion};

/// How good a path is, in NCCL's order: smaller is closer (`PATH_*` in `src/graph/topo.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathType {
    /// The GPU itself.
    Loc,
    /// NVLink.
    Nvl,
    /// NVLink through an intermediate GPU.
    Nvb,
    /// Chip-to-chip link to the CPU.
    C2c,
    /// At most one PCIe bridge.
    Pix,
    /// Several PCIe bridges.
    Pxb,
    /// Chip-to-chip, then PCIe.
    P2c,
    /// Through another GPU's NIC.
    Pxn,
    /// Through the CPU's host bridge.
    Phb,
    /// Across sockets.
    Sys,
    /// Over the network.
    Net,
    /// No path.
    Dis,
}

impl PathType {
    /// NCCL's three letters.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "LOC" => Self::Loc,
            "NVL" => Self::Nvl,
            "NVB" => Self::Nvb,
            "C2C" => Self::C2c,
            "PIX" => Self::Pix,
            "PXB" => Self::Pxb,
            "P2C" => Self::P2c,
            "PXN" => Self::Pxn,
            "PHB" => Self::Phb,
            "SYS" => Self::Sys,
            "NET" => Self::Net,
            "DIS" => Self::Dis,
            _ => return None,
        })
    }
}

/// Shape of a channel graph (`NCCL_TOPO_PATTERN_*` in `src/include/graph.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// Both trees' traffic spread over two GPUs and their NICs.
    BalancedTree,
    /// The two trees enter through different GPUs.
    SplitTree,
    /// All traffic through one GPU.
    Tree,
    /// Ring.
    Ring,
    /// NVLink SHARP.
    Nvls,
    /// CollNet.
    CollNetDirect,
}

impl Pattern {
    /// From NCCL's number.
    pub fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::BalancedTree,
            2 => Self::SplitTree,
            3 => Self::Tree,
            4 => Self::Ring,
            5 => Self::Nvls,
            6 => Self::CollNetDirect,
            _ => return None,
        })
    }
}

/// One channel graph as the search left it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Graph {
    /// Its shape.
    pub pattern: Pattern,
    /// Channels the search found, before NCCL duplicates them.
    pub channels: u32,
    /// Bandwidth of one channel inside a node, GB/s.
    pub intra_gbs: f32,
    /// Bandwidth of one channel between nodes, GB/s.
    pub inter_gbs: f32,
    /// Latency the network adds, microseconds.
    pub inter_latency_us: f32,
    /// Worst path inside a node.
    pub intra_path: PathType,
    /// Worst path to a NIC.
    pub inter_path: PathType,
    /// Whether all channels use the same path.
    pub same_channels: bool,
}

/// Instruction set of the host, as far as NCCL's tuning cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CpuArchitecture {
    /// x86-64.
    X86,
    /// IBM POWER.
    Power,
    /// 64-bit Arm.
    Arm,
    /// Nodes differ.
    Mixed,
}

/// Vendor of the host's processors, as NCCL tells them apart (`NCCL_TOPO_CPU_VENDOR_*` in
/// `src/include/graph.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostVendor {
    /// Not an x86 host.
    Undefined,
    /// Intel.
    Intel,
    /// AMD.
    Amd,
    /// Zhaoxin.
    Zhaoxin,
    /// Nodes differ.
    Mixed,
}

/// A communicator after its graph search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct System {
    /// The NCCL whose rules apply.
    pub version: NcclVersion,
    /// Ranks of the communicator.
    pub ranks: u32,
    /// Nodes they live on.
    pub nodes: u32,
    /// Lowest compute capability among the GPUs, times ten.
    pub compute_capability: u32,
    /// Host instruction set.
    pub cpu_architecture: CpuArchitecture,
    /// Host vendor.
    pub cpu_vendor: HostVendor,
    /// Bandwidth between a GPU and its nearest NIC, GB/s; 0 on one node (`comm->minNetBw`).
    pub nic_gbs: f32,
    /// The tree graph; PAT uses it too.
    pub tree: Graph,
    /// The ring graph.
    pub ring: Graph,
    /// The NVLS graph, which NVLSTree uses too; `None` where the switches cannot reduce.
    pub nvls: Option<Graph>,
    /// Channels of the communicator after NCCL duplicated them.
    pub channels: u32,
    /// Channels NVLS uses.
    pub nvls_channels: u32,
    /// Worst tree pattern among the nodes.
    pub worst_tree: Pattern,
}

impl System {
    /// The graph an algorithm runs on; `None` for CollNet and where there is no NVLS.
    pub fn graph(&self, algorithm: Algorithm) -> Option<&Graph> {
        match algorithm {
            Algorithm::Tree | Algorithm::Pat => Some(&self.tree),
            Algorithm::Ring => Some(&self.ring),
            Algorithm::Nvls | Algorithm::NvlsTree => self.nvls.as_ref(),
            Algorithm::CollNetDirect | Algorithm::CollNetChain => None,
        }
    }

    /// GPUs of a node that head an NVLS channel (`nvls.nHeads`).
    pub(super) fn nvls_heads(&self) -> u64 {
        self.nvls
            .map_or(1, |graph| {
                u64::from(graph.channels.min(self.ranks_per_node()))
            })
            .max(1)
    }

    /// Ranks per node as NCCL divides them, rounded down, at least 1.
    pub(super) fn ranks_per_node(&self) -> u32 {
        (self.ranks / self.nodes.max(1)).max(1)
    }
}
