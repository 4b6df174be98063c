//! Where reports go: redrawn in place on a terminal, one after the other anywhere else.

use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;

use ccl_agent::observe::report::Report;
use terminal_size::{Height, Width, terminal_size};

use super::text;
use crate::error::CommandError;

/// Characters of a line where no terminal says how many it has.
const LOG_WIDTH: usize = 140;

/// One place for reports.
pub(super) struct Screen {
    form: Form,
}

enum Form {
    /// One object over several lines.
    Object,
    /// One object on each line.
    Lines,
    /// One table after the other.
    Tables { are_any: bool },
    /// One table in the place of the other, which has that many lines.
    Terminal { drawn: usize },
}

impl Screen {
    pub(super) fn new(is_json: bool, is_once: bool) -> Self {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let form = match (is_json, is_once) {
            (true, true) => Form::Object,
            (true, false) => Form::Lines,
            (false, false) if io::stdout().is_terminal() && !is_dumb => Form::Terminal { drawn: 0 },
            (false, _) => Form::Tables { are_any: false },
        };
        Self { form }
    }

    /// Shows a report; `Break` when stdout's reader has gone.
    ///
    /// # Errors
    /// Stdout that cannot be written.
    pub(super) fn show(&mut self, report: &Report) -> Result<ControlFlow<()>, CommandError> {
        let text = self.text(report).map_err(|error| {
            CommandError::bad_input(format!("cannot write the report as JSON: {error}"))
        })?;
        let mut stdout = io::stdout().lock();
        // In one piece: a terminal never shows half of it.
        match stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
        {
            Ok(()) => Ok(ControlFlow::Continue(())),
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
            Err(e) => Err(CommandError::bad_input(format!(
                "cannot write to stdout: {e}"
            ))),
        }
    }

    fn text(&mut self, report: &Report) -> serde_json::Result<String> {
        let size = terminal_size();
        let width = match size {
            Some((Width(width), _)) if io::stdout().is_terminal() => usize::from(width),
            _ => LOG_WIDTH,
        };
        Ok(match &mut self.form {
            Form::Object => serde_json::to_string_pretty(report)? + "\n",
            Form::Lines => serde_json::to_string(report)? + "\n",
            Form::Tables { are_any } => {
                let gap = if std::mem::replace(are_any, true) {
                    "\n"
                } else {
                    ""
                };
                format!("{gap}{}\n", text::lines(report, width).join("\n"))
            }
            Form::Terminal { drawn } => {
                let height = size.map_or(24, |(_, Height(height))| usize::from(height));
                let mut lines = text::lines(report, width);
                // What scrolled away could not be drawn over; the last one may scroll.
                if !report.is_last {
                    crop(&mut lines, height.saturating_sub(1));
                }
                redraw(drawn, &lines, width)
            }
        })
    }
}

/// Leaves out what does not fit.
fn crop(lines: &mut Vec<String>, most: usize) {
    if lines.len() > most {
        lines.truncate(most.saturating_sub(1));
        lines.push("... (a taller terminal shows more)".to_owned());
    }
}

/// The escape sequences (ECMA-48; synchronised output where the terminal knows it) that draw these lines
/// over those drawn before: nothing is cleared first, so nothing flickers.
fn redraw(drawn: &mut usize, lines: &[String], width: usize) -> String {
    let mut text = "\x1b[?2026h\r".to_owned();
    if *drawn > 0 {
        text += &format!("\x1b[{drawn}A");
    }
    for line in lines {
        // A line that wraps is two.
        text.extend(line.chars().filter(|c| !c.is_control()).take(width));
        text += "\x1b[K\n";
    }
    text += "\x1b[J\x1b[?2026l";
    *drawn = lines.len();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_drawn_over_the_one_before_and_never_wraps() {
        let lines = |n: usize| vec!["x".repeat(50); n];
        let mut drawn = 0;
        let first = redraw(&mut drawn, &lines(3), 10);
        assert_eq!((drawn, first.contains('A')), (3, false));
        let second = redraw(&mut drawn, &lines(2), 10);
        assert!(second.contains("\x1b[3A") && second.contains("\x1b[J"));
        assert!(!second.contains(&"x".repeat(11)));
        let mut cropped = lines(9);
        crop(&mut cropped, 4);
        assert_eq!(cropped.len(), 4);
        crop(&mut cropped, 0);
        assert_eq!(cropped.len(), 1, "the smallest terminal shows a line");
    }
}
