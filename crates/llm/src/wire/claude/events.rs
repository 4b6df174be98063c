//! Claude's stream: events that begin, continue and end the blocks of a message.

use serde_json::{Map, Value, json};

use crate::exchange::Delta;
use crate::wire::framing::Frame;
use crate::wire::{Assemble, StreamError, append, json, text};

/// The message so far.
#[derive(Default)]
pub(super) struct Events {
    message: Map<String, Value>,
    blocks: Vec<Value>,
    input: String,
    is_over: bool,
}

impl Assemble for Events {
    fn event(&mut self, frame: &Frame, deltas: &mut Vec<Delta>) -> Result<(), StreamError> {
        let event = json(frame)?;
        let malformed = |what: &str| StreamError::Malformed(what.to_owned());
        match event.get("type").and_then(Value::as_str) {
            Some("message_start") => {
                self.message = event
                    .get("message")
                    .and_then(Value::as_object)
                    .cloned()
                    .ok_or_else(|| malformed("message_start without a message"))?;
            }
            Some("content_block_start") => {
                self.end_input();
                let block = event.get("content_block").cloned();
                self.blocks
                    .push(block.ok_or_else(|| malformed("content_block_start without a block"))?);
            }
            Some("content_block_delta") => {
                let block = self
                    .blocks
                    .last_mut()
                    .ok_or_else(|| malformed("a delta before its block"))?;
                for (field, delta) in [
                    ("text", Some(Delta::Text as fn(String) -> Delta)),
                    ("thinking", Some(Delta::Thinking as fn(String) -> Delta)),
                    ("signature", None),
                ] {
                    let more = text(&event, &format!("/delta/{field}"));
                    if !more.is_empty() {
                        append(&mut block[field], &more);
                        deltas.extend(delta.map(|delta| delta(more)));
                    }
                }
                self.input.push_str(&text(&event, "/delta/partial_json"));
            }
            Some("content_block_stop") => self.end_input(),
            Some("message_delta") => {
                for (name, value) in event
                    .get("delta")
                    .and_then(Value::as_object)
                    .into_iter()
                    .flatten()
                {
                    self.message.insert(name.clone(), value.clone());
                }
                // Counts so far, the later ones over the earlier ones.
                let usage = event.get("usage").and_then(Value::as_object).cloned();
                let all = self.message.entry("usage").or_insert_with(|| json!({}));
                for (name, value) in usage.into_iter().flatten() {
                    all[name.as_str()] = value;
                }
            }
            Some("message_stop") => self.is_over = true,
            Some("error") => {
                let kind = text(&event, "/error/type");
                return Err(StreamError::Server {
                    status: status(&kind),
                    message: format!("{kind}: {}", text(&event, "/error/message")),
                });
            }
            // A ping, and whatever else there will be.
            _ => {}
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Value, String> {
        if !self.is_over {
            return Err("no message_stop".to_owned());
        }
        self.message
            .insert("content".to_owned(), Value::Array(self.blocks));
        Ok(Value::Object(self.message))
    }
}

impl Events {
    /// The input of a tool comes as pieces of JSON text. What the limit of tokens cut off is no JSON,
    /// and is kept as the text it is.
    fn end_input(&mut self) {
        let written = std::mem::take(&mut self.input);
        if let Some(block) = self.blocks.last_mut().filter(|_| !written.is_empty()) {
            block["input"] =
                serde_json::from_str(&written).unwrap_or_else(|_cut| Value::String(written));
        }
    }
}

/// The HTTP status that an error has outside a stream.
fn status(kind: &str) -> u16 {
    match kind {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "permission_error" => 403,
        "not_found_error" => 404,
        "request_too_large" => 413,
        "rate_limit_error" => 429,
        "overloaded_error" => 529,
        _ => 500,
    }
}
