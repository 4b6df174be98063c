//! Static embeddings from a folder, in the layout of Model2Vec (MinishLab/model2vec,
//! `persistence/datamodels.py`): `tokenizer.json`, `model.safetensors` and, where it is there,
//! `config.json`. The vector of a text is the mean of the vectors of its tokens (`model.py`).
//!
//! Reads files and nothing else: no model is ever fetched.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use thiserror::Error;
use tokenizers::Tokenizer;

use super::{EmbedError, Embedder};

/// Most tokens of a text that count, as in Model2Vec's `encode`.
const MOST_TOKENS: usize = 512;

/// Why a folder is no model.
#[derive(Debug, Error)]
pub enum LocalModelError {
    /// A file could not be read.
    #[error("cannot read {path}: {why}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
    /// A file could be read and not understood.
    #[error("{path}: {why}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// A model of static embeddings.
pub struct LocalEmbedder {
    name: String,
    tokenizer: Tokenizer,
    /// The token that stands for what the model does not know; it has no meaning to add.
    unknown: Option<u32>,
    /// Rows of `dimensions` numbers.
    rows: Vec<f32>,
    dimensions: usize,
    /// Row of each token, where rows are shared.
    mapping: Option<Vec<usize>>,
    /// Weight of each token, where there are weights.
    weights: Option<Vec<f32>>,
}

impl LocalEmbedder {
    /// Reads a model folder.
    ///
    /// # Errors
    /// [`LocalModelError`]: a file is missing or not of this layout.
    pub fn open(folder: &Path) -> Result<Self, LocalModelError> {
        let path = folder.join("tokenizer.json");
        let bytes = read(&path)?;
        let tokenizer = Tokenizer::from_bytes(&bytes).map_err(|e| format_error(&path, &e))?;
        let unknown = unknown_token(&bytes).and_then(|token| tokenizer.token_to_id(&token));

        let path = folder.join("model.safetensors");
        let bytes = read(&path)?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| format_error(&path, &e))?;
        let wrong = |why: String| format_error(&path, &why);
        let embeddings = tensors
            .tensor("embeddings")
            .or_else(|_| tensors.tensor("embedding.weight"))
            .map_err(|_| wrong("no tensor named embeddings".to_owned()))?;
        let &[count, dimensions @ 1..=usize::MAX] = embeddings.shape() else {
            return Err(wrong(format!(
                "embeddings of shape {:?} instead of tokens times dimensions",
                embeddings.shape()
            )));
        };
        let rows = numbers(&embeddings).map_err(wrong)?;
        let weights = tensors.tensor("weights").ok();
        let weights = weights.map(|t| numbers(&t)).transpose().map_err(wrong)?;
        let mapping = tensors.tensor("mapping").ok();
        let mapping = mapping.map(|t| indices(&t)).transpose().map_err(wrong)?;

        let tokens = tokenizer.get_vocab_size(true);
        let rows_of_tokens = mapping.as_ref().map_or(count, Vec::len);
        let weights_of_tokens = weights.as_ref().map_or(tokens, Vec::len);
        if rows_of_tokens < tokens || weights_of_tokens < tokens {
            return Err(wrong(format!(
                "{tokens} tokens in tokenizer.json, but {rows_of_tokens} vectors and \
                 {weights_of_tokens} weights"
            )));
        }
        if mapping.iter().flatten().any(|row| *row >= count) {
            return Err(wrong(format!(
                "a token is mapped beyond the {count} vectors"
            )));
        }
        Ok(Self {
            name: folder.display().to_string(),
            tokenizer,
            unknown,
            rows,
            dimensions,
            mapping,
            weights,
        })
    }

    fn vector(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        let tokens = self
            .tokenizer
            .encode_fast(text, false)
            .map_err(|e| EmbedError(e.to_string()))?;
        let known = tokens
            .get_ids()
            .iter()
            .filter(|id| Some(**id) != self.unknown);
        let mut sum = vec![0.0; self.dimensions];
        let mut count = 0.0_f32;
        for id in known.take(MOST_TOKENS) {
            let token = *id as usize;
            let row = self
                .mapping
                .as_ref()
                .map_or(Some(token), |m| m.get(token).copied());
            let vector = row.and_then(|r| self.rows.chunks_exact(self.dimensions).nth(r));
            let Some(vector) = vector else { continue };
            let weight = self
                .weights
                .as_ref()
                .and_then(|w| w.get(token))
                .unwrap_or(&1.0);
            sum.iter_mut()
                .zip(vector)
                .for_each(|(s, v)| *s += v * weight);
            count += 1.0;
        }
        if count > 0.0 {
            sum.iter_mut().for_each(|s| *s /= count);
        }
        Ok(sum)
    }
}

impl Embedder for LocalEmbedder {
    fn name(&self) -> &str {
        &self.name
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        texts.iter().map(|text| self.vector(text)).collect()
    }
}

/// The unknown token of the tokenizer's model, wherever the kind of model keeps it.
fn unknown_token(tokenizer: &[u8]) -> Option<String> {
    let tokenizer: serde_json::Value = serde_json::from_slice(tokenizer).ok()?;
    let model = tokenizer.get("model")?;
    if let Some(token) = model.get("unk_token").and_then(|t| t.as_str()) {
        return Some(token.to_owned());
    }
    let number = usize::try_from(model.get("unk_id")?.as_u64()?).ok()?;
    let entry = model.get("vocab")?.get(number)?;
    Some(entry.get(0)?.as_str()?.to_owned())
}

fn numbers(tensor: &TensorView<'_>) -> Result<Vec<f32>, String> {
    let bytes = tensor.data();
    match tensor.dtype() {
        Dtype::F32 => Ok(words(bytes).map(f32::from_le_bytes).collect()),
        #[allow(clippy::cast_possible_truncation)] // that is what is asked for
        Dtype::F64 => Ok(words(bytes).map(|b| f64::from_le_bytes(b) as f32).collect()),
        Dtype::F16 => Ok(words(bytes).map(|b| half(u16::from_le_bytes(b))).collect()),
        Dtype::I8 => Ok(words(bytes)
            .map(|b| f32::from(i8::from_le_bytes(b)))
            .collect()),
        other => Err(format!(
            "numbers of type {other:?}; F64, F32, F16 and I8 are read"
        )),
    }
}

fn indices(tensor: &TensorView<'_>) -> Result<Vec<usize>, String> {
    let bytes = tensor.data();
    let index = |n: i64| usize::try_from(n).map_err(|_| format!("mapping to row {n}"));
    match tensor.dtype() {
        Dtype::I64 => words(bytes).map(|b| index(i64::from_le_bytes(b))).collect(),
        Dtype::I32 => words(bytes)
            .map(|b| index(i64::from(i32::from_le_bytes(b))))
            .collect(),
        other => Err(format!("a mapping of type {other:?}; I64 and I32 are read")),
    }
}

fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.chunks_exact(N).filter_map(|b| b.try_into().ok())
}

/// IEEE 754 binary16: 1 sign, 5 exponent and 10 fraction bits.
fn half(bits: u16) -> f32 {
    let fraction = f32::from(bits & 0x3ff) / 1024.0;
    let size = match (bits >> 10) & 0x1f {
        0 => fraction * 2.0_f32.powi(-14),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        exponent => (1.0 + fraction) * 2.0_f32.powi(i32::from(exponent) - 15),
    };
    if bits & 0x8000 == 0 { size } else { -size }
}

fn read(path: &Path) -> Result<Vec<u8>, LocalModelError> {
    fs::read(path).map_err(|why| LocalModelError::Read {
        path: path.to_owned(),
        why,
    })
}

fn format_error(path: &Path, why: &impl ToString) -> LocalModelError {
    LocalModelError::Format {
        path: path.to_owned(),
        why: why.to_string(),
    }
}

#[cfg(test)]
mod tests;
