//! Values that are taken as they stand, in Docker's and NCCL's files: what people write as if a
//! shell read it.

use super::super::finding::{Rule, Severity};
use super::super::{Domain, catalogue};
use super::{Assignment, Reading, is_ours};

/// Adds an assignment whose value is everything from `value_at` on, with findings about quotes,
/// comments and blanks that become part of it. What remains is checked as if they were not there,
/// so that one slip is reported once.
pub(super) fn add(
    reading: &mut Reading,
    reader: &str,
    name: &str,
    name_at: usize,
    value: &str,
    value_at: usize,
) {
    let mut start = 0;
    let mut end = value.len();
    if is_ours(name) {
        // Numbers end where their digits end; words do not survive company.
        let number = catalogue::find(name)
            .is_some_and(|k| k.domain.range(super::super::NEWEST_KNOWN).is_some());
        let tolerated = if number && value.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            Severity::Warning
        } else {
            Severity::Error
        };
        if let Some(hash) = value.find(" #").or_else(|| value.find("\t#")) {
            reading.say(
                value_at + hash + 1,
                tolerated,
                Rule::Syntax,
                name,
                format!("{reader} knows no comments behind a value: this is part of it"),
                "put the comment on a line of its own",
            );
            end = hash;
        }
        let trimmed = value[..end].trim_end().len();
        if trimmed < end && end == value.len() && trimmed > 0 {
            let severity = if number {
                Severity::Note
            } else {
                Severity::Error
            };
            reading.say(
                value_at + trimmed,
                severity,
                Rule::Syntax,
                name,
                format!("{reader} keeps the blanks at the end of the line"),
                "remove them",
            );
        }
        end = trimmed;
        start = value[..end].len() - value[..end].trim_start().len();
        if start > 0 {
            let severity = if number {
                Severity::Note
            } else {
                Severity::Error
            };
            reading.say(
                value_at,
                severity,
                Rule::Syntax,
                name,
                format!("{reader} keeps the blanks in front of the value"),
                "remove them",
            );
        }
        let inner = &value[start..end];
        let is_quoted = |q: char| inner.len() >= 2 && inner.starts_with(q) && inner.ends_with(q);
        if is_quoted('"') || is_quoted('\'') {
            let effect = match catalogue::find(name).map(|k| k.domain) {
                Some(Domain::Text(_)) | None => "",
                Some(_) if number => ": NCCL reads 0",
                Some(_) => ": NCCL does not know such a word",
            };
            reading.say(
                value_at + start,
                Severity::Error,
                Rule::Quotes,
                name,
                format!("{reader} makes the quotes part of the value{effect}"),
                "remove the quotes",
            );
            start += 1;
            end -= 1;
        }
    }
    reading.assignments.push(Assignment {
        name: name.to_owned(),
        name_at,
        value: value[start..end].to_owned(),
        value_at: (value_at + start..=value_at + end).collect(),
        dynamic: false,
        quoted: false,
    });
}
