//! The linter for files of settings: shell, `docker --env-file` and nccl.conf.
//!
//! Each syntax has a reader that finds the assignments as the program concerned would, and what is
//! wrong with the lines themselves. Which value wins, the check of the environment that results,
//! and line and column of each finding are common to all. Reading the file is the caller's
//! business; values of variables that are not NCCL's are never looked at.

mod conf;
mod docker;
mod literal;
mod shell;

use std::collections::BTreeMap;

use serde::Serialize;

use super::check::CheckContext;
use super::finding::{Finding, Place, Rule, Severity};
use super::{catalogue, check_environment};
use crate::Environment;

/// How a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Syntax {
    /// A file that a shell sources: `export NAME="value"`; the last assignment wins.
    Shell,
    /// `docker run --env-file`: no quotes, no comments behind values; the last assignment wins.
    Docker,
    /// NCCL's own configuration file: nothing but `NAME=value`; the first assignment wins.
    NcclConf,
}

impl Syntax {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Shell, Self::Docker, Self::NcclConf];

    /// The word on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Shell => "shell",
            Self::Docker => "docker",
            Self::NcclConf => "nccl-conf",
        }
    }

    /// What a file's name says: `*.conf` is NCCL's, a name with `docker` or ending in `env-file`
    /// is Docker's, everything else a shell's.
    pub fn guess(file_name: &str) -> Self {
        let name = file_name.to_ascii_lowercase();
        let has_end = |end: &str| name.ends_with(end);
        if has_end(".conf") {
            Self::NcclConf
        } else if name.contains("docker")
            || has_end("env-file")
            || has_end("envfile")
            || has_end("env_file")
        {
            Self::Docker
        } else {
            Self::Shell
        }
    }
}

/// A finding with its place in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Located {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1; at most one behind the last of the line.
    pub column: usize,
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
}

/// What the linter found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How the text was read.
    pub syntax: Syntax,
    /// Variables of NCCL that the file sets.
    pub variables: usize,
    /// What was found, in the order of the file.
    pub findings: Vec<Located>,
}

impl Report {
    /// How many findings are this bad.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|f| f.finding.severity == severity)
            .count()
    }
}

/// One assignment in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Assignment {
    name: String,
    /// Where the name starts, in bytes of the text.
    name_at: usize,
    value: String,
    /// Where each byte of the value stands in the text, and where the value ends.
    value_at: Vec<usize>,
    /// Whether the value is known only when a shell runs.
    dynamic: bool,
    /// Whether a shell would strip quotes from it.
    quoted: bool,
}

/// What a reader found in a text.
#[derive(Debug, Default)]
struct Reading {
    assignments: Vec<Assignment>,
    /// Findings about lines, each with its place in bytes of the text.
    findings: Vec<(usize, Finding)>,
    /// Whether something only a shell understands was seen.
    surely_shell: bool,
}

impl Reading {
    fn say(
        &mut self,
        at: usize,
        severity: Severity,
        rule: Rule,
        variable: &str,
        reason: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.findings.push((
            at,
            Finding::new(severity, rule, variable, Place::Name, reason, fix),
        ));
    }
}

/// Checks a text. `guessed`: the syntax was not stated, so that what another reader would make of
/// it is worth a note.
pub fn lint(text: &str, syntax: Syntax, guessed: bool, context: &CheckContext) -> Report {
    let mut reading = match syntax {
        Syntax::Shell => shell::read(text),
        Syntax::Docker => docker::read(text),
        Syntax::NcclConf => conf::read(text, context.version()),
    };
    let winners = winners(&mut reading, syntax);
    if guessed && syntax == Syntax::Shell && !reading.surely_shell {
        note_quotes(&mut reading);
    }
    let mut environment = Environment::default();
    for (name, index) in &winners {
        let assignment = &reading.assignments[*index];
        if assignment.dynamic {
            reading.findings.push((
                assignment.value_at[0],
                Finding::new(
                    Severity::Note,
                    Rule::NotChecked,
                    name,
                    Place::Value(0),
                    "the value is known only to the shell that reads the file",
                    "check it where it is set",
                ),
            ));
        }
        let value = if assignment.dynamic {
            String::new()
        } else {
            assignment.value.clone()
        };
        environment.variables.insert(name.clone(), value);
    }
    let mut found = std::mem::take(&mut reading.findings);
    for finding in check_environment(&environment, context) {
        let Some(assignment) = winners
            .get(&finding.variable)
            .map(|i| &reading.assignments[*i])
        else {
            continue;
        };
        if assignment.dynamic && finding.rule == Rule::Empty {
            continue;
        }
        let at = match finding.place {
            Place::Name => assignment.name_at,
            Place::Value(byte) => assignment.value_at[byte.min(assignment.value_at.len() - 1)],
        };
        found.push((at, finding));
    }
    let lines = line_starts(text);
    let mut findings: Vec<Located> = found
        .into_iter()
        .map(|(at, finding)| locate(text, &lines, at, finding))
        .collect();
    findings.sort_by(|a, b| {
        (a.line, a.column, b.finding.severity).cmp(&(b.line, b.column, a.finding.severity))
    });
    let variables = winners
        .keys()
        .filter(|n| catalogue::find(n).is_some())
        .count();
    Report {
        syntax,
        variables,
        findings,
    }
}

/// Whether findings about a name are any business of ours.
fn is_ours(name: &str) -> bool {
    name.starts_with("NCCL_")
}

/// The assignment that counts for each name, and a finding for each that does not.
fn winners(reading: &mut Reading, syntax: Syntax) -> BTreeMap<String, usize> {
    let first_wins = syntax == Syntax::NcclConf;
    let mut winners: BTreeMap<String, usize> = BTreeMap::new();
    let mut duplicates = Vec::new();
    for (index, assignment) in reading.assignments.iter().enumerate() {
        let Some(earlier) = winners.get(&assignment.name).copied() else {
            winners.insert(assignment.name.clone(), index);
            continue;
        };
        if is_ours(&assignment.name) {
            duplicates.push((index, earlier));
        }
        if !first_wins {
            winners.insert(assignment.name.clone(), index);
        }
    }
    for (index, earlier) in duplicates {
        let (this, other) = (&reading.assignments[index], &reading.assignments[earlier]);
        let same = this.value == other.value && !this.dynamic && !other.dynamic;
        let severity = if same {
            Severity::Note
        } else {
            Severity::Warning
        };
        let reason = match (same, first_wins) {
            (true, _) => "set before to the same value",
            (false, true) => "set before to another value, and NCCL keeps the first",
            (false, false) => "set before to another value; this one wins",
        };
        let (at, name) = (this.name_at, this.name.clone());
        reading.say(at, severity, Rule::Duplicate, &name, reason, "keep one");
    }
    winners
}

/// A file that a shell would read well may go to Docker or NCCL, which do not know quotes.
fn note_quotes(reading: &mut Reading) {
    let first = reading
        .assignments
        .iter()
        .find(|a| a.quoted && is_ours(&a.name));
    if let Some((at, name)) = first.map(|a| (a.value_at[0].saturating_sub(1), a.name.clone())) {
        reading.say(
            at,
            Severity::Note,
            Rule::Quotes,
            &name,
            "a shell strips these quotes; docker --env-file and nccl.conf would make them part of the value",
            "drop them where the value has no blanks",
        );
    }
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0)
        .chain(text.match_indices('\n').map(|(at, _)| at + 1))
        .collect()
}

fn locate(text: &str, lines: &[usize], at: usize, finding: Finding) -> Located {
    let at = at.min(text.len());
    let line = lines.partition_point(|start| *start <= at).max(1);
    let column = text
        .get(lines[line - 1]..at)
        .map_or(0, |before| before.chars().count())
        + 1;
    Located {
        line,
        column,
        finding,
    }
}
