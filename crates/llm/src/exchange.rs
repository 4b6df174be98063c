//! One call to a language model, as it was.

use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Request {
    /// What for, in a few words.
    pub purpose: String,
    /// Who the model is and how it answers.
    pub system: String,
    /// The question.
    pub user: String,
    /// JSON Schema of the answer.
    pub schema: Value,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Failure {
    /// Nobody listens there, or not within the time.
    #[error("cannot reach {address}: {reason}")]
    Unreachable {
        /// Where.
        address: String,
        /// What happened.
        reason: String,
    },
    /// The server answered with an error.
    #[error("{address} answered {status}: {message}")]
    Refused {
        /// Where.
        address: String,
        /// The HTTP status.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// The answer is not what was asked for.
    #[error("the answer is no JSON of the schema: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
}

/// A call with everything that went over the wire.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exchange {
    /// The provider.
    pub provider: String,
    /// The model.
    pub model: String,
    /// Where it was asked.
    pub address: String,
    /// What for.
    pub purpose: String,
    /// The body that was sent.
    pub request: Value,
    /// The body that came back, unchanged; `None` when nothing did.
    pub response: Option<String>,
    /// The answer, or why there is none.
    pub answer: Result<Value, Failure>,
}

/// The JSON of a model's text: reasoning models think aloud first, and some wrap the answer in a
/// code fence.
///
/// # Errors
/// When no JSON is left.
pub(crate) fn json_of(text: &str) -> Result<Value, Failure> {
    let after_thinking = text
        .rsplit_once("</think>")
        .map_or(text, |(_, rest)| rest)
        .trim();
    let unfenced = after_thinking
        .strip_prefix("```json")
        .or_else(|| after_thinking.strip_prefix("```"))
        .and_then(|t| t.strip_suffix("```"))
        .unwrap_or(after_thinking);
    serde_json::from_str(unfenced.trim()).map_err(|error| Failure::Malformed {
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_found_behind_thoughts_and_fences() {
        let expected = serde_json::json!({"a": 1});
        for text in [
            "{\"a\": 1}",
            "<think>{\"a\": 2}?</think>\n{\"a\": 1}",
            "```json\n{\"a\": 1}\n```",
            "<think>hm</think>```\n{\"a\":1}```",
        ] {
            assert_eq!(json_of(text).unwrap(), expected, "{text}");
        }
        assert!(matches!(
            json_of("I would say 1"),
            Err(Failure::Malformed { .. })
        ));
    }
}
