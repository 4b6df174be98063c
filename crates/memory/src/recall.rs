//! Which rules are worth hearing here, in which order, and why: one function over candidate rows, so that every
//! store recalls the same.
//!
//! A rule's score is the product of how alike the places are ([`Likeness`](crate::likeness)) and of how far it can
//! be trusted: the mean of a Beta distribution that begins with one success and one failure (Laplace's rule of
//! succession), to which runs that came to the rule count as successes, and runs that found otherwise, or came to
//! the opposite, as failures. So rules that contradict each other both lose, until runs decide.

use std::ops::RangeInclusive;

use ccl_core::{Collective, ContextSignature, Interval, Source, TaskKey};
use jiff::civil::Date;
use serde::Serialize;

use crate::likeness::{Likeness, MOST_BUCKETS};
use crate::{Change, RuleKind, RuleRecord};

/// A rule below this likeness is not recalled.
const LEAST_LIKENESS: f64 = 0.05;
/// What a rule of another source is worth: a model, or another day's record, is not this machine.
const OTHER_SOURCE: f64 = 0.5;

/// What is asked: what is known about this job.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Where.
    pub context: ContextSignature,
    /// The job's keys; without any only rules about the whole job are recalled.
    pub keys: Vec<TaskKey>,
    /// The day: what has expired is not recalled.
    pub today: Date,
    /// Only rules that say this; `None` is both.
    pub kind: Option<RuleKind>,
    /// Most rules to recall.
    pub limit: usize,
}

/// A row that may rank: a rule, and how much speaks against it.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The rule.
    pub rule: RuleRecord,
    /// Runs that came to a rule that contradicts it.
    pub opposed: u32,
}

impl Candidate {
    /// The chance that the rule holds where it was learnt, 0..=1.
    pub fn confidence(&self) -> f64 {
        let (wins, against) = (f64::from(self.rule.wins), f64::from(self.against()));
        (wins + 1.0) / (wins + against + 2.0)
    }

    fn against(&self) -> u32 {
        self.rule.losses.saturating_add(self.opposed)
    }

    fn confidence_in_words(&self) -> String {
        let runs = |n: u32| match n {
            1 => "1 run".to_owned(),
            n => format!("{n} runs"),
        };
        let mut words = match self.rule.wins {
            0 => "no run came to it".to_owned(),
            n => format!("{} came to it", runs(n)),
        };
        if self.rule.losses > 0 {
            words.push_str(&format!(", {} found otherwise", runs(self.rule.losses)));
        }
        if self.opposed > 0 {
            words.push_str(&format!(", {} came to the opposite", runs(self.opposed)));
        }
        if self.rule.is_unconfirmed() {
            words.push_str(", generalised and not confirmed");
        }
        format!("{words}: confidence {:.2}", self.confidence())
    }
}

/// A rule that was recalled.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recalled {
    /// The rule.
    pub rule: RuleRecord,
    /// The key of the job it speaks about, which need not be the one it was learnt of; `None` where it is about
    /// the whole job.
    pub key: Option<TaskKey>,
    /// How alike the places are, 0..=1; 1 where nothing differs.
    pub likeness: f64,
    /// The chance that it holds where it was learnt, 0..=1.
    pub confidence: f64,
    /// The product of both.
    pub score: f64,
    /// Runs that found otherwise, or came to a rule that contradicts it.
    pub against: u32,
    /// Why, in words.
    pub reasons: String,
}

impl Recalled {
    /// The share of the rule's effect that is to be expected here, 0..=1: all of it where nothing differs and
    /// nobody found otherwise.
    pub fn expected_share(&self) -> f64 {
        let runs = f64::from(self.rule.wins) + 2.0;
        self.likeness * runs / (runs + f64::from(self.against))
    }
}

/// What another source than the run's own has to say: a guess to begin with, and nothing that was measured.
///
/// Deliberately no [`RuleRecord`]: nothing that takes rules takes this.
#[derive(Clone, Debug, PartialEq)]
pub struct Prior {
    /// Where its figures come from: not from where the run's do.
    pub source: Source,
    /// What the rule says of the change.
    pub kind: RuleKind,
    /// The change.
    pub change: Change,
    /// The key of the job it speaks about; `None` where it is about the whole job.
    pub key: Option<TaskKey>,
    /// Time ratio, where it was timed.
    pub ratio: Option<Interval>,
    /// The rule in a sentence, its source included.
    pub statement: String,
    /// What it is worth, 0..=1: less than any rule of the run's own source in the same place.
    pub score: f64,
    /// Why, in words.
    pub reasons: String,
}

impl Prior {
    pub(crate) fn of(recalled: Recalled) -> Self {
        let Recalled {
            rule,
            key,
            score,
            reasons,
            ..
        } = recalled;
        Self {
            source: rule.source,
            kind: rule.kind,
            key,
            ratio: rule.ratio,
            statement: rule.statement(),
            score: OTHER_SOURCE * score,
            reasons: format!("{}, not from here: {reasons}", rule.source),
            change: rule.change,
        }
    }
}

/// Ranks candidates for a query: best score first, equal ones by name.
pub fn rank(query: &Query, candidates: Vec<Candidate>) -> Vec<Recalled> {
    let mut ranked: Vec<(f64, f64, Option<TaskKey>, String, Candidate)> = candidates
        .into_iter()
        .filter(|c| query.kind.is_none_or(|kind| c.rule.kind == kind))
        .filter(|c| c.rule.expires.is_none_or(|last| query.today <= last))
        .filter_map(|candidate| {
            let likeness = best_likeness(&candidate.rule, query)?;
            let (weight, key) = (likeness.weight(), likeness.key());
            let score = weight * candidate.confidence();
            (weight >= LEAST_LIKENESS).then(|| (score, weight, key, candidate.rule.id(), candidate))
        })
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.3.cmp(&b.3)));
    ranked.truncate(query.limit);
    let recalled = ranked
        .into_iter()
        .filter_map(|(score, weight, key, _, candidate)| {
            let words = Likeness::of(&candidate.rule, &query.context, key)?.in_words();
            let words = words.join("; ");
            Some(Recalled {
                key,
                likeness: weight,
                confidence: candidate.confidence(),
                score,
                against: candidate.against(),
                reasons: format!(
                    "{words}: weight {weight:.2}; {}",
                    candidate.confidence_in_words()
                ),
                rule: candidate.rule,
            })
        });
    recalled.collect()
}

/// Of the job's keys the one most like the rule's, the first of equals.
fn best_likeness<'a>(rule: &'a RuleRecord, query: &'a Query) -> Option<Likeness<'a>> {
    let here = &query.context;
    if rule.call().is_none() {
        return Likeness::of(rule, here, None);
    }
    let mut best: Option<Likeness> = None;
    for &key in &query.keys {
        let Some(found) = Likeness::of(rule, here, Some(key)) else {
            continue;
        };
        let better = |best: &Likeness| match found.weight().total_cmp(&best.weight()) {
            std::cmp::Ordering::Equal => found.key() < best.key(),
            order => order.is_gt(),
        };
        if best.as_ref().is_none_or(better) {
            best = Some(found);
        }
    }
    best
}

/// The buckets of each collective in which a rule may rank for one of these keys: disjoint, none left out.
pub(crate) fn windows(keys: &[TaskKey]) -> Vec<(Collective, RangeInclusive<u8>)> {
    let mut all: Vec<(Collective, u8)> = keys.iter().map(|k| (k.collective, k.bucket.0)).collect();
    all.sort_unstable();
    all.dedup();
    let mut windows: Vec<(Collective, RangeInclusive<u8>)> = Vec::new();
    for (collective, bucket) in all {
        let (first, last) = (
            bucket.saturating_sub(MOST_BUCKETS),
            bucket.saturating_add(MOST_BUCKETS),
        );
        match windows.last_mut() {
            Some((c, window)) if *c == collective && first <= window.end().saturating_add(1) => {
                *window = *window.start()..=last;
            }
            _ => windows.push((collective, first..=last)),
        }
    }
    windows
}

#[cfg(test)]
mod tests;
