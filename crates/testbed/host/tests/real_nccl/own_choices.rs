//! What nobody orders stays NCCL's own, channels included; and policy files in NVIDIA's format.

use crate::testbed::{Line, Testbed};

/// What distinguishes one choice from another.
fn choice(line: &Line) -> (&str, u64, &str, &str, u64, u64) {
    let Line {
        collective,
        bytes,
        algorithm,
        protocol,
        channels,
        threads,
        ..
    } = line;
    (collective, *bytes, algorithm, protocol, *channels, *threads)
}

fn choices(lines: &[Line]) -> Vec<(&str, u64, &str, &str, u64, u64)> {
    lines.iter().map(choice).collect()
}

const EIGHT: [&str; 2] = ["--ranks", "8"];

#[test]
fn calls_that_no_rule_matches_are_nccls_own() {
    let testbed = Testbed::new();
    let own = testbed.run(&EIGHT, &[]);
    assert!(
        own.log.contains("Using internal tuner plugin"),
        "{}",
        own.log
    );
    assert_eq!(own.lines.len(), 5 * 17);

    let for_others = "allreduce,0,4294967295,tree,ll,1,9,72\n";
    let unmatched = testbed.with_policy(for_others, &EIGHT);
    assert_eq!(choices(&unmatched.lines), choices(&own.lines));

    let one_size = "broadcast,65536,65536,ring,simple,3,-1,-1\n";
    let one = testbed.with_policy(one_size, &EIGHT);
    let differ: Vec<_> = std::iter::zip(&one.lines, &own.lines)
        .filter(|(with, without)| choice(with) != choice(without))
        .map(|(with, _)| (with.collective.as_str(), with.bytes, with.channels))
        .collect();
    assert_eq!(differ, [("Broadcast", 65536, 3)]);
}

/// NVIDIA's example tuner forces one channel where a rule leaves the count open; ours leaves it to
/// NCCL, which then chooses as if the pair had been its own choice.
#[test]
fn open_channels_are_nccls_own_count_for_the_pair() {
    let testbed = Testbed::new();
    for (protocol, of_environment) in [("ll", "LL"), ("ll128", "LL128"), ("simple", "Simple")] {
        let variables = [("NCCL_ALGO", "Ring"), ("NCCL_PROTO", of_environment)];
        let own = testbed.run(&EIGHT, &variables);
        let policy: String = [
            "broadcast",
            "reduce",
            "allgather",
            "reducescatter",
            "allreduce",
        ]
        .map(|collective| format!("{collective},0,4294967295,ring,{protocol},-1,-1,-1\n"))
        .concat();
        let ordered = testbed.with_policy(&policy, &EIGHT);
        assert_eq!(choices(&ordered.lines), choices(&own.lines), "{protocol}");
        assert!(own.lines.iter().any(|line| line.channels > 1));
    }
}

/// A policy that cannot be read is not used at all, and says so.
#[test]
fn a_file_with_a_mistake_leaves_everything_to_nccl() {
    let testbed = Testbed::new();
    let arguments = ["--ranks", "2", "--bytes", "64K"];
    let own = testbed.run(&arguments, &[]);
    let mistake = "allreduce,0,4294967295,ring,ll,1,-1,-1\nallreduce,0,1,rign,ll,1,-1,-1\n";
    let outcome = testbed.with_policy(mistake, &arguments);
    assert_eq!(choices(&outcome.lines), choices(&own.lines));
    assert!(outcome.log.contains("off, NCCL chooses"), "{}", outcome.log);
}

/// The format of NVIDIA's example tuner (`ext-tuner/example/README.md` of NCCL), with 8, 9 and 10
/// columns, comments and empty lines, through the variable that example reads. The rules are our own.
#[test]
fn a_file_in_the_format_of_nvidias_example_is_followed() {
    let testbed = Testbed::new();
    let text = "\
# collective, smallest, largest, algorithm, protocol, channels, nodes, ranks, operations, registered

allreduce,0,65536,tree,simple,2,1,-1,-1,-1
allreduce,65537,1048576,ring,ll128,4,1,8
allreduce,1048577,4294967295,ring,simple,-1,-1,-1,1

# Only for another shape.
allgather,0,4294967295,ring,ll,1,4,32
allgather,0,4294967295,ring,simple,6,1,8,1,-1
";
    let file = testbed.file("nccl_tuner.conf", text);
    let plugin = testbed.plugin();
    let variables = [
        ("NCCL_TUNER_PLUGIN", plugin.as_str()),
        ("NCCL_TUNER_CONFIG_FILE", file.as_str()),
    ];
    let arguments = [
        "--ranks",
        "8",
        "--collective",
        "AllReduce,AllGather",
        "--bytes",
        "32K,1M,64M",
    ];
    let outcome = testbed.run(&arguments, &variables);
    let ran: Vec<_> = outcome
        .lines
        .iter()
        .map(|line| {
            let Line {
                collective,
                algorithm,
                protocol,
                channels,
                ..
            } = line;
            format!("{collective} {algorithm} {protocol} {channels}")
        })
        .collect();
    let expected = [
        "AllGather Ring Simple 1",
        "AllGather Ring Simple 6",
        "AllGather Ring Simple 6",
        "AllReduce Tree Simple 2",
        "AllReduce Ring LL128 4",
        // The open count: all of NCCL's.
        "AllReduce Ring Simple 24",
    ];
    assert_eq!(ran, expected);
}

/// Calls of a group are launched together and yet told apart.
#[test]
fn calls_of_a_group_are_one_launch_of_several_collectives() {
    let testbed = Testbed::new();
    let arguments = [
        "--ranks",
        "2",
        "--collective",
        "AllReduce,Reduce",
        "--bytes",
        "1M",
    ];
    let group = [&arguments[..], &["--group", "4", "--repeat", "3"]].concat();
    let own = testbed.run(&group, &[]);
    let mut calls = std::collections::BTreeMap::new();
    for line in &own.lines {
        assert_eq!(line.bytes, 1 << 20, "{line:?}");
        assert!(line.thread_blocks >= line.channels, "{line:?}");
        *calls.entry(line.collective.as_str()).or_insert(0) += line.calls;
    }
    // Ranks, groups, calls of a group.
    let expected = 2 * 3 * 4;
    assert_eq!(
        calls.into_iter().collect::<Vec<_>>(),
        [("AllReduce", expected), ("Reduce", expected)]
    );
    // NCCL deals the channels of a communicator to the calls of a group, unless a tuner says how many.
    let policy =
        "allreduce,0,4294967295,ring,simple,8,-1,-1\nreduce,0,4294967295,ring,ll,2,-1,-1\n";
    let ordered = testbed.with_policy(policy, &group);
    let channels: Vec<_> = ordered
        .lines
        .iter()
        .map(|line| (line.channels, line.calls))
        .collect();
    assert_eq!(channels, [(2, expected), (8, expected)]);
}

/// Interface v2 has no table of impossible pairs, so the plugin has to know them: Tree has kernels for
/// AllReduce only. NCCL 2.21.5 would run another algorithm's kernel with Tree's threads.
#[test]
fn pairs_without_kernels_stay_nccls_own() {
    let testbed = Testbed::new();
    let arguments = ["--ranks", "2", "--bytes", "1K,1M"];
    let own = testbed.run(&arguments, &[]);
    let policy: String = ["broadcast", "reduce", "allgather", "reducescatter"]
        .map(|collective| format!("{collective},0,4294967295,tree,simple,3,-1,-1\n"))
        .concat();
    let ordered = testbed.with_policy(&policy, &arguments);
    assert_eq!(choices(&ordered.lines), choices(&own.lines));
}
