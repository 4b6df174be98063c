//! A small CSV reader that knows the line and the column of every field.
//!
//! Quotes as in RFC 4180, but a field does not span lines: no sweep needs that, and a forgotten
//! quote is then an error on its own line instead of at the end of the file.

use std::borrow::Cow;
use std::str::FromStr;

use super::SweepError;

/// One field and where it starts.
pub(super) struct Field<'a> {
    pub text: Cow<'a, str>,
    column: u64,
}

/// One line of a table.
pub(super) struct Row<'a> {
    pub line: u64,
    fields: Vec<Field<'a>>,
    header: &'a [String],
}

/// A header and its rows.
pub(super) struct Table<'a> {
    header: Vec<String>,
    body: Vec<(u64, &'a str)>,
}

fn column_of(line: &str, byte: usize) -> u64 {
    let characters = line.get(..byte).unwrap_or(line).chars().count();
    u64::try_from(characters)
        .unwrap_or(u64::MAX)
        .saturating_add(1)
}

/// Splits one line.
fn split(line_number: u64, line: &str) -> Result<Vec<Field<'_>>, SweepError> {
    let mut fields = Vec::new();
    let mut start = 0;
    loop {
        let rest = &line[start..];
        let column = column_of(line, start);
        let (text, length) = if rest.starts_with('"') {
            quoted(rest).map_err(|found| SweepError {
                line: line_number,
                column,
                expected: "a closing quote, then a comma or the end of the line".to_owned(),
                found: found.to_owned(),
            })?
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            (Cow::Borrowed(rest[..end].trim()), end)
        };
        fields.push(Field { text, column });
        start += length;
        if line[start..].starts_with(',') {
            start += 1;
        } else {
            return Ok(fields);
        }
    }
}

/// A quoted field at the start of `rest`: its text and its length with the quotes.
fn quoted(rest: &str) -> Result<(Cow<'_, str>, usize), &'static str> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if c != '"' {
            text.push(c);
        } else if characters.next_if(|(_, next)| *next == '"').is_some() {
            text.push('"');
        } else {
            let after = at + 1;
            return match rest[after..].chars().next() {
                None | Some(',') => Ok((Cow::Owned(text), after)),
                Some(_) => Err("text after a closing quote"),
            };
        }
    }
    Err("the end of the line inside quotes")
}

impl<'a> Table<'a> {
    /// Reads a table whose first line that is neither empty nor a `#` comment is the header.
    pub(super) fn read(text: &'a str, required: &[&str]) -> Result<Self, SweepError> {
        let mut lines = (1u64..)
            .zip(text.trim_start_matches('\u{feff}').lines())
            .filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#'));
        let (line, first) = lines.next().unwrap_or((1, ""));
        let header: Vec<String> = split(line, first)?
            .into_iter()
            .map(|f| f.text.into_owned())
            .collect();
        for wanted in required {
            let count = header.iter().filter(|h| h == wanted).count();
            if count != 1 {
                return Err(SweepError {
                    line,
                    column: 1,
                    expected: format!("a header with one column `{wanted}`"),
                    found: format!("{count} of them in `{}`", shorten(first)),
                });
            }
        }
        Ok(Self {
            header,
            body: lines.collect(),
        })
    }

    /// Whether the header has this column.
    pub(super) fn has(&self, name: &str) -> bool {
        self.header.iter().any(|h| h == name)
    }

    /// The rows, each split when it is its turn.
    pub(super) fn rows(&self) -> impl Iterator<Item = Result<Row<'_>, SweepError>> {
        self.body.iter().map(|&(line, text)| {
            let fields = split(line, text)?;
            if fields.len() != self.header.len() {
                return Err(SweepError {
                    line,
                    column: column_of(text, text.len()),
                    expected: format!("{} fields as in the header", self.header.len()),
                    found: fields.len().to_string(),
                });
            }
            Ok(Row {
                line,
                fields,
                header: &self.header,
            })
        })
    }
}

impl Row<'_> {
    /// The text of a column; empty when the table has no such column.
    pub(super) fn text(&self, name: &str) -> &str {
        self.field(name).map_or("", |f| &f.text)
    }

    fn field(&self, name: &str) -> Option<&Field<'_>> {
        let index = self.header.iter().position(|h| h == name)?;
        self.fields.get(index)
    }

    /// An error that points at a column.
    pub(super) fn error(&self, name: &str, expected: impl Into<String>) -> SweepError {
        let found = match self.text(name) {
            "" => format!("nothing in `{name}`"),
            text => format!("`{}` in `{name}`", shorten(text)),
        };
        SweepError {
            line: self.line,
            column: self.field(name).map_or(1, |f| f.column),
            expected: expected.into(),
            found,
        }
    }

    /// A value that may be absent (an empty field).
    pub(super) fn optional<T: FromStr>(
        &self,
        name: &str,
        expected: &str,
    ) -> Result<Option<T>, SweepError> {
        match self.text(name) {
            "" => Ok(None),
            text => text
                .parse()
                .map(Some)
                .map_err(|_| self.error(name, expected)),
        }
    }

    /// A value that must be there.
    pub(super) fn required<T: FromStr>(&self, name: &str, expected: &str) -> Result<T, SweepError> {
        self.optional(name, expected)?
            .ok_or_else(|| self.error(name, expected))
    }

    /// A positive, finite quantity that may be absent.
    pub(super) fn quantity(&self, name: &str, expected: &str) -> Result<Option<f64>, SweepError> {
        match self.optional::<f64>(name, expected)? {
            Some(x) if !(x.is_finite() && x > 0.0) => Err(self.error(name, expected)),
            other => Ok(other),
        }
    }
}

/// At most 60 characters of a text, for messages.
pub(super) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_commas_and_columns_count_characters() {
        let fields = split(1, "a,\"b, \"\"c\"\"\",\u{fc}x,d").unwrap();
        let texts: Vec<_> = fields.iter().map(|f| (f.text.as_ref(), f.column)).collect();
        assert_eq!(
            texts,
            [("a", 1), ("b, \"c\"", 3), ("\u{fc}x", 14), ("d", 17)]
        );
        let error = split(4, "a,\"b").err().unwrap();
        assert_eq!((error.line, error.column), (4, 3));
    }
}
