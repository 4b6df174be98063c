//! How many channels: enough to fill the links, few enough to leave the SMs to computation.

use ccl_core::{Bottleneck, format_bytes};

use super::{Mechanism, Proposal, View};

/// Channels now, and `factor` times that or the nearest below that can be asked for.
pub(super) fn scaled(view: &View<'_>, factor: f64) -> Option<(u32, u32)> {
    let now = view.running.channels?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // counts up to 64
    let wanted = (f64::from(now) * factor).round().max(1.0) as u32;
    let to = view.channels_at_most(wanted)?;
    let moved = if factor > 1.0 { to > now } else { to < now };
    moved.then_some((now, to))
}

pub(super) const STARVED_LINK: Mechanism = Mechanism {
    name: "starved-link",
    speaks_to: &[Bottleneck::IntraNodeLink],
    explains: "One channel is one thread block; too few of them cannot keep enough bytes in \
               flight to fill a link inside the node.",
    source: "AutoCCL (NSDI 2025) tables 3 and 4: 2 to 8 channels on PCIe, 8 to 64 on NVLink pairs",
    risk: "takes SMs from computation that runs beside it",
    refuted_by: "call time does not fall when channels rise",
    propose: |view| {
        if view.bytes() < 4 << 20 || view.crosses_nodes() {
            return None;
        }
        let (now, to) = scaled(view, 4.0).filter(|(now, _)| *now <= 8)?;
        let choice = view.running_as_rule().with_channels(to);
        let because = format!(
            "{} over {now} channels: each is one thread block and moves only a part of what \
                 the link can; {to} keep it busy while others wait for flags",
            format_bytes(view.bytes())
        );
        Some(Proposal::per_call(choice, because, [0.75, 1.0]))
    },
};

pub(super) const NIC_UNDERUSED: Mechanism = Mechanism {
    name: "nic-underused",
    speaks_to: &[Bottleneck::Network],
    explains: "Between nodes each channel owns its own queue pair and staging buffer; too few \
               leave the NIC idle between messages.",
    source: "AutoCCL (NSDI 2025) table 5: AllReduce on two nodes, 2 to 8 channels",
    risk: "more proxy work per call; more SMs taken",
    refuted_by: "call time does not fall when channels rise",
    propose: |view| {
        if view.bytes() < 4 << 20 || !view.crosses_nodes() {
            return None;
        }
        let (now, to) = scaled(view, 4.0).filter(|(now, _)| *now <= 8)?;
        let choice = view.running_as_rule().with_channels(to);
        let because = format!(
            "{} between nodes over {now} channels at {:.1} GB/s bus bandwidth, with {:.1} \
                 GB/s of NICs per node",
            format_bytes(view.bytes()),
            view.key.observed.bus_gbs,
            view.cluster.node_network_gbs()
        );
        Some(Proposal::per_call(choice, because, [0.6, 1.0]))
    },
};

pub(super) const NIC_PARITY: Mechanism = Mechanism {
    name: "nic-parity",
    speaks_to: &[Bottleneck::Network],
    explains: "Channels are dealt to NICs in turn; a count that is no multiple of the NICs leaves one \
               with more channels than the others, and all wait for it.",
    source: "NCCL src/graph/topo.cc (ncclTopoGetLocalNet: channel number modulo the NICs near a GPU)",
    risk: "more or fewer channels than the links inside a node want",
    refuted_by: "call time does not fall with a multiple of the NICs",
    propose: |view| {
        let nics = view.network()?.nics_per_node;
        let now = view.running.channels?;
        if nics < 2 || view.bytes() < 4 << 20 || now.is_multiple_of(nics) {
            return None;
        }
        let to = view.channels_at_most(now.next_multiple_of(nics))?;
        if !to.is_multiple_of(nics) {
            return None;
        }
        let because = format!("{now} channels over {nics} NICs are dealt unevenly; {to} are not");
        let choice = view.running_as_rule().with_channels(to);
        Some(Proposal::per_call(choice, because, [0.8, 1.05]))
    },
};

pub(super) const PROXY_QUEUE: Mechanism = Mechanism {
    name: "proxy-queue",
    speaks_to: &[Bottleneck::ProxyCpu],
    explains: "One proxy thread of a rank progresses all channels of a call one after the other; with \
               short messages its round takes longer than the wire.",
    source: "NCCL src/proxy.cc (progressOps walks the list of operations); fitted cost per channel of \
             the Polaris sweeps (doc/model-validation.md)",
    risk: "fewer channels also move less at a time",
    refuted_by: "call time does not fall when channels fall",
    propose: |view| {
        if !view.crosses_nodes() || view.bytes() > 16 << 20 {
            return None;
        }
        let (now, to) = scaled(view, 0.5).filter(|(now, _)| *now >= 2)?;
        let because = format!(
            "the proxy serves {now} channels for {}; {to} are one round in two",
            format_bytes(view.bytes())
        );
        let choice = view.running_as_rule().with_channels(to);
        Some(Proposal::per_call(choice, because, [0.8, 1.1]))
    },
};

pub(super) const CHANNEL_OVERHEAD: Mechanism = Mechanism {
    name: "channel-overhead",
    speaks_to: &[Bottleneck::LatencyBound],
    explains: "Every channel has to start, synchronise and finish; a small message spread over \
               many channels pays that many times for nothing.",
    source: "NCCL src/enqueue.cc cuts channels for small sizes by a thread threshold; published \
             channel sweep on 8xB300 (eunomia-bpf/nccl-eBPF docs/eval-plan-b300.md)",
    risk: "too few channels for the larger sizes of the same bucket",
    refuted_by: "call time does not fall when channels fall",
    propose: |view| {
        if view.bytes() > 1 << 20 {
            return None;
        }
        let (now, to) = scaled(view, 0.5).filter(|(now, _)| *now >= 4)?;
        let choice = view.running_as_rule().with_channels(to);
        let because = format!(
            "{} over {now} channels is {} each",
            format_bytes(view.bytes()),
            format_bytes(view.bytes() / u64::from(now))
        );
        Some(Proposal::per_call(choice, because, [0.85, 1.1]))
    },
};
