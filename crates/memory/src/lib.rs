//! What outlives a run: rules with their provenance, what mechanisms' predictions were worth, what was
//! measured of each key's choices, and the knowledge that is there beforehand.
//!
//! [`RuleStore`] is a folder of files, one per source of figures, so that nothing simulated can
//! ever reach a real run. [`Knowledge`] is read-only: pages, cards made from the knob catalogue, and users'
//! documents.

mod knowledge;
mod rule;
mod score;
mod store;
mod surrogate;

pub use knowledge::{
    Document, EmbedError, Embedder, Found, Hit, Knowledge, KnowledgeError, Passage, PassageKind,
    fenced, store_documents, stored_documents,
};
#[cfg(feature = "local-embeddings")]
pub use knowledge::{LocalEmbedder, LocalModelError};
pub use rule::{FailureRecord, RuleKind, RuleRecord};
pub use score::{ScoreBook, ScoreContext, ScoreRecord};
pub use store::{RuleStore, StoreError};
pub use surrogate::{Measured, SurrogateRecord};
