//! The providers' wire formats as pure functions: a request to a body, a body to a reply, the
//! events of a stream to the body that would have come without one.
//!
//! Nothing here sends anything, so every format is tested on recorded text. A stream is put
//! together to a whole body first, so that there is one way from a body to a reply.

pub(crate) mod claude;
pub(crate) mod framing;
pub(crate) mod gemini;
pub(crate) mod ollama;
pub(crate) mod openai;

use serde_json::Value;

use crate::exchange::Delta;
use crate::{Finish, Message, Reply, Request, ToolCall};
use framing::{Frame, Framing};

/// How one provider writes questions and answers.
pub(crate) trait Wire: Send + Sync {
    /// The path a question goes to, with its query.
    fn path(&self, model: &str, stream: bool) -> String;
    /// Header that carries the key, and what stands before it.
    fn key_header(&self) -> (&'static str, &'static str);
    /// Other headers.
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
    /// The body of a question.
    fn body(&self, model: &str, request: &Request, stream: bool) -> Value;
    /// The reply in a body; calls without a name of their own get an empty id.
    fn reply(&self, body: &Value) -> Result<Reply, String>;
    /// How a stream is cut into events.
    fn framing(&self) -> Framing;
    /// What puts a stream together.
    fn assembler(&self) -> Box<dyn Assemble>;
    /// The reason in an error body.
    fn error(&self, body: &Value) -> Option<String> {
        let error = body.get("error")?;
        error
            .get("message")
            .unwrap_or(error)
            .as_str()
            .map(str::to_owned)
    }
}

/// Puts the events of a stream together to the body that would have come without streaming.
pub(crate) trait Assemble {
    /// Takes one event; what it adds to the answer goes to `deltas`.
    fn event(&mut self, frame: &Frame, deltas: &mut Vec<Delta>) -> Result<(), StreamError>;
    /// The body; an error says what of the stream is missing.
    fn finish(self: Box<Self>) -> Result<Value, String>;
}

/// Why a stream gives no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StreamError {
    /// It is not in the format.
    Malformed(String),
    /// The server reports an error in the middle, with the status it would have had.
    Server {
        /// That status.
        status: u16,
        /// The server's words.
        message: String,
    },
}

/// What is said to a model whose provider cannot force the schema on it here.
pub(crate) fn schema_in_words(schema: &Value) -> String {
    format!(
        "When you answer, answer with one JSON object of this JSON Schema and nothing else:\n{schema}"
    )
}

/// The system text, with the schema in words where `in_words`.
pub(crate) fn system_text(request: &Request, in_words: bool) -> String {
    let mut text = request.system();
    if let Some(schema) = request.schema.as_ref().filter(|_| in_words) {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str(&schema_in_words(schema));
    }
    text
}

/// The messages of a format in which each has a role: what is told first, then the conversation as `written`.
pub(crate) fn chat(
    request: &Request,
    in_words: bool,
    written: fn(&Message) -> Option<Value>,
) -> Vec<Value> {
    let system = system_text(request, in_words);
    let told =
        (!system.is_empty()).then(|| serde_json::json!({"role": "system", "content": system}));
    let said = request.messages.iter().filter_map(written);
    told.into_iter().chain(said).collect()
}

/// The calls of functions in a message, with arguments as the format writes them.
pub(crate) fn function_calls(
    message: &Value,
    arguments: fn(Option<&Value>) -> Value,
) -> Result<Vec<ToolCall>, String> {
    let calls = message.get("tool_calls").and_then(Value::as_array);
    let call = |call: &Value| {
        let name = text(call, "/function/name");
        (!name.is_empty()).then(|| ToolCall {
            id: text(call, "/id"),
            name,
            arguments: arguments(call.pointer("/function/arguments")),
        })
    };
    let read: Option<Vec<ToolCall>> = calls.into_iter().flatten().map(call).collect();
    read.ok_or_else(|| "a tool call without a name".to_owned())
}

/// What a tool gave back, in a format without a field for failures.
pub(crate) fn result_in_words(content: &str, is_error: bool) -> String {
    match is_error {
        true => format!("error: {content}"),
        false => content.to_owned(),
    }
}

/// A count in a usage object.
pub(crate) fn count(body: &Value, pointer: &str) -> Option<u64> {
    body.pointer(pointer).and_then(Value::as_u64)
}

/// A text in a body; absent and null are empty.
pub(crate) fn text(body: &Value, pointer: &str) -> String {
    body.pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// Why it stopped: calls come before the provider's own word, which for some is `stop` then.
pub(crate) fn finish(has_calls: bool, word: Option<&str>) -> Finish {
    match word.map(str::to_ascii_lowercase).as_deref() {
        _ if has_calls => Finish::ToolCalls,
        None | Some("stop" | "end_turn" | "stop_sequence") => Finish::Stop,
        Some("length" | "max_tokens" | "model_context_window_exceeded") => Finish::Length,
        Some("content_filter" | "refusal" | "safety" | "prohibited_content" | "blocklist") => {
            Finish::Filtered
        }
        Some(other) => Finish::Other(other.to_owned()),
    }
}

/// The JSON of an event.
pub(crate) fn json(frame: &Frame) -> Result<Value, StreamError> {
    serde_json::from_str(&frame.data)
        .map_err(|error| StreamError::Malformed(format!("an event is no JSON: {error}")))
}

/// Appends the text of a delta to a text of the body that grows.
pub(crate) fn append(target: &mut Value, more: &str) {
    match target {
        Value::String(text) => text.push_str(more),
        other => *other = Value::String(more.to_owned()),
    }
}
