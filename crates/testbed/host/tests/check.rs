//! `ccl-testbed check` on the stub driver: everything but the numbers, of which none move.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "real_nccl/testbed.rs"]
#[allow(dead_code)]
mod testbed;

use testbed::Testbed;

#[test]
fn ranks_in_processes_of_their_own_run_what_is_ordered_and_survive_the_agent() {
    let testbed = Testbed::new();
    let output = testbed
        .command()
        .args(["check", "--ranks", "2", "--nccl"])
        .arg(testbed::nccl())
        .args(["--plugin", &testbed.plugin()])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{said}");
    for words in [
        "a stub: no data moves",
        "TUNER/Plugin: Using tuner plugin ccl-agent",
        "not compared: no data moves",
        "0 otherwise",
        "| agreement | 0 calls",
        "killed by SIGKILL in the middle",
        "frozen by a rank",
        "Outcome: everything held",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // A page about GPUs is not written from here.
    let page = testbed.path("page.md");
    let refused = testbed
        .command()
        .args(["check", "--markdown", &page, "--nccl"])
        .arg(testbed::nccl())
        .args(["--plugin", &testbed.plugin()])
        .output()
        .unwrap();
    assert!(!refused.status.success() && !std::path::Path::new(&page).exists());
}
