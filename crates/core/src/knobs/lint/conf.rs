//! NCCL's configuration file, as `setEnvFile` reads it (src/misc/param.cc).
//!
//! `NAME=value` from the first column to the end of the line, nothing else: no blanks around `=`,
//! no quotes, no `export`; `#` only as the first character (from 2.26.2 on). Lines without `=` are
//! skipped without a word. The first assignment wins, and the process environment beats them all.

use super::super::finding::{Rule, Severity};
use super::super::knob::before;
use super::{Reading, is_ours, literal};
use crate::NcclVersion;

/// Buffers of `setEnvFile`.
const MAX_NAME_OR_VALUE: usize = 1023;
/// From here on a carriage return at the end of a line is dropped.
const DROPS_RETURNS_SINCE: NcclVersion = NcclVersion::new(2, 30, 3);

pub(super) fn read(text: &str, version: NcclVersion) -> Reading {
    const READER: &str = "nccl.conf";
    let mut reading = Reading::default();
    let mut told_of_returns = false;
    let mut at = 0;
    for whole in text.split_inclusive('\n') {
        let line_at = at;
        at += whole.len();
        let line = whole.strip_suffix('\n').unwrap_or(whole);
        let (line, returns) = match line.strip_suffix('\r') {
            Some(line) => (line, true),
            None => (line, false),
        };
        if line.starts_with('#') {
            continue;
        }
        let plain = line.trim_start_matches(['\u{feff}', ' ', '\t']);
        let plain_at = line_at + line.len() - plain.len();
        let Some((name, value)) = plain.split_once('=') else {
            if is_ours(plain) || plain.strip_prefix("export ").is_some_and(is_ours) {
                reading.say(
                    plain_at,
                    Severity::Error,
                    Rule::Syntax,
                    "",
                    "no = in the line: NCCL skips it without a word",
                    "write NAME=value",
                );
            }
            continue;
        };
        if plain.starts_with('#') {
            continue;
        }
        let value_at = plain_at + name.len() + 1;
        let bare = name.strip_prefix("export ").map_or(name, str::trim_start);
        let (bare_at, variable) = (plain_at + name.len() - bare.len(), bare.trim_end());
        if !is_ours(variable) {
            literal::add(&mut reading, READER, variable, bare_at, value, value_at);
            continue;
        }
        if variable.len() != line.len() - value.len() - 1 {
            let what = if bare.len() < name.len() {
                "export"
            } else {
                "the blanks around it"
            };
            reading.say(
                line_at,
                Severity::Error,
                Rule::Syntax,
                variable,
                format!("NCCL makes {what} part of the name, and then knows no such variable"),
                "write NAME=value from the first column on",
            );
        }
        if returns && !told_of_returns && before(version, DROPS_RETURNS_SINCE) {
            told_of_returns = true;
            reading.say(
                line_at + line.len(),
                Severity::Warning,
                Rule::Syntax,
                variable,
                "lines end in CR LF: before 2.30.3 NCCL makes the CR part of the value",
                "save the file with LF",
            );
        }
        if value.len() > MAX_NAME_OR_VALUE {
            reading.say(
                value_at,
                Severity::Error,
                Rule::Syntax,
                variable,
                format!("NCCL cuts the value after {MAX_NAME_OR_VALUE} bytes"),
                "shorten it",
            );
        }
        if variable == "NCCL_CONF_FILE" {
            reading.say(
                bare_at,
                Severity::Warning,
                Rule::Syntax,
                variable,
                "NCCL looks for this one in the process environment only",
                "set it there",
            );
        }
        literal::add(&mut reading, READER, variable, bare_at, value, value_at);
    }
    reading
}
