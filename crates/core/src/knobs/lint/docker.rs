//! `docker run --env-file`, as Docker's command line reads it.
//!
//! Blanks in front of a line are skipped, `#` starts a comment only there, everything behind the
//! first `=` is the value, and a line without `=` passes the variable on from the caller
//! (docker/cli, pkg/kvfile). A blank in a name fails the whole `docker run`.

use super::super::finding::{Rule, Severity};
use super::{Reading, literal};

pub(super) fn read(text: &str) -> Reading {
    const READER: &str = "docker --env-file";
    let mut reading = Reading::default();
    let mut at = 0;
    for whole in text.split_inclusive('\n') {
        let start = at;
        at += whole.len();
        let line = whole.strip_suffix('\n').unwrap_or(whole);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let bom = if start == 0 && line.starts_with('\u{feff}') {
            '\u{feff}'.len_utf8()
        } else {
            0
        };
        let shown = line[bom..].trim_start();
        let line_at = start + line.len() - shown.len();
        if shown.is_empty() || shown.starts_with('#') {
            continue;
        }
        let (name, value) = match shown.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (shown, None),
        };
        if let Some(after) = name.strip_prefix("export ") {
            let after = after.trim_start();
            let variable = after.trim_end();
            reading.say(
                line_at,
                Severity::Error,
                Rule::Syntax,
                variable_of(variable),
                "docker knows no export: it refuses the whole file",
                "write NAME=value",
            );
            if let Some(value) = value {
                let name_at = line_at + name.len() - after.len();
                literal::add(
                    &mut reading,
                    READER,
                    variable,
                    name_at,
                    value,
                    line_at + name.len() + 1,
                );
            }
        } else if name.is_empty() {
            reading.say(
                line_at,
                Severity::Error,
                Rule::Syntax,
                "",
                "no name in front of =: docker refuses the whole file",
                "write NAME=value",
            );
        } else if name.contains(char::is_whitespace) && value.is_some() {
            let variable = name.trim_end();
            reading.say(
                line_at,
                Severity::Error,
                Rule::Syntax,
                variable_of(variable),
                "a blank in front of =: docker refuses the whole file",
                "write NAME=value without blanks",
            );
            if let Some(value) = value.filter(|_| !variable.contains(char::is_whitespace)) {
                literal::add(
                    &mut reading,
                    READER,
                    variable,
                    line_at,
                    value,
                    line_at + name.len() + 1,
                );
            }
        } else if let Some(value) = value {
            literal::add(
                &mut reading,
                READER,
                name,
                line_at,
                value,
                line_at + name.len() + 1,
            );
        } else if name.contains(char::is_whitespace)
            && !name.trim_end().contains(char::is_whitespace)
        {
            // A name with blanks behind it: docker trims those of a variable it passes on.
        } else if name.contains(char::is_whitespace) {
            reading.say(
                line_at,
                Severity::Error,
                Rule::Syntax,
                "",
                "neither NAME=value nor the name of a variable: docker refuses the whole file",
                "write NAME=value",
            );
        }
    }
    reading
}

/// A name as a finding may show it: only NCCL's, since a broken line may hold anything.
fn variable_of(name: &str) -> &str {
    if super::is_ours(name) && !name.contains(char::is_whitespace) {
        name
    } else {
        ""
    }
}
