//! How each record becomes a row, and a row a record again.

use ccl_core::{ContextSignature, Source};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::place::machine;
use crate::rows::{Found, Kind, Origin, Row};
use crate::signature::Signature;
use crate::{
    Change, Document, EvidenceRecord, ImportanceRecord, MemoryError, RuleRecord, RunRecord,
    ScoreRecord, SurrogateRecord, TrialRecord, contradiction,
};

/// Topic of rules about a variable of the whole job.
pub(crate) const VARIABLE: &str = "variable";
/// Topic of rules about what made a job fail: they say something about calls of any kind.
pub(crate) const FAILURE: &str = "failure";

/// A record that a store keeps.
pub(crate) trait Stored: Serialize + DeserializeOwned {
    /// Its kind.
    const KIND: Kind;

    /// Its name among those of its kind and source.
    fn id(&self) -> String;

    /// Where its figures come from.
    fn origin(&self) -> Origin;

    /// What it is looked up by, the rest left as it is.
    fn fill(&self, row: &mut Row);

    /// What ranking needs to know of it.
    fn signature(&self) -> Result<String, serde_json::Error> {
        Ok(String::new())
    }

    /// The row.
    fn row(&self) -> Result<Row, MemoryError> {
        let id = self.id();
        let malformed = |error| MemoryError::Malformed {
            kind: Self::KIND.word(),
            id: id.clone(),
            error,
        };
        let body = serde_json::to_string(self).map_err(malformed)?;
        let signature = self.signature().map_err(malformed)?;
        let mut row = Row {
            kind: Self::KIND,
            origin: self.origin(),
            id,
            place: String::new(),
            topic: String::new(),
            bucket: 0,
            subject: String::new(),
            opposed: 0,
            signature,
            body,
        };
        self.fill(&mut row);
        Ok(row)
    }

    /// The record of a row.
    fn read(found: &Found) -> Result<Self, MemoryError> {
        serde_json::from_str(&found.body).map_err(|error| MemoryError::Malformed {
            kind: Self::KIND.word(),
            id: found.id.clone(),
            error,
        })
    }
}

impl Stored for RuleRecord {
    const KIND: Kind = Kind::Rule;

    fn signature(&self) -> Result<String, serde_json::Error> {
        Signature::of(self).pack()
    }

    fn id(&self) -> String {
        Self::id(self)
    }

    fn origin(&self) -> Origin {
        self.source.into()
    }

    fn fill(&self, row: &mut Row) {
        row.place = machine(&self.context);
        row.subject = contradiction::subject(self);
        match &self.change {
            Change::Call { key, .. } => {
                row.topic = key.collective.to_string();
                row.bucket = key.bucket.0;
            }
            Change::Variable { .. } => row.topic = VARIABLE.to_owned(),
        }
        if self.failure.is_some() {
            row.topic = FAILURE.to_owned();
        }
    }
}

impl Stored for RunRecord {
    const KIND: Kind = Kind::Run;

    fn id(&self) -> String {
        self.id.clone()
    }

    fn origin(&self) -> Origin {
        self.source.into()
    }

    fn fill(&self, row: &mut Row) {
        row.place = machine(&self.context);
        row.subject.clone_from(&self.id);
    }
}

impl Stored for TrialRecord {
    const KIND: Kind = Kind::Trial;

    fn id(&self) -> String {
        format!("{}/{:06}", self.run_id, self.number)
    }

    fn origin(&self) -> Origin {
        self.source.into()
    }

    fn fill(&self, row: &mut Row) {
        row.topic = self.key.collective.to_string();
        row.bucket = self.key.bucket.0;
        row.subject.clone_from(&self.run_id);
    }
}

impl Stored for EvidenceRecord {
    const KIND: Kind = Kind::Evidence;

    fn id(&self) -> String {
        format!("{}/{:06}", self.run_id, self.evidence.id.0)
    }

    fn origin(&self) -> Origin {
        self.source.into()
    }

    fn fill(&self, row: &mut Row) {
        row.subject.clone_from(&self.run_id);
    }
}

/// Rows of a place, looked up as a whole.
fn at(context: &ContextSignature, run_id: &str, row: &mut Row) {
    row.place = machine(context);
    run_id.clone_into(&mut row.subject);
}

impl Stored for ScoreRecord {
    const KIND: Kind = Kind::Score;

    fn id(&self) -> String {
        Self::id(self)
    }

    fn origin(&self) -> Origin {
        self.source.into()
    }

    fn fill(&self, row: &mut Row) {
        at(&self.context.place, &self.run_id, row);
    }
}

impl Stored for SurrogateRecord {
    const KIND: Kind = Kind::Surrogate;

    fn id(&self) -> String {
        Self::id(self)
    }

    fn origin(&self) -> Origin {
        self.source.into()
    }

    fn fill(&self, row: &mut Row) {
        at(&self.context, &self.run_id, row);
    }
}

impl Stored for ImportanceRecord {
    const KIND: Kind = Kind::Importance;

    fn id(&self) -> String {
        let place = crate::place::in_words(&self.context);
        format!("{place}: {}: {}", self.key, self.parameter)
    }

    fn origin(&self) -> Origin {
        self.source.into()
    }

    fn fill(&self, row: &mut Row) {
        at(&self.context, &self.run_id, row);
    }
}

impl Stored for Document {
    const KIND: Kind = Kind::Document;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn origin(&self) -> Origin {
        Origin(None)
    }

    fn fill(&self, _: &mut Row) {}
}

/// Refuses figures of another source than they would be filed under.
pub(crate) fn check_source(source: Source, record: &impl Stored) -> Result<(), MemoryError> {
    match record.origin() {
        Origin(Some(other)) if other != source => Err(MemoryError::WrongSource {
            id: record.id(),
            found: other,
            expected: source,
        }),
        _ => Ok(()),
    }
}
