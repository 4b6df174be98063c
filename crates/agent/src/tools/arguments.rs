//! What tools are called with: task keys and choices as somebody writes them, read strictly.
//!
//! A key may be called by its name or by its number in the list of keys, since models copy numbers more
//! faithfully than names. Everything else has to fit: a field that nobody asked for is a misunderstanding, and
//! an answer that says so is worth more than a guess.

use std::borrow::Cow;

use ccl_core::{Algorithm, Choice, EvidenceId, Protocol, TaskKey};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::ToolError;
use crate::situation::{KeyState, Situation};

/// Most characters of a caller's words that are repeated or kept.
const MOST_CHARACTERS: usize = 200;
/// Most characters of a caller's arguments that are written down.
const MOST_WRITTEN: usize = 8_000;

/// Reads arguments; what is wrong is said with its place.
pub(crate) fn read<T: DeserializeOwned>(arguments: Value) -> Result<T, ToolError> {
    // No arguments are none of them.
    let arguments = match arguments {
        Value::Null => Value::Object(serde_json::Map::new()),
        other => other,
    };
    serde_path_to_error::deserialize(arguments).map_err(|error| {
        let place = error.path().to_string();
        let reason = shortened(&error.into_inner().to_string());
        ToolError::Arguments(match place.as_str() {
            "." => format!("the arguments do not fit: {reason}"),
            place => format!("{place}: {reason}"),
        })
    })
}

/// The beginning of a text.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Arguments as they are written down: whole, unless they are a book.
pub(super) fn bounded(arguments: Value) -> Value {
    let text = arguments.to_string();
    match text.len() > MOST_WRITTEN {
        true => Value::String(format!("{} bytes: {}", text.len(), shortened(&text))),
        false => arguments,
    }
}

/// A task key as somebody calls it.
#[derive(Clone, Debug)]
pub(crate) struct KeyName(String);

impl KeyName {
    /// The key that is meant.
    pub(crate) fn find<'s>(&self, situation: &'s Situation) -> Result<&'s KeyState, ToolError> {
        let name = self.0.trim();
        let mut keys = situation.keys.iter();
        let found = match name.parse::<usize>() {
            Ok(number) => number.checked_sub(1).and_then(|n| situation.keys.get(n)),
            Err(_) => keys.find(|k| same_words(&k.facts.key.to_string(), name)),
        };
        found.ok_or_else(|| {
            let name = shortened(name);
            let count = situation.keys.len();
            ToolError::Arguments(format!(
                "there is no task key {name:?}; there are 1 to {count}, as list_task_keys shows them"
            ))
        })
    }
}

/// Whether two names differ in spaces and in upper and lower case alone.
pub(crate) fn same_words(a: &str, b: &str) -> bool {
    let letters = |text: &str| -> String {
        let letters = text.chars().filter(|c| !c.is_whitespace());
        letters.flat_map(char::to_lowercase).collect()
    };
    letters(a) == letters(b)
}

impl<'de> Deserialize<'de> for KeyName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(name) => Ok(Self(name)),
            Value::Number(number) => Ok(Self(number.to_string())),
            _ => Err(D::Error::custom("a task key is its name or its number")),
        }
    }
}

impl JsonSchema for KeyName {
    fn schema_name() -> Cow<'static, str> {
        "KeyName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "name of a task key, or its number in the list of task keys"
        })
    }
}

/// The number of a piece of evidence as somebody cites it: `E7`, or 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cited(pub(crate) u32);

impl Cited {
    /// The evidence that is meant.
    pub(crate) fn find(self, situation: &Situation) -> Result<EvidenceId, ToolError> {
        let id = EvidenceId(self.0);
        match situation.evidence.iter().any(|e| e.id == id) {
            true => Ok(id),
            false => Err(ToolError::Arguments(format!("there is no evidence {id}"))),
        }
    }
}

/// No arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// The key that is meant, where one is.
pub(super) fn key_of(
    name: Option<&KeyName>,
    situation: &Situation,
) -> Result<Option<TaskKey>, ToolError> {
    let found = name.map(|name| name.find(situation)).transpose()?;
    Ok(found.map(|state| state.facts.key))
}

/// What something rests on: at least one piece of evidence, and all of it there.
pub(crate) fn rests_on(
    what: &str,
    all: &[Cited],
    situation: &Situation,
) -> Result<Vec<EvidenceId>, ToolError> {
    match all.is_empty() {
        true => Err(ToolError::Arguments(format!(
            "evidence: {what} rests on at least one piece of it"
        ))),
        false => cited(all, situation),
    }
}

/// All of what is cited.
pub(crate) fn cited(all: &[Cited], situation: &Situation) -> Result<Vec<EvidenceId>, ToolError> {
    all.iter().map(|one| one.find(situation)).collect()
}

impl<'de> Deserialize<'de> for Cited {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = match Value::deserialize(deserializer)? {
            Value::String(text) => text.trim().trim_start_matches(['E', 'e']).parse().ok(),
            Value::Number(number) => number.as_u64().and_then(|n| u32::try_from(n).ok()),
            _ => None,
        };
        let number = number.ok_or_else(|| D::Error::custom("evidence is cited as \"E7\""))?;
        Ok(Self(number))
    }
}

impl JsonSchema for Cited {
    fn schema_name() -> Cow<'static, str> {
        "Cited".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": "id of a piece of evidence, such as E7"})
    }
}

/// What a key would run.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// The algorithm.
    pub(crate) algorithm: Algorithm,
    /// The protocol.
    pub(crate) protocol: Protocol,
    /// Channels; null leaves them to NCCL.
    #[serde(default)]
    pub(crate) channels: Option<u32>,
    /// Chunk size in bytes; null leaves it to NCCL.
    #[serde(default)]
    pub(crate) chunk_bytes: Option<u64>,
}

impl Wanted {
    /// As the rest of the program says it.
    pub(crate) fn choice(self) -> Choice {
        Choice {
            channels: self.channels,
            chunk_bytes: self.chunk_bytes,
            ..Choice::new(self.algorithm, self.protocol)
        }
    }
}
