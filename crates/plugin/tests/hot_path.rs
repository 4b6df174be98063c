//! What the hot paths of the object that ships cost: instructions under callgrind, each below its
//! ceiling, and not one system call.
//!
//! The clock is read through the vDSO. Where the machine's clock source has none (xen, hpet), the
//! profiler calls the system once an event, and the second test says so by failing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::undocumented_unsafe_blocks
)]

use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[allow(dead_code)] // others use the rest of it
#[path = "../hot_path/paths.rs"]
mod paths;
#[path = "support/release.rs"]
mod release;

/// Instructions of one call (of the profiler: of one round, whatever its calls), as measured with
/// Rust 1.95 on x86-64, and the ceiling, about 15 % above. Under valgrind the clock is a system call,
/// whose instructions in the kernel do not count.
const CEILINGS: [(&str, u64, u64); 12] = [
    ("static", 246, 290),
    ("static_second_rule", 273, 320),
    ("static_without_a_match", 194, 230),
    ("static_4096_rules", 309, 360),
    ("live", 447, 520),
    ("live_4096_entries_of_32_rules", 609, 710),
    ("live_chunk_size", 313, 360),
    ("collective", 980, 1080),
    ("collective_that_is_not_sampled", 213, 245),
    ("collective_with_a_kernel", 1306, 1420),
    ("transfer", 637, 710),
    ("event_that_is_not_recorded", 45, 55),
];

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("ccl-hot-path-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs the driver under callgrind; the instructions of all of it, and the calls it made.
fn instructions(release: &release::Release, path: &str, rounds: u64, folder: &Path) -> (u64, u64) {
    let profile = folder.join("callgrind.out");
    let output = Command::new("valgrind")
        // The size of the environment shifts counts.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .args(["--tool=callgrind", "--quiet", "--error-exitcode=9"])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(&release.driver)
        .arg(&release.library)
        .args([path, &rounds.to_string()])
        .arg(folder)
        .output();
    let output = output.unwrap_or_else(|error| {
        panic!("valgrind: {error}; `apt-get install valgrind`, or your system's way")
    });
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{path}: {said}");
    let text = std::fs::read_to_string(profile).unwrap();
    let total = text.lines().find_map(|line| {
        line.strip_prefix("totals: ")
            .or(line.strip_prefix("summary: "))
    });
    let calls = String::from_utf8(output.stdout).unwrap();
    (
        total.unwrap().trim().parse().unwrap(),
        calls.trim().parse().unwrap(),
    )
}

#[test]
fn instructions_stay_below_their_ceilings() {
    let release = release::build();
    let folder = Folder::new("callgrind");
    assert!(CEILINGS.iter().map(|(name, ..)| *name).eq(paths::all()));
    let mut above = Vec::new();
    for (name, measured, ceiling) in CEILINGS {
        // What a round costs is what twice as many rounds cost more, so the set-up does not count.
        const ROUNDS: u64 = 1000;
        let (once, calls) = instructions(&release, name, ROUNDS, &folder.0);
        let (twice, _) = instructions(&release, name, 2 * ROUNDS, &folder.0);
        let round = (twice - once).div_ceil(ROUNDS);
        eprintln!(
            "{name}: {round} instructions a round of {} calls; once {measured}, at most {ceiling}",
            calls / ROUNDS
        );
        if round > ceiling {
            above.push(name);
        }
        // A path that does nothing at all would be below any ceiling.
        assert!(round >= 20, "{name} does not run");
    }
    // Other processors have other instructions.
    if cfg!(target_arch = "x86_64") {
        assert_eq!(above, [""; 0], "cost more than they may");
    }
}

/// Runs the driver sealed; the signal that killed it, if any.
fn sealed(release: &release::Release, path: &str, folder: &Path) -> Option<i32> {
    let arguments = [
        release.library.as_os_str(),
        OsStr::new(path),
        OsStr::new("1000000"),
    ];
    let status = Command::new(&release.driver)
        .args(arguments)
        .arg(folder)
        .arg("sealed")
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(
        status.success() || status.signal().is_some(),
        "{path}: {status}"
    );
    status.signal()
}

#[test]
fn a_million_rounds_call_the_system_not_once() {
    const SIGSYS: i32 = 31;
    let release = release::build();
    let folder = Folder::new("sealed");
    for path in paths::all() {
        assert_eq!(sealed(&release, path, &folder.0), None, "{path}");
    }
    assert_eq!(sealed(&release, paths::MUTANTS[0], &folder.0), Some(SIGSYS));
}
