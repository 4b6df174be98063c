//! Embeddings of every provider that makes them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use ccl_llm::{Embedder, Failure, Kind};
use ccl_llm_fake::FakeServer;
use common::{ALL, client};

#[test]
fn vectors_come_in_the_order_of_their_texts() {
    let texts: Vec<String> = (0..70).map(|n| format!("text number {n}")).collect();
    let mut all = Vec::new();
    for (kind, wire) in ALL {
        let server = FakeServer::start(wire, Vec::new());
        let (client, _) = client(kind, &server);
        let vectors = client.embed(&texts);
        if kind == Kind::Claude {
            assert!(matches!(vectors, Err(Failure::Unsupported { .. })));
            continue;
        }
        let vectors = vectors.unwrap();
        assert_eq!(vectors.len(), texts.len(), "{kind:?}");
        for (text, vector) in texts.iter().zip(&vectors) {
            let alone = client.embed(std::slice::from_ref(text)).unwrap();
            assert_eq!(&alone[0], vector, "{kind:?}: {text}");
        }
        assert_ne!(vectors[0], vectors[1]);
        assert_eq!(client.embed(&[]), Ok(Vec::new()));
        all.push(vectors);
    }
    all.dedup();
    assert_eq!(all.len(), 1, "the fakes make the same vectors everywhere");
}
