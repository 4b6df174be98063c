//! Graphs derived from a cluster's links against the graphs NCCL's own search found.
//!
//! The comparison is also the reference page `doc/reference/graph-derivation.md`; set
//! `CCL_BLESS=1` to write it anew.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ccl_core::{
    ClusterSpec, CommShape, CpuSpec, CpuVendor, Fabric, GpuSpec, HardwareSpec, IntraLink,
    IntraSpec, NetworkSpec, PcieSpec,
};
use ccl_sim::ProcessSettings;
use ccl_sim::nccl::{Graph, System, tables};

/// What `topologies.csv` says in words, as a cluster.
struct Machine {
    id: &'static str,
    nodes: u32,
    gpus: u32,
    capability: u32,
    link: IntraLink,
    nvlinks: u32,
    nvls: bool,
    pcie: (u32, u32),
    cpu: (CpuVendor, &'static str, u32),
    /// NICs, Gbit/s, GPUDirect.
    nics: Option<(u32, f64, bool)>,
}

const H100: Machine = Machine {
    id: "T02",
    nodes: 1,
    gpus: 8,
    capability: 90,
    link: IntraLink::NvSwitch,
    nvlinks: 18,
    nvls: false,
    pcie: (5, 1),
    cpu: (CpuVendor::Intel, "Sapphire Rapids", 2),
    nics: Some((8, 400.0, true)),
};
const LONE_H100: Machine = Machine {
    id: "T16",
    nodes: 2,
    gpus: 1,
    link: IntraLink::Pcie,
    nvlinks: 0,
    cpu: (CpuVendor::Intel, "Sapphire Rapids", 1),
    nics: Some((1, 400.0, true)),
    ..H100
};
const A100: Machine = Machine {
    id: "T20",
    capability: 80,
    nvlinks: 12,
    pcie: (4, 2),
    cpu: (CpuVendor::Amd, "Milan", 2),
    nics: Some((8, 200.0, true)),
    ..H100
};
const V100: Machine = Machine {
    id: "T25",
    capability: 70,
    link: IntraLink::NvLinkMesh,
    nvlinks: 6,
    pcie: (3, 2),
    cpu: (CpuVendor::Intel, "Broadwell", 2),
    nics: Some((4, 100.0, true)),
    ..H100
};
const PCIE: Machine = Machine {
    id: "T27",
    capability: 86,
    link: IntraLink::Pcie,
    nvlinks: 0,
    pcie: (3, 2),
    cpu: (CpuVendor::Intel, "Skylake", 2),
    nics: Some((1, 100.0, true)),
    ..H100
};

/// In the order of the table. The hybrid cube mesh of T25 and T26 has no name of its own in a
/// cluster spec; a full mesh of as many links stands for it.
const MACHINES: [Machine; 24] = [
    Machine {
        id: "T01",
        nvls: true,
        ..H100
    },
    H100,
    Machine {
        id: "T04",
        nodes: 2,
        ..H100
    },
    Machine {
        id: "T05",
        nodes: 4,
        nvls: true,
        ..H100
    },
    Machine {
        id: "T07",
        nodes: 8,
        ..H100
    },
    Machine {
        id: "T09",
        nodes: 2,
        nics: Some((8, 400.0, false)),
        ..H100
    },
    Machine {
        id: "T10",
        nodes: 2,
        ..H100
    },
    Machine {
        id: "T12",
        nodes: 2,
        pcie: (5, 2),
        nics: Some((2, 400.0, true)),
        ..H100
    },
    Machine {
        id: "T13",
        nodes: 2,
        nics: Some((1, 10.0, false)),
        ..H100
    },
    Machine {
        id: "T15",
        gpus: 2,
        link: IntraLink::NvLinkPairs,
        nvlinks: 12,
        pcie: (5, 0),
        cpu: (CpuVendor::Amd, "EPYC", 1),
        nics: None,
        ..H100
    },
    LONE_H100,
    Machine {
        id: "T18",
        nodes: 8,
        pcie: (5, 0),
        cpu: (CpuVendor::Amd, "EPYC", 1),
        nics: Some((1, 100.0, true)),
        ..LONE_H100
    },
    A100,
    Machine {
        id: "T21",
        nodes: 2,
        ..A100
    },
    Machine {
        id: "T23",
        gpus: 4,
        link: IntraLink::NvLinkMesh,
        pcie: (4, 0),
        cpu: (CpuVendor::Amd, "EPYC", 1),
        nics: None,
        ..A100
    },
    V100,
    Machine {
        id: "T26",
        nodes: 2,
        ..V100
    },
    PCIE,
    Machine {
        id: "T29",
        capability: 89,
        pcie: (4, 0),
        cpu: (CpuVendor::Amd, "EPYC", 2),
        nics: None,
        ..PCIE
    },
    Machine {
        id: "T31",
        gpus: 2,
        capability: 90,
        pcie: (5, 0),
        cpu: (CpuVendor::Intel, "Sapphire Rapids", 1),
        nics: None,
        ..PCIE
    },
    Machine {
        id: "T32",
        nodes: 2,
        gpus: 2,
        capability: 90,
        pcie: (5, 0),
        cpu: (CpuVendor::Intel, "Sapphire Rapids", 1),
        nics: Some((1, 400.0, true)),
        ..PCIE
    },
    Machine {
        id: "T34",
        nodes: 2,
        capability: 100,
        nvls: true,
        cpu: (CpuVendor::Intel, "Emerald Rapids", 2),
        ..H100
    },
    Machine {
        id: "T37",
        nodes: 2,
        nics: Some((1, 400.0, false)),
        ..H100
    },
    Machine {
        id: "T38",
        nodes: 2,
        nics: Some((1, 400.0, false)),
        ..H100
    },
];

fn cluster(machine: &Machine, version: &str) -> ClusterSpec {
    ClusterSpec {
        nccl_graph: None,
        hardware: HardwareSpec::default(),
        name: machine.id.to_owned(),
        description: String::new(),
        sources: Vec::new(),
        nodes: machine.nodes,
        gpus_per_node: machine.gpus,
        nccl_version: version.parse().unwrap(),
        gpu: GpuSpec {
            model: "stub".to_owned(),
            compute_capability: machine.capability,
            sms: 132,
            memory_gbs: 3000.0,
            bf16_tflops: 900.0,
        },
        intra: IntraSpec {
            link: machine.link,
            nvlink_gbs: 25.0 * f64::from(machine.nvlinks),
            nvlink_links: machine.nvlinks,
            nvls: machine.nvls,
            nvlink_domain_gpus: None,
        },
        pcie: PcieSpec {
            generation: machine.pcie.0,
            lanes: 16,
            gpus_per_switch: machine.pcie.1,
            peer_to_peer: true,
        },
        cpu: CpuSpec {
            vendor: machine.cpu.0,
            model: machine.cpu.1.to_owned(),
            sockets: machine.cpu.2,
        },
        network: machine
            .nics
            .map(|(nics_per_node, nic_gbits, gpu_direct)| NetworkSpec {
                fabric: Fabric::Infiniband,
                nics_per_node,
                nic_gbits,
                latency_us: 2.0,
                gpu_direct,
            }),
    }
}

fn recorded() -> Option<PathBuf> {
    let root = std::env::var_os("CCL_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let folder = root.join("nccl/costs");
    folder.join("graphs.csv").exists().then_some(folder)
}

/// Equal in: channels, intra bandwidth, inter bandwidth, pattern, both paths, same channels.
fn equal(ours: &Graph, theirs: &Graph) -> [bool; 6] {
    let close = |a: f32, b: f32| (a - b).abs() <= 0.01 * b;
    [
        ours.channels == theirs.channels,
        close(ours.intra_gbs, theirs.intra_gbs),
        close(ours.inter_gbs, theirs.inter_gbs),
        ours.pattern == theirs.pattern,
        (ours.intra_path, ours.inter_path) == (theirs.intra_path, theirs.inter_path),
        ours.same_channels == theirs.same_channels,
    ]
}

fn describe(graph: &Graph) -> String {
    format!(
        "{} x {}/{} {:?} {:?}/{:?}{}",
        graph.channels,
        graph.intra_gbs,
        graph.inter_gbs,
        graph.pattern,
        graph.intra_path,
        graph.inter_path,
        if graph.same_channels { " same" } else { "" }
    )
}

#[test]
fn derived_graphs_are_mostly_the_searched_ones() {
    let Some(folder) = recorded() else {
        eprintln!("skipped: no recorded NCCL graphs (set CCL_SHARED to a folder with nccl/costs)");
        return;
    };
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let systems = tables::systems(&read("topologies.csv"), &read("graphs.csv")).unwrap();

    let mut counts = [0_u32; 6];
    let (mut graphs, mut communicators, mut channels_equal) = (0_u32, 0_u32, 0_u32);
    let mut rows = String::new();
    for machine in &MACHINES {
        for ((_, version), theirs) in systems.iter().filter(|((id, _), _)| id == machine.id) {
            let cluster = cluster(machine, version);
            let shape = CommShape::new(theirs.ranks, theirs.nodes);
            let ours = System::derive(&cluster, shape, &ProcessSettings::default());
            communicators += 1;
            channels_equal += u32::from(
                (ours.channels, ours.nvls_channels) == (theirs.channels, theirs.nvls_channels),
            );
            let pairs = [
                ("ring", Some(ours.ring), Some(theirs.ring)),
                ("tree", Some(ours.tree), Some(theirs.tree)),
                ("nvls", ours.nvls, theirs.nvls),
            ];
            for (name, ours, theirs) in pairs {
                let (ours, theirs) = match (ours, theirs) {
                    (Some(ours), Some(theirs)) => (ours, theirs),
                    (None, None) => continue,
                    other => panic!("{} {version} {name}: {other:?}", machine.id),
                };
                graphs += 1;
                let equal = equal(&ours, &theirs);
                for (count, equal) in counts.iter_mut().zip(equal) {
                    *count += u32::from(equal);
                }
                let verdict = if equal == [true; 6] {
                    "equal"
                } else {
                    "differs"
                };
                let (id, theirs, ours) = (machine.id, describe(&theirs), describe(&ours));
                writeln!(
                    rows,
                    "| {id} {version} | {name} | {theirs} | {ours} | {verdict} |"
                )
                .unwrap();
            }
        }
    }
    let page = page(&rows, graphs, counts, communicators, channels_equal);
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../doc/reference/graph-derivation.md");
    if std::env::var_os("CCL_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let share = |n: u32, of: u32| f64::from(n) / f64::from(of);
    assert!(
        share(counts[0], graphs) >= 0.95,
        "channels {} of {graphs}",
        counts[0]
    );
    assert!(
        share(counts[1], graphs) >= 0.95,
        "intra {} of {graphs}",
        counts[1]
    );
    assert!(
        share(counts[2], graphs) >= 0.95,
        "inter {} of {graphs}",
        counts[2]
    );
    assert!(
        share(channels_equal, communicators) >= 0.95,
        "{channels_equal} of {communicators}"
    );
    let on_disk = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        on_disk == page,
        "doc/reference/graph-derivation.md is stale: run with CCL_BLESS=1"
    );
}

fn page(rows: &str, graphs: u32, counts: [u32; 6], communicators: u32, channels: u32) -> String {
    let [count, intra, inter, pattern, path, same] = counts;
    format!(
        "# Derived graphs against searched graphs

Generated by `cargo test -p ccl-sim --test graph_derivation` (`CCL_BLESS=1` writes it anew).

NCCL's cost model starts from the graphs its topology search found. For a cluster that nobody
recorded we have no search, so `System::derive` computes the graphs in closed form:

1. Every link gets the bandwidth NCCL assigns to it: NVLink per generation, PCIe by generation and
   lanes, the link between sockets by processor, a NIC's line rate but no more than its slot.
   GPU-to-GPU traffic through an Intel host bridge costs 1.2 times its size; without GPUDirect
   every byte crosses the host.
2. A ring may use what the slowest link of its way carries: NVLink of one GPU, or PCIe and the
   link between sockets. Between nodes: the NICs near the communicator's GPUs.
3. The speed of a channel is the one of NCCL's list whose whole channels add up to most; fast
   channels are split in two, as NCCL duplicates them.
4. The tree has the ring's channels. Where NVLink leaves room its inside is raised, up to twice
   the network; the chain of a tree is one link shorter than a ring.
5. NVLS has one channel per GPU (at most 32), at the speed that leaves every GPU room for its own
   traffic twice and the others' once.
6. The communicator has twice the ring's channels, four times where they are few and fast.

It adds up bandwidths and lays no paths, so machines whose links are uneven (the hybrid cube mesh
of T25 and T26, described to it as a full mesh) can come out wrong. NIC latency is taken as 0, which
is what NCCL's own network plugins report.

| equal to NCCL's search | share |
|---|---|
| channels of a graph | {count} of {graphs} |
| bandwidth inside a node | {intra} of {graphs} |
| bandwidth between nodes | {inter} of {graphs} |
| pattern | {pattern} of {graphs} |
| worst paths | {path} of {graphs} |
| same channels | {same} of {graphs} |
| channels of the communicator and of NVLS | {channels} of {communicators} |

Channels x GB/s inside / between nodes, pattern, worst path inside / to the NIC, and whether all
channels take the same path. Topologies as in the recorded `topologies.csv`.

| topology | graph | NCCL's search | derived | |
|---|---|---|---|---|
{rows}"
    )
}
