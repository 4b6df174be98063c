//! The check of an environment: each variable on its own, then all together.

mod name;
mod value;

use super::finding::{Finding, Place, Rule, Severity};
use super::knob::{Knob, NEWEST_KNOWN};
use super::{Platform, catalogue, combinations};
use crate::{Environment, NcclVersion};

/// What the environment is checked against.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckContext {
    /// The NCCL that will read it; `None` when not known: then the newest the catalogue knows is
    /// assumed, and what only older ones have is a warning instead of an error.
    pub nccl_version: Option<NcclVersion>,
    /// Where it will run, as far as known.
    pub platform: Option<Platform>,
}

impl CheckContext {
    /// The version findings refer to.
    pub fn version(&self) -> NcclVersion {
        self.nccl_version.unwrap_or(NEWEST_KNOWN)
    }
}

/// Everything there is to say about an environment, by variable name.
pub fn check_environment(environment: &Environment, context: &CheckContext) -> Vec<Finding> {
    let mut findings: Vec<Finding> = environment
        .variables
        .iter()
        .flat_map(|(name, value)| check_variable(name, value, context))
        .collect();
    findings.extend(combinations::check(environment, context));
    findings.sort_by(|a, b| (&a.variable, a.place).cmp(&(&b.variable, b.place)));
    findings
}

/// Everything to say about one variable on its own; nothing about variables that are not NCCL's.
pub(super) fn check_variable(name: &str, value: &str, context: &CheckContext) -> Vec<Finding> {
    let Some(knob) = catalogue::find(name) else {
        return name::unknown(name).into_iter().collect();
    };
    let version = context.version();
    if let Some(finding) = version_of(knob, context) {
        return vec![finding];
    }
    let mut findings = Vec::new();
    if let Some(better) = knob.superseded_in(version) {
        findings.push(
            Finding::new(
                Severity::Warning,
                Rule::Superseded,
                name,
                Place::Name,
                format!("{better} took its place"),
                format!("use {better}"),
            )
            .related(&[better]),
        );
    }
    if let Some(lack) = context.platform.and_then(|p| p.lacks(knob.platforms)) {
        findings.push(Finding::new(
            Severity::Warning,
            Rule::Meaningless,
            name,
            Place::Name,
            lack,
            "remove it, or check the platform",
        ));
    }
    if value.is_empty() {
        if !name.starts_with("NCCL_DEBUG_TIMESTAMP_") {
            findings.push(Finding::new(
                Severity::Note,
                Rule::Empty,
                name,
                Place::Value(0),
                "an empty value counts as unset",
                "give it a value or remove it",
            ));
        }
        return findings;
    }
    findings.extend(value::check(knob, value, version, context));
    findings
}

fn version_of(knob: &Knob, context: &CheckContext) -> Option<Finding> {
    let version = context.version();
    if knob.not_yet_in(version) {
        return Some(Finding::new(
            Severity::Error,
            Rule::NotYet,
            knob.name,
            Place::Name,
            format!(
                "NCCL {version} does not have it yet (since {}): it is ignored",
                knob.since()
            ),
            "remove it, or use a newer NCCL",
        ));
    }
    let last = knob.removed_after.filter(|_| knob.gone_in(version))?;
    let fix = knob.superseded_in(version).map_or_else(
        || "remove it".to_owned(),
        |better| format!("remove it; see {better}"),
    );
    Some(if context.nccl_version.is_some() {
        Finding::new(
            Severity::Error,
            Rule::Removed,
            knob.name,
            Place::Name,
            format!("NCCL {version} no longer has it (last in {last}): it is ignored"),
            fix,
        )
    } else {
        Finding::new(
            Severity::Warning,
            Rule::Removed,
            knob.name,
            Place::Name,
            format!("last in NCCL {last}; newer ones ignore it"),
            format!("{fix}; or give the NCCL version if it is that old"),
        )
    })
}

/// A value as a finding may show it: long values, and those that look like credentials, stay
/// hidden, since files of variables hold secrets and lines get swapped.
pub(super) fn shown(value: &str) -> String {
    const TOKENS: [&str; 8] = [
        "sk-",
        "hf_",
        "ghp_",
        "gho_",
        "github_pat_",
        "AKIA",
        "eyJ",
        "xox",
    ];
    let long = value.chars().count() > 40;
    let token = TOKENS.iter().any(|t| value.contains(t));
    let mixed = value.len() >= 20
        && value.bytes().any(|b| b.is_ascii_digit())
        && value.bytes().any(|b| b.is_ascii_lowercase())
        && value.bytes().any(|b| b.is_ascii_uppercase())
        && !value.contains([',', ';', ' ']);
    if long || token || mixed {
        "the value (not shown)".to_owned()
    } else {
        format!("{value:?}")
    }
}
