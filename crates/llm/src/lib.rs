//! Language-model providers behind one trait, with every call recorded exactly.
//!
//! A provider takes a request (system text, user text, the schema of the answer) and gives back an
//! [`Exchange`]: the exact bytes that went out and came back, and either the answer as JSON or the
//! reason why there is none. Nothing here knows what is asked, and nothing here is needed: a
//! failed exchange is an ordinary value.

mod exchange;
mod ollama;

pub use exchange::{Exchange, Failure, Request};
pub use ollama::Ollama;

/// A language model that can be asked.
pub trait Provider: Send + Sync {
    /// The provider's name (`ollama`).
    fn name(&self) -> &str;

    /// The model's name (`deepseek-r1:8b`).
    fn model(&self) -> &str;

    /// Asks once; returns within the provider's time limits whatever happens.
    fn ask(&self, request: &Request) -> Exchange;
}
