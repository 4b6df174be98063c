//! Reads of a run directory what a training set needs. A run that was killed is read as far as it came.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ccl_core::{ClusterSpec, ContextSignature, Source, TraceEvent, TraceLine, WorkloadSpec};
use ccl_llm::Exchange;
use ccl_memory::RuleRecord;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// A run as it lies on disk.
#[derive(Clone, Debug)]
pub struct RecordedRun {
    /// Its name.
    pub run_id: String,
    /// Where its figures come from.
    pub source: Source,
    /// NCCL's version there.
    pub nccl_version: String,
    /// Most candidates that it might try.
    pub budget: u32,
    /// Where it was.
    pub context: ContextSignature,
    /// Every event.
    pub trace: Vec<TraceLine>,
    /// What it had heard of earlier runs.
    pub remembered: RecordedMemory,
    /// Exchanges with a language model, by number.
    pub exchanges: BTreeMap<u32, Exchange>,
}

/// What a run had heard, as its `memory.json` has it; what is not needed here is left out.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RecordedMemory {
    /// Changes that helped.
    pub rules: Vec<RecordedRule>,
    /// What made jobs fail.
    pub failures: Vec<RuleRecord>,
}

/// A rule that was recalled.
#[derive(Clone, Debug, Deserialize)]
pub struct RecordedRule {
    /// The rule.
    pub rule: RuleRecord,
    /// What it was worth there.
    pub score: f64,
    /// Why so much.
    pub reasons: String,
}

/// A run directory that cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file system said no.
    #[error("cannot read {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// Contents that are not what they should be.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line where there are lines.
        reason: String,
    },
}

impl RecordedRun {
    /// Reads a run directory.
    ///
    /// # Errors
    /// A file that is missing, or was changed, or is of another version. A last line without its end is none: it was
    /// being written when the run was killed.
    pub fn read(folder: &Path) -> Result<Self, ReadError> {
        let path = folder.join("trace.jsonl");
        let trace = trace(&path)?;
        let begun = trace.iter().find_map(|line| match &line.event {
            TraceEvent::RunStarted {
                run_id,
                source,
                nccl_version,
                budget,
                ..
            } => Some((run_id.clone(), *source, nccl_version.clone(), *budget)),
            _ => None,
        });
        let Some((run_id, source, nccl_version, budget)) = begun else {
            return Err(malformed(&path, "it does not say which run it is of"));
        };
        Ok(Self {
            run_id,
            source,
            nccl_version,
            budget,
            context: context(folder)?,
            trace,
            remembered: remembered(&folder.join("memory.json"))?,
            exchanges: exchanges(&folder.join("llm"))?,
        })
    }
}

fn malformed(path: &Path, reason: impl ToString) -> ReadError {
    ReadError::Malformed {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

fn text(path: &Path) -> Result<String, ReadError> {
    fs::read_to_string(path).map_err(|error| ReadError::Io {
        path: path.to_owned(),
        error,
    })
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T, ReadError> {
    serde_json::from_str(&text(path)?).map_err(|error| malformed(path, error))
}

fn trace(path: &Path) -> Result<Vec<TraceLine>, ReadError> {
    let text = text(path)?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.lines().enumerate().map(|(index, line)| {
        let read = serde_json::from_str(line);
        read.map_err(|error| malformed(path, format!("line {}: {error}", index + 1)))
    });
    lines.collect()
}

fn context(folder: &Path) -> Result<ContextSignature, ReadError> {
    let path = folder.join("workload.json");
    let workload = WorkloadSpec::parse(&text(&path)?).map_err(|error| malformed(&path, error))?;
    let path = folder.join("cluster.toml");
    let cluster = ClusterSpec::parse(&text(&path)?).map_err(|error| malformed(&path, error))?;
    let (nodes, ranks) = (workload.nodes, workload.gpus_per_node);
    Ok(ContextSignature::of(&cluster, &workload.name, nodes, ranks))
}

/// What had been heard; a run that heard nothing need not say so.
fn remembered(path: &Path) -> Result<RecordedMemory, ReadError> {
    match path.exists() {
        true => json(path),
        false => Ok(RecordedMemory::default()),
    }
}

fn exchanges(folder: &Path) -> Result<BTreeMap<u32, Exchange>, ReadError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        other => other.map_err(|error| ReadError::Io {
            path: folder.to_owned(),
            error,
        })?,
    };
    let mut found = BTreeMap::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let stem = path.file_stem().and_then(|s| s.to_str());
        if let Some(number) = stem.and_then(|s| s.parse().ok()) {
            found.insert(number, json(&path)?);
        }
    }
    Ok(found)
}
