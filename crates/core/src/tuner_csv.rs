//! NCCL's tuner CSV, as the parser of NVIDIA's tuner example reads it.
//!
//! That parser (`plugins/tuner/example/plugin.c` of NCCL 2.30, `ext-tuner/example` before) is
//! forgiving in ways that hurt: an unknown collective counts as `allreduce`, an unknown algorithm
//! as `ring`, an unknown protocol as `simple`; an empty field moves all later fields to the left;
//! a line of more than 254 bytes is read as two. What is written here means the same to that
//! parser as it means here, and what it would misread is refused when it is read here.
//!
//! The rows are taken in order, the first that matches wins; [`Policy`] has no order, so rows
//! that overlap do not become one.

use std::fmt::Write as _;

use thiserror::Error;

use crate::{
    Algorithm, Choice, ChoiceError, Collective, CommShape, Policy, PolicyError, Protocol, Rule,
};

/// The columns, as NVIDIA's documentation names them. Not a row of the file: NVIDIA's parser
/// would take it for a rule.
pub const TUNER_CSV_HEADER: &str = "collective_type,min_bytes,max_bytes,algorithm,protocol,channels,nNodes,nRanks,numPipeOps,regBuff";

/// First line of what this project's plugin reads in full. NVIDIA's parser takes it for a comment, and
/// of each row the first ten columns: without the chunk sizes.
const POLICY_CSV_MARK: &str = "#! ccl-agent 1";

/// Longest line, in bytes without its end: `fgets` with `MAX_LINE_LENGTH` 256.
const LONGEST_LINE: usize = 254;

/// One row; `None` is `-1`, which matches anything (channels: leaves the count to NCCL).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunerRow {
    /// The collective; one of the five NCCL asks a tuner about.
    pub collective: Collective,
    /// Smallest size, in bytes, inclusive.
    pub min_bytes: u64,
    /// Largest size, in bytes, inclusive.
    pub max_bytes: u64,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The protocol.
    pub protocol: Protocol,
    /// Channels.
    pub channels: Option<u32>,
    /// Nodes of the communicator.
    pub nodes: Option<u32>,
    /// Ranks of the communicator.
    pub ranks: Option<u32>,
    /// Collectives aggregated in one group.
    pub pipe_ops: Option<u32>,
    /// Whether the buffers can be registered.
    pub registered: Option<bool>,
    /// Line it was read from; 0 for a row that was not read.
    pub line: u64,
}

/// Why a text is no tuner CSV, or a policy cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TunerCsvError {
    /// A field that cannot be read, or that NVIDIA's parser would misread.
    #[error("line {line}, column {column}: expected {expected}, found {found}")]
    Field {
        /// Line, from 1.
        line: u64,
        /// Column in characters, from 1.
        column: u64,
        /// What would have been right.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A row no NCCL can run.
    #[error("line {line}: {reason}")]
    Impossible {
        /// Line, from 1.
        line: u64,
        /// What is impossible.
        reason: ChoiceError,
    },
    /// A row that a policy rule cannot say.
    #[error("line {line}: {what}")]
    NoRule {
        /// Line, from 1.
        line: u64,
        /// What the row says.
        what: &'static str,
    },
    /// A rule that the CSV cannot say.
    #[error("{collective} {min_bytes}..={max_bytes} bytes on {shape}: {what}")]
    NoRow {
        /// The rule's shape.
        shape: CommShape,
        /// The rule's collective.
        collective: Collective,
        /// The rule's smallest size.
        min_bytes: u64,
        /// The rule's largest size.
        max_bytes: u64,
        /// What has no column.
        what: &'static str,
    },
    /// The rules do not fit together.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// Writes a policy: the notes as comments, the columns as a comment, one row per rule, ordered by
/// shape, collective and size. `numPipeOps` and `regBuff` are always `-1`: ranks may disagree
/// about registration, and a choice may depend only on what is equal on all of them.
///
/// # Errors
/// When the policy does not compile, or a rule pins threads or chunk, which have no column.
pub fn write_tuner_csv(policy: &Policy, notes: &[String]) -> Result<String, TunerCsvError> {
    write(policy, notes, false)
}

/// Writes a policy for this project's own plugin: the same columns and two more, the chunk size and
/// the communicator (`-1`: any). It can say everything a choice can but threads.
///
/// # Errors
/// When the policy does not compile, or a rule pins threads.
pub fn write_policy_csv(policy: &Policy, notes: &[String]) -> Result<String, TunerCsvError> {
    write(policy, notes, true)
}

fn write(policy: &Policy, notes: &[String], superset: bool) -> Result<String, TunerCsvError> {
    policy.compile()?;
    let mut text = String::new();
    if superset {
        text.push_str(POLICY_CSV_MARK);
        text.push('\n');
    }
    for line in notes.iter().flat_map(|n| n.lines()) {
        comment(&mut text, line);
    }
    comment(&mut text, TUNER_CSV_HEADER);
    if superset {
        comment(&mut text, "and chunkBytes,commId");
    }
    let mut rules = policy.rules.clone();
    rules.sort_by_key(|r| (r.shape, r.collective, r.min_bytes));
    for rule in &rules {
        let Rule {
            shape,
            collective,
            min_bytes,
            max_bytes,
            choice,
        } = *rule;
        let no_row = |what| TunerCsvError::NoRow {
            shape,
            collective,
            min_bytes,
            max_bytes,
            what,
        };
        if choice.threads.is_some() {
            return Err(no_row("threads have no column; NCCL_NTHREADS sets them"));
        }
        if choice.chunk_bytes.is_some() && !superset {
            return Err(no_row("the chunk size has no column"));
        }
        if shape.ranks.max(shape.nodes) > i32::MAX.unsigned_abs() {
            return Err(no_row("ranks and nodes are read as 32-bit signed numbers"));
        }
        let channels = choice.channels.map_or("-1".to_owned(), |n| n.to_string());
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{},{min_bytes},{max_bytes},{},{},{channels},{},{},-1,-1{}",
            collective.csv_name(),
            choice.algorithm.csv_name(),
            choice.protocol.csv_name(),
            shape.nodes,
            shape.ranks,
            match choice.chunk_bytes {
                _ if !superset => String::new(),
                None => ",-1,-1".to_owned(),
                Some(bytes) => format!(",{bytes},-1"),
            },
        );
    }
    Ok(text)
}

/// A comment in lines short enough for NVIDIA's parser, broken at words.
fn comment(text: &mut String, note: &str) {
    const WIDTH: usize = 110;
    let mut line = "#".to_owned();
    for word in note.split_whitespace() {
        let mut end = word.len().min(LONGEST_LINE - 2);
        while !word.is_char_boundary(end) {
            end -= 1;
        }
        if line.len() > 1 && line.len() + 1 + end > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line.truncate(1);
        }
        line.push(' ');
        line.push_str(&word[..end]);
    }
    text.push_str(&line);
    text.push('\n');
}

/// Reads rows of 8, 9 or 10 fields; a missing `numPipeOps` or `regBuff` is any. Comments start
/// with `#` in the first column.
///
/// # Errors
/// The first line that cannot be read or that NVIDIA's parser would misread.
pub fn read_tuner_csv(text: &str) -> Result<Vec<TunerRow>, TunerCsvError> {
    let mut rows = Vec::new();
    for (line, content) in (1u64..).zip(text.lines()) {
        if content.len() > LONGEST_LINE {
            return Err(TunerCsvError::Field {
                line,
                column: 1,
                expected: format!(
                    "at most {LONGEST_LINE} bytes; NVIDIA's parser splits longer lines"
                ),
                found: format!("{} bytes", content.len()),
            });
        }
        if !content.starts_with('#') && !content.trim().is_empty() {
            rows.push(row(line, content)?);
        }
    }
    Ok(rows)
}

/// The fields of one line, taken from left to right.
struct Fields<'a> {
    line: u64,
    fields: Vec<(usize, &'a str)>,
}

impl Fields<'_> {
    fn error(&self, index: usize, expected: impl Into<String>) -> TunerCsvError {
        let (column, text) = self.fields.get(index).copied().unwrap_or((1, ""));
        TunerCsvError::Field {
            line: self.line,
            column: u64::try_from(column).unwrap_or(u64::MAX),
            expected: expected.into(),
            found: format!("`{text}`"),
        }
    }

    /// A name in exactly the spelling of the CSV.
    fn name<T: Copy, S: AsRef<str>>(
        &self,
        index: usize,
        known: &[T],
        spelling: impl Fn(T) -> S,
    ) -> Result<T, TunerCsvError> {
        let (_, text) = self.fields[index];
        known
            .iter()
            .copied()
            .find(|&k| spelling(k).as_ref() == text)
            .ok_or_else(|| {
                let names: Vec<String> = known
                    .iter()
                    .map(|&k| spelling(k).as_ref().to_owned())
                    .collect();
                self.error(
                    index,
                    format!("one of {} in this spelling", names.join(", ")),
                )
            })
    }

    fn bytes(&self, index: usize) -> Result<u64, TunerCsvError> {
        let (_, text) = self.fields[index];
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        text.parse()
            .ok()
            .filter(|_| digits)
            .ok_or_else(|| self.error(index, "a size in bytes, digits only"))
    }

    /// A count, or `-1` (or no field) for any.
    fn count(&self, index: usize, least: u32) -> Result<Option<u32>, TunerCsvError> {
        match self.fields.get(index) {
            None | Some((_, "-1")) => Ok(None),
            Some((_, text)) => text
                .parse()
                .ok()
                .filter(|n| (least..=i32::MAX.unsigned_abs()).contains(n))
                .map(Some)
                .ok_or_else(|| self.error(index, format!("a count of {least} and up, or -1"))),
        }
    }
}

fn row(line: u64, content: &str) -> Result<TunerRow, TunerCsvError> {
    let mut column = 1;
    let mut fields = Fields {
        line,
        fields: Vec::new(),
    };
    for field in content.split(',') {
        let text = field.trim();
        let leading = field.chars().count() - field.trim_start().chars().count();
        fields
            .fields
            .push((column + leading.min(field.len()), text));
        column += field.chars().count() + 1;
    }
    if let Some(empty) = fields.fields.iter().position(|(_, text)| text.is_empty()) {
        return Err(fields.error(
            empty,
            "no empty field; NVIDIA's parser skips it and moves the others to the left",
        ));
    }
    if !(8..=10).contains(&fields.fields.len()) {
        return Err(TunerCsvError::Field {
            line,
            column: 1,
            expected: "8, 9 or 10 fields".to_owned(),
            found: fields.fields.len().to_string(),
        });
    }
    let tunable: Vec<Collective> = Collective::ALL
        .into_iter()
        .filter(|c| c.is_tunable())
        .collect();
    let row = TunerRow {
        collective: fields.name(0, &tunable, Collective::csv_name)?,
        min_bytes: fields.bytes(1)?,
        max_bytes: fields.bytes(2)?,
        algorithm: fields.name(3, &Algorithm::ALL, Algorithm::csv_name)?,
        protocol: fields.name(4, &Protocol::ALL, Protocol::csv_name)?,
        channels: fields.count(5, 1)?,
        nodes: fields.count(6, 1)?,
        ranks: fields.count(7, 1)?,
        pipe_ops: fields.count(8, 1)?,
        registered: match fields.count(9, 0)? {
            None => None,
            Some(0) => Some(false),
            Some(1) => Some(true),
            Some(_) => return Err(fields.error(9, "0, 1 or -1")),
        },
        line,
    };
    if row.min_bytes > row.max_bytes {
        return Err(fields.error(2, format!("at least the smallest size, {}", row.min_bytes)));
    }
    Ok(row)
}

/// The policy that rows say.
///
/// # Errors
/// A row that matches any shape, or only some `numPipeOps` or `regBuff`; a choice no NCCL can
/// run; rows that overlap.
pub fn policy_of_rows(rows: &[TunerRow]) -> Result<Policy, TunerCsvError> {
    let rules = rows.iter().map(rule_of_row).collect::<Result<_, _>>()?;
    let policy = Policy { rules };
    policy.compile()?;
    Ok(policy)
}

fn rule_of_row(row: &TunerRow) -> Result<Rule, TunerCsvError> {
    let no_rule = |what| TunerCsvError::NoRule {
        line: row.line,
        what,
    };
    let (Some(nodes), Some(ranks)) = (row.nodes, row.ranks) else {
        return Err(no_rule(
            "matches any nNodes or nRanks; a policy rule names one shape",
        ));
    };
    if row.pipe_ops.is_some() {
        return Err(no_rule("depends on numPipeOps, which a policy rule cannot"));
    }
    if row.registered.is_some() {
        return Err(no_rule(
            "depends on regBuff, which is not equal on all ranks; a policy rule cannot",
        ));
    }
    let choice = Choice {
        channels: row.channels,
        ..Choice::new(row.algorithm, row.protocol)
    };
    choice
        .check(row.collective)
        .map_err(|reason| TunerCsvError::Impossible {
            line: row.line,
            reason,
        })?;
    Ok(Rule {
        shape: CommShape::new(ranks, nodes),
        collective: row.collective,
        min_bytes: row.min_bytes,
        max_bytes: row.max_bytes,
        choice,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field_error(text: &str) -> (u64, u64, String) {
        match read_tuner_csv(text) {
            Err(TunerCsvError::Field {
                line,
                column,
                expected,
                ..
            }) => (line, column, expected),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rows_of_eight_nine_and_ten_fields_read_as_nvidia_reads_them() {
        let rows = read_tuner_csv(
            "# comment\n\nallreduce,0,65536,tree,simple,2,1,-1,-1,1\n\
             allgather,0,4294967295,ring,simple,4,2,-1\n\
             allreduce , 65537,1048576,\tring,simple,-1,4,32,1\n",
        )
        .unwrap();
        assert_eq!(rows[0].registered, Some(true));
        assert_eq!((rows[0].nodes, rows[0].ranks), (Some(1), None));
        assert_eq!((rows[1].pipe_ops, rows[1].registered), (None, None));
        assert_eq!((rows[2].channels, rows[2].pipe_ops), (None, Some(1)));
        assert_eq!(rows.iter().map(|r| r.line).collect::<Vec<_>>(), [3, 4, 5]);
    }

    #[test]
    fn what_nvidia_would_misread_is_refused_at_its_column() {
        let (line, column, expected) = field_error("#\nAllReduce,0,1,ring,ll,-1,1,8");
        assert_eq!((line, column), (2, 1));
        assert!(expected.contains("allreduce"));
        assert_eq!(field_error("allreduce,0,1,ring,,-1,1,8").1, 20);
        assert_eq!(field_error("allreduce,0,1, rings,ll,-1,1,8").1, 16);
        assert_eq!(field_error("allreduce,0,1K,ring,ll,-1,1,8").1, 13);
        assert_eq!(field_error("allreduce,9,1,ring,ll,-1,1,8").1, 13);
        assert_eq!(field_error("allreduce,0,1,ring,ll,0,1,8").1, 23);
        assert!(
            field_error("allreduce,0,1,ring,ll,-1,1")
                .2
                .contains("8, 9 or 10")
        );
        assert!(
            field_error(&format!("# {}", "x".repeat(300)))
                .2
                .contains("254")
        );
        assert_eq!(field_error(TUNER_CSV_HEADER).1, 1);
    }

    #[test]
    fn rows_a_policy_cannot_say_are_named() {
        let error = |text: &str| {
            policy_of_rows(&read_tuner_csv(text).unwrap())
                .unwrap_err()
                .to_string()
        };
        assert!(error("allreduce,0,1,ring,ll,-1,-1,8").contains("any nNodes"));
        assert!(error("allreduce,0,1,ring,ll,-1,1,8,2").contains("numPipeOps"));
        assert!(error("allreduce,0,1,ring,ll,-1,1,8,-1,0").contains("not equal on all ranks"));
        assert!(error("broadcast,0,1,tree,ll,-1,1,8").contains("does not serve"));
        let overlap = "allreduce,0,9,ring,ll,-1,1,8\nallreduce,9,10,ring,ll,-1,1,8";
        assert!(error(overlap).contains("overlap"));
    }

    #[test]
    fn notes_stay_within_the_line_nvidia_reads() {
        let notes = ["word ".repeat(200), "y".repeat(1000), "\u{e9}".repeat(300)];
        let text = write_tuner_csv(&Policy::default(), &notes).unwrap();
        assert!(
            text.lines()
                .all(|l| l.starts_with("# ") && l.len() <= LONGEST_LINE)
        );
        assert_eq!(read_tuner_csv(&text), Ok(Vec::new()));
    }

    #[test]
    fn what_has_no_column_is_an_error_not_a_loss() {
        let rule = |choice| Policy {
            rules: vec![Rule {
                shape: CommShape::new(8, 1),
                collective: Collective::AllReduce,
                min_bytes: 1,
                max_bytes: 2,
                choice,
            }],
        };
        let ring = Choice::new(Algorithm::Ring, Protocol::Simple);
        assert!(write_tuner_csv(&rule(ring), &[]).is_ok());
        for choice in [ring.with_threads(256), ring.with_chunk_bytes(1 << 20)] {
            let error = write_tuner_csv(&rule(choice), &[]).unwrap_err();
            assert!(matches!(error, TunerCsvError::NoRow { .. }), "{error}");
        }
    }
}
