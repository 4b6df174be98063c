//! The Ollama client against a socket that answers what the test says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use ccl_llm::{Failure, Ollama, Provider, Request};
use serde_json::{Value, json};

/// Answers one request and gives back its body.
fn server(status: &'static str, body: String) -> (String, JoinHandle<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut request = vec![0; length];
        reader.read_exact(&mut request).unwrap();
        write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        serde_json::from_slice(&request).unwrap()
    });
    (address, thread)
}

fn request() -> Request {
    Request {
        purpose: "test".to_owned(),
        system: "be brief".to_owned(),
        user: "what?".to_owned(),
        schema: json!({"type": "object"}),
    }
}

#[test]
fn the_answer_and_the_exact_bytes_come_back() {
    let body = json!({"message": {"content": "<think>well</think>{\"a\": 1}"}}).to_string();
    let (address, seen) = server("200 OK", body.clone());
    let exchange = Ollama::new(&address, "deepseek-r1:8b").ask(&request());
    assert_eq!(exchange.answer, Ok(json!({"a": 1})));
    assert_eq!(exchange.response, Some(body));
    let seen = seen.join().unwrap();
    assert_eq!(seen, exchange.request);
    assert_eq!(seen["model"], "deepseek-r1:8b");
    assert_eq!(seen["format"], json!({"type": "object"}));
    assert_eq!(seen["stream"], false);
}

#[test]
fn a_missing_model_says_what_the_server_said() {
    let body = json!({"error": "model 'x' not found"}).to_string();
    let (address, _seen) = server("404 Not Found", body);
    let exchange = Ollama::new(&address, "x").ask(&request());
    let failure = exchange.answer.unwrap_err();
    assert!(matches!(failure, Failure::Refused { status: 404, .. }));
    assert!(failure.to_string().contains("not found"), "{failure}");
}

#[test]
fn words_instead_of_json_are_a_failure() {
    let body = json!({"message": {"content": "Use Ring."}}).to_string();
    let (address, _seen) = server("200 OK", body);
    let exchange = Ollama::new(&address, "x").ask(&request());
    assert!(matches!(exchange.answer, Err(Failure::Malformed { .. })));
}

#[test]
fn nobody_listening_is_an_ordinary_value() {
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let exchange = Ollama::new(&address, "x").ask(&request());
    assert_eq!(exchange.response, None);
    assert!(matches!(exchange.answer, Err(Failure::Unreachable { .. })));
}
