//! OpenAI's chat completions, and the servers that speak them: Fireworks, vLLM, llama.cpp,
//! LM Studio.
//!
//! Sources: the API reference of OpenAI (chat completions, structured outputs, function calling,
//! streaming), Fireworks (chat completions), vLLM (reasoning outputs) and the README of llama.cpp's
//! server. Chat completions and not the newer responses, because all of them speak these.

use serde_json::{Value, json};

use super::framing::{Frame, Framing};
use super::{Assemble, StreamError, Wire, append, count, finish, json, system_text, text};
use crate::exchange::Delta;
use crate::{Message, Reply, Request, ToolCall, ToolChoice, ToolSpec, Usage, schema};

/// Who is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenAi {
    /// OpenAI itself.
    Original,
    /// Anybody else; `base` paths as in OpenAI's.
    Compatible,
}

impl Wire for OpenAi {
    fn path(&self, _model: &str, _stream: bool) -> String {
        "/chat/completions".to_owned()
    }

    fn key_header(&self) -> (&'static str, &'static str) {
        ("authorization", "Bearer ")
    }

    fn body(&self, model: &str, request: &Request, stream: bool) -> Value {
        let tools = request.callable();
        let is_original = *self == Self::Original;
        // Elsewhere a schema binds every word, so that no tool could be called (llama.cpp), or is
        // refused beside tools.
        let in_words = !is_original && !tools.is_empty();
        let mut messages = Vec::new();
        let system = system_text(request, in_words);
        if !system.is_empty() {
            messages.push(json!({"role": "system", "content": system}));
        }
        messages.extend(request.messages.iter().filter_map(message));
        let mut body = json!({"model": model, "messages": messages, "stream": stream});
        if stream {
            body["stream_options"] = json!({"include_usage": true});
        }
        if !tools.is_empty() {
            body["tools"] = self::tools(tools);
            body["tool_choice"] = json!(match request.tool_choice {
                ToolChoice::Required => "required",
                ToolChoice::Auto | ToolChoice::None => "auto",
            });
        }
        if let Some(schema) = request.schema.as_ref().filter(|_| !in_words) {
            body["response_format"] = response_format(schema, is_original);
        }
        let given = request.parameters;
        if let Some(tokens) = given.max_tokens {
            // OpenAI's reasoning models know only the new name, most others only the old one.
            let name = if is_original {
                "max_completion_tokens"
            } else {
                "max_tokens"
            };
            body[name] = json!(tokens);
        }
        if let Some(temperature) = given.temperature
            && !(is_original && is_reasoning(model))
        {
            body["temperature"] = json!(temperature);
        }
        if let Some(seed) = given.seed {
            body["seed"] = json!(seed);
        }
        body
    }

    fn reply(&self, body: &Value) -> Result<Reply, String> {
        let choice = body.pointer("/choices/0").ok_or("no choices")?;
        let message = choice.get("message").ok_or("no message")?;
        let calls: Vec<ToolCall> = message
            .get("tool_calls")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|call| {
                let name = text(call, "/function/name");
                (!name.is_empty()).then(|| ToolCall {
                    id: text(call, "/id"),
                    name,
                    arguments: written_arguments(call.pointer("/function/arguments")),
                })
            })
            .collect::<Option<_>>()
            .ok_or("a tool call without a name")?;
        let content = message.get("content").and_then(Value::as_str);
        let refusal = message.get("refusal").and_then(Value::as_str);
        let thinking = match text(message, "/reasoning_content") {
            // vLLM's newer name.
            empty if empty.is_empty() => text(message, "/reasoning"),
            thinking => thinking,
        };
        if content.or(refusal).is_none() && calls.is_empty() && thinking.is_empty() {
            return Err("neither message.content nor message.tool_calls".to_owned());
        }
        let word = refusal
            .map(|_| "refusal")
            .or_else(|| choice.get("finish_reason").and_then(Value::as_str));
        Ok(Reply {
            text: content.or(refusal).unwrap_or_default().to_owned(),
            thinking,
            finish: finish(!calls.is_empty(), word),
            calls,
            usage: Usage {
                input: count(body, "/usage/prompt_tokens"),
                output: count(body, "/usage/completion_tokens"),
                reasoning: count(body, "/usage/completion_tokens_details/reasoning_tokens"),
                cached: count(body, "/usage/prompt_tokens_details/cached_tokens"),
                cost_usd: None,
            },
            ..Reply::default()
        })
    }

    fn framing(&self) -> Framing {
        Framing::Events
    }

    fn assembler(&self) -> Box<dyn Assemble> {
        Box::new(Chunks {
            message: json!({"role": "assistant", "content": null}),
            ..Chunks::default()
        })
    }
}

/// OpenAI's reasoning models take no temperature but their own
/// (<https://platform.openai.com/docs/guides/reasoning>).
fn is_reasoning(model: &str) -> bool {
    ["o1", "o3", "o4", "gpt-5"]
        .iter()
        .any(|family| model.starts_with(family))
}

fn response_format(original: &Value, is_original: bool) -> Value {
    let strict = schema::strict(original).filter(|_| is_original);
    json!({"type": "json_schema", "json_schema": {
        "name": "answer",
        "strict": strict.is_some() || !is_original,
        "schema": strict.unwrap_or_else(|| original.clone()),
    }})
}

/// Tools as OpenAI writes them; Ollama writes them the same.
pub(super) fn tools(tools: &[ToolSpec]) -> Value {
    tools
        .iter()
        .map(|tool| {
            json!({"type": "function", "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
            }})
        })
        .collect()
}

fn message(message: &Message) -> Option<Value> {
    Some(match message {
        // Said first, all together.
        Message::System { .. } => return None,
        Message::User { text } => json!({"role": "user", "content": text}),
        Message::Assistant(turn) => {
            let mut said = json!({"role": "assistant", "content": turn.text});
            if !turn.calls.is_empty() {
                said["tool_calls"] = turn
                    .calls
                    .iter()
                    .map(|call| {
                        let arguments = match &call.arguments {
                            Value::String(written) => written.clone(),
                            object => object.to_string(),
                        };
                        json!({"id": call.id, "type": "function", "function": {
                            "name": call.name, "arguments": arguments,
                        }})
                    })
                    .collect();
            }
            said
        }
        Message::ToolResult {
            call_id,
            content,
            is_error,
            ..
        } => {
            let content = if *is_error {
                format!("error: {content}")
            } else {
                content.clone()
            };
            json!({"role": "tool", "tool_call_id": call_id, "content": content})
        }
    })
}

/// Arguments come as a text of JSON, as the model wrote it.
fn written_arguments(given: Option<&Value>) -> Value {
    match given {
        None | Some(Value::Null) => json!({}),
        Some(Value::String(written)) if written.trim().is_empty() => json!({}),
        Some(Value::String(written)) => {
            serde_json::from_str(written).unwrap_or_else(|_not_json| Value::String(written.clone()))
        }
        Some(object) => object.clone(),
    }
}

#[derive(Default)]
struct Chunks {
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
