//! A memory in one SQLite file, for a person or a machine; or in none, for tests and comparisons.
//!
//! Readers and one writer at a time work side by side (write-ahead log); a second writer waits. On a network file
//! system that does not lock files this is not safe: a team uses PostgreSQL.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql, TransactionBehavior, params_from_iter};

use crate::MemoryError;
use crate::rows::{
    Access, Engine, Found, Kind, MIGRATIONS, Origin, PUT, REMOVE, Row, Rows, SCHEMA_VERSION,
    Select, Value,
};

/// How long a writer waits for another: a run writes for some milliseconds, an import for seconds.
const BUSY: Duration = Duration::from_secs(30);

/// A memory in SQLite.
#[derive(Debug)]
pub struct SqliteMemory {
    connection: Connection,
    place: String,
}

impl SqliteMemory {
    /// Opens a file, and makes it where it does not exist.
    ///
    /// # Errors
    /// A file that cannot be made or opened, is no SQLite database, or has a newer schema; it is untouched then.
    pub fn open(file: &Path) -> Result<Self, MemoryError> {
        let place = file.display().to_string();
        let folder = file.parent().filter(|f| !f.as_os_str().is_empty());
        if let Some(folder) = folder {
            std::fs::create_dir_all(folder).map_err(|error| MemoryError::Io {
                path: folder.to_owned(),
                error,
            })?;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags(file, flags).map_err(|e| refused(&place, &e))?;
        Self::prepare(connection, place)
    }

    /// A memory that ends with the value.
    ///
    /// # Errors
    /// No memory left.
    pub fn in_memory() -> Result<Self, MemoryError> {
        let place = "memory".to_owned();
        let connection = Connection::open_in_memory().map_err(|e| refused(&place, &e))?;
        Self::prepare(connection, place)
    }

    fn prepare(connection: Connection, place: String) -> Result<Self, MemoryError> {
        let mut memory = Self { connection, place };
        memory.migrate().map_err(|e| match e {
            Failed::Said(error) => refused(&memory.place, &error),
            Failed::Newer(found) => MemoryError::Newer {
                place: memory.place.clone(),
                found,
                known: SCHEMA_VERSION,
            },
        })?;
        Ok(memory)
    }

    /// Brings the schema up to date. What is newer is not written to, not even to switch its journal.
    fn migrate(&mut self) -> Result<(), Failed> {
        self.connection.busy_timeout(BUSY)?;
        if version(&self.connection)? == SCHEMA_VERSION {
            return Ok(());
        }
        // The journal's mode stays with the file, so whoever makes the file chooses it. Several may be at it.
        self.connection
            .pragma_update(None, "journal_mode", "wal")
            .or_else(|e| is_busy(&e).then_some(()).ok_or(e))?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another may have done it while this one waited.
        let found = version(&transaction)?;
        for (migration, version) in MIGRATIONS.iter().zip(1_u32..).skip(found as usize) {
            transaction.execute_batch(migration)?;
            transaction.pragma_update(None, "user_version", version)?;
        }
        transaction.commit()?;
        Ok(())
    }
}

enum Failed {
    Said(rusqlite::Error),
    Newer(u32),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Said(error)
    }
}

fn version(connection: &Connection) -> Result<u32, Failed> {
    let found = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > SCHEMA_VERSION {
        return Err(Failed::Newer(found));
    }
    Ok(found)
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

fn refused(place: &str, error: &rusqlite::Error) -> MemoryError {
    MemoryError::Database {
        place: place.to_owned(),
        reason: error.to_string(),
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match *self {
            Value::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Value::Number(number) => ToSqlOutput::Borrowed(ValueRef::Integer(number)),
        })
    }
}

impl Engine for SqliteMemory {
    fn place(&self) -> &str {
        &self.place
    }

    fn transaction<T>(
        &mut self,
        access: Access,
        work: impl FnOnce(&mut dyn Rows) -> Result<T, MemoryError>,
    ) -> Result<T, MemoryError> {
        let behaviour = match access {
            Access::Read => TransactionBehavior::Deferred,
            Access::Write => TransactionBehavior::Immediate,
        };
        let place = &self.place;
        let transaction = self
            .connection
            .transaction_with_behavior(behaviour)
            .map_err(|e| refused(place, &e))?;
        let mut rows = Open {
            connection: &transaction,
            place,
        };
        let done = work(&mut rows)?;
        transaction.commit().map_err(|e| refused(place, &e))?;
        Ok(done)
    }
}

struct Open<'a> {
    connection: &'a Connection,
    place: &'a str,
}

impl Rows for Open<'_> {
    fn find(&mut self, select: &Select) -> Result<Vec<Found>, MemoryError> {
        let (sql, values) = select.rows();
        let find = || -> rusqlite::Result<Vec<Found>> {
            let mut statement = self.connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params_from_iter(values), |row| {
                Ok(Found {
                    id: row.get(0)?,
                    opposed: row.get(1)?,
                    body: row.get(2)?,
                })
            })?;
            rows.collect()
        };
        let mut found = find().map_err(|e| refused(self.place, &e))?;
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }

    fn scan(
        &mut self,
        select: &Select,
        each: &mut dyn FnMut(&str, u32, &str) -> Result<(), MemoryError>,
    ) -> Result<(), MemoryError> {
        let (sql, values) = select.signatures();
        let said = |error: rusqlite::Error| refused(self.place, &error);
        let mut statement = self.connection.prepare_cached(&sql).map_err(said)?;
        let mut rows = statement.query(params_from_iter(values)).map_err(said)?;
        while let Some(row) = rows.next().map_err(said)? {
            let text = |index| row.get_ref(index)?.as_str().map_err(rusqlite::Error::from);
            let opposed = row.get(1).map_err(said)?;
            each(text(0).map_err(said)?, opposed, text(2).map_err(said)?)?;
        }
        Ok(())
    }

    fn put(&mut self, row: &Row) -> Result<(), MemoryError> {
        let put = || {
            self.connection
                .prepare_cached(PUT)?
                .execute(params_from_iter(row.values()))
        };
        put().map_err(|e| refused(self.place, &e))?;
        Ok(())
    }

    fn remove(&mut self, kind: Kind, origin: Origin, id: &str) -> Result<bool, MemoryError> {
        let values = [kind.word(), origin.word(), id];
        let remove = || {
            self.connection
                .prepare_cached(REMOVE)?
                .execute(params_from_iter(values))
        };
        Ok(remove().map_err(|e| refused(self.place, &e))? > 0)
    }
}

#[cfg(test)]
mod tests {
    use ccl_core::Source;

    use super::*;

    /// Every lookup but that of a whole kind finds its rows by an index, and none reads the whole table.
    #[test]
    fn lookups_use_an_index() {
        let memory = SqliteMemory::in_memory().unwrap();
        let all = Select::all(Kind::Rule, Source::Measured);
        let near = Select {
            place: Some("A40 Pcie"),
            topic: Some("AllReduce"),
            buckets: Some(10..=16),
            ..all.clone()
        };
        let failures = Select {
            buckets: None,
            topic: Some("failure"),
            ..near.clone()
        };
        let of_subject = Select {
            subject: Some("run"),
            ..all.clone()
        };
        let named = Select {
            id: Some("rule"),
            ..all.clone()
        };
        let (sql, _) = near.signatures();
        let plan: String = memory
            .connection
            .query_row(
                &format!("EXPLAIN QUERY PLAN {sql}"),
                params_from_iter(near.signatures().1),
                |row| row.get(3),
            )
            .unwrap();
        assert!(plan.contains("COVERING INDEX"), "{plan}");
        for (select, expected) in [
            (
                near,
                "record_by_place (kind=? AND source=? AND place=? AND topic=? AND bucket>? AND bucket<?)",
            ),
            (
                failures,
                "record_by_place (kind=? AND source=? AND place=? AND topic=?)",
            ),
            (
                of_subject,
                "record_by_subject (kind=? AND source=? AND subject=?)",
            ),
            (named, "(kind=? AND source=? AND id=?)"),
            (all, "(kind=? AND source=?)"),
        ] {
            let (sql, values) = select.rows();
            let plan: String = memory
                .connection
                .query_row(
                    &format!("EXPLAIN QUERY PLAN {sql}"),
                    params_from_iter(values),
                    |row| row.get(3),
                )
                .unwrap();
            assert!(
                plan.starts_with("SEARCH") && plan.ends_with(expected),
                "{plan}"
            );
        }
    }
}
