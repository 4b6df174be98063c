//! `ccl-agent knowledge add FILE...`: keeps documents of a user in the memory's file.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ccl_memory::{Document, Opening};
use clap::Args;

use crate::commands::memory_argument;
use crate::error::{CommandError, CommandResult};
use crate::output;

/// Longest document, in bytes: a book, not a log.
const LONGEST: usize = 1 << 20;

#[derive(Args)]
pub(super) struct AddArgs {
    /// Markdown or text; the name without its ending is the document's name, and a document of
    /// the same name is replaced.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The memory that keeps them: a file, a folder, sqlite:FILE or postgres://USER@HOST/DATABASE; made if it is
    /// missing.
    #[arg(long, value_name = "URL")]
    memory: String,
}

pub(super) fn run(args: &AddArgs) -> CommandResult {
    let documents = args
        .files
        .iter()
        .map(|file| read(file))
        .collect::<Result<Vec<Document>, CommandError>>()?;
    let mut names = BTreeSet::new();
    if let Some(twice) = documents.iter().find(|d| !names.insert(&d.name)) {
        return Err(
            CommandError::bad_input(format!("two files are both called {:?}", twice.name))
                .help("rename one of them; nothing was kept"),
        );
    }
    let mut memory = memory_argument::open(&args.memory, Opening::OrNew)?;
    memory.add_documents(&documents).map_err(|error| {
        CommandError::bad_input(format!("{}: {error}", memory.place())).help("nothing was kept")
    })?;
    let names: Vec<&str> = documents.iter().map(|d| d.name.as_str()).collect();
    output::text(format!("Kept {} in {}.", names.join(", "), memory.place()))
}

fn read(file: &Path) -> Result<Document, CommandError> {
    let nothing = |what: String| {
        CommandError::bad_input(format!("{}: {what}", file.display())).help("nothing was kept")
    };
    let bytes = fs::read(file).map_err(|e| nothing(e.to_string()))?;
    if bytes.len() > LONGEST {
        return Err(nothing(format!(
            "{} bytes; a document has at most {LONGEST}",
            bytes.len()
        )));
    }
    let body = String::from_utf8(bytes).map_err(|_| nothing("this is no UTF-8 text".to_owned()))?;
    if body.trim().is_empty() {
        return Err(nothing("the file is empty".to_owned()));
    }
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    Ok(Document::from_text(
        &name,
        &file.display().to_string(),
        &body,
    ))
}
