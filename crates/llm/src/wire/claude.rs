//! Anthropic's messages: `POST /v1/messages`.
//!
//! Source: the API reference of Anthropic (messages, tool use, extended thinking, streaming
//! messages, errors). A schema is asked for as a tool that must be called: older models have
//! nothing else, and newer ones have it still. What is called so is the answer and no call.

mod events;

use serde_json::{Value, json};

use super::framing::Framing;
use super::ollama::arguments;
use super::{Assemble, Wire, count, finish, system_text, text};
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
                        answer = Some(match input {
                            Value::String(cut) => cut,
                            whole => whole.to_string(),
                        });
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
                    content: blocks.iter().map(sendable).collect(),
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
        Box::new(events::Events::default())
    }
}

/// A block as it may be sent back: the input of a tool must be an object, cut off or not.
fn sendable(block: &Value) -> Value {
    let mut block = block.clone();
    if let Some(input) = block.get_mut("input") {
        *input = arguments(input);
    }
    block
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
