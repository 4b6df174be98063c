//! Everything out of a store, and into another: one JSON object a line.
//!
//! Importing never overwrites. A rule that is known on both sides takes the larger counts and the newer figures,
//! and joins what is known of releases; anything else that is here stays as it is. So one import after another gives
//! the same in any order of equal age, and the same import twice gives nothing new.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::path::Path;

use crate::contradiction::subject;
use crate::error::MemoryError;
use crate::filing::{find_rule, union, weigh};
use crate::rows::{Kind, Origin, Rows, Select};
use crate::stored::Stored;
use crate::{Generalisation, Record, RuleRecord};

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Records that were not here.
    pub added: usize,
    /// Rules that both sides knew and that changed by it.
    pub merged: usize,
    /// Records that stayed as they were.
    pub kept: usize,
}

/// Writes records, one a line.
///
/// # Errors
/// What the writer says.
pub fn write_lines(records: &[Record], to: &mut dyn Write) -> std::io::Result<()> {
    for record in records {
        serde_json::to_writer(&mut *to, record)?;
        to.write_all(b"\n")?;
    }
    Ok(())
}

/// Reads records, one a line; empty lines are skipped. `file` is the name for errors.
///
/// # Errors
/// The first line that cannot be read, or is no record.
pub fn read_lines(file: &Path, from: &mut dyn BufRead) -> Result<Vec<Record>, MemoryError> {
    let mut records = Vec::new();
    for (index, line) in from.lines().enumerate() {
        let line = line.map_err(|error| MemoryError::Io {
            path: file.to_owned(),
            error,
        })?;
        if line.trim().is_empty() {
            continue;
        }
        let record = serde_json::from_str(&line).map_err(|error| {
            // It names the place itself, taking the line to be a whole file.
            let said = error.to_string();
            let reason = said
                .rsplit_once(" at line ")
                .map_or(&*said, |(what, _)| what);
            MemoryError::Line {
                file: file.to_owned(),
                line: index + 1,
                column: error.column(),
                reason: reason.to_owned(),
            }
        })?;
        records.push(record);
    }
    Ok(records)
}

/// All records, kind by kind, source by source, by name.
pub(crate) fn export(rows: &mut dyn Rows) -> Result<Vec<Record>, MemoryError> {
    let mut records = Vec::new();
    for kind in Kind::ALL {
        for origin in Origin::ALL {
            for found in rows.find(&Select::all(kind, origin))? {
                let found = &found;
                records.push(match kind {
                    Kind::Rule => Record::Rule(Box::new(Stored::read(found)?)),
                    Kind::Run => Record::Run(Box::new(Stored::read(found)?)),
                    Kind::Trial => Record::Trial(Box::new(Stored::read(found)?)),
                    Kind::Evidence => Record::Evidence(Box::new(Stored::read(found)?)),
                    Kind::Score => Record::Score(Box::new(Stored::read(found)?)),
                    Kind::Surrogate => Record::Surrogate(Box::new(Stored::read(found)?)),
                    Kind::Importance => Record::Importance(Box::new(Stored::read(found)?)),
                    Kind::Document => Record::Document(Box::new(Stored::read(found)?)),
                });
            }
        }
    }
    Ok(records)
}

/// Takes records over.
pub(crate) fn import(rows: &mut dyn Rows, records: &[Record]) -> Result<Imported, MemoryError> {
    let mut imported = Imported::default();
    let mut touched: [BTreeSet<String>; 3] = Default::default();
    for record in records {
        match record {
            Record::Rule(rule) => {
                touched[rule.source as usize].insert(subject(rule));
                import_rule(rows, rule, &mut imported)?;
            }
            Record::Run(r) => add(rows, r.as_ref(), &mut imported)?,
            Record::Trial(r) => add(rows, r.as_ref(), &mut imported)?,
            Record::Evidence(r) => add(rows, r.as_ref(), &mut imported)?,
            Record::Score(r) => add(rows, r.as_ref(), &mut imported)?,
            Record::Surrogate(r) => add(rows, r.as_ref(), &mut imported)?,
            Record::Importance(r) => add(rows, r.as_ref(), &mut imported)?,
            Record::Document(r) => add(rows, r.as_ref(), &mut imported)?,
        }
    }
    for origin in Origin::ALL {
        if let Some(source) = origin.0 {
            weigh(rows, source, &touched[source as usize])?;
        }
    }
    Ok(imported)
}

fn add<T: Stored>(
    rows: &mut dyn Rows,
    record: &T,
    imported: &mut Imported,
) -> Result<(), MemoryError> {
    let row = record.row()?;
    let known = rows.find(&Select {
        id: Some(&row.id),
        ..Select::all(T::KIND, row.origin)
    })?;
    if known.is_empty() {
        rows.put(&row)?;
        imported.added += 1;
    } else {
        imported.kept += 1;
    }
    Ok(())
}

fn import_rule(
    rows: &mut dyn Rows,
    rule: &RuleRecord,
    imported: &mut Imported,
) -> Result<(), MemoryError> {
    let Some(known) = find_rule(rows, rule.source, &rule.id())? else {
        rows.put(&rule.row()?)?;
        imported.added += 1;
        return Ok(());
    };
    let (newer, older) = if rule.last_use > known.last_use {
        (rule, &known)
    } else {
        (&known, rule)
    };
    let merged = RuleRecord {
        wins: known.wins.max(rule.wins),
        losses: known.losses.max(rule.losses),
        created: [known.created, rule.created].into_iter().flatten().min(),
        versions: union(older.versions, newer.versions),
        generalised: Generalisation::merged(older.generalised.clone(), newer.generalised.clone()),
        ..newer.clone()
    };
    if merged == known {
        imported.kept += 1;
    } else {
        rows.put(&merged.row()?)?;
        imported.merged += 1;
    }
    Ok(())
}
