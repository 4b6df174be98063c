//! `POST /v1/messages` as Anthropic's API reference describes it.

use serde_json::{Value, json};

use super::{Format, INPUT_TOKENS, OUTPUT_TOKENS, event, halves, list, path, text};
use crate::{Said, Seen, Spoken, check};

pub(super) struct Claude;

/// What signs the fake's thoughts; they must come back with it.
const SIGNATURE: &str = "c2lnbmVk";

impl Format for Claude {
    fn read(&self, seen: &mut Seen) -> Vec<String> {
        const FIELDS: [&str; 9] = [
            "model",
            "max_tokens",
            "messages",
            "system",
            "temperature",
            "tools",
            "tool_choice",
            "stream",
            "thinking",
        ];
        let body = seen.body.clone();
        let mut wrong = check::unknown("the request", &body, &FIELDS);
        if path(&seen.target) != "/v1/messages" {
            wrong.push(format!("the path {}", seen.target));
        }
        seen.key = seen.header("x-api-key").map(str::to_owned);
        if seen.key.is_none() {
            wrong.push("no key".to_owned());
        }
        if seen.header("anthropic-version").is_none() {
            wrong.push("no anthropic-version".to_owned());
        }
        if body["max_tokens"].as_u64().unwrap_or(0) == 0 {
            wrong.push("no max_tokens".to_owned());
        }
        seen.model = text(&body, "/model");
        seen.is_streamed = body["stream"] == json!(true);
        for tool in list(&body, "/tools") {
            wrong.extend(check::object_schema("a tool", &tool["input_schema"]));
            seen.tools.push(text(tool, "/name"));
        }
        let choice = text(&body, "/tool_choice/type");
        match choice.as_str() {
            "tool" => {
                let name = text(&body, "/tool_choice/name");
                let forced = list(&body, "/tools")
                    .iter()
                    .find(|t| text(t, "/name") == name);
                match forced {
                    Some(tool) => seen.schema = Some(tool["input_schema"].clone()),
                    None => wrong.push(format!("no tool {name:?} to force")),
                }
            }
            "" | "auto" | "any" | "none" => {}
            other => wrong.push(format!("the tool_choice {other:?}")),
        }
        if !choice.is_empty() && seen.tools.is_empty() {
            wrong.push("tool_choice without tools".to_owned());
        }
        if body.get("system").is_some() {
            seen.messages.push(Spoken::System(text(&body, "/system")));
        }
        let mut last = String::new();
        for message in list(&body, "/messages") {
            let role = text(message, "/role");
            if role == last {
                wrong.push(format!("two messages of the {role} in a row"));
            }
            read_blocks(&role, list(message, "/content"), seen, &mut wrong);
            last = role;
        }
        let has_called = |m: &Spoken| matches!(m, Spoken::Assistant(_, calls) if !calls.is_empty());
        if seen.messages.iter().any(has_called) && seen.tools.is_empty() {
            wrong.push("earlier calls without their tools".to_owned());
        }
        wrong
    }

    fn whole(&self, seen: &Seen, said: &Said) -> Value {
        let mut message = empty();
        message["content"] = Value::Array(blocks(seen, said));
        message["stop_reason"] = json!(stop(seen, said));
        message["usage"] = usage();
        message
    }

    fn stream(&self, seen: &Seen, said: &Said) -> Vec<String> {
        let mut start = empty();
        start["usage"] = json!({"input_tokens": INPUT_TOKENS, "output_tokens": 1});
        let mut pieces = vec![
            event(
                "message_start",
                &json!({"type": "message_start", "message": start}),
            ),
            event("ping", &json!({"type": "ping"})),
        ];
        for (index, block) in blocks(seen, said).into_iter().enumerate() {
            let (begin, deltas) = in_pieces(&block);
            let mut push = |kind: &str, mut data: Value| {
                data["type"] = json!(kind);
                data["index"] = json!(index);
                pieces.push(event(kind, &data));
            };
            push("content_block_start", json!({"content_block": begin}));
            for delta in deltas {
                push("content_block_delta", json!({"delta": delta}));
            }
            push("content_block_stop", json!({}));
        }
        pieces.push(event(
            "message_delta",
            &json!({
                "type": "message_delta",
                "delta": {"stop_reason": stop(seen, said), "stop_sequence": null},
                "usage": {"output_tokens": OUTPUT_TOKENS},
            }),
        ));
        pieces.push(event("message_stop", &json!({"type": "message_stop"})));
        pieces
    }

    fn error(&self, status: u16, message: &str) -> Value {
        let kind = match status {
            401 => "authentication_error",
            429 => "rate_limit_error",
            500.. => "api_error",
            _ => "invalid_request_error",
        };
        json!({"type": "error", "error": {"type": kind, "message": message}})
    }
}

fn read_blocks(role: &str, blocks: &[Value], seen: &mut Seen, wrong: &mut Vec<String>) {
    let mut words = String::new();
    let mut calls = Vec::new();
    if blocks.is_empty() {
        wrong.push("a message without content".to_owned());
    }
    for block in blocks {
        match (role, text(block, "/type").as_str()) {
            ("user", "text") => seen.messages.push(Spoken::User(text(block, "/text"))),
            ("user", "tool_result") => seen.messages.push(Spoken::Result(
                Some(text(block, "/tool_use_id")),
                None,
                text(block, "/content"),
            )),
            ("assistant", "text") => words.push_str(&text(block, "/text")),
            ("assistant", "tool_use") => {
                calls.push((
                    Some(text(block, "/id")),
                    text(block, "/name"),
                    block["input"].clone(),
                ));
            }
            ("assistant", "thinking") => {
                if block["signature"] != SIGNATURE || text(block, "/thinking").is_empty() {
                    wrong.push("thoughts that are not as they were signed".to_owned());
                }
            }
            (role, kind) => wrong.push(format!("a block {kind:?} of the {role}")),
        }
    }
    if role == "assistant" {
        seen.messages.push(Spoken::Assistant(words, calls));
    }
}

/// The model's blocks. Asked to answer through a tool it does so: a text of JSON is its input.
fn blocks(seen: &Seen, said: &Said) -> Vec<Value> {
    let mut blocks = Vec::new();
    if !said.thinking.is_empty() {
        blocks.push(json!({"type": "thinking", "thinking": said.thinking, "signature": SIGNATURE}));
    }
    let turn = seen.messages.len();
    let call = |index: usize, name: &str, input: &Value| {
        let id = format!("toolu_{turn}_{index}");
        json!({"type": "tool_use", "id": id, "name": name, "input": input})
    };
    let forced = text(&seen.body, "/tool_choice/name");
    let answer: Option<Value> = serde_json::from_str(&said.text).ok();
    match answer.filter(|answer| !forced.is_empty() && answer.is_object()) {
        Some(answer) => blocks.push(call(0, &forced, &answer)),
        None if said.text.is_empty() => {}
        None => blocks.push(json!({"type": "text", "text": said.text})),
    }
    for (index, (name, arguments)) in said.calls.iter().enumerate() {
        blocks.push(call(index, name, arguments));
    }
    blocks
}

/// A block as it begins, and the deltas that complete it.
fn in_pieces(block: &Value) -> (Value, Vec<Value>) {
    let mut begin = block.clone();
    let deltas = match text(block, "/type").as_str() {
        "text" => {
            begin["text"] = json!("");
            let pieces = halves(block["text"].as_str().unwrap_or_default());
            pieces
                .iter()
                .map(|p| json!({"type": "text_delta", "text": p}))
                .collect()
        }
        "thinking" => {
            begin["thinking"] = json!("");
            begin["signature"] = json!("");
            let pieces = halves(block["thinking"].as_str().unwrap_or_default());
            pieces
                .iter()
                .map(|p| json!({"type": "thinking_delta", "thinking": p}))
                .chain([json!({"type": "signature_delta", "signature": SIGNATURE})])
                .collect()
        }
        _ => {
            begin["input"] = json!({});
            halves(&block["input"].to_string())
                .iter()
                .map(|p| json!({"type": "input_json_delta", "partial_json": p}))
                .collect()
        }
    };
    (begin, deltas)
}

fn empty() -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "fake", "content": [],
        "stop_reason": null, "stop_sequence": null,
    })
}

fn stop(seen: &Seen, said: &Said) -> &'static str {
    if said.is_cut {
        "max_tokens"
    } else if said.calls.is_empty() && seen.schema.is_none() {
        "end_turn"
    } else {
        "tool_use"
    }
}

fn usage() -> Value {
    json!({"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS})
}
