//! `ccl-agent knobs check FILE`: the linter.

use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};
use ccl_core::knobs::{Located, Report, Severity, Syntax, lint};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{Target, TargetArgs};
use crate::error::{CommandError, CommandResult};
use crate::output;
use crate::table::{WIDTH, wrap};

/// No file of settings is larger; what is, was given by mistake.
const MAX_BYTES: u64 = 4 << 20;

#[derive(Args)]
pub(super) struct CheckArgs {
    /// The file.
    file: PathBuf,
    /// How it is read; without it the name decides: *.conf is NCCL's, a name with docker or ending
    /// in env-file is Docker's, everything else a shell's.
    #[arg(long)]
    syntax: Option<SyntaxArg>,
    #[command(flatten)]
    target: TargetArgs,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum SyntaxArg {
    Shell,
    Docker,
    NcclConf,
}

impl From<SyntaxArg> for Syntax {
    fn from(syntax: SyntaxArg) -> Self {
        match syntax {
            SyntaxArg::Shell => Self::Shell,
            SyntaxArg::Docker => Self::Docker,
            SyntaxArg::NcclConf => Self::NcclConf,
        }
    }
}

pub(super) fn run(args: &CheckArgs) -> CommandResult {
    let target = Target::of(&args.target)?;
    let file = args.file.display().to_string();
    let text = read(&args.file)?;
    let name = args
        .file
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let syntax = args.syntax.map_or_else(|| Syntax::guess(&name), Into::into);
    let report = lint(&text, syntax, args.syntax.is_none(), &target.context());
    if args.json {
        output::json(&to_json(&file, &report, &target))?;
    } else {
        output::text(to_text(&file, &report, &target))?;
    }
    let errors = report.count(Severity::Error);
    if errors > 0 {
        let lines = if errors == 1 {
            "1 error"
        } else {
            &format!("{errors} errors")
        };
        return Err(CommandError::bad_input(format!("{file}: {lines}"))
            .help("each finding says what to write instead"));
    }
    Ok(())
}

/// Reads a text file.
fn read(path: &Path) -> Result<String, CommandError> {
    let file = path.display();
    let unreadable = |error: std::io::Error| {
        CommandError::bad_input(format!("cannot read {file}: {error}"))
            .help("give a readable text file")
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(
            CommandError::bad_input(format!("{file} is a folder")).help("give a file of settings")
        );
    }
    let too_large = |length: String| {
        CommandError::bad_input(format!(
            "{file} has {length} bytes, too many for a file of settings"
        ))
        .help("give the file that sets NCCL's variables")
    };
    if metadata.len() > MAX_BYTES {
        return Err(too_large(metadata.len().to_string()));
    }
    // Pipes and devices have no length to ask for.
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(too_large(format!("more than {MAX_BYTES}")));
    }
    let valid = std::str::from_utf8(&bytes).map_or_else(|error| error.valid_up_to(), str::len);
    let bad = bytes
        .iter()
        .position(|b| *b == 0)
        .map_or(valid, |zero| zero.min(valid));
    if bad < bytes.len() {
        let line = bytes[..bad].iter().filter(|b| **b == b'\n').count() + 1;
        let column = bytes[..bad]
            .iter()
            .rev()
            .take_while(|b| **b != b'\n')
            .count()
            + 1;
        return Err(CommandError::bad_input(format!(
            "{file}:{line}:{column}: byte 0x{:02x} is no text",
            bytes[bad]
        ))
        .help("give a text file in UTF-8"));
    }
    String::from_utf8(bytes).map_err(|error| CommandError::bad_input(format!("{file}: {error}")))
}

fn style(severity: Severity) -> Style {
    let color = match severity {
        Severity::Error => AnsiColor::Red,
        Severity::Warning => AnsiColor::Yellow,
        Severity::Note => AnsiColor::Cyan,
    };
    color.on_default().bold()
}

/// `file:line:column: severity[rule]: NAME: reason`, then the fix. Colours are stripped by the
/// stream where it is no terminal.
fn to_text(file: &str, report: &Report, target: &Target) -> String {
    let mut text = String::new();
    for Located {
        line,
        column,
        finding,
    } in &report.findings
    {
        let style = style(finding.severity);
        let what = match finding.variable.as_str() {
            "" => finding.reason.clone(),
            name => format!("{name}: {}", finding.reason),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{file}:{line}:{column}: {style}{}[{}]{style:#}",
            finding.severity.word(),
            finding.rule.word()
        );
        for part in wrap(&what, WIDTH - 4) {
            let _ = writeln!(text, "    {part}");
        }
        for (index, part) in wrap(&finding.fix, WIDTH - 9).iter().enumerate() {
            let _ = writeln!(
                text,
                "    {} {part}",
                if index == 0 { "fix:" } else { "    " }
            );
        }
    }
    if !report.findings.is_empty() {
        text.push('\n');
    }
    let counts = [Severity::Error, Severity::Warning, Severity::Note]
        .map(|s| counted(report.count(s), s.word()));
    let _ = writeln!(
        text,
        "{} in {file} ({} of NCCL, read as {}, checked against {})",
        counts.join(", "),
        counted(report.variables, "variable"),
        report.syntax.word(),
        target.describe(),
    );
    text
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn to_json(file: &str, report: &Report, target: &Target) -> Value {
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(
            |Located {
                 line,
                 column,
                 finding,
             }| {
                json!({
                    "line": line,
                    "column": column,
                    "severity": finding.severity,
                    "rule": finding.rule,
                    "variable": finding.variable,
                    "reason": finding.reason,
                    "fix": finding.fix,
                    "related": finding.related,
                })
            },
        )
        .collect();
    json!({
        "file": file,
        "syntax": report.syntax,
        "nccl_version": target.version(),
        "platform": target.platform.map(|p| p.words()).unwrap_or_default(),
        "variables": report.variables,
        "errors": report.count(Severity::Error),
        "warnings": report.count(Severity::Warning),
        "notes": report.count(Severity::Note),
        "findings": findings,
    })
}
