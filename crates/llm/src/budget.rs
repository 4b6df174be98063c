//! What may be spent on a model, in requests and in tokens.

use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::{Failure, Usage};

/// Characters of English text a token has on average, for servers that do not count
/// (<https://help.openai.com/en/articles/4936856>).
const CHARS_PER_TOKEN: u64 = 4;

/// Most that may be spent; `None` sets no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Requests over the wire, retries and repairs included.
    pub calls: Option<u64>,
    /// Tokens of questions and answers. A request is sent while any is left, so that the last one
    /// may go beyond.
    pub tokens: Option<u64>,
}

/// What was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Requests over the wire.
    pub calls: u64,
    /// Tokens: as the provider counts them, or estimated from the length of the texts.
    pub tokens: u64,
}

/// Keeps the books.
#[derive(Debug, Default)]
pub(crate) struct Account {
    budget: Budget,
    spent: Mutex<Spent>,
}

impl Account {
    pub(crate) fn new(budget: Budget) -> Self {
        Self {
            budget,
            spent: Mutex::default(),
        }
    }

    pub(crate) fn spent(&self) -> Spent {
        *self.lock()
    }

    /// Takes one call.
    ///
    /// # Errors
    /// When the budget is spent.
    pub(crate) fn call(&self) -> Result<(), Failure> {
        let mut spent = self.lock();
        for (what, limit, used) in [
            ("calls", self.budget.calls, spent.calls),
            ("tokens", self.budget.tokens, spent.tokens),
        ] {
            if let Some(limit) = limit.filter(|&limit| used >= limit) {
                return Err(Failure::Budget {
                    what: what.to_owned(),
                    limit,
                });
            }
        }
        spent.calls += 1;
        Ok(())
    }

    /// Books an answer; `chars` are those of question and answer.
    pub(crate) fn answered(&self, usage: &Usage, chars: usize) {
        let counted = usage
            .input
            .zip(usage.output)
            .map(|(i, o)| i.saturating_add(o));
        let estimated = u64::try_from(chars).unwrap_or(u64::MAX) / CHARS_PER_TOKEN;
        let mut spent = self.lock();
        spent.tokens = spent.tokens.saturating_add(counted.unwrap_or(estimated));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Spent> {
        self.spent
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
