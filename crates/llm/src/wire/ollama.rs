//! Ollama's own format: `POST /api/chat`, one JSON object a line when streamed.
//!
//! Source: docs/api.md of ollama/ollama (chat completion, structured outputs, tools, thinking).
//! Written and tested from that documentation: no real server could be installed where this was
//! made, so the fake server of the tests says no more than the documentation does.

use serde_json::{Map, Value, json};

use super::framing::{Frame, Framing};
use super::{
    Assemble, StreamError, Wire, append, chat, count, finish, function_calls, json,
    result_in_words, text,
};
use crate::exchange::Delta;
use crate::{Message, Reply, Request, Usage};

/// Tokens of question and answer together. Ollama takes 4,096 by default and silently cuts off the beginning of
/// what is longer (docs/faq.md, `num_ctx`).
const CONTEXT: u32 = 16_384;

/// Ollama.
pub(crate) struct Ollama;

impl Wire for Ollama {
    fn path(&self, _model: &str, _stream: bool) -> String {
        "/api/chat".to_owned()
    }

    // Its own server takes none; a proxy before it may.
    fn key_header(&self) -> (&'static str, &'static str) {
        ("authorization", "Bearer ")
    }

    fn body(&self, model: &str, request: &Request, stream: bool) -> Value {
        let tools = request.callable();
        // `format` binds every word the model writes, so that it could not call a tool.
        let in_words = !tools.is_empty();
        let messages = chat(request, in_words, message);
        let mut body = json!({"model": model, "messages": messages, "stream": stream});
        if !tools.is_empty() {
            body["tools"] = super::openai::tools(tools);
        }
        if let Some(schema) = request.schema.as_ref().filter(|_| !in_words) {
            body["format"] = schema.clone();
        }
        let given = request.parameters;
        if let Some(think) = given.think {
            body["think"] = json!(think);
        }
        // Always the same, for a server loads the model anew where it changes.
        let mut options = Map::from_iter([("num_ctx".to_owned(), json!(CONTEXT))]);
        if let Some(tokens) = given.max_tokens {
            options.insert("num_predict".to_owned(), json!(tokens));
        }
        if let Some(temperature) = given.temperature {
            options.insert("temperature".to_owned(), json!(temperature));
        }
        if let Some(seed) = given.seed {
            options.insert("seed".to_owned(), json!(seed));
        }
        body["options"] = Value::Object(options);
        body
    }

    fn reply(&self, body: &Value) -> Result<Reply, String> {
        let message = body.get("message").ok_or("no message")?;
        let calls = function_calls(message, |given| given.cloned().unwrap_or_else(|| json!({})))?;
        let content = message.get("content").and_then(Value::as_str);
        if content.is_none() && calls.is_empty() {
            return Err("neither message.content nor message.tool_calls".to_owned());
        }
        Ok(Reply {
            text: content.unwrap_or_default().to_owned(),
            thinking: text(message, "/thinking"),
            finish: finish(
                !calls.is_empty(),
                body.get("done_reason").and_then(Value::as_str),
            ),
            calls,
            usage: Usage {
                input: count(body, "/prompt_eval_count"),
                output: count(body, "/eval_count"),
                ..Usage::default()
            },
            ..Reply::default()
        })
    }

    fn framing(&self) -> Framing {
        Framing::Lines
    }

    fn assembler(&self) -> Box<dyn Assemble> {
        Box::new(Lines {
            message: json!({"role": "assistant", "content": ""}),
            last: None,
        })
    }
}

fn message(message: &Message) -> Option<Value> {
    Some(match message {
        // Said first, all together.
        Message::System { .. } => return None,
        Message::User { text } => json!({"role": "user", "content": text}),
        Message::Assistant(turn) => {
            let mut said = json!({"role": "assistant", "content": turn.text});
            if !turn.calls.is_empty() {
                // Thoughts belong to the turn they led to calls in, and to no other.
                if !turn.thinking.is_empty() {
                    said["thinking"] = json!(turn.thinking);
                }
                said["tool_calls"] = turn
                    .calls
                    .iter()
                    .map(|call| {
                        json!({"function": {
                            "name": call.name,
                            "arguments": arguments(&call.arguments),
                        }})
                    })
                    .collect();
            }
            said
        }
        Message::ToolResult {
            name,
            content,
            is_error,
            ..
        } => {
            let content = result_in_words(content, *is_error);
            json!({"role": "tool", "tool_name": name, "content": content})
        }
    })
}

/// Arguments as an object: what the model wrote as something else is shown to it as it is.
pub(super) fn arguments(given: &Value) -> Value {
    if given.is_object() {
        given.clone()
    } else {
        json!({"not_an_object": given})
    }
}

struct Lines {
    message: Value,
    last: Option<Value>,
}

impl Assemble for Lines {
    fn event(&mut self, frame: &Frame, deltas: &mut Vec<Delta>) -> Result<(), StreamError> {
        let line = json(frame)?;
        if let Some(message) = line.get("error").and_then(Value::as_str) {
            return Err(StreamError::Server {
                status: 500,
                message: message.to_owned(),
            });
        }
        for (field, delta) in [
            ("thinking", Delta::Thinking as fn(String) -> Delta),
            ("content", Delta::Text),
        ] {
            let more = text(&line, &format!("/message/{field}"));
            if !more.is_empty() {
                append(&mut self.message[field], &more);
                deltas.push(delta(more));
            }
        }
        if let Some(Value::Array(calls)) = line.pointer("/message/tool_calls") {
            match &mut self.message["tool_calls"] {
                Value::Array(all) => all.extend(calls.iter().cloned()),
                other => *other = Value::Array(calls.clone()),
            }
        }
        if line.get("done").and_then(Value::as_bool) == Some(true) {
            self.last = Some(line);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Value, String> {
        let mut body = self.last.ok_or("no line with done")?;
        body["message"] = self.message;
        Ok(body)
    }
}
