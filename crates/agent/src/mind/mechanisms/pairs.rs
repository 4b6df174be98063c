//! Which algorithm and protocol: where NCCL's own cost model is known to misjudge.

use ccl_core::{Algorithm, Collective, Protocol, format_bytes};

use super::{Mechanism, Proposal};

pub(super) const LATENCY_BOUND_RING: Mechanism = Mechanism {
    name: "latency-bound-ring",
    explains: "A ring AllReduce needs 2(n-1) steps one after the other, a tree only 2 log2(n): \
               where steps and not bytes cost the time, the tree wins.",
    source: "NCCL src/graph/tuning.cc (steps per algorithm); nccl#1047, nccl#1362",
    risk: "trees move less per link on large messages",
    refuted_by: "the tree's call time is not below the ring's",
    propose: |view| {
        let ring = view.running.algorithm == Algorithm::Ring;
        let steps_cost = u64::from(view.ranks()) * (1 << 20);
        if !ring || view.collective() != Collective::AllReduce || view.ranks() < 8 {
            return None;
        }
        if view.bytes() > steps_cost && !view.crosses_nodes() {
            return None;
        }
        let choice = view.pair(Algorithm::Tree, view.running.protocol)?;
        Some(Proposal {
            choice,
            because: format!(
                "{} on {} ranks: {} ring steps of {} each",
                format_bytes(view.bytes()),
                view.ranks(),
                2 * (view.ranks() - 1),
                format_bytes(view.bytes() / u64::from(view.ranks()))
            ),
            ratio: [0.6, 1.1],
        })
    },
};

pub(super) const BANDWIDTH_BOUND_TREE: Mechanism = Mechanism {
    name: "bandwidth-bound-tree",
    explains: "Inner ranks of a tree receive from two children and send up: on large messages a \
               ring uses every link evenly.",
    source: "NCCL src/graph/tuning.cc (tree correction factors); published B300 sweep \
             (eunomia-bpf/nccl-eBPF): Tree is far behind from 4 MiB up",
    risk: "a ring over many nodes has a long latency",
    refuted_by: "the ring's call time is not below the tree's",
    propose: |view| {
        let tree = matches!(
            view.running.algorithm,
            Algorithm::Tree | Algorithm::NvlsTree
        );
        if !tree || view.bytes() < u64::from(view.ranks()) * (256 << 10) {
            return None;
        }
        let choice = view.pair(Algorithm::Ring, Protocol::Simple)?;
        Some(Proposal {
            choice,
            because: format!(
                "{} on {} ranks is {} per ring step: bytes cost more than steps",
                format_bytes(view.bytes()),
                view.ranks(),
                format_bytes(view.bytes() / u64::from(view.ranks()))
            ),
            ratio: [0.7, 1.1],
        })
    },
};

pub(super) const SWITCH_REDUCTION: Mechanism = Mechanism {
    name: "switch-reduction",
    explains: "NVLink SHARP reduces and multicasts in the switch: each GPU moves its bytes once \
               instead of twice.",
    source: "published H200 and B200 sweeps (Ring against NVLS); nccl#1444",
    risk: "slow to start: loses on middle sizes",
    refuted_by: "NVLS' call time is not below the ring's",
    propose: |view| {
        if view.bytes() < 64 << 20 {
            return None;
        }
        let nvls = if view.crosses_nodes() {
            Algorithm::NvlsTree
        } else {
            Algorithm::Nvls
        };
        let choice = view.pair(nvls, Protocol::Simple)?;
        Some(Proposal {
            choice,
            because: format!(
                "{} through a switch that can reduce",
                format_bytes(view.bytes())
            ),
            ratio: [0.65, 1.05],
        })
    },
};

pub(super) const SWITCH_STARTUP: Mechanism = Mechanism {
    name: "switch-startup",
    explains: "NVLink SHARP has a high start-up cost that NCCL's model underrates; a ring is \
               faster until the message is long enough.",
    source: "published 8xB300 sweep (eunomia-bpf/nccl-eBPF): Ring beats NVLS from 4 to 128 MiB",
    risk: "loses above the crossover",
    refuted_by: "the ring's call time is not below NVLS'",
    propose: |view| {
        let nvls = matches!(
            view.running.algorithm,
            Algorithm::Nvls | Algorithm::NvlsTree
        );
        if !nvls || view.bytes() > 128 << 20 {
            return None;
        }
        let choice = view.pair(Algorithm::Ring, Protocol::Simple)?;
        Some(Proposal {
            choice,
            because: format!(
                "{} is below the published crossover",
                format_bytes(view.bytes())
            ),
            ratio: [0.8, 1.1],
        })
    },
};

pub(super) const LOW_LATENCY_PROTOCOL: Mechanism = Mechanism {
    name: "low-latency-protocol",
    explains: "Simple needs fences and flags around every chunk; LL carries its flag inside each \
               8-byte store and saves that time on small messages.",
    source: "NCCL src/graph/tuning.cc (base latencies of the protocols)",
    risk: "half the bandwidth",
    refuted_by: "LL's call time is not below Simple's",
    propose: |view| {
        if view.running.protocol != Protocol::Simple || view.bytes() > 256 << 10 {
            return None;
        }
        let algorithm = match view.running.algorithm {
            Algorithm::Tree => Algorithm::Tree,
            _ => Algorithm::Ring,
        };
        let choice = view.pair(algorithm, Protocol::Ll)?;
        Some(Proposal {
            choice,
            because: format!("{} is mostly latency", format_bytes(view.bytes())),
            ratio: [0.5, 1.1],
        })
    },
};

pub(super) const LL128_MIDDLE: Mechanism = Mechanism {
    name: "ll128-middle",
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
        let algorithm = match view.running.algorithm {
            Algorithm::Tree => Algorithm::Tree,
            _ => Algorithm::Ring,
        };
        let choice = view.pair(algorithm, Protocol::Ll128)?;
        Some(Proposal {
            choice,
            because: format!(
                "{} lies between latency and bandwidth",
                format_bytes(view.bytes())
            ),
            ratio: [0.75, 1.15],
        })
    },
};

pub(super) const PARALLEL_TREES: Mechanism = Mechanism {
    name: "parallel-trees",
    explains: "With one rank per node, PAT gathers and scatters in log2(n) steps where a ring \
               needs n-1.",
    source: "NCCL 2.23 release notes and src/graph/tuning.cc (PAT)",
    risk: "loses once bytes cost more than steps",
    refuted_by: "PAT's call time is not below the ring's",
    propose: |view| {
        if view.bytes() / u64::from(view.ranks()) > 1 << 20 {
            return None;
        }
        let choice = view.pair(Algorithm::Pat, Protocol::Simple)?;
        Some(Proposal {
            choice,
            because: format!(
                "{} ring steps of {} each over the network",
                view.ranks() - 1,
                format_bytes(view.bytes() / u64::from(view.ranks()))
            ),
            ratio: [0.5, 1.1],
        })
    },
};
