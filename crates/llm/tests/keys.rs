//! A planted key is in no byte that is recorded, shown or said, whatever a server does with it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;

use ccl_llm::{Client, Delta, Exchange, Key, KeyError, Message, Provider, Recorder};
use ccl_llm_fake::{Act, FakeServer, Said, Seen};
use common::{ALL, SECRET, Shown, client, key, question, structured, tools};
use serde_json::json;

/// A server that gives the key back wherever a server can.
fn leaky(seen: &Seen) -> Act {
    let key = seen.key.clone().unwrap_or_default();
    match seen.last_user() {
        Some("error") => Act::EchoKey,
        Some("tool") => Act::Say(Said {
            text: format!("with {key}"),
            thinking: format!("{key}{key}"),
            calls: vec![("get_card".to_owned(), json!({"knob": key}))],
            ..Said::default()
        }),
        Some("nonsense") => Act::raw(format!("{{\"{key}\": {key}")),
        Some("cut") => Act::Truncated(Said {
            text: format!("{key} ").repeat(9),
            ..Said::default()
        }),
        _ => Act::text(format!("{{\"protocol\": \"{key}\"}} {key}")),
    }
}

#[test]
fn a_planted_key_is_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(folder.path().join("llm"));
    let mut said = String::new();
    for (kind, wire) in ALL {
        let server = FakeServer::start(wire, leaky);
        for what in ["error", "tool", "nonsense", "cut", "plain", "structured"] {
            for streamed in [false, true] {
                let (client, _) = client(kind, &server);
                let mut request = if what == "structured" {
                    structured()
                } else {
                    question().with_tools(tools())
                };
                // As if a log of the job had it.
                request
                    .messages
                    .push(Message::user(format!("The log says {SECRET}.")));
                request.messages.push(Message::user(what));
                let mut shown = Shown::default();
                let exchange = if streamed {
                    client.ask(&request, Some(&mut |delta: &Delta| shown.take(delta)))
                } else {
                    client.ask(&request, None)
                };
                recorder.write(&exchange).unwrap();
                said.push_str(&format!(
                    "{exchange:?} {client:?} {} {}",
                    shown.text, shown.thinking
                ));
                if let Err(failure) = &exchange.answer {
                    said.push_str(&failure.to_string());
                }
            }
        }
        // It did go out in its header, and in nothing else.
        for seen in server.requests() {
            assert_eq!(seen.key.as_deref(), Some(SECRET), "{kind:?}");
            assert!(
                !seen.text.contains(SECRET) && !seen.target.contains(SECRET),
                "{kind:?}"
            );
        }
    }
    assert!(!said.contains(SECRET));
    let files: Vec<_> = fs::read_dir(folder.path().join("llm")).unwrap().collect();
    assert_eq!(files.len(), ALL.len() * 12);
    for file in files {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains(SECRET), "{text}");
        // It is still an exchange, with the mark where the key stood.
        let exchange: Exchange = serde_json::from_str(&text).unwrap();
        assert!(exchange.attempts[0].request.to_string().contains("[key]"));
    }
}

/// What is searched for is really what would be found: without a key to hide it is there.
#[test]
fn the_search_finds_what_is_not_hidden() {
    let (kind, wire) = ALL[0];
    let server = FakeServer::start(wire, |_: &Seen| Act::text(SECRET));
    let open = Client::new(kind, "m", Some(&server.address()), None).unwrap();
    let exchange = open.ask(&question(), None);
    assert!(serde_json::to_string(&exchange).unwrap().contains(SECRET));
}

#[test]
fn a_key_file_is_read_and_its_permissions_are_seen() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, format!("  {SECRET}\n")).unwrap();
    for (mode, open) in [(0o600, false), (0o640, true), (0o604, true)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let (read, is_open) = Key::from_file(&path).unwrap();
        assert_eq!((read, is_open), (key(), open), "{mode:o}");
    }
    for bad in [
        "",
        "short",
        "two words of it",
        "b\u{e4}d-non-ascii",
        &"x".repeat(5000),
    ] {
        fs::write(&path, bad).unwrap();
        let error = Key::from_file(&path).unwrap_err();
        assert!(matches!(error, KeyError::Unusable { .. }), "{error}");
        assert!(
            bad.is_empty() || !error.to_string().contains(bad),
            "{error}"
        );
    }
    let missing = Key::from_file(&folder.path().join("none")).unwrap_err();
    assert!(matches!(missing, KeyError::Unreadable { .. }));
}
