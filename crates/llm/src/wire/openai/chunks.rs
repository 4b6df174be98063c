//! The stream of chat completions: chunks with more of a message.

use serde_json::{Value, json};

use crate::exchange::Delta;
use crate::wire::framing::Frame;
use crate::wire::{Assemble, StreamError, append, json, text};

/// The message so far.
pub(super) struct Chunks {
    message: Value,
    calls: Vec<Value>,
    finish_reason: Value,
    usage: Value,
    is_done: bool,
}

/// Most tool calls of one turn: an index in a stream makes no list longer than that.
const MOST_CALLS: usize = 256;

impl Assemble for Chunks {
    fn event(&mut self, frame: &Frame, deltas: &mut Vec<Delta>) -> Result<(), StreamError> {
        if frame.data.trim() == "[DONE]" {
            self.is_done = true;
            return Ok(());
        }
        let chunk = json(frame)?;
        if let Some(error) = chunk.get("error").filter(|e| !e.is_null()) {
            let status = error.get("code").and_then(Value::as_u64);
            return Err(StreamError::Server {
                status: status.and_then(|s| s.try_into().ok()).unwrap_or(500),
                message: error
                    .get("message")
                    .unwrap_or(error)
                    .as_str()
                    .unwrap_or("an error")
                    .to_owned(),
            });
        }
        if let Some(usage) = chunk.get("usage").filter(|u| u.is_object()) {
            self.usage = usage.clone();
        }
        let Some(choice) = chunk.pointer("/choices/0") else {
            return Ok(());
        };
        if let Some(reason) = choice.get("finish_reason").filter(|r| r.is_string()) {
            self.finish_reason = reason.clone();
        }
        for (field, delta) in [
            ("reasoning_content", Delta::Thinking as fn(String) -> Delta),
            ("reasoning", Delta::Thinking),
            ("content", Delta::Text),
            ("refusal", Delta::Text),
        ] {
            let more = text(choice, &format!("/delta/{field}"));
            if !more.is_empty() {
                append(&mut self.message[field], &more);
                deltas.push(delta(more));
            }
        }
        let calls = choice
            .pointer("/delta/tool_calls")
            .and_then(Value::as_array);
        for piece in calls.into_iter().flatten() {
            self.call(piece)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Value, String> {
        if !self.is_done && self.finish_reason.is_null() {
            return Err("neither a finish_reason nor [DONE]".to_owned());
        }
        if !self.calls.is_empty() {
            self.message["tool_calls"] = Value::Array(self.calls);
        } else if self.message["content"].is_null() {
            // An answer of no words is an answer.
            self.message["content"] = json!("");
        }
        Ok(json!({
            "choices": [{"message": self.message, "finish_reason": self.finish_reason}],
            "usage": self.usage,
        }))
    }
}

impl Chunks {
    pub(super) fn new() -> Self {
        Self {
            message: json!({"role": "assistant", "content": null}),
            calls: Vec::new(),
            finish_reason: Value::Null,
            usage: Value::Null,
            is_done: false,
        }
    }

    /// Adds a piece of a tool call: id and name come once, the arguments in pieces.
    fn call(&mut self, piece: &Value) -> Result<(), StreamError> {
        let index = piece.get("index").and_then(Value::as_u64).unwrap_or(0);
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        if index >= MOST_CALLS {
            return Err(StreamError::Malformed(format!("a tool call {index}")));
        }
        while self.calls.len() <= index {
            self.calls
                .push(json!({"id": "", "function": {"name": "", "arguments": ""}}));
        }
        let call = &mut self.calls[index];
        // Some servers say id and name again with every piece.
        for pointer in ["/id", "/function/name"] {
            if let (Some(place), said) = (call.pointer_mut(pointer), text(piece, pointer))
                && text(place, "").is_empty()
            {
                *place = json!(said);
            }
        }
        append(
            &mut call["function"]["arguments"],
            &text(piece, "/function/arguments"),
        );
        Ok(())
    }
}
