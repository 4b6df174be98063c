//! Where a value stands in the text of a specification, so that an error can point at it.
//!
//! For texts that were already read without an error; what is wrong with the syntax itself, the
//! readers say.

use toml::de::{DeTable, DeValue};

/// Line and column in characters, both from 1, of a byte of a text.
pub(crate) fn line_and_column(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |n| n + 1);
    let column = before[line_start..].chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

/// One step of a path such as `traffic.phases[0].name`.
enum Step<'a> {
    Field(&'a str),
    Index(usize),
}

fn steps(path: &str) -> impl Iterator<Item = Step<'_>> {
    let parts = path.split(['.', '[']).filter(|part| !part.is_empty());
    parts.map(|part| {
        let index = part.strip_suffix(']').and_then(|n| n.parse().ok());
        index.map_or(Step::Field(part), Step::Index)
    })
}

/// The byte at which the value of a path starts in a JSON text; where it is missing, that of the
/// innermost object or array on the way to it.
pub(crate) fn in_json(text: &str, path: &str) -> usize {
    let mut cursor = Json { text, at: 0 };
    cursor.skip_blanks();
    let mut found = cursor.at;
    for step in steps(path) {
        let Some(at) = cursor.enter(&step) else { break };
        found = at;
    }
    found
}

/// The same for a TOML text; where a value is missing, the start of its table.
pub(crate) fn in_toml(text: &str, path: &str) -> usize {
    let Ok(document) = DeTable::parse(text) else {
        return 0;
    };
    let mut table = document.get_ref();
    let mut found = document.span().start;
    for step in steps(path) {
        let Step::Field(name) = step else { break };
        let Some((_, value)) = table.iter().find(|(key, _)| *key.get_ref() == name) else {
            break;
        };
        found = value.span().start;
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    found
}

/// A reader of JSON that is known to be right.
struct Json<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Json<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Moves over blanks and, if it comes next, this byte.
    fn skip(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    /// From the start of an object or array to that of the value of one step.
    fn enter(&mut self, step: &Step) -> Option<usize> {
        let opens = match step {
            Step::Field(_) => b'{',
            Step::Index(_) => b'[',
        };
        if !self.skip(opens) {
            return None;
        }
        let mut index = 0;
        loop {
            self.skip_blanks();
            let here = match step {
                Step::Field(name) => {
                    let key = self.string()?;
                    self.skip(b':');
                    key == *name
                }
                Step::Index(wanted) => index == *wanted,
            };
            self.skip_blanks();
            if here {
                return Some(self.at);
            }
            self.value()?;
            index += 1;
            if !self.skip(b',') {
                return None;
            }
        }
    }

    /// Moves over a string; gives what stands between its quotes.
    fn string(&mut self) -> Option<&'a str> {
        if !self.skip(b'"') {
            return None;
        }
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        self.text.get(start..self.at - 1)
    }

    /// Moves over a value, with whatever is inside.
    fn value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth == 0 => return Some(()),
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' if depth == 0 => return Some(()),
                _ => self.at += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_values() {
        let text = "{\"a\": [1, {\"b\\\"]\": \"}\", \"c\": 7}],\n \"é\": {\"c\": 8}, \"c\": 9}";
        let value = |path| text[in_json(text, path)..].chars().next();
        assert_eq!(value("a[1].c"), Some('7'));
        assert_eq!(value("é.c"), Some('8'));
        assert_eq!(value("c"), Some('9'));
        // Missing: the innermost that is there.
        assert_eq!(value("é.d"), Some('{'));
        assert_eq!(value("a[5]"), Some('['));
        assert_eq!(line_and_column(text, in_json(text, "é.c")), (2, 13));

        let text = "a = 1\n[b]\nc = 2\nd.e = 3\n";
        let value = |path| text[in_toml(text, path)..].chars().next();
        assert_eq!(value("a"), Some('1'));
        assert_eq!(value("b.c"), Some('2'));
        assert_eq!(value("b.d.e"), Some('3'));
        assert_eq!(value("b.f"), Some('['));
        assert_eq!(line_and_column(text, in_toml(text, "b.c")), (3, 5));
    }
}
