//! What tokens cost, where it is known.
//!
//! Prices change; these are list prices of the defaults and their neighbours as other pages quoted them, so a
//! cost is an estimate and no bill. A model that is not listed has no price, and its cost is unknown: local
//! servers cost electricity, and nobody knows how much.

use serde::{Deserialize, Serialize};

use crate::Usage;

/// US dollars per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prices {
    /// Of the question.
    pub input: f64,
    /// Of what of the question the provider still had; `None` where it is not known.
    pub cached: Option<f64>,
    /// Of the answer, thoughts included.
    pub output: f64,
}

/// Provider, model, prices.
type Row = (&'static str, &'static str, Prices);

const fn prices(input: f64, cached: f64, output: f64) -> Prices {
    Prices {
        input,
        cached: Some(cached),
        output,
    }
}

/// The table. Not read at its sources but as other pages quoted them in the month in brackets:
/// OpenAI <https://platform.openai.com/docs/pricing> (2026-03), Anthropic
/// <https://platform.claude.com/docs/en/about-claude/pricing> (2025-11), Fireworks
/// <https://fireworks.ai/pricing> (2026-08, no price of cached tokens).
const TABLE: &[Row] = &[
    ("openai", "gpt-5", prices(1.25, 0.125, 10.0)),
    ("openai", "gpt-5-mini", prices(0.25, 0.025, 2.0)),
    ("openai", "gpt-4.1", prices(2.0, 0.5, 8.0)),
    ("openai", "gpt-4.1-mini", prices(0.4, 0.1, 1.6)),
    ("claude", "claude-sonnet-4-5", prices(3.0, 0.3, 15.0)),
    ("claude", "claude-sonnet-4-6", prices(3.0, 0.3, 15.0)),
    ("claude", "claude-haiku-4-5", prices(1.0, 0.1, 5.0)),
    (
        "fireworks",
        "accounts/fireworks/models/gpt-oss-120b",
        Prices {
            input: 0.15,
            cached: None,
            output: 0.6,
        },
    ),
];

impl Prices {
    /// The price of a model; `None` where it is not known. A dated name (`gpt-5-2025-08-07`,
    /// `claude-haiku-4-5-20251001`) is the model it begins with.
    pub fn of(provider: &str, model: &str) -> Option<Self> {
        TABLE
            .iter()
            .find(|(p, name, _)| {
                let rest = model.strip_prefix(name);
                *p == provider
                    && rest.is_some_and(|rest| {
                        rest.is_empty()
                            || rest.strip_prefix('-').is_some_and(|date| {
                                date.starts_with("20")
                                    && date.bytes().all(|b| b.is_ascii_digit() || b == b'-')
                            })
                    })
            })
            .map(|(_, _, prices)| *prices)
    }

    /// The cost of a call in US dollars; `None` where the tokens are not known. Cached tokens
    /// without a price of their own are counted as others, so that the cost is an upper bound.
    pub fn cost(&self, usage: &Usage) -> Option<f64> {
        const MILLION: f64 = 1e6;
        let cached = usage.cached.unwrap_or(0);
        let fresh = usage.input?.saturating_sub(cached);
        let tokens = |n: u64, price: f64| n as f64 * price / MILLION;
        Some(
            tokens(fresh, self.input)
                + tokens(cached, self.cached.unwrap_or(self.input))
                + tokens(usage.output?, self.output),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_known_or_it_is_none() {
        let usage = Usage {
            input: Some(1_000_000),
            output: Some(100_000),
            cached: Some(400_000),
            ..Usage::default()
        };
        let mini = Prices::of("openai", "gpt-5-mini-2025-08-07").unwrap();
        assert!((mini.cost(&usage).unwrap() - (0.6 * 0.25 + 0.4 * 0.025 + 0.2)).abs() < 1e-12);
        assert_eq!(Prices::of("openai", "gpt-5-nano"), None);
        assert_eq!(Prices::of("ollama", "deepseek-r1:8b"), None);
        assert_eq!(mini.cost(&Usage::default()), None);
    }
}
