//! Who lives, as `/proc` tells it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;

use ccl_abi::shared::Process;

#[test]
fn a_process_lives_until_it_ends_whether_or_not_anybody_asks_for_it() {
    let me = Process::this();
    assert_eq!((me.pid, me.is_gone()), (std::process::id(), false));
    let later = Process {
        started: me.started.wrapping_add(1),
        ..me
    };
    assert!(later.is_gone(), "the pid alone is not the process");

    let mut child = Command::new("sleep").arg("600").spawn().unwrap();
    let process = Process::living(child.id()).unwrap();
    assert!(!process.is_gone());
    child.kill().unwrap();
    // Not waited for: the entry in /proc stays.
    while !process.is_gone() {
        std::thread::yield_now();
    }
    assert!(std::fs::exists(format!("/proc/{}", child.id())).unwrap());
    child.wait().unwrap();
    assert!(process.is_gone());
}
