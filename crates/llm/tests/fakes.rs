//! The fake servers find what breaks a protocol: without that, tests against them prove nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use ccl_llm::{Failure, Message, Provider, Request};
use ccl_llm_fake::{Act, FakeServer, Script};
use common::{ALL, client, question, tools};
use serde_json::json;

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
