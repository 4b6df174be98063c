//! Google's Gemini: `POST /v1beta/models/MODEL:generateContent`.
//!
//! Source: the API reference of the Gemini API (generateContent, function calling, structured
//! output, thought signatures). The key goes into a header; in the address, where it may stand too,
//! it would end up in logs.

use serde_json::{Map, Value, json};

use super::framing::{Frame, Framing};
use super::ollama::arguments;
use super::{Assemble, StreamError, Wire, count, finish, json, system_text, text};
use crate::exchange::Delta;
use crate::{Finish, Message, Reply, Request, State, ToolCall, ToolChoice, Turn, Usage, schema};

/// Names the format of a [`State`].
const STATE: &str = "gemini";

/// Gemini.
pub(crate) struct Gemini;

impl Wire for Gemini {
    fn path(&self, model: &str, stream: bool) -> String {
        let model = model.strip_prefix("models/").unwrap_or(model);
        if stream {
            format!("/v1beta/models/{model}:streamGenerateContent?alt=sse")
        } else {
            format!("/v1beta/models/{model}:generateContent")
        }
    }

    fn key_header(&self) -> (&'static str, &'static str) {
        ("x-goog-api-key", "")
    }

    fn body(&self, model: &str, request: &Request, _stream: bool) -> Value {
        let tools = request.callable();
        // Most models refuse a schema of the answer beside functions.
        let in_words = !tools.is_empty();
        let mut body = json!({"contents": contents(&request.messages)});
        let system = system_text(request, in_words);
        if !system.is_empty() {
            body["systemInstruction"] = json!({"parts": [{"text": system}]});
        }
        if !tools.is_empty() {
            let declarations: Vec<Value> = tools
                .iter()
                .map(|tool| {
                    let mut it = json!({"name": tool.name, "description": tool.description});
                    // A function without arguments has no schema: an object must have properties.
                    if let Some(parameters) = schema::arguments_subset(&tool.parameters) {
                        it["parameters"] = parameters;
                    }
                    it
                })
                .collect();
            body["tools"] = json!([{"functionDeclarations": declarations}]);
            let mode = match request.tool_choice {
                ToolChoice::Required => "ANY",
                ToolChoice::Auto | ToolChoice::None => "AUTO",
            };
            body["toolConfig"] = json!({"functionCallingConfig": {"mode": mode}});
        }
        let given = request.parameters;
        let mut generation = Map::new();
        let mut set = |name: &str, value: Value| generation.insert(name.to_owned(), value);
        if let Some(tokens) = given.max_tokens {
            set("maxOutputTokens", json!(tokens));
        }
        if let Some(temperature) = given.temperature {
            set("temperature", json!(temperature));
        }
        if let Some(seed) = given.seed {
            // 32 bits with a sign there: the low 31 of ours.
            set("seed", json!(seed & 0x7fff_ffff));
        }
        if let Some(schema) = request.schema.as_ref().filter(|_| !in_words) {
            set("responseMimeType", json!("application/json"));
            set("responseSchema", schema::subset(schema));
        }
        if shows_thoughts(model) {
            set("thinkingConfig", json!({"includeThoughts": true}));
        }
        if !generation.is_empty() {
            body["generationConfig"] = Value::Object(generation);
        }
        body
    }

    fn reply(&self, body: &Value) -> Result<Reply, String> {
        let usage = Usage {
            input: count(body, "/usageMetadata/promptTokenCount"),
            output: count(body, "/usageMetadata/candidatesTokenCount")
                .map(|words| words + count(body, "/usageMetadata/thoughtsTokenCount").unwrap_or(0)),
            reasoning: count(body, "/usageMetadata/thoughtsTokenCount"),
            cached: count(body, "/usageMetadata/cachedContentTokenCount"),
            cost_usd: None,
        };
        if body.pointer("/promptFeedback/blockReason").is_some() {
            return Ok(Reply {
                finish: Finish::Filtered,
                usage,
                ..Reply::default()
            });
        }
        let candidate = body.pointer("/candidates/0").ok_or("no candidates")?;
        let word = candidate.get("finishReason").and_then(Value::as_str);
        let parts = match candidate.pointer("/content/parts") {
            Some(Value::Array(parts)) => parts.clone(),
            // What is cut off or held back may have no part at all.
            _ if word.is_some() => Vec::new(),
            _ => return Err("neither content.parts nor a finishReason".to_owned()),
        };
        let mut reply = Reply {
            usage,
            ..Reply::default()
        };
        for part in &parts {
            if let Some(call) = part.get("functionCall") {
                let name = text(call, "/name");
                if name.is_empty() {
                    return Err("a functionCall without a name".to_owned());
                }
                reply.calls.push(ToolCall {
                    id: text(call, "/id"),
                    name,
                    arguments: call.get("args").cloned().unwrap_or_else(|| json!({})),
                });
            } else if part.get("thought").and_then(Value::as_bool) == Some(true) {
                reply.thinking.push_str(&text(part, "/text"));
            } else {
                reply.text.push_str(&text(part, "/text"));
            }
        }
        reply.finish = finish(!reply.calls.is_empty(), word);
        if !parts.is_empty() {
            reply.state = Some(State {
                wire: STATE.to_owned(),
                content: parts.into_iter().map(sendable).collect(),
            });
        }
        Ok(reply)
    }

    fn framing(&self) -> Framing {
        Framing::Events
    }

    fn assembler(&self) -> Box<dyn Assemble> {
        Box::new(Chunks::default())
    }
}

/// A part as it may be sent back: the arguments of a call must be an object, whatever came.
fn sendable(mut part: Value) -> Value {
    if let Some(given) = part.pointer_mut("/functionCall/args") {
        *given = arguments(given);
    }
    part
}

/// The families before 2.5 do not think and refuse to be asked for thoughts.
fn shows_thoughts(model: &str) -> bool {
    let model = model.strip_prefix("models/").unwrap_or(model);
    !["gemini-1", "gemini-2.0"]
        .iter()
        .any(|old| model.starts_with(old))
}

/// Roles alternate, and the results of one turn's calls stand in one message.
fn contents(conversation: &[Message]) -> Vec<Value> {
    let mut all: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in conversation {
        let (role, parts) = match message {
            Message::System { .. } => continue,
            Message::User { text } => ("user", vec![json!({"text": text})]),
            Message::ToolResult {
                call_id,
                name,
                content,
                is_error,
            } => {
                let field = if *is_error { "error" } else { "result" };
                let mut response = json!({"name": name, "response": {field: content}});
                if !is_own(call_id) {
                    response["id"] = json!(call_id);
                }
                ("user", vec![json!({"functionResponse": response})])
            }
            Message::Assistant(turn) => ("model", said(turn)),
        };
        if parts.is_empty() {
            continue;
        }
        match all.last_mut() {
            Some((last, there)) if *last == role => there.extend(parts),
            _ => all.push((role, parts)),
        }
    }
    all.into_iter()
        .map(|(role, parts)| json!({"role": role, "parts": parts}))
        .collect()
}

fn said(turn: &Turn) -> Vec<Value> {
    if let Some(State { wire, content }) = &turn.state
        && wire == STATE
    {
        return content.as_array().cloned().unwrap_or_default();
    }
    let mut parts = Vec::new();
    if !turn.text.is_empty() {
        parts.push(json!({"text": turn.text}));
    }
    parts.extend(turn.calls.iter().map(|call| {
        let mut written = json!({"name": call.name, "args": arguments(&call.arguments)});
        if !is_own(&call.id) {
            written["id"] = json!(call.id);
        }
        json!({"functionCall": written})
    }));
    parts
}

/// Whether we named the call, because Gemini had not.
fn is_own(id: &str) -> bool {
    id.is_empty() || id.starts_with(crate::client::OWN_CALL_ID)
}

/// Every event is a whole body with more parts.
#[derive(Default)]
struct Chunks {
    parts: Vec<Value>,
    last: Map<String, Value>,
    finish_reason: Option<Value>,
    is_blocked: bool,
}

impl Assemble for Chunks {
    fn event(&mut self, frame: &Frame, deltas: &mut Vec<Delta>) -> Result<(), StreamError> {
        let Value::Object(chunk) = json(frame)? else {
            return Err(StreamError::Malformed("an event is no object".to_owned()));
        };
        if let Some(error) = chunk.get("error") {
            return Err(StreamError::Server {
                status: count(error, "/code")
                    .and_then(|code| code.try_into().ok())
                    .unwrap_or(500),
                message: text(error, "/message"),
            });
        }
        let body = Value::Object(chunk);
        let parts = body.pointer("/candidates/0/content/parts");
        for part in parts.and_then(Value::as_array).into_iter().flatten() {
            let words = text(part, "/text");
            let is_thought = part.get("thought").and_then(Value::as_bool) == Some(true);
            if !words.is_empty() {
                deltas.push(if is_thought {
                    Delta::Thinking(words)
                } else {
                    Delta::Text(words)
                });
            }
            self.parts.push(part.clone());
        }
        if let Some(reason) = body.pointer("/candidates/0/finishReason") {
            self.finish_reason = Some(reason.clone());
        }
        self.is_blocked |= body.pointer("/promptFeedback/blockReason").is_some();
        if let Value::Object(fields) = body {
            self.last.extend(fields);
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Value, String> {
        if self.finish_reason.is_none() && !self.is_blocked {
            return Err("no finishReason".to_owned());
        }
        self.last.insert(
            "candidates".to_owned(),
            json!([{
                "content": {"role": "model", "parts": self.parts},
                "finishReason": self.finish_reason,
            }]),
        );
        Ok(Value::Object(self.last))
    }
}
