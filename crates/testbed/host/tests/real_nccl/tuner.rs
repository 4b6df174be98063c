//! How NCCL finds the plugin.

use crate::testbed::Testbed;

const SMALL: [&str; 6] = ["--ranks", "2", "--collective", "AllReduce", "--bytes", "1M"];
/// Not what NCCL would choose for 1 MiB on two GPUs: that is LL with 24 channels.
const POLICY: &str = "allreduce,0,4294967295,ring,ll128,5,-1,-1\n";

fn ran(outcome: &crate::testbed::Outcome) -> Vec<(&str, u64)> {
    let lines = outcome.lines.iter();
    lines
        .map(|line| (line.protocol.as_str(), line.channels))
        .collect()
}

#[test]
fn nccl_logs_that_it_uses_our_tuner_and_each_rank_logs_the_policy() {
    let outcome = Testbed::new().with_policy(POLICY, &SMALL);
    let log = &outcome.log;
    assert!(
        log.contains("TUNER/Plugin: Using tuner plugin ccl-agent"),
        "{log}"
    );
    assert!(
        log.contains("TUNER/Plugin: Closing tuner: 'ccl-agent'"),
        "{log}"
    );
    let policies = log
        .lines()
        .filter(|line| line.contains("ccl-agent: 1 rules from"));
    assert_eq!(policies.count(), 2, "{log}");
    assert_eq!(ran(&outcome), [("LL128", 5)]);
}

/// NCCL 2.21.5 looks for a tuner in the library of the net plugin when no tuner plugin is named.
#[test]
fn named_as_the_net_plugin_it_is_found_as_the_tuner_too() {
    let testbed = Testbed::new();
    let policy = testbed.file("policy.csv", POLICY);
    let plugin = testbed.plugin();
    let variables = [
        ("NCCL_NET_PLUGIN", plugin.as_str()),
        ("CCL_AGENT_POLICY", policy.as_str()),
    ];
    let outcome = testbed.run(&SMALL, &variables);
    assert!(
        outcome.log.contains("Using tuner plugin ccl-agent"),
        "{}",
        outcome.log
    );
    assert_eq!(ran(&outcome), [("LL128", 5)]);
}

/// The same by the short name: NCCL makes `libnccl-net-NAME.so` of it, which is not what the plugin
/// is called, so it is not found and NCCL says that it uses its own tuner.
#[test]
fn the_short_name_of_a_net_plugin_does_not_lead_to_it() {
    let testbed = Testbed::new();
    let policy = testbed.file("policy.csv", POLICY);
    let variables = [
        ("NCCL_NET_PLUGIN", "ccl-agent"),
        ("CCL_AGENT_POLICY", policy.as_str()),
    ];
    let outcome = testbed.run(&SMALL, &variables);
    assert!(
        outcome.log.contains("Using internal tuner plugin"),
        "{}",
        outcome.log
    );
    assert_ne!(ran(&outcome), [("LL128", 5)]);
}
