//! What the tuner costs: NCCL 2.21 loads a tuner once for all communicators of a process, so processes
//! with it and without it take turns.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use ccl_search::median;

use super::{CostCommand, interval};

/// Modes, by the variables that make them. `{job}` and `{policy}` stand for a directory and a file.
const MODES: [(&str, &[(&str, &str)]); 3] = [
    (
        "observe",
        &[("CCL_AGENT_MODE", "observe"), ("CCL_AGENT_JOB", "{job}")],
    ),
    (
        "static",
        &[
            ("CCL_AGENT_MODE", "static"),
            ("CCL_AGENT_POLICY", "{policy}"),
        ],
    ),
    (
        "live",
        &[
            ("CCL_AGENT_MODE", "live"),
            ("CCL_AGENT_JOB", "{job}"),
            ("CCL_AGENT_INIT_ORDER", "thread"),
        ],
    ),
];
/// A rule that is read and never fits, so that NCCL does the same with it as without.
const POLICY: &str = "allreduce,1,1,ring,simple,8,8,1\n";

/// Measures and prints.
pub fn execute(command: &CostCommand, plugin: &Path, runs: usize) -> Result<(), String> {
    let folder = std::env::temp_dir().join(format!("ccl-cost-{}", std::process::id()));
    std::fs::create_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let measured = measure(command, plugin, runs, &folder);
    let _ = std::fs::remove_dir_all(&folder);
    let rounds = measured?;
    let mut out = std::io::stdout().lock();
    let none: Vec<f64> = rounds.iter().map(|round| round[0]).collect();
    let none_ns = median(&none).unwrap_or(f64::NAN);
    let mut print = || -> std::io::Result<()> {
        writeln!(out, "without the plugin: {none_ns:.0} ns a collective")?;
        for (mode, (name, _)) in (1..).zip(MODES) {
            let added: Vec<f64> = rounds.iter().map(|round| round[mode] - round[0]).collect();
            let share: Vec<f64> = rounds
                .iter()
                .map(|round| 100.0 * (round[mode] / round[0] - 1.0))
                .collect();
            writeln!(
                out,
                "{name:<10} {:>24} ns {:>24} %",
                interval(&added, 0),
                interval(&share, 2)
            )?;
        }
        Ok(())
    };
    print().map_err(|error| error.to_string())
}

/// Nanoseconds a collective by round: without, and then in each mode.
fn measure(
    command: &CostCommand,
    plugin: &Path,
    runs: usize,
    folder: &Path,
) -> Result<Vec<Vec<f64>>, String> {
    let policy = folder.join("policy.csv");
    std::fs::write(&policy, POLICY).map_err(|error| error.to_string())?;
    let mut rounds = vec![vec![f64::NAN; 1 + MODES.len()]; runs];
    for (round, values) in rounds.iter_mut().enumerate() {
        for turn in 0..values.len() {
            let which = (round + turn) % values.len();
            let mode = which.checked_sub(1).map(|mode| MODES[mode].1);
            let job = folder.join(format!("{round}-{which}"));
            std::fs::create_dir(&job).map_err(|error| error.to_string())?;
            values[which] = once(command, plugin, mode, &job, &policy)?;
        }
    }
    Ok(rounds)
}

fn once(
    command: &CostCommand,
    plugin: &Path,
    mode: Option<&[(&str, &str)]>,
    job: &Path,
    policy: &Path,
) -> Result<f64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut run = Command::new(program);
    run.arg("cost")
        .arg("--json")
        .arg("--nccl")
        .arg(&command.nccl);
    run.arg("--workload").arg(&command.workload);
    run.arg("--cluster").arg(&command.cluster);
    run.arg("--rounds").arg(command.rounds.to_string());
    if let Some(variables) = mode {
        run.env("NCCL_TUNER_PLUGIN", plugin);
        for (name, value) in variables {
            let value = match *value {
                "{job}" => job.as_os_str(),
                "{policy}" => policy.as_os_str(),
                word => word.as_ref(),
            };
            run.env(name, value);
        }
    }
    let output = run.output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line: serde_json::Value = serde_json::from_str(text.trim())
        .map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let value = line.get("threads_ns").and_then(serde_json::Value::as_f64);
    value.ok_or_else(|| format!("no time in {line}"))
}
