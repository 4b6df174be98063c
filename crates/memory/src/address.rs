//! Which store an address names, and opening it.
//!
//! A path names a file, or a folder that holds `memory.sqlite`; `sqlite:PATH` the same, whatever the path looks
//! like; `postgres://` a database. An address may hold a password, so it is never shown as it came.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::{Memory, MemoryError, PostgresMemory, SqliteMemory};

/// The file in a folder.
pub const FILE_NAME: &str = "memory.sqlite";

/// Where a memory is.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Place);

#[derive(Clone, PartialEq, Eq)]
enum Place {
    File(PathBuf),
    /// The whole address, with the password.
    Postgres(String),
}

/// Whether a memory may be made where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// It must be there.
    Existing,
    /// It is made.
    OrNew,
}

impl Address {
    /// The memory in a folder, which need not exist yet.
    pub fn in_folder(folder: &Path) -> Self {
        Self(Place::File(folder.join(FILE_NAME)))
    }

    /// The memory a path names: an existing folder's, or the file itself.
    pub fn of_path(path: &Path) -> Self {
        if path.is_dir() {
            Self::in_folder(path)
        } else {
            Self(Place::File(path.to_owned()))
        }
    }

    /// Opens it. `password` is for a database whose address has none.
    ///
    /// # Errors
    /// See [`SqliteMemory::open`] and [`PostgresMemory::open`]; [`MemoryError::Missing`] where it must be there.
    pub fn open(
        &self,
        opening: Opening,
        password: Option<&str>,
    ) -> Result<Box<dyn Memory>, MemoryError> {
        match &self.0 {
            Place::File(file) => {
                if opening == Opening::Existing && !file.exists() {
                    return Err(MemoryError::Missing {
                        place: self.to_string(),
                    });
                }
                Ok(Box::new(SqliteMemory::open(file)?))
            }
            Place::Postgres(url) => Ok(Box::new(PostgresMemory::open(url, password)?)),
        }
    }
}

impl FromStr for Address {
    type Err = MemoryError;

    fn from_str(text: &str) -> Result<Self, MemoryError> {
        let wrong = |address: &str, reason: &str| MemoryError::Address {
            address: address.to_owned(),
            reason: reason.to_owned(),
        };
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err(wrong(text, "name a file behind it"));
            }
            return Ok(Self::of_path(Path::new(path)));
        }
        match text.split_once("://") {
            Some(("postgres" | "postgresql", _)) => Ok(Self(Place::Postgres(text.to_owned()))),
            // What follows may hold a password.
            Some((scheme, _)) => Err(wrong(
                &format!("{scheme}://..."),
                "a memory is a path, sqlite:PATH or postgres://USER@HOST/DATABASE",
            )),
            None if text.is_empty() => Err(wrong("\"\"", "name a file")),
            None => Ok(Self::of_path(Path::new(text))),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::File(file) => file.display().fmt(f),
            Place::Postgres(url) => f.write_str(&crate::postgres::without_password(url)),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}
