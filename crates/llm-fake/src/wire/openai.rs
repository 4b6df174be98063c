//! Chat completions as OpenAI's API reference describes them, and as others speak them.

use serde_json::{Value, json};

use super::{Format, INPUT_TOKENS, OUTPUT_TOKENS, bearer, event, halves, list, path, text};
use crate::{Said, Seen, Spoken, check};

pub(super) struct OpenAi {
    pub is_original: bool,
}

impl Format for OpenAi {
    fn read(&self, seen: &mut Seen) -> Vec<String> {
        const FIELDS: [&str; 9] = [
            "model",
            "messages",
            "tools",
            "tool_choice",
            "response_format",
            "temperature",
            "seed",
            "stream",
            "stream_options",
        ];
        let body = seen.body.clone();
        let tokens = if self.is_original {
            "max_completion_tokens"
        } else {
            "max_tokens"
        };
        let mut wrong = check::unknown("the request", &body, &[&FIELDS[..], &[tokens]].concat());
        if path(&seen.target) != "/v1/chat/completions" {
            wrong.push(format!("the path {}", seen.target));
        }
        seen.key = bearer(seen);
        if self.is_original && seen.key.is_none() {
            wrong.push("no key".to_owned());
        }
        seen.model = text(&body, "/model");
        seen.is_streamed = body["stream"] == json!(true);
        if body.get("stream_options").is_some() && !seen.is_streamed {
            wrong.push("stream_options without a stream".to_owned());
        }
        for tool in list(&body, "/tools") {
            if tool["type"] != "function" {
                wrong.push("a tool that is no function".to_owned());
            }
            wrong.extend(check::object_schema(
                "a tool",
                &tool["function"]["parameters"],
            ));
            seen.tools.push(text(tool, "/function/name"));
        }
        if body.get("tool_choice").is_some() && seen.tools.is_empty() {
            wrong.push("tool_choice without tools".to_owned());
        }
        if let Some(format) = body.get("response_format") {
            let schema = &format["json_schema"]["schema"];
            if format["type"] != "json_schema" || text(format, "/json_schema/name").is_empty() {
                wrong.push(format!("the response_format {format}"));
            }
            wrong.extend(check::object_schema("response_format", schema));
            if self.is_original && format["json_schema"]["strict"] == json!(true) {
                wrong.extend(check::strict_schema(schema));
            }
            if !self.is_original && !seen.tools.is_empty() {
                wrong.push("a schema beside tools".to_owned());
            }
            seen.schema = Some(schema.clone());
        }
        for message in list(&body, "/messages") {
            match spoken(message) {
                Ok(spoken) => seen.messages.push(spoken),
                Err(reason) => wrong.push(reason),
            }
        }
        wrong
    }

    fn whole(&self, seen: &Seen, said: &Said) -> Value {
        let mut message = json!({"role": "assistant", "content": said.text});
        if !said.thinking.is_empty() {
            message["reasoning_content"] = json!(said.thinking);
        }
        if !said.calls.is_empty() {
            message["content"] = Value::Null;
            message["tool_calls"] = calls(seen, said)
                .map(|(id, name, arguments)| {
                    json!({"id": id, "type": "function",
                        "function": {"name": name, "arguments": arguments}})
                })
                .collect();
        }
        json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "fake",
            "choices": [{"index": 0, "message": message, "finish_reason": finish(said)}],
            "usage": usage(),
        })
    }

    fn stream(&self, seen: &Seen, said: &Said) -> Vec<String> {
        let mut deltas = vec![json!({"role": "assistant", "content": ""})];
        for piece in halves(&said.thinking) {
            deltas.push(json!({"reasoning_content": piece}));
        }
        for piece in halves(&said.text) {
            deltas.push(json!({"content": piece}));
        }
        for (index, (id, name, arguments)) in calls(seen, said).enumerate() {
            deltas.push(
                json!({"tool_calls": [{"index": index, "id": id, "type": "function",
                "function": {"name": name, "arguments": ""}}]}),
            );
            for piece in halves(&arguments) {
                deltas.push(json!({"tool_calls": [{"index": index,
                    "function": {"arguments": piece}}]}));
            }
        }
        let chunk = |choices: Value, usage: Value| {
            event(
                "",
                &json!({
                    "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1,
                    "model": "fake", "choices": choices, "usage": usage,
                }),
            )
        };
        let mut pieces = vec![": keep-alive\n\n".to_owned()];
        pieces.extend(deltas.into_iter().map(|delta| {
            chunk(
                json!([{"index": 0, "delta": delta, "finish_reason": null}]),
                Value::Null,
            )
        }));
        pieces.push(chunk(
            json!([{"index": 0, "delta": {}, "finish_reason": finish(said)}]),
            Value::Null,
        ));
        pieces.push(chunk(json!([]), usage()));
        pieces.push("data: [DONE]\n\n".to_owned());
        pieces
    }

    fn error(&self, status: u16, message: &str) -> Value {
        json!({"error": {"message": message, "type": "error", "param": null, "code": status}})
    }
}

fn spoken(message: &Value) -> Result<Spoken, String> {
    let content = text(message, "/content");
    Ok(match text(message, "/role").as_str() {
        "system" | "developer" => Spoken::System(content),
        "user" => Spoken::User(content),
        "assistant" => Spoken::Assistant(
            content,
            list(message, "/tool_calls")
                .iter()
                .map(|call| {
                    if call["type"] != "function" {
                        return Err("a call without its type".to_owned());
                    }
                    let arguments = serde_json::from_str(&text(call, "/function/arguments"))
                        .map_err(|error| format!("the arguments of a call: {error}"))?;
                    Ok((
                        Some(text(call, "/id")),
                        text(call, "/function/name"),
                        arguments,
                    ))
                })
                .collect::<Result<_, String>>()?,
        ),
        "tool" => Spoken::Result(Some(text(message, "/tool_call_id")), None, content),
        other => return Err(format!("the role {other:?}")),
    })
}

/// Id, name and arguments of each call; no id comes twice in a conversation.
fn calls<'a>(seen: &'a Seen, said: &'a Said) -> impl Iterator<Item = (String, &'a String, String)> {
    let turn = seen.messages.len();
    said.calls
        .iter()
        .enumerate()
        .map(move |(index, (name, arguments))| {
            (format!("call_{turn}_{index}"), name, arguments.to_string())
        })
}

fn finish(said: &Said) -> &'static str {
    if said.is_cut {
        "length"
    } else if said.calls.is_empty() {
        "stop"
    } else {
        "tool_calls"
    }
}

fn usage() -> Value {
    json!({
        "prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS,
        "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 3},
    })
}
