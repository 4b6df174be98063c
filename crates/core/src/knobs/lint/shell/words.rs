//! A text as a shell takes it apart: statements of words, with quotes, escapes and comments.
//!
//! What the words mean is the business of the reader above.

use super::super::super::finding::{Rule, Severity};
use super::super::{Reading, is_ours};

/// One word of a statement.
#[derive(Debug, Default)]
pub(super) struct Word {
    pub at: usize,
    pub text: String,
    /// Where each byte of the text stands.
    pub map: Vec<usize>,
    pub end: usize,
    pub quoted: bool,
    pub dynamic: bool,
}

/// Takes a text apart, statement by statement.
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    /// Starts behind a byte order mark.
    pub fn new(text: &'a str) -> Self {
        let mark = '\u{feff}';
        let at = if text.starts_with(mark) {
            mark.len_utf8()
        } else {
            0
        };
        Self { text, at }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// The words up to the end of the line or to a separator; `None` at the end of the text.
    pub fn statement(&mut self, reading: &mut Reading) -> Option<Vec<Word>> {
        self.peek()?;
        let mut words = Vec::new();
        while let Some(c) = self.peek() {
            match c {
                '\n' | ';' | '&' | '|' => {
                    self.next();
                    break;
                }
                '#' => self.skip_line(),
                '\\' if self.text[self.at..].starts_with("\\\n") => self.at += 2,
                '\\' if self.text[self.at..].starts_with("\\\r\n") => self.at += 3,
                c if c.is_whitespace() => {
                    self.next();
                }
                _ => words.push(self.word(reading)),
            }
        }
        Some(words)
    }

    fn skip_line(&mut self) {
        self.at += self.text[self.at..]
            .find('\n')
            .unwrap_or(self.text.len() - self.at);
    }

    fn word(&mut self, reading: &mut Reading) -> Word {
        let mut word = Word {
            at: self.at,
            ..Word::default()
        };
        while let Some(c) = self.peek() {
            let at = self.at;
            match c {
                '\n' | ';' | '&' | '|' => break,
                c if c.is_whitespace() => break,
                '\'' | '"' => {
                    self.next();
                    word.quoted = true;
                    self.quoted(c, at, &mut word, reading);
                }
                '\\' => {
                    self.next();
                    match self.peek() {
                        Some('\n') => {
                            self.next();
                        }
                        Some(escaped) => {
                            let at = self.at;
                            self.next();
                            word.push(escaped, at);
                        }
                        None => {}
                    }
                }
                c => {
                    self.next();
                    word.push(c, at);
                    self.substitution(c, &mut word);
                }
            }
        }
        word.end = self.at;
        word
    }

    /// Reads up to the closing quote. A quote of one of our variables that does not close on its
    /// line is an error and ends there, so that the rest of the file is still checked; in others
    /// (keys, certificates) values may span lines.
    fn quoted(&mut self, quote: char, opened: usize, word: &mut Word, reading: &mut Reading) {
        let ours = is_ours(&word.text);
        let closes = self.text[self.at..].contains(quote);
        while let Some(c) = self.peek() {
            let at = self.at;
            if c == '\n' && (ours || !closes) {
                break;
            }
            self.next();
            match c {
                c if c == quote => return,
                '\\' if quote == '"' && matches!(self.peek(), Some('"' | '\\' | '$' | '`')) => {
                    let at = self.at;
                    if let Some(escaped) = self.next() {
                        word.push(escaped, at);
                    }
                }
                c => {
                    word.push(c, at);
                    if quote == '"' {
                        self.substitution(c, word);
                    }
                }
            }
        }
        if ours {
            let name = word.text.split('=').next().unwrap_or_default().to_owned();
            reading.say(
                opened,
                Severity::Error,
                Rule::Syntax,
                &name,
                "the quote is not closed on this line",
                "close it",
            );
        }
    }

    /// Behind `$` or a backquote: takes `$(...)`, `${...}` or the command up to the next backquote
    /// into the word as it stands, blanks and separators included.
    fn substitution(&mut self, opener: char, word: &mut Word) {
        if !matches!(opener, '$' | '`') {
            return;
        }
        word.dynamic = true;
        let rest = &self.text[self.at..];
        let length = if opener == '`' {
            rest.find('`').map_or(0, |end| end + 1)
        } else {
            bracketed(rest)
        };
        let end = self.at + length;
        while self.at < end {
            let at = self.at;
            if let Some(c) = self.next() {
                word.push(c, at);
            }
        }
    }
}

/// The length of `(...)` or `{...}` at the start of a text, with whatever nests inside; 0 where
/// there is none, or where it does not close.
fn bracketed(text: &str) -> usize {
    let mut open = Vec::new();
    let mut letters = text.char_indices();
    while let Some((at, c)) = letters.next() {
        match c {
            '(' => open.push(')'),
            '{' => open.push('}'),
            '\\' => {
                letters.next();
            }
            c if open.last() == Some(&c) => {
                open.pop();
            }
            _ => {}
        }
        if open.is_empty() {
            return if at == 0 { 0 } else { at + c.len_utf8() };
        }
    }
    0
}

impl Word {
    fn push(&mut self, c: char, at: usize) {
        self.text.push(c);
        self.map.extend(at..at + c.len_utf8());
    }
}
