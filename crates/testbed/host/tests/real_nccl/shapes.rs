//! Communicators over nodes, and several in one process.

use crate::testbed::Testbed;

#[test]
fn sixteen_ranks_on_two_nodes_agree() {
    let arguments = ["--ranks", "16", "--nodes", "2", "--bytes", "1K,64K,8M"];
    let outcome = Testbed::new().run(&arguments, &[]);
    assert_eq!(outcome.lines.len(), 15);
    for line in &outcome.lines {
        assert_eq!(
            (line.communicator.as_str(), line.ranks),
            ("16r2n", 16),
            "{line:?}"
        );
    }
    assert!(outcome.log.contains("nNodes 2"), "{}", outcome.log);
}

/// A job as workloads have it: one group per node, one group per local rank over the nodes, and
/// one of all ranks. A rule for one shape applies to that shape only.
#[test]
fn a_process_has_several_communicators_and_rules_tell_them_apart() {
    let policy = "\
        allreduce,0,4294967295,ring,ll128,3,1,4\n\
        allreduce,0,4294967295,ring,simple,1,2,2\n\
        allreduce,0,4294967295,tree,ll,2,2,8\n";
    let arguments = [
        "--ranks",
        "8",
        "--nodes",
        "2",
        "--communicators",
        "4r1n,2r2n,8r2n",
        "--collective",
        "AllReduce",
        "--bytes",
        "1M",
        "--repeat",
        "3",
    ];
    let outcome = Testbed::new().with_policy(policy, &arguments);
    let ran: Vec<_> = outcome
        .lines
        .iter()
        .map(|line| {
            assert_eq!(line.calls, 3 * line.ranks, "{line:?}");
            format!(
                "{} {} {} {} {}",
                line.communicator_index,
                line.communicator,
                line.algorithm,
                line.protocol,
                line.channels
            )
        })
        .collect();
    let expected = [
        "0 4r1n Ring LL128 3",
        "1 4r1n Ring LL128 3",
        "2 2r2n Ring Simple 1",
        "3 2r2n Ring Simple 1",
        "4 2r2n Ring Simple 1",
        "5 2r2n Ring Simple 1",
        "6 8r2n Tree LL 2",
    ];
    assert_eq!(ran, expected);
}
