//! A suite: jobs on clusters, and what happens to them. A TOML file; `builtin` is part of the
//! program.
//!
//! ```toml
//! name = "mine"
//! machine_spread = 0.12             # standard deviation of the logarithm of each hardware figure
//!
//! [[task]]
//! name = "phi-2 on A40"             # unique
//! workload = "autoccl/phi2-2b"      # one of the program's own, or a JSON file beside this one
//! cluster = "a40-pcie-8gpu"         # a catalogue entry, or a TOML file beside this one
//! nodes = 2                         # optional: in place of the workload's own figure
//! gpus_per_node = 4                 # optional, likewise
//! drift = { amplitude = 0.05, period_iterations = 40 }       # optional: in place of 1 % in 60
//! tenant = { every_iterations = 25, lasts_iterations = 8, factor = 1.3 }   # optional
//! default_is_optimal = true         # optional: machines are drawn until it is
//! ```

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ccl_core::{ClusterSpec, WorkloadSpec, cluster_text};
use ccl_sim::noise::{NoiseModel, Scenario, ScenarioEvent};
use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

/// The suite that is part of the program.
const BUILTIN: &str = include_str!("../../../../suite/builtin.toml");
/// Iterations for which tenants come and go.
const TENANCY_ITERATIONS: u64 = 2_000;

/// The workloads that a suite can name.
const WORKLOADS: [(&str, &str); 14] = [
    (
        "autoccl/llama3.1-8b",
        include_str!("../../../../workload/autoccl/llama3.1-8b.json"),
    ),
    (
        "autoccl/phi2-2b",
        include_str!("../../../../workload/autoccl/phi2-2b.json"),
    ),
    (
        "autoccl/torch-demo",
        include_str!("../../../../workload/autoccl/torch-demo.json"),
    ),
    (
        "autoccl/vgg19",
        include_str!("../../../../workload/autoccl/vgg19.json"),
    ),
    (
        "autoccl/yi-1.5-34b",
        include_str!("../../../../workload/autoccl/yi-1.5-34b.json"),
    ),
    (
        "demo/allreduce-8gpu",
        include_str!("../../../../workload/demo/allreduce-8gpu.json"),
    ),
    (
        "demo/already-optimal",
        include_str!("../../../../workload/demo/already-optimal.json"),
    ),
    (
        "modern/llama3-70b-3d",
        include_str!("../../../../workload/modern/llama3-70b-3d.json"),
    ),
    (
        "modern/llama3-8b-fsdp",
        include_str!("../../../../workload/modern/llama3-8b-fsdp.json"),
    ),
    (
        "modern/nccl-tests-sweep",
        include_str!("../../../../workload/modern/nccl-tests-sweep.json"),
    ),
    (
        "modern/qwen3-30b-a3b-moe",
        include_str!("../../../../workload/modern/qwen3-30b-a3b-moe.json"),
    ),
    (
        "suite/ddp-buckets",
        include_str!("../../../../suite/ddp-buckets.json"),
    ),
    (
        "suite/gradients-multi-node",
        include_str!("../../../../suite/gradients-multi-node.json"),
    ),
    (
        "suite/mostly-compute",
        include_str!("../../../../suite/mostly-compute.json"),
    ),
];

/// A job on a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Unique in its suite.
    pub name: String,
    /// The job.
    pub workload: WorkloadSpec,
    /// The cluster as its specification has it.
    pub cluster: ClusterSpec,
    /// Slow change of everything, in place of the usual one.
    pub drift: Option<Drift>,
    /// Another job that comes and goes.
    pub tenant: Option<Tenant>,
    /// Whether only machines count on which nothing is to be gained.
    pub default_is_optimal: bool,
}

/// Slow change of everything that runs.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// Amplitude as a share, 0 to 1.
    pub amplitude: f64,
    /// Iterations from one crest to the next.
    pub period_iterations: f64,
}

/// Another job on the machine, now and then.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Iterations from one arrival to the next; the first comes after as many.
    pub every_iterations: u64,
    /// Iterations that it stays.
    pub lasts_iterations: u64,
    /// How many times as long everything takes while it is there.
    pub factor: f64,
}

/// Tasks, and how far their machines differ from what is known of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Suite {
    /// Its name.
    pub name: String,
    /// Standard deviation of the logarithm of each figure of the hardware.
    pub machine_spread: f64,
    /// At least one.
    pub tasks: Vec<Task>,
}

/// Why a suite cannot be used.
#[derive(Debug, Error)]
pub enum SuiteError {
    /// A file that cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// Not TOML, or not a suite.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What was wrong.
        message: String,
    },
    /// A task that cannot be.
    #[error("line {line}: task {task:?}: {message}")]
    Task {
        /// Line of the task, from 1.
        line: usize,
        /// Its name.
        task: String,
        /// What was wrong.
        message: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SuiteFile {
    name: String,
    machine_spread: Spanned<f64>,
    task: Vec<Spanned<TaskFile>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskFile {
    name: String,
    workload: String,
    cluster: String,
    nodes: Option<u32>,
    gpus_per_node: Option<u32>,
    drift: Option<Drift>,
    tenant: Option<Tenant>,
    #[serde(default)]
    default_is_optimal: bool,
}

impl Suite {
    /// The suite of the program.
    ///
    /// # Errors
    /// None that a test would not have found.
    pub fn builtin() -> Result<Self, SuiteError> {
        Self::parse(BUILTIN, Path::new("."))
    }

    /// A suite in a file; what it names lies beside it.
    ///
    /// # Errors
    /// A file that cannot be read or used.
    pub fn load(path: &Path) -> Result<Self, SuiteError> {
        let text = read(path)?;
        Self::parse(&text, path.parent().unwrap_or(Path::new(".")))
    }

    /// A suite whose files lie in `folder`.
    ///
    /// # Errors
    /// With the place of what is wrong.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, SuiteError> {
        let syntax = |start: usize, message: String| {
            let (line, column) = line_and_column(text, start);
            SuiteError::Syntax {
                line,
                column,
                message,
            }
        };
        let file: SuiteFile = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            syntax(start, error.message().to_owned())
        })?;
        let spread = *file.machine_spread.get_ref();
        if !(0.0..=1.0).contains(&spread) {
            let message = format!("machine_spread is {spread}; expected 0 to 1");
            return Err(syntax(file.machine_spread.span().start, message));
        }
        if file.task.is_empty() {
            return Err(syntax(0, "no [[task]]".to_owned()));
        }
        let mut names = BTreeSet::new();
        let mut tasks = Vec::new();
        for task in file.task {
            let (line, _) = line_and_column(text, task.span().start);
            let task = task.into_inner();
            let name = task.name.clone();
            let wrong = |message: String| SuiteError::Task {
                line,
                task: name.clone(),
                message,
            };
            if !names.insert(name.clone()) {
                return Err(wrong("two tasks of this name".to_owned()));
            }
            tasks.push(task.resolve(folder).map_err(wrong)?);
        }
        Ok(Self {
            name: file.name,
            machine_spread: spread,
            tasks,
        })
    }
}

impl TaskFile {
    fn resolve(self, folder: &Path) -> Result<Task, String> {
        let known = WORKLOADS.iter().find(|(name, _)| *name == self.workload);
        let text = match known {
            Some((_, text)) => (*text).to_owned(),
            None => beside(folder, &self.workload, "json").map_err(|error| {
                let names: Vec<&str> = WORKLOADS.iter().map(|(name, _)| *name).collect();
                format!(
                    "workload: {error}; the program's own are {}",
                    names.join(", ")
                )
            })?,
        };
        let mut workload =
            WorkloadSpec::parse(&text).map_err(|e| format!("workload {}: {e}", self.workload))?;
        workload.nodes = self.nodes.unwrap_or(workload.nodes);
        workload.gpus_per_node = self.gpus_per_node.unwrap_or(workload.gpus_per_node);
        let text = match cluster_text(&self.cluster) {
            Some(text) => text.to_owned(),
            None => beside(folder, &self.cluster, "toml").map_err(|e| format!("cluster: {e}"))?,
        };
        let cluster =
            ClusterSpec::parse(&text).map_err(|e| format!("cluster {}: {e}", self.cluster))?;
        let wrong_drift = |d: &Drift| {
            !((0.0..1.0).contains(&d.amplitude) && (1.0..1e9).contains(&d.period_iterations))
        };
        if self.drift.as_ref().is_some_and(wrong_drift) {
            return Err("drift: amplitude is 0 to 1, period_iterations 1 or more".to_owned());
        }
        let wrong_tenant = |t: &Tenant| {
            t.every_iterations == 0
                || t.lasts_iterations >= t.every_iterations
                || !(1.0..100.0).contains(&t.factor)
        };
        if self.tenant.as_ref().is_some_and(wrong_tenant) {
            return Err(
                "tenant: it leaves before it comes again, and factor is 1 or more".to_owned(),
            );
        }
        Ok(Task {
            name: self.name,
            workload,
            cluster,
            drift: self.drift,
            tenant: self.tenant,
            default_is_optimal: self.default_is_optimal,
        })
    }
}

impl Task {
    /// The noise of its job.
    pub fn noise(&self, seed: u64) -> NoiseModel {
        let typical = NoiseModel::typical(seed);
        match self.drift {
            None => typical,
            Some(drift) => NoiseModel {
                drift: drift.amplitude,
                drift_period: drift.period_iterations,
                ..typical
            },
        }
    }

    /// What happens to its job.
    pub fn scenario(&self) -> Scenario {
        let Some(tenant) = self.tenant else {
            return Scenario::default();
        };
        let visits = 1..=TENANCY_ITERATIONS / tenant.every_iterations;
        Scenario {
            events: visits
                .map(|visit| ScenarioEvent::Neighbour {
                    from: visit * tenant.every_iterations,
                    lasts: tenant.lasts_iterations,
                    factor: tenant.factor,
                })
                .collect(),
        }
    }
}

/// The text of a file that a suite names.
fn beside(folder: &Path, name: &str, extension: &str) -> Result<String, String> {
    let is_file = Path::new(name).extension().is_some_and(|e| e == extension);
    if !is_file {
        return Err(format!("{name:?} is neither known nor a .{extension} file"));
    }
    read(&folder.join(name)).map_err(|error| error.to_string())
}

fn read(path: &Path) -> Result<String, SuiteError> {
    std::fs::read_to_string(path).map_err(|error| SuiteError::Read {
        path: path.to_owned(),
        error,
    })
}

/// Line and column, from 1, of a byte of a text.
fn line_and_column(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |n| n + 1);
    let column = before.get(line_start..).unwrap_or("").chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name = \"s\"\nmachine_spread = 0.1\n[[task]]\nname = \"t\"\n\
                        workload = \"autoccl/torch-demo\"\ncluster = \"rtx4090-pcie\"\n";

    fn error(text: &str) -> String {
        Suite::parse(text, Path::new(".")).unwrap_err().to_string()
    }

    #[test]
    fn the_builtin_suite_is_what_its_page_promises() {
        let suite = Suite::builtin().unwrap();
        let count = |of: &dyn Fn(&Task) -> bool| suite.tasks.iter().filter(|t| of(t)).count();
        assert!(suite.tasks.len() >= 14);
        assert!(count(&|t| t.drift.is_some()) >= 2);
        assert!(count(&|t| t.tenant.is_some()) >= 2);
        assert!(count(&|t| t.default_is_optimal) >= 2);
        assert!(count(&|t| t.workload.nodes > 1) >= 4);
        let clusters: BTreeSet<_> = suite.tasks.iter().map(|t| &t.cluster.name).collect();
        assert!(clusters.len() >= 6, "{clusters:?}");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        assert_eq!(Suite::parse(GOOD, Path::new(".")).unwrap().tasks.len(), 1);
        let twice = format!("{GOOD}{}", &GOOD[GOOD.find("[[").unwrap()..]);
        assert!(error(&twice).starts_with("line 7: task \"t\": two tasks"));
        let unknown = GOOD.replace("autoccl/torch-demo", "torch");
        assert!(error(&unknown).starts_with("line 3: task \"t\": workload: \"torch\" is neither"));
        assert!(error(&GOOD.replace("0.1", "7.0")).starts_with("line 2, column 18"));
        assert!(error(&GOOD.replace("cluster", "clutser")).starts_with("line 6"));
        assert!(error("name = \"s\"\nmachine_spread = 0.1\ntask = []\n").contains("no [[task]]"));
        let tenant = "tenant = { every_iterations = 5, lasts_iterations = 5, factor = 1.5 }\n";
        assert!(error(&format!("{GOOD}{tenant}")).contains("leaves before it comes again"));
    }

    #[test]
    fn a_tenant_comes_and_goes() {
        let tenant = "tenant = { every_iterations = 10, lasts_iterations = 3, factor = 1.5 }\n";
        let suite = Suite::parse(&format!("{GOOD}{tenant}"), Path::new(".")).unwrap();
        let scenario = suite.tasks[0].scenario();
        let there: Vec<u64> = (0..35)
            .filter(|&i| scenario.fate(i) != ccl_sim::noise::Fate::Runs(1.0))
            .collect();
        assert_eq!(there, [10, 11, 12, 20, 21, 22, 30, 31, 32]);
    }
}
