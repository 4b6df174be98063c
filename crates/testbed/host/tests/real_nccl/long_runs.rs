//! Runs that are long enough to go round NCCL's queues.

use crate::testbed::Testbed;

/// NCCL's work queue has 65,536 items, and a call on 24 channels takes 24 of them: without
/// acknowledgements the process would wait for ever at call 2,730.
#[test]
fn the_work_queue_goes_round() {
    let arguments = ["--ranks", "2", "--collective", "AllReduce", "--bytes", "4M"];
    let repeat = ["--repeat", "6000"];
    let outcome = Testbed::new().run(&[&arguments[..], &repeat[..]].concat(), &[]);
    let [line] = &outcome.lines[..] else {
        panic!("{:?}", outcome.lines);
    };
    assert_eq!((line.calls, line.channels), (12_000, 24));
}

/// Between nodes the proxies have their own queues and slots.
#[test]
fn the_slots_of_network_connections_go_round() {
    let arguments = ["--ranks", "4", "--nodes", "2", "--collective", "AllReduce"];
    let repeat = ["--bytes", "64K", "--repeat", "1500"];
    let outcome = Testbed::new().run(&[&arguments[..], &repeat[..]].concat(), &[]);
    let calls: u64 = outcome.lines.iter().map(|line| line.calls).sum();
    assert_eq!(calls, 6_000);
}
