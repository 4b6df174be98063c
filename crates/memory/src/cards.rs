//! Cards: what is known before the first measurement, retrieved by the words of a situation.
//!
//! Made from the knob catalogue, one card per knob. Retrieval scores the words of a query by how
//! rare they are among the cards (inverse document frequency; Spärck Jones, Journal of
//! Documentation 1972), which is enough for a few hundred short texts.

use std::collections::{BTreeMap, BTreeSet};

use ccl_core::NcclVersion;
use ccl_core::knobs;

/// One piece of knowledge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// What it is about.
    pub title: String,
    /// The text.
    pub body: String,
}

/// The cards and an index of their words.
#[derive(Clone, Debug, Default)]
pub struct KnowledgeBase {
    cards: Vec<Card>,
    words: Vec<BTreeSet<String>>,
    frequency: BTreeMap<String, u32>,
}

impl KnowledgeBase {
    /// A base of these cards.
    pub fn new(cards: Vec<Card>) -> Self {
        let words: Vec<BTreeSet<String>> = cards
            .iter()
            .map(|c| words(&format!("{} {}", c.title, c.body)))
            .collect();
        let mut frequency = BTreeMap::new();
        for word in words.iter().flatten() {
            *frequency.entry(word.clone()).or_insert(0) += 1;
        }
        Self {
            cards,
            words,
            frequency,
        }
    }

    /// The knobs of one release of NCCL.
    pub fn of_knobs(version: NcclVersion) -> Self {
        let known = knobs::all().iter().filter(|k| k.exists_in(version));
        Self::new(
            known
                .map(|k| Card {
                    title: k.name.to_owned(),
                    body: knobs::card(k, version),
                })
                .collect(),
        )
    }

    /// All cards.
    pub fn cards(&self) -> &[Card] {
        &self.cards
    }

    /// The `most` cards that share the rarest words with the query, best first; cards that share
    /// none are not among them.
    pub fn retrieve(&self, query: &str, most: usize) -> Vec<&Card> {
        let asked = words(query);
        #[allow(clippy::cast_precision_loss)] // a count of cards
        let all = self.cards.len() as f64;
        let mut scored: Vec<(f64, &Card)> = self
            .cards
            .iter()
            .zip(&self.words)
            .map(|(card, words)| {
                let shared = words.intersection(&asked);
                let weight = |w: &String| {
                    (all / f64::from(self.frequency.get(w).copied().unwrap_or(1))).ln()
                };
                (shared.map(weight).sum(), card)
            })
            .filter(|(score, _)| *score > 0.0)
            .collect();
        // Stable: equal scores keep the order of the cards.
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        scored
            .into_iter()
            .take(most)
            .map(|(_, card)| card)
            .collect()
    }
}

fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|w| w.len() > 1)
        .map(str::to_ascii_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_words_find_the_card() {
        let base = KnowledgeBase::of_knobs(NcclVersion::new(2, 27, 0));
        assert!(base.cards().len() > 100);
        let titles = |query| -> Vec<&str> {
            base.retrieve(query, 3)
                .into_iter()
                .map(|c| c.title.as_str())
                .collect()
        };
        assert!(titles("BUFFSIZE buffer size").contains(&"NCCL_BUFFSIZE"));
        assert!(base.retrieve("zzzz", 3).is_empty());
    }
}
