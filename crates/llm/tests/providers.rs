//! Every provider against its fake, case by case, whole and streamed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use ccl_llm::{
    Budget, Client, Exchange, Failure, Finish, Kind, Limits, Message, Provider, Request, ToolChoice,
};
use ccl_llm_fake::{Act, FakeServer, Said, Script, Seen, Wire};
use common::{ALL, Shown, client, client_at, fitting, question, short, structured, tools};
use serde_json::{Value, json};

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

#[test]
fn nobody_there_costs_at_most_three_seconds() {
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    for at in [address.as_str(), "http://no-such-host.invalid:11434"] {
        for (kind, _) in ALL {
            let (client, pace) = client_at(kind, at);
            let exchange = client.ask(&question(), None);
            assert!(
                matches!(exchange.answer, Err(Failure::Unreachable { .. })),
                "{kind:?}: {:?}",
                exchange.answer
            );
            // What the client's own clock says, waits included.
            let whole: Duration = pace.waited().iter().sum();
            assert!(
                whole < Duration::from_secs(3),
                "{kind:?}: {:?}",
                pace.waited()
            );
            assert!(exchange.attempts.len() > 1, "{kind:?}");
            assert!(exchange.attempts.iter().all(|a| a.response.is_none()));
        }
    }
}

/// Encrypted connections are really tried: a server that speaks plain HTTP is none.
#[test]
fn a_server_without_encryption_is_unreachable_by_https() {
    let server = FakeServer::start(Wire::OpenAi, Vec::new());
    let (client, _) = client_at(Kind::OpenAi, &server.address().replace("http:", "https:"));
    match client.ask(&question(), None).answer {
        Err(Failure::Unreachable { reason, .. }) => {
            assert!(
                reason.contains("tls") || reason.contains("message"),
                "{reason}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(server.requests().is_empty());
}

#[test]
fn a_missing_key_sends_nothing() {
    for (kind, wire) in ALL {
        let server = FakeServer::start(wire, vec![Act::text("hello")]);
        let client = Client::new(kind, "some-model", Some(&server.address()), None).unwrap();
        let exchange = client.ask(&question(), None);
        if kind.needs_key() {
            assert!(
                matches!(exchange.answer, Err(Failure::MissingKey { .. })),
                "{kind:?}"
            );
            assert!(server.requests().is_empty() && exchange.attempts.is_empty());
        } else {
            assert!(exchange.answer.is_ok(), "{kind:?}: {:?}", exchange.answer);
        }
    }
}

#[test]
fn a_budget_is_not_exceeded() {
    let hello = |_: &Seen| Act::text("hello");
    for (budget, answers, what) in [
        (
            Budget {
                calls: Some(3),
                tokens: None,
            },
            3,
            "calls",
        ),
        // Each answer takes 18.
        (
            Budget {
                calls: None,
                tokens: Some(40),
            },
            3,
            "tokens",
        ),
    ] {
        let server = FakeServer::start(Wire::Ollama, hello);
        let (client, _) = client(Kind::Ollama, &server);
        let client = client.with_budget(budget);
        let asked: Vec<_> = (0..5)
            .map(|_| client.ask(&question(), None).answer)
            .collect();
        assert_eq!(asked.iter().filter(|a| a.is_ok()).count(), answers);
        assert_eq!(server.requests().len(), answers);
        assert!(
            matches!(&asked[4], Err(Failure::Budget { what: w, .. }) if w == what),
            "{:?}",
            asked[4]
        );
        assert_eq!((client.spent().calls, client.spent().tokens), (3, 54));
    }
    // Retries are calls as well.
    let server = FakeServer::start(Wire::OpenAi, |_: &Seen| Act::status(500));
    let (client, _) = client(Kind::OpenAi, &server);
    let client = client.with_budget(Budget {
        calls: Some(2),
        tokens: None,
    });
    let answer = client.ask(&question(), None).answer;
    assert!(matches!(answer, Err(Failure::Budget { .. })), "{answer:?}");
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_wish_to_wait_is_followed_as_far_as_there_is_time() {
    let later = |retry_after: &str| Act::Status {
        status: 429,
        retry_after: Some(retry_after.to_owned()),
    };
    let cases = [
        ("30", Some(30)),
        // The client's clock says midnight.
        ("Thu, 01 Jan 1970 00:00:50 GMT", Some(50)),
        // Later than the whole question may take.
        ("3600", None),
    ];
    for (wish, waited) in cases {
        let server = FakeServer::start(Wire::OpenAi, vec![later(wish), Act::text("hello")]);
        let (client, pace) = client(Kind::OpenAi, &server);
        let exchange = client.ask(&question(), None);
        assert_eq!(exchange.answer.is_ok(), waited.is_some(), "{wish}");
        let expected: Vec<_> = waited.map(Duration::from_secs).into_iter().collect();
        assert_eq!(pace.waited(), expected, "{wish}");
    }
}

/// The fakes themselves: what breaks the protocol is refused, and reported.
#[test]
fn the_fakes_see_what_is_wrong() {
    let orphan = Message::ToolResult {
        call_id: "x".to_owned(),
        name: "get_card".to_owned(),
        content: "c".to_owned(),
        is_error: false,
    };
    let wrong: Vec<(&str, Request)> = vec![
        ("a result of nothing", {
            let mut request = question().with_tools(tools());
            request.messages.push(orphan);
            request
        }),
        ("a tool of a bad name", {
            let mut tools = tools();
            tools[0].name = "get card".to_owned();
            question().with_tools(tools)
        }),
        ("two tools of one name", {
            let mut tools = tools();
            tools[1].name = tools[0].name.clone();
            question().with_tools(tools)
        }),
        (
            "nothing asked",
            Request {
                messages: vec![Message::system("Be brief.")],
                ..Request::default()
            },
        ),
    ];
    for (kind, wire) in ALL {
        for (what, request) in &wrong {
            let server = FakeServer::start(wire, Vec::new());
            let (client, _) = client(kind, &server);
            let answer = client.ask(request, None).answer;
            assert!(
                matches!(answer, Err(Failure::Refused { status: 400, .. })),
                "{kind:?}, {what}: {answer:?}"
            );
            assert!(!server.take_violations().is_empty(), "{kind:?}, {what}");
        }
        // A call that is left open.
        let call = Script::from(vec![Act::call("list_keys", json!({}))]);
        let server = FakeServer::start(wire, call);
        let (client, _) = client(kind, &server);
        let mut request = question().with_tools(tools());
        let reply = client.ask(&request, None).answer.unwrap();
        request.messages.push(reply.message());
        request.messages.push(Message::user("And?"));
        let answer = client.ask(&request, None).answer;
        assert!(
            matches!(answer, Err(Failure::Refused { status: 400, .. })),
            "{kind:?}"
        );
        let violations = server.take_violations().join("; ");
        assert!(
            violations.contains("calls without an answer"),
            "{violations}"
        );
    }
}

/// What an answer cost is known where the price is, and unknown elsewhere.
#[test]
fn costs_are_sums_over_all_rounds() {
    let server = FakeServer::start(Wire::OpenAi, vec![Act::text("no"), Act::json(&fitting())]);
    let ask = |model: &str| {
        Client::new(
            Kind::OpenAi,
            model,
            Some(&server.address()),
            Some(common::key()),
        )
        .unwrap()
        .ask(&structured(), None)
        .answer
        .unwrap()
        .usage
    };
    let usage = ask("gpt-4.1");
    // Twice 11 tokens, 4 of them cached, and 7 of the answer.
    let expected = 2.0 * (7.0 * 2.0 + 4.0 * 0.5 + 7.0 * 8.0) / 1e6;
    assert!((usage.cost_usd.unwrap() - expected).abs() < 1e-12);
    assert_eq!((usage.input, usage.reasoning), (Some(22), Some(6)));
    drop(server);
    let server = FakeServer::start(Wire::Ollama, vec![Act::text("hi")]);
    let (client, _) = client(Kind::Ollama, &server);
    let usage = client.ask(&question(), None).answer.unwrap().usage;
    assert_eq!((usage.cost_usd, usage.reasoning), (None, None));
    let _: Value = json!(usage);
}
