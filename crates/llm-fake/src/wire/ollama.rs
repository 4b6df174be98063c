//! `POST /api/chat` as docs/api.md of ollama/ollama describes it.

use serde_json::{Value, json};

use super::{Format, INPUT_TOKENS, OUTPUT_TOKENS, bearer, halves, list, path, text};
use crate::{Said, Seen, Spoken, check};

pub(super) struct Ollama;

impl Format for Ollama {
    fn read(&self, seen: &mut Seen) -> Vec<String> {
        const FIELDS: [&str; 9] = [
            "model",
            "messages",
            "tools",
            "think",
            "format",
            "options",
            "stream",
            "keep_alive",
            "logprobs",
        ];
        const OPTIONS: [&str; 4] = ["num_predict", "temperature", "seed", "num_ctx"];
        let body = seen.body.clone();
        let mut wrong = check::unknown("the request", &body, &FIELDS);
        wrong.extend(check::unknown("options", &body["options"], &OPTIONS));
        if path(&seen.target) != "/api/chat" {
            wrong.push(format!("the path {}", seen.target));
        }
        seen.key = bearer(seen);
        seen.model = text(&body, "/model");
        // It streams unless told not to.
        seen.is_streamed = body["stream"] != json!(false);
        seen.schema = body.get("format").cloned();
        if let Some(schema) = &seen.schema {
            wrong.extend(check::object_schema("format", schema));
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
        for message in list(&body, "/messages") {
            let content = text(message, "/content");
            let role = text(message, "/role");
            wrong.extend(check::unknown(
                "a message",
                message,
                match role.as_str() {
                    "assistant" => &["role", "content", "thinking", "tool_calls"],
                    "tool" => &["role", "content", "tool_name"],
                    _ => &["role", "content"],
                },
            ));
            seen.messages.push(match role.as_str() {
                "system" => Spoken::System(content),
                "user" => Spoken::User(content),
                "assistant" => Spoken::Assistant(
                    content,
                    list(message, "/tool_calls")
                        .iter()
                        .map(|call| {
                            let arguments = call["function"]["arguments"].clone();
                            (None, text(call, "/function/name"), arguments)
                        })
                        .collect(),
                ),
                "tool" => Spoken::Result(None, Some(text(message, "/tool_name")), content),
                other => {
                    wrong.push(format!("the role {other:?}"));
                    continue;
                }
            });
        }
        wrong
    }

    fn whole(&self, _seen: &Seen, said: &Said) -> Value {
        let mut message = json!({"role": "assistant", "content": said.text});
        if !said.thinking.is_empty() {
            message["thinking"] = json!(said.thinking);
        }
        if !said.calls.is_empty() {
            message["tool_calls"] = calls(said);
        }
        last(&message, said)
    }

    fn stream(&self, _seen: &Seen, said: &Said) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in halves(&said.thinking) {
            if !piece.is_empty() {
                lines.push(line(
                    &json!({"role": "assistant", "content": "", "thinking": piece}),
                ));
            }
        }
        for piece in halves(&said.text) {
            lines.push(line(&json!({"role": "assistant", "content": piece})));
        }
        if !said.calls.is_empty() {
            lines.push(line(
                &json!({"role": "assistant", "content": "", "tool_calls": calls(said)}),
            ));
        }
        let empty = json!({"role": "assistant", "content": ""});
        lines.push(format!("{}\n", last(&empty, said)));
        lines
    }

    fn stream_type(&self) -> &'static str {
        "application/x-ndjson"
    }

    fn error(&self, _status: u16, message: &str) -> Value {
        json!({"error": message})
    }
}

fn calls(said: &Said) -> Value {
    said.calls
        .iter()
        .map(|(name, arguments)| json!({"function": {"name": name, "arguments": arguments}}))
        .collect()
}

fn line(message: &Value) -> String {
    let line = json!({
        "model": "fake", "created_at": "2025-01-01T00:00:00Z", "message": message, "done": false,
    });
    format!("{line}\n")
}

fn last(message: &Value, said: &Said) -> Value {
    json!({
        "model": "fake",
        "created_at": "2025-01-01T00:00:00Z",
        "message": message,
        "done": true,
        "done_reason": if said.is_cut { "length" } else { "stop" },
        "total_duration": 1, "load_duration": 1,
        "prompt_eval_count": INPUT_TOKENS, "prompt_eval_duration": 1,
        "eval_count": OUTPUT_TOKENS, "eval_duration": 1,
    })
}
