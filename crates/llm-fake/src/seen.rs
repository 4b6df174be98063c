//! A request as the server saw it, exactly and in neutral words.

use serde_json::Value;

/// One message in neutral words.
#[derive(Clone, Debug, PartialEq)]
pub enum Spoken {
    /// What the model is told it is.
    System(String),
    /// What the user says.
    User(String),
    /// What the model said: words, and calls as id, name and arguments. Without an id where the format
    /// has none.
    Assistant(String, Vec<(Option<String>, String, Value)>),
    /// What a tool gave back: id, name, content. Without what the format does not say.
    Result(Option<String>, Option<String>, String),
}

/// A request.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Path and query, or the whole address where it was asked as a proxy.
    pub target: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub text: String,
    /// The body as JSON; null where it is none.
    pub body: Value,
    /// The model that is asked.
    pub model: String,
    /// The key that came along.
    pub key: Option<String>,
    /// Whether the answer is to be streamed.
    pub is_streamed: bool,
    /// The conversation.
    pub messages: Vec<Spoken>,
    /// The names of the tools that may be called.
    pub tools: Vec<String>,
    /// The schema the answer is bound to by the provider's own means.
    pub schema: Option<Value>,
}

impl Seen {
    /// A header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// All that was ever said in the conversation, as one text.
    pub fn prompt(&self) -> String {
        let words: Vec<&str> = self
            .messages
            .iter()
            .map(|m| match m {
                Spoken::System(text) | Spoken::User(text) | Spoken::Assistant(text, _) => text,
                Spoken::Result(_, _, content) => content,
            })
            .map(String::as_str)
            .collect();
        words.join("\n")
    }

    /// The last words of the user.
    pub fn last_user(&self) -> Option<&str> {
        self.messages.iter().rev().find_map(|m| match m {
            Spoken::User(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// What tools gave back so far, the earliest first.
    pub fn results(&self) -> Vec<&str> {
        self.messages
            .iter()
            .filter_map(|m| match m {
                Spoken::Result(_, _, content) => Some(content.as_str()),
                _ => None,
            })
            .collect()
    }
}
