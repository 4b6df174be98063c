//! `generateContent` and `streamGenerateContent` as the reference of the Gemini API describes them.

use serde_json::{Value, json};

use super::{Format, INPUT_TOKENS, OUTPUT_TOKENS, event, halves, list, path, text};
use crate::{Said, Seen, Spoken, check};

pub(super) struct Gemini;

/// What signs the fake's calls; they must come back with it.
const SIGNATURE: &str = "c2lnbmVk";

impl Format for Gemini {
    fn read(&self, seen: &mut Seen) -> Vec<String> {
        const FIELDS: [&str; 5] = [
            "contents",
            "systemInstruction",
            "tools",
            "toolConfig",
            "generationConfig",
        ];
        const GENERATION: [&str; 6] = [
            "maxOutputTokens",
            "temperature",
            "seed",
            "responseMimeType",
            "responseSchema",
            "thinkingConfig",
        ];
        let body = seen.body.clone();
        let mut wrong = check::unknown("the request", &body, &FIELDS);
        wrong.extend(check::unknown(
            "generationConfig",
            &body["generationConfig"],
            &GENERATION,
        ));
        let action = path(&seen.target)
            .strip_prefix("/v1beta/models/")
            .and_then(|rest| rest.split_once(':'));
        match action {
            Some((model, "generateContent")) => seen.model = model.to_owned(),
            Some((model, "streamGenerateContent")) => {
                seen.model = model.to_owned();
                seen.is_streamed = true;
                if !seen.target.ends_with("?alt=sse") {
                    wrong.push("a stream without alt=sse".to_owned());
                }
            }
            _ => wrong.push(format!("the path {}", seen.target)),
        }
        seen.key = seen.header("x-goog-api-key").map(str::to_owned);
        if seen.key.is_none() {
            wrong.push("no key".to_owned());
        }
        if seen.target.contains("key=") {
            wrong.push("the key in the address".to_owned());
        }
        for tool in list(&body, "/tools/0/functionDeclarations") {
            if let Some(parameters) = tool.get("parameters") {
                wrong.extend(check::object_schema("a function", parameters));
                wrong.extend(check::gemini_schema(parameters));
            }
            seen.tools.push(text(tool, "/name"));
        }
        if let Some(schema) = body.pointer("/generationConfig/responseSchema") {
            wrong.extend(check::gemini_schema(schema));
            if body["generationConfig"]["responseMimeType"] != "application/json" {
                wrong.push("a schema without its type".to_owned());
            }
            if !seen.tools.is_empty() {
                wrong.push("a schema beside functions".to_owned());
            }
            seen.schema = Some(schema.clone());
        }
        if body.get("systemInstruction").is_some() {
            let words = text(&body, "/systemInstruction/parts/0/text");
            seen.messages.push(Spoken::System(words));
        }
        let mut last = String::new();
        for content in list(&body, "/contents") {
            let role = text(content, "/role");
            if role == last {
                wrong.push(format!("two contents of the {role} in a row"));
            }
            read_parts(&role, list(content, "/parts"), seen, &mut wrong);
            last = role;
        }
        wrong
    }

    fn whole(&self, _seen: &Seen, said: &Said) -> Value {
        chunk(&parts(said), Some(finish(said)))
    }

    fn stream(&self, _seen: &Seen, said: &Said) -> Vec<String> {
        let parts = parts(said).into_iter().flat_map(|part| {
            match part.get("text").and_then(Value::as_str) {
                Some(words) => halves(words)
                    .iter()
                    .map(|piece| {
                        let mut part = part.clone();
                        part["text"] = json!(piece);
                        part
                    })
                    .collect(),
                None => vec![part],
            }
        });
        let mut pieces: Vec<String> = parts.map(|p| event("", &chunk(&[p], None))).collect();
        pieces.push(event("", &chunk(&[], Some(finish(said)))));
        pieces
    }

    fn error(&self, status: u16, message: &str) -> Value {
        json!({"error": {"code": status, "message": message, "status": "AS_THE_SCRIPT_SAYS"}})
    }
}

fn read_parts(role: &str, parts: &[Value], seen: &mut Seen, wrong: &mut Vec<String>) {
    let mut words = String::new();
    let mut calls = Vec::new();
    if parts.is_empty() {
        wrong.push("a content without parts".to_owned());
    }
    for part in parts {
        if let Some(call) = part.get("functionCall") {
            if part["thoughtSignature"] != SIGNATURE {
                wrong.push("a call without its thought signature".to_owned());
            }
            let id = call.get("id").and_then(Value::as_str).map(str::to_owned);
            calls.push((id, text(call, "/name"), call["args"].clone()));
        } else if let Some(result) = part.get("functionResponse") {
            if role != "user" || !result["response"].is_object() {
                wrong.push(format!("a result of the {role}: {result}"));
            }
            let id = result.get("id").and_then(Value::as_str).map(str::to_owned);
            let given = &result["response"];
            let content = given.get("result").or(given.get("error"));
            let content = content.and_then(Value::as_str).unwrap_or_default();
            let name = Some(text(result, "/name"));
            seen.messages
                .push(Spoken::Result(id, name, content.to_owned()));
        } else if role == "user" {
            seen.messages.push(Spoken::User(text(part, "/text")));
        } else {
            words.push_str(&text(part, "/text"));
        }
    }
    match role {
        "model" => seen.messages.push(Spoken::Assistant(words, calls)),
        "user" => {}
        other => wrong.push(format!("the role {other:?}")),
    }
}

fn parts(said: &Said) -> Vec<Value> {
    let mut parts = Vec::new();
    if !said.thinking.is_empty() {
        parts.push(json!({"text": said.thinking, "thought": true}));
    }
    if !said.text.is_empty() {
        parts.push(json!({"text": said.text}));
    }
    parts.extend(said.calls.iter().map(|(name, arguments)| {
        json!({
            "functionCall": {"name": name, "args": arguments},
            "thoughtSignature": SIGNATURE,
        })
    }));
    parts
}

fn chunk(parts: &[Value], finish: Option<&str>) -> Value {
    let mut candidate = json!({"index": 0, "content": {"role": "model", "parts": parts}});
    if let Some(reason) = finish {
        candidate["finishReason"] = json!(reason);
    }
    json!({
        "candidates": [candidate],
        "usageMetadata": {
            "promptTokenCount": INPUT_TOKENS, "candidatesTokenCount": OUTPUT_TOKENS - 3,
            "thoughtsTokenCount": 3, "totalTokenCount": INPUT_TOKENS + OUTPUT_TOKENS,
        },
        "modelVersion": "fake", "responseId": "1",
    })
}

fn finish(said: &Said) -> &'static str {
    if said.is_cut { "MAX_TOKENS" } else { "STOP" }
}
