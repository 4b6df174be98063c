//! Transports inside a node: direct GPU access over NVLink and PCIe, and shared host memory.

use super::prelude::*;

pub(super) const KNOBS: &[Knob] = &[
    Knob::new("NCCL_IGNORE_DISABLED_P2P", KnobClass::PerProcess, integer(0, 2))
        .does("What to do when the driver reports peer access off: 0 fail or warn, 1 go on quietly, 2 do not ask.")
        .default(&[(v(2, 12, 7), "0")])
        .hazards(&["Hides a broken NVLink."])
        .source("src/graph/paths.cc"),
    Knob::new("NCCL_IPC_USE_ABSTRACT_SOCKET", KnobClass::PerProcess, Domain::Switch)
        .does("Exchanges CUDA handles over abstract Unix sockets.")
        .default(&[(v(2, 29, 2), "1")])
        .hazards(&["On, it fails between containers with separate network namespaces."])
        .with(&["NCCL_CUMEM_ENABLE"])
        .source("src/os/linux_ipcsocket.cc")
        .documented(),
    Knob::new("NCCL_LEGACY_CUDA_REGISTER", KnobClass::PerProcess, Domain::Switch)
        .does("Registers cudaMalloc buffers for direct access.")
        .default(&[(v(2, 24, 3), "0")])
        .hazards(&["Can synchronise implicitly and hang."])
        .with(&["NCCL_LOCAL_REGISTER", "NCCL_GRAPH_REGISTER"])
        .source("src/transport/p2p.cc")
        .documented(),
    Knob::new("NCCL_NET_DISABLE_INTRA", KnobClass::PerProcess, Domain::Switch)
        .does("Never uses the network inside a node, even where it looks faster than PCIe.")
        .default(&[(v(2, 12, 7), "-2"), (v(2, 12, 10), "0")])
        .hazards(&["With both P2P and SHM disabled there is no way left between two GPUs."])
        .with(&["NCCL_P2P_DISABLE", "NCCL_SHM_DISABLE"])
        .source("src/graph/paths.cc"),
    Knob::new("NCCL_NVB_DISABLE", KnobClass::PerProcess, Domain::Switch)
        .does("Forbids NVLink paths through an intermediate GPU.")
        .default(&[(v(2, 9, 9), "0")])
        .on(&[NvLink])
        .with(&["NCCL_NVB_PRECONNECT"])
        .search(&["0", "1"])
        .source("src/graph/paths.cc")
        .documented(),
    Knob::new("NCCL_NVB_PRECONNECT", KnobClass::PerProcess, Domain::Switch)
        .does("Connects paths through an intermediate GPU at communicator creation.")
        .default(&[(v(2, 9, 9), "1")])
        .on(&[NvLink])
        .with(&["NCCL_NVB_DISABLE"])
        .source("src/init.cc"),
    Knob::new("NCCL_P2P_DIRECT_DISABLE", KnobClass::PerProcess, Domain::Switch)
        .does("Forbids direct access to user buffers between GPUs of one process.")
        .default(&[(v(2, 12, 12), "0")])
        .search(&["0", "1"])
        .source("src/transport/p2p.cc")
        .documented(),
    Knob::new("NCCL_P2P_DISABLE", KnobClass::PerProcess, Domain::Switch)
        .does("Forbids direct GPU-to-GPU access; data then crosses host memory or the network.")
        .default(&[(v(2, 3, 5), "0")])
        .hazards(&["On NVLink machines costs most of the bandwidth; meant for debugging."])
        .with(&["NCCL_P2P_LEVEL", "NCCL_SHM_DISABLE", "NCCL_NVLS_ENABLE", "NCCL_MNNVL_ENABLE"])
        .search(&["0", "1"])
        .source("src/graph/paths.cc")
        .documented(),
    Knob::new("NCCL_P2P_EPOCH_ENABLE", KnobClass::PerProcess, Domain::Switch)
        .does("Starts a new work batch when the send/recv epoch changes.")
        .default(&[(v(2, 29, 2), "1")])
        .source("src/enqueue.cc"),
    Knob::new("NCCL_P2P_LEVEL", KnobClass::PerProcess, exact_word(&["LOC", "NVL", "NVB", "C2C", "PIX", "PXB", "P2C", "PXN", "PHB", "SYS"]))
        .does("Largest distance between two GPUs that still use direct access; LOC: never, SYS: always.")
        .default(&[(v(2, 3, 5), "unset")])
        .hazards(&["Numbers are a legacy scale (0 LOC, 1 PIX, 2 PXB, 3 PHB, 4 SYS) that is not the order of the names.", "An unknown or lower-case name is silently ignored.", "On machines whose root complexes do not forward peer traffic, PHB and SYS hang or corrupt."])
        .with(&["NCCL_P2P_DISABLE", "NCCL_SHM_DISABLE"])
        .search(&["NVL", "PXB", "PHB", "SYS"])
        .source("src/graph/paths.cc")
        .documented(),
    Knob::new("NCCL_P2P_MAX_PEERS", KnobClass::PerCommunicator, integer(1, ANY))
        .does("Peers a rank is expected to exchange with, for dividing send/recv channels.")
        .default(&[(v(2, 30, 3), "unset")])
        .automatic(UNDEFINED)
        .outside("0 and below is ignored")
        .with(&["NCCL_NCHANNELS_PER_NET_PEER"])
        .source("src/init.cc"),
    Knob::new("NCCL_P2P_READ_ENABLE", KnobClass::PerProcess, Domain::Switch)
        .does("Reads from the peer instead of writing; unset: on for Ampere over NVLink only.")
        .default(&[(v(2, 7, 3), "unset")])
        .automatic(-2)
        .on(&[NvLink])
        .search(&["0", "1"])
        .source("src/transport/p2p.cc"),
    Knob::new("NCCL_P2P_SCHEDULE_GROUP_SIZE", KnobClass::PerProcess, integer(1, ANY))
        .does("Ranks of one node scheduled together in all-to-all across nodes.")
        .default(&[(v(2, 28, 7), "8")])
        .on(&[Infiniband, Roce, Efa, Slingshot, Tcp])
        .source("src/init.cc"),
    Knob::new("NCCL_P2P_USE_CUDA_MEMCPY", KnobClass::PerProcess, Domain::Switch)
        .does("Copies with CUDA's copy engines instead of kernels within a node.")
        .default(&[(v(2, 13, 4), "0")])
        .hazards(&["Undocumented; needs events and proxies per copy."])
        .with(&["NCCL_SHM_USE_CUDA_MEMCPY"])
        .source("src/transport/p2p.cc"),
    Knob::new("NCCL_SHM_DISABLE", KnobClass::PerProcess, Domain::Switch)
        .does("Forbids transport through shared host memory; data then goes over the network even inside a node.")
        .default(&[(v(2, 3, 5), "0")])
        .hazards(&["With NCCL_P2P_DISABLE=1 every byte inside a node goes through the network."])
        .with(&["NCCL_P2P_DISABLE", "NCCL_P2P_LEVEL", "NCCL_NET_DISABLE_INTRA"])
        .search(&["0", "1"])
        .source("src/transport/shm.cc")
        .documented(),
    Knob::new("NCCL_SHM_LOCALITY", KnobClass::PerProcess, integer(1, 2))
        .does("Where the shared buffer lives: 1 sender's side, 2 receiver's side.")
        .default(&[(v(2, 13, 4), "2")])
        .outside("NCCL warns and uses 2")
        .with(&["NCCL_SHM_DISABLE"])
        .search(&["1", "2"])
        .source("src/transport/shm.cc"),
    Knob::new("NCCL_SHM_MEMCPY_MODE", KnobClass::PerProcess, integer(1, 3))
        .does("Which side copies when copy engines are used: 1 sender, 2 receiver, 3 both.")
        .default(&[(v(2, 13, 4), "1")])
        .removed_after(v(2, 30, 4))
        .with(&["NCCL_SHM_USE_CUDA_MEMCPY"])
        .source("src/transport/shm.cc"),
    Knob::new("NCCL_SHM_USE_CUDA_MEMCPY", KnobClass::PerProcess, Domain::Switch)
        .does("Copies with CUDA's copy engines instead of kernels through shared memory.")
        .default(&[(v(2, 13, 4), "0")])
        .removed_after(v(2, 30, 4))
        .with(&["NCCL_SHM_MEMCPY_MODE"])
        .source("src/transport/shm.cc"),
];
