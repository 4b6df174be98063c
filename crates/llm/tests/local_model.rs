//! A real model on this machine: llama.cpp with a model of 270 million parameters, through the
//! OpenAI-compatible provider. `make test-llm` starts it and runs this.
//!
//! The model has no chat template and writes nonsense. What is checked is that all of it comes
//! through: shapes, never meanings.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use ccl_llm::{
    Client, Exchange, Failure, Finish, Kind, Limits, Message, Parameters, Provider, Recorder,
    Replayed, Request,
};
use common::{Shown, tools};
use serde_json::json;

fn client() -> Client {
    let address = std::env::var("CCL_LLM_SERVER").expect("make test-llm sets CCL_LLM_SERVER");
    Client::new(
        Kind::OpenAiCompatible,
        "gemma",
        Some(&format!("{address}/v1")),
        None,
    )
    .unwrap()
    .with_limits(Limits {
        first_byte: Duration::from_secs(300),
        whole: Duration::from_secs(300),
        ..Limits::default()
    })
}

fn question() -> Request {
    Request::new(
        "test",
        "You tune NCCL.",
        "Which algorithm suits eight ranks?",
    )
    .with_parameters(Parameters {
        max_tokens: Some(48),
        temperature: Some(0.0),
        seed: Some(1),
        think: None,
    })
}

fn check_usage(exchange: &Exchange) {
    let reply = exchange.answer.as_ref().unwrap();
    assert!(reply.usage.input.unwrap() > 0);
    assert!((1..=48).contains(&reply.usage.output.unwrap()));
    assert_eq!(reply.usage.cost_usd, None);
    assert!(matches!(reply.finish, Finish::Stop | Finish::Length));
}

#[test]
#[ignore = "needs a local model: make test-llm"]
fn plain_and_streamed_answers_come_through() {
    let client = client();
    let whole = client.ask(&question(), None);
    check_usage(&whole);
    let mut shown = Shown::default();
    let streamed = client.ask(&question(), Some(&mut |delta| shown.take(delta)));
    check_usage(&streamed);
    let reply = streamed.answer.as_ref().unwrap();
    assert_eq!(shown.text, reply.text);
    assert_eq!(reply.text, whole.answer.unwrap().text, "temperature 0");
    assert_eq!(streamed.attempts.len(), 1);

    let folder = tempfile::tempdir().unwrap();
    Recorder::new(folder.path()).write(&streamed).unwrap();
    let replayed = Replayed::read(folder.path()).unwrap();
    assert_eq!(replayed.ask(&question(), None), streamed);
}

#[test]
#[ignore = "needs a local model: make test-llm"]
fn a_schema_is_kept_and_its_nonsense_survived() {
    let schema = json!({
        "type": "object",
        "properties": {
            "algorithm": {"type": "string", "enum": ["ring", "tree"]},
            "channels": {"type": "integer"},
        },
        "required": ["algorithm", "channels"],
        "additionalProperties": false,
    });
    let client = client();
    for streamed in [false, true] {
        let mut shown = Shown::default();
        let request = question().with_schema(schema.clone());
        let exchange = if streamed {
            client.ask(&request, Some(&mut |delta| shown.take(delta)))
        } else {
            client.ask(&request, None)
        };
        // A number may grow until the tokens are spent; then it is no answer, and is said so.
        match exchange.answer {
            Ok(reply) => {
                let answer = reply.structured.unwrap();
                assert!(answer["algorithm"] == "ring" || answer["algorithm"] == "tree");
                assert!(answer["channels"].is_number());
            }
            Err(failure) => assert!(matches!(failure, Failure::Malformed { .. }), "{failure}"),
        }
    }
}

#[test]
#[ignore = "needs a local model: make test-llm"]
fn an_answer_that_is_cut_off_fails_after_one_repair() {
    // More letters than the tokens allow.
    let schema = json!({
        "type": "object",
        "properties": {"a": {"type": "string", "minLength": 900}},
        "required": ["a"],
    });
    let exchange = client().ask(&question().with_schema(schema), None);
    assert!(
        matches!(exchange.answer, Err(Failure::Malformed { .. })),
        "{:?}",
        exchange.answer
    );
    assert_eq!(exchange.attempts.len(), 2);
}

#[test]
#[ignore = "needs a local model: make test-llm"]
fn tools_are_offered_and_a_conversation_goes_on() {
    let client = client();
    let mut request = question().with_tools(tools());
    for _ in 0..2 {
        let reply = client.ask(&request, None).answer.unwrap();
        request.messages.push(reply.message());
        for call in &reply.calls {
            request.messages.push(Message::result(call, "{}"));
        }
        request.messages.push(Message::user("And then?"));
    }
}

#[test]
#[ignore = "needs a local model: make test-llm"]
fn what_the_server_refuses_is_said_once() {
    let mut request = question();
    request.messages.push(Message::user("word ".repeat(20_000)));
    let exchange = client().ask(&request, None);
    // More than its context holds.
    assert!(
        matches!(&exchange.answer, Err(Failure::Refused { status: 400, message, .. })
            if message.contains("context")),
        "{:?}",
        exchange.answer
    );
    assert_eq!(exchange.attempts.len(), 1);
}
