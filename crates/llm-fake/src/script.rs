//! What the server is told to do.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use crate::Seen;

/// What a model says in one turn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// Its words.
    pub text: String,
    /// Its thoughts, in the field its provider has for them.
    pub thinking: String,
    /// The tools it calls: name and arguments.
    pub calls: Vec<(String, Value)>,
    /// Whether it was cut off by the limit of tokens.
    pub is_cut: bool,
}

/// What the server does with one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Answers in the provider's format, streamed where that was asked for. It reports 11 tokens of
    /// the question and 7 of the answer.
    Say(Said),
    /// Answers with an HTTP status and an error in the provider's format.
    Status {
        /// The status.
        status: u16,
        /// The `Retry-After` header.
        retry_after: Option<String>,
    },
    /// Answers with this status and body, whatever they are.
    Raw {
        /// The status.
        status: u16,
        /// The body.
        body: String,
    },
    /// Answers, and stops in the middle: a stream ends early, a body is shorter than announced.
    Truncated(Said),
    /// Answers, with a pause after each piece.
    Drip(Said, Duration),
    /// Takes the request and says nothing for as long as the server lives.
    Silence,
    /// Takes the request and closes the connection.
    HangUp,
    /// Answers 401 with the key in the error's text and in a header.
    EchoKey,
}

impl Act {
    /// Says a text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Say(Said {
            text: text.into(),
            ..Said::default()
        })
    }

    /// Says JSON.
    pub fn json(value: &Value) -> Self {
        Self::text(value.to_string())
    }

    /// Answers 200 with this body, whatever it is.
    pub fn raw(body: impl Into<String>) -> Self {
        Self::Raw {
            status: 200,
            body: body.into(),
        }
    }

    /// Calls one tool.
    pub fn call(name: &str, arguments: Value) -> Self {
        Self::Say(Said {
            calls: vec![(name.to_owned(), arguments)],
            ..Said::default()
        })
    }

    /// Fails with a status.
    pub fn status(status: u16) -> Self {
        Self::Status {
            status,
            retry_after: None,
        }
    }
}

/// Chooses what the server does: a list, one act a request and a failed test beyond its end, or a
/// function.
pub struct Script(Box<Model>);

type Model = dyn Fn(&Seen) -> Option<Act> + Send + Sync;

impl Script {
    pub(crate) fn act(&self, seen: &Seen) -> Option<Act> {
        (self.0)(seen)
    }
}

impl From<Vec<Act>> for Script {
    fn from(acts: Vec<Act>) -> Self {
        let acts = Mutex::new(acts.into_iter());
        Self(Box::new(move |_| acts.lock().unwrap().next()))
    }
}

impl<F: Fn(&Seen) -> Act + Send + Sync + 'static> From<F> for Script {
    fn from(model: F) -> Self {
        Self(Box::new(move |seen| Some(model(seen))))
    }
}
