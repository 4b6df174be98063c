//! What outlives a run: rules with their provenance, runs and what they saw, what mechanisms' predictions were
//! worth, what was measured of each key's choices, and the cards that are known beforehand.
//!
//! [`Memory`] is a database, in a file or on a server; what was simulated, recorded and measured never meets in it.
//! [`KnowledgeBase`] is read-only: cards made from the knob catalogue.

mod address;
mod cards;
mod contradiction;
mod error;
mod filing;
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
pub use cards::{Card, KnowledgeBase};
pub use contradiction::Contradiction;
pub use error::MemoryError;
pub use memory::Memory;
pub use postgres::PostgresMemory;
pub use recall::{Candidate, Prior, Query, Recalled, rank};
pub use record::{
    DocumentRecord, EvidenceRecord, ImportanceRecord, Judgement, Lessons, Record, RunRecord,
    TrialRecord,
};
pub use rule::{Change, FailureRecord, Generalisation, RuleKind, RuleRecord, VersionRange};
pub use score::{ScoreBook, ScoreContext, ScoreRecord};
pub use sqlite::SqliteMemory;
pub use surrogate::{Measured, SurrogateRecord};
pub use transfer::{Imported, read_lines, write_lines};
