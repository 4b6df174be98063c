//! Texts as vectors, from the providers that make them.
//!
//! Sources: docs/api.md of ollama/ollama (generate embeddings), the API references of OpenAI
//! (embeddings) and of the Gemini API (batchEmbedContents). Claude has none.

use serde_json::{Value, json};

use crate::reading::Whole;
use crate::{Client, Failure, Kind};

/// Texts of one request; a vector has up to some thousands of numbers, so that an answer stays within
/// its limit of bytes.
const BATCH: usize = 32;

/// What turns texts into vectors.
pub trait Embedder: Send + Sync {
    /// The provider's name.
    fn name(&self) -> &str;

    /// The model's name. Vectors of different models have nothing to do with each other.
    fn model(&self) -> &str;

    /// One vector a text, in the order of the texts, all of one length.
    ///
    /// # Errors
    /// When the provider has none, or as a question fails.
    fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Failure>;
}

/// A client made with an embedding model. Limits, retries and the budget of calls hold as for
/// questions.
impl Embedder for Client {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Failure> {
        if let Some(failure) = self.missing_key() {
            return Err(failure);
        }
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in texts.chunks(BATCH) {
            vectors.extend(self.batch(batch)?);
        }
        let length = vectors.first().map_or(0, Vec::len);
        if vectors.iter().any(|v| v.len() != length) || (length == 0 && !texts.is_empty()) {
            return Err(self.connection.protocol("vectors of different lengths"));
        }
        Ok(vectors)
    }
}

impl Client {
    fn batch(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Failure> {
        let (path, body) = match self.kind {
            Kind::Ollama => (
                "/api/embed".to_owned(),
                json!({"model": self.model, "input": texts}),
            ),
            Kind::OpenAi | Kind::Fireworks | Kind::OpenAiCompatible => (
                "/embeddings".to_owned(),
                json!({"model": self.model, "input": texts, "encoding_format": "float"}),
            ),
            Kind::Gemini => {
                let model = self.model.trim_start_matches("models/");
                let one = |text: &String| {
                    json!({"model": format!("models/{model}"),
                        "content": {"parts": [{"text": text}]}})
                };
                let requests: Vec<Value> = texts.iter().map(one).collect();
                (
                    format!("/v1beta/models/{model}:batchEmbedContents"),
                    json!({"requests": requests}),
                )
            }
            Kind::Claude => {
                return Err(Failure::Unsupported {
                    provider: self.kind.name().to_owned(),
                    reason: "it makes no embeddings".to_owned(),
                });
            }
        };
        let connection = &self.connection;
        let began = connection.pace.now();
        let answer = connection.send(
            &path,
            &body,
            began,
            &mut Vec::new(),
            &mut Whole(self.wire.as_ref()),
        )?;
        vectors(&answer, texts.len()).map_err(|reason| connection.protocol(&reason))
    }
}

/// The vectors of an answer, in the order of their texts.
fn vectors(answer: &Value, texts: usize) -> Result<Vec<Vec<f32>>, String> {
    let (list, inside) = if answer.get("data").is_some() {
        ("data", Some("embedding"))
    } else {
        (
            "embeddings",
            answer.pointer("/embeddings/0/values").map(|_| "values"),
        )
    };
    let list = answer
        .get(list)
        .and_then(Value::as_array)
        .ok_or("no embeddings")?;
    let mut vectors = vec![None; texts];
    for (place, item) in list.iter().enumerate() {
        // Only OpenAI says which text it is of, and it may be another order.
        let place = item
            .get("index")
            .and_then(Value::as_u64)
            .map_or(Some(place), |index| usize::try_from(index).ok());
        let slot = place.and_then(|place| vectors.get_mut(place));
        let numbers = inside.map_or(Some(item), |field| item.get(field));
        let vector: Option<Vec<f32>> = numbers.and_then(Value::as_array).and_then(|numbers| {
            // Vectors are single precision where they are made.
            numbers
                .iter()
                .map(|n| n.as_f64().map(|n| n as f32))
                .collect()
        });
        *slot.ok_or("more vectors than texts")? = Some(vector.ok_or("a vector that is none")?);
    }
    let complete: Option<Vec<_>> = vectors.into_iter().collect();
    complete.ok_or_else(|| "fewer vectors than texts".to_owned())
}
