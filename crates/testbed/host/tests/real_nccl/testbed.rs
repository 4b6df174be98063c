//! Runs `ccl-testbed` as a child process, with a folder in which the loader finds the stubs.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use tempfile::TempDir;

/// What `ccl-testbed run --json` prints.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Line {
    pub source: String,
    pub nccl: String,
    pub communicator: String,
    pub communicator_index: usize,
    pub collective: String,
    pub bytes: u64,
    pub algorithm: String,
    pub protocol: String,
    pub channels: u64,
    pub threads: u64,
    pub chunk_bytes: u64,
    pub thread_blocks: u64,
    pub block_threads: u64,
    pub calls: u64,
    pub ranks: u64,
    pub time_us: f64,
    pub elapsed_us: f64,
}

/// Where the stubs, the policy and the log of a test are.
pub struct Testbed {
    folder: TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    pub lines: Vec<Line>,
    pub log: String,
}

/// A shared object that was built beside this test.
fn object(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let mut places = test.ancestors().map(|folder| folder.join(name));
    places
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{name} was not built beside {}", test.display()))
}

/// What was asked for before each call, microseconds.
fn computation_us(arguments: &[&str]) -> f64 {
    let at = arguments
        .iter()
        .position(|argument| *argument == "--compute-us");
    at.map_or(0.0, |at| arguments[at + 1].parse().unwrap())
}

/// The NCCL under test.
pub fn nccl() -> PathBuf {
    let path = std::env::var_os("CCL_NCCL_2_21").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../target/nccl/2.21.5/libnccl.so.2"),
        PathBuf::from,
    );
    assert!(
        path.exists(),
        "there is no NCCL 2.21.5 at {}: run `make nccl`, or name one in CCL_NCCL_2_21",
        path.display()
    );
    path
}

impl Testbed {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (built, wanted) in [
            ("libccl_stub_cuda.so", "libcuda.so.1"),
            ("libccl_stub_nvml.so", "libnvidia-ml.so.1"),
            // The name it is installed under.
            ("libnccl_ccl_agent.so", "libnccl-ccl-agent.so"),
        ] {
            std::os::unix::fs::symlink(object(built), folder.path().join(wanted)).unwrap();
        }
        Self { folder }
    }

    /// The plugin.
    pub fn plugin(&self) -> String {
        self.path("libnccl-ccl-agent.so")
    }

    /// A place in the test's folder.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file and answers its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The program on the stubs, with nothing of this process's environment that NCCL or the plugin
    /// would listen to.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ccl-testbed"));
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if name_text.starts_with("NCCL_") || name_text.starts_with("CCL_") {
                command.env_remove(&name);
            }
        }
        command.env("LD_LIBRARY_PATH", self.folder.path());
        command
    }

    /// A run without the plugin.
    pub fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
        let log = self.path("nccl.log");
        let _ = std::fs::remove_file(&log);
        let mut command = self.command();
        let output = command
            .args(["run", "--json", "--nccl"])
            .arg(nccl())
            .args(arguments)
            .envs([("NCCL_DEBUG", "INFO"), ("NCCL_DEBUG_FILE", &log)])
            .env("NCCL_DEBUG_SUBSYS", "INIT,ENV,TUNING")
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success(),
            "{arguments:?} {variables:?}: {}\n{}\n{log}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        // NCCL prints its version there as well, whatever file it logs to.
        let json = text
            .lines()
            .filter(|line| !line.starts_with("NCCL version"));
        let lines: Vec<Line> = json
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for line in &lines {
            assert_eq!(
                (line.source.as_str(), line.nccl.as_str()),
                ("simulated", "2.21.5")
            );
            // The stream's clock is what events read, in single precision.
            assert!(line.time_us > 0.0, "{line:?}");
            let charged_us = line.time_us + computation_us(arguments);
            let relative = line.elapsed_us / charged_us - 1.0;
            assert!(relative.abs() < 1e-5, "{line:?}");
            // One collective per launch: a thread block for each of its channels.
            let alone = !arguments.contains(&"--group");
            assert!(!alone || line.thread_blocks == line.channels, "{line:?}");
        }
        Outcome { lines, log }
    }

    /// A run with the plugin and a policy.
    pub fn with_policy(&self, policy: &str, arguments: &[&str]) -> Outcome {
        let policy = self.file("policy.csv", policy);
        let plugin = self.plugin();
        let variables = [
            ("NCCL_TUNER_PLUGIN", plugin.as_str()),
            ("CCL_AGENT_POLICY", policy.as_str()),
        ];
        let outcome = self.run(arguments, &variables);
        assert!(
            outcome.log.contains("Using tuner plugin ccl-agent"),
            "{}",
            outcome.log
        );
        outcome
    }
}
