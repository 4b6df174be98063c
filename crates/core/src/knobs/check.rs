//! The check of an environment: each variable on its own, then all together.

use super::domain::{Domain, Misfit};
use super::finding::{Finding, Place, Rule, Severity};
use super::knob::{Knob, NEWEST_KNOWN, before};
use super::{Platform, catalogue, choice_list, combinations, shape};
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
        return unknown(name).into_iter().collect();
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
    findings.extend(value_of(knob, value, version, context));
    findings
}

fn value_of(
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
    let number = usize::try_from(super::read_c_integer(value).value).unwrap_or(0);
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
            match crate::parse_bytes(value).map(|bytes| bytes.to_string()) {
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

/// Prefixes of variables that other programs read although they start with `NCCL_`.
const FOREIGN: &[(&str, &str)] = &[
    ("NCCL_FASTRAK_", "Google's FasTrak network plugin"),
    ("NCCL_GPUDIRECTTCPX_", "Google's TCPX network plugin"),
    ("NCCL_INSPECTOR_", "NVIDIA's inspector profiler plugin"),
    ("NCCL_PROFILE_", "NVIDIA's example profiler plugin"),
    ("NCCL_PROFILER_CE_", "NVIDIA's example profiler plugin"),
    (
        "NCCL_TUNER_CONFIG_",
        "tuner plugins (NVIDIA's example, Google's)",
    ),
    ("NCCL_SHIMNET_", "Google's plugin shim"),
    ("NCCL_PLUGIN_", "the RDMA and SHARP plugins of HPC-X"),
    ("NCCL_SHARP_", "the SHARP plugin of HPC-X"),
    ("NCCL_UCX_", "the UCX plugin of HPC-X"),
    ("NCCL_TESTS_", "nccl-tests"),
    ("NCCL_EP_", "NCCL's expert-parallel library"),
];

/// PyTorch's own names of earlier releases; it now reads them with `TORCH_` in front.
const PYTORCH: &[&str] = &[
    "NCCL_ASYNC_ERROR_HANDLING",
    "NCCL_BLOCKING_WAIT",
    "NCCL_DESYNC_DEBUG",
];

/// Names that build systems and containers set.
const BUILD: &[&str] = &[
    "NCCL_HOME",
    "NCCL_ROOT",
    "NCCL_VERSION",
    "NCCL_INCLUDE_DIR",
    "NCCL_LIB_DIR",
    "NCCL_LIBRARY",
];

/// How alike two names must be for one to count as a slip of the other.
const SLIP: f64 = 0.75;

fn unknown(name: &str) -> Option<Finding> {
    let say = |severity, rule, reason: String, fix: String| {
        Some(Finding::new(severity, rule, name, Place::Name, reason, fix))
    };
    if PYTORCH.contains(&name) {
        return say(
            Severity::Warning,
            Rule::ForeignName,
            "a variable of PyTorch under its old name, not of NCCL".to_owned(),
            format!("write TORCH_{name}"),
        );
    }
    if BUILD.contains(&name) {
        return say(
            Severity::Note,
            Rule::ForeignName,
            "a variable of build systems; NCCL does not read it".to_owned(),
            "keep it if something else needs it".to_owned(),
        );
    }
    if let Some((_, owner)) = FOREIGN.iter().find(|(prefix, _)| name.starts_with(prefix)) {
        return say(
            Severity::Note,
            Rule::ForeignName,
            format!("a variable of {owner}; not checked"),
            "keep it if that is loaded".to_owned(),
        );
    }
    let (knob, alike) = catalogue::nearest(name);
    if name.starts_with("NCCL_") {
        return if alike >= SLIP {
            say(
                Severity::Error,
                Rule::UnknownName,
                "NCCL has no such variable and ignores it".to_owned(),
                format!("write {}", knob.name),
            )
        } else {
            say(
                Severity::Warning,
                Rule::UnknownName,
                "no NCCL from 2.3 to 2.30 has such a variable; a plugin may".to_owned(),
                format!("check the name; the nearest is {}", knob.name),
            )
        };
    }
    // A slip in the prefix itself: NCLL_DEBUG, nccl_debug. Other libraries have names one letter
    // away (RCCL), so the rest must be a name of ours.
    let upper = name.to_ascii_uppercase();
    let (prefix, rest) = upper.split_once(['_', '-']).unwrap_or((&upper, ""));
    let slipped = prefix != "RCCL" && strsim::damerau_levenshtein(prefix, "NCCL") <= 1;
    let (knob, alike) = catalogue::nearest(rest);
    (slipped && alike >= 0.9).then(|| {
        Finding::new(
            Severity::Error,
            Rule::UnknownName,
            name,
            Place::Name,
            "NCCL does not read this name",
            format!("write {}", knob.name),
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
