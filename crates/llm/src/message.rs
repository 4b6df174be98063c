//! A conversation, in words that all providers share.
//!
//! What only one provider understands (signed thoughts that it wants back unchanged) travels along
//! as an opaque [`State`]; everything else is rewritten into the provider's own format by `wire`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// Who the model is and how it answers. Wherever it stands, it is told to the model first.
    System {
        /// The words.
        text: String,
    },
    /// What it is asked.
    User {
        /// The words.
        text: String,
    },
    /// What it said.
    Assistant(Turn),
    /// What a tool that it called gave back.
    ToolResult {
        /// The call it answers.
        call_id: String,
        /// The tool.
        name: String,
        /// What came out, as text (JSON is text).
        content: String,
        /// Whether the tool failed, so that `content` is the reason.
        is_error: bool,
    },
}

impl Message {
    /// A system message.
    pub fn system(text: impl Into<String>) -> Self {
        Self::System { text: text.into() }
    }

    /// A user's message.
    pub fn user(text: impl Into<String>) -> Self {
        Self::User { text: text.into() }
    }

    /// The result of a call that succeeded.
    pub fn result(call: &ToolCall, content: impl Into<String>) -> Self {
        Self::answer(call, content.into(), false)
    }

    /// The reason why a call failed.
    pub fn error(call: &ToolCall, reason: impl Into<String>) -> Self {
        Self::answer(call, reason.into(), true)
    }

    fn answer(call: &ToolCall, content: String, is_error: bool) -> Self {
        Self::ToolResult {
            call_id: call.id.clone(),
            name: call.name.clone(),
            content,
            is_error,
        }
    }
}

/// What a model said in one turn. Every call in it must be answered by one
/// [`Message::ToolResult`] before the model is asked again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Its words, without its thoughts.
    pub text: String,
    /// Its thoughts, where it shows them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub thinking: String,
    /// The tools it wants called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ToolCall>,
    /// What its provider wants back unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
}

/// A tool the model wants called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Names the call within its conversation.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments: an object, or, where the model wrote no JSON, a string with what it wrote.
    pub arguments: Value,
}

/// A turn as its provider wrote it, for the provider alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The wire format it belongs to; any other ignores it.
    pub wire: String,
    /// The content, byte for byte as JSON.
    pub content: Value,
}

/// A tool the model may call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Letters, digits, `_` and `-`, at most 64 characters (what all providers accept).
    pub name: String,
    /// What it does and when to use it.
    pub description: String,
    /// JSON Schema of its arguments, an object.
    pub parameters: Value,
}
