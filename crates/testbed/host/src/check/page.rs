//! The outcome of a check as text: a table for the terminal, a page for the documentation.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io;
use std::path::Path;

use super::verdict::Tally;
use super::{Job, Outcome};
use crate::report::SIMULATED;

/// What the page says besides the outcome.
#[derive(Clone, Debug)]
pub struct Heading {
    /// The day, `YYYY-MM-DD`.
    pub date: String,
    /// NVIDIA's kernel driver, where it says which.
    pub driver: Option<String>,
    /// Sizes of the calls, bytes.
    pub bytes: Vec<u64>,
}

/// What NCCL said about plugins in a rank's log, each once, without process and thread, and without the
/// folder of the plugin.
///
/// # Errors
/// A log that cannot be read.
pub fn plugin_lines(log: &Path, plugin: &Path) -> io::Result<Vec<String>> {
    let mut text = std::fs::read_to_string(log)?;
    if let Some((folder, name)) = plugin.parent().zip(plugin.file_name()) {
        let name = name.to_string_lossy();
        text = text.replace(&*folder.join(&*name).to_string_lossy(), &name);
    }
    let mut said = BTreeSet::new();
    let lines = text.lines().filter_map(|line| {
        let (_, what) = line.split_once(" NCCL ")?;
        let what = what.trim_start_matches("INFO ").trim_start_matches("WARN ");
        let is_load = ["TUNER/Plugin", "PROFILER/Plugin"]
            .iter()
            .any(|w| what.contains(w));
        (is_load && said.insert(what.to_owned())).then(|| what.to_owned())
    });
    Ok(lines.collect())
}

/// NVIDIA's kernel driver as `/proc/driver/nvidia/version` names it.
pub fn kernel_driver() -> Option<String> {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    let line = text.lines().next()?;
    let words = line.split_whitespace();
    let version = words
        .clone()
        .find(|word| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.'));
    version.map(str::to_owned)
}

fn rows(tally: &Tally) -> [(&'static str, String); 11] {
    let [before, during, after] = tally.by_phase;
    [
        ("calls, all ranks", tally.calls.to_string()),
        ("before the first switch", before.to_string()),
        ("during the switches", during.to_string()),
        ("after the last switch", after.to_string()),
        ("switches", tally.switches.to_string()),
        ("elements compared", tally.elements.to_string()),
        ("elements wrong", tally.mismatches.to_string()),
        (
            "calls of which it is known what ran",
            tally.recorded.to_string(),
        ),
        ("calls with an order", tally.ordered.to_string()),
        ("that ran exactly as ordered", tally.obeyed.to_string()),
        ("on fewer channels, as NCCL may", tally.cut.to_string()),
    ]
}

/// The outcome as a table for the terminal.
pub fn table(outcome: &Outcome) -> String {
    let mut text = String::new();
    let (first, second) = (&outcome.switched.tally, &outcome.killed.tally);
    let _ = writeln!(text, "{:<38} {:>12} {:>12}", "", "switched", "agent killed");
    for ((what, a), (_, b)) in rows(first).iter().zip(rows(second)) {
        let _ = writeln!(text, "{what:<38} {a:>12} {b:>12}");
    }
    for problem in first.problems.iter().chain(&second.problems) {
        let _ = writeln!(text, "WRONG: {problem}");
    }
    let machine = &outcome.switched.evidence.machine;
    if machine.is_stub {
        let _ = writeln!(text, "{SIMULATED}; results were not compared");
        let unmoved = first.unmoved + second.unmoved;
        let _ = writeln!(
            text,
            "{unmoved} elements were looked at and found wrong, as where nothing moves they must be"
        );
    }
    let verdict = if outcome.is_right() {
        "all of it is right"
    } else {
        "NOT right"
    };
    let _ = writeln!(
        text,
        "NCCL {} on {}: {verdict}",
        machine.nccl, machine.device
    );
    text
}

/// The outcome as a page of the documentation.
pub fn markdown(outcome: &Outcome, heading: &Heading) -> String {
    let machine = &outcome.switched.evidence.machine;
    let ranks = outcome.switched.evidence.pids.len();
    let sizes: Vec<String> = heading
        .bytes
        .iter()
        .map(|b| ccl_core::format_bytes(*b))
        .collect();
    let mut text =
        String::from("# Validation on a GPU\n\nWritten by `make gpu-test`; do not edit.\n\n");
    let verdict = match (outcome.is_right(), machine.is_stub) {
        (false, _) => "**Failed**: see below.",
        (true, true) => {
            "**Not a validation**: this was run on the stub driver, where nothing moves."
        }
        (true, false) => "**Passed.**",
    };
    let _ = writeln!(text, "{verdict}\n\n| | |\n|---|---|");
    let unknown = || "unknown".to_owned();
    for (what, value) in [
        ("date", heading.date.clone()),
        ("GPU", machine.device.clone()),
        (
            "kernel driver",
            heading.driver.clone().unwrap_or_else(unknown),
        ),
        ("CUDA of the driver", machine.cuda.clone()),
        ("NCCL", machine.nccl.clone()),
        ("plugin", format!("ccl-agent {}", env!("CARGO_PKG_VERSION"))),
        (
            "ranks",
            format!("{ranks} processes, each a node of its own; sockets over loopback"),
        ),
        ("sizes", sizes.join(", ")),
    ] {
        let _ = writeln!(text, "| {what} | {value} |");
    }
    text += "\nWhat NCCL said about plugins (rank 0):\n\n```\n";
    for line in &outcome.plugin_lines {
        let _ = writeln!(text, "{line}");
    }
    text += "```\n\n## Counts\n\nIn the first job an agent orders every legal pair after every other while \
             the ranks run, and leaves. In the second it is killed with SIGKILL while it switches.\n\n\
             | | switched | agent killed |\n|---|---:|---:|\n";
    let (first, second) = (&outcome.switched.tally, &outcome.killed.tally);
    for ((what, a), (_, b)) in rows(first).iter().zip(rows(second)) {
        let _ = writeln!(text, "| {what} | {a} | {b} |");
    }
    text += "\nChoices that ran: ";
    let ran: BTreeSet<&String> = first.choices.iter().chain(&second.choices).collect();
    let ran: Vec<&str> = ran.into_iter().map(String::as_str).collect();
    let _ = writeln!(text, "{}.", ran.join(", "));
    problems(&mut text, "the switched job", &outcome.switched);
    problems(&mut text, "the job whose agent was killed", &outcome.killed);
    text += "\n## Not covered\n\n";
    if machine.is_stub {
        let _ = writeln!(
            text,
            "* Results: {SIMULATED}. What ran is read from the launches."
        );
        text += "* The profiler: NCCL 2.21 has no interface for one.\n";
    }
    text += "* Times: ranks share a GPU and talk over sockets. Nothing here says how fast anything is.\n\
             * Other transports (NVLink, shared memory, InfiniBand), CollNet and NVLS, several GPUs of one \
             process, CUDA graphs, groups of calls, chunk sizes.\n\
             * That fewer channels than ordered are right is known for Tree and Ring on the largest calls only: \
             as many as the order and the communicator allow.\n";
    text
}

fn problems(text: &mut String, of: &str, job: &Job) {
    if job.tally.problems.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n## Wrong in {of}\n");
    for problem in &job.tally.problems {
        let _ = writeln!(text, "* {problem}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::verdict::tests::right;

    fn outcome(is_stub: bool, wrong: &[&str]) -> Outcome {
        let job = || {
            let mut evidence = right();
            let mut tally = Tally::of(&evidence);
            evidence.machine.is_stub = is_stub;
            tally.problems = wrong.iter().map(|&problem| problem.to_owned()).collect();
            Job { evidence, tally }
        };
        Outcome {
            switched: job(),
            killed: job(),
            plugin_lines: vec!["TUNER/Plugin: Using tuner plugin ccl-agent".to_owned()],
        }
    }

    fn page(outcome: &Outcome) -> String {
        let heading = Heading {
            date: "2026-01-02".to_owned(),
            driver: Some("570.1".to_owned()),
            bytes: vec![1024, 1 << 20],
        };
        markdown(outcome, &heading)
    }

    #[test]
    fn the_page_says_passed_only_where_it_was_run_on_a_gpu_and_all_is_right() {
        let passed = page(&outcome(false, &[]));
        for part in [
            "**Passed.**",
            "| NCCL | 2.27.7 |",
            "| date | 2026-01-02 |",
            "| 570.1 |",
        ] {
            assert!(passed.contains(part), "{part}: {passed}");
        }
        assert!(
            passed.contains("| elements compared | 120 | 120 |"),
            "{passed}"
        );
        let failed = page(&outcome(false, &["rank 1 call 3: wrong"]));
        assert!(failed.contains("**Failed**") && failed.contains("* rank 1 call 3: wrong"));
        let stub = page(&outcome(true, &[]));
        assert!(stub.contains("**Not a validation**") && stub.contains("no data moved"));
        assert!(!failed.contains("Passed") && !stub.contains("Passed"));
        assert!(table(&outcome(false, &["x"])).contains("WRONG: x\n"));
    }

    #[test]
    fn a_log_is_read_without_processes_and_folders() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let text = "vm:1:2 [0] NCCL INFO TUNER/Plugin: Plugin name set by env to /a/b/p.so\n\
                    vm:1:2 [0] NCCL INFO Connected all rings\n\
                    vm:1:3 [0] NCCL INFO TUNER/Plugin: Plugin name set by env to /a/b/p.so\n\
                    vm:1:3 [0] NCCL INFO PROFILER/Plugin: Using ncclProfiler_v4\n";
        std::fs::write(&log, text).unwrap();
        let lines = plugin_lines(&log, Path::new("/a/b/p.so")).unwrap();
        let expected = [
            "TUNER/Plugin: Plugin name set by env to p.so",
            "PROFILER/Plugin: Using ncclProfiler_v4",
        ];
        assert_eq!(lines, expected);
    }
}
