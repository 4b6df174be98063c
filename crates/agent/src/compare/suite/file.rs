//! A suite as a file: read, checked, and what it names resolved.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ccl_core::{ClusterSpec, WorkloadSpec, cluster_text};
use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

use super::workloads::WORKLOADS;
use super::{Drift, Suite, Task, Tenant};

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

/// The text of a file that a suite names.
fn beside(folder: &Path, name: &str, extension: &str) -> Result<String, String> {
    let is_file = Path::new(name).extension().is_some_and(|e| e == extension);
    if !is_file {
        return Err(format!("{name:?} is neither known nor a .{extension} file"));
    }
    read(&folder.join(name)).map_err(|error| error.to_string())
}

pub(super) fn read(path: &Path) -> Result<String, SuiteError> {
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
