//! Reads a policy file. Allocates freely: it runs at init, never on a call.

use std::fmt;

use super::Rule;
use crate::version::Version;

/// Longest file, bytes; a policy of 100,000 rules is far below.
pub const MOST_BYTES: usize = 16 << 20;
/// The first line of the superset.
const SUPERSET: &str = "#! ccl-agent 1";

/// A file that was read in full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The rules, in the order of the file: the first that matches wins.
    pub rules: Vec<Rule>,
    /// Rules that ask for what must not be.
    pub skipped: Vec<Skipped>,
    /// First and last release of NCCL it is for, both inclusive.
    pub releases: Option<(Version, Version)>,
}

/// A rule that is read and not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its line, from 1.
    pub line: u32,
    /// Why.
    pub why: &'static str,
}

/// Why a file is not used at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// The line, from 1; 0 for the whole file.
    pub line: u32,
    /// What is there and what was expected.
    pub what: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for PolicyError {}

/// Reads a policy.
///
/// # Errors
/// The first line that cannot be read.
pub fn parse(text: &str) -> Result<Parsed, PolicyError> {
    if text.len() > MOST_BYTES {
        return Err(PolicyError {
            line: 0,
            what: format!("{} bytes is no policy", text.len()),
        });
    }
    let superset = text.lines().next().map(str::trim_end) == Some(SUPERSET);
    let mut parsed = Parsed::default();
    for (number, raw) in (1u32..).zip(text.lines()) {
        let line = raw.trim();
        if let Some(directive) = line.strip_prefix("#!").filter(|_| superset) {
            directive_of(directive.trim(), number, &mut parsed)?;
        } else if !line.is_empty() && !line.starts_with('#') {
            match rule(line, number, superset)? {
                Ok(rule) => parsed.rules.push(rule),
                Err(why) => parsed.skipped.push(Skipped { line: number, why }),
            }
        }
    }
    Ok(parsed)
}

fn directive_of(text: &str, line: u32, parsed: &mut Parsed) -> Result<(), PolicyError> {
    let error = |what: String| PolicyError { line, what };
    if text == "ccl-agent 1" {
        return Ok(());
    }
    let releases = text
        .strip_prefix("nccl ")
        .and_then(|range| range.split_once(".."))
        .and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    let Some(releases) = releases else {
        return Err(error(format!(
            "`#! {text}` is not `#! nccl 2.27.3..2.30.7`"
        )));
    };
    if parsed.releases.replace(releases).is_some() {
        return Err(error("a second `#! nccl`".to_owned()));
    }
    Ok(())
}

const COLLECTIVES: [&str; 5] = [
    "broadcast",
    "reduce",
    "allgather",
    "reducescatter",
    "allreduce",
];
/// NCCL's algorithms by id, as its files name them.
pub const ALGORITHMS: [&str; 7] = [
    "tree",
    "ring",
    "collnet_direct",
    "collnet_chain",
    "nvls",
    "nvls_tree",
    "pat",
];
/// NCCL's protocols by id.
pub const PROTOCOLS: [&str; 3] = ["ll", "ll128", "simple"];

/// A rule, or why it must not be used.
fn rule(text: &str, line: u32, superset: bool) -> Result<Result<Rule, &'static str>, PolicyError> {
    let error = |what: String| PolicyError { line, what };
    let fields: Vec<&str> = text.split(',').map(str::trim).collect();
    let most = if superset { 12 } else { 10 };
    if !(8..=most).contains(&fields.len()) {
        return Err(error(format!(
            "{} columns; expected 8 to {most}",
            fields.len()
        )));
    }
    let named = |at: usize, names: &[&str], what: &str| -> Result<u8, PolicyError> {
        let index = names.iter().position(|name| *name == fields[at]);
        index
            .and_then(|index| u8::try_from(index).ok())
            .ok_or_else(|| {
                error(format!(
                    "{:?} is no {what}; known: {}",
                    fields[at],
                    names.join(", ")
                ))
            })
    };
    let bytes = |at: usize, what: &str| -> Result<u64, PolicyError> {
        fields[at]
            .parse()
            .map_err(|_| error(format!("{:?} is no {what} in bytes", fields[at])))
    };
    // -1 and a missing column match anything.
    let any_or = |at: usize, what: &str| -> Result<Option<u64>, PolicyError> {
        match fields.get(at).copied() {
            None | Some("-1") => Ok(None),
            Some(field) => field
                .parse()
                .map(Some)
                .map_err(|_| error(format!("{field:?} is no {what}, and not -1"))),
        }
    };
    let (min_bytes, max_bytes) = (bytes(1, "smallest size")?, bytes(2, "largest size")?);
    if min_bytes > max_bytes {
        return Err(error(format!(
            "the smallest size {min_bytes} is above the largest {max_bytes}"
        )));
    }
    // NVIDIA's file: -1 keeps the count; 0 reaches NCCL as 0 and keeps it as well.
    let channels = match any_or(5, "channel count")? {
        None | Some(0) => None,
        Some(n @ 1..=64) => u8::try_from(n).ok(),
        Some(n) => return Err(error(format!("{n} channels; NCCL has 1 to 64"))),
    };
    let pipe_ops = match any_or(8, "count of operations")? {
        None => None,
        Some(n) => {
            Some(i32::try_from(n).map_err(|_| error(format!("{n} operations are too many")))?)
        }
    };
    let chunk_bytes = match any_or(10, "chunk size in bytes")? {
        Some(n) if n == 0 || n > 64 << 20 => {
            return Err(error(format!(
                "a chunk of {n} bytes; expected 1 to 64 MiB, or -1"
            )));
        }
        other => other,
    };
    let rule = Rule {
        collective: named(0, &COLLECTIVES, "collective")?,
        min_bytes,
        max_bytes,
        algorithm: named(3, &ALGORITHMS, "algorithm")?,
        protocol: named(4, &PROTOCOLS, "protocol")?,
        channels,
        nodes: any_or(6, "count of nodes")?,
        ranks: any_or(7, "count of ranks")?,
        pipe_ops,
        chunk_bytes,
        comm_id: any_or(11, "communicator id")?,
        line,
    };
    Ok(match any_or(9, "regBuff, 0 or 1")? {
        None => Ok(rule),
        // A buffer can be registered on one rank and not on another, and ranks that choose
        // differently hang or corrupt data (nccl#1136, nccl#1184).
        Some(_) => Err("it depends on buffer registration, in which ranks can differ"),
    })
}
