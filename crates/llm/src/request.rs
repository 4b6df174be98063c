//! What is asked of a model.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Message, ToolSpec};

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// What for, in a few words; it is recorded and not sent.
    pub purpose: String,
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// The tools the model may call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolSpec>,
    /// Whether it may, must or must not call them.
    #[serde(default)]
    pub tool_choice: ToolChoice,
    /// JSON Schema of the answer, an object; `None` leaves the answer free. A turn that calls tools
    /// is no answer yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// How it answers.
    #[serde(default)]
    pub parameters: Parameters,
}

/// Whether the model calls tools.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// As it likes.
    #[default]
    Auto,
    /// Not now.
    None,
    /// At least one. Ollama has no such switch and takes it as `Auto`.
    Required,
}

/// How a model answers. What is not given is left to the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// Most tokens of the answer, thoughts included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// 0 (always the likeliest word) to 1. Models that reject it are not sent it (see `wire`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// For the model's random choices. Claude has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Whether a model that can think does so first. Only Ollama has the switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub think: Option<bool>,
}

impl Request {
    /// One question to a model that is told who it is.
    pub fn new(
        purpose: impl Into<String>,
        system: impl Into<String>,
        user: impl Into<String>,
    ) -> Self {
        Self {
            purpose: purpose.into(),
            messages: vec![Message::system(system), Message::user(user)],
            ..Self::default()
        }
    }

    /// The same with a schema of the answer.
    #[must_use]
    pub fn with_schema(mut self, schema: Value) -> Self {
        self.schema = Some(schema);
        self
    }

    /// The same with tools.
    #[must_use]
    pub fn with_tools(mut self, tools: Vec<ToolSpec>) -> Self {
        self.tools = tools;
        self
    }

    /// The same with parameters.
    #[must_use]
    pub fn with_parameters(mut self, parameters: Parameters) -> Self {
        self.parameters = parameters;
        self
    }

    /// The system messages as one text.
    pub fn system(&self) -> String {
        let texts: Vec<&str> = self
            .messages
            .iter()
            .filter_map(|m| match m {
                Message::System { text } => Some(text.as_str()),
                _ => None,
            })
            .collect();
        texts.join("\n\n")
    }

    /// The tools that may be called in this turn.
    pub fn callable(&self) -> &[ToolSpec] {
        match self.tool_choice {
            ToolChoice::None => &[],
            ToolChoice::Auto | ToolChoice::Required => &self.tools,
        }
    }
}
