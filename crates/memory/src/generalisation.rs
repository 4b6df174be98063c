//! What makes a rule a generalisation: who widened what was measured, in which words, how far, and from what.
//!
//! A generalisation is marked until a run elsewhere comes to the same. Its figures are those of the rules it rests on;
//! whether it was drawn properly is for whoever draws it to check, not for a store.

use std::fmt;

use ccl_core::{SizeBucket, format_bytes};
use serde::{Deserialize, Serialize};

/// A rule that nobody measured as it stands: somebody widened or rephrased what was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generalisation {
    /// Who did: a model's name, or a person's.
    pub by: String,
    /// Their words.
    pub words: String,
    /// Whether a later run came to the same.
    pub confirmed: bool,
    /// How far it reaches beyond its own key and context.
    #[serde(default, skip_serializing_if = "Reach::is_none")]
    pub reach: Reach,
    /// Names of the rules it rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rests_on: Vec<String>,
}

impl Generalisation {
    /// One that no run has come to yet.
    pub fn new(by: &str, words: &str) -> Self {
        Self {
            by: by.to_owned(),
            words: words.to_owned(),
            confirmed: false,
            reach: Reach::default(),
            rests_on: Vec::new(),
        }
    }

    /// Who, how far, in which words, and that it is not more than that.
    pub(crate) fn in_words(&self) -> String {
        let Self {
            by, words, reach, ..
        } = self;
        match self.confirmed {
            true => format!("as {by} generalises{reach}, confirmed"),
            false => format!("as {by} generalises{reach}, not confirmed: {words}"),
        }
    }

    /// One of two that say the same: the newer words, and all that is known of both.
    pub(crate) fn merged(known: Option<Self>, new: Option<Self>) -> Option<Self> {
        let (known, mut new) = match (known, new) {
            (Some(known), Some(new)) => (known, new),
            (known, new) => return new.or(known),
        };
        new.confirmed |= known.confirmed;
        new.rests_on.extend(known.rests_on);
        new.rests_on.sort();
        new.rests_on.dedup();
        Some(new)
    }
}

/// How far a rule reaches beyond what its key and its context say. Inside, nothing differs; beyond, distance counts from
/// the nearer end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// The smallest and the largest size of a call. A rule says nothing about calls that are more than a factor of
    /// eight away from its own key's all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizes: Option<[SizeBucket; 2]>,
    /// The fewest and the most nodes, of the communicator where the rule is about calls, else of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<[u32; 2]>,
}

impl Reach {
    /// Whether it adds nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Reach {
    /// Nothing, or ` over 1 MiB to 8 MiB and 2 to 4 nodes`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes = self.sizes.map(|ends| {
            let [from, to] = ends.map(|b| format_bytes(b.min_bytes()));
            format!("{from} to {to}")
        });
        let nodes = self.nodes.map(|[from, to]| format!("{from} to {to} nodes"));
        let both: Vec<String> = sizes.into_iter().chain(nodes).collect();
        match both.as_slice() {
            [] => Ok(()),
            parts => write!(f, " over {}", parts.join(" and ")),
        }
    }
}
