//! Anthropic's messages: `POST /v1/messages`.
//!
//! Source: the API reference of Anthropic (messages, tool use, extended thinking, streaming
//! messages, errors). A schema is asked for as a tool that must be called: older models have
//! nothing else, and newer ones have it still. What is called so is the answer and no call.

use serde_json::{Map, Value, json};

use super::framing::{Frame, Framing};
use super::ollama::arguments;
use super::{Assemble, StreamError, Wire, append, count, finish, json, system_text, text};
use crate::exchange::Delta;
use crate::{Finish, Message, Reply, Request, State, ToolCall, ToolChoice, Turn, Usage};

/// The version of the format that is spoken.
const VERSION: &str = "2023-06-01";
/// The format wants a number of tokens; this many when none is given.
const MAX_TOKENS: u32 = 4096;
/// The tool that stands for the answer.
const ANSWER: &str = "give_answer";
/// Names the format of a [`State`].
const STATE: &str = "claude";

/// Claude.
pub(crate) struct Claude;

impl Wire for Claude {
    fn path(&self, _model: &str, _stream: bool) -> String {
        "/v1/messages".to_owned()
    }

    fn key_header(&self) -> (&'static str, &'static str) {
        ("x-api-key", "")
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("anthropic-version", VERSION)]
    }

    fn body(&self, model: &str, request: &Request, stream: bool) -> Value {
        let may_call = !request.callable().is_empty();
        let given = request.parameters;
        let mut body = json!({
            "model": model,
            "max_tokens": given.max_tokens.unwrap_or(MAX_TOKENS),
            "messages": messages(&request.messages),
            "stream": stream,
        });
        let system = system_text(request, may_call);
        if !system.is_empty() {
            body["system"] = json!(system);
        }
        if let Some(temperature) = given.temperature.filter(|_| takes_temperature(model)) {
            body["temperature"] = json!(temperature);
        }
        // Earlier calls need their tools to be there even when none may be called now.
        let mut tools: Vec<Value> = request
            .tools
            .iter()
            .map(|t| {
                json!({"name": t.name, "description": t.description, "input_schema": t.parameters})
            })
            .collect();
        let mut choice = match request.tool_choice {
            ToolChoice::Auto => json!({"type": "auto"}),
            ToolChoice::Required => json!({"type": "any"}),
            ToolChoice::None => json!({"type": "none"}),
        };
        // Forced, it would keep the model from its tools.
        if let Some(schema) = request.schema.as_ref().filter(|_| !may_call) {
            tools.push(json!({
                "name": ANSWER,
                "description": "Takes the answer.",
                "input_schema": schema,
            }));
            choice = json!({"type": "tool", "name": ANSWER});
        }
        if !tools.is_empty() {
            body["tools"] = Value::Array(tools);
            body["tool_choice"] = choice;
        }
        body
    }

    fn reply(&self, body: &Value) -> Result<Reply, String> {
        let blocks = body
            .get("content")
            .and_then(Value::as_array)
            .ok_or("no content")?;
        let mut reply = Reply::default();
        let mut answer = None;
        for block in blocks {
            match block.get("type").and_then(Value::as_str) {
                Some("text") => reply.text.push_str(&text(block, "/text")),
                Some("thinking") => reply.thinking.push_str(&text(block, "/thinking")),
                Some("tool_use") => {
                    let name = text(block, "/name");
                    let input = block.get("input").cloned().unwrap_or_else(|| json!({}));
                    if name == ANSWER {
                        answer = Some(input.to_string());
                    } else if name.is_empty() {
                        return Err("a tool_use without a name".to_owned());
                    } else {
                        reply.calls.push(ToolCall {
                            id: text(block, "/id"),
                            name,
                            arguments: input,
                        });
                    }
                }
                Some(_) => {}
                None => return Err("a content block without a type".to_owned()),
            }
        }
        let word = body.get("stop_reason").and_then(Value::as_str);
        reply.finish = finish(!reply.calls.is_empty(), word);
        match answer {
            // The answer as text; as a call it would have to be answered.
            Some(answer) => {
                reply.text = answer;
                if reply.finish == Finish::Other("tool_use".to_owned()) {
                    reply.finish = Finish::Stop;
                }
            }
            None => {
                reply.state = Some(State {
                    wire: STATE.to_owned(),
                    content: Value::Array(blocks.clone()),
                });
            }
        }
        let cached = count(body, "/usage/cache_read_input_tokens");
        let written = count(body, "/usage/cache_creation_input_tokens");
        reply.usage = Usage {
            // What comes from or goes to the cache is counted apart there.
            input: count(body, "/usage/input_tokens")
                .map(|n| n + cached.unwrap_or(0) + written.unwrap_or(0)),
            output: count(body, "/usage/output_tokens"),
            cached,
            ..Usage::default()
        };
        Ok(reply)
    }

    fn framing(&self) -> Framing {
        Framing::Events
    }

    fn assembler(&self) -> Box<dyn Assemble> {
        Box::new(Events::default())
    }
}

/// Newer models refuse one; these are known to take it.
fn takes_temperature(model: &str) -> bool {
    ["claude-3", "-4-5", "-4-6", "-4-1", "-4-0", "-4-2025"]
        .iter()
        .any(|part| model.contains(part))
}

/// Roles alternate: all that stands between two turns of the model is one message, the results of
/// its calls first.
fn messages(conversation: &[Message]) -> Vec<Value> {
    let mut all: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in conversation {
        let (role, blocks) = match message {
            Message::System { .. } => continue,
            Message::User { text } => ("user", vec![json!({"type": "text", "text": text})]),
            Message::ToolResult {
                call_id,
                content,
                is_error,
                ..
            } => {
                let mut block = json!({
                    "type": "tool_result", "tool_use_id": call_id, "content": content,
                });
                if *is_error {
                    block["is_error"] = json!(true);
                }
                ("user", vec![block])
            }
            Message::Assistant(turn) => ("assistant", said(turn)),
        };
        // An empty message is refused.
        if blocks.is_empty() {
            continue;
        }
        match all.last_mut() {
            Some((last, there)) if *last == role => there.extend(blocks),
            _ => all.push((role, blocks)),
        }
    }
    all.into_iter()
        .map(|(role, content)| json!({"role": role, "content": content}))
        .collect()
}

fn said(turn: &Turn) -> Vec<Value> {
    if let Some(State { wire, content }) = &turn.state
        && wire == STATE
    {
        return content.as_array().cloned().unwrap_or_default();
    }
    let mut blocks = Vec::new();
    if !turn.text.is_empty() {
        blocks.push(json!({"type": "text", "text": turn.text}));
    }
    blocks.extend(turn.calls.iter().map(|call| {
        json!({
            "type": "tool_use", "id": call.id, "name": call.name,
            "input": arguments(&call.arguments),
        })
    }));
    blocks
}

#[derive(Default)]
struct Events {
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
                self.end_input()?;
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
            Some("content_block_stop") => self.end_input()?,
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
    /// The input of a tool comes as pieces of JSON text.
    fn end_input(&mut self) -> Result<(), StreamError> {
        let written = std::mem::take(&mut self.input);
        match self.blocks.last_mut() {
            Some(block) if !written.is_empty() => {
                block["input"] = serde_json::from_str(&written).map_err(|error| {
                    StreamError::Malformed(format!("the input of a tool is no JSON: {error}"))
                })?;
                Ok(())
            }
            _ => Ok(()),
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
