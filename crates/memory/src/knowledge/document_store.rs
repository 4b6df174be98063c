//! Where users' documents are kept: one table of an SQLite file.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, params};

use super::Document;

/// How long a writer waits for another one.
const PATIENCE: Duration = Duration::from_secs(10);

const TABLE: &str = "CREATE TABLE IF NOT EXISTS documents(\
                     name TEXT PRIMARY KEY NOT NULL, \
                     title TEXT NOT NULL, \
                     body TEXT NOT NULL, \
                     origin TEXT NOT NULL) STRICT";

/// Keeps documents in the file, all or none; one of the same name takes the place of the earlier
/// one. A missing file is made.
///
/// # Errors
/// SQLite's: the file cannot be written, or is no database.
pub fn store_documents(file: &Path, documents: &[Document]) -> rusqlite::Result<()> {
    let mut database = Connection::open(file)?;
    database.busy_timeout(PATIENCE)?;
    let all = database.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    all.execute(TABLE, [])?;
    for document in documents {
        all.execute(
            "INSERT OR REPLACE INTO documents(name, title, body, origin) VALUES (?1, ?2, ?3, ?4)",
            params![
                document.name,
                document.title,
                document.body,
                document.origin
            ],
        )?;
    }
    all.commit()
}

/// The documents kept in the file, by name; none where it has no such table.
///
/// # Errors
/// SQLite's: the file is missing, cannot be read, or is no database.
pub fn stored_documents(file: &Path) -> rusqlite::Result<Vec<Document>> {
    let database = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    database.busy_timeout(PATIENCE)?;
    if !database.table_exists(None, "documents")? {
        return Ok(Vec::new());
    }
    let mut select =
        database.prepare("SELECT name, title, body, origin FROM documents ORDER BY name")?;
    let documents = select.query_map([], |row| {
        Ok(Document {
            name: row.get(0)?,
            title: row.get(1)?,
            body: row.get(2)?,
            origin: row.get(3)?,
        })
    })?;
    documents.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_come_back_and_are_replaced_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("memory.sqlite");
        assert!(stored_documents(&file).is_err());
        let first = Document::from_text("b", "b.md", "# One\ntext 'quoted'");
        let second = Document::from_text("a", "a.md", "plain");
        store_documents(&file, &[first, second.clone()]).unwrap();
        let newer = Document::from_text("b", "c.md", "# Two");
        store_documents(&file, std::slice::from_ref(&newer)).unwrap();
        assert_eq!(stored_documents(&file).unwrap(), [second, newer]);
    }
}
