//! Why a store cannot be used.

use std::path::PathBuf;

use ccl_core::Source;
use thiserror::Error;

/// What went wrong; the store is as it was. No password is ever part of it.
#[derive(Debug, Error)]
pub enum MemoryError {
    /// An address that names no store.
    #[error("{address}: {reason}")]
    Address {
        /// The address as far as it can be shown.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file system said no.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        error: std::io::Error,
    },
    /// There is nothing.
    #[error("{place}: there is no memory")]
    Missing {
        /// The store.
        place: String,
    },
    /// The database said no.
    #[error("{place}: {reason}")]
    Database {
        /// The store.
        place: String,
        /// What it said.
        reason: String,
    },
    /// Something newer wrote it.
    #[error("{place}: its schema is version {found}, this program knows up to {known}")]
    Newer {
        /// The store.
        place: String,
        /// The version found.
        found: u32,
        /// The newest version known.
        known: u32,
    },
    /// A record that cannot be read as what it is filed as, or not be written so that it can.
    #[error("{kind} {id:?}: {error}")]
    Malformed {
        /// The kind of record.
        kind: &'static str,
        /// Its name.
        id: String,
        /// What is wrong.
        error: serde_json::Error,
    },
    /// A line of an export that is no record.
    #[error("{file}:{line}:{column}: {reason}", file = file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// Figures of one source among those of another.
    #[error("{id:?} is {found}, and cannot be filed under {expected}")]
    WrongSource {
        /// The record.
        id: String,
        /// Where its figures come from.
        found: Source,
        /// What it would be filed under.
        expected: Source,
    },
}
