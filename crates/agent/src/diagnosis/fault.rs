//! When a job must not be tuned: its machine does far less than it can, whatever is chosen.
//!
//! The published case is a pair of hosts that gave 89 GB/s where 450 GB/s are normal: a fault to be
//! found, not a system to be tuned. Calls that are bound by bytes are held against what this machine
//! should do with the very choice that runs, so that a bad choice by NCCL explains nothing here. Links
//! inside a node and between nodes are judged apart: the one may be whole and the other broken.

use ccl_core::{Bottleneck, Choice, Diagnosis, Figure, TaskKey};

use crate::expectation::Expectation;
use crate::situation::{KeyState, Situation};

/// Share of the expected speed below which a machine is broken: between the published case, a fifth, and
/// the slowest of 863 recorded calls of untuned NCCL, 0.60 (`tests/faults.rs`).
pub const BROKEN: f64 = 0.4;
/// How much of a call's time must grow with its bytes: what does not says little about a link.
const BOUND_BY_BYTES: f64 = 0.7;
/// From this size on the model was held against recordings and a harness counts little.
const LARGE_BYTES: u64 = 4 << 20;
/// How much longer than alone a call may take beside computation in good health: AutoCCL (NSDI
/// 2025), tables 3 and 4, lose up to half of the bandwidth there.
const BESIDE_COMPUTATION: f64 = 2.0;

/// What a large call takes and what it should.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reached {
    /// Measured, microseconds.
    pub observed_us: f64,
    /// What a machine in good health takes with the same choice, microseconds.
    pub expected_us: f64,
}

impl Reached {
    /// Expected over measured: 1 where the machine does what it should.
    pub fn share(&self) -> f64 {
        self.expected_us / self.observed_us
    }
}

/// What a key reaches, if it says anything about its links: bound by bytes, large, measured. What is
/// not known of the choice that runs is taken as slow as it can be.
pub fn reached(key: &KeyState, expectation: &Expectation) -> Option<Reached> {
    let observed_us = key.observed.call_us;
    if key.facts.bytes < LARGE_BYTES || !observed_us.is_finite() || observed_us <= 0.0 {
        return None;
    }
    let (expected_us, running) = slowest(key, expectation)?;
    let byte_share = expectation.byte_share(&key.facts, Some(running))?;
    if byte_share < BOUND_BY_BYTES {
        return None;
    }
    let beside = if key.facts.overlapped {
        BESIDE_COMPUTATION
    } else {
        1.0
    };
    Some(Reached {
        observed_us,
        expected_us: beside * expected_us,
    })
}

/// The slowest of the choices that may be running, with its expected time.
fn slowest(key: &KeyState, expectation: &Expectation) -> Option<(f64, Choice)> {
    let may_run: Vec<Choice> = match key.observed.choice {
        Some(running) => vec![running],
        None => {
            let pairs = key.facts.legal.pairs.iter();
            pairs.map(|(a, p)| Choice::new(*a, *p)).collect()
        }
    };
    may_run
        .into_iter()
        .map(|choice| match choice.channels {
            Some(_) => choice,
            None => choice.with_channels(1),
        })
        .filter_map(|choice| Some((expectation.call_us(&key.facts, Some(choice))?, choice)))
        .max_by(|a, b| a.0.total_cmp(&b.0))
}

/// The fault of a job, if it has one: the large calls inside nodes, or those between them, take
/// together more than `1 / BROKEN` times what they should.
pub fn of_job(situation: &Situation, expectation: &Expectation) -> Option<Diagnosis> {
    let between = |crosses: bool| {
        let keys = situation.keys.iter();
        let of_links = keys.filter(move |k| (k.facts.key.shape.nodes > 1) == crosses);
        let judged: Vec<(&KeyState, Reached)> = of_links
            .filter_map(|k| Some((k, reached(k, expectation)?)))
            .collect();
        fault(&judged, crosses)
    };
    between(false).or_else(|| between(true))
}

fn fault(judged: &[(&KeyState, Reached)], crosses_nodes: bool) -> Option<Diagnosis> {
    #[allow(clippy::cast_precision_loss)] // counts of calls
    let total = |of: fn(&Reached) -> f64| -> f64 {
        let times = judged.iter().map(|(k, r)| k.facts.calls as f64 * of(r));
        times.sum()
    };
    let (observed, expected) = (total(|r| r.observed_us), total(|r| r.expected_us));
    let share = expected / observed;
    if judged.is_empty() || share > BROKEN {
        return None;
    }
    let slowest = judged
        .iter()
        .min_by(|a, b| a.1.share().total_cmp(&b.1.share()))
        .map(|(key, reached)| in_words(key, reached))?;
    let (links, checks): (&str, &[&str]) = if crosses_nodes {
        ("between nodes", &NETWORK_CHECKS)
    } else {
        ("inside a node", &NODE_CHECKS)
    };
    let mut evidence: Vec<_> = judged.iter().map(|(key, _)| key.evidence).collect();
    evidence.sort_unstable();
    let margin = BROKEN / share.max(BROKEN / 1e3);
    Some(Diagnosis {
        key: None,
        class: Bottleneck::Fault,
        also: Vec::new(),
        because: format!(
            "large calls {links} reach {:.0} % of what this machine should do with what they run: \
             {slowest}",
            100.0 * share
        ),
        figures: vec![Figure {
            name: format!("share of the expected speed, large calls {links}"),
            value: share,
            limit: BROKEN,
        }],
        evidence,
        confidence: margin / (1.0 + margin),
        checks: checks.iter().map(|c| (*c).to_owned()).collect(),
    })
}

fn in_words(key: &KeyState, reached: &Reached) -> String {
    let TaskKey { collective, .. } = key.facts.key;
    let running = key
        .observed
        .choice
        .map_or("whatever it runs".to_owned(), |c| c.to_string());
    format!(
        "{collective} of {} on {} gets {:.0} GB/s bus bandwidth with {running} where at least {:.0} GB/s \
         are normal",
        ccl_core::format_bytes(key.facts.bytes),
        key.facts.key.shape,
        key.observed.bus_gbs,
        key.observed.bus_gbs / reached.share(),
    )
}

/// What breaks inside a node, in the order of how often it does and how cheap the look is: NCCL's user
/// guide, "Troubleshooting" (GPU-to-GPU communication, PCI Access Control Services), and the fabric
/// manager's guide.
const NODE_CHECKS: [&str; 7] = [
    "peer-to-peer is off: look for `via SHM` where `via P2P` belongs in the log of NCCL_DEBUG=INFO; unset \
     NCCL_P2P_DISABLE and NCCL_P2P_LEVEL; `nvidia-smi topo -p2p r` must say OK",
    "PCI access control (ACS) or an IOMMU sends peer traffic through the root complex: `lspci -vvv | grep \
     ACSCtl` must show SrcValid- on the bridges; boot with iommu=pt",
    "an NVLink is down or replays: `nvidia-smi nvlink --status` and `nvidia-smi nvlink -e` on every GPU",
    "the fabric manager does not run or has another version than the driver: `systemctl status \
     nvidia-fabricmanager`",
    "a PCIe link trained below its width or generation: compare LnkSta with LnkCap in `lspci -vv`",
    "clocks are throttled: `nvidia-smi -q -d PERFORMANCE,CLOCK`, and power and temperature beside it",
    "somebody else is on these GPUs: `nvidia-smi pmon -c 1`",
];

/// The same between nodes: "Networking issues" and "GPU Direct" there.
const NETWORK_CHECKS: [&str; 7] = [
    "the wrong network: `NET/` lines in the log of NCCL_DEBUG=INFO name it; a fall-back to sockets, \
     NCCL_IB_DISABLE, NCCL_IB_HCA or NCCL_SOCKET_IFNAME",
    "GPU Direct RDMA is missing: `GDRDMA` must stand behind the channels in that log; load nvidia_peermem or \
     use a kernel with dma-buf; NCCL_NET_GDR_LEVEL must not forbid it",
    "PCI access control (ACS) or an IOMMU between NIC and GPU: `lspci -vvv | grep ACSCtl` must show \
     SrcValid- on the bridges; boot with iommu=pt",
    "a port is down or below its rate: `ibstat` or `ethtool` on every NIC of every node",
    "GPUs use NICs of the other socket: `nvidia-smi topo -m`, and the affinity that the launcher sets",
    "the fabric drops or pauses: port error, retransmission and pause counters; priority flow control on \
     RoCE",
    "clocks are throttled: `nvidia-smi -q -d PERFORMANCE,CLOCK` on every node",
];
