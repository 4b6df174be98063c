//! One question to a language model with all that went over the wire, and what came of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::{Message, Request, State, ToolCall, Turn};

/// What a model answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// Its words, without its thoughts.
    pub text: String,
    /// Its thoughts, where it shows them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub thinking: String,
    /// The tools it wants called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ToolCall>,
    /// The answer as JSON that fits the request's schema; `None` without a schema, and in a turn
    /// that calls tools instead of answering.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structured: Option<Value>,
    /// What it took, over all attempts.
    pub usage: Usage,
    /// Why it stopped.
    pub finish: Finish,
    /// What its provider wants back with the next question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
}

impl Reply {
    /// The turn to append to the conversation.
    pub fn message(&self) -> Message {
        Message::Assistant(Turn {
            text: self.text.clone(),
            thinking: self.thinking.clone(),
            calls: self.calls.clone(),
            state: self.state.clone(),
        })
    }
}

/// Why a model stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// It was done.
    #[default]
    Stop,
    /// It waits for its tools.
    ToolCalls,
    /// It reached the most tokens; the text is cut.
    Length,
    /// The provider held the answer back.
    Filtered,
    /// The provider's word for something else.
    Other(String),
}

/// Tokens and money of a call. What the provider does not say is `None`, never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the question, cached ones included.
    pub input: Option<u64>,
    /// Tokens of the answer, thoughts included.
    pub output: Option<u64>,
    /// Those of them that were thoughts.
    pub reasoning: Option<u64>,
    /// Those of the question that the provider still had.
    pub cached: Option<u64>,
    /// US dollars, where the price is known.
    pub cost_usd: Option<f64>,
}

impl Usage {
    /// Both together; a part that one of them does not know is not known of the sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let add = |a: Option<u64>, b: Option<u64>| Some(a?.saturating_add(b?));
        Self {
            input: add(self.input, other.input),
            output: add(self.output, other.output),
            reasoning: add(self.reasoning, other.reasoning),
            cached: add(self.cached, other.cached),
            cost_usd: self.cost_usd.zip(other.cost_usd).map(|(a, b)| a + b),
        }
    }
}

/// A part of an answer while it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// More of its words.
    Text(String),
    /// More of its thoughts.
    Thinking(String),
    /// It is asked again: what came so far is void.
    Again,
}

/// Where the parts of an answer go while it comes; without one the answer is not streamed.
pub type Sink<'a> = Option<&'a mut dyn FnMut(&Delta)>;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Failure {
    /// The provider needs a key and there is none; nothing was sent.
    #[error("{provider} needs a key: set {variable}, or name a key file")]
    MissingKey {
        /// The provider.
        provider: String,
        /// The environment variable that is looked at.
        variable: String,
    },
    /// Nobody listens there, or the connection broke before an answer.
    #[error("cannot reach {address}: {reason}")]
    Unreachable {
        /// Where.
        address: String,
        /// What happened.
        reason: String,
    },
    /// The time was up.
    #[error("{address} did not answer: {waited_for} took longer than {limit_ms} ms")]
    TimedOut {
        /// Where.
        address: String,
        /// What was waited for.
        waited_for: String,
        /// The limit, milliseconds.
        limit_ms: u64,
    },
    /// The server answered with an error.
    #[error("{address} answered {status}: {message}")]
    Refused {
        /// Where.
        address: String,
        /// The HTTP status.
        status: u16,
        /// The server's words, the first of them.
        message: String,
    },
    /// The connection ended before the answer did.
    #[error("the answer of {address} ends in the middle: {reason}")]
    Truncated {
        /// Where.
        address: String,
        /// What is missing.
        reason: String,
    },
    /// More came than is taken.
    #[error("the answer of {address} is larger than {limit} bytes")]
    TooLarge {
        /// Where.
        address: String,
        /// The limit, bytes.
        limit: u64,
    },
    /// The server does not speak the provider's format.
    #[error("{address} does not answer in its format: {reason}")]
    Protocol {
        /// Where.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// The answer is not what was asked for, and was not when asked again either.
    #[error("the answer is no JSON of the schema: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
    /// No more may be spent.
    #[error("the budget of {limit} {what} is spent")]
    Budget {
        /// Calls or tokens.
        what: String,
        /// How many there were.
        limit: u64,
    },
    /// What is asked is not what was recorded.
    #[error("the recording does not hold this: {reason}")]
    NotRecorded {
        /// The difference.
        reason: String,
    },
    /// The provider cannot do that.
    #[error("{provider}: {reason}")]
    Unsupported {
        /// The provider.
        provider: String,
        /// What it cannot do.
        reason: String,
    },
}

/// One request over the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Milliseconds from the start of the exchange to the start of this attempt.
    pub at_ms: u64,
    /// Milliseconds to the first byte of the answer's body; `None` when none came.
    pub first_byte_ms: Option<u64>,
    /// Milliseconds to its end or its failure.
    pub total_ms: u64,
    /// The path and query it was sent to.
    pub path: String,
    /// The body that was sent; its compact form is what was sent, byte for byte.
    pub request: Value,
    /// The HTTP status, where one came.
    pub status: Option<u16>,
    /// The body that came back, exactly (what is no UTF-8 in it is replaced by U+FFFD, and the key
    /// by `[key]`); `None` when nothing did.
    pub response: Option<String>,
    /// Why this attempt failed; `None` when it did not.
    pub failure: Option<Failure>,
}

/// One question with everything that went over the wire for it: retries after failures, and the
/// second question when the first answer did not fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// The provider.
    pub provider: String,
    /// The model.
    pub model: String,
    /// Where it was asked.
    pub address: String,
    /// What was asked, in neutral words.
    pub request: Request,
    /// When it was asked, UTC; empty where there is no clock.
    pub asked_at: String,
    /// What went over the wire; empty when nothing was sent.
    pub attempts: Vec<Attempt>,
    /// The answer, or why there is none.
    pub answer: Result<Reply, Failure>,
}

impl Exchange {
    /// An exchange in which nothing went over the wire.
    pub fn unsent(
        provider: impl Into<String>,
        model: impl Into<String>,
        address: impl Into<String>,
        request: &Request,
        answer: Result<Reply, Failure>,
    ) -> Self {
        Self {
            provider: provider.into(),
            model: model.into(),
            address: address.into(),
            request: request.clone(),
            asked_at: String::new(),
            attempts: Vec::new(),
            answer,
        }
    }
}
