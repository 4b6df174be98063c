//! The figures of a machine: calibrated ones from its specification, the rest from its links.
//!
//! The rules for what is not calibrated are fitted to the published sweeps named beside them;
//! they are what an unknown machine gets.

use ccl_core::{ClusterSpec, CpuVendor, Fabric, IntraLink};

use crate::ProcessSettings;

/// Everything the model needs of a machine, in one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// Streaming multiprocessors of a GPU.
    pub sms: f64,
    /// Memory bandwidth of a GPU, GB/s.
    pub memory_gbs: f64,
    /// Nodes that share one NVLink domain, 1 and up.
    pub nodes_of_domain: u32,
    /// Launch and completion of one call, microseconds.
    pub launch_us: f64,
    /// Ring bus bandwidth inside a node with everything saturated, GB/s.
    pub intra_gbs: f64,
    /// Whether data between GPUs goes over PCIe or through host memory, where the size of the
    /// data in flight matters.
    pub over_pcie: bool,
    /// Whether it goes through host memory.
    pub staged: bool,
    /// Bytes in flight that stay in the caches on the way.
    pub cache_bytes: f64,
    /// Share of the bandwidth that is left when they do not.
    pub spilled_share: f64,
    /// NVLink SHARP AllReduce bus bandwidth, GB/s.
    pub nvls_gbs: f64,
    /// Its start-up, microseconds.
    pub nvls_startup_us: f64,
    /// Its jitter, microseconds per square root of a megabyte.
    pub nvls_jitter_us: f64,
    /// Throughput of one channel, GB/s, by protocol.
    pub channel_gbs: [f64; 3],
    /// Synchronisation of one slice on one channel, microseconds.
    pub slice_us: f64,
    /// One step inside a node, microseconds, by protocol.
    pub intra_step_us: [f64; 3],
    /// One step between nodes, microseconds, by protocol.
    pub inter_step_us: [f64; 3],
    /// All NICs of a node, or of a whole NVLink domain, in one direction at the efficiency they reach, GB/s.
    pub node_network_gbs: f64,
    /// The same of the NICs beside one GPU.
    pub rank_network_gbs: f64,
    /// What each channel costs the proxy that serves the network, microseconds a call.
    pub proxy_us: f64,
    /// What one channel gets through a NIC, GB/s.
    pub network_channel_gbs: f64,
    /// Bytes of a step on the wire from which the fabric asks for a rendezvous.
    pub rendezvous_bytes: f64,
    /// What a rendezvous costs, microseconds.
    pub rendezvous_us: f64,
    /// What AllToAll gets of the NICs, over what a ring gets: many peers at once spread better or
    /// collide.
    pub all_to_all_share: f64,
    /// What each remote peer costs in an AllToAll, microseconds.
    pub peer_us: f64,
    /// Jitter inside a node, microseconds per square root of a megabyte.
    pub jitter_us: f64,
    /// The same of calls between nodes.
    pub network_jitter_us: f64,
}

impl Parameters {
    /// The figures of a cluster as its processes see it.
    pub fn of(cluster: &ClusterSpec, settings: &ProcessSettings) -> Self {
        let known = &cluster.hardware;
        let over_pcie = matches!(cluster.intra.link, IntraLink::Pcie | IntraLink::NvLinkPairs);
        let staged = settings.p2p_disable
            || (cluster.intra.link == IntraLink::Pcie && !cluster.pcie.peer_to_peer);
        let direct = known.intra_gbs.unwrap_or_else(|| intra_gbs(cluster));
        let intra_gbs = if settings.p2p_disable {
            known
                .staged_gbs
                .unwrap_or_else(|| staged_gbs(cluster).min(direct))
        } else {
            direct
        };
        let generation = match cluster.gpu.compute_capability {
            100.. => 4,
            90..=99 => 3,
            89 => 2,
            80 => 1,
            _ => 0,
        };
        // One channel by generation: published channel sweep on 8xB300 (1 channel: LL 6.2,
        // LL128 19.2, Simple 29.4 GB/s); older ones scaled by NCCL's own per-channel caps
        // (src/graph/tuning.cc), PCIe cards by AutoCCL table 3, those of the Ada generation by the RTX 4090 sweeps.
        let channel_gbs = known.channel_gbs.unwrap_or(match generation {
            4 => [6.2, 19.3, 29.4],
            3 => [5.0, 17.0, 24.0],
            2 => [4.5, 9.0, 14.0],
            1 => [3.6, 14.0, 20.0],
            _ => [2.4, 8.0, 10.0],
        });
        // Steps: NCCL's own hwLatencies for NVLink and PCIe (src/graph/tuning.cc), Simple lower
        // as on 8xH100 (AllGather sweep of h100_cluster01: 20 us for seven steps and a launch).
        let intra_step_us = known.intra_step_us.unwrap_or(if over_pcie {
            [2.0, 3.0, 5.7]
        } else {
            [0.6, 2.0, 1.5]
        });
        let network = cluster.network.as_ref();
        let inter_step_us = known
            .inter_step_us
            .unwrap_or(match network.map(|n| n.fabric) {
                Some(Fabric::Infiniband | Fabric::Roce) | None => [4.0, 6.0, 10.0],
                Some(Fabric::Efa) => [26.0, 28.0, 32.0],
                Some(Fabric::Slingshot) => [19.0, 27.0, 100.0],
                Some(Fabric::Tcp) => [22.0, 30.0, 60.0],
            });
        let efficiency = known
            .network_efficiency
            .unwrap_or(match network.map(|n| n.fabric) {
                Some(Fabric::Infiniband) | None => 0.97,
                Some(Fabric::Roce) => 0.92,
                Some(Fabric::Efa) => 0.85,
                Some(Fabric::Slingshot) => 0.75,
                Some(Fabric::Tcp) => 0.4,
            });
        // Without GPU-direct the same bytes cross the host's memory twice.
        let direct_share = network.map_or(1.0, |n| if n.gpu_direct { 1.0 } else { 0.7 });
        let nic_gbs = network.map_or(0.0, |n| n.nic_gbits / 8.0) * efficiency * direct_share;
        let nics = network.map_or(0.0, |n| f64::from(n.nics_per_node));
        let domain_gpus = cluster.intra.nvlink_domain_gpus.unwrap_or(0);
        let nodes_of_domain = (domain_gpus / cluster.gpus_per_node.max(1)).max(1);
        let beside_gpu = (nics / f64::from(cluster.gpus_per_node.max(1))).max(1.0);
        let rank_network_gbs = nic_gbs * beside_gpu;
        let nvls_known = known.nvls_gbs.unwrap_or(1.1 * cluster.intra.nvlink_gbs);
        Self {
            sms: f64::from(cluster.gpu.sms.max(1)),
            memory_gbs: cluster.gpu.memory_gbs,
            nodes_of_domain,
            launch_us: known
                .launch_us
                .unwrap_or(if cluster.cpu.vendor == CpuVendor::Arm {
                    11.0
                } else {
                    8.0
                }),
            intra_gbs,
            over_pcie,
            staged,
            // Host memory is staged through the last-level cache of a socket.
            cache_bytes: if staged { 24.0 } else { 2.0 } * 1024.0 * 1024.0,
            spilled_share: if over_pcie { 0.85 } else { 0.98 },
            nvls_gbs: nvls_known,
            nvls_startup_us: known.nvls_startup_us.unwrap_or(22.0),
            nvls_jitter_us: if generation >= 4 { 8.3 } else { 6.0 },
            channel_gbs,
            slice_us: if over_pcie { 2.5 } else { 0.7 },
            intra_step_us,
            inter_step_us,
            node_network_gbs: f64::from(nodes_of_domain) * nics * nic_gbs,
            rank_network_gbs,
            proxy_us: known.proxy_us.unwrap_or(match network.map(|n| n.fabric) {
                // 2 x p5: one channel 69 us, sixteen 109 to 135.
                Some(Fabric::Efa) => 0.8,
                Some(Fabric::Tcp | Fabric::Slingshot) => 1.0,
                _ => 0.3,
            }),
            network_channel_gbs: known
                .network_channel_gbs
                .unwrap_or(0.55 * rank_network_gbs.max(1.0)),
            rendezvous_bytes: 8192.0,
            rendezvous_us: known.rendezvous_us.unwrap_or(0.0),
            all_to_all_share: known.all_to_all_share.unwrap_or(1.0),
            peer_us: known.peer_us.unwrap_or(match network.map(|n| n.fabric) {
                Some(Fabric::Slingshot) => 10.0,
                Some(Fabric::Tcp) => 12.0,
                Some(Fabric::Efa) => 6.0,
                _ => 4.0,
            }),
            jitter_us: known.jitter_us.unwrap_or(3.5),
            network_jitter_us: known.jitter_us.unwrap_or(match network.map(|n| n.fabric) {
                // SRD sprays packets over many paths; 2 x p5 from 16 to 512 MiB.
                Some(Fabric::Efa) => 18.0,
                _ => 3.5,
            }),
        }
    }
}

/// PCI Express, one direction, GB/s: the raw rate of the generation at 80 %, which is what peer
/// copies reach (RTX 4090, PCIe 4.0 x16, 4 GPUs: 25.3 of 31.5 GB/s).
fn pcie_gbs(cluster: &ClusterSpec) -> f64 {
    let per_lane = [0.985, 0.985, 0.985, 0.985, 1.969, 3.938, 7.563];
    let generation = (cluster.pcie.generation as usize).min(6);
    0.8 * per_lane[generation] * f64::from(cluster.pcie.lanes)
}

/// Through host memory every byte crosses PCIe twice and the sockets' link: 15.0 against 25.3
/// GB/s on the RTX 4090 machines of the published sweeps.
fn staged_gbs(cluster: &ClusterSpec) -> f64 {
    0.6 * pcie_gbs(cluster)
}

/// What a ring reaches on the node's links, GB/s.
fn intra_gbs(cluster: &ClusterSpec) -> f64 {
    let two_sockets = cluster.cpu.sockets > 1 && cluster.gpus_per_node > 4;
    match cluster.intra.link {
        // 8xH100 AllGather 366 of 450, 8xB300 Ring 725 of 900, 4xH100 368.
        IntraLink::NvSwitch | IntraLink::NvLinkMesh => 0.81 * cluster.intra.nvlink_gbs,
        // Every other hop is PCIe, and both GPUs of a pair have a link of their own.
        IntraLink::NvLinkPairs => 1.15 * pcie_gbs(cluster),
        // A ring over two sockets crosses their link: 20.6 of 25.3 GB/s with 8 RTX 4090.
        IntraLink::Pcie if cluster.pcie.peer_to_peer => {
            pcie_gbs(cluster) * if two_sockets { 0.82 } else { 1.0 }
        }
        IntraLink::Pcie => staged_gbs(cluster),
    }
}
