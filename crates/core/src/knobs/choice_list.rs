//! The list syntax of `NCCL_ALGO` and `NCCL_PROTO`.
//!
//! `[^]a,b[;function:[^]c,d]`, as `parseList` reads it (src/graph/tuning.cc): strict from 2.24 on;
//! before, one list without functions whose unknown names are skipped and from which NCCL falls
//! back to Ring. What a list leaves enabled is worked out here, so that the findings can say which
//! calls would fail.

use super::finding::{Finding, Place, Rule, Severity};
use super::knob::before;
use crate::{Algorithm, Collective, NcclVersion, Protocol};

/// From this release on the syntax knows functions and refuses what it does not know.
const STRICT_SINCE: NcclVersion = NcclVersion::new(2, 24, 3);

/// The functions the lists know, in NCCL's order (`ncclFuncStr`, src/init.cc).
pub(super) const FUNCTIONS: [Collective; 5] = [
    Collective::Broadcast,
    Collective::Reduce,
    Collective::AllGather,
    Collective::ReduceScatter,
    Collective::AllReduce,
];

/// Something a list can name.
pub(super) trait Choosable: Copy + PartialEq + 'static {
    /// All there are.
    const ALL: &'static [Self];
    /// The first release whose lists know it.
    fn since(self) -> NcclVersion;
    /// Its name in NCCL.
    fn nccl_name(self) -> &'static str;
}

impl Choosable for Algorithm {
    const ALL: &'static [Self] = &Algorithm::ALL;

    // NCCL user guide, NCCL_ALGO.
    fn since(self) -> NcclVersion {
        match self {
            Self::Tree | Self::Ring => NcclVersion::new(2, 5, 0),
            Self::CollNetDirect | Self::CollNetChain => NcclVersion::new(2, 14, 0),
            Self::Nvls => NcclVersion::new(2, 17, 0),
            Self::NvlsTree => NcclVersion::new(2, 18, 0),
            Self::Pat => NcclVersion::new(2, 23, 0),
        }
    }

    fn nccl_name(self) -> &'static str {
        self.name()
    }
}

impl Choosable for Protocol {
    const ALL: &'static [Self] = &Protocol::ALL;

    fn since(self) -> NcclVersion {
        NcclVersion::new(2, 5, 0)
    }

    fn nccl_name(self) -> &'static str {
        self.name()
    }
}

/// A list, read.
pub(super) struct ChoiceList<T> {
    /// What stays enabled per function, in the order of [`FUNCTIONS`].
    pub enabled: [Vec<T>; 5],
    /// Whether the list only takes away (`^...`), everywhere.
    pub only_excludes: bool,
    /// Functions the list speaks of.
    pub touched: [bool; 5],
    /// Where the list that speaks of each function starts, in bytes.
    pub at: [usize; 5],
    /// What is wrong with the text.
    pub findings: Vec<Finding>,
}

/// Reads a list.
pub(super) fn read<T: Choosable>(
    variable: &str,
    text: &str,
    version: NcclVersion,
) -> ChoiceList<T> {
    let strict = !before(version, STRICT_SINCE);
    let known: Vec<T> = T::ALL
        .iter()
        .copied()
        .filter(|c| !before(version, c.since()))
        .collect();
    let mut list = ChoiceList {
        enabled: std::array::from_fn(|_| known.clone()),
        only_excludes: true,
        touched: [false; 5],
        at: [0; 5],
        findings: Vec::new(),
    };
    let entries = if strict {
        pieces(text, 0, ';')
    } else {
        vec![(0, text)]
    };
    for (index, (at, entry)) in entries.into_iter().enumerate() {
        let parts = if strict {
            pieces(entry, at, ':')
        } else {
            vec![(at, entry)]
        };
        let (function, (items_at, items)) = match parts.as_slice() {
            [items] => (None, *items),
            [function, items, rest @ ..] => {
                if let Some((rest_at, _)) = rest.first() {
                    list.say(
                        variable,
                        *rest_at,
                        "everything behind the second colon is ignored",
                        "separate functions with ;",
                    );
                }
                (Some(*function), *items)
            }
            [] => continue,
        };
        if function.is_none() && index > 0 {
            list.say(
                variable,
                at,
                "only the first entry may lack a function: NCCL fails",
                "write function:list, as in allreduce:tree",
            );
        }
        let chosen: Vec<usize> = match function {
            None => (0..FUNCTIONS.len()).collect(),
            Some((function_at, name)) => {
                let found = FUNCTIONS
                    .iter()
                    .position(|f| f.name().eq_ignore_ascii_case(name));
                if found.is_none() {
                    let names = FUNCTIONS.map(Collective::name).join(", ");
                    list.say(
                        variable,
                        function_at,
                        format!("{name:?} is no function of NCCL's lists: NCCL fails"),
                        format!("use one of {names}"),
                    );
                }
                found.into_iter().collect()
            }
        };
        let inverted = items.starts_with('^');
        list.only_excludes &= inverted;
        let names = &items[usize::from(inverted)..];
        let named = list.names(
            variable,
            names,
            items_at + usize::from(inverted),
            version,
            strict,
        );
        for function in chosen {
            list.touched[function] = true;
            list.at[function] = items_at;
            list.enabled[function] = known
                .iter()
                .copied()
                .filter(|c| named.contains(c) != inverted)
                .collect();
        }
    }
    list
}

impl<T: Choosable> ChoiceList<T> {
    fn say(
        &mut self,
        variable: &str,
        at: usize,
        reason: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.findings.push(Finding::new(
            Severity::Error,
            Rule::WrongType,
            variable,
            Place::Value(at),
            reason,
            fix,
        ));
    }

    fn names(
        &mut self,
        variable: &str,
        text: &str,
        at: usize,
        version: NcclVersion,
        strict: bool,
    ) -> Vec<T> {
        let mut named = Vec::new();
        for (at, name) in pieces(text, at, ',') {
            let found = T::ALL
                .iter()
                .copied()
                .find(|c| c.nccl_name().eq_ignore_ascii_case(name));
            let consequence = if strict {
                "NCCL fails"
            } else {
                "NCCL skips it without a word"
            };
            match found {
                Some(choice) if !before(version, choice.since()) => named.push(choice),
                Some(choice) => {
                    let since = choice.since();
                    self.say(
                        variable,
                        at,
                        format!(
                            "NCCL {version} does not know {} (since {}.{}): {consequence}",
                            choice.nccl_name(),
                            since.major,
                            since.minor
                        ),
                        "leave it out, or use a newer NCCL",
                    );
                }
                // The one name of 2.5 to 2.13, split in two in 2.14 (NCCL user guide, NCCL_ALGO).
                None if name.eq_ignore_ascii_case("collnet")
                    && before(version, NcclVersion::new(2, 14, 0)) => {}
                None => {
                    let names: Vec<&str> = T::ALL
                        .iter()
                        .filter(|c| !before(version, c.since()))
                        .map(|c| c.nccl_name())
                        .collect();
                    let blank = if name.trim() == name {
                        ""
                    } else {
                        " (blanks count)"
                    };
                    self.say(
                        variable,
                        at,
                        format!(
                            "{} is none of {}{blank}: {consequence}",
                            super::check::shown(name),
                            names.join(", ")
                        ),
                        nearest(name, &names),
                    );
                }
            }
        }
        named
    }
}

fn nearest(name: &str, names: &[&str]) -> String {
    let wanted = name.trim().to_ascii_lowercase();
    let distance = |n: &&&str| strsim::damerau_levenshtein(&wanted, &n.to_ascii_lowercase());
    match names.iter().min_by_key(distance) {
        Some(near) if distance(&near) <= 2 => format!("write {near}"),
        _ => format!("use {}", names.join(", ")),
    }
}

/// The non-empty pieces between separators, as `strtok` finds them, with their places.
fn pieces(text: &str, at: usize, separator: char) -> Vec<(usize, &str)> {
    let mut at = at;
    let mut found = Vec::new();
    for piece in text.split(separator) {
        if !piece.is_empty() {
            found.push((at, piece));
        }
        at += piece.len() + separator.len_utf8();
    }
    found
}

/// Everything to say about an algorithm list on its own.
pub(super) fn check_algorithms(text: &str, version: NcclVersion) -> Vec<Finding> {
    const NAME: &str = "NCCL_ALGO";
    let mut list = read::<Algorithm>(NAME, text, version);
    let strict = !before(version, STRICT_SINCE);
    if list.findings.is_empty() {
        for (index, function) in FUNCTIONS.into_iter().enumerate() {
            let left = &list.enabled[index];
            if !list.touched[index] || left.iter().any(|a| a.serves(function)) {
                continue;
            }
            let consequence = if strict {
                "such calls fail"
            } else {
                "NCCL falls back to Ring for them"
            };
            list.findings.push(Finding::new(
                if strict {
                    Severity::Warning
                } else {
                    Severity::Note
                },
                Rule::Hazard,
                NAME,
                Place::Value(list.at[index]),
                format!("nothing is left for {function}: {consequence}"),
                format!(
                    "name the function it is meant for, or leave {} in",
                    names(function)
                ),
            ));
        }
    }
    pinned(
        NAME,
        list,
        "a tuner plugin's choice per size, or exclude the one that is bad (^name)",
    )
}

fn names(function: Collective) -> String {
    let names: Vec<&str> = function.algorithms().iter().map(|a| a.name()).collect();
    names.join(" or ")
}

/// Adds what holds of every list, and gives the findings away.
fn pinned<T>(name: &str, mut list: ChoiceList<T>, instead: &str) -> Vec<Finding> {
    let (severity, what) = if list.only_excludes {
        (Severity::Note, "takes choices away from NCCL")
    } else {
        (Severity::Warning, "pins the choice")
    };
    list.findings.push(Finding::new(
        severity,
        Rule::Pinned,
        name,
        Place::Value(0),
        format!("{what} for the whole job, at every size"),
        format!("use {instead}"),
    ));
    list.findings
}

/// Everything to say about a protocol list on its own. `pcie_only`: no GPU pair has NVLink, where
/// NCCL itself would never use LL128 (src/graph/tuning.cc: only up to PATH_NVB inside a node).
pub(super) fn check_protocols(text: &str, version: NcclVersion, pcie_only: bool) -> Vec<Finding> {
    const NAME: &str = "NCCL_PROTO";
    let mut list = read::<Protocol>(NAME, text, version);
    let forced = (0..FUNCTIONS.len())
        .find(|f| list.touched[*f] && list.enabled[*f].contains(&Protocol::Ll128));
    if let Some(function) = forced {
        let how = if text.to_ascii_uppercase().contains("LL128") {
            "LL128 is named"
        } else {
            "excluding others leaves LL128 in by name"
        };
        list.findings.push(Finding::new(
            if pcie_only { Severity::Error } else { Severity::Warning },
            Rule::Hazard,
            NAME,
            Place::Value(list.at[function]),
            format!(
                "{how}, which skips NCCL's check that the platform can run it: data is silently corrupted where it cannot{}",
                if pcie_only { ", and this platform has no NVLink" } else { "" }
            ),
            "exclude LL128 too (^LL,LL128), or leave NCCL_PROTO unset: NCCL then uses LL128 where it is safe",
        ));
    }
    if list.findings.is_empty() {
        for (index, function) in FUNCTIONS.into_iter().enumerate() {
            if list.touched[index] && list.enabled[index].is_empty() {
                list.findings.push(Finding::new(
                    Severity::Error,
                    Rule::Hazard,
                    NAME,
                    Place::Value(list.at[index]),
                    format!("no protocol is left for {function}: such calls fail"),
                    "leave at least Simple in",
                ));
            }
        }
    }
    pinned(
        NAME,
        list,
        "a tuner plugin's choice per size; pin a protocol only to track down a fault",
    )
}
