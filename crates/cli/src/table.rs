//! Plain tables for the terminal: aligned columns, the last one wrapped.
//!
//! No borders and no colour, so that a table reads the same in a terminal, a pipe and a log.

use std::fmt::Write;

/// Widest line that tables make.
pub const WIDTH: usize = 100;

/// Where the text of a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// At the left: words.
    Left,
    /// At the right: numbers.
    Right,
}

/// A table under construction.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
    width: usize,
}

impl Table {
    /// An empty table with these headings.
    pub fn new<'a>(columns: impl IntoIterator<Item = (&'a str, Align)>) -> Self {
        Self {
            columns: columns
                .into_iter()
                .map(|(name, align)| (name.to_owned(), align))
                .collect(),
            rows: Vec::new(),
            width: WIDTH,
        }
    }

    /// The same table, wrapped beyond this many characters only.
    pub fn within(mut self, width: usize) -> Self {
        self.width = width;
        self
    }

    /// Adds a row; what it lacks is empty, what it has too much is dropped.
    pub fn row<I: IntoIterator<Item = S>, S: Into<String>>(&mut self, cells: I) {
        let mut row: Vec<String> = cells.into_iter().map(Into::into).collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
    }

    /// The text, each line with its newline. The last column is wrapped at blanks where the line
    /// would be wider than [`WIDTH`] characters, or what [`Table::within`] said; a column that cannot be wrapped is left whole.
    pub fn render(&self) -> String {
        let last = self.columns.len().saturating_sub(1);
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|c| {
                self.rows
                    .iter()
                    .map(|r| length(&r[c]))
                    .chain([length(&self.columns[c].0)])
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let before: usize = widths.iter().take(last).map(|w| w + 2).sum();
        let room = self.width.saturating_sub(before).max(20);
        let headings: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let mut text = String::new();
        for row in std::iter::once(&headings).chain(&self.rows) {
            let mut lines = wrap(row.get(last).map_or("", String::as_str), room).into_iter();
            let mut line = String::new();
            for (column, (_, align)) in self.columns.iter().enumerate().take(last) {
                let pad = " ".repeat(widths[column] - length(&row[column]));
                // Writing to a String cannot fail.
                let _ = match align {
                    Align::Left => write!(line, "{}{pad}  ", row[column]),
                    Align::Right => write!(line, "{pad}{}  ", row[column]),
                };
            }
            let first = lines.next().unwrap_or_default();
            if self
                .columns
                .get(last)
                .is_some_and(|(_, align)| *align == Align::Right)
            {
                line.push_str(&" ".repeat(widths[last].saturating_sub(length(&first))));
            }
            line.push_str(&first);
            let _ = writeln!(text, "{}", line.trim_end());
            for rest in lines {
                let _ = writeln!(text, "{}{rest}", " ".repeat(before));
            }
        }
        text
    }
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// Breaks a text at blanks into lines of at most this many characters; longer words stay whole.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if length(line) + 1 + length(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_the_last_wraps() {
        let mut table = Table::new([
            ("NAME", Align::Left),
            ("MS", Align::Right),
            ("WHAT", Align::Left),
        ]);
        table.row(["ring", "12.5", &"word ".repeat(40)]);
        table.row(["nvls", "7"]);
        let text = table.render();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "NAME    MS  WHAT");
        assert!(lines[1].starts_with("ring  12.5  word word"));
        assert!(lines[2].starts_with("            word"));
        assert_eq!(*lines.last().unwrap(), "nvls     7");
        assert!(lines.iter().all(|l| l.chars().count() <= WIDTH));
    }

    #[test]
    fn long_words_stay_whole() {
        assert_eq!(wrap("a bbbbbbbb c", 4), ["a", "bbbbbbbb", "c"]);
        assert_eq!(wrap("", 4), [""]);
    }
}
