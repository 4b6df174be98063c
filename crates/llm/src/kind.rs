//! The providers there are: their names, where they are, what they are asked by default.

use reqwest::Url;
use thiserror::Error;

use crate::wire::Wire;
use crate::wire::claude::Claude;
use crate::wire::gemini::Gemini;
use crate::wire::ollama::Ollama;
use crate::wire::openai::OpenAi;

/// A provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Ollama's own format; runs where the job runs and sends nothing away.
    Ollama,
    /// OpenAI.
    OpenAi,
    /// Anthropic's Claude.
    Claude,
    /// Google's Gemini.
    Gemini,
    /// Fireworks AI.
    Fireworks,
    /// Any server that speaks OpenAI's chat completions: vLLM, llama.cpp, LM Studio.
    OpenAiCompatible,
}

/// What is wrong with an address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// There is none by default.
    #[error("a compatible server has no address by default")]
    Missing,
    /// It is none. It is not shown: it might hold a password.
    #[error("the base URL is no http or https address: {reason}")]
    Unusable {
        /// Why.
        reason: String,
    },
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Ollama,
        Self::OpenAi,
        Self::Claude,
        Self::Gemini,
        Self::Fireworks,
        Self::OpenAiCompatible,
    ];

    /// Its name on the command line and in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ollama => "ollama",
            Self::OpenAi => "openai",
            Self::Claude => "claude",
            Self::Gemini => "gemini",
            Self::Fireworks => "fireworks",
            Self::OpenAiCompatible => "openai-compatible",
        }
    }

    /// The model asked by default; a server of one's own has none that is known.
    pub const fn default_model(self) -> Option<&'static str> {
        match self {
            Self::Ollama => Some("deepseek-r1:8b"),
            Self::OpenAi => Some("gpt-5-mini"),
            Self::Claude => Some("claude-sonnet-4-6"),
            // Google's own name for the newest of the family.
            Self::Gemini => Some("gemini-flash-latest"),
            Self::Fireworks => Some("accounts/fireworks/models/gpt-oss-120b"),
            Self::OpenAiCompatible => None,
        }
    }

    /// The environment variables a key is looked for in, the first one first.
    pub const fn key_variables(self) -> &'static [&'static str] {
        match self {
            Self::Ollama => &[],
            Self::OpenAi => &["OPENAI_API_KEY"],
            Self::Claude => &["ANTHROPIC_API_KEY"],
            Self::Gemini => &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
            Self::Fireworks => &["FIREWORKS_API_KEY"],
            Self::OpenAiCompatible => &["CCL_AGENT_LLM_API_KEY"],
        }
    }

    /// Whether it answers nobody without a key.
    pub const fn needs_key(self) -> bool {
        !matches!(self, Self::Ollama | Self::OpenAiCompatible)
    }

    const fn default_address(self) -> Option<&'static str> {
        match self {
            Self::Ollama => Some("http://127.0.0.1:11434"),
            Self::OpenAi => Some("https://api.openai.com/v1"),
            Self::Claude => Some("https://api.anthropic.com"),
            Self::Gemini => Some("https://generativelanguage.googleapis.com"),
            Self::Fireworks => Some("https://api.fireworks.ai/inference/v1"),
            Self::OpenAiCompatible => None,
        }
    }

    /// The address to ask at: what is given, or the default. `host` and `host:port` mean
    /// `http://host:port`, as in `OLLAMA_HOST`, and a server that listens everywhere is asked on
    /// this machine. A compatible server's address ends where its `/chat/completions` begins, most
    /// often with `/v1`.
    ///
    /// # Errors
    /// When there is none, or it is no plain http address: a name, a password or a query in it
    /// would be written into every record.
    pub(crate) fn address(self, given: Option<&str>) -> Result<Url, AddressError> {
        let given = given.map(str::trim).filter(|g| !g.is_empty());
        let text = given
            .or(self.default_address())
            .ok_or(AddressError::Missing)?;
        let unusable = |reason: &str| AddressError::Unusable {
            reason: reason.to_owned(),
        };
        let (has_scheme, text) = if text.contains("://") {
            (true, text.to_owned())
        } else {
            (false, format!("http://{text}"))
        };
        let mut url =
            Url::parse(text.trim_end_matches('/')).map_err(|error| unusable(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(unusable("another scheme"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(unusable("it holds a user name or a password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(unusable("it holds a query or a fragment"));
        }
        if self == Self::Ollama {
            if matches!(url.host_str(), Some("0.0.0.0" | "[::]")) {
                url.set_host(Some("127.0.0.1"))
                    .map_err(|error| unusable(&error.to_string()))?;
            }
            if !has_scheme && url.port().is_none() && !text.ends_with(":80") {
                url.set_port(Some(11434))
                    .map_err(|()| unusable("no port"))?;
            }
        }
        Ok(url)
    }

    pub(crate) fn wire(self) -> Box<dyn Wire> {
        match self {
            Self::Ollama => Box::new(Ollama),
            Self::OpenAi => Box::new(OpenAi::Original),
            Self::Fireworks | Self::OpenAiCompatible => Box::new(OpenAi::Compatible),
            Self::Claude => Box::new(Claude),
            Self::Gemini => Box::new(Gemini),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_their_servers_mean_them() {
        let at = |kind: Kind, given: Option<&str>| kind.address(given).map(|u| u.to_string());
        for (given, expected) in [
            (None, "http://127.0.0.1:11434/"),
            (Some(""), "http://127.0.0.1:11434/"),
            (Some("gpu-node"), "http://gpu-node:11434/"),
            (Some("127.0.0.1:9"), "http://127.0.0.1:9/"),
            (Some("0.0.0.0:11434"), "http://127.0.0.1:11434/"),
            (Some("https://ollama.example/"), "https://ollama.example/"),
        ] {
            assert_eq!(
                at(Kind::Ollama, given).as_deref(),
                Ok(expected),
                "{given:?}"
            );
        }
        assert_eq!(
            at(Kind::OpenAiCompatible, Some("http://[::1]:8000/v1/")).as_deref(),
            Ok("http://[::1]:8000/v1")
        );
        assert_eq!(at(Kind::OpenAiCompatible, None), Err(AddressError::Missing));
        for bad in [
            "https://me:secret@h/v1",
            "https://h/v1?key=secret",
            "ftp://h",
            "http://",
        ] {
            let error = at(Kind::OpenAi, Some(bad)).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
