//! `ccl-testbed check` on the stub driver: four processes on four nodes, switched while they run, their
//! agent killed. Nothing moves there, so results are not compared; the comparison has tests of its own
//! beside it (`src/check/pattern.rs`).

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "real_nccl/testbed.rs"]
#[allow(dead_code)]
mod testbed;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use testbed::{Testbed, nccl};

fn check(testbed: &Testbed, plugin: &str) -> Command {
    let mut command = testbed.command();
    command
        .args([
            "check",
            "--bytes",
            "1K,64K,1M",
            "--patience",
            "60",
            "--nccl",
        ])
        .arg(nccl())
        .args(["--plugin", plugin])
        .args(["--folder", &testbed.path("jobs")]);
    command
}

/// Processes whose command line names this.
fn processes(of: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        // A process may end while it is looked at.
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(of) {
            found.push(line);
        }
    }
    found
}

/// Ranks of a check: their environment names the job's directory.
fn ranks_in(folder: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let is_rank = |path: &std::path::Path| {
        let has = |file: &str, what: &str| {
            let bytes = std::fs::read(path.join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).contains(what)
        };
        has("cmdline", "check-rank") && has("environ", folder)
    };
    entries.filter(|entry| is_rank(&entry.path())).count()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} does not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn ranks_agree_and_obey_while_they_are_switched_and_when_their_agent_is_killed() {
    let testbed = Testbed::new();
    let page = testbed.path("page.md");
    let output = check(&testbed, &testbed.plugin())
        .args(["--stub", "--markdown", &page])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}{errors}");
    let figures = |what: &str| -> Vec<u64> {
        let line = text.lines().find(|line| line.starts_with(what));
        let line = line.unwrap_or_else(|| panic!("no {what}: {text}"));
        let figures = line[what.len()..].split_whitespace();
        figures.map(|figure| figure.parse().unwrap()).collect()
    };
    let calls = figures("calls, all ranks");
    let parts = [
        "before the first switch",
        "during the switches",
        "after the last switch",
    ];
    let parts = parts.map(figures);
    for job in [0, 1] {
        assert!(parts.iter().all(|part| part[job] > 0), "{text}");
        assert_eq!(parts.iter().map(|part| part[job]).sum::<u64>(), calls[job]);
        // Of every call it is known what ran, and each order ran, if on fewer channels.
        assert_eq!(
            figures("calls of which it is known what ran")[job],
            calls[job]
        );
        let (obeyed, cut) = (
            figures("that ran exactly as ordered")[job],
            figures("on fewer channels, as NCCL may")[job],
        );
        let ordered = figures("calls with an order")[job];
        assert!(obeyed > 0 && obeyed + cut == ordered, "{text}");
        assert!(figures("switches")[job] >= 4, "{text}");
    }
    // Ring and Tree with LL and Simple, and NCCL's own choice: from each of five to each other.
    assert_eq!(figures("switches")[0], 5 * 4);
    assert_eq!(figures("elements compared"), [0, 0]);
    assert!(
        text.contains("no data moved; results were not compared"),
        "{text}"
    );
    // That the comparison is not blind is seen there all the same.
    let unmoved = text
        .lines()
        .find(|line| line.contains("elements were looked at"));
    let unmoved: u64 = unmoved
        .and_then(|line| line.split(' ').next()?.parse().ok())
        .unwrap();
    assert!(unmoved > 1_000_000, "{text}");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(
        page.contains("**Not a validation**") && page.contains("| NCCL | 2.21.5 |"),
        "{page}"
    );
    assert!(page.contains("Using tuner plugin ccl-agent"), "{page}");
    for choice in [
        "Tree LL 1ch",
        "Tree Simple 2ch",
        "Ring LL 2ch",
        "Ring Simple 1ch",
    ] {
        assert!(page.contains(choice), "{choice}: {page}");
    }
    assert_eq!(ranks_in(&testbed.path("jobs")), 0);
    assert_eq!(processes(&testbed.path("jobs")), Vec::<String>::new());
}

fn start(command: &mut Command) -> Child {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn nobody_outlives_a_check_that_is_killed() {
    let testbed = Testbed::new();
    let jobs = testbed.path("jobs");
    // While the ranks make their communicator, and while they are being switched.
    for file in ["nccl-3.log", "comm-6f72647200000000-4r4n.log"] {
        let mut child = start(check(&testbed, &testbed.plugin()).arg("--stub"));
        let there = format!("{jobs}/switched/{file}");
        wait_until(file, || std::path::Path::new(&there).exists());
        assert!(ranks_in(&jobs) > 0);
        // SIGKILL: it cannot tell anybody.
        child.kill().unwrap();
        child.wait().unwrap();
        wait_until("the end of all ranks", || ranks_in(&jobs) == 0);
        std::fs::remove_dir_all(&jobs).unwrap();
    }
}

#[test]
fn what_is_not_the_plugin_is_noticed() {
    let testbed = Testbed::new();
    let output = check(&testbed, &testbed.path("libnvidia-ml.so.1"))
        .arg("--stub")
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(errors.contains("do not follow a decision log"), "{errors}");
    assert_eq!(ranks_in(&testbed.path("jobs")), 0);
}

#[test]
fn without_a_gpu_it_refuses_and_says_why() {
    let testbed = Testbed::new();
    let refused = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let page = testbed.path("page.md");
    let on_the_stub = refused(check(&testbed, &testbed.plugin()).args(["--markdown", &page]));
    assert!(
        on_the_stub.contains("the CUDA driver here is the stub"),
        "{on_the_stub}"
    );
    // And nothing is written that could be taken for a result.
    assert!(!std::path::Path::new(&page).exists());
    if std::path::Path::new("/proc/driver/nvidia").exists() {
        return;
    }
    let mut command = check(&testbed, &testbed.plugin());
    let without = refused(command.env_remove("LD_LIBRARY_PATH"));
    assert!(
        without.contains("needs a machine with an NVIDIA GPU"),
        "{without}"
    );
}
