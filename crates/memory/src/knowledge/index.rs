//! Full-text search: an SQLite FTS5 table in memory, ranked by BM25 (Robertson and Zaragoza, The
//! Probabilistic Relevance Framework, 2009).
//!
//! The table keeps only the index; the texts stay with their owner, by number.

use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, params};

use super::words;

/// What a word in the title counts beside one in the text; each saturates on its own.
const TITLE_WEIGHT: f64 = 1.0;

/// The index over numbered passages.
#[derive(Debug)]
pub(super) struct Index {
    // A connection may move between threads but not be shared.
    database: Mutex<Connection>,
}

impl Index {
    /// Indexes pairs of title and text; the number of each is its place.
    pub(super) fn new<'a>(
        passages: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> rusqlite::Result<Self> {
        let mut database = Connection::open_in_memory()?;
        database.execute_batch(
            "CREATE VIRTUAL TABLE passages USING fts5(\
             title, text, content='', tokenize=\"porter unicode61 tokenchars '_'\")",
        )?;
        let all = database.transaction()?;
        {
            let mut insert =
                all.prepare("INSERT INTO passages(rowid, title, text) VALUES (?1, ?2, ?3)")?;
            for (number, (title, text)) in (0_i64..).zip(passages) {
                insert.execute(params![number, words::of_text(title), words::of_text(text)])?;
            }
        }
        all.commit()?;
        Ok(Self {
            database: Mutex::new(database),
        })
    }

    /// The numbers of the `most` passages that answer the query best, with their scores (higher
    /// is better); of equal ones the first.
    pub(super) fn search(&self, query: &str, most: usize) -> rusqlite::Result<Vec<(usize, f64)>> {
        // Each word is quoted and holds neither quotes nor spaces: see `words`.
        let asked: Vec<String> = words::of_query(query)
            .iter()
            .map(|word| format!("\"{word}\""))
            .collect();
        if asked.is_empty() || most == 0 {
            return Ok(Vec::new());
        }
        let database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let mut select = database.prepare_cached(
            "SELECT rowid, -bm25(passages, 0.0, 1.0) - ?1 * bm25(passages, 1.0, 0.0) AS score FROM passages \
             WHERE passages MATCH ?2 ORDER BY score DESC, rowid LIMIT ?3",
        )?;
        let found = select.query_map(
            params![
                TITLE_WEIGHT,
                asked.join(" OR "),
                i64::try_from(most).unwrap_or(i64::MAX)
            ],
            |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)),
        )?;
        found
            .map(|row| row.map(|(number, score)| (usize::try_from(number).unwrap_or(0), score)))
            .collect()
    }
}
