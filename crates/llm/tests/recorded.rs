//! What servers send becomes the reply it means (`recorded/README.md` says what is a recording and
//! what was written from documentation).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::path::Path;

use ccl_llm::{Failure, Finish, Kind, Provider, Reply, Usage};
use ccl_llm_fake::{Act, FakeServer, Wire};
use common::{Shown, client, question, structured, tools};
use serde_json::{Value, json};

/// Plays a file with a status, whole or streamed by its name, as many times as the client asks.
fn play(kind: Kind, wire: Wire, file: &str, status: u16) -> (Result<Reply, Failure>, Shown) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/recorded")
        .join(file);
    let body = fs::read_to_string(&path).unwrap();
    let server = FakeServer::start(wire, vec![Act::Raw { status, body }; 4]);
    let (client, _) = client(kind, &server);
    let mut shown = Shown::default();
    let request = question().with_tools(tools());
    let exchange = if file.ends_with(".json") {
        client.ask(&request, None)
    } else {
        client.ask(&request, Some(&mut |delta| shown.take(delta)))
    };
    (exchange.answer, shown)
}

fn usage(input: u64, output: u64, reasoning: Option<u64>, cached: Option<u64>) -> Usage {
    Usage {
        input: Some(input),
        output: Some(output),
        reasoning,
        cached,
        cost_usd: None,
    }
}

type Row = (Kind, Wire, &'static str, &'static str, &'static str, Usage);

const OLLAMA: (Kind, Wire) = (Kind::Ollama, Wire::Ollama);
const OPENAI: (Kind, Wire) = (Kind::OpenAi, Wire::OpenAi);
const CLAUDE: (Kind, Wire) = (Kind::Claude, Wire::Claude);
const GEMINI: (Kind, Wire) = (Kind::Gemini, Wire::Gemini);
const OTHERS: (Kind, Wire) = (Kind::OpenAiCompatible, Wire::OpenAiCompatible);

#[test]
fn words_and_thoughts() {
    const RING: &str = "Ring is right inside one node.";
    let row = |(kind, wire), file, thinking, text, usage| -> Row {
        (kind, wire, file, thinking, text, usage)
    };
    let rows = [
        row(
            OLLAMA,
            "ollama/plain.json",
            "Eight ranks in one node.\nTree helps across nodes.",
            RING,
            usage(36, 180, None, None),
        ),
        row(
            OLLAMA,
            "ollama/stream.ndjson",
            "Small message.",
            "Use LL.",
            usage(26, 282, None, None),
        ),
        row(
            OPENAI,
            "openai/plain.json",
            "",
            RING,
            usage(1117, 146, Some(128), Some(1024)),
        ),
        row(
            OPENAI,
            "openai/stream.sse",
            "",
            "Use LL.",
            usage(19, 10, Some(4), Some(0)),
        ),
        row(
            CLAUDE,
            "claude/plain.json",
            "Eight ranks in one node.",
            RING,
            usage(1100, 103, None, Some(1000)),
        ),
        row(
            CLAUDE,
            "claude/stream.sse",
            "Small message.",
            "Use LL.",
            usage(25, 15, None, None),
        ),
        row(
            GEMINI,
            "gemini/plain.json",
            "**Weighing**\n\nEight ranks in one node.",
            RING,
            usage(1012, 79, Some(71), Some(1000)),
        ),
        row(
            GEMINI,
            "gemini/stream.sse",
            "Small message.",
            "Use LL.",
            usage(12, 31, Some(28), None),
        ),
        row(
            OTHERS,
            "vllm/plain.json",
            "Eight ranks in one node.",
            RING,
            usage(26, 280, None, None),
        ),
        row(
            OTHERS,
            "vllm/stream.sse",
            "Small message.",
            "Use LL.",
            usage(9, 81, None, None),
        ),
    ];
    for (kind, wire, file, thinking, text, usage) in rows {
        let (answer, shown) = play(kind, wire, file, 200);
        let reply = answer.unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!(
            (reply.thinking.as_str(), reply.text.as_str()),
            (thinking, text),
            "{file}"
        );
        assert_eq!(
            (reply.usage, &reply.finish),
            (usage, &Finish::Stop),
            "{file}"
        );
        assert!(reply.calls.is_empty(), "{file}");
        if !file.ends_with(".json") {
            assert_eq!(
                (shown.thinking, shown.text),
                (reply.thinking, reply.text),
                "{file}"
            );
        }
    }
    for file in ["llama-cpp/plain.json", "llama-cpp/stream.sse"] {
        let reply = play(OTHERS.0, OTHERS.1, file, 200).0.unwrap();
        assert_eq!(reply.text, "Which algorithm?<|im_end|>\n<|im", "{file}");
        assert_eq!(reply.finish, Finish::Length, "{file}");
        assert_eq!(
            (reply.usage.input, reply.usage.output),
            (Some(45), Some(12)),
            "{file}"
        );
    }
}

#[test]
fn calls() {
    // The ids the provider gives, or ours.
    let own = ["ccl_call_1_1", "ccl_call_1_2"];
    for ((kind, wire), file, text, ids) in [
        (OLLAMA, "ollama/tools.json", "", own),
        (OLLAMA, "ollama/stream-tools.ndjson", "I look.", own),
        (
            OPENAI,
            "openai/tools.json",
            "",
            ["call_abc123", "call_abc124"],
        ),
        (OPENAI, "openai/stream-tools.sse", "", ["call_a", "call_b"]),
        (
            CLAUDE,
            "claude/tools.json",
            "I look.",
            [
                "toolu_01A09q90qw90lq917835lq9",
                "toolu_01A09q90qw90lq917835lq8",
            ],
        ),
        (
            CLAUDE,
            "claude/stream-tools.sse",
            "I look.",
            [
                "toolu_01T1x1fJ34qAmk2tNTrN7Up6",
                "toolu_01T1x1fJ34qAmk2tNTrN7Up7",
            ],
        ),
        (GEMINI, "gemini/tools.json", "", own),
        (
            GEMINI,
            "gemini/stream-tools.sse",
            "I look.",
            ["fc-1", "fc-2"],
        ),
    ] {
        let reply = play(kind, wire, file, 200)
            .0
            .unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!(
            (reply.text.as_str(), &reply.finish),
            (text, &Finish::ToolCalls),
            "{file}"
        );
        let calls: Vec<(&str, &str, &Value)> = reply
            .calls
            .iter()
            .map(|c| (c.id.as_str(), c.name.as_str(), &c.arguments))
            .collect();
        let expected = [
            (ids[0], "get_card", &json!({"knob": "NCCL_ALGO"})),
            (ids[1], "list_keys", &json!({})),
        ];
        assert_eq!(calls, expected, "{file}");
    }
}

/// Arguments that were cut off are what the model wrote, and go back as an object.
#[test]
fn a_call_that_is_cut_off() {
    let reply = play(CLAUDE.0, CLAUDE.1, "claude/stream-cut.sse", 200)
        .0
        .unwrap();
    assert_eq!(reply.calls[0].arguments, json!(r#"{"knob": "NCCL_"#));
    assert!(reply.state.unwrap().content[0]["input"].is_object());
}

#[test]
fn what_must_come_back_is_kept() {
    let state = |(kind, wire): (Kind, Wire), file| {
        let reply = play(kind, wire, file, 200).0.unwrap();
        reply.state.unwrap().content
    };
    let claude = state(CLAUDE, "claude/plain.json");
    assert_eq!(claude[0]["signature"], "EqQBCkYIARgCKkDx");
    assert_eq!(claude[1]["data"], "EmwKAhgBEgy3va3pzix");
    assert_eq!(
        state(CLAUDE, "claude/stream.sse")[0],
        json!({
            "type": "thinking", "thinking": "Small message.",
            "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3h",
        })
    );
    assert_eq!(
        state(GEMINI, "gemini/tools.json")[0]["thoughtSignature"],
        "CpcHAdHtim9"
    );
    assert_eq!(
        state(GEMINI, "gemini/stream-tools.sse")[1]["thoughtSignature"],
        "CpcHAdHtim9"
    );
}

#[test]
fn refusals_and_errors() {
    let refused = play(OPENAI.0, OPENAI.1, "openai/refusal.json", 200)
        .0
        .unwrap();
    assert_eq!(refused.finish, Finish::Filtered);
    assert_eq!(refused.text, "I cannot help with that.");
    let blocked = play(GEMINI.0, GEMINI.1, "gemini/blocked.json", 200)
        .0
        .unwrap();
    assert_eq!(
        (blocked.finish, blocked.usage.output),
        (Finish::Filtered, None)
    );
    for ((kind, wire), file, status, expected, words) in [
        (
            OLLAMA,
            "ollama/error-404.json",
            404,
            404,
            "not found, try pulling",
        ),
        (
            OLLAMA,
            "ollama/stream-error.ndjson",
            200,
            500,
            "unexpected EOF",
        ),
        (
            OPENAI,
            "openai/error-401.json",
            401,
            401,
            "Incorrect API key",
        ),
        (
            CLAUDE,
            "claude/error-404.json",
            404,
            404,
            "could not be found",
        ),
        (
            CLAUDE,
            "claude/stream-error.sse",
            200,
            529,
            "overloaded_error: Overloaded",
        ),
        (
            GEMINI,
            "gemini/error-400.json",
            400,
            400,
            "API key not valid",
        ),
        (
            OTHERS,
            "llama-cpp/error-400.json",
            400,
            400,
            "exceeds the available context",
        ),
    ] {
        match play(kind, wire, file, status).0 {
            Err(Failure::Refused {
                status, message, ..
            }) => {
                assert_eq!(status, expected, "{file}");
                assert!(message.contains(words), "{file}: {message}");
            }
            other => panic!("{file}: {other:?}"),
        }
    }
}

#[test]
fn a_live_answer_of_a_schema() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/llama-cpp/structured.json");
    let body = fs::read_to_string(path).unwrap();
    let server = FakeServer::start(OTHERS.1, vec![Act::raw(body)]);
    let (client, _) = client(OTHERS.0, &server);
    let request = structured().with_schema(json!({
        "type": "object",
        "properties": {"algorithm": {"type": "string", "enum": ["ring", "tree"]}},
        "required": ["algorithm"],
    }));
    let reply = client.ask(&request, None).answer.unwrap();
    assert_eq!(reply.structured, Some(json!({"algorithm": "tree"})));
}
