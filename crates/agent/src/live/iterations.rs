//! The job's own iteration times, as lines of JSON in a file.
//!
//! `{"iteration": 12, "iteration_time_ms": 34.5, "ended_us": 1764000000000000}`, one line each, the last
//! field microseconds since 1970; `"source": "simulated"` where a model made the figure. Other lines
//! are a job's own business and passed over.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;

/// One iteration, as the job reported it.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Iteration {
    /// Its number.
    #[serde(rename = "iteration")]
    pub number: u64,
    /// How long it took, milliseconds.
    #[serde(rename = "iteration_time_ms")]
    pub time_ms: f64,
    /// When it ended, microseconds since 1970.
    pub ended_us: u64,
    /// Whether a model made the figure.
    #[serde(default, rename = "source", deserialize_with = "is_simulated")]
    pub is_simulated: bool,
}

fn is_simulated<'d, D: serde::Deserializer<'d>>(source: D) -> Result<bool, D::Error> {
    String::deserialize(source).map(|source| source == "simulated")
}

/// A file that grows.
#[derive(Debug)]
pub struct IterationFile {
    file: BufReader<File>,
    /// A line that is not ended yet.
    begun: String,
}

impl IterationFile {
    /// Opens the file, from its beginning.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = BufReader::new(File::open(path)?);
        let begun = String::new();
        Ok(Self { file, begun })
    }

    /// The next iteration, if its line is there.
    ///
    /// # Errors
    /// What the file system says.
    pub fn poll(&mut self) -> io::Result<Option<Iteration>> {
        loop {
            if self.file.read_line(&mut self.begun)? == 0 || !self.begun.ends_with('\n') {
                return Ok(None);
            }
            let line = std::mem::take(&mut self.begun);
            let parsed = serde_json::from_str::<Iteration>(line.trim()).ok();
            let sane = |i: &Iteration| i.time_ms.is_finite() && i.time_ms > 0.0;
            if let Some(iteration) = parsed.filter(sane) {
                return Ok(Some(iteration));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_are_read_as_they_come_and_others_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("iterations.jsonl");
        let mut writer = File::create(&path).unwrap();
        let mut reader = IterationFile::open(&path).unwrap();
        assert_eq!(reader.poll().unwrap(), None);
        write!(
            writer,
            "loss 3.2\n{{\"iteration\": 1, \"iteration_time_ms\": -1, "
        )
        .unwrap();
        writeln!(
            writer,
            "\"ended_us\": 5}}\n{{\"iteration\": 2, \"iteration_time_ms\": 3.5,"
        )
        .unwrap();
        assert_eq!(reader.poll().unwrap(), None);
        write!(writer, "{{\"iteration\": 3, \"iteration_time_ms\": 4.5,").unwrap();
        assert_eq!(reader.poll().unwrap(), None);
        writeln!(
            writer,
            " \"ended_us\": 7, \"source\": \"simulated\", \"loss\": 1}}"
        )
        .unwrap();
        let expected = Iteration {
            number: 3,
            time_ms: 4.5,
            ended_us: 7,
            is_simulated: true,
        };
        assert_eq!(reader.poll().unwrap(), Some(expected));
        assert_eq!(reader.poll().unwrap(), None);
    }
}
