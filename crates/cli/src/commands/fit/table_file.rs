//! Writes the tuner table whole or not at all.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{CommandError, CommandResult};

/// Writes beside the target and renames, so that a reader sees the old table or the new one.
///
/// # Errors
/// A target that is one of the inputs, or that cannot be written.
pub fn write(out: &Path, csv: &str, inputs: &[PathBuf]) -> CommandResult {
    let failed = |e: &dyn std::fmt::Display| {
        CommandError::bad_input(format!("cannot write {}: {e}", out.display()))
            .help("name a file in a folder that exists and can be written with --out")
    };
    let same = |a: &Path, b: &Path| match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    };
    if inputs.iter().any(|input| same(input, out)) {
        return Err(failed(&"it is the sweep itself"));
    }
    if out.is_dir() {
        return Err(failed(&"it is a folder"));
    }
    let folder = match out.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".ccl-agent-fit-");
    // Temporary files are private by default; the table is for the job's user, as umask allows.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(|e| failed(&e))?;
    file.write_all(csv.as_bytes())
        .and_then(|()| file.as_file().sync_all())
        .map_err(|e| failed(&e))?;
    file.persist(out).map_err(|e| failed(&e.error))?;
    Ok(())
}
