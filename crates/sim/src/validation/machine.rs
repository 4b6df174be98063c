//! Which machine a recorded row is about: a catalogue entry, adapted to what the row says.

use ccl_core::{
    CLUSTERS, Cell, ClusterSpec, Conditions, Fabric, HardwareSpec, IntraLink, NetworkSpec,
    cluster_text,
};
use thiserror::Error;

use crate::{ComputeLoad, ProcessSettings};

/// What a Python harness that times calls one by one adds to each, microseconds: the sweeps of
/// `all_reduce_bench.py` flatten out at this much above nccl-tests on the same GPUs.
const TORCH_HARNESS_US: f64 = 17.0;

/// Why a row is not simulated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotCovered {
    /// No catalogue entry has this GPU.
    #[error("no catalogue entry with GPU {0:?}")]
    Machine(String),
    /// What ran is not stated.
    #[error("the configuration of {0:?} is not stated")]
    Unstated(String),
    /// NCCL does not run this there.
    #[error("NCCL does not run {0} there")]
    Choice(String),
}

/// A machine, the settings of its processes and what runs beside the calls.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The cluster.
    pub cluster: ClusterSpec,
    /// Process-level knobs.
    pub settings: ProcessSettings,
    /// Computation beside the calls.
    pub load: ComputeLoad,
    /// What the harness adds to a call, microseconds.
    pub harness_us: f64,
}

impl Machine {
    /// The machine of a cell.
    ///
    /// # Errors
    /// A GPU that is in no catalogue entry, or settings that do not say what ran.
    pub fn of(cell: &Cell) -> Result<Self, NotCovered> {
        let conditions = &cell.conditions;
        let words = conditions.settings.to_ascii_lowercase();
        // Somebody's tuned configuration without its parameters.
        for name in ["autoccl;", "afnfa;"] {
            if words.starts_with(name) {
                return Err(NotCovered::Unstated(conditions.settings.clone()));
            }
        }
        let mut cluster = entry_for(conditions)?;
        adapt(&mut cluster, cell);
        let mut settings = ProcessSettings {
            // Explicit channel counts of a sweep were really run with.
            opened_channels: Some(64),
            p2p_disable: words.contains("p2p off"),
            nvls_disable: words.contains("nvls_enable=0") || words.contains("nvls off"),
            ..ProcessSettings::default()
        };
        if words.contains("transport shm") {
            settings.p2p_disable = true;
        } else if words.contains("transport p2p") && cluster.intra.link == IntraLink::Pcie {
            // What is known of the machine was seen through host memory.
            cluster.pcie.peer_to_peer = true;
            cluster.hardware = HardwareSpec::default();
        }
        if words.contains("max_ch16") || words.contains("max_nchannels=16") {
            settings.max_channels = Some(16);
        }
        if words.contains("min_ch4") {
            settings.min_channels = Some(4);
        }
        if words.contains("nthreads=256") {
            settings.threads = Some(256);
        }
        if words.contains("buff 8m") || words.contains("buff8m") {
            settings.buffer_bytes = Some(8 << 20);
        }
        let torch = words.contains("all_reduce_bench.py");
        Ok(Self {
            cluster,
            settings,
            load: load_of(&conditions.concurrent_compute),
            harness_us: if torch { TORCH_HARNESS_US } else { 0.0 },
        })
    }
}

/// Computation named in words: a heavy GEMM fills the GPU, a light one half of it.
fn load_of(words: &str) -> ComputeLoad {
    match words.trim() {
        "" | "none" => ComputeLoad::NONE,
        "light GEMM" => ComputeLoad {
            sm_fraction: 0.5,
            memory_fraction: 0.3,
        },
        _ => ComputeLoad {
            sm_fraction: 1.0,
            memory_fraction: 0.5,
        },
    }
}

fn plain(text: &str) -> String {
    text.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// The entry that has most in common with the row; the GPU must be the same.
fn entry_for(conditions: &Conditions) -> Result<ClusterSpec, NotCovered> {
    let gpu = plain(&conditions.gpu);
    let (link, fabric) = (link_of(&conditions.intra), fabric_of(&conditions.network));
    let score = |cluster: &ClusterSpec| {
        let model = plain(&cluster.gpu.model);
        let base = cluster
            .gpu
            .model
            .split('-')
            .next()
            .map(plain)
            .unwrap_or_default();
        if base.is_empty() || !gpu.contains(&base) {
            return None;
        }
        let network = cluster.network.as_ref().map(|n| n.fabric);
        Some(
            // The longest name: a GB200 is no B200.
            base.len()
                + 4 * usize::from(gpu.contains(&model))
                + 4 * usize::from(link == Some(cluster.intra.link))
                + 3 * usize::from(fabric.is_some() && fabric == network)
                + usize::from(fabric.is_none() && network != Some(Fabric::Efa))
                + usize::from(conditions.nccl == cluster.nccl_version.to_string()),
        )
    };
    let mut best: Option<(usize, ClusterSpec)> = None;
    for (name, _) in CLUSTERS {
        let Some(cluster) = cluster_text(name).and_then(|t| ClusterSpec::parse(t).ok()) else {
            continue;
        };
        let Some(score) = score(&cluster) else {
            continue;
        };
        // At equal scores the first one stays.
        if best.as_ref().is_none_or(|(other, _)| score > *other) {
            best = Some((score, cluster));
        }
    }
    best.map(|(_, cluster)| cluster)
        .or_else(|| related(&gpu))
        .ok_or_else(|| NotCovered::Machine(conditions.gpu.clone()))
}

/// GPUs without an entry of their own: the entry they are most like, and what differs (vendor's
/// data sheets): compute capability, SMs, memory and NVLink bandwidth in GB/s, 0 without NVLink.
const RELATED: [(&str, &str, u32, u32, f64, f64); 12] = [
    ("v100", "dgx-a100", 70, 80, 900.0, 150.0),
    ("a800", "dgx-a100", 80, 108, 2039.0, 200.0),
    ("a30", "dgx-a100", 80, 56, 933.0, 0.0),
    ("h800", "dgx-h100", 90, 132, 3350.0, 200.0),
    ("h20", "dgx-h100", 90, 78, 4000.0, 450.0),
    ("gb300", "gb200-nvl72", 103, 148, 8000.0, 900.0),
    ("l40", "rtx4090-pcie", 89, 142, 864.0, 0.0),
    ("l4", "rtx4090-pcie", 89, 58, 300.0, 0.0),
    ("a6000", "rtx6000-pcie", 86, 84, 768.0, 0.0),
    ("a10", "rtx6000-pcie", 86, 72, 600.0, 0.0),
    ("rtx3090", "rtx4090-pcie", 86, 82, 936.0, 0.0),
    ("t4", "rtx6000-pcie", 75, 40, 320.0, 0.0),
];

/// A machine like one of the catalogue, with another GPU; what was calibrated on that one does
/// not hold.
fn related(gpu: &str) -> Option<ClusterSpec> {
    let (name, like, capability, sms, memory_gbs, nvlink_gbs) =
        RELATED.into_iter().find(|(name, ..)| gpu.contains(name))?;
    let mut cluster = ClusterSpec::parse(cluster_text(like)?).ok()?;
    cluster.name = format!("{like} with {name}");
    cluster.gpu.model = name.to_owned();
    cluster.gpu.compute_capability = capability;
    cluster.gpu.sms = sms;
    cluster.gpu.memory_gbs = memory_gbs;
    cluster.hardware = HardwareSpec::default();
    if nvlink_gbs > 0.0 {
        cluster.intra.nvlink_gbs = nvlink_gbs;
        cluster.intra.nvls &= capability >= 90;
    } else {
        cluster.intra = ccl_core::IntraSpec {
            link: IntraLink::Pcie,
            nvlink_gbs: 0.0,
            nvlink_links: 0,
            nvls: false,
            nvlink_domain_gpus: None,
        };
    }
    Some(cluster)
}

/// Changes an entry to what the row says, where it says something else.
fn adapt(cluster: &mut ClusterSpec, cell: &Cell) {
    let conditions = &cell.conditions;
    let shape = cell.shape;
    cluster.nodes = shape.nodes;
    if shape.ranks_per_node() > cluster.gpus_per_node {
        cluster.gpus_per_node = shape.ranks_per_node();
    }
    // A ring over a few GPUs of a PCIe machine need not leave their socket.
    if cluster.intra.link == IntraLink::Pcie && conditions.gpus_per_node > 0 {
        cluster.gpus_per_node = conditions.gpus_per_node.max(shape.ranks_per_node());
    }
    let generation = conditions.intra.to_ascii_lowercase();
    let generation = generation
        .split("pcie")
        .nth(1)
        .and_then(|rest| rest.chars().next());
    if let Some(generation) = generation.and_then(|digit| digit.to_digit(10))
        && generation != cluster.pcie.generation
    {
        cluster.pcie.generation = generation;
        cluster.hardware = HardwareSpec::default();
    }
    if let Ok(version) = conditions.nccl.parse() {
        cluster.nccl_version = version;
    }
    if let Some(link) = link_of(&conditions.intra).filter(|l| *l != cluster.intra.link) {
        cluster.intra.link = link;
        cluster.hardware = HardwareSpec::default();
    }
    let Some(fabric) = fabric_of(&conditions.network) else {
        return;
    };
    let known = cluster.network.as_ref();
    let line = line_rate(&conditions.network, known);
    let same = known.is_some_and(|n| n.fabric == fabric);
    let same_line = line.is_none_or(|(nics, gbits)| {
        known.is_some_and(|n| (f64::from(n.nics_per_node) * n.nic_gbits - nics * gbits).abs() < 1.0)
    });
    if same && same_line {
        return;
    }
    let known = known.map(|n| (f64::from(n.nics_per_node), n.nic_gbits));
    let (nics, gbits) = line.or(known).unwrap_or((8.0, 200.0));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a count of NICs
    let nics_per_node = nics as u32;
    cluster.network = Some(NetworkSpec {
        fabric,
        nics_per_node,
        nic_gbits: gbits,
        latency_us: if fabric == Fabric::Efa { 15.0 } else { 2.0 },
        gpu_direct: fabric != Fabric::Tcp,
    });
    cluster.hardware.inter_step_us = None;
    cluster.hardware.network_efficiency = None;
    cluster.hardware.network_channel_gbs = None;
    cluster.hardware.peer_us = None;
}

fn link_of(words: &str) -> Option<IntraLink> {
    let words = words.to_ascii_lowercase();
    Some(match words {
        w if w.contains("nvswitch") => IntraLink::NvSwitch,
        w if w.contains("pairs") || w.contains("nvlink bridge") => IntraLink::NvLinkPairs,
        w if w.contains("mesh") || w.contains("nvlink") => IntraLink::NvLinkMesh,
        w if w.contains("pcie") => IntraLink::Pcie,
        _ => return None,
    })
}

fn fabric_of(words: &str) -> Option<Fabric> {
    let words = words.to_ascii_lowercase();
    Some(match words {
        w if w.contains("tcp") || w.contains("ethernet") => Fabric::Tcp,
        w if w.contains("efa") => Fabric::Efa,
        w if w.contains("slingshot") => Fabric::Slingshot,
        w if w.contains("roce") => Fabric::Roce,
        w if w.contains("infiniband") || w.starts_with("ib ") || w == "ib" => Fabric::Infiniband,
        _ => return None,
    })
}

/// NICs and their rate in Gbit/s: `2x200 Gb/s`, or one sum such as `3200 Gb/s`, which is spread
/// over the entry's NICs.
fn line_rate(words: &str, known: Option<&NetworkSpec>) -> Option<(f64, f64)> {
    let rate = words
        .split("Gb/s")
        .next()
        .filter(|_| words.contains("Gb/s"))?;
    let last = rate.split_whitespace().last()?;
    if let Some((nics, gbits)) = last.split_once('x') {
        return Some((nics.parse().ok()?, gbits.parse().ok()?));
    }
    let all: f64 = last.parse().ok()?;
    let nics = known.map_or(1.0, |n| f64::from(n.nics_per_node.max(1)));
    Some((nics, all / nics))
}
