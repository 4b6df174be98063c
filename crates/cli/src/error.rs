//! How a failed command ends: what was wrong, where, what to do, and the exit code.
//!
//! Library errors carry facts; the advice is added here, once.

use std::fmt;

use miette::Diagnostic;
use thiserror::Error;

/// Exit codes of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitKind {
    /// Bad input or usage.
    BadInput = 2,
    /// The workload failed.
    WorkloadFailed = 3,
    /// The guard refused to go on.
    GuardRefused = 4,
    /// Interrupted, after a clean roll-back.
    Interrupted = 130,
}

/// An error as a user sees it.
#[derive(Debug, Error)]
#[error("{what}")]
pub struct CommandError {
    /// What was wrong, and where.
    what: String,
    /// What to do about it.
    help: Option<String>,
    /// How the process ends.
    pub kind: ExitKind,
}

impl CommandError {
    /// Bad input: exit 2.
    pub fn bad_input(what: impl fmt::Display) -> Self {
        Self {
            what: what.to_string(),
            help: None,
            kind: ExitKind::BadInput,
        }
    }

    /// The same error with advice.
    #[must_use]
    pub fn help(mut self, help: impl fmt::Display) -> Self {
        self.help = Some(help.to_string());
        self
    }

    /// The same error with another exit code.
    #[must_use]
    pub fn kind(mut self, kind: ExitKind) -> Self {
        self.kind = kind;
        self
    }
}

impl Diagnostic for CommandError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help
            .as_ref()
            .map(|h| Box::new(h) as Box<dyn fmt::Display>)
    }
}

/// What every command returns.
pub type CommandResult = Result<(), CommandError>;
