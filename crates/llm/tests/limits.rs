//! What a client spends and waits, and what it does where nobody is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use ccl_llm::{Budget, Client, Failure, Kind, Provider};
use ccl_llm_fake::{Act, FakeServer, Seen, Wire};
use common::{ALL, client, client_at, fitting, question, structured};

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
}
