//! The value of one variable: its type and range, and what a domain cannot express.

use super::super::domain::{Domain, Misfit};
use super::super::finding::{Finding, Place, Rule, Severity};
use super::super::knob::{Knob, before};
use super::super::{choice_list, read_c_integer, shape};
use super::{CheckContext, shown};
use crate::{NcclVersion, parse_bytes};

/// Everything to say about a value that is not empty.
pub(super) fn check(
    knob: &Knob,
    value: &str,
    version: NcclVersion,
    context: &CheckContext,
) -> Vec<Finding> {
    match knob.domain {
        Domain::Algorithms => return choice_list::check_algorithms(value, version),
        Domain::Protocols => {
            let pcie_only = context.platform.is_some_and(|p| p.is_pcie_only());
            return choice_list::check_protocols(value, version, pcie_only);
        }
        _ => {}
    }
    if knob.name == "NCCL_CTA_POLICY"
        && before(version, NcclVersion::new(2, 29, 2))
        && !value.starts_with(|c: char| c.is_ascii_digit())
    {
        return vec![Finding::new(
            Severity::Error,
            Rule::WrongType,
            knob.name,
            Place::Value(0),
            format!("NCCL {version} reads a number here, and a word as 0; words came with 2.29"),
            "write 0 (default), 1 (efficiency) or 2 (zero)",
        )];
    }
    let mut findings: Vec<Finding> = misfit_of(knob, value, version).into_iter().collect();
    if is_legacy_level(knob, value) {
        findings = vec![Finding::new(
            Severity::Warning,
            Rule::Hazard,
            knob.name,
            Place::Value(0),
            format!(
                "numbers are a legacy scale: NCCL reads {} as {}",
                shown(value),
                legacy_level(value)
            ),
            format!("write {}", legacy_level(value)),
        )];
    }
    if findings.is_empty() {
        findings = shape::check(knob.name, value);
    }
    findings
}

/// Whether this knob takes path types (LOC .. SYS) and got a number.
fn is_legacy_level(knob: &Knob, value: &str) -> bool {
    matches!(knob.name, "NCCL_P2P_LEVEL" | "NCCL_NET_GDR_LEVEL")
        && value.starts_with(|c: char| c.is_ascii_digit())
}

/// `levelsOldToNew`, src/graph/paths.cc.
fn legacy_level(value: &str) -> &'static str {
    const LEVELS: [&str; 5] = ["LOC", "PIX", "PXB", "PHB", "SYS"];
    let number = usize::try_from(read_c_integer(value).value).unwrap_or(0);
    LEVELS.get(number).copied().unwrap_or("SYS")
}

/// The release from which these three are read by NCCL's typed parser, which knows T, TRUE, F and
/// FALSE (src/include/param/parser_default.h, src/debug.cc).
fn reads_words(knob: &Knob, version: NcclVersion) -> bool {
    let since = match knob.name {
        "NCCL_PARAM_DUMP_ALL" => NcclVersion::new(2, 30, 3),
        "NCCL_SET_THREAD_NAME" | "NCCL_WARN_ENABLE_DEBUG_INFO" => NcclVersion::new(2, 30, 7),
        _ => return false,
    };
    !before(version, since)
}

fn misfit_of(knob: &Knob, value: &str, version: NcclVersion) -> Option<Finding> {
    let is_word = |w: &str| value.eq_ignore_ascii_case(w);
    if reads_words(knob, version) && ["T", "TRUE", "F", "FALSE"].into_iter().any(is_word) {
        return None;
    }
    let misfit = Domain::misfit(knob, value, version)?;
    let say = |rule, at, reason: String, fix: String| {
        Some(Finding::new(
            Severity::Error,
            rule,
            knob.name,
            Place::Value(at),
            reason,
            fix,
        ))
    };
    let range = match knob.domain.range(version) {
        Some((min, max, 1)) if max >= i64::from(i32::MAX) => format!("{min} and up"),
        Some((0, 1, _)) => "0 or 1".to_owned(),
        Some((min, max, 1)) => format!("{min} to {max}"),
        Some((min, max, of)) => format!("multiples of {of} from {min} to {max}"),
        None => knob.domain.to_string(),
    };
    let outside = knob.outside.map(|o| format!("; {o}")).unwrap_or_default();
    let quoted = shown(value);
    match misfit {
        Misfit::NotANumber => {
            let fix = if ["true", "yes", "on", "y", "t", "enable", "enabled"]
                .into_iter()
                .any(is_word)
                && knob.domain == Domain::Switch
            {
                "write 1".to_owned()
            } else if knob.domain == Domain::Switch {
                "write 0 or 1".to_owned()
            } else {
                format!("write a number: {range}")
            };
            say(
                Rule::WrongType,
                0,
                format!("{quoted} is no number: NCCL reads 0"),
                fix,
            )
        }
        Misfit::Trailing { read, at } => say(
            Rule::WrongType,
            at,
            format!("NCCL reads {read} from {quoted} and ignores the rest: it knows no units"),
            match parse_bytes(value).map(|bytes| bytes.to_string()) {
                Ok(plain) if Domain::misfit(knob, &plain, version).is_none() => {
                    format!("write {plain}")
                }
                _ => format!("write a plain number: {range}"),
            },
        ),
        Misfit::Octal { read } => say(
            Rule::WrongType,
            0,
            format!("a leading 0 makes it octal: NCCL reads {read} from {quoted}"),
            match value.trim().parse::<i64>().map(|n| n.to_string()) {
                Ok(plain) if Domain::misfit(knob, &plain, version).is_none() => {
                    format!("write {plain}")
                }
                _ => format!("write {range}"),
            },
        ),
        Misfit::Overflow => say(
            Rule::OutOfRange,
            0,
            format!("{quoted} does not fit 64 bits: NCCL keeps its default"),
            format!("write {range}"),
        ),
        Misfit::OutOfRange { read } => say(
            Rule::OutOfRange,
            0,
            format!("{read} is outside {range}{outside}"),
            format!("write {range}"),
        ),
        Misfit::NotAMultiple { read, of } => say(
            Rule::OutOfRange,
            0,
            format!("{read} is no multiple of {of}{outside}"),
            format!("write {range}"),
        ),
        Misfit::UnknownWord { at, length } => {
            let word = shown(value.get(at..at + length).unwrap_or(value));
            let ignored = knob
                .outside
                .map_or_else(|| "NCCL ignores it".to_owned(), str::to_owned);
            say(
                Rule::WrongType,
                at,
                format!("{word} is none of {}: {ignored}", knob.domain),
                format!("write {}", knob.domain),
            )
        }
        Misfit::WrongCase { right } => say(
            Rule::WrongType,
            0,
            format!("case matters: NCCL does not know {quoted}"),
            format!("write {right}"),
        ),
    }
}
