//! The rules all providers share, on the conversation in neutral words, and the rules of schemas.

use serde_json::Value;

use crate::{Seen, Spoken};

/// What is wrong with a conversation.
pub(crate) fn conversation(seen: &Seen) -> Vec<String> {
    let mut wrong = Vec::new();
    if seen.model.is_empty() {
        wrong.push("no model".to_owned());
    }
    let mut open: Vec<(Option<&str>, &str)> = Vec::new();
    let mut has_begun = false;
    for (number, message) in seen.messages.iter().enumerate() {
        let mut bad = |what: String| wrong.push(format!("message {}: {what}", number + 1));
        if !open.is_empty() && !matches!(message, Spoken::Result(..)) {
            bad(format!("calls without an answer: {open:?}"));
            open.clear();
        }
        match message {
            Spoken::System(text) => {
                if has_begun {
                    bad("a system message in the middle".to_owned());
                }
                if text.is_empty() {
                    bad("an empty system message".to_owned());
                }
            }
            Spoken::User(text) if text.is_empty() => bad("an empty message".to_owned()),
            Spoken::User(_) => {}
            Spoken::Assistant(text, calls) => {
                if !has_begun {
                    bad("the model speaks first".to_owned());
                }
                if text.is_empty() && calls.is_empty() {
                    bad("an empty turn".to_owned());
                }
                open = calls
                    .iter()
                    .map(|(id, name, _)| (id.as_deref(), name.as_str()))
                    .collect();
                let ids: Vec<_> = open.iter().filter_map(|(id, _)| *id).collect();
                let mut unique = ids.clone();
                unique.sort_unstable();
                unique.dedup();
                if unique.len() != ids.len() || ids.contains(&"") {
                    bad(format!("ids of calls {ids:?}"));
                }
                for (_, name, arguments) in calls {
                    if !arguments.is_object() {
                        bad(format!(
                            "the arguments of {name} are no object: {arguments}"
                        ));
                    }
                }
            }
            // Where a format has no ids, results answer the calls in their order.
            Spoken::Result(id, name, _) => {
                let place = open.iter().position(|(open_id, open_name)| {
                    open_id.zip(id.as_deref()).is_none_or(|(a, b)| a == b)
                        && name.as_ref().is_none_or(|name| name == open_name)
                });
                match place {
                    Some(place) => drop(open.remove(place)),
                    None => bad(format!("a result of no open call: {id:?} {name:?}")),
                }
            }
        }
        has_begun |= !matches!(message, Spoken::System(_));
    }
    if !open.is_empty() {
        wrong.push(format!("calls without an answer: {open:?}"));
    }
    match seen.messages.last() {
        Some(Spoken::User(_) | Spoken::Result(..)) => {}
        other => wrong.push(format!("nothing to answer after {other:?}")),
    }
    let mut names = seen.tools.clone();
    names.sort_unstable();
    names.dedup();
    if names.len() != seen.tools.len() {
        wrong.push("two tools of one name".to_owned());
    }
    for name in &names {
        let is_legal = (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !is_legal {
            wrong.push(format!("the tool name {name:?}"));
        }
    }
    wrong
}

/// Fields of an object that its format does not have.
pub(crate) fn unknown(what: &str, object: &Value, known: &[&str]) -> Vec<String> {
    object
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| !known.contains(&name.as_str()))
        .map(|(name, _)| format!("{what} has no field {name:?}"))
        .collect()
}

/// A schema of arguments or of an answer must describe an object.
pub(crate) fn object_schema(what: &str, schema: &Value) -> Vec<String> {
    if schema.get("type").is_some_and(|t| t == "object") {
        Vec::new()
    } else {
        vec![format!("{what}: the schema is of no object")]
    }
}

/// OpenAI's strict mode: closed objects, all properties required, and no more than these keywords.
pub(crate) fn strict_schema(schema: &Value) -> Vec<String> {
    const KNOWN: [&str; 19] = [
        "type",
        "description",
        "enum",
        "const",
        "anyOf",
        "$ref",
        "$defs",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "pattern",
        "format",
        "multipleOf",
        "minimum",
        "maximum",
        "minItems",
        "maxItems",
        "exclusiveMinimum",
    ];
    let mut wrong = unknown("a strict schema", schema, &KNOWN);
    if schema.get("type").is_some_and(|t| t == "object") {
        if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
            wrong.push("an object that is not closed".to_owned());
        }
        let names: Vec<&String> = schema
            .get("properties")
            .and_then(Value::as_object)
            .map(|p| p.keys().collect())
            .unwrap_or_default();
        let required = schema.get("required").and_then(Value::as_array);
        let is_required =
            |name: &&String| required.is_some_and(|all| all.iter().any(|r| r == name.as_str()));
        if !names.iter().all(is_required) {
            wrong.push("a property that is not required".to_owned());
        }
    }
    wrong.extend(below(schema).into_iter().flat_map(strict_schema));
    wrong
}

/// Gemini's subset of OpenAPI.
pub(crate) fn gemini_schema(schema: &Value) -> Vec<String> {
    const KNOWN: [&str; 16] = [
        "type",
        "format",
        "title",
        "description",
        "nullable",
        "enum",
        "maxItems",
        "minItems",
        "properties",
        "required",
        "items",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "anyOf",
    ];
    let mut wrong = unknown(
        "a Gemini schema",
        schema,
        &[&KNOWN[..], &["pattern"]].concat(),
    );
    let kind = schema.get("type");
    if schema.get("anyOf").is_none() && !kind.is_some_and(Value::is_string) {
        wrong.push(format!("a schema of the type {kind:?}"));
    }
    if kind.is_some_and(|t| t == "object")
        && schema
            .get("properties")
            .and_then(Value::as_object)
            .is_none_or(serde_json::Map::is_empty)
    {
        wrong.push("an object without properties".to_owned());
    }
    wrong.extend(below(schema).into_iter().flat_map(gemini_schema));
    wrong
}

/// The schemas inside a schema.
fn below(schema: &Value) -> Vec<&Value> {
    let mut inside: Vec<&Value> = Vec::new();
    for maps in ["properties", "$defs"] {
        inside.extend(
            schema
                .get(maps)
                .and_then(Value::as_object)
                .into_iter()
                .flat_map(|m| m.values()),
        );
    }
    inside.extend(
        schema
            .get("anyOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten(),
    );
    inside.extend(schema.get("items"));
    inside
}
