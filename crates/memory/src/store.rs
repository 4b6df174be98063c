//! What outlives a run, on disk: one JSON file per kind and source, replaced as a whole.
//!
//! A run reads and writes the files of its own source only. A file that cannot be read is an
//! error, never an empty memory: what was learnt is not thrown away because of a typing error.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use ccl_core::Source;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::{RuleRecord, ScoreRecord, SurrogateRecord};

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
    /// The file does not hold what its name says.
    #[error("{path}:{line}:{column}: not a list of {what}: {error}",
        path = path.display(), line = error.line(), column = error.column())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong with it.
        error: serde_json::Error,
    },
}

/// A folder of rules, scores and surrogates.
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

    /// The file of one source's rules.
    pub fn file(&self, source: Source) -> PathBuf {
        self.file_of("rules", source)
    }

    /// The file of one source's scores.
    pub fn score_file(&self, source: Source) -> PathBuf {
        self.file_of("scores", source)
    }

    /// The file of what was measured of keys' choices by runs of one source.
    pub fn surrogate_file(&self, source: Source) -> PathBuf {
        self.file_of("surrogates", source)
    }

    fn file_of(&self, what: &str, source: Source) -> PathBuf {
        self.folder.join(format!("{what}.{source}.json"))
    }

    /// The rules of one source, ordered by their ids; none where nothing was learnt yet.
    ///
    /// # Errors
    /// A file that is there and cannot be read as rules.
    pub fn load(&self, source: Source) -> Result<Vec<RuleRecord>, StoreError> {
        read(&self.file(source), "rules")
    }

    /// The mechanisms' scores of one source; none where nothing was scored yet.
    ///
    /// # Errors
    /// A file that is there and cannot be read as scores.
    pub fn load_scores(&self, source: Source) -> Result<Vec<ScoreRecord>, StoreError> {
        read(&self.score_file(source), "scores")
    }

    /// What runs of one source measured of keys' choices; none where nothing was kept yet.
    ///
    /// # Errors
    /// A file that is there and cannot be read as surrogates.
    pub fn load_surrogates(&self, source: Source) -> Result<Vec<SurrogateRecord>, StoreError> {
        read(&self.surrogate_file(source), "surrogates")
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
        self.replace(&self.file(source), &all)
    }

    /// Adds the scores of one run; what was there fades a little. Only scores of `source` are
    /// taken, and a run without any changes nothing.
    ///
    /// # Errors
    /// A file that cannot be read or replaced; it is untouched then.
    pub fn add_scores(&self, source: Source, scores: &[ScoreRecord]) -> Result<(), StoreError> {
        let known = self.load_scores(source)?;
        let mut new = scores.iter().filter(|s| s.source == source).peekable();
        if new.peek().is_none() {
            return Ok(());
        }
        let mut all: BTreeMap<String, ScoreRecord> =
            known.into_iter().map(|s| (s.id(), s.faded())).collect();
        for score in new {
            let before = all
                .get(&score.id())
                .map_or([0.0; 2], |s| [s.held, s.failed]);
            let score = ScoreRecord {
                held: before[0] + score.held,
                failed: before[1] + score.failed,
                ..score.clone()
            };
            all.insert(score.id(), score);
        }
        self.replace(&self.score_file(source), &all)
    }

    /// Adds what one run measured; of a context and key the newest run takes the place of those before it.
    /// Only surrogates of `source` are taken, and a run without any changes nothing.
    ///
    /// # Errors
    /// A file that cannot be read or replaced; it is untouched then.
    pub fn add_surrogates(
        &self,
        source: Source,
        surrogates: &[SurrogateRecord],
    ) -> Result<(), StoreError> {
        let known = self.load_surrogates(source)?;
        let new: Vec<_> = surrogates.iter().filter(|s| s.source == source).collect();
        if new.is_empty() {
            return Ok(());
        }
        let all = known.into_iter().chain(new.into_iter().cloned());
        let all: BTreeMap<String, SurrogateRecord> = all.map(|s| (s.id(), s)).collect();
        self.replace(&self.surrogate_file(source), &all)
    }

    fn replace<T: Serialize>(
        &self,
        path: &Path,
        all: &BTreeMap<String, T>,
    ) -> Result<(), StoreError> {
        let io = |error| StoreError::Io {
            path: path.to_owned(),
            error,
        };
        std::fs::create_dir_all(&self.folder).map_err(io)?;
        let all: Vec<_> = all.values().collect();
        let text = serde_json::to_vec_pretty(&all).map_err(|e| io(e.into()))?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder).map_err(io)?;
        file.write_all(&text)
            .and_then(|()| file.as_file().sync_all())
            .map_err(io)?;
        file.persist(path).map_err(|e| io(e.error))?;
        Ok(())
    }
}

fn read<T: DeserializeOwned>(path: &Path, what: &'static str) -> Result<Vec<T>, StoreError> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            let path = path.to_owned();
            return Err(StoreError::Io { path, error });
        }
    };
    serde_json::from_slice(&text).map_err(|error| StoreError::Malformed {
        path: path.to_owned(),
        what,
        error,
    })
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

    fn score(source: Source, failed: f64) -> ScoreRecord {
        ScoreRecord {
            mechanism: "pipeline-fill".to_owned(),
            context: crate::ScoreContext {
                place: rule(source).context,
                collective: Collective::AllGather,
                bottleneck: ccl_core::Bottleneck::IntraNodeLink,
            },
            held: 0.0,
            failed,
            source,
            run_id: "run".to_owned(),
        }
    }

    #[test]
    fn scores_add_up_and_fade_so_that_a_silent_mechanism_is_heard_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = RuleStore::new(folder.path());
        let source = Source::Simulated;
        store.add_scores(source, &[score(source, 5.0)]).unwrap();
        store.add_scores(source, &[score(source, 5.0)]).unwrap();
        let known = store.load_scores(source).unwrap();
        assert_eq!(known.len(), 1);
        assert!((known[0].failed - 9.0).abs() < 1e-12);
        let trust = || {
            let book = crate::ScoreBook::new(store.load_scores(source).unwrap());
            book.trust("pipeline-fill", &score(source, 0.0).context)
        };
        let before = trust();
        // Later runs in which it was not asked.
        for _ in 0..8 {
            let other = ScoreRecord {
                mechanism: "starved-link".to_owned(),
                ..score(source, 1.0)
            };
            store.add_scores(source, &[other]).unwrap();
        }
        assert!(before < 0.1 && trust() > 0.2, "{before} to {}", trust());
        store
            .add_scores(source, &[score(Source::Measured, 1.0)])
            .unwrap();
        assert_eq!(store.load_scores(Source::Measured).unwrap(), []);
    }

    fn surrogate(run_id: &str, workload: &str, log_ratio: f64) -> SurrogateRecord {
        let RuleRecord {
            context,
            key,
            choice,
            source,
            ..
        } = rule(Source::Simulated);
        SurrogateRecord {
            context: ContextSignature {
                workload: workload.to_owned(),
                ..context
            },
            key,
            overlapped: false,
            untuned: None,
            observations: vec![crate::Measured {
                choice,
                log_ratio,
                variance: 1e-4,
            }],
            source,
            run_id: run_id.to_owned(),
        }
    }

    #[test]
    fn of_a_context_and_key_the_newest_run_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = RuleStore::new(folder.path());
        let source = Source::Simulated;
        let first = [surrogate("1", "a", -0.1), surrogate("1", "b", -0.2)];
        store.add_surrogates(source, &first).unwrap();
        let second = surrogate("2", "a", -0.3);
        store
            .add_surrogates(source, std::slice::from_ref(&second))
            .unwrap();
        let known = store.load_surrogates(source).unwrap();
        assert_eq!(known, [second.clone(), first[1].clone()]);
        // What was simulated never reaches a job, and a run without any changes nothing.
        store.add_surrogates(Source::Measured, &[second]).unwrap();
        assert_eq!(store.load_surrogates(Source::Measured).unwrap(), []);
        assert!(!store.surrogate_file(Source::Measured).exists());
    }

    #[test]
    fn a_damaged_file_of_surrogates_is_an_error_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let store = RuleStore::new(folder.path());
        let path = store.surrogate_file(Source::Simulated);
        std::fs::write(&path, "[{\"key\": 1}]").unwrap();
        let added = store.add_surrogates(Source::Simulated, &[surrogate("1", "a", 0.0)]);
        let error = added.unwrap_err().to_string();
        assert!(
            error.contains("surrogates.simulated.json:1:")
                && error.contains("not a list of surrogates"),
            "{error}"
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "[{\"key\": 1}]");
    }

    #[test]
    fn iterations_are_compared_with_iterations_of_the_same_job_only() {
        let record = surrogate("1", "a", -0.1);
        let other = surrogate("1", "b", -0.1).context;
        let applies = |r: &SurrogateRecord, context, overlapped| {
            r.applies_to(context, r.key, overlapped, None)
        };
        assert!(applies(&record, &other, false));
        assert!(!applies(&record, &record.context, true));
        let hidden = SurrogateRecord {
            overlapped: true,
            ..record.clone()
        };
        assert!(applies(&hidden, &hidden.context, true) && !applies(&hidden, &other, true));
        let own = Some(record.observations[0].choice);
        assert!(!record.applies_to(&record.context, record.key, false, own));
    }
}
