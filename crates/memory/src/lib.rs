//! What outlives a run: rules with their provenance, runs and what they saw, what mechanisms' predictions were
//! worth, what was measured of each key's choices, and the knowledge that is there beforehand.
//!
//! [`Memory`] is a database, in a file or on a server; what was simulated, recorded and measured never meets in it.
//! [`Knowledge`] is read-only: pages, cards made from the knob catalogue, and users' documents.

mod address;
mod contradiction;
mod error;
mod filing;
mod generalisation;
mod knowledge;
mod likeness;
mod memory;
mod place;
mod postgres;
mod recall;
mod record;
mod rows;
mod rule;
mod score;
mod signature;
mod sqlite;
mod stored;
mod surrogate;
#[cfg(test)]
mod testing;
mod transfer;

pub use address::{Address, FILE_NAME, Opening};
pub use contradiction::Contradiction;
pub use error::MemoryError;
pub use generalisation::{Generalisation, Reach};
pub use knowledge::{
    Document, EmbedError, Embedder, Found, Hit, Knowledge, KnowledgeError, Passage, PassageKind,
    fenced, fenced_text, visible,
};
#[cfg(feature = "local-embeddings")]
pub use knowledge::{LocalEmbedder, LocalModelError};
pub use memory::Memory;
pub use postgres::PostgresMemory;
pub use recall::{Candidate, Prior, Query, Recalled, rank};
pub use record::{
    EvidenceRecord, ImportanceRecord, Judgement, Lessons, Record, RunRecord, TrialRecord,
};
pub use rule::{Change, FailureRecord, RuleKind, RuleRecord, VersionRange};
pub use score::{ScoreBook, ScoreContext, ScoreRecord};
pub use sqlite::SqliteMemory;
pub use surrogate::{Measured, SurrogateRecord};
pub use transfer::{Imported, read_lines, write_lines};
