//! Which rules are worth hearing here, in which order, and why: one function for every store, so that all
//! recall the same.
//!
//! A rule's score is the product of how alike the places are ([`Likeness`](crate::likeness)) and of how far it can
//! be trusted: the mean of a Beta distribution that begins with one success and one failure (Laplace's rule of
//! succession), to which runs that came to the rule count as successes, and runs that found otherwise, or came to
//! the opposite, as failures. A generalisation counts for less until a run comes to it. So rules that contradict each other both lose, until runs decide.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use ccl_core::{Collective, ContextSignature, Interval, Source, TaskKey};
use jiff::civil::Date;
use serde::Serialize;

use crate::likeness::{Likeness, MOST_BUCKETS};
use crate::place::machine;
use crate::signature::Signature;
use crate::{Change, RuleKind, RuleRecord};

/// A rule below this likeness is not recalled.
const LEAST_LIKENESS: f64 = 0.05;
/// What a rule of another source is worth: a model, or another day's record, is not this machine.
const OTHER_SOURCE: f64 = 0.5;

/// What a generalisation is worth that no run came to: less than any rule of a run in the same place. Chosen so that
/// one run that found otherwise makes it no reason to try anything (0.6 x 2/3 < 0.5).
const UNCONFIRMED: f64 = 0.6;

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

/// A rule that may rank, and how much speaks against it.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The rule.
    pub rule: RuleRecord,
    /// Runs that came to a rule that contradicts it.
    pub opposed: u32,
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
    /// The product of both; less where it is a generalisation that no run came to.
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
        let weight = worth(self.rule.is_unconfirmed());
        weight * self.likeness * runs / (runs + f64::from(self.against))
    }
}

/// What another source than the run's own has to say: a guess to begin with, and nothing that was measured.
///
/// Deliberately no [`RuleRecord`]: nothing that takes rules takes this.
#[derive(Clone, Debug, PartialEq, Serialize)]
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

/// Ranks rules for a query: best score first, equal ones by name.
pub fn rank(query: &Query, candidates: &[Candidate]) -> Vec<Recalled> {
    let machine = machine(&query.context);
    let mut shortlist = Shortlist::new(query);
    let of_machine = candidates
        .iter()
        .filter(|c| crate::place::machine(&c.rule.context) == machine);
    let named: BTreeMap<String, &Candidate> = of_machine.map(|c| (c.rule.id(), c)).collect();
    for (id, candidate) in &named {
        shortlist.offer(id, candidate.opposed, &Signature::of(&candidate.rule));
    }
    let listed = shortlist.finish().into_iter();
    let told = listed.filter_map(|l| l.recalled(query, named.get(&l.id)?.rule.clone()));
    told.collect()
}

/// The best of what was offered so far, by what ranking needs to know and no more.
pub(crate) struct Shortlist<'a> {
    query: &'a Query,
    best: Vec<Listed>,
    /// The least that still ranks.
    bar: f64,
}

/// A rule of the list, by name.
pub(crate) struct Listed {
    pub(crate) id: String,
    score: f64,
    likeness: f64,
    key: Option<TaskKey>,
    opposed: u32,
}

impl<'a> Shortlist<'a> {
    pub(crate) fn new(query: &'a Query) -> Self {
        Self {
            query,
            best: Vec::new(),
            bar: 0.0,
        }
    }

    /// Considers a rule of the query's machine.
    pub(crate) fn offer(&mut self, id: &str, opposed: u32, rule: &Signature) {
        let query = self.query;
        let is_wanted = query.kind.is_none_or(|kind| rule.kind == kind)
            && rule.expires.is_none_or(|last| query.today <= last);
        if !is_wanted {
            return;
        }
        let Some(likeness) = best_likeness(rule, query) else {
            return;
        };
        let weight = likeness.weight();
        let trusted = confidence(rule.wins, rule.losses.saturating_add(opposed));
        let score = weight * trusted * worth(rule.is_unconfirmed);
        if weight < LEAST_LIKENESS || score < self.bar {
            return;
        }
        self.best.push(Listed {
            id: id.to_owned(),
            score,
            likeness: weight,
            key: likeness.key(),
            opposed,
        });
        if self.best.len() > 2 * query.limit + 1 {
            self.prune();
        }
    }

    fn prune(&mut self) {
        self.best
            .sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.id.cmp(&b.id)));
        self.best.truncate(self.query.limit);
        if let Some(last) = self.best.get(self.query.limit.saturating_sub(1)) {
            self.bar = last.score;
        }
    }

    /// The best, best first.
    pub(crate) fn finish(mut self) -> Vec<Listed> {
        self.prune();
        self.best
    }
}

impl Listed {
    /// With the rule of this name, and why it is here.
    pub(crate) fn recalled(&self, query: &Query, rule: RuleRecord) -> Option<Recalled> {
        let signature = Signature::of(&rule);
        let words = Likeness::of(&signature, &query.context, self.key)?.in_words();
        let weight = self.likeness;
        let reasons = format!(
            "{}: weight {weight:.2}; {}",
            words.join("; "),
            confidence_in_words(&rule, self.opposed)
        );
        let against = rule.losses.saturating_add(self.opposed);
        Some(Recalled {
            key: self.key,
            likeness: weight,
            confidence: confidence(rule.wins, against),
            score: self.score,
            against,
            reasons,
            rule,
        })
    }
}

fn worth(is_unconfirmed: bool) -> f64 {
    match is_unconfirmed {
        true => UNCONFIRMED,
        false => 1.0,
    }
}

/// The chance that a rule holds where it was learnt, 0..=1.
fn confidence(wins: u32, against: u32) -> f64 {
    let (wins, against) = (f64::from(wins), f64::from(against));
    (wins + 1.0) / (wins + against + 2.0)
}

fn confidence_in_words(rule: &RuleRecord, opposed: u32) -> String {
    let runs = |n: u32| match n {
        1 => "1 run".to_owned(),
        n => format!("{n} runs"),
    };
    let mut words = match rule.wins {
        0 => "no run came to it".to_owned(),
        n => format!("{} came to it", runs(n)),
    };
    if rule.losses > 0 {
        words.push_str(&format!(", {} found otherwise", runs(rule.losses)));
    }
    if opposed > 0 {
        words.push_str(&format!(", {} came to the opposite", runs(opposed)));
    }
    if rule.is_unconfirmed() {
        words.push_str(", generalised by a model or a person and not confirmed");
    }
    let confidence = confidence(rule.wins, rule.losses.saturating_add(opposed));
    format!("{words}: confidence {confidence:.2}")
}

/// Of the job's keys the one most like the rule's, the first of equals.
fn best_likeness<'a>(rule: &'a Signature<'a>, query: &'a Query) -> Option<Likeness<'a>> {
    let here = &query.context;
    if rule.key.is_none() {
        return Likeness::of(rule, here, None);
    }
    let mut best: Option<(f64, Likeness)> = None;
    for &key in &query.keys {
        let Some(found) = Likeness::of(rule, here, Some(key)) else {
            continue;
        };
        let weight = found.weight();
        let is_better = best
            .as_ref()
            .is_none_or(|(most, best)| match weight.total_cmp(most) {
                std::cmp::Ordering::Equal => found.key() < best.key(),
                order => order.is_gt(),
            });
        if is_better {
            best = Some((weight, found));
        }
    }
    best.map(|(_, likeness)| likeness)
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
