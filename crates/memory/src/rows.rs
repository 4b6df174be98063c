//! What both stores share: one table, its rows, and the statements over it, word for word the same SQL.
//!
//! A record is kept as JSON beside the few columns it is looked up by. Records gain fields with time; lookups
//! hardly ever change. Every statement names the kind and the source: what was simulated, recorded and measured
//! is never read together by mistake.

use std::ops::RangeInclusive;

use ccl_core::Source;

use crate::MemoryError;

/// The table, one statement for each version of the schema: version N is made of the first N.
pub(crate) const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE ccl_agent_record (
        kind TEXT NOT NULL,
        source TEXT NOT NULL,
        id TEXT NOT NULL,
        place TEXT NOT NULL,
        topic TEXT NOT NULL,
        bucket BIGINT NOT NULL,
        subject TEXT NOT NULL,
        opposed BIGINT NOT NULL,
        signature TEXT NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (kind, source, id)
    );
    CREATE INDEX ccl_agent_record_by_place ON ccl_agent_record
        (kind, source, place, topic, bucket, opposed, signature, id);
    CREATE INDEX ccl_agent_record_by_subject ON ccl_agent_record (kind, source, subject);
"];

/// The newest schema that this program knows.
pub(crate) const SCHEMA_VERSION: u32 = MIGRATIONS.len() as u32;

/// What a row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Rule,
    Run,
    Trial,
    Evidence,
    Score,
    Surrogate,
    Importance,
    Document,
}

impl Kind {
    /// All kinds, in the order of an export.
    pub(crate) const ALL: [Self; 8] = [
        Self::Run,
        Self::Trial,
        Self::Evidence,
        Self::Rule,
        Self::Score,
        Self::Surrogate,
        Self::Importance,
        Self::Document,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Run => "run",
            Self::Trial => "trial",
            Self::Evidence => "evidence",
            Self::Score => "score",
            Self::Surrogate => "surrogate",
            Self::Importance => "importance",
            Self::Document => "document",
        }
    }
}

/// Where the figures of a record come from; a document has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin(pub Option<Source>);

impl Origin {
    /// All there are.
    pub(crate) const ALL: [Self; 4] = [
        Self(Some(Source::Simulated)),
        Self(Some(Source::Recorded)),
        Self(Some(Source::Measured)),
        Self(None),
    ];

    pub(crate) fn word(self) -> &'static str {
        match self.0 {
            Some(Source::Simulated) => "simulated",
            Some(Source::Recorded) => "recorded",
            Some(Source::Measured) => "measured",
            None => "none",
        }
    }
}

impl From<Source> for Origin {
    fn from(source: Source) -> Self {
        Self(Some(source))
    }
}

/// One record with what it is looked up by.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub kind: Kind,
    pub origin: Origin,
    /// Its name among those of its kind and source.
    pub id: String,
    /// The machine; empty where there is none.
    pub place: String,
    /// What it is about, as coarsely as a lookup needs it: a collective, `variable`, `failure`, or nothing.
    pub topic: String,
    /// The size bucket, where it is about calls, else 0.
    pub bucket: u8,
    /// What it belongs to: the run, or what a rule must share with another to contradict it.
    pub subject: String,
    /// Runs that came to a rule that contradicts this one.
    pub opposed: u32,
    /// What ranking needs to know of a rule; empty for anything else.
    pub signature: String,
    /// The record, as JSON.
    pub body: String,
}

/// Which rows; what is `None` does not matter.
#[derive(Clone, Debug)]
pub struct Select<'a> {
    pub kind: Kind,
    pub origin: Origin,
    pub id: Option<&'a str>,
    pub place: Option<&'a str>,
    pub topic: Option<&'a str>,
    pub buckets: Option<RangeInclusive<u8>>,
    pub subject: Option<&'a str>,
}

impl<'a> Select<'a> {
    /// All rows of a kind and source.
    pub fn all(kind: Kind, origin: impl Into<Origin>) -> Self {
        Self {
            kind,
            origin: origin.into(),
            id: None,
            place: None,
            topic: None,
            buckets: None,
            subject: None,
        }
    }

    /// The statement that reads whole rows, and what its parameters are, in order.
    pub fn rows(&self) -> (String, Vec<Value<'a>>) {
        self.sql("id, opposed, body")
    }

    /// The same for what is beside the index: name, opposition and signature.
    pub fn signatures(&self) -> (String, Vec<Value<'a>>) {
        self.sql("id, opposed, signature")
    }

    fn sql(&self, columns: &str) -> (String, Vec<Value<'a>>) {
        let mut values = vec![
            Value::Text(self.kind.word()),
            Value::Text(self.origin.word()),
        ];
        let mut sql =
            format!("SELECT {columns} FROM ccl_agent_record WHERE kind = $1 AND source = $2");
        let mut and = |column: &str, relation: &str, value: Value<'a>| {
            values.push(value);
            sql.push_str(&format!(" AND {column} {relation} ${}", values.len()));
        };
        for (column, value) in [
            ("id", self.id),
            ("place", self.place),
            ("topic", self.topic),
            ("subject", self.subject),
        ] {
            if let Some(value) = value {
                and(column, "=", Value::Text(value));
            }
        }
        if let Some(buckets) = &self.buckets {
            and("bucket", ">=", Value::Number(i64::from(*buckets.start())));
            and("bucket", "<=", Value::Number(i64::from(*buckets.end())));
        }
        (sql, values)
    }
}

/// Writes a row, or writes it anew.
pub(crate) const PUT: &str = "
    INSERT INTO ccl_agent_record (kind, source, id, place, topic, bucket, subject, opposed, signature, body)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (kind, source, id) DO UPDATE SET place = excluded.place, topic = excluded.topic,
        bucket = excluded.bucket, subject = excluded.subject, opposed = excluded.opposed,
        signature = excluded.signature, body = excluded.body";

/// Removes a row.
pub(crate) const REMOVE: &str =
    "DELETE FROM ccl_agent_record WHERE kind = $1 AND source = $2 AND id = $3";

/// A parameter of a statement.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    Text(&'a str),
    Number(i64),
}

impl Row {
    /// The parameters of [`PUT`].
    pub(crate) fn values(&self) -> [Value<'_>; 10] {
        [
            Value::Text(self.kind.word()),
            Value::Text(self.origin.word()),
            Value::Text(&self.id),
            Value::Text(&self.place),
            Value::Text(&self.topic),
            Value::Number(i64::from(self.bucket)),
            Value::Text(&self.subject),
            Value::Number(i64::from(self.opposed)),
            Value::Text(&self.signature),
            Value::Text(&self.body),
        ]
    }
}

/// A row as it is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub id: String,
    pub opposed: u32,
    pub body: String,
}

/// The rows of a store within one transaction.
pub trait Rows {
    /// The rows that are selected, ordered by their ids, byte by byte.
    fn find(&mut self, select: &Select) -> Result<Vec<Found>, MemoryError>;
    /// Names, oppositions and signatures of the rows that are selected, in any order.
    fn scan(
        &mut self,
        select: &Select,
        each: &mut dyn FnMut(&str, u32, &str) -> Result<(), MemoryError>,
    ) -> Result<(), MemoryError>;
    /// Writes a row; one of its kind, source and id is replaced.
    fn put(&mut self, row: &Row) -> Result<(), MemoryError>;
    /// Removes a row; whether there was one.
    fn remove(&mut self, kind: Kind, origin: Origin, id: &str) -> Result<bool, MemoryError>;
}

/// What a transaction may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Sees one state of the store throughout.
    Read,
    /// Alone: no other writes between its first look and its end.
    Write,
}

/// A database that can run a transaction over [`Rows`]. What is done with the rows is the same for all.
pub trait Engine: Send {
    /// Where it is, without secrets.
    fn place(&self) -> &str;
    /// Runs work as one transaction: all of it or, after an error, nothing.
    fn transaction<T>(
        &mut self,
        access: Access,
        work: impl FnOnce(&mut dyn Rows) -> Result<T, MemoryError>,
    ) -> Result<T, MemoryError>;
}
