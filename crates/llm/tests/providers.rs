//! Every provider against its fake, case by case, whole and streamed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use ccl_llm::{
    Client, Exchange, Failure, Finish, Kind, Limits, Message, Provider, Request, ToolChoice,
};
use ccl_llm_fake::{Act, FakeServer, Said, Seen};
use common::{ALL, Shown, client, fitting, question, short, structured, tools};
use serde_json::json;

/// Asks once, whole or streamed.
fn ask(client: &Client, request: &Request, streamed: bool) -> (Exchange, Shown) {
    let mut shown = Shown::default();
    let exchange = if streamed {
        client.ask(request, Some(&mut |delta| shown.take(delta)))
    } else {
        client.ask(request, None)
    };
    (exchange, shown)
}

/// What an exchange must look like.
type Expected = fn(&Exchange) -> bool;

struct Case {
    name: &'static str,
    acts: Vec<Act>,
    request: Request,
    limits: Limits,
    /// Requests over the wire.
    attempts: usize,
    expected: Expected,
}

fn case(name: &'static str, acts: Vec<Act>, expected: Expected) -> Case {
    Case {
        name,
        attempts: acts.len(),
        acts,
        request: question(),
        limits: Limits::default(),
        expected,
    }
}

fn is_hello(exchange: &Exchange) -> bool {
    exchange.answer.as_ref().is_ok_and(|reply| {
        reply.text == "hello \u{e4}\u{1f980}"
            && reply.finish == Finish::Stop
            && (reply.usage.input, reply.usage.output) == (Some(11), Some(7))
    })
}

fn fits(exchange: &Exchange) -> bool {
    let structured = |e: &Exchange| e.answer.as_ref().ok()?.structured.clone();
    structured(exchange) == Some(fitting())
}

fn cases() -> Vec<Case> {
    let hello = || Act::text("hello \u{e4}\u{1f980}");
    let said = || Said {
        text: "word ".repeat(40),
        ..Said::default()
    };
    let prose = format!("<think>{{}}</think>I say ```json\n{},\n``` so", fitting());
    let megabyte = "lorem [ipsum] {dolor ".repeat(50_000);
    vec![
        case("plain", vec![hello()], is_hello),
        case(
            "thoughts",
            vec![Act::Say(Said {
                text: "hello \u{e4}\u{1f980}".to_owned(),
                thinking: "let me see".to_owned(),
                ..Said::default()
            })],
            |e| is_hello(e) && e.answer.as_ref().is_ok_and(|r| r.thinking == "let me see"),
        ),
        case(
            "thoughts among the words",
            vec![Act::text("<think>let me see</think>\nhello")],
            |e| {
                e.answer
                    .as_ref()
                    .is_ok_and(|r| r.thinking == "let me see" && r.text == "hello")
            },
        ),
        case(
            "cut off",
            vec![Act::Say(Said {
                text: "hel".to_owned(),
                is_cut: true,
                ..Said::default()
            })],
            |e| e.answer.as_ref().is_ok_and(|r| r.finish == Finish::Length),
        ),
        Case {
            request: structured(),
            ..case("structured", vec![Act::json(&fitting())], fits)
        },
        Case {
            request: structured(),
            ..case("structured, between words", vec![Act::text(prose)], fits)
        },
        Case {
            request: structured(),
            ..case(
                "structured, repaired",
                vec![Act::text(r#"{"protocol": "LL999"}"#), Act::json(&fitting())],
                fits,
            )
        },
        Case {
            request: structured(),
            ..case(
                "structured, never",
                vec![Act::text("no"), Act::text(r#"{"ratios": [1, 2]}"#)],
                |e| matches!(&e.answer, Err(Failure::Malformed { reason }) if reason.contains("protocol")),
            )
        },
        Case {
            request: structured(),
            ..case(
                "a megabyte of nonsense",
                vec![Act::text(&megabyte), Act::text(&megabyte)],
                |e| matches!(e.answer, Err(Failure::Malformed { .. })),
            )
        },
        Case {
            limits: Limits {
                answer_bytes: 100_000,
                ..Limits::default()
            },
            ..case("too large", vec![Act::text(&megabyte)], |e| {
                matches!(e.answer, Err(Failure::TooLarge { limit: 100_000, .. }))
            })
        },
        case(
            "429 then success",
            vec![
                Act::Status {
                    status: 429,
                    retry_after: Some("2".to_owned()),
                },
                hello(),
            ],
            is_hello,
        ),
        case(
            "503 then success",
            vec![Act::status(503), hello()],
            is_hello,
        ),
        case("500 for ever", vec![Act::status(500); 4], |e| {
            matches!(e.answer, Err(Failure::Refused { status: 500, .. }))
        }),
        case("400", vec![Act::status(400)], |e| {
            matches!(&e.answer, Err(Failure::Refused { status: 400, message, .. })
                if message == "as the script says")
        }),
        Case {
            limits: short(),
            ..case("time-out", vec![Act::Silence], |e| {
                matches!(&e.answer, Err(Failure::TimedOut { limit_ms: 200, .. }))
            })
        },
        Case {
            limits: short(),
            ..case(
                "slow drip",
                vec![Act::Drip(said(), Duration::from_millis(150))],
                |e| matches!(e.answer, Err(Failure::TimedOut { .. })),
            )
        },
        case(
            "truncated then success",
            vec![Act::Truncated(said()), hello()],
            is_hello,
        ),
        case("truncated for ever", vec![Act::Truncated(said()); 4], |e| {
            matches!(e.answer, Err(Failure::Truncated { .. }))
        }),
        case("hung up then success", vec![Act::HangUp, hello()], is_hello),
        case(
            "malformed JSON",
            vec![Act::raw("{\"a\": nonsense}\n\n")],
            |e| {
                matches!(
                    e.answer,
                    Err(Failure::Protocol { .. } | Failure::Truncated { .. })
                )
            },
        ),
        case(
            "JSON of something else",
            vec![Act::raw("{\"a\": 1}\n")],
            |e| {
                matches!(
                    e.answer,
                    Err(Failure::Protocol { .. } | Failure::Truncated { .. })
                )
            },
        ),
    ]
}

#[test]
fn every_provider_stands_every_case() {
    for (kind, wire) in ALL {
        for streamed in [false, true] {
            for case in cases() {
                let what = format!("{kind:?}, {}, streamed: {streamed}", case.name);
                // What a server that speaks no events says over and over is cut each time.
                let is_raw = streamed && case.acts.iter().any(|a| matches!(a, Act::Raw { .. }));
                let acts = if is_raw {
                    vec![case.acts[0].clone(); 4]
                } else {
                    case.acts
                };
                let server = FakeServer::start(wire, acts);
                let (client, pace) = client(kind, &server);
                let client = client.with_limits(case.limits);
                let (exchange, shown) = ask(&client, &case.request, streamed);
                assert!((case.expected)(&exchange), "{what}: {:?}", exchange.answer);
                if !is_raw {
                    assert_eq!(exchange.attempts.len(), case.attempts, "{what}");
                }
                assert_eq!(server.requests().len(), exchange.attempts.len(), "{what}");
                for (attempt, seen) in exchange.attempts.iter().zip(server.requests()) {
                    assert_eq!(attempt.request.to_string(), seen.text, "{what}");
                    assert_eq!(seen.is_streamed, streamed, "{what}");
                }
                if let Ok(reply) = &exchange.answer
                    && streamed
                    && reply.structured.is_none()
                    && !case.name.contains("among")
                {
                    assert_eq!(shown.text, reply.text, "{what}");
                    assert_eq!(shown.thinking, reply.thinking, "{what}");
                }
                if case.name.starts_with("429") {
                    assert_eq!(pace.waited(), [Duration::from_secs(2)], "{what}");
                }
                if case.name == "500 for ever" {
                    // Doubled each time, of which three quarters where chance is the middle.
                    let waits = [187_500, 375_000, 750_000].map(Duration::from_micros);
                    assert_eq!(pace.waited(), waits, "{what}");
                }
            }
        }
    }
}

/// A conversation with two calls in one turn, one more, and an answer of a schema at its end.
#[test]
fn every_provider_goes_through_a_conversation_with_tools() {
    for (kind, wire) in ALL {
        for streamed in [false, true] {
            let what = format!("{kind:?}, streamed: {streamed}");
            let server = FakeServer::start(wire, |seen: &Seen| match seen.results().len() {
                0 => Act::Say(Said {
                    text: "I look.".to_owned(),
                    thinking: "which card?".to_owned(),
                    calls: vec![
                        ("get_card".to_owned(), json!({"knob": "NCCL_ALGO"})),
                        ("list_keys".to_owned(), json!({})),
                    ],
                    ..Said::default()
                }),
                2 => Act::call("get_card", json!({"knob": "NCCL_PROTO", "depth": 2})),
                _ => Act::json(&fitting()),
            });
            let (client, _) = client(kind, &server);
            let mut request = structured().with_tools(tools());
            let mut calls = Vec::new();
            let reply = loop {
                let (exchange, _) = ask(&client, &request, streamed);
                let reply = exchange.answer.unwrap_or_else(|e| panic!("{what}: {e}"));
                request.messages.push(reply.message());
                for call in &reply.calls {
                    calls.push((call.name.clone(), call.arguments.clone()));
                    request.messages.push(if call.name == "list_keys" {
                        Message::error(call, "not now")
                    } else {
                        Message::result(call, format!("the card of {}", call.arguments))
                    });
                }
                if reply.calls.is_empty() {
                    break reply;
                }
                assert_eq!(reply.finish, Finish::ToolCalls, "{what}");
                assert_eq!(reply.structured, None, "{what}");
                if calls.len() == 3 {
                    request.tool_choice = ToolChoice::None;
                }
            };
            assert_eq!(reply.structured, Some(fitting()), "{what}");
            let expected = [
                ("get_card", json!({"knob": "NCCL_ALGO"})),
                ("list_keys", json!({})),
                ("get_card", json!({"knob": "NCCL_PROTO", "depth": 2})),
            ];
            let expected = expected.map(|(name, arguments)| (name.to_owned(), arguments));
            assert_eq!(calls, expected, "{what}");
            let seen = server.requests();
            let last = seen.last().unwrap();
            assert!(
                last.results()[0].contains("the card of"),
                "{what}: {last:?}"
            );
            // Nothing to call any more, so that the schema can be forced.
            assert!(last.schema.is_some(), "{what}");
        }
    }
}

/// What is no object is no arguments; the conversation goes on all the same.
#[test]
fn arguments_that_are_none_are_answered_like_others() {
    for (kind, wire) in ALL {
        for streamed in [false, true] {
            let acts = vec![Act::call("get_card", json!("oops")), Act::text("done")];
            let server = FakeServer::start(wire, acts);
            let (client, _) = client(kind, &server);
            let mut request = question().with_tools(tools());
            let reply = ask(&client, &request, streamed).0.answer.unwrap();
            assert_eq!(reply.calls[0].arguments, json!("oops"), "{kind:?}");
            request.messages.push(reply.message());
            let why = Message::error(&reply.calls[0], "no object");
            request.messages.push(why);
            let answer = ask(&client, &request, streamed).0.answer;
            assert_eq!(answer.map(|r| r.text).as_deref(), Ok("done"), "{kind:?}");
        }
    }
}

/// The end of a conversation that another provider began: its signed thoughts are not sent.
#[test]
fn a_conversation_can_change_its_provider() {
    let calls = |seen: &Seen| {
        if seen.results().is_empty() {
            Act::Say(Said {
                thinking: "hm".to_owned(),
                calls: vec![("list_keys".to_owned(), json!({}))],
                ..Said::default()
            })
        } else {
            Act::text("done")
        }
    };
    for (first, first_wire) in ALL {
        for (second, second_wire) in ALL {
            // Gemini wants calls that it made itself.
            if second == Kind::Gemini && first != Kind::Gemini {
                continue;
            }
            let servers = [first_wire, second_wire].map(|wire| FakeServer::start(wire, calls));
            let (one, _) = client(first, &servers[0]);
            let (other, _) = client(second, &servers[1]);
            let mut request = question().with_tools(tools());
            let reply = one.ask(&request, None).answer.unwrap();
            request.messages.push(reply.message());
            let result = Message::result(&reply.calls[0], "none");
            request.messages.push(result);
            let answer = other.ask(&request, None).answer;
            assert_eq!(
                answer.map(|r| r.text).as_deref(),
                Ok("done"),
                "{first:?} {second:?}"
            );
        }
    }
}
