//! A language model that says what a test wants, as often as it is asked.

use std::sync::{Arc, Mutex};

use ccl_llm::{Exchange, Failure, Provider, Reply, Request, Sink, ToolCall};
use serde_json::{Value, json};

type Script = dyn Fn(usize, &Request) -> Result<Reply, Failure> + Send + Sync;

/// The model, and what it was asked.
pub struct Model {
    script: Box<Script>,
    asked: Mutex<Vec<Request>>,
}

impl Model {
    /// One that answers by the number of the request, from 0, and what it holds.
    pub fn new(
        script: impl Fn(usize, &Request) -> Result<Reply, Failure> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            script: Box::new(script),
            asked: Mutex::default(),
        })
    }

    /// One that always decides the same.
    pub fn deciding(decision: Value) -> Arc<Self> {
        Self::new(move |_, _| Ok(decided(decision.clone())))
    }

    pub fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }
}

impl Provider for Model {
    fn name(&self) -> &'static str {
        "test"
    }

    fn model(&self) -> &'static str {
        "scripted"
    }

    fn address(&self) -> &'static str {
        "nowhere"
    }

    fn ask(&self, request: &Request, _: Sink<'_>) -> Exchange {
        let number = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(request.clone());
            asked.len() - 1
        };
        let answer = (self.script)(number, request);
        Exchange::unsent("test", "scripted", "nowhere", request, answer)
    }
}

/// A reply that decides.
pub fn decided(decision: Value) -> Reply {
    Reply {
        text: decision.to_string(),
        structured: Some(decision),
        ..Reply::default()
    }
}

/// A reply that calls tools.
pub fn calling(calls: &[(&str, Value)]) -> Reply {
    let calls = calls
        .iter()
        .enumerate()
        .map(|(index, (name, arguments))| ToolCall {
            id: format!("call-{index}"),
            name: (*name).to_owned(),
            arguments: arguments.clone(),
        });
    Reply {
        calls: calls.collect(),
        ..Reply::default()
    }
}

/// A decision to try one choice on the first key.
pub fn try_one(algorithm: &str, protocol: &str, channels: u32) -> Value {
    json!({
        "decision": "try", "because": "1 of 2", "evidence": ["E1"], "variables": [],
        "hypotheses": [{
            "key": "1", "mechanism": "test", "because": "half of it", "evidence": ["E1"],
            "choice": {
                "algorithm": algorithm, "protocol": protocol, "channels": channels, "chunk_bytes": null
            },
            "predicted_ratio": [0.8, 1.0], "risk": "none", "refuted_by": "nothing"
        }]
    })
}
