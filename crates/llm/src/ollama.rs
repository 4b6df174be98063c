//! Ollama: the default, since it runs where the job runs and sends nothing away.
//!
//! `POST /api/chat` with a JSON Schema in `format` (docs/api.md of ollama/ollama).

use std::time::Duration;

use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::exchange::json_of;
use crate::{Exchange, Failure, Provider, Request};

/// How long to wait for somebody to listen.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait for a model that is thinking.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// Largest part of an error body that is kept.
const ERROR_CHARS: usize = 300;

/// An Ollama server and one of its models.
#[derive(Clone, Debug)]
pub struct Ollama {
    address: String,
    model: String,
}

impl Ollama {
    /// Where Ollama listens unless told otherwise.
    pub const ADDRESS: &'static str = "http://127.0.0.1:11434";
    /// The model asked unless told otherwise.
    pub const MODEL: &'static str = "deepseek-r1:8b";

    /// A model at an address; `host:port` means `http://host:port`, as in `OLLAMA_HOST`.
    pub fn new(address: &str, model: &str) -> Self {
        let address = address.trim_end_matches('/');
        let address = if address.contains("://") {
            address.to_owned()
        } else {
            format!("http://{address}")
        };
        Self {
            address,
            model: model.to_owned(),
        }
    }

    fn post(&self, body: &Value) -> Result<(u16, String), Failure> {
        let unreachable = |error: &dyn std::error::Error| Failure::Unreachable {
            address: self.address.clone(),
            reason: innermost(error),
        };
        // The server is on this machine or in this network: a proxy for the world is not asked.
        let client = Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .build()
            .map_err(|e| unreachable(&e))?;
        let url = format!("{}/api/chat", self.address);
        let response = client
            .post(url)
            .json(body)
            .send()
            .map_err(|e| unreachable(&e))?;
        let status = response.status().as_u16();
        let text = response.text().map_err(|e| unreachable(&e))?;
        Ok((status, text))
    }
}

impl Provider for Ollama {
    fn name(&self) -> &'static str {
        "ollama"
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn ask(&self, request: &Request) -> Exchange {
        let body = json!({
            "model": self.model,
            "messages": [
                {"role": "system", "content": request.system},
                {"role": "user", "content": request.user},
            ],
            "format": request.schema,
            "stream": false,
            "options": {"temperature": 0, "seed": 1},
        });
        let (response, answer) = match self.post(&body) {
            Err(failure) => (None, Err(failure)),
            Ok((200..=299, text)) => {
                let answer = content(&text).and_then(|content| json_of(&content));
                (Some(text), answer)
            }
            Ok((status, text)) => {
                let message = text.chars().take(ERROR_CHARS).collect();
                let failure = Failure::Refused {
                    address: self.address.clone(),
                    status,
                    message,
                };
                (Some(text), Err(failure))
            }
        };
        Exchange {
            provider: self.name().to_owned(),
            model: self.model.clone(),
            address: self.address.clone(),
            purpose: request.purpose.clone(),
            request: body,
            response,
            answer,
        }
    }
}

/// The model's words in Ollama's answer.
fn content(text: &str) -> Result<String, Failure> {
    let malformed = |reason: String| Failure::Malformed { reason };
    let body: Value = serde_json::from_str(text).map_err(|e| malformed(e.to_string()))?;
    body.pointer("/message/content")
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| malformed("no message.content".to_owned()))
}

/// The last cause of an error: `connection refused` and not three layers around it.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
