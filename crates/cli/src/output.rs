//! Where results and errors go: results on stdout, everything else on stderr.
//!
//! A reader that has gone away (`ccl-agent ... | head`) is no error. Colours are stripped by the
//! stream where it is no terminal.

use std::fmt::{self, Display, Formatter};
use std::io::{self, Write};

use miette::{Diagnostic, MietteHandler, MietteHandlerOpts, ReportHandler};
use serde::Serialize;

use crate::error::{CommandError, CommandResult};

/// Prints a text on stdout, with one newline at its end.
///
/// # Errors
/// Stdout that cannot be written, unless its reader has gone.
pub fn text(what: impl Display) -> CommandResult {
    match writeln!(
        anstream::stdout().lock(),
        "{}",
        what.to_string().trim_end_matches('\n')
    ) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::bad_input(format!(
            "cannot write to stdout: {e}"
        ))),
        _ => Ok(()),
    }
}

/// Prints one JSON object on stdout.
///
/// # Errors
/// As [`text`].
pub fn json(what: &impl Serialize) -> CommandResult {
    let json = serde_json::to_string_pretty(what)
        .map_err(|e| CommandError::bad_input(format!("cannot write the result as JSON: {e}")))?;
    text(json)
}

/// Says on stderr what is not as it should be and does no harm yet.
pub fn warning(what: impl Display) {
    // Nobody is left to be told when stderr is closed.
    let _ = writeln!(anstream::stderr().lock(), "warning: {what}");
}

/// Says something on stderr where stdout belongs to somebody else.
pub fn note(what: impl Display) {
    // Nobody is left to be told when stderr is closed.
    let _ = writeln!(anstream::stderr().lock(), "{what}");
}

/// Renders an error on stderr.
pub fn error(report: &miette::Report) {
    // Wrapping would break names and paths at their hyphens and slashes.
    let handler = MietteHandlerOpts::new().wrap_lines(false).build();
    let rendered = Rendered(&handler, report.as_ref());
    // Nobody is left to be told when stderr is closed.
    let _ = writeln!(anstream::stderr().lock(), "{rendered}");
}

struct Rendered<'a>(&'a MietteHandler, &'a dyn Diagnostic);

impl Display for Rendered<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.debug(self.1, f)
    }
}
