//! A report for people: how the job stands, the table, and what the figures show.

use ccl_agent::observe::report::{Asked, Depth, Lost, Report};
use ccl_agent::observe::row::{Clock, Row};

use super::columns::{clock, shape, size, table};
use crate::table::wrap;

/// Rows that get a sentence.
const MOST_EXPLAINED: usize = 3;
/// Part of the time from which on a row is worth one.
const WORTH_EXPLAINING: f64 = 0.05;

/// The text, line by line; no line of the table is wider than `width` while leaving out columns helps.
pub(super) fn lines(report: &Report, width: usize) -> Vec<String> {
    let mut lines = wrap(&standing(report), width);
    for note in notes(report) {
        lines.extend(wrap(&note, width));
    }
    if report.rows.is_empty() {
        lines.push("No collective was recorded yet.".to_owned());
        return lines;
    }
    lines.push(String::new());
    lines.extend(table(&report.rows, width).lines().map(str::to_owned));
    lines.push(String::new());
    for row in explained(&report.rows) {
        let text = format!(
            "{} of {}, {} ({:.0} % of the time): {}",
            row.collective,
            size(row),
            shape(row),
            100.0 * row.share,
            row.why.join("; ")
        );
        let mut indent = "* ";
        for line in wrap(&text, width.saturating_sub(2)) {
            lines.push(format!("{indent}{line}"));
            indent = "  ";
        }
    }
    lines
}

fn explained(rows: &[Row]) -> impl Iterator<Item = &Row> {
    let is_worth = |row: &&Row| row.share >= WORTH_EXPLAINING || row.clock == Clock::None;
    rows.iter().filter(is_worth).take(MOST_EXPLAINED)
}

fn standing(report: &Report) -> String {
    let s = |n: usize| if n == 1 { "" } else { "es" };
    let living = match report.living {
        0 => "all over".to_owned(),
        n if n == report.processes => "all living".to_owned(),
        n => format!("{n} living"),
    };
    format!(
        "{}: {} process{}, {living}; {} records; {}; {}",
        report.job,
        report.processes,
        s(report.processes),
        report.records,
        report.asked.map_or("recording differs".to_owned(), asked),
        time_of_day(report.at_us),
    )
}

fn asked(asked: Asked) -> String {
    let what = match asked.depth {
        Some(Depth::Collectives) => "collectives",
        Some(Depth::Kernels) => "collectives and kernels",
        Some(Depth::Transfers) => "collectives, kernels and transfers",
        None => "some kinds of events",
    };
    match asked.sample {
        1 => format!("recording {what}"),
        n => format!("recording {what} of one collective in {n}"),
    }
}

fn time_of_day(at_us: u64) -> String {
    let at = i64::try_from(at_us).map(jiff::Timestamp::from_microsecond);
    match at {
        Ok(Ok(at)) => at.strftime("%H:%M:%S UTC").to_string(),
        _ => String::new(),
    }
}

/// Where the durations come from, and what is missing.
fn notes(report: &Report) -> Vec<String> {
    let rows = &report.rows;
    let mut notes: Vec<String> = durations(rows).into_iter().collect();
    if rows.iter().any(|row| row.ranks.is_none()) {
        notes.push(
            "Ranks ?: NCCL before 2.27 does not say how many. Bandwidth is unknown, sizes of AllGather \
             and ReduceScatter are one rank's part, and channels can be the most NCCL allowed itself."
                .to_owned(),
        );
    }
    notes.extend(lost(report.lost));
    notes.extend(
        report
            .not_read
            .iter()
            .map(|file| format!("Not read: {}: {}.", file.file, file.why)),
    );
    notes
}

/// Whose clock the durations are by; a row says it where they differ.
fn durations(rows: &[Row]) -> Option<String> {
    let meanings = [
        (
            "GPU",
            "the GPU's own timer, first channel's start to last channel's end",
        ),
        ("host", "the host's clock, as NCCL's proxy saw it"),
        ("sim", "simulated by a model, measured by nobody"),
        ("-", "none: only the enqueuing was seen"),
    ];
    let is_there = |mark: &str| rows.iter().any(|row| clock(row) == mark);
    let there = || meanings.into_iter().filter(|(mark, _)| is_there(mark));
    match there().count() {
        0 => None,
        1 => there()
            .next()
            .map(|(_, what)| format!("Durations: {what}.")),
        _ => {
            let each: Vec<String> = there()
                .map(|(mark, what)| format!("{mark} = {what}"))
                .collect();
            Some(format!("Clock of the durations: {}.", each.join("; ")))
        }
    }
}

fn lost(lost: Lost) -> Option<String> {
    let parts: Vec<String> = [
        (lost.dropped, "records found a ring full"),
        (lost.crowded, "events found too many open"),
        (lost.late, "events came after their collective was over"),
        (lost.damaged, "records were damaged"),
        (lost.unlisted, "records were of more rows than a table has"),
        (
            lost.without_inspector_line,
            "collectives had no bandwidth and got no line of the inspector's",
        ),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    (!parts.is_empty()).then(|| format!("Missing: {}.", parts.join("; ")))
}
