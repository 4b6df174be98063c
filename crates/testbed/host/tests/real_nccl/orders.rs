//! What a policy orders is what NCCL launches, over all five collectives and 1 KiB to 64 MiB.
//!
//! Algorithm and protocol always. Channels with two bounds of NCCL's, which `src/enqueue.cc` of
//! v2.21.5-1 applies to a tuner's count (`addTunedCollToPlan`): at most what the communicator has, and
//! no more than there are grains of work for, a grain being what the protocol moves at least. Both
//! are computed here and compared exactly.
//!
//! Ring runs all collectives; Tree has kernels for AllReduce only. CollNet and NVLS need hardware
//! that the stub does not have.

use crate::testbed::{Line, Testbed};

const PROTOCOLS: [&str; 3] = ["ll", "ll128", "simple"];
const COLLECTIVES: [&str; 5] = [
    "broadcast",
    "reduce",
    "allgather",
    "reducescatter",
    "allreduce",
];
/// 1 KiB to 64 MiB.
const SIZES: u64 = 17;

fn policy(algorithm: &str, protocol: &str, channels: u64) -> String {
    let line =
        |collective| format!("{collective},0,4294967295,{algorithm},{protocol},{channels},-1,-1\n");
    COLLECTIVES
        .into_iter()
        .filter(|collective| algorithm == "ring" || *collective == "allreduce")
        .map(line)
        .collect()
}

/// Channels that NCCL 2.21.5 uses when a tuner orders `ordered` of a communicator's `opened`.
fn channels(line: &Line, ranks: u64, ordered: u64, opened: u64) -> u64 {
    let gathers = matches!(line.collective.as_str(), "AllGather" | "ReduceScatter");
    let bytes = if gathers {
        line.bytes / ranks
    } else {
        line.bytes
    };
    // Collectives that only copy are counted in bytes, the others in elements of four.
    let element = match line.collective.as_str() {
        "AllGather" | "Broadcast" => 1,
        _ => 4,
    };
    let grain = match line.protocol.as_str() {
        "LL" => 8 / element * line.threads,
        "LL128" => 480 / element * (line.threads / 32),
        _ => 4096 / element,
    };
    let count = bytes / element;
    let each = count.div_ceil(ordered.min(opened)).div_ceil(grain) * grain;
    count.div_ceil(each)
}

fn check(lines: &[Line], ranks: u64, order: (&str, &str, u64), opened: u64) {
    let (algorithm, protocol, ordered) = order;
    for line in lines {
        assert_eq!(
            line.algorithm.to_lowercase(),
            algorithm,
            "{order:?}: {line:?}"
        );
        assert_eq!(
            line.protocol.to_lowercase(),
            protocol,
            "{order:?}: {line:?}"
        );
        let expected = channels(line, ranks, ordered, opened);
        assert_eq!(line.channels, expected, "{order:?}: {line:?}");
        assert_eq!(
            line.ranks, ranks,
            "the ranks do not agree, {order:?}: {lines:?}"
        );
    }
    // Enough work for all that was ordered there is with the largest size at the latest.
    let most = lines.iter().map(|line| line.channels).max();
    assert_eq!(most, Some(ordered.min(opened)), "{order:?}");
}

/// NCCL opens this many on eight GPUs behind NVSwitches.
const OPENED_ON_ONE_NODE: u64 = 24;
/// And this many between two nodes over one socket.
const OPENED_OVER_SOCKETS: u64 = 2;

fn on_one_node(protocol: &str) {
    let testbed = Testbed::new();
    for ordered in [1, 3, 16, 32] {
        let ring = testbed.with_policy(&policy("ring", protocol, ordered), &["--ranks", "8"]);
        assert_eq!(ring.lines.len() as u64, 5 * SIZES);
        check(
            &ring.lines,
            8,
            ("ring", protocol, ordered),
            OPENED_ON_ONE_NODE,
        );
        let arguments = ["--ranks", "8", "--collective", "AllReduce"];
        let tree = testbed.with_policy(&policy("tree", protocol, ordered), &arguments);
        assert_eq!(tree.lines.len() as u64, SIZES);
        check(
            &tree.lines,
            8,
            ("tree", protocol, ordered),
            OPENED_ON_ONE_NODE,
        );
    }
}

#[test]
fn ll_on_one_node() {
    on_one_node("ll");
}

#[test]
fn ll128_on_one_node() {
    on_one_node("ll128");
}

#[test]
fn simple_on_one_node() {
    on_one_node("simple");
}

/// NCCL's own table has LL128 switched off over sockets; a tuner of interface v2 is not asked to mind,
/// and its order runs.
#[test]
fn every_pair_on_sixteen_ranks_of_two_nodes() {
    let testbed = Testbed::new();
    for protocol in PROTOCOLS {
        for (ordered, algorithm) in [(1, "ring"), (2, "tree")] {
            let mut arguments = vec!["--ranks", "16", "--nodes", "2"];
            arguments.extend(["--bytes", "1K,32K,1M,8M"]);
            if algorithm == "tree" {
                arguments.extend(["--collective", "AllReduce"]);
            }
            let outcome = testbed.with_policy(&policy(algorithm, protocol, ordered), &arguments);
            let order = (algorithm, protocol, ordered);
            check(&outcome.lines, 16, order, OPENED_OVER_SOCKETS);
        }
    }
}

/// A rule per size, so that one job switches at every bound.
#[test]
fn choices_change_with_the_size() {
    let policy = "\
        allreduce,0,4095,tree,ll,1,-1,-1\n\
        allreduce,4096,65536,tree,ll128,2,-1,-1\n\
        allreduce,65537,1048575,ring,ll128,4,-1,-1\n\
        allreduce,1048576,4294967295,ring,simple,8,-1,-1\n";
    let arguments = [
        "--ranks",
        "8",
        "--collective",
        "AllReduce",
        "--bytes",
        "1K,4K,64K,128K,1M",
    ];
    let outcome = Testbed::new().with_policy(policy, &arguments);
    let ran: Vec<_> = outcome
        .lines
        .iter()
        .map(|line| (line.algorithm.as_str(), line.protocol.as_str()))
        .collect();
    let expected = [
        ("Tree", "LL"),
        ("Tree", "LL128"),
        ("Tree", "LL128"),
        ("Ring", "LL128"),
        ("Ring", "Simple"),
    ];
    assert_eq!(ran, expected);
}

/// The loop is closed: what a policy orders is what the clock charges.
#[test]
fn the_simulated_time_follows_the_order() {
    let testbed = Testbed::new();
    let arguments = [
        "--ranks",
        "8",
        "--collective",
        "AllReduce",
        "--bytes",
        "64M",
        "--compute-us",
        "250",
    ];
    let time_us = |channels: u64| {
        let outcome = testbed.with_policy(&policy("ring", "simple", channels), &arguments);
        let [line] = &outcome.lines[..] else {
            panic!("{:?}", outcome.lines);
        };
        line.elapsed_us - 250.0
    };
    assert!(time_us(1) > 2.0 * time_us(16));
}
