//! A document and its cut into passages: one per section, longer ones in pieces.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::passage::visible;
use super::{Passage, PassageKind};

/// Longest piece of text, in bytes: some 350 words.
const LONGEST_PIECE: usize = 2_400;
/// From this length on, in bytes, an empty line ends a piece of a section that is too long.
const LONG_PIECE: usize = 1_200;
/// Longest part of an id made from a heading, in bytes.
const LONGEST_SLUG: usize = 60;
/// Begins the last line of a page's section.
const SOURCES: &str = "Sources: ";

/// A text with headings, in Markdown or plain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// What it is called in the ids of its passages.
    pub name: String,
    /// What it is about, one line.
    pub title: String,
    /// The whole text.
    pub body: String,
    /// Where it came from: a file, an address, a person.
    pub origin: String,
}

impl Document {
    /// A document titled by its first heading of the first level, or by its name.
    pub fn from_text(name: &str, origin: &str, body: &str) -> Self {
        let title = body.lines().find_map(|l| l.strip_prefix("# "));
        Self {
            name: name.to_owned(),
            title: title.unwrap_or(name).trim().to_owned(),
            body: body.to_owned(),
            origin: origin.to_owned(),
        }
    }
}

/// The passages of a page of ours: what its last line names as sources is taken apart.
pub(super) fn of_page(name: &str, body: &str, ids: &mut Ids) -> Vec<Passage> {
    let page = Document::from_text(name, "", body);
    let mut passages = cut(&page, PassageKind::Page, name, ids);
    for passage in &mut passages {
        if let Some((text, sources)) = passage.text.rsplit_once(SOURCES) {
            passage.source = sources.replace('\n', " ").trim().to_owned();
            passage.text = text.trim_end().to_owned();
        }
    }
    passages
}

/// The passages of a user's document.
pub(super) fn of_user(document: &Document, ids: &mut Ids) -> Vec<Passage> {
    let name = format!("user:{}", slug(&document.name));
    cut(document, PassageKind::User, &name, ids)
}

fn cut(document: &Document, kind: PassageKind, name: &str, ids: &mut Ids) -> Vec<Passage> {
    let mut passages = Vec::new();
    let one_line = |text: &str| visible(text).replace('\n', " ").trim().to_owned();
    let (about, source) = (one_line(&document.title), one_line(&document.origin));
    for (heading, text) in sections(&visible(&document.body)) {
        let (id, title) = if heading.is_empty() || heading == about {
            (format!("{name}#start"), about.clone())
        } else {
            (
                format!("{name}#{}", slug(&heading)),
                format!("{about}: {heading}"),
            )
        };
        for text in pieces(&text) {
            passages.push(Passage {
                id: ids.give(&id),
                kind,
                title: title.clone(),
                text,
                source: source.clone(),
            });
        }
    }
    passages
}

/// Headings down to the third level, each with the text up to the next.
fn sections(body: &str) -> Vec<(String, String)> {
    let mut sections = vec![(String::new(), String::new())];
    let mut in_code = false;
    for line in body.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        let heading = ["# ", "## ", "### "]
            .iter()
            .find_map(|marks| line.strip_prefix(marks));
        if let (Some(heading), false) = (heading, in_code) {
            sections.push((heading.trim().to_owned(), String::new()));
        } else if let Some((_, text)) = sections.last_mut() {
            text.push_str(line);
            text.push('\n');
        }
    }
    sections
}

/// The text in pieces that are not too long, broken at empty lines, else at lines, else anywhere.
fn pieces(text: &str) -> Vec<String> {
    let text = text.trim();
    if text.len() <= LONGEST_PIECE {
        return Some(text.to_owned())
            .filter(|t| !t.is_empty())
            .into_iter()
            .collect();
    }
    let mut pieces = vec![String::new()];
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        while !rest.is_empty() {
            let mut cut = rest.len().min(LONGEST_PIECE);
            while !rest.is_char_boundary(cut) {
                cut -= 1;
            }
            let (part, after) = rest.split_at(cut);
            if let Some(piece) = pieces.last_mut() {
                let full = piece.len() + part.len() > LONGEST_PIECE;
                if full || (piece.len() >= LONG_PIECE && line.trim().is_empty()) {
                    pieces.push(part.to_owned());
                } else {
                    piece.push_str(part);
                }
            }
            rest = after;
        }
    }
    let trimmed = pieces.iter().map(|p| p.trim().to_owned());
    trimmed.filter(|p| !p.is_empty()).collect()
}

/// A heading as part of an id: small letters, digits and hyphens.
fn slug(heading: &str) -> String {
    let mut slug = String::new();
    for c in heading.chars() {
        if slug.len() >= LONGEST_SLUG {
            break;
        }
        if c.is_ascii_alphanumeric() || c == '_' {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() {
        "untitled".to_owned()
    } else {
        slug.to_owned()
    }
}

/// Ids that are given out, each once.
#[derive(Debug, Default)]
pub(super) struct Ids {
    taken: BTreeSet<String>,
    next: BTreeMap<String, u64>,
}

impl Ids {
    /// The id, or the id with the first number that makes it new, as GitHub does for headings.
    pub(super) fn give(&mut self, id: &str) -> String {
        let number = self.next.entry(id.to_owned()).or_insert(0);
        loop {
            let new = match number {
                0 => id.to_owned(),
                _ => format!("{id}-{number}"),
            };
            *number += 1;
            if self.taken.insert(new.clone()) {
                return new;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passages(body: &str) -> Vec<Passage> {
        let document = Document::from_text("Our notes", "notes.md", body);
        of_user(&document, &mut Ids::default())
    }

    #[test]
    fn sections_become_passages() {
        let found = passages(
            "# Notes\nbefore\n## Rack 7\nslow\n```sh\n# no heading\n```\n## Rack 7\nstill slow\n## Empty\n",
        );
        let ids: Vec<&str> = found.iter().map(|p| p.id.as_str()).collect();
        assert_eq!(
            ids,
            [
                "user:our-notes#start",
                "user:our-notes#rack-7",
                "user:our-notes#rack-7-1"
            ]
        );
        assert_eq!(found[1].title, "Notes: Rack 7");
        assert_eq!(found[1].text, "slow\n```sh\n# no heading\n```");
        assert_eq!(found[1].source, "notes.md");
    }

    #[test]
    fn sources_of_a_page_stand_apart() {
        let page = "# Protocols\n\n## LL\n\nText.\n\nSources: a;\nb\n";
        let found = of_page("protocols", page, &mut Ids::default());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].id, "protocols#ll");
        assert_eq!(found[0].text, "Text.");
        assert_eq!(found[0].source, "a; b");
    }

    proptest! {
        /// Nothing but white space and headings is lost, no piece is too long, no id is met twice.
        #[test]
        fn a_cut_keeps_the_text(body in "([a-z\u{e4}]{0,3000}|[ \n#`]{0,4}){0,12}") {
            let found = passages(&body);
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            let kept: String = found.iter().map(|p| letters(&p.text)).collect();
            let expected: String = sections(&body).iter().map(|(_, text)| letters(text)).collect();
            prop_assert_eq!(kept, expected);
            prop_assert!(found.iter().all(|p| p.text.len() <= LONGEST_PIECE));
            let ids: BTreeSet<&str> = found.iter().map(|p| p.id.as_str()).collect();
            prop_assert_eq!(ids.len(), found.len());
        }
    }
}
