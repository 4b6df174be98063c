//! Search over all kinds of passages, with and without an embedder.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

fn knowledge() -> Knowledge {
    Knowledge::new(NcclVersion::new(2, 27, 3), &[]).unwrap()
}

fn ids<'a>(found: &Found<'a>) -> Vec<&'a str> {
    found.hits.iter().map(|h| h.passage.id.as_str()).collect()
}

#[test]
fn a_knob_is_found_by_name_and_by_what_its_name_means() {
    let knowledge = knowledge();
    for (query, id, among) in [
        ("NCCL_MAX_NCHANNELS", "knob:NCCL_MAX_NCHANNELS", 1),
        ("nccl_max_nchannels=4", "knob:NCCL_MAX_NCHANNELS", 1),
        ("NCCL_IB_TC", "knob:NCCL_IB_TC", 1),
        ("max channels", "knob:NCCL_MAX_NCHANNELS", 5),
        ("buffer size", "knob:NCCL_BUFFSIZE", 5),
    ] {
        let found = knowledge.search(query, among).unwrap();
        assert!(ids(&found).contains(&id), "{query}: {:?}", ids(&found));
    }
    assert!(knowledge.search("zzzz the of", 3).unwrap().hits.is_empty());
}

#[test]
fn cards_are_those_of_the_release() {
    let old = Knowledge::new(NcclVersion::new(2, 18, 3), &[]).unwrap();
    assert!(old.passage("knob:NCCL_CTA_POLICY").is_none());
    assert!(knowledge().passage("knob:NCCL_CTA_POLICY").is_some());
}

/// What every page must be: sections of a length that fits a prompt, each with its sources, and
/// no name of a variable that the catalogue does not have.
#[test]
fn pages_are_well_made() {
    let knowledge = knowledge();
    let pages = || {
        knowledge
            .all()
            .iter()
            .filter(|p| p.kind == PassageKind::Page)
    };
    for page in pages() {
        let words = page.text.split_whitespace().count();
        assert!((40..=260).contains(&words), "{}: {words} words", page.id);
        assert!(!page.source.is_empty(), "{} names no source", page.id);
        assert!(
            page.id.contains('#') && !page.id.ends_with("#start"),
            "{}",
            page.id
        );
        let names = page
            .text
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for name in names.filter(|n| n.starts_with("NCCL_") && n.len() > 5) {
            assert!(knobs::find(name).is_some(), "{} names {name}", page.id);
        }
    }
    let unique: BTreeSet<&str> = knowledge.all().iter().map(|p| p.id.as_str()).collect();
    assert_eq!(unique.len(), knowledge.all().len());
    assert_eq!(
        pages()
            .map(|p| &p.id)
            .filter(|id| id.ends_with("-1"))
            .count(),
        0
    );
}

#[test]
fn users_documents_are_found_beside_the_rest() {
    let notes = Document::from_text(
        "Rack notes",
        "notes.md",
        "# Rack notes\n## Rack 7\nzebrafish",
    );
    let knowledge = Knowledge::new(NcclVersion::new(2, 27, 3), &[notes.clone(), notes]).unwrap();
    let found = knowledge.search("zebrafish", 5).unwrap();
    assert_eq!(
        ids(&found),
        ["user:rack-notes#rack-7", "user:rack-notes#rack-7-1"]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Whatever a user or a model types is a query and no syntax.
    #[test]
    fn any_text_is_a_query(query in "(\\PC|[\"*^:(){}+'-]| AND | NEAR\\(| title:|\u{0}){0,60}") {
        static KNOWLEDGE: LazyLock<Knowledge> = LazyLock::new(knowledge);
        prop_assert!(KNOWLEDGE.search(&query, 3).is_ok());
    }
}

/// Knows one word: texts with it point one way, all others another.
struct OneWord(&'static str);

impl Embedder for OneWord {
    fn name(&self) -> &str {
        "one word"
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let vector = |text: &&str| {
            let has = text.contains(self.0) || text.contains("zebrafish");
            if has { vec![2.0, 0.0] } else { vec![0.0, 3.0] }
        };
        Ok(texts.iter().map(vector).collect())
    }
}

#[test]
fn an_embedder_brings_in_what_words_do_not() {
    let knowledge = knowledge().with_embedder(Box::new(OneWord("NCCL_BUFFSIZE (per")));
    let found = knowledge.search("zebrafish", 1).unwrap();
    assert_eq!(ids(&found), ["knob:NCCL_BUFFSIZE"]);
    assert_eq!(found.without_embedder, None);
}

/// Fails as told.
struct Broken(Answer);

type Answer = fn(&[&str]) -> Result<Vec<Vec<f32>>, EmbedError>;

impl Embedder for Broken {
    fn name(&self) -> &str {
        "broken"
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        (self.0)(texts)
    }
}

#[test]
fn a_failing_embedder_costs_its_help_and_nothing_else() {
    let plain = knowledge();
    let expected = plain.search("small /dev/shm", 5).unwrap();
    for broken in [
        Broken(|_| Err(EmbedError("connection refused".to_owned()))),
        Broken(|_| Ok(vec![vec![1.0]])),
        Broken(|texts| Ok(vec![vec![f32::NAN]; texts.len()])),
        // One text is the query: longer vectors than those of the passages.
        Broken(|texts| {
            Ok(vec![
                vec![1.0; if texts.len() == 1 { 3 } else { 2 }];
                texts.len()
            ])
        }),
        Broken(|texts| {
            if texts.len() == 1 {
                Err(EmbedError("later".to_owned()))
            } else {
                Ok(vec![vec![1.0]; texts.len()])
            }
        }),
    ] {
        let knowledge = knowledge().with_embedder(Box::new(broken));
        let found = knowledge.search("small /dev/shm", 5).unwrap();
        assert_eq!(ids(&found), ids(&expected));
        let why = found.without_embedder.unwrap();
        assert!(why.starts_with("embedder broken: "), "{why}");
    }
}
