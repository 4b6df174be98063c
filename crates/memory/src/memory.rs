//! What a store can do, whichever database is behind it.

use ccl_core::{ContextSignature, Source};

use crate::error::MemoryError;
use crate::filing;
use crate::place::machine;
use crate::recall::Shortlist;
use crate::rows::{Access, Engine, Kind, Origin, Rows, Select};
use crate::signature::Signature;
use crate::stored::{FAILURE, Stored, VARIABLE};
use crate::transfer::{self, Imported};
use crate::{
    Contradiction, Document, EvidenceRecord, ImportanceRecord, Lessons, Prior, Query, Recalled,
    Record, RuleRecord, RunRecord, ScoreRecord, SurrogateRecord, TrialRecord,
};

/// A memory that outlives runs. Every call is one transaction; several processes may use a store at a time, and
/// none loses what another writes.
///
/// All calls but those about documents name a [`Source`], and give or take nothing of another: what a model
/// computed never reaches a run that measures, other than as a [`Prior`] that was asked for.
///
/// # Errors
/// Every call fails where the database does ([`MemoryError`]); it has done nothing then.
pub trait Memory: Send {
    /// Where it is, for people, without secrets.
    fn place(&self) -> &str;

    /// Keeps what a run leaves.
    ///
    /// # Errors
    /// Anything of another source than the lessons'.
    fn learn(&mut self, lessons: &Lessons) -> Result<(), MemoryError>;

    /// The rules that are worth hearing here, best first; see [`rank`](crate::rank).
    fn recall(&mut self, source: Source, query: &Query) -> Result<Vec<Recalled>, MemoryError>;

    /// The same of another source, as guesses to begin with.
    fn priors(&mut self, of: Source, query: &Query) -> Result<Vec<Prior>, MemoryError> {
        let recalled = self.recall(of, query)?;
        Ok(recalled.into_iter().map(Prior::of).collect())
    }

    /// What made jobs fail on this machine, by name, at whatever scale and release.
    fn failures(
        &mut self,
        source: Source,
        context: &ContextSignature,
    ) -> Result<Vec<RuleRecord>, MemoryError>;

    /// All rules, by name.
    fn rules(&mut self, source: Source) -> Result<Vec<RuleRecord>, MemoryError>;

    /// The rules that cannot both be right, by name.
    fn contradictions(&mut self, source: Source) -> Result<Vec<Contradiction>, MemoryError>;

    /// What mechanisms' predictions were worth on this machine, by name.
    fn scores(
        &mut self,
        source: Source,
        context: &ContextSignature,
    ) -> Result<Vec<ScoreRecord>, MemoryError>;

    /// What was measured of keys' choices on this machine, by name.
    fn surrogates(
        &mut self,
        source: Source,
        context: &ContextSignature,
    ) -> Result<Vec<SurrogateRecord>, MemoryError>;

    /// What parameters mattered on this machine, by name.
    fn importances(
        &mut self,
        source: Source,
        context: &ContextSignature,
    ) -> Result<Vec<ImportanceRecord>, MemoryError>;

    /// All runs, by name.
    fn runs(&mut self, source: Source) -> Result<Vec<RunRecord>, MemoryError>;

    /// The candidates of a run, in order.
    fn trials(&mut self, source: Source, run_id: &str) -> Result<Vec<TrialRecord>, MemoryError>;

    /// What a run saw, in order.
    fn evidence(
        &mut self,
        source: Source,
        run_id: &str,
    ) -> Result<Vec<EvidenceRecord>, MemoryError>;

    /// All documents, by name.
    fn documents(&mut self) -> Result<Vec<Document>, MemoryError>;

    /// Keeps documents, all or none; those of the same names are replaced.
    fn add_documents(&mut self, documents: &[Document]) -> Result<(), MemoryError>;

    /// Removes a document; whether there was one.
    fn remove_document(&mut self, id: &str) -> Result<bool, MemoryError>;

    /// Everything, kind by kind, as of one moment.
    fn export(&mut self) -> Result<Vec<Record>, MemoryError>;

    /// Takes over what another store exported, all or nothing. What is here stays; of rules that are known here
    /// the larger counts and the newer figures count, so that the same import again changes nothing.
    fn import(&mut self, records: &[Record]) -> Result<Imported, MemoryError>;
}

impl<E: Engine> Memory for E {
    fn place(&self) -> &str {
        Engine::place(self)
    }

    fn learn(&mut self, lessons: &Lessons) -> Result<(), MemoryError> {
        self.transaction(Access::Write, |rows| filing::learn(rows, lessons))
    }

    fn recall(&mut self, source: Source, query: &Query) -> Result<Vec<Recalled>, MemoryError> {
        self.transaction(Access::Read, |rows| recall(rows, source, query))
    }

    fn failures(
        &mut self,
        source: Source,
        context: &ContextSignature,
    ) -> Result<Vec<RuleRecord>, MemoryError> {
        read_all(
            self,
            &Select {
                place: Some(&machine(context)),
                topic: Some(FAILURE),
                ..Select::all(Kind::Rule, source)
            },
        )
    }

    fn rules(&mut self, source: Source) -> Result<Vec<RuleRecord>, MemoryError> {
        read_all(self, &Select::all(Kind::Rule, source))
    }

    fn contradictions(&mut self, source: Source) -> Result<Vec<Contradiction>, MemoryError> {
        self.transaction(Access::Read, |rows| filing::contradictions(rows, source))
    }

    fn scores(
        &mut self,
        source: Source,
        context: &ContextSignature,
    ) -> Result<Vec<ScoreRecord>, MemoryError> {
        read_at(self, source, context)
    }

    fn surrogates(
        &mut self,
        source: Source,
        context: &ContextSignature,
    ) -> Result<Vec<SurrogateRecord>, MemoryError> {
        read_at(self, source, context)
    }

    fn importances(
        &mut self,
        source: Source,
        context: &ContextSignature,
    ) -> Result<Vec<ImportanceRecord>, MemoryError> {
        read_at(self, source, context)
    }

    fn runs(&mut self, source: Source) -> Result<Vec<RunRecord>, MemoryError> {
        read_all(self, &Select::all(Kind::Run, source))
    }

    fn trials(&mut self, source: Source, run_id: &str) -> Result<Vec<TrialRecord>, MemoryError> {
        read_of_run(self, source, run_id)
    }

    fn evidence(
        &mut self,
        source: Source,
        run_id: &str,
    ) -> Result<Vec<EvidenceRecord>, MemoryError> {
        read_of_run(self, source, run_id)
    }

    fn documents(&mut self) -> Result<Vec<Document>, MemoryError> {
        read_all(self, &Select::all(Kind::Document, Origin(None)))
    }

    fn add_documents(&mut self, documents: &[Document]) -> Result<(), MemoryError> {
        let filed: Result<Vec<_>, _> = documents.iter().map(Stored::row).collect();
        let filed = filed?;
        self.transaction(Access::Write, |rows| {
            filed.iter().try_for_each(|row| rows.put(row))
        })
    }

    fn remove_document(&mut self, id: &str) -> Result<bool, MemoryError> {
        self.transaction(Access::Write, |rows| {
            rows.remove(Kind::Document, Origin(None), id)
        })
    }

    fn export(&mut self) -> Result<Vec<Record>, MemoryError> {
        self.transaction(Access::Read, transfer::export)
    }

    fn import(&mut self, records: &[Record]) -> Result<Imported, MemoryError> {
        self.transaction(Access::Write, |rows| transfer::import(rows, records))
    }
}

fn read_all<T: Stored>(engine: &mut impl Engine, select: &Select) -> Result<Vec<T>, MemoryError> {
    let found = engine.transaction(Access::Read, |rows| rows.find(select))?;
    found.iter().map(T::read).collect()
}

fn read_at<T: Stored>(
    engine: &mut impl Engine,
    source: Source,
    context: &ContextSignature,
) -> Result<Vec<T>, MemoryError> {
    read_all(
        engine,
        &Select {
            place: Some(&machine(context)),
            ..Select::all(T::KIND, source)
        },
    )
}

fn read_of_run<T: Stored>(
    engine: &mut impl Engine,
    source: Source,
    run_id: &str,
) -> Result<Vec<T>, MemoryError> {
    read_all(
        engine,
        &Select {
            subject: Some(run_id),
            ..Select::all(T::KIND, source)
        },
    )
}

/// Looks through all rules that may rank, and as few others as the index allows; reads those that do.
///
/// Rules of another machine are never recalled, and [`Likeness::of`](crate::likeness::Likeness::of) says nothing of
/// calls of another collective or more than so many buckets away from every key. So the rows of this machine
/// under each collective asked about, within so many buckets of a key, with those about variables and failures,
/// leave out none that would rank.
fn recall(
    rows: &mut dyn Rows,
    source: Source,
    query: &Query,
) -> Result<Vec<Recalled>, MemoryError> {
    let place = machine(&query.context);
    let all = Select::all(Kind::Rule, source);
    let topic = |topic| Select {
        place: Some(&place),
        topic: Some(topic),
        ..all.clone()
    };
    let windows = crate::recall::windows(&query.keys);
    let windows: Vec<_> = windows
        .into_iter()
        .map(|(collective, buckets)| (collective.to_string(), buckets))
        .collect();
    let mut selects = vec![topic(VARIABLE), topic(FAILURE)];
    selects.extend(windows.iter().map(|(collective, buckets)| Select {
        buckets: Some(buckets.clone()),
        ..topic(collective)
    }));
    let mut shortlist = Shortlist::new(query);
    for select in &selects {
        rows.scan(select, &mut |id, opposed, signature| {
            let signature =
                Signature::unpack(signature).map_err(|error| MemoryError::Malformed {
                    kind: Kind::Rule.word(),
                    id: id.to_owned(),
                    error,
                })?;
            shortlist.offer(id, opposed, &signature);
            Ok(())
        })?;
    }
    let mut recalled = Vec::new();
    for listed in shortlist.finish() {
        if let Some(rule) = filing::find_rule(rows, source, &listed.id)? {
            recalled.extend(listed.recalled(query, rule));
        }
    }
    Ok(recalled)
}
