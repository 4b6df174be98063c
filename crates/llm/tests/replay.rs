//! What is recorded is answered again byte for byte, and nothing else is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::path::Path;

use ccl_llm::{Failure, Message, Parameters, Provider, Recorder, Replayed, Request};
use ccl_llm_fake::{Act, FakeServer, Said};
use common::{ALL, client, question, schema, structured, tools};
use serde_json::json;

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn a_recorded_run_is_replayed_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("a"), folder.path().join("b"));
    let recorder = Recorder::new(&first);
    let mut requests: Vec<Request> = Vec::new();
    for (kind, wire) in ALL {
        let acts = vec![
            Act::Say(Said {
                thinking: "hm".to_owned(),
                calls: vec![("get_card".to_owned(), json!({"knob": "x"}))],
                ..Said::default()
            }),
            Act::status(503),
            Act::text("no"),
            // Floats that a careless parser rounds.
            Act::text(
                r#"{"protocol": "LL", "ratios": [0.1, 1.0000000000000002, 9007199254740993.0]}"#,
            ),
            Act::status(400),
        ];
        let server = FakeServer::start(wire, acts);
        let (client, _) = client(kind, &server);
        for request in [question().with_tools(tools()), structured(), question()] {
            recorder.write(&client.ask(&request, None)).unwrap();
            requests.push(request);
        }
    }
    let replayed = Replayed::read(&first).unwrap();
    let again = Recorder::new(&second);
    for request in &requests {
        again.write(&replayed.ask(request, None)).unwrap();
    }
    let names: Vec<_> = files(&first).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), requests.len());
    assert_eq!(
        (names[0].as_str(), names[9].as_str()),
        ("0001.json", "0010.json")
    );
    assert_eq!(files(&first), files(&second));
    let over = replayed.ask(&question(), None).answer;
    assert!(matches!(over, Err(Failure::NotRecorded { .. })), "{over:?}");
}

#[test]
fn another_question_is_not_answered() {
    let (kind, wire) = ALL[1];
    let server = FakeServer::start(wire, vec![Act::text("hello")]);
    let (client, _) = client(kind, &server);
    let recorded = client.ask(&question(), None);
    let replayed = Replayed::new(vec![recorded.clone()]);
    let mut longer = question();
    longer.messages.push(Message::user("And?"));
    for (what, other) in [
        (
            "message 2",
            Request {
                messages: vec![Message::system("Be brief."), Message::user("?")],
                ..question()
            },
        ),
        ("the number of messages", longer),
        (
            "purpose",
            Request {
                purpose: "other".to_owned(),
                ..question()
            },
        ),
        ("tools", question().with_tools(tools())),
        ("schema", question().with_schema(schema())),
        (
            "parameters",
            question().with_parameters(Parameters::default()),
        ),
    ] {
        let answer = replayed.ask(&other, None).answer;
        assert!(
            matches!(&answer, Err(Failure::NotRecorded { reason }) if reason.contains(what)),
            "{what}: {answer:?}"
        );
    }
    // It did not count as asked.
    assert_eq!(replayed.ask(&question(), None), recorded);
}
