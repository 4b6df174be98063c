//! The run directory: complete on its own, readable after a kill at any moment.
//!
//! Whole files are written beside their place and renamed into it; `trace.jsonl`,
//! `decisions.jsonl` and `refused.jsonl` grow by whole lines. Nothing else knows the layout.
//!
//! ```text
//! artifacts/<run_id>/
//!   run.json         how it was called: arguments, seed, versions
//!   workload.json    the input, byte for byte
//!   cluster.toml     the input, byte for byte
//!   trace.jsonl      every event with its time
//!   decisions.jsonl  the events one seed must reproduce, without times
//!   refused.jsonl    candidates that compile, validation or guard turned down, with the reason
//!   llm/0001.json    every call to a language model: exact request and response
//!   best/            the configuration, ready to use
//!   summary.json     the result; its absence means that the run did not end
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ccl_core::{TraceEvent, TraceLine};
use serde::Serialize;

use crate::trace::TraceSink;

/// An open run directory.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    trace: File,
    decisions: File,
    refused: File,
}

impl RunDir {
    /// Creates `artifacts/run_id`.
    ///
    /// # Errors
    /// When the folder cannot be created, or a run of that name is there already. Nothing is left
    /// behind then.
    pub fn create(artifacts: &Path, run_id: &str) -> io::Result<Self> {
        fs::create_dir_all(artifacts)?;
        let path = artifacts.join(run_id);
        fs::create_dir(&path)?;
        let open = |name: &str| {
            OpenOptions::new()
                .create_new(true)
                .append(true)
                .open(path.join(name))
        };
        let opened = (|| {
            Ok((
                open("trace.jsonl")?,
                open("decisions.jsonl")?,
                open("refused.jsonl")?,
            ))
        })();
        match opened {
            Ok((trace, decisions, refused)) => Ok(Self {
                path,
                trace,
                decisions,
                refused,
            }),
            Err(error) => {
                // Best effort: the error that matters is the first one.
                let _ = fs::remove_dir_all(&path);
                Err(error)
            }
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a whole file, all of it or nothing.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        write_atomically(&self.path.join(name), contents)
    }

    /// Writes a value as indented JSON, all of it or nothing.
    ///
    /// # Errors
    /// What the file system says, or a value that JSON cannot hold.
    pub fn write_json<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(value)?;
        text.push(b'\n');
        self.write(name, &text)
    }
}

/// Writes a file through a temporary one beside it and a rename.
///
/// # Errors
/// What the file system says; the target is untouched then.
pub fn write_atomically(target: &Path, contents: &[u8]) -> io::Result<()> {
    let folder = target.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let name = target
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or("file");
    let temporary = folder.join(format!(".{name}.{}.part", std::process::id()));
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(contents).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, target));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// One whole line in one write, so that a reader never sees half of it unless the disk is full.
fn append_line<T: Serialize>(file: &mut File, value: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    file.write_all(&line)
}

impl TraceSink for RunDir {
    fn write(&mut self, line: &TraceLine) -> io::Result<()> {
        append_line(&mut self.trace, line)?;
        if line.event.is_decision() {
            append_line(&mut self.decisions, &line.event)?;
        }
        if matches!(line.event, TraceEvent::Refused { .. }) {
            append_line(&mut self.refused, &line.event)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ccl_core::Phase;

    use super::*;

    #[test]
    fn a_second_run_of_one_name_is_refused_and_leaves_the_first_alone() {
        let folder = tempfile::tempdir().unwrap();
        let first = RunDir::create(folder.path(), "run").unwrap();
        first.write("summary.json", b"{}").unwrap();
        let again = RunDir::create(folder.path(), "run").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(first.path().join("summary.json")).unwrap(), b"{}");
    }

    #[test]
    fn decisions_carry_no_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut run = RunDir::create(folder.path(), "run").unwrap();
        for at_ms in [1, 99] {
            let event = TraceEvent::PhaseStarted {
                phase: Phase::Online,
            };
            TraceSink::write(
                &mut run,
                &TraceLine {
                    sequence: 0,
                    at_ms,
                    event,
                },
            )
            .unwrap();
        }
        let text = fs::read_to_string(run.path().join("decisions.jsonl")).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], lines[1]);
        assert_eq!(lines[0], r#"{"event":"phase_started","phase":"online"}"#);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.json");
        write_atomically(&target, b"old").unwrap();
        fs::create_dir(folder.path().join("dir")).unwrap();
        assert!(write_atomically(&folder.path().join("dir"), b"new").is_err());
        assert_eq!(fs::read(&target).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
