//! The table's columns, and which of them fit.

use ccl_agent::observe::reasons::microseconds;
use ccl_agent::observe::row::{Clock, Row};
use ccl_core::{Choice, CommShape, Source, format_bytes};

use crate::table::{Align, Table};

/// The widest form that fits, columns that matter least left out first.
pub(super) fn table(rows: &[Row], width: usize) -> String {
    let widest = |text: &str| text.lines().map(|l| l.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for level in 0..=MOST_NARROW {
        text = render(rows, level);
        if widest(&text) <= width {
            break;
        }
    }
    text
}

/// How often something can be left out: threads and all waits but one at first, then columns.
const MOST_NARROW: usize = 8;
/// The level that leaves out everything that can be.
const NEVER: usize = MOST_NARROW + 1;

fn render(rows: &[Row], level: usize) -> String {
    type Cell = fn(&Row, usize) -> String;
    let is_mixed = rows.iter().any(|row| clock(row) != clock(&rows[0]));
    // From which level on a column is left out.
    let columns: [(&str, Align, usize, Cell); 12] = [
        ("COLLECTIVE", Align::Left, NEVER, |row, _| {
            row.collective.to_string()
        }),
        ("RANKS", Align::Left, 4, |row, _| shape(row)),
        ("SIZE", Align::Right, NEVER, |row, _| size(row)),
        ("CHOICE", Align::Left, NEVER, choice),
        ("CALLS", Align::Right, 8, |row, _| row.calls.to_string()),
        ("TIME", Align::Right, 3, |row, _| {
            format!("{:.0} %", 100.0 * row.share)
        }),
        ("MEDIAN us", Align::Right, NEVER, |row, _| {
            time(row.median_us)
        }),
        ("P99 us", Align::Right, 6, |row, _| time(row.p99_us)),
        ("BUS GB/s", Align::Right, NEVER, |row, _| {
            row.busbw_gbs.map_or("-".to_owned(), bandwidth)
        }),
        (
            "CLOCK",
            Align::Left,
            if is_mixed { NEVER } else { 0 },
            |row, _| clock(row).to_owned(),
        ),
        ("WAITS", Align::Left, 7, waits),
        ("LATE RANK", Align::Left, 5, late),
    ];
    let shown = || columns.iter().filter(|(_, _, until, _)| level < *until);
    let heads = shown().map(|(name, align, _, _)| (*name, *align));
    let mut table = Table::new(heads).within(usize::MAX);
    for row in rows {
        table.row(shown().map(|(_, _, _, cell)| cell(row, level)));
    }
    table.render()
}

pub(super) fn size(row: &Row) -> String {
    if row.min_bytes == row.max_bytes {
        return format_bytes(row.min_bytes);
    }
    format!(
        "{}..{}",
        format_bytes(row.min_bytes),
        format_bytes(row.max_bytes)
    )
}

pub(super) fn shape(row: &Row) -> String {
    match (row.ranks, row.nodes) {
        (Some(ranks), nodes) => CommShape::new(ranks, nodes.unwrap_or(0)).to_string(),
        (None, _) => "?".to_owned(),
    }
}

/// A mark for where the durations come from.
pub(super) fn clock(row: &Row) -> &'static str {
    match (row.clock, row.source) {
        (Clock::None, _) => "-",
        (_, Source::Simulated) => "sim",
        (Clock::Gpu, _) => "GPU",
        (Clock::Host, _) => "host",
    }
}

fn choice(row: &Row, level: usize) -> String {
    let choice = row.choice;
    let threads = choice.threads.filter(|_| level < 1);
    Choice { threads, ..choice }.to_string()
}

fn time(us: Option<f64>) -> String {
    us.map_or("-".to_owned(), microseconds)
}

fn bandwidth(gbs: f64) -> String {
    if gbs < 10.0 {
        format!("{gbs:.2}")
    } else {
        format!("{gbs:.1}")
    }
}

fn late(row: &Row, _: usize) -> String {
    row.late_rank.as_ref().map_or("-".to_owned(), |late| {
        format!("{} +{} us", late.rank, microseconds(late.others_wait_us))
    })
}

fn waits(row: &Row, level: usize) -> String {
    let Some(waits) = row.waits else {
        return "-".to_owned();
    };
    let count = if level < 2 { 2 } else { 1 };
    let shares = waits.by_size().into_iter().take(count);
    let shares = shares.filter(|(_, share)| *share >= 0.01);
    shares
        .map(|(word, share)| format!("{word} {:.0} %", 100.0 * share))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use ccl_abi::shared::{Membership, Record, Timing, Waits};
    use ccl_agent::observe::seen::Seen;

    use super::*;

    fn rows() -> Vec<Row> {
        let record = Record {
            communicator: 0,
            sequence: 0,
            collective: 3,
            algorithm: 5,
            protocol: 2,
            channels: 16,
            warps: 17,
            element_bytes: 4,
            timing: Timing::Device,
            is_complete: true,
            count: 1 << 20,
            enqueued_ns: 0,
            duration_ns: 123_456,
            transfers: 1,
            sampled: 1,
            transferred_bytes: 0,
            waits: Waits::from([60, 0, 0, 40, 0, 0]),
        };
        let member = Membership {
            id: 1,
            ranks: 1024,
            nodes: 128,
            rank: 0,
        };
        let mut table = ccl_agent::observe::table::Table::default();
        table.add(&Seen::of(record, Some(member), 1, 0, false).unwrap());
        table.rows()
    }

    #[test]
    fn a_narrow_terminal_gets_fewer_columns_and_no_longer_lines() {
        let rows = rows();
        let head = |width: usize| {
            let text = table(&rows, width);
            let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(longest <= width, "{width}: {text}");
            text.lines().next().unwrap().to_owned()
        };
        let all = [
            "COLLECTIVE",
            "RANKS",
            "SIZE",
            "CHOICE",
            "CALLS",
            "TIME",
            "MEDIAN us",
            "P99 us",
            "BUS GB/s",
            "WAITS",
            "LATE RANK",
        ];
        assert!(
            all.iter().all(|name| head(160).contains(name)),
            "{}",
            head(160)
        );
        assert!(!head(160).contains("CLOCK"), "they do not differ");
        let mut before = all.len();
        for width in (66..160).rev() {
            let head = head(width);
            let shown = all.iter().filter(|name| head.contains(**name)).count();
            assert!(shown <= before, "{width}: {head}");
            before = shown;
        }
        assert!(head(66).starts_with("COLLECTIVE") && head(66).ends_with("BUS GB/s"));
        // Sooner the second wait and the threads than a column.
        assert!(table(&rows, 160).contains("send-gpu 60 %, recv 40 %"));
        assert!(table(&rows, 130).contains("send-gpu 60 %"));
    }
}
