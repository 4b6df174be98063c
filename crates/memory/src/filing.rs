//! How what a run leaves is put among what is known, within one transaction.

use std::collections::BTreeSet;

use ccl_core::Source;

use crate::contradiction::{contradicts, subject};
use crate::rows::{Found, Kind, Rows, Select};
use crate::stored::{Stored, check_source};
use crate::{
    Contradiction, Generalisation, Judgement, Lessons, MemoryError, RuleRecord, ScoreRecord,
    VersionRange,
};

/// Files everything.
pub(crate) fn learn(rows: &mut dyn Rows, lessons: &Lessons) -> Result<(), MemoryError> {
    let source = lessons.source;
    put_all(rows, source, &lessons.run.iter().collect::<Vec<_>>())?;
    put_all(rows, source, &lessons.trials.iter().collect::<Vec<_>>())?;
    put_all(rows, source, &lessons.evidence.iter().collect::<Vec<_>>())?;
    put_all(rows, source, &lessons.surrogates.iter().collect::<Vec<_>>())?;
    put_all(
        rows,
        source,
        &lessons.importances.iter().collect::<Vec<_>>(),
    )?;
    add_scores(rows, source, &lessons.scores)?;
    let mut touched = BTreeSet::new();
    for judgement in &lessons.judgements {
        if let Some(rule) = judge(rows, lessons, judgement)? {
            touched.insert(subject(&rule));
        }
    }
    for rule in &lessons.rules {
        check_source(source, rule)?;
        let known = find_rule(rows, source, &RuleRecord::id(rule))?;
        let mut filed = rule.clone();
        if let Some(known) = known {
            filed.wins = filed.wins.saturating_add(known.wins);
            filed.losses = filed.losses.saturating_add(known.losses);
            filed.created = known.created;
            filed.versions = union(known.versions, filed.versions);
            filed.generalised = Generalisation::merged(known.generalised, filed.generalised);
        }
        filed.created = filed.created.or(Some(lessons.today));
        filed.last_use = Some(lessons.today);
        rows.put(&filed.row()?)?;
        touched.insert(subject(rule));
    }
    weigh(rows, source, &touched)
}

fn put_all<T: Stored>(
    rows: &mut dyn Rows,
    source: Source,
    records: &[&T],
) -> Result<(), MemoryError> {
    for &record in records {
        check_source(source, record)?;
        rows.put(&record.row()?)?;
    }
    Ok(())
}

/// The rule of this name, if there is one.
pub(crate) fn find_rule(
    rows: &mut dyn Rows,
    source: Source,
    id: &str,
) -> Result<Option<RuleRecord>, MemoryError> {
    let found = rows.find(&Select {
        id: Some(id),
        ..Select::all(Kind::Rule, source)
    })?;
    found.first().map(RuleRecord::read).transpose()
}

/// Both ranges, and what lies between.
pub(crate) fn union(a: Option<VersionRange>, b: Option<VersionRange>) -> Option<VersionRange> {
    match (a, b) {
        (Some(a), Some(b)) => Some(VersionRange {
            from: a.from.min(b.from),
            to: a.to.max(b.to),
        }),
        (a, b) => a.or(b),
    }
}

/// Books what a run found of a rule; a rule that is gone by now has nothing to book.
fn judge(
    rows: &mut dyn Rows,
    lessons: &Lessons,
    judgement: &Judgement,
) -> Result<Option<RuleRecord>, MemoryError> {
    let Some(mut rule) = find_rule(rows, lessons.source, &judgement.rule)? else {
        return Ok(None);
    };
    rule.last_use = Some(lessons.today);
    if judgement.holds {
        let (known, here) = (rule.known_versions(), judgement.nccl_version);
        rule.wins = rule.wins.saturating_add(1);
        rule.versions = Some(VersionRange {
            from: known.from.min(here),
            to: known.to.max(here),
        });
        if let Some(generalised) = &mut rule.generalised {
            generalised.confirmed = true;
        }
    } else {
        rule.losses = rule.losses.saturating_add(1);
    }
    rows.put(&rule.row()?)?;
    Ok(Some(rule))
}

/// Scores add up, and what is known of the same machine fades a little first.
fn add_scores(
    rows: &mut dyn Rows,
    source: Source,
    scores: &[ScoreRecord],
) -> Result<(), MemoryError> {
    let places: BTreeSet<String> = scores
        .iter()
        .map(|s| crate::place::machine(&s.context.place))
        .collect();
    for place in &places {
        let known = rows.find(&Select {
            place: Some(place),
            ..Select::all(Kind::Score, source)
        })?;
        for found in &known {
            rows.put(&ScoreRecord::read(found)?.faded().row()?)?;
        }
    }
    for score in scores {
        check_source(source, score)?;
        let known = rows.find(&Select {
            id: Some(&score.id()),
            ..Select::all(Kind::Score, source)
        })?;
        let mut score = score.clone();
        if let Some(known) = known.first().map(ScoreRecord::read).transpose()? {
            score.held += known.held;
            score.failed += known.failed;
        }
        rows.put(&score.row()?)?;
    }
    Ok(())
}

/// Books anew, for all rules with these subjects, how many runs came to what contradicts them.
pub(crate) fn weigh(
    rows: &mut dyn Rows,
    source: Source,
    subjects: &BTreeSet<String>,
) -> Result<(), MemoryError> {
    for subject in subjects {
        let found = of_subject(rows, source, subject)?;
        for (known, rule) in &found {
            let opponents = found.iter().filter(|(_, other)| contradicts(rule, other));
            let opposed = opponents.fold(0_u32, |sum, (_, o)| sum.saturating_add(o.wins));
            if opposed != known.opposed {
                let row = rule.row()?;
                rows.put(&crate::rows::Row { opposed, ..row })?;
            }
        }
    }
    Ok(())
}

fn of_subject(
    rows: &mut dyn Rows,
    source: Source,
    subject: &str,
) -> Result<Vec<(Found, RuleRecord)>, MemoryError> {
    let found = rows.find(&Select {
        subject: Some(subject),
        ..Select::all(Kind::Rule, source)
    })?;
    let read = |found: Found| Ok((found.clone(), RuleRecord::read(&found)?));
    found.into_iter().map(read).collect()
}

/// Every pair of rules that cannot both be right.
pub(crate) fn contradictions(
    rows: &mut dyn Rows,
    source: Source,
) -> Result<Vec<Contradiction>, MemoryError> {
    let all = rows.find(&Select::all(Kind::Rule, source))?;
    let opposed = all.iter().filter(|found| found.opposed > 0);
    let subjects: Result<BTreeSet<String>, MemoryError> = opposed
        .map(|found| Ok(subject(&RuleRecord::read(found)?)))
        .collect();
    let mut pairs = BTreeSet::new();
    for subject in subjects? {
        let found = of_subject(rows, source, &subject)?;
        for (i, (one, a)) in found.iter().enumerate() {
            for (other, b) in &found[i + 1..] {
                if contradicts(a, b) {
                    pairs.insert(Contradiction {
                        one: one.id.clone().min(other.id.clone()),
                        other: one.id.clone().max(other.id.clone()),
                    });
                }
            }
        }
    }
    Ok(pairs.into_iter().collect())
}
