//! The arguments that name a language model, for every command that asks one.
//!
//! A key is never an argument: arguments stand in the process list and in shell histories.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ccl_llm::{AddressError, Budget, Client, Key, Kind, Limits, Provider, Replayed};
use clap::{Args, ValueEnum};

use crate::error::CommandError;
use crate::output;

/// Which language model is asked, and how.
#[derive(Args)]
pub struct ProviderArgs {
    /// Language-model provider.
    #[arg(long, value_enum, default_value = "ollama")]
    pub provider: ProviderArg,
    /// Model of the provider. By default deepseek-r1:8b of ollama, gpt-5-mini of openai,
    /// claude-sonnet-4-6 of claude, gemini-flash-latest of gemini and gpt-oss-120b of fireworks.
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Where the provider is asked. Of a compatible server with what comes before /chat/completions, as
    /// http://127.0.0.1:8000/v1. Without it Ollama is asked at OLLAMA_HOST.
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,
    /// File that holds the provider's key. Without it the key is OPENAI_API_KEY, ANTHROPIC_API_KEY,
    /// GEMINI_API_KEY (or GOOGLE_API_KEY), FIREWORKS_API_KEY, or CCL_AGENT_LLM_API_KEY of a compatible
    /// server.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Longest time a question to the model may take, with all attempts.
    #[arg(long, value_name = "SECONDS", default_value_t = 120,
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub llm_timeout: u64,
    /// Most requests to the model, attempts and second questions counted.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub llm_calls: u64,
    /// Ask nobody: answer from what an earlier run recorded, its llm folder. A question that was not asked then has
    /// no answer.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["base_url", "key_file", "model"])]
    pub replay: Option<PathBuf>,
}

/// The providers as the command line names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum ProviderArg {
    Ollama,
    #[value(name = "openai")]
    OpenAi,
    Claude,
    Gemini,
    Fireworks,
    #[value(name = "openai-compatible")]
    OpenAiCompatible,
    None,
}

impl ProviderArg {
    const fn kind(self) -> Option<Kind> {
        Some(match self {
            Self::Ollama => Kind::Ollama,
            Self::OpenAi => Kind::OpenAi,
            Self::Claude => Kind::Claude,
            Self::Gemini => Kind::Gemini,
            Self::Fireworks => Kind::Fireworks,
            Self::OpenAiCompatible => Kind::OpenAiCompatible,
            Self::None => return None,
        })
    }
}

/// The model the arguments name; `None` where none is to be asked. Nothing is sent, and a missing key
/// is no error here: the first question fails with it, and the run goes on without a model.
///
/// # Errors
/// An address or a key that cannot be used, or no model where none is known.
pub fn provider(args: &ProviderArgs) -> Result<Option<Arc<dyn Provider>>, CommandError> {
    if let Some(folder) = &args.replay {
        let replayed = Replayed::read(folder).map_err(|error| {
            CommandError::bad_input(format!("--replay {}: {error}", folder.display()))
                .help("name the llm folder of a run directory")
        })?;
        return Ok(Some(Arc::new(replayed)));
    }
    client(args).map(|client| client.map(|client| Arc::new(client) as Arc<dyn Provider>))
}

/// The same as the client itself, which knows what it has spent.
///
/// # Errors
/// As [`provider`].
pub fn client(args: &ProviderArgs) -> Result<Option<Client>, CommandError> {
    let Some(kind) = args.provider.kind() else {
        return Ok(None);
    };
    let model = args
        .model
        .clone()
        .or_else(|| kind.default_model().map(str::to_owned))
        .filter(|model| !model.trim().is_empty())
        .ok_or_else(|| {
            CommandError::bad_input(format!("--provider {}: which model?", kind.name()))
                .help("name one that the server has with --model")
        })?;
    let from_environment = match kind {
        Kind::Ollama => std::env::var("OLLAMA_HOST").ok(),
        _ => None,
    };
    let address = args.base_url.as_ref().or(from_environment.as_ref());
    let named = match (&args.base_url, &from_environment) {
        (None, Some(_)) => "OLLAMA_HOST",
        _ => "--base-url",
    };
    let whole = Duration::from_secs(args.llm_timeout);
    let client = Client::new(kind, model, address.map(String::as_str), key(args, kind)?)
        .map_err(|error| match error {
            AddressError::Missing => {
                CommandError::bad_input(format!("--provider {}: {error}", kind.name()))
                    .help("name it with --base-url, as http://127.0.0.1:8000/v1")
            }
            AddressError::Unusable { .. } => CommandError::bad_input(format!("{named}: {error}"))
                .help("write it as http://HOST:PORT, and a key into the environment or a key file"),
        })?
        .with_limits(Limits {
            first_byte: whole,
            whole,
            ..Limits::default()
        })
        .with_budget(Budget {
            calls: Some(args.llm_calls),
            ..Budget::default()
        });
    Ok(Some(client))
}

fn key(args: &ProviderArgs, kind: Kind) -> Result<Option<Key>, CommandError> {
    let Some(path) = &args.key_file else {
        return Key::from_environment(kind.key_variables())
            .map_err(|error| CommandError::bad_input(error).help("set it to the whole key"));
    };
    let (key, is_open) = Key::from_file(path).map_err(|error| {
        CommandError::bad_input(error).help("name a file that holds the key and nothing else")
    })?;
    if is_open {
        output::warning(format!(
            "others can read the key file {path}: chmod 600 {path}",
            path = path.display()
        ));
    }
    Ok(Some(key))
}
