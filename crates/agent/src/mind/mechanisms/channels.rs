//! How many channels: enough to fill the links, few enough to leave the SMs to computation.

use ccl_core::format_bytes;

use super::{Mechanism, Proposal, View};

/// More channels, `factor` times what runs, with the pair and chunk kept.
fn scaled(view: &View<'_>, factor: f64) -> Option<(u32, u32)> {
    let now = view.running.channels?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // counts up to 64
    let wanted = (f64::from(now) * factor).round().max(1.0) as u32;
    let to = view.channels_at_most(wanted)?;
    let moved = if factor > 1.0 { to > now } else { to < now };
    moved.then_some((now, to))
}

pub(super) const STARVED_LINK: Mechanism = Mechanism {
    name: "starved-link",
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
        Some(Proposal {
            choice: view.running_as_rule().with_channels(to),
            because: format!(
                "{} over {now} channels: each is one thread block and moves only a part of what \
                 the link can; {to} keep it busy while others wait for flags",
                format_bytes(view.bytes())
            ),
            ratio: [0.75, 1.0],
        })
    },
};

pub(super) const NIC_UNDERUSED: Mechanism = Mechanism {
    name: "nic-underused",
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
        Some(Proposal {
            choice: view.running_as_rule().with_channels(to),
            because: format!(
                "{} between nodes over {now} channels at {:.1} GB/s bus bandwidth, with {:.1} \
                 GB/s of NICs per node",
                format_bytes(view.bytes()),
                view.key.observed.bus_gbs,
                view.cluster.node_network_gbs()
            ),
            ratio: [0.6, 1.0],
        })
    },
};

pub(super) const SM_CONTENTION: Mechanism = Mechanism {
    name: "sm-contention",
    explains: "Channels are thread blocks: beside computation they take its SMs, so a faster \
               call can make a slower iteration.",
    source: "AutoCCL (NSDI 2025) section 2 and figure 10; NCCL_MAX_CTAS documentation",
    risk: "the call itself becomes slower and may no longer hide behind the computation",
    refuted_by: "iteration time does not fall when channels fall",
    propose: |view| {
        if !view.key.facts.overlapped {
            return None;
        }
        let (now, to) = scaled(view, 0.5).filter(|(now, _)| *now >= 8)?;
        let share = 100.0 * f64::from(now) / f64::from(view.cluster.gpu.sms.max(1));
        Some(Proposal {
            choice: view.running_as_rule().with_channels(to),
            because: format!(
                "{now} channels hold {share:.0} % of the {} SMs while computation runs beside \
                 the call; {to} leave it more",
                view.cluster.gpu.sms
            ),
            ratio: [0.9, 1.3],
        })
    },
};

pub(super) const LAUNCH_OVERHEAD: Mechanism = Mechanism {
    name: "channel-overhead",
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
        Some(Proposal {
            choice: view.running_as_rule().with_channels(to),
            because: format!(
                "{} over {now} channels is {} each",
                format_bytes(view.bytes()),
                format_bytes(view.bytes() / u64::from(now))
            ),
            ratio: [0.85, 1.1],
        })
    },
};
