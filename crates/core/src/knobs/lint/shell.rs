//! Files that a shell sources, and scripts with settings in them.
//!
//! Words, quotes, escapes and comments as POSIX shells see them. Assignments are found at the
//! start of a statement, behind `export`, and as arguments (`mpirun -x NAME=value`, `env`,
//! `docker -e`), and behind csh's `setenv`. Nothing is expanded: a value with `$` or a backquote is
//! marked as such.

mod words;

use super::super::choice_list::FUNCTIONS;
use super::super::finding::{Rule, Severity};
use super::{Assignment, Reading, is_ours};
use crate::Collective;
use words::{Lexer, Word};

pub(super) fn read(text: &str) -> Reading {
    let mut reading = Reading::default();
    let mut lexer = Lexer::new(text);
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
        if let Some(last) = words.last() {
            warn_of_cut_list(last, text, &mut reading);
        }
    }
    reading
}

fn statement(words: &[Word], reading: &mut Reading) {
    let Some(first) = words.first() else { return };
    if let ("setenv", Some(name)) = (first.text.as_str(), words.get(1))
        && is_ours(&name.text)
    {
        set_in_csh(name, words.get(2), reading);
        return;
    }
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

/// The lists of `NCCL_ALGO` and `NCCL_PROTO` have semicolons, at which a shell ends the statement.
fn warn_of_cut_list(last: &Word, text: &str, reading: &mut Reading) {
    let Some((name @ ("NCCL_ALGO" | "NCCL_PROTO"), _)) = name_of(last) else {
        return;
    };
    let Some(rest) = text[last.end..].strip_prefix(';') else {
        return;
    };
    let names_function = |f: Collective| {
        let named = rest.get(..f.name().len()).unwrap_or_default();
        named.eq_ignore_ascii_case(f.name()) && rest[named.len()..].starts_with(':')
    };
    if FUNCTIONS.into_iter().any(names_function) {
        reading.say(
            last.end,
            Severity::Error,
            Rule::Syntax,
            name,
            "a shell ends the value at the semicolon and runs the rest as a command",
            "put the value in quotes",
        );
    }
}

/// `setenv NAME value`.
fn set_in_csh(name: &Word, value: Option<&Word>, reading: &mut Reading) {
    reading.surely_shell = true;
    reading.say(
        name.at,
        Severity::Warning,
        Rule::Syntax,
        &name.text,
        "setenv is for csh: other shells do not know it and set nothing",
        "write export NAME=value unless csh reads the file",
    );
    if let Some(value) = value {
        reading
            .assignments
            .push(assignment(&name.text, name.at, value, 0));
    }
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
