//! A provider's key: held where nothing shows it, and taken out of every text.
//!
//! It comes from the environment or a file, never from an argument, since arguments stand in the
//! process list.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use serde_json::Value;
use thiserror::Error;

/// What stands in a text where the key stood.
pub const HIDDEN: &str = "[key]";
/// Shorter keys would be found in ordinary words.
const FEWEST_CHARS: usize = 8;
/// No key is longer; what is, is another file.
const MOST_BYTES: usize = 4096;

/// A key. Neither `Debug` nor `Display` nor `Serialize` shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

/// Why there is no key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// It is not what a header can carry and a text can be searched for.
    #[error(
        "{origin}: a key is one line of {FEWEST_CHARS} to {MOST_BYTES} visible ASCII characters"
    )]
    Unusable {
        /// The variable or the file.
        origin: String,
    },
    /// The file cannot be read.
    #[error("cannot read the key file {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the file system says.
        error: std::io::Error,
    },
}

impl Key {
    /// A key; white space around it is dropped. `origin` names where it comes from in an error.
    ///
    /// # Errors
    /// When it is too short, too long, or not visible ASCII.
    pub fn new(text: &str, origin: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let is_usable = (FEWEST_CHARS..=MOST_BYTES).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic());
        if is_usable {
            Ok(Self(text.to_owned()))
        } else {
            Err(KeyError::Unusable {
                origin: origin.to_owned(),
            })
        }
    }

    /// The first of these environment variables that is set and not empty.
    ///
    /// # Errors
    /// When what is set is no key.
    pub fn from_environment(variables: &[&str]) -> Result<Option<Self>, KeyError> {
        variables
            .iter()
            .find_map(|name| {
                let text = std::env::var(name).ok()?;
                (!text.trim().is_empty()).then(|| Self::new(&text, name))
            })
            .transpose()
    }

    /// The key in a file, and whether others than its owner may read the file.
    ///
    /// # Errors
    /// When the file cannot be read or holds no key.
    pub fn from_file(path: &Path) -> Result<(Self, bool), KeyError> {
        use std::io::Read as _;
        let unreadable = |error| KeyError::Unreadable {
            path: path.to_owned(),
            error,
        };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?;
        let mut text = String::new();
        // One byte more than a key may have is enough to see that it is none.
        file.take(MOST_BYTES as u64 + 2)
            .read_to_string(&mut text)
            .map_err(unreadable)?;
        let key = Self::new(&text, &path.display().to_string())?;
        Ok((key, is_open_to_others(&mode)))
    }

    /// The key itself, for the header that carries it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// The text with every occurrence of the key replaced, also as it stands inside a JSON text.
    pub fn scrub(&self, text: &str) -> String {
        let inside_json = Value::from(self.0.as_str()).to_string();
        let inside_json = inside_json.trim_matches('"');
        text.replace(&self.0, HIDDEN).replace(inside_json, HIDDEN)
    }
}

#[cfg(unix)]
fn is_open_to_others(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_open_to_others(_metadata: &std::fs::Metadata) -> bool {
    false
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

/// Takes the key out of a text that comes in pieces: what could be the beginning of a key is held
/// back until the next piece tells.
pub(crate) struct Scrubber<'a> {
    key: Option<&'a Key>,
    held: String,
}

impl<'a> Scrubber<'a> {
    pub(crate) fn new(key: Option<&'a Key>) -> Self {
        Self {
            key,
            held: String::new(),
        }
    }

    /// What of the text so far can be shown.
    pub(crate) fn push(&mut self, piece: &str) -> String {
        let Some(key) = self.key else {
            return piece.to_owned();
        };
        self.held.push_str(piece);
        let text = key.scrub(&self.held);
        // A key is ASCII, so these are all on character boundaries of the text.
        let open = (1..key.0.len().min(text.len() + 1))
            .rev()
            .find(|&n| text.ends_with(&key.0[..n]))
            .unwrap_or(0);
        let (shown, held) = text.split_at(text.len() - open);
        let (shown, held) = (shown.to_owned(), held.to_owned());
        self.held = held;
        shown
    }

    /// What was still held back.
    pub(crate) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "sk-\"quoted\"/abab";

    #[test]
    fn nothing_shows_a_key() {
        let key = Key::new(SECRET, "test").unwrap();
        for text in [
            format!("{key}"),
            format!("{key:?}"),
            format!("{:?}", Some(&key)),
            serde_json::to_string(&key).unwrap(),
            key.scrub(&format!("a {SECRET} b {SECRET}")),
            key.scrub(&serde_json::json!({"x": format!("is {SECRET}!")}).to_string()),
        ] {
            assert!(!text.contains("abab"), "{text}");
        }
        let error = Key::new("short", "OPENAI_API_KEY").unwrap_err().to_string();
        assert!(error.starts_with("OPENAI_API_KEY:") && !error.contains("short"));
    }

    #[test]
    fn a_key_in_pieces_is_hidden_and_nothing_else_is_lost() {
        let key = Key::new(SECRET, "test").unwrap();
        let text = format!("ab sk-\"quo sk-{SECRET}{SECRET} end sk-\"quoted");
        let expected = key.scrub(&text);
        for size in 1..text.len() {
            let mut scrubber = Scrubber::new(Some(&key));
            let mut shown = String::new();
            for piece in text.as_bytes().chunks(size) {
                shown.push_str(&scrubber.push(std::str::from_utf8(piece).unwrap()));
            }
            shown.push_str(&scrubber.finish());
            assert_eq!(shown, expected, "pieces of {size}");
        }
    }
}
