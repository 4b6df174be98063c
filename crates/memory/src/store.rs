//! The rules on disk: one JSON file per source, replaced as a whole.
//!
//! A run reads and writes the file of its own source only. A file that cannot be read is an
//! error, never an empty memory: what was learnt is not thrown away because of a typing error.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use ccl_core::Source;
use thiserror::Error;

use crate::RuleRecord;

/// Why the store cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file system said no.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        error: std::io::Error,
    },
    /// The file is no list of rules.
    #[error("{path}:{line}:{column}: not a list of rules: {error}",
        path = path.display(), line = error.line(), column = error.column())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: serde_json::Error,
    },
}

/// A folder of rules.
#[derive(Clone, Debug)]
pub struct RuleStore {
    folder: PathBuf,
}

impl RuleStore {
    /// The store in this folder, which need not exist yet.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// The file of one source.
    pub fn file(&self, source: Source) -> PathBuf {
        self.folder.join(format!("rules.{source}.json"))
    }

    /// The rules of one source, ordered by their ids; none where nothing was learnt yet.
    ///
    /// # Errors
    /// A file that is there and cannot be read as rules.
    pub fn load(&self, source: Source) -> Result<Vec<RuleRecord>, StoreError> {
        let path = self.file(source);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::Io { path, error }),
        };
        serde_json::from_slice(&text).map_err(|error| StoreError::Malformed { path, error })
    }

    /// Adds rules; one that is there already is confirmed and takes the newer figures. Only
    /// rules of `source` are taken.
    ///
    /// # Errors
    /// A file that cannot be read or replaced; it is untouched then.
    pub fn add(&self, source: Source, rules: &[RuleRecord]) -> Result<(), StoreError> {
        let mut all: BTreeMap<String, RuleRecord> = self
            .load(source)?
            .into_iter()
            .map(|r| (r.id(), r))
            .collect();
        for rule in rules.iter().filter(|r| r.source == source) {
            let before = all.get(&rule.id()).map_or(0, |r| r.confirmed);
            let rule = RuleRecord {
                confirmed: before + rule.confirmed,
                ..rule.clone()
            };
            all.insert(rule.id(), rule);
        }
        let path = self.file(source);
        let io = |error| StoreError::Io {
            path: path.clone(),
            error,
        };
        std::fs::create_dir_all(&self.folder).map_err(io)?;
        let all: Vec<_> = all.into_values().collect();
        let text = serde_json::to_vec_pretty(&all).map_err(|e| io(e.into()))?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder).map_err(io)?;
        file.write_all(&text)
            .and_then(|()| file.as_file().sync_all())
            .map_err(io)?;
        file.persist(&path).map_err(|e| io(e.error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ccl_core::{
        Algorithm, Choice, ClusterSpec, Collective, CommShape, ContextSignature, Interval,
        Protocol, TaskKey, cluster_text,
    };

    use super::*;
    use crate::RuleKind;

    fn rule(source: Source) -> RuleRecord {
        let cluster = ClusterSpec::parse(cluster_text("a40-pcie-8gpu").unwrap()).unwrap();
        RuleRecord {
            kind: RuleKind::Positive,
            context: ContextSignature::of(&cluster, "phi2-2b", 1, 8),
            key: TaskKey::of(CommShape::new(8, 1), Collective::AllGather, 80 << 20),
            choice: Choice::new(Algorithm::Ring, Protocol::Simple).with_channels(8),
            against: None,
            ratio: Some(Interval {
                median: 0.8,
                ci95: [0.78, 0.83],
            }),
            failure: None,
            pairs: 16,
            mechanism: None,
            source,
            run_id: "run".to_owned(),
            confirmed: 1,
        }
    }

    #[test]
    fn what_was_simulated_stays_with_what_was_simulated() {
        let folder = tempfile::tempdir().unwrap();
        let store = RuleStore::new(folder.path());
        store
            .add(Source::Measured, &[rule(Source::Simulated)])
            .unwrap();
        assert_eq!(store.load(Source::Measured).unwrap(), []);
        store
            .add(Source::Simulated, &[rule(Source::Simulated)])
            .unwrap();
        assert_eq!(store.load(Source::Measured).unwrap(), []);
        assert_eq!(store.load(Source::Simulated).unwrap().len(), 1);
    }

    #[test]
    fn a_rule_met_again_is_confirmed() {
        let folder = tempfile::tempdir().unwrap();
        let store = RuleStore::new(folder.path());
        for _ in 0..3 {
            store
                .add(Source::Simulated, &[rule(Source::Simulated)])
                .unwrap();
        }
        let rules = store.load(Source::Simulated).unwrap();
        assert_eq!((rules.len(), rules[0].confirmed), (1, 3));
        assert!(rules[0].statement().contains("20.0 % faster [17.0, 22.0]"));
    }

    #[test]
    fn a_broken_file_is_an_error_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let store = RuleStore::new(folder.path());
        std::fs::write(store.file(Source::Simulated), "[{]").unwrap();
        let error = store
            .add(Source::Simulated, &[rule(Source::Simulated)])
            .unwrap_err();
        assert!(error.to_string().contains(":1:3:"), "{error}");
        assert_eq!(
            std::fs::read_to_string(store.file(Source::Simulated)).unwrap(),
            "[{]"
        );
    }
}
