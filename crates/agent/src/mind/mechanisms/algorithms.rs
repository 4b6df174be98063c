//! Which algorithm: how often data is handed on, and over which links.

use ccl_core::{Algorithm, Bottleneck, Collective, Protocol, format_bytes};

use super::{Mechanism, Proposal};

pub(super) const LATENCY_BOUND_RING: Mechanism = Mechanism {
    name: "latency-bound-ring",
    speaks_to: &[Bottleneck::LatencyBound, Bottleneck::Network],
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
        if view.bytes() > steps_cost {
            return None;
        }
        let choice = view.pair(Algorithm::Tree, view.running.protocol)?;
        let because = format!(
            "{} on {} ranks: {} ring steps of {} each",
            format_bytes(view.bytes()),
            view.ranks(),
            2 * (view.ranks() - 1),
            format_bytes(view.bytes() / u64::from(view.ranks()))
        );
        Some(Proposal::per_call(choice, because, [0.6, 1.1]))
    },
};

pub(super) const MANY_NODES_TREE: Mechanism = Mechanism {
    name: "many-nodes-tree",
    speaks_to: &[Bottleneck::LatencyBound, Bottleneck::Network],
    explains: "A ring crosses the network 2(n-1) times for n nodes one after the other, a double tree                2 log2(n) times at full bandwidth: with many nodes that pays up to large messages.",
    source: "NCCL 2.4 double binary trees (Jeaugey, 2019); nccl#1047 and nccl#1362 (the wrong \
             algorithm at scale)",
    risk: "trees fill their pipeline more slowly and move less per link inside a node",
    refuted_by: "the tree's call time is not below the ring's",
    propose: |view| {
        let ring = view.running.algorithm == Algorithm::Ring;
        if !ring || view.collective() != Collective::AllReduce || view.nodes() < 4 {
            return None;
        }
        // A step of a ring that takes longer than a hop hides the hop.
        if view.bytes() / u64::from(view.ranks()) > 4 << 20 {
            return None;
        }
        let choice = view.pair(Algorithm::Tree, Protocol::Simple)?;
        let because = format!(
            "{} over {} nodes: {} hops over the network one after the other, a tree has {}",
            format_bytes(view.bytes()),
            view.nodes(),
            2 * (view.nodes() - 1),
            2 * view.nodes().next_power_of_two().ilog2()
        );
        Some(Proposal::per_call(choice, because, [0.5, 1.15]))
    },
};

pub(super) const BANDWIDTH_BOUND_TREE: Mechanism = Mechanism {
    name: "bandwidth-bound-tree",
    speaks_to: &[Bottleneck::IntraNodeLink, Bottleneck::Network],
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
        let because = format!(
            "{} on {} ranks is {} per ring step: bytes cost more than steps",
            format_bytes(view.bytes()),
            view.ranks(),
            format_bytes(view.bytes() / u64::from(view.ranks()))
        );
        Some(Proposal::per_call(choice, because, [0.7, 1.1]))
    },
};

pub(super) const SWITCH_REDUCTION: Mechanism = Mechanism {
    name: "switch-reduction",
    speaks_to: &[Bottleneck::IntraNodeLink],
    explains: "NVLink SHARP reduces and multicasts in the switch: each GPU moves its bytes once \
               instead of twice.",
    source: "published H200 and B200 sweeps (Ring against NVLS); nccl#1444",
    risk: "slow to start: loses on middle sizes",
    refuted_by: "NVLS' call time is not below the ring's",
    propose: |view| {
        if view.bytes() < 64 << 20 || view.crosses_nodes() {
            return None;
        }
        let choice = view.pair(Algorithm::Nvls, Protocol::Simple)?;
        let because = format!(
            "{} through a switch that can reduce",
            format_bytes(view.bytes())
        );
        Some(Proposal::per_call(choice, because, [0.65, 1.05]))
    },
};

pub(super) const SWITCH_PER_NODE: Mechanism = Mechanism {
    name: "switch-per-node",
    speaks_to: &[Bottleneck::Network, Bottleneck::LatencyBound],
    explains: "NVLSTree reduces inside each node in the switch and runs a tree between nodes: the steps \
               inside the nodes are gone, and every GPU moves its bytes once.",
    source: "NCCL 2.18 release notes and src/graph/tuning.cc (NVLSTree); published 4x8 B200 sweep",
    risk: "slow to start: loses on small messages",
    refuted_by: "NVLSTree's call time is not below the incumbent's",
    propose: |view| {
        if view.bytes() < 4 << 20 || !view.crosses_nodes() {
            return None;
        }
        let choice = view.pair(Algorithm::NvlsTree, Protocol::Simple)?;
        let because = format!(
            "{} over {} nodes whose switches can reduce",
            format_bytes(view.bytes()),
            view.nodes()
        );
        Some(Proposal::per_call(choice, because, [0.6, 1.15]))
    },
};

pub(super) const SWITCH_STARTUP: Mechanism = Mechanism {
    name: "switch-startup",
    speaks_to: &[
        Bottleneck::LatencyBound,
        Bottleneck::IntraNodeLink,
        Bottleneck::Network,
    ],
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
        let because = format!(
            "{} is below the published crossover",
            format_bytes(view.bytes())
        );
        Some(Proposal::per_call(choice, because, [0.8, 1.1]))
    },
};

pub(super) const PARALLEL_TREES: Mechanism = Mechanism {
    name: "parallel-trees",
    speaks_to: &[Bottleneck::LatencyBound, Bottleneck::Network],
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
        let because = format!(
            "{} ring steps of {} each over the network",
            view.ranks() - 1,
            format_bytes(view.bytes() / u64::from(view.ranks()))
        );
        Some(Proposal::per_call(choice, because, [0.5, 1.1]))
    },
};

pub(super) const FORCED_CHOICE: Mechanism = Mechanism {
    name: "forced-choice",
    speaks_to: &[Bottleneck::Misconfiguration],
    explains: "A variable, a configuration file or another tuner overrules NCCL; what NCCL would choose \
               by itself is faster by its own account.",
    source: "NCCL's example tuner sets one channel for every collective it does not match \
             (plugins/tuner/example); nccl#260 and nccl#1008 (environments nobody meant)",
    risk: "whoever set it may have had a reason; a variable binds what can be asked for per call, too",
    refuted_by: "NCCL's own choice is not faster than the forced one",
    propose: |view| {
        let own = view.expectation?.own_choice(&view.key.facts)?;
        // Only where somebody is known to interfere: everywhere else NCCL's own choice runs.
        if view.key.bottleneck() == Bottleneck::Unclear {
            return None;
        }
        let legal = &view.key.facts.legal;
        let choice = ccl_core::Choice {
            channels: own.channels.and_then(|n| {
                let possible = legal.channels.iter().copied().filter(|c| *c <= n);
                possible.max()
            }),
            chunk_bytes: None,
            ..own
        };
        let because = format!(
            "{} runs where NCCL by itself would choose {own}",
            view.running
        );
        (choice != view.running).then(|| Proposal::per_call(choice, because, [0.3, 1.0]))
    },
};
