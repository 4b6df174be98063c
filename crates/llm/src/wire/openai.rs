//! OpenAI's chat completions, and the servers that speak them: Fireworks, vLLM, llama.cpp,
//! LM Studio.
//!
//! Sources: the API reference of OpenAI (chat completions, structured outputs, function calling,
//! streaming), Fireworks (chat completions), vLLM (reasoning outputs) and the README of llama.cpp's
//! server. Chat completions and not the newer responses, because all of them speak these.

mod chunks;

use serde_json::{Value, json};

use super::framing::Framing;
use super::ollama::arguments;
use super::{Assemble, Wire, chat, count, finish, function_calls, result_in_words, text};
use crate::{Message, Reply, Request, ToolChoice, ToolSpec, Usage, schema};

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
        let messages = chat(request, in_words, message);
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
        let calls = function_calls(message, written_arguments)?;
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
        Box::new(chunks::Chunks::new())
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
                        let arguments = arguments(&call.arguments).to_string();
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
            let content = result_in_words(content, *is_error);
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
