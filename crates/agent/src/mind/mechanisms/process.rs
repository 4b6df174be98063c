//! Variables that a process reads once: advice for the next start, never tried while the job runs.

use ccl_core::{Algorithm, Bottleneck, Collective, Fabric, format_bytes};

use super::{Mechanism, Proposal};

/// Share of the expected speed below which advice about a link is given: beyond the ninth decile of
/// the model's error on healthy machines (doc/model-validation.md), above what is called broken.
const BELOW_EXPECTED: f64 = 0.7;
/// Share of network time that one kind of wait must take; as in `observe`.
const NOTABLE_WAIT: f64 = 0.4;
/// Size from which a call says something about bandwidth.
const LARGE_BYTES: u64 = 16 << 20;

/// The mechanisms of this file.
pub(super) const NAMES: [&str; 8] = [
    CREDITS.name,
    ONE_QUEUE_PAIR.name,
    SWITCH_UNUSED.name,
    GPU_DIRECT_DISTANCE.name,
    FLUSH_BY_COPY.name,
    PEERS_ACROSS_ROOT.name,
    SOCKET_THREADS.name,
    PROXY_AFFINITY.name,
];

pub(super) const CREDITS: Mechanism = Mechanism {
    name: "credits",
    speaks_to: &[Bottleneck::Network],
    explains: "A sender stops when the receiver's buffer of the channel is full; a larger buffer keeps \
               more on the wire.",
    source: "NCCL_BUFFSIZE in NCCL's user guide (4 MiB by default, 8 steps); src/transport/net.cc",
    risk: "memory: channels times peers times communicators times the size",
    refuted_by: "senders still wait for their peers with twice the buffer",
    propose: |view| {
        let waits = view.signals().network_waits?;
        if waits.send_peer < NOTABLE_WAIT || view.bytes() < LARGE_BYTES {
            return None;
        }
        let because = format!(
            "senders wait for the peer to take more for {:.0} % of the network time",
            100.0 * waits.send_peer
        );
        Some(Proposal::process(
            "NCCL_BUFFSIZE",
            "8388608",
            because,
            [0.8, 1.0],
        ))
    },
};

pub(super) const ONE_QUEUE_PAIR: Mechanism = Mechanism {
    name: "one-queue-pair",
    speaks_to: &[Bottleneck::Network],
    explains: "Routed fabrics hash a queue pair onto one path; flows that collide share it while others \
               idle. Several queue pairs per connection spread over more paths.",
    source: "NCCL_IB_QPS_PER_CONNECTION in NCCL's user guide; Gangidi et al., RDMA over Ethernet for \
             Distributed AI Training at Meta Scale (SIGCOMM 2024), queue-pair scaling",
    risk: "more state in the NIC; smaller messages per queue pair",
    refuted_by: "bandwidth between nodes stays where it is",
    propose: |view| {
        view.network_over(&[Fabric::Roce, Fabric::Infiniband])?;
        let share = view.reached_share().filter(|s| *s < BELOW_EXPECTED)?;
        if view.bytes() < LARGE_BYTES {
            return None;
        }
        let because = format!(
            "{} reach {:.0} % of what the NICs should carry",
            format_bytes(view.bytes()),
            100.0 * share
        );
        Some(Proposal::process(
            "NCCL_IB_QPS_PER_CONNECTION",
            "4",
            because,
            [0.7, 1.05],
        ))
    },
};

pub(super) const SWITCH_UNUSED: Mechanism = Mechanism {
    name: "switch-unused",
    speaks_to: &[Bottleneck::IntraNodeLink, Bottleneck::Misconfiguration],
    explains: "The switches of this machine can reduce, and NCCL does not offer it: it was switched off, \
               or the fabric manager does not grant multicast.",
    source: "NCCL src/transport/nvls.cc (multicast support is asked of the driver); NCCL_NVLS_ENABLE in \
             NCCL's user guide",
    risk: "communicators fail to open with 1 where multicast cannot be had; 2 is the default and falls back",
    refuted_by: "NVLS is still not offered, or not faster",
    propose: |view| {
        let offered = view.key.facts.legal.pairs.iter();
        let offered = offered.clone().any(|(a, _)| *a == Algorithm::Nvls);
        let whole_node = view.ranks() == view.cluster.gpus_per_node && view.nodes() == 1;
        let reduces = view.collective() == Collective::AllReduce;
        // A list of recorded points says what was recorded, not what the communicator offers.
        let recorded = view.key.facts.legal.only.is_some();
        if offered || recorded || !reduces || !whole_node || !view.cluster.intra.nvls {
            return None;
        }
        if view.bytes() < 64 << 20 {
            return None;
        }
        let because = format!(
            "{} among all {} GPUs of a node whose switches can reduce, and NVLS is not offered",
            format_bytes(view.bytes()),
            view.ranks()
        );
        Some(Proposal::process(
            "NCCL_NVLS_ENABLE",
            "2",
            because,
            [0.65, 1.0],
        ))
    },
};

pub(super) const GPU_DIRECT_DISTANCE: Mechanism = Mechanism {
    name: "gpu-direct-distance",
    speaks_to: &[Bottleneck::Network, Bottleneck::ProxyCpu],
    explains: "Beyond a distance between GPU and NIC, NCCL stages through host memory although the NIC \
               could reach the GPU directly.",
    source: "NCCL_NET_GDR_LEVEL in NCCL's user guide; src/graph/paths.cc (ncclTopoCheckGdr)",
    risk: "across sockets direct access may be slower than staging",
    refuted_by: "bandwidth between nodes does not rise",
    propose: |view| {
        let network = view.network().filter(|n| n.gpu_direct)?;
        let share = view.reached_share().filter(|s| *s < BELOW_EXPECTED)?;
        // Sockets have no direct access, vendors' plugins decide themselves.
        if !matches!(network.fabric, Fabric::Infiniband | Fabric::Roce)
            || view.bytes() < LARGE_BYTES
        {
            return None;
        }
        let because = format!(
            "{} reach {:.0} % of what direct access should give",
            format_bytes(view.bytes()),
            100.0 * share
        );
        Some(Proposal::process(
            "NCCL_NET_GDR_LEVEL",
            "PHB",
            because,
            [0.6, 1.1],
        ))
    },
};

pub(super) const FLUSH_BY_COPY: Mechanism = Mechanism {
    name: "flush-by-copy",
    speaks_to: &[Bottleneck::ProxyCpu],
    explains: "After a direct receive the proxy asks the NIC to read back one byte and waits for it; with \
               gdrcopy it reads through PCIe itself, which is nearer.",
    source: "NCCL src/transport/net.cc (NCCL_GDRCOPY_FLUSH_ENABLE)",
    risk: "needs the gdrdrv kernel module",
    refuted_by: "receivers still wait for flushes",
    propose: |view| {
        view.network_over(&[Fabric::Infiniband, Fabric::Roce])?;
        let flush = view.signals().network_waits?.recv_flush;
        if flush < NOTABLE_WAIT {
            return None;
        }
        let because = format!(
            "receivers wait for the flush for {:.0} % of the network time",
            100.0 * flush
        );
        Some(Proposal::process(
            "NCCL_GDRCOPY_FLUSH_ENABLE",
            "1",
            because,
            [0.8, 1.05],
        ))
    },
};

pub(super) const PEERS_ACROSS_ROOT: Mechanism = Mechanism {
    name: "peers-across-root",
    speaks_to: &[Bottleneck::IntraNodeLink],
    explains: "GPUs of this machine can reach each other across PCIe, but NCCL uses that only up to a \
               distance and stages through host memory beyond.",
    source: "NCCL_P2P_LEVEL in NCCL's user guide; published RTX 4090 sweep with peer access on and off",
    risk: "hangs or wrong data where access control or a hypervisor breaks peer traffic: check results first",
    refuted_by: "bandwidth inside the node does not rise",
    propose: |view| {
        let staged = view.uses_pcie() && view.cluster.pcie.peer_to_peer && !view.crosses_nodes();
        let share = view.reached_share().filter(|s| *s < BELOW_EXPECTED)?;
        if !staged || view.bytes() < LARGE_BYTES {
            return None;
        }
        let because = format!(
            "{} reach {:.0} % of what peer access should give",
            format_bytes(view.bytes()),
            100.0 * share
        );
        Some(Proposal::process(
            "NCCL_P2P_LEVEL",
            "SYS",
            because,
            [0.5, 1.1],
        ))
    },
};

pub(super) const SOCKET_THREADS: Mechanism = Mechanism {
    name: "socket-threads",
    speaks_to: &[Bottleneck::Network, Bottleneck::ProxyCpu],
    explains: "One thread copies for all sockets of a connection; a fast Ethernet wants several.",
    source: "NCCL_SOCKET_NTHREADS in NCCL's user guide (100G networks: 4); src/transport/net_socket.cc",
    risk: "threads times sockets may not exceed 64; every one takes a core",
    refuted_by: "bandwidth between nodes does not rise",
    propose: |view| {
        let network = view.network_over(&[Fabric::Tcp])?;
        if network.nic_gbits < 40.0 || view.bytes() < 4 << 20 {
            return None;
        }
        let because = format!(
            "{} over sockets at {:.0} Gbit/s with one copying thread",
            format_bytes(view.bytes()),
            network.nic_gbits
        );
        Some(Proposal::process(
            "NCCL_SOCKET_NTHREADS",
            "4",
            because,
            [0.5, 1.05],
        ))
    },
};

pub(super) const PROXY_AFFINITY: Mechanism = Mechanism {
    name: "proxy-affinity",
    speaks_to: &[Bottleneck::ProxyCpu],
    explains: "The proxy thread inherits the job's CPU mask; one core for everything, or cores of the \
               other socket, make it late.",
    source: "NCCL src/graph/topo.cc (NCCL_IGNORE_CPU_AFFINITY); NCCL's user guide",
    risk: "NCCL's threads leave the cores the job was given",
    refuted_by: "the call time does not fall",
    propose: |view| {
        let known = view.key.bottleneck() != Bottleneck::Unclear;
        let waits = view.signals().network_waits?;
        let on_host = waits.recv_flush >= NOTABLE_WAIT;
        if !known || !on_host || !view.crosses_nodes() {
            return None;
        }
        let because = "the host side holds the network back".to_owned();
        Some(Proposal::process(
            "NCCL_IGNORE_CPU_AFFINITY",
            "1",
            because,
            [0.85, 1.1],
        ))
    },
};
