//! NVLink switches: NVLink SHARP, multi-node NVLink, C2C.

use super::prelude::*;

pub(super) const KNOBS: &[Knob] = &[
    Knob::new("NCCL_LSA_TEAM_SIZE", KnobClass::PerProcess, integer(0, ANY))
        .does("Ranks that share memory directly in the device API; 0: all of a node.")
        .default(&[(v(2, 29, 7), "0")])
        .on(&[NvLink])
        .with(&["NCCL_MNNVL_CROSS_CLIQUE"])
        .source("src/dev_runtime.cc"),
    Knob::new("NCCL_MNNVL", KnobClass::PerProcess, Domain::Switch)
        .does("Name of NCCL_MNNVL_ENABLE in 2.20.")
        .default(&[(v(2, 20, 3), "unset")])
        .removed_after(v(2, 20, 5))
        .automatic(-2)
        .on(&[MultiNodeNvLink])
        .superseded_by("NCCL_MNNVL_ENABLE")
        .source("src/init.cc"),
    Knob::new("NCCL_MNNVL_CLIQUE_ID", KnobClass::PerProcess, integer(i64::MIN, i64::MAX))
        .does("Overrides the NVLink clique: ranks with one UUID and clique form one domain.")
        .default(&[(v(2, 23, 4), "unset")])
        .automatic(-1)
        .on(&[MultiNodeNvLink])
        .with(&["NCCL_MNNVL_UUID", "NCCL_MNNVL_CROSS_CLIQUE"])
        .source("src/init.cc")
        .documented(),
    Knob::new("NCCL_MNNVL_CROSS_CLIQUE", KnobClass::PerProcess, Domain::Switch)
        .does("Treats cliques of one NVLink domain as reachable.")
        .default(&[(v(2, 30, 3), "0")])
        .on(&[MultiNodeNvLink])
        .with(&["NCCL_MNNVL_CLIQUE_ID"])
        .source("src/init.cc"),
    Knob::new("NCCL_MNNVL_ENABLE", KnobClass::PerProcess, integer(0, 2))
        .does("NVLink across nodes: 0 off, 1 on or fail, 2 detect.")
        .default(&[(v(2, 21, 5), "2")])
        .on(&[MultiNodeNvLink])
        .hazards(&["Needs a working IMEX domain; 1 fails without."])
        .with(&["NCCL_CUMEM_ENABLE", "NCCL_MNNVL_UUID", "NCCL_MNNVL_CLIQUE_ID", "NCCL_P2P_LEVEL"])
        .source("src/init.cc")
        .documented(),
    Knob::new("NCCL_MNNVL_RAIL_PER_HOST", KnobClass::PerProcess, Domain::Switch)
        .does("Builds rails per host instead of per NVLink domain.")
        .default(&[(v(2, 28, 7), "0")])
        .on(&[MultiNodeNvLink])
        .source("src/graph/search.cc"),
    Knob::new("NCCL_MNNVL_SCATTER_NETS_ENABLE", KnobClass::PerProcess, Domain::Switch)
        .does("Spreads network traffic over the NICs of the whole NVLink domain.")
        .default(&[(v(2, 27, 5), "1")])
        .on(&[MultiNodeNvLink])
        .search(&["0", "1"])
        .source("src/graph/search.cc"),
    Knob::new("NCCL_MNNVL_UUID", KnobClass::PerProcess, integer(i64::MIN, i64::MAX))
        .does("Overrides the NVLink domain's UUID.")
        .default(&[(v(2, 25, 1), "unset")])
        .automatic(-1)
        .on(&[MultiNodeNvLink])
        .hazards(&["Ranks that disagree fail or take paths that do not exist."])
        .with(&["NCCL_MNNVL_CLIQUE_ID"])
        .source("src/init.cc")
        .documented(),
    Knob::new("NCCL_NVLINK_UTIL_CENTRIC_SCHED_ENABLE", KnobClass::PerCommunicator, Domain::Switch)
        .does("Schedules kernels' blocks for NVLink use rather than for compute overlap.")
        .default(&[(v(2, 27, 3), "0"), (v(2, 28, 7), "unset")])
        .automatic(UNDEFINED)
        .on(&[NvLink, Blackwell])
        .outside("NCCL ignores it")
        .search(&["0", "1"])
        .source("src/init.cc"),
    Knob::new("NCCL_NVLS_ENABLE", KnobClass::PerProcess, integer(0, 2))
        .does("NVLink SHARP: 0 off, 1 on, 2 on where supported.")
        .default(&[(v(2, 17, 1), "1"), (v(2, 18, 1), "2")])
        .on(&[NvSwitch, Hopper])
        .hazards(&["Takes GPU memory per communicator; where resources run out initialisation fails (in 2.27 and 2.28 it could hang instead).", "Reduction order differs from Ring and Tree: results are not bitwise equal."])
        .with(&["NCCL_ALGO", "NCCL_NVLS_NCHANNELS", "NCCL_NVLS_CHUNKSIZE", "NCCL_CUMEM_ENABLE", "NCCL_MULTI_RANK_GPU_ENABLE"])
        .search(&["0", "2"])
        .source("src/transport/nvls.cc")
        .documented(),
];
