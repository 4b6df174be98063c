//! One claim of a model that rules hold more widely, and whether those rules speak for it.
//!
//! How far a claim may go beyond what the rules know is our judgement, chosen and not measured.

use std::collections::BTreeSet;

use ccl_core::knobs::NEWEST_KNOWN;
use ccl_core::{Choice, Interval, NcclVersion, SizeBucket, TaskKey, format_bytes};
use ccl_memory::{Change, Generalisation, Reach, RuleRecord, VersionRange};
use schemars::JsonSchema;
use serde::Deserialize;
use thiserror::Error;

use crate::tools::{same_words, shortened, words};

/// Factors of two that sizes may reach beyond those of the rules, on either side.
const SIZES_BEYOND: u8 = 1;
/// Factors of two between the smallest and the largest size: a store finds no rule that is further than three from its
/// key, which lies in the middle.
const MOST_SIZES: u8 = 6;
/// Factor that nodes may reach beyond those of the rules, on either side.
const NODES_BEYOND: u32 = 2;
/// Minor releases that versions may reach beyond those of the rules, on either side.
const RELEASES_BEYOND: u16 = 2;

/// What a model claims.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Claim {
    /// Ids of the rules it rests on, such as R1.
    pub(super) rules: Vec<String>,
    /// The change, exactly as those rules have it.
    pub(super) change: String,
    /// Why it should hold more widely, in one sentence.
    words: String,
    /// Whether it is meant for every workload.
    #[serde(default)]
    any_workload: bool,
    /// Smallest and largest size of a call, bytes; null: those of the rules.
    #[serde(default)]
    sizes: Option<[u64; 2]>,
    /// Fewest and most nodes; null: those of the rules.
    #[serde(default)]
    nodes: Option<[u32; 2]>,
    /// Oldest and newest release of NCCL; null: those of the rules.
    #[serde(default)]
    versions: Option<[NcclVersion; 2]>,
}

/// Why a sentence or a generalisation is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unfounded {
    /// A rule that was not shown.
    #[error("there is no rule {0:?}")]
    NoRule(String),
    /// Nothing to rest on.
    #[error("it rests on no rule")]
    RestsOnNothing,
    /// A rule about a failure: what may be the reason is the guard's to say.
    #[error("{0} tells of a failure")]
    Failure(String),
    /// Rules that do not say the same.
    #[error("the rules are not of one kind: they differ in {0}")]
    Mixed(&'static str),
    /// Another change than the rules hold.
    #[error("the rules hold {held}, not {asked:?}")]
    OtherChange {
        /// What they hold.
        held: String,
        /// What was named.
        asked: String,
    },
    /// One rule, carried further than one can tell.
    #[error("one rule alone cannot tell of {0}: it takes two that agree")]
    OneRule(&'static str),
    /// Part of what the rules know lies outside.
    #[error("{0} do not contain those of the rules")]
    Outside(&'static str),
    /// Further than anything that the rules know speaks for.
    #[error("{0} reach too far beyond those of the rules")]
    TooFar(&'static str),
    /// Not a generalisation at all.
    #[error("it is no wider than the rule it rests on")]
    NoWider,
    /// No words.
    #[error("it has no words")]
    NoWords,
    /// A number in the words that no rule holds.
    #[error("{0:?} in its words stands in none of the rules")]
    Figure(String),
}

impl Claim {
    /// The generalisation, if the rules speak for it.
    pub(super) fn draw(&self, shown: &[RuleRecord], by: &str) -> Result<RuleRecord, Unfounded> {
        let found: Result<Vec<_>, _> = self.rules.iter().map(|id| find(id, shown)).collect();
        let mut rests_on = found?;
        rests_on.sort_by_key(|rule| rule.id());
        rests_on.dedup_by_key(|rule| rule.id());
        let first = *rests_on.first().ok_or(Unfounded::RestsOnNothing)?;
        are_of_one_kind(&rests_on, first)?;
        if !same_words(&self.change, &held(&first.change)) {
            return Err(Unfounded::OtherChange {
                held: held(&first.change),
                asked: brief(&self.change),
            });
        }
        let sizes = self.sizes(&rests_on)?;
        let nodes = self.nodes(&rests_on)?;
        let versions = self.versions(first)?;
        let is_alone = rests_on.len() == 1;
        match (is_alone, self.any_workload, versions.is_some()) {
            (true, true, true) => return Err(Unfounded::OneRule("workloads and releases at once")),
            (true, false, false) => return Err(Unfounded::NoWider),
            _ => {}
        }
        let reach = Reach { sizes, nodes };
        let asked = format!(
            "{reach} {}",
            versions.map_or(String::new(), |v| format!("{} {}", v.from, v.to))
        );
        let mut generalised = Generalisation::new(by, &sentence(&self.words, &rests_on, &asked)?);
        generalised.reach = reach;
        generalised.rests_on = rests_on.iter().map(|rule| rule.id()).collect();
        let mut context = first.context.clone();
        if self.any_workload {
            context.workload = String::new();
        }
        let evidence: BTreeSet<_> = rests_on.iter().flat_map(|r| r.evidence.clone()).collect();
        let change = widened(&rests_on, first, sizes);
        Ok(RuleRecord {
            ratio: widest(&rests_on),
            pairs: rests_on.iter().map(|r| r.pairs).sum(),
            evidence: evidence.into_iter().collect(),
            wins: 0,
            versions: versions.or(first.versions),
            generalised: Some(generalised),
            ..RuleRecord::new(first.kind, context, change, first.source, &first.run_id)
        })
    }

    /// The sizes it is meant for, where they are more than one rule's.
    fn sizes(&self, rests_on: &[&RuleRecord]) -> Result<Option<[SizeBucket; 2]>, Unfounded> {
        const WHAT: &str = "sizes";
        let known = span(rests_on.iter().filter_map(|r| Some(r.call()?.0.bucket)));
        let (Some([least, most]), asked) = (known, self.sizes) else {
            return match self.sizes {
                Some(_) => Err(Unfounded::TooFar(WHAT)),
                None => Ok(None),
            };
        };
        let [from, to] = asked.map_or([least, most], |ends| ends.map(SizeBucket::of));
        if from > least || to < most {
            return Err(Unfounded::Outside(WHAT));
        }
        if rests_on.len() == 1 && from != to {
            return Err(Unfounded::OneRule("other sizes"));
        }
        let is_far = least.0 - from.0 > SIZES_BEYOND || to.0 - most.0 > SIZES_BEYOND;
        if is_far || to.0 - from.0 > MOST_SIZES {
            return Err(Unfounded::TooFar(WHAT));
        }
        Ok((from != to).then_some([from, to]))
    }

    /// The nodes it is meant for, where they are more than one rule's. Inside a node other links limit than between
    /// nodes, so neither tells of the other.
    fn nodes(&self, rests_on: &[&RuleRecord]) -> Result<Option<[u32; 2]>, Unfounded> {
        const WHAT: &str = "nodes";
        let of_rule = |r: &&RuleRecord| match r.change {
            Change::Call { key, .. } => key.shape.nodes,
            Change::Variable { .. } => r.context.nodes,
        };
        let Some([least, most]) = span(rests_on.iter().map(of_rule)) else {
            return Ok(None);
        };
        let [from, to] = self.nodes.unwrap_or([least, most]);
        if from > least || to < most {
            return Err(Unfounded::Outside(WHAT));
        }
        if rests_on.len() == 1 && from != to {
            return Err(Unfounded::OneRule("other numbers of nodes"));
        }
        let is_far =
            from.saturating_mul(NODES_BEYOND) < least || to > most.saturating_mul(NODES_BEYOND);
        let crosses = (from > 1) != (least > 1) || (to > 1) != (most > 1);
        if is_far || crosses {
            return Err(Unfounded::TooFar(WHAT));
        }
        Ok((from != to).then_some([from, to]))
    }

    /// The releases it is meant for, where they are more than the rules'.
    fn versions(&self, first: &RuleRecord) -> Result<Option<VersionRange>, Unfounded> {
        const WHAT: &str = "releases";
        let Some([from, to]) = self.versions else {
            return Ok(None);
        };
        let known = first.known_versions();
        if from > known.from || to < known.to {
            return Err(Unfounded::Outside(WHAT));
        }
        let is_near = |a: NcclVersion, b: NcclVersion| {
            a.major == b.major && a.minor.abs_diff(b.minor) <= RELEASES_BEYOND
        };
        let is_known = to <= NEWEST_KNOWN.max(known.to);
        if !(is_near(from, known.from) && is_near(to, known.to) && is_known) {
            return Err(Unfounded::TooFar(WHAT));
        }
        Ok((from < known.from || to > known.to).then_some(VersionRange { from, to }))
    }
}

/// The rule of an id such as `R1`.
pub(super) fn find<'r>(id: &str, shown: &'r [RuleRecord]) -> Result<&'r RuleRecord, Unfounded> {
    let number = id.trim().trim_start_matches(['R', 'r']).parse::<usize>();
    let index = number.ok().and_then(|n| n.checked_sub(1));
    let found = index.and_then(|index| shown.get(index));
    found.ok_or_else(|| Unfounded::NoRule(brief(id)))
}

/// Whether rules say the same of one kind of call or one variable, in one place.
fn are_of_one_kind(rules: &[&RuleRecord], first: &RuleRecord) -> Result<(), Unfounded> {
    for rule in rules {
        if rule.failure.is_some() {
            return Err(Unfounded::Failure(rule.id()));
        }
        let of_calls = |r: &RuleRecord| {
            r.call()
                .map(|(key, _)| (key.collective, key.shape.ranks_per_node()))
        };
        let differs = [
            (rule.kind != first.kind, "what they say"),
            (rule.generalised != first.generalised, "who came to them"),
            (
                rule.context != first.context || rule.source != first.source,
                "where they were learnt",
            ),
            (
                of_calls(rule) != of_calls(first),
                "the calls they are about",
            ),
            (held(&rule.change) != held(&first.change), "the change"),
        ];
        if let Some((_, what)) = differs.iter().find(|(differs, _)| *differs) {
            return Err(Unfounded::Mixed(what));
        }
    }
    Ok(())
}

/// A change without what it is about.
pub(super) fn held(change: &Change) -> String {
    match change {
        Change::Call { choice, .. } => choice.to_string(),
        Change::Variable { name, value, .. } => format!("{name}={value}"),
    }
}

/// The change of the rules, about a key in the middle of the sizes, against what all of them were compared with.
fn widened(rests_on: &[&RuleRecord], first: &RuleRecord, sizes: Option<[SizeBucket; 2]>) -> Change {
    let Change::Call {
        key,
        choice,
        against,
    } = first.change
    else {
        return first.change.clone();
    };
    let bucket = sizes.map_or(key.bucket, |[from, to]| SizeBucket(from.0.midpoint(to.0)));
    let same = |r: &&RuleRecord| r.call_against() == against;
    let against: Option<Choice> = against.filter(|_| rests_on.iter().all(same));
    Change::Call {
        key: TaskKey { bucket, ..key },
        choice,
        against,
    }
}

/// The widest interval of the rules, with the median that promises least; nothing where one of them has none.
fn widest(rules: &[&RuleRecord]) -> Option<Interval> {
    let ratios: Option<Vec<Interval>> = rules.iter().map(|r| r.ratio).collect();
    ratios?.into_iter().reduce(|a, b| Interval {
        median: match (a.median - 1.0).abs() <= (b.median - 1.0).abs() {
            true => a.median,
            false => b.median,
        },
        ci95: [a.ci95[0].min(b.ci95[0]), a.ci95[1].max(b.ci95[1])],
    })
}

fn span<T: Ord + Copy>(values: impl Iterator<Item = T> + Clone) -> Option<[T; 2]> {
    Some([values.clone().min()?, values.max()?])
}

/// Words as they are kept: on one line, and without a number that neither the rules nor the claim holds.
pub(super) fn sentence(
    text: &str,
    rests_on: &[&RuleRecord],
    claimed: &str,
) -> Result<String, Unfounded> {
    let text = words(text);
    if text.is_empty() {
        return Err(Unfounded::NoWords);
    }
    let mut known = numbers(claimed);
    for rule in rests_on {
        known.extend(numbers(&rule.id()));
        known.extend(numbers(&rule.statement()));
        if let Some((key, _)) = rule.call() {
            known.extend(numbers(&format_bytes(key.bucket.max_bytes())));
        }
    }
    match numbers(&text).into_iter().find(|n| !known.contains(n)) {
        Some(number) => Err(Unfounded::Figure(number)),
        None => Ok(text),
    }
}

/// The numbers of a text, as they are written.
fn numbers(text: &str) -> BTreeSet<String> {
    let parts = text.split(|c: char| !(c.is_numeric() || c == '.'));
    let plain = parts.map(|part| part.trim_matches('.').to_owned());
    plain.filter(|part| !part.is_empty()).collect()
}

/// What a model named, fit to be written down.
pub(super) fn brief(text: &str) -> String {
    shortened(&words(text))
}
