//! The `--embeddings` option: knowledge searched by meaning as well as by words.
//!
//! A folder of static embeddings works without a server. A provider's model is asked over the network, where it does
//! not answer words alone decide, and the result says so; a run takes no such model, for each search would keep it
//! waiting.

use std::path::Path;

use ccl_llm::{Client, Embedder as _, Key, Kind};
use ccl_memory::{EmbedError, Embedder, LocalEmbedder};
use clap::Args;

use crate::error::CommandError;

/// Providers that embed, by the name before the colon.
const PROVIDERS: [(&str, Kind); 2] = [("ollama", Kind::Ollama), ("openai", Kind::OpenAi)];

/// How meanings are told.
#[derive(Args)]
pub struct EmbeddingArgs {
    /// Search knowledge by meaning as well as by words: a folder with static embeddings in the layout of
    /// Model2Vec, or ollama:MODEL or openai:MODEL.
    #[arg(long, value_name = "DIR|PROVIDER:MODEL")]
    pub embeddings: Option<String>,
}

/// The embedder in a folder.
///
/// # Errors
/// A folder without a model.
pub fn local(folder: &Path) -> Result<Box<dyn Embedder>, CommandError> {
    let local = LocalEmbedder::open(folder).map_err(|error| {
        CommandError::bad_input(error).help(
            "--embeddings takes a folder with tokenizer.json and model.safetensors, as Model2Vec \
             writes it",
        )
    })?;
    Ok(Box::new(local))
}

/// The embedder that is named, if one is.
///
/// # Errors
/// A folder without a model, or an address or key that cannot be used.
pub fn embedder(args: &EmbeddingArgs) -> Result<Option<Box<dyn Embedder>>, CommandError> {
    let Some(named) = &args.embeddings else {
        return Ok(None);
    };
    let provider = PROVIDERS.iter().find_map(|(name, kind)| {
        let model = named.strip_prefix(name)?.strip_prefix(':')?;
        Some((*kind, model))
    });
    if let Some((kind, model)) = provider {
        let host = match kind {
            Kind::Ollama => std::env::var("OLLAMA_HOST").ok(),
            _ => None,
        };
        let key = Key::from_environment(kind.key_variables())
            .map_err(|error| CommandError::bad_input(error).help("set it to the whole key"))?;
        let client = Client::new(kind, model, host.as_deref(), key).map_err(|error| {
            CommandError::bad_input(format!("--embeddings {named}: {error}"))
                .help("see OLLAMA_HOST; an address is written as http://HOST:PORT")
        })?;
        return Ok(Some(Box::new(OfProvider {
            name: named.clone(),
            client,
        })));
    }
    local(Path::new(named)).map(Some)
}

/// A provider's model.
struct OfProvider {
    name: String,
    client: Client,
}

impl Embedder for OfProvider {
    fn name(&self) -> &str {
        &self.name
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let vectors = self.client.embed(&texts);
        vectors.map_err(|failure| EmbedError(failure.to_string()))
    }
}
