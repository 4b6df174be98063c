//! The formats the server speaks.

mod claude;
mod gemini;
mod ollama;
mod openai;

use serde_json::Value;

use crate::{Said, Seen};

/// Tokens of the question that are reported.
const INPUT_TOKENS: u64 = 11;
/// Tokens of the answer that are reported.
const OUTPUT_TOKENS: u64 = 7;

/// Whose format is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Ollama's own.
    Ollama,
    /// OpenAI's.
    OpenAi,
    /// The same as others speak it: no key needed, thoughts in `reasoning_content`, no strict schemas,
    /// no schema beside tools.
    OpenAiCompatible,
    /// Anthropic's.
    Claude,
    /// Google's.
    Gemini,
}

impl Wire {
    pub(crate) fn format(self) -> Box<dyn Format> {
        match self {
            Self::Ollama => Box::new(ollama::Ollama),
            Self::OpenAi => Box::new(openai::OpenAi { is_original: true }),
            Self::OpenAiCompatible => Box::new(openai::OpenAi { is_original: false }),
            Self::Claude => Box::new(claude::Claude),
            Self::Gemini => Box::new(gemini::Gemini),
        }
    }

    pub(crate) const fn base_path(self) -> &'static str {
        match self {
            Self::OpenAi | Self::OpenAiCompatible => "/v1",
            Self::Ollama | Self::Claude | Self::Gemini => "",
        }
    }
}

/// One provider's format, from the server's side.
pub(crate) trait Format: Send + Sync {
    /// Fills in what the request says; gives what is wrong with it.
    fn read(&self, seen: &mut Seen) -> Vec<String>;
    /// An answer as one body.
    fn whole(&self, seen: &Seen, said: &Said) -> Value;
    /// An answer as the pieces of a stream.
    fn stream(&self, seen: &Seen, said: &Said) -> Vec<String>;
    /// The content type of a stream.
    fn stream_type(&self) -> &'static str {
        "text/event-stream"
    }
    /// An error's body.
    fn error(&self, status: u16, message: &str) -> Value;
}

/// A text in two pieces, cut in its middle.
fn halves(text: &str) -> [&str; 2] {
    let mut middle = text.len() / 2;
    while !text.is_char_boundary(middle) {
        middle -= 1;
    }
    let (first, second) = text.split_at(middle);
    [first, second]
}

fn text(value: &Value, pointer: &str) -> String {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// The path of a target, which is a whole address where a proxy is asked.
fn path(target: &str) -> &str {
    let target = target.split_once("://").map_or(target, |(_, rest)| {
        rest.find('/').map_or("", |at| &rest[at..])
    });
    target.split('?').next().unwrap_or_default()
}

/// The key behind `Bearer `.
fn bearer(seen: &Seen) -> Option<String> {
    let value = seen.header("authorization")?;
    value.strip_prefix("Bearer ").map(str::to_owned)
}

/// One server-sent event.
fn event(name: &str, data: &Value) -> String {
    if name.is_empty() {
        format!("data: {data}\n\n")
    } else {
        format!("event: {name}\ndata: {data}\n\n")
    }
}
