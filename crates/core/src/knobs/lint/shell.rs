//! Files that a shell sources, and scripts with settings in them.
//!
//! Words, quotes, escapes and comments as POSIX shells see them. Assignments are found at the
//! start of a statement, behind `export`, and as arguments (`mpirun -x NAME=value`, `env`,
//! `docker -e`). Nothing is expanded: a value with `$` or a backquote is marked as such.

use super::super::finding::{Rule, Severity};
use super::{Assignment, Reading, is_ours};

/// One word of a statement.
#[derive(Debug, Default)]
struct Word {
    at: usize,
    text: String,
    /// Where each byte of the text stands.
    map: Vec<usize>,
    end: usize,
    quoted: bool,
    dynamic: bool,
}

pub(super) fn read(text: &str) -> Reading {
    let mut reading = Reading::default();
    let mut lexer = Lexer {
        text,
        at: if text.starts_with('\u{feff}') {
            '\u{feff}'.len_utf8()
        } else {
            0
        },
    };
    if let Some(at) = text.find("\r\n") {
        reading.say(
            at,
            Severity::Warning,
            Rule::Syntax,
            "",
            "lines end in CR LF: a shell makes the CR part of the last value of each line",
            "save the file with LF",
        );
    }
    while let Some(words) = lexer.statement(&mut reading) {
        statement(&words, &mut reading);
    }
    reading
}

fn statement(words: &[Word], reading: &mut Reading) {
    let Some(first) = words.first() else { return };
    let exports = matches!(
        first.text.as_str(),
        "export" | "declare" | "typeset" | "local" | "readonly"
    );
    reading.surely_shell |= exports;
    if let [name, equals, ..] = &words[usize::from(exports).min(words.len() - 1)..]
        && is_ours(&name.text)
        && !name.text.contains('=')
        && equals.text.starts_with('=')
    {
        reading.say(
            name.at,
            Severity::Error,
            Rule::Syntax,
            &name.text,
            "blanks around =: a shell takes the name for a command",
            "write NAME=value without blanks",
        );
        let rest = words.iter().find(|w| w.at > equals.at);
        let (value, skip) = if equals.text == "=" {
            (rest, 0)
        } else {
            (Some(equals), 1)
        };
        if let Some(value) = value {
            reading
                .assignments
                .push(assignment(&name.text, name.at, value, skip));
        }
        return;
    }
    let mut leading = true;
    for (index, word) in words.iter().enumerate() {
        let Some((name, length)) = name_of(word) else {
            leading &= exports;
            continue;
        };
        let argument = !leading && !exports;
        if argument && !is_ours(name) {
            continue;
        }
        if leading && !exports && is_ours(name) {
            warn_of_command(name, word, words.get(index + 1), reading);
        }
        let mut found = assignment(name, word.at, word, length);
        found.dynamic |= word.text[..length].ends_with("+=");
        reading.assignments.push(found);
    }
}

/// `NCCL_ALGO=Ring, Tree` sets NCCL_ALGO for the command `Tree`.
fn warn_of_command(name: &str, word: &Word, next: Option<&Word>, reading: &mut Reading) {
    let Some(next) = next.filter(|next| name_of(next).is_none()) else {
        return;
    };
    let list = word.text.ends_with([',', ';']);
    reading.say(
        next.at,
        if list {
            Severity::Error
        } else {
            Severity::Warning
        },
        Rule::Syntax,
        name,
        "a shell runs what follows the blank as a command, with the setting for that command alone",
        if list {
            "remove the blank"
        } else {
            "quote the value, or use export if it is meant for the whole job"
        },
    );
}

fn assignment(name: &str, name_at: usize, word: &Word, skip: usize) -> Assignment {
    let mut value_at = word.map[skip..].to_vec();
    value_at.push(word.end);
    Assignment {
        name: name.to_owned(),
        name_at,
        value: word.text[skip..].to_owned(),
        value_at,
        dynamic: word.dynamic,
        quoted: word.quoted,
    }
}

/// The name of an assignment and the length of everything up to and with the `=`.
fn name_of(word: &Word) -> Option<(&str, usize)> {
    let (left, _) = word.text.split_once('=')?;
    let name = left.strip_suffix('+').unwrap_or(left);
    let mut letters = name.bytes();
    let starts = letters
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let legal = starts && letters.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    legal.then_some((name, left.len() + 1))
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// The words up to the end of the line or to a separator; `None` at the end of the text.
    fn statement(&mut self, reading: &mut Reading) -> Option<Vec<Word>> {
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
                    word.dynamic |= matches!(c, '$' | '`');
                    word.push(c, at);
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
                    word.dynamic |= quote == '"' && matches!(c, '$' | '`');
                    word.push(c, at);
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
}

impl Word {
    fn push(&mut self, c: char, at: usize) {
        self.text.push(c);
        self.map.extend(at..at + c.len_utf8());
    }
}
