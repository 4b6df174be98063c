//! Which protocol: how data and its arrival are signalled, by size and fabric.

use ccl_core::{Algorithm, Bottleneck, Fabric, Protocol, format_bytes};

use super::{Mechanism, Proposal, View};

/// The algorithm to keep when only the protocol changes: what speaks Simple alone gives way to Ring.
fn spoken(view: &View<'_>) -> Algorithm {
    match view.running.algorithm {
        Algorithm::Tree => Algorithm::Tree,
        _ => Algorithm::Ring,
    }
}

pub(super) const LOW_LATENCY_PROTOCOL: Mechanism = Mechanism {
    name: "low-latency-protocol",
    speaks_to: &[Bottleneck::LatencyBound],
    explains: "Simple needs fences and flags around every chunk; LL carries its flag inside each \
               8-byte store and saves that time on small messages.",
    source: "NCCL src/graph/tuning.cc (base latencies of the protocols)",
    risk: "half the bandwidth",
    refuted_by: "LL's call time is not below Simple's",
    propose: |view| {
        if view.running.protocol != Protocol::Simple || view.bytes() > 256 << 10 {
            return None;
        }
        let choice = view.pair(spoken(view), Protocol::Ll)?;
        let because = format!("{} is mostly latency", format_bytes(view.bytes()));
        Some(Proposal::per_call(choice, because, [0.5, 1.1]))
    },
};

pub(super) const LL128_MIDDLE: Mechanism = Mechanism {
    name: "ll128-middle",
    speaks_to: &[
        Bottleneck::LatencyBound,
        Bottleneck::IntraNodeLink,
        Bottleneck::Network,
        Bottleneck::Skew,
    ],
    explains: "LL128 has LL's latency at 94 % of the bandwidth where NVLink keeps 128-byte stores \
               whole; NCCL offers it only there.",
    source: "NCCL src/graph/tuning.cc (LL128 rules and efficiency 120/128)",
    risk: "none beyond speed where NCCL itself offers it; never asked for elsewhere",
    refuted_by: "LL128's call time is not below the incumbent's",
    propose: |view| {
        let middle = (128 << 10..=64 << 20).contains(&view.bytes());
        if !middle || view.running.protocol == Protocol::Ll128 {
            return None;
        }
        let choice = view.pair(spoken(view), Protocol::Ll128)?;
        let because = format!(
            "{} lies between latency and bandwidth",
            format_bytes(view.bytes())
        );
        Some(Proposal::per_call(choice, because, [0.75, 1.15]))
    },
};

pub(super) const LL_PAST_CROSSOVER: Mechanism = Mechanism {
    name: "ll-past-crossover",
    speaks_to: &[
        Bottleneck::IntraNodeLink,
        Bottleneck::Network,
        Bottleneck::Misconfiguration,
    ],
    explains: "Every 8-byte store of LL carries 4 bytes of flag, so half the link moves flags; once \
               bytes cost more than fences, Simple is faster.",
    source: "NCCL src/device/prims_ll.h (4 bytes of data and 4 of flag); DGX Spark sweep, LL against \
             Simple (a slow network makes the crossover early)",
    risk: "loses below the crossover",
    refuted_by: "Simple's call time is not below LL's",
    propose: |view| {
        if view.running.protocol != Protocol::Ll || view.bytes() < 512 << 10 {
            return None;
        }
        let choice = view.pair(view.running.algorithm, Protocol::Simple)?;
        let because = format!(
            "{} with LL is {} on the wire",
            format_bytes(view.bytes()),
            format_bytes(2 * view.bytes())
        );
        Some(Proposal::per_call(choice, because, [0.5, 1.1]))
    },
};

pub(super) const LL128_PAST_CROSSOVER: Mechanism = Mechanism {
    name: "ll128-past-crossover",
    speaks_to: &[Bottleneck::IntraNodeLink, Bottleneck::Network],
    explains: "LL128 spends 8 of 128 bytes on flags and moves data through registers; on long messages \
               Simple's larger copies fill the link better.",
    source: "NCCL src/graph/tuning.cc (LL128 at 120/128, and lower bandwidth caps per architecture)",
    risk: "loses on middle sizes",
    refuted_by: "Simple's call time is not below LL128's",
    propose: |view| {
        if view.running.protocol != Protocol::Ll128 || view.bytes() < 32 << 20 {
            return None;
        }
        let choice = view.pair(view.running.algorithm, Protocol::Simple)?;
        let because = format!("{} is long enough for Simple", format_bytes(view.bytes()));
        Some(Proposal::per_call(choice, because, [0.8, 1.1]))
    },
};

pub(super) const RENDEZVOUS_STEP: Mechanism = Mechanism {
    name: "rendezvous-step",
    speaks_to: &[Bottleneck::Network, Bottleneck::LatencyBound],
    explains: "Fabrics send short messages at once and ask the receiver first for longer ones: a ring \
               step of flagged data above that length pays a round trip that Simple has in its step \
               already, and a tree pays less often.",
    source: "Polaris sweeps over Slingshot: between 8 and 64 KiB on the wire a step grows from 30 to \
             110 us; libfabric's rendezvous protocols",
    risk: "loses where a step stays below the threshold",
    refuted_by: "the other pair's call time is not below the flagged ring's",
    propose: |view| {
        view.network_over(&[Fabric::Slingshot, Fabric::Efa])?;
        let of_step = view.bytes() / u64::from(view.ranks().max(1));
        let flagged = matches!(view.running.protocol, Protocol::Ll | Protocol::Ll128);
        if !flagged || view.running.algorithm != Algorithm::Ring || of_step < 8 << 10 {
            return None;
        }
        let choice = view
            .pair(Algorithm::Tree, view.running.protocol)
            .or_else(|| view.pair(Algorithm::Ring, Protocol::Simple))?;
        let because = format!(
            "{} a ring step with {}",
            format_bytes(of_step),
            view.running.protocol
        );
        Some(Proposal::per_call(choice, because, [0.5, 1.2]))
    },
};

pub(super) const FINE_HANDOVER: Mechanism = Mechanism {
    name: "fine-handover",
    speaks_to: &[Bottleneck::Skew],
    explains: "Simple hands over whole slices, so a rank that lags stalls its neighbour for a slice; \
               LL128 hands over 128-byte lines, and the lag of one step is hidden behind the next.",
    source: "Hu et al., Demystifying NCCL (arXiv 2507.04786), protocols; jitter by protocol in the \
             8xH100 sweeps (doc/model-validation.md)",
    risk: "less bandwidth; does nothing for a rank that comes late as a whole",
    refuted_by: "the call time does not fall while ranks still wait for each other",
    propose: |view| {
        // Only where ranks were seen to wait: without that, the sizes speak for themselves.
        view.signals().wait_for_ranks?;
        let simple = view.running.protocol == Protocol::Simple;
        if !simple || view.bytes() > 256 << 20 {
            return None;
        }
        let choice = view.pair(spoken(view), Protocol::Ll128)?;
        let because = format!(
            "ranks wait for each other within {} handed over by the slice",
            format_bytes(view.bytes())
        );
        Some(Proposal::per_call(choice, because, [0.85, 1.15]))
    },
};
