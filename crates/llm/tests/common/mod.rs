//! What the tests of the client share: a clock that only waits in the books, and clients of fakes.

#![allow(dead_code)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ccl_llm::{Client, Delta, Key, Kind, Limits, Pace, Parameters, Request, ToolSpec};
use ccl_llm_fake::{FakeServer, Wire};
use jiff::Timestamp;
use serde_json::{Value, json};

/// What no byte that is written may hold.
pub const SECRET: &str = "sk-planted-0123456789";

/// Every kind of provider with the format it speaks.
pub const ALL: [(Kind, Wire); 6] = [
    (Kind::Ollama, Wire::Ollama),
    (Kind::OpenAi, Wire::OpenAi),
    (Kind::Claude, Wire::Claude),
    (Kind::Gemini, Wire::Gemini),
    (Kind::Fireworks, Wire::OpenAiCompatible),
    (Kind::OpenAiCompatible, Wire::OpenAiCompatible),
];

/// The real time plus what was waited, which takes none. Chance is always the middle.
pub struct Hurried {
    began: Instant,
    waited: Mutex<Vec<Duration>>,
}

impl Hurried {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            waited: Mutex::default(),
        })
    }

    pub fn waited(&self) -> Vec<Duration> {
        self.waited.lock().unwrap().clone()
    }
}

impl Pace for Hurried {
    fn now(&self) -> Duration {
        self.began.elapsed() + self.waited().iter().sum::<Duration>()
    }

    fn sleep(&self, time: Duration) {
        self.waited.lock().unwrap().push(time);
    }

    fn chance(&self) -> f64 {
        0.5
    }

    fn date(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

pub fn key() -> Key {
    Key::new(SECRET, "test").unwrap()
}

/// A client of a fake, with a key, and its clock.
pub fn client(kind: Kind, server: &FakeServer) -> (Client, Arc<Hurried>) {
    client_at(kind, &server.address())
}

pub fn client_at(kind: Kind, address: &str) -> (Client, Arc<Hurried>) {
    let pace = Hurried::new();
    let client = Client::new(kind, "some-model", Some(address), Some(key()))
        .unwrap()
        .with_pace(pace.clone());
    (client, pace)
}

/// Limits for what never answers: short, and nothing depends on how short.
pub fn short() -> Limits {
    Limits {
        first_byte: Duration::from_millis(200),
        whole: Duration::from_millis(400),
        ..Limits::default()
    }
}

pub fn question() -> Request {
    Request::new("test", "Be brief.", "What runs?").with_parameters(Parameters {
        max_tokens: Some(64),
        temperature: Some(0.0),
        seed: Some(1),
        think: None,
    })
}

/// Asks with a schema that has what is hard for providers: a reference, an optional field, an
/// alternative, limits, a nested list.
pub fn structured() -> Request {
    question().with_schema(schema())
}

pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Answer",
        "type": "object",
        "properties": {
            "channels": {"type": ["integer", "null"], "format": "uint32", "minimum": 0},
            "protocol": {"$ref": "#/$defs/Protocol"},
            "note": {"type": "string"},
            "ratios": {"type": "array", "items": {"type": "number", "format": "double"}, "minItems": 2},
        },
        "required": ["protocol", "ratios"],
        "$defs": {"Protocol": {"oneOf": [
            {"description": "Low latency.", "type": "string", "const": "LL"},
            {"type": "string", "const": "Simple"},
        ]}},
    })
}

pub fn fitting() -> Value {
    json!({"channels": 8, "protocol": "LL", "note": "n", "ratios": [0.5, 1.0]})
}

pub fn tools() -> Vec<ToolSpec> {
    let tool = |name: &str, parameters: Value| ToolSpec {
        name: name.to_owned(),
        description: format!("Does {name}."),
        parameters,
    };
    vec![
        tool(
            "get_card",
            json!({
                "type": "object",
                "properties": {"knob": {"type": "string"}, "depth": {"type": ["integer", "null"]}},
                "required": ["knob"],
                "additionalProperties": false,
            }),
        ),
        tool("list_keys", json!({"type": "object", "properties": {}})),
    ]
}

/// Collects what is streamed, as the one who sees it would.
#[derive(Default)]
pub struct Shown {
    pub text: String,
    pub thinking: String,
    pub again: u32,
}

impl Shown {
    pub fn take(&mut self, delta: &Delta) {
        match delta {
            Delta::Text(more) => self.text.push_str(more),
            Delta::Thinking(more) => self.thinking.push_str(more),
            Delta::Again => {
                self.text.clear();
                self.thinking.clear();
                self.again += 1;
            }
        }
    }
}
