//! Knowledge: what is known before the first measurement, found by the words of a question.
//!
//! Three kinds of passages: sections of the pages of `doc/knowledge`, which are built into the
//! program; cards, made from the knob catalogue for the NCCL release at hand; and sections of
//! documents that users add. All of them are data: [`fenced`] puts one before a language model.
//!
//! Nothing here learns, fetches or decides.

mod document;
mod embedder;
mod index;
#[cfg(feature = "local-embeddings")]
mod local_embedder;
mod passage;
mod words;

use ccl_core::{NcclVersion, knobs};
use serde::Serialize;
use thiserror::Error;

pub use document::Document;
pub use embedder::{EmbedError, Embedder};
#[cfg(feature = "local-embeddings")]
pub use local_embedder::{LocalEmbedder, LocalModelError};
pub use passage::{Passage, PassageKind, fenced, fenced_text, visible};

use document::Ids;
use embedder::Embedding;
use index::Index;

/// The pages of `doc/knowledge`: name and text, sorted by name.
const PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// How deep each ranking is read when two are joined.
const FUSED_DEPTH: usize = 50;

/// Why knowledge could not be indexed or searched.
#[derive(Debug, Error)]
pub enum KnowledgeError {
    /// SQLite refused, which means that the program is built wrongly or out of memory.
    #[error("the index of the knowledge: {0}")]
    Index(#[from] rusqlite::Error),
}

/// A passage that answers a query.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Hit<'a> {
    /// The passage.
    pub passage: &'a Passage,
    /// How well it answers, without unit, higher is better: BM25, or reciprocal ranks where an
    /// embedder took part. Comparable within one search only.
    pub score: f64,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found<'a> {
    /// The best first, and before them the cards of variables that the query names in full.
    pub hits: Vec<Hit<'a>>,
    /// Why the embedder did not take part, where there is one and it did not.
    pub without_embedder: Option<String>,
}

/// All passages for one NCCL release, and their index.
#[derive(Debug)]
pub struct Knowledge {
    passages: Vec<Passage>,
    index: Index,
    embedding: Option<Embedding>,
}

impl Knowledge {
    /// Pages, the cards of a release, and users' documents.
    ///
    /// # Errors
    /// [`KnowledgeError::Index`].
    pub fn new(version: NcclVersion, documents: &[Document]) -> Result<Self, KnowledgeError> {
        let mut ids = Ids::default();
        let mut passages = Vec::new();
        for (name, body) in PAGES {
            passages.extend(document::of_page(name, body, &mut ids));
        }
        for knob in knobs::all().iter().filter(|k| k.exists_in(version)) {
            let card = knobs::card(knob, version);
            // The last line of a card is its source.
            let (text, source) = card
                .rsplit_once("\nsource: ")
                .unwrap_or((&card, knob.source));
            passages.push(Passage {
                id: ids.give(&format!("knob:{}", knob.name)),
                kind: PassageKind::Card,
                title: knob.name.to_owned(),
                text: text.trim_end().to_owned(),
                source: source.trim_end().to_owned(),
            });
        }
        for document in documents {
            passages.extend(document::of_user(document, &mut ids));
        }
        let words = passages.iter().map(|p| (p.title.as_str(), p.text.as_str()));
        Ok(Self {
            index: Index::new(words)?,
            passages,
            embedding: None,
        })
    }

    /// Lets an embedder take part in every search. It is given all passages now; if it fails at
    /// that, every search says so.
    #[must_use]
    pub fn with_embedder(mut self, embedder: Box<dyn Embedder>) -> Self {
        self.embedding = Some(Embedding::new(embedder, &self.passages));
        self
    }

    /// The `most` passages that answer a query best; those that share no word with it are not
    /// among them unless an embedder brings them in. Any text is a query.
    ///
    /// # Errors
    /// [`KnowledgeError::Index`].
    pub fn search(&self, query: &str, most: usize) -> Result<Found<'_>, KnowledgeError> {
        let mut without_embedder = None;
        let mut ranked = self.index.search(query, most.max(FUSED_DEPTH))?;
        if let Some(embedding) = &self.embedding {
            match embedding.search(query, most.max(FUSED_DEPTH)) {
                Ok(near) => {
                    let by_words = ranked.iter().map(|(number, _)| *number).collect();
                    ranked = embedder::fuse(&[by_words, near]);
                }
                Err(why) => {
                    without_embedder = Some(format!("embedder {}: {why}", embedding.name()));
                }
            }
        }
        let ranked = ranked.into_iter().filter_map(|(number, score)| {
            let passage = self.passages.get(number)?;
            Some(Hit { passage, score })
        });
        let mut ranked: Vec<Hit<'_>> = ranked.collect();
        let asked = words::of_query(query);
        // Stable: the rest keeps its order.
        ranked.sort_by_key(|hit| !hit.passage.is_card_of(&asked));
        let hits = varied(ranked, most);
        Ok(Found {
            hits,
            without_embedder,
        })
    }

    /// The passage of an id, such as `protocols#ll128` or `knob:NCCL_BUFFSIZE`.
    pub fn passage(&self, id: &str) -> Option<&Passage> {
        self.passages.iter().find(|p| p.id == id)
    }

    /// Every passage: pages, cards, users' documents.
    pub fn all(&self) -> &[Passage] {
        &self.passages
    }
}

/// The best `most` of ranked hits, in their order, of which cards are at most half (rounded up) as
/// long as there is something else: cards name each other, and a word of one brings in its relatives.
fn varied(ranked: Vec<Hit<'_>>, most: usize) -> Vec<Hit<'_>> {
    let mut cards = 0;
    let (mut hits, mut spare) = (Vec::new(), Vec::new());
    for (rank, hit) in ranked.into_iter().enumerate() {
        let is_card = hit.passage.kind == PassageKind::Card;
        if is_card && cards >= most.div_ceil(2) {
            spare.push((rank, hit));
        } else {
            cards += usize::from(is_card);
            hits.push((rank, hit));
        }
    }
    hits.truncate(most);
    spare.truncate(most - hits.len());
    hits.append(&mut spare);
    hits.sort_by_key(|(rank, _)| *rank);
    hits.into_iter().map(|(_, hit)| hit).collect()
}

#[cfg(test)]
mod tests;
