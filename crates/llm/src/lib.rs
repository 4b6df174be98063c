//! Language-model providers behind one trait, with every call recorded exactly.
//!
//! A provider takes a [`Request`] (a conversation, tools, the schema of the answer) and gives back an
//! [`Exchange`]: the exact bytes that went out and came back, and either the [`Reply`] or the reason
//! why there is none. Nothing here knows what is asked, and nothing here is needed: a failed exchange
//! is an ordinary value.
//!
//! From the inside out: `wire` holds the four formats as pure functions, `http` sends, `connection`
//! tries again within the limits, [`Client`] makes an answer that fits of what comes.
//!
//! What it does not do: remember conversations, run tools, or choose what is asked.

mod answer;
mod budget;
mod client;
mod connection;
mod embed;
mod exchange;
mod http;
mod key;
mod kind;
mod message;
mod pace;
mod parse;
mod price;
mod reading;
mod record;
mod request;
mod schema;
mod wire;

pub use budget::{Budget, Spent};
pub use client::Client;
pub use connection::Limits;
pub use embed::Embedder;
pub use exchange::{Attempt, Delta, Exchange, Failure, Finish, Reply, Sink, Usage};
pub use key::{HIDDEN, Key, KeyError};
pub use kind::{AddressError, Kind};
pub use message::{Message, State, ToolCall, ToolSpec, Turn};
pub use pace::{Pace, RealPace};
pub use parse::{json_in, split_thinking};
pub use price::Prices;
pub use record::{Recorder, Replayed};
pub use request::{Parameters, Request, ToolChoice};

/// A language model that can be asked.
pub trait Provider: Send + Sync {
    /// The provider's name (`ollama`).
    fn name(&self) -> &str;

    /// The model's name (`deepseek-r1:8b`).
    fn model(&self) -> &str;

    /// Where it is asked.
    fn address(&self) -> &str;

    /// Asks; returns within the provider's time limits whatever happens. With a sink the answer is
    /// streamed, and its parts go there as they come.
    fn ask(&self, request: &Request, sink: Sink<'_>) -> Exchange;
}
