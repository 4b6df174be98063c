//! What outlives a run: rules with their provenance, what mechanisms' predictions were worth, what was
//! measured of each key's choices, and the cards that are known beforehand.
//!
//! [`RuleStore`] is a folder of files, one per source of figures, so that nothing simulated can
//! ever reach a real run. [`KnowledgeBase`] is read-only: cards made from the knob catalogue.

mod cards;
mod rule;
mod score;
mod store;
mod surrogate;

pub use cards::{Card, KnowledgeBase};
pub use rule::{FailureRecord, RuleKind, RuleRecord};
pub use score::{ScoreBook, ScoreContext, ScoreRecord};
pub use store::{RuleStore, StoreError};
pub use surrogate::{Measured, SurrogateRecord};
