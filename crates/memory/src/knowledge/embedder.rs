//! Search by meaning beside search by words: what an embedder must do, and how its ranking is
//! joined with that of the index.
//!
//! An embedder that fails costs nothing but its help: the search goes on by words alone and says so.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};

use thiserror::Error;

use super::Passage;

/// The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher, Reciprocal Rank Fusion
/// outperforms Condorcet, SIGIR 2009).
const FUSION_K: f64 = 60.0;
/// Texts given to an embedder at a time.
const BATCH: usize = 64;

/// Turns texts into vectors whose cosine says how near their meanings are.
pub trait Embedder: Send + Sync {
    /// What it is called in messages.
    fn name(&self) -> &str;

    /// One vector per text, all of one length and finite. Called with at most 64 texts at a time.
    ///
    /// # Errors
    /// Whatever keeps it from doing so; the search falls back to words and shows the reason.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError>;
}

/// Why texts could not be embedded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct EmbedError(pub String);

/// An embedder with the vectors of all passages, or with the reason why it has none.
pub(super) struct Embedding {
    embedder: Box<dyn Embedder>,
    passages: Result<Vec<Vec<f32>>, EmbedError>,
}

impl Debug for Embedding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Embedding")
            .field(&self.embedder.name())
            .finish()
    }
}

impl Embedding {
    /// Embeds all passages.
    pub(super) fn new(embedder: Box<dyn Embedder>, passages: &[Passage]) -> Self {
        let texts: Vec<String> = passages
            .iter()
            .map(|p| format!("{}\n{}", p.title, p.text))
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        Self {
            passages: unit_vectors(embedder.as_ref(), &texts),
            embedder,
        }
    }

    pub(super) fn name(&self) -> &str {
        self.embedder.name()
    }

    /// The numbers of the `most` passages nearest to the query, nearest first; of equal ones the
    /// first.
    pub(super) fn search(&self, query: &str, most: usize) -> Result<Vec<usize>, EmbedError> {
        let passages = self.passages.as_ref().map_err(Clone::clone)?;
        let Some(query) = unit_vectors(self.embedder.as_ref(), &[query])?.pop() else {
            return Ok(Vec::new());
        };
        if passages.iter().any(|p| p.len() != query.len()) {
            return Err(EmbedError("vectors of unequal length".to_owned()));
        }
        let mut near: Vec<(f32, usize)> = passages
            .iter()
            .map(|p| p.iter().zip(&query).map(|(a, b)| a * b).sum::<f32>())
            .zip(0..)
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0));
        near.truncate(most);
        Ok(near.into_iter().map(|(_, number)| number).collect())
    }
}

/// Vectors of length one, so that a product is a cosine; a text without meaning stays zero.
fn unit_vectors(embedder: &dyn Embedder, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
    let mut all = Vec::with_capacity(texts.len());
    for batch in texts.chunks(BATCH) {
        let vectors = embedder.embed(batch)?;
        if vectors.len() != batch.len() {
            return Err(EmbedError(format!(
                "{} vectors for {} texts",
                vectors.len(),
                batch.len()
            )));
        }
        all.extend(vectors);
    }
    let dimensions = all.first().map_or(0, Vec::len);
    for vector in &mut all {
        if vector.len() != dimensions || vector.iter().any(|x| !x.is_finite()) {
            return Err(EmbedError(
                "vectors of unequal length or with numbers that are none".to_owned(),
            ));
        }
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        if length > 0.0 {
            vector.iter_mut().for_each(|x| *x /= length);
        }
    }
    Ok(all)
}

/// Joins rankings: each gives 1/(60 + rank) to what it ranks. Best first; of equal ones the one
/// with the lower number.
pub(super) fn fuse(rankings: &[Vec<usize>]) -> Vec<(usize, f64)> {
    let mut scores: BTreeMap<usize, f64> = BTreeMap::new();
    for ranking in rankings {
        for (rank, number) in (1_u32..).zip(ranking) {
            *scores.entry(*number).or_insert(0.0) += 1.0 / (FUSION_K + f64::from(rank));
        }
    }
    let mut fused: Vec<(usize, f64)> = scores.into_iter().collect();
    fused.sort_by(|a, b| b.1.total_cmp(&a.1));
    fused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fusion_prefers_what_both_rank() {
        let fused = fuse(&[vec![7, 3, 9], vec![4, 3]]);
        assert_eq!(fused[0], (3, 2.0 / 62.0));
        // Equal scores: 4 before 7.
        assert_eq!(fused[1..3], [(4, 1.0 / 61.0), (7, 1.0 / 61.0)]);
        assert_eq!(fused[3].0, 9);
    }
}
