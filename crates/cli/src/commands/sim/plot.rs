//! Measured against model, one picture per data set: bus bandwidth over size, both logarithmic,
//! points for what was measured and lines for the model. Plain SVG, written by hand: the pictures
//! are read in a repository, where no script runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ccl_core::{Collective, CommShape, format_bytes};
use ccl_sim::validation::{Compared, Dataset};

/// Size of one panel and its margins, pixels.
const PANEL: (f64, f64) = (300.0, 200.0);
const MARGIN: (f64, f64) = (58.0, 40.0);
const COLUMNS: usize = 3;
/// Smallest width, pixels: the heading must fit.
const NARROWEST: f64 = 520.0;
/// Largest number of panels; the rest would not be looked at.
const MOST_PANELS: usize = 12;
/// Colours that stay apart for most people (Okabe and Ito 2008).
const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000",
];

type Panel = (String, CommShape, Collective);

/// The picture; `None` without points.
pub(super) fn plot(dataset: &Dataset, rows: &[&Compared]) -> Option<String> {
    let mut panels: BTreeMap<Panel, BTreeMap<String, Vec<&Compared>>> = BTreeMap::new();
    for row in rows {
        let cell = &row.point.cell;
        let panel = (row.machine.clone(), cell.shape, cell.collective);
        let series = series_name(row);
        panels
            .entry(panel)
            .or_default()
            .entry(series)
            .or_default()
            .push(row);
    }
    let left_out = panels.len().saturating_sub(MOST_PANELS);
    let panels: Vec<_> = panels.into_iter().take(MOST_PANELS).collect();
    if panels.is_empty() {
        return None;
    }
    let columns = panels.len().min(COLUMNS);
    let lines = panels.len().div_ceil(columns);
    let legend = |series: usize| 14.0 * series.min(COLOURS.len()) as f64;
    let tallest = panels
        .iter()
        .map(|(_, s)| legend(s.len()))
        .fold(0.0, f64::max);
    let cell = (
        PANEL.0 + MARGIN.0 + 20.0,
        PANEL.1 + 2.0 * MARGIN.1 + tallest,
    );
    let (width, height) = (
        (cell.0 * columns as f64).max(NARROWEST),
        cell.1 * lines as f64 + 46.0,
    );
    // Writing to a string cannot fail.
    let mut svg = String::new();
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" \
         fill=\"white\"/>\n<text x=\"12\" y=\"20\" font-size=\"15\">{}: measured (points) and \
         simulated (lines)</text>\n<text x=\"12\" y=\"36\" fill=\"#555\">bus bandwidth in GB/s over \
         size; median error in time from 64 KiB up {}{}</text>",
        dataset.name,
        dataset
            .median_abs_pct_error
            .map_or("-".to_owned(), |e| format!("{e:.1} %")),
        if left_out > 0 {
            format!("; {left_out} more panels left out")
        } else {
            String::new()
        },
    );
    for (index, ((machine, shape, collective), series)) in panels.iter().enumerate() {
        let origin = (
            cell.0 * (index % columns) as f64 + MARGIN.0,
            cell.1 * (index / columns) as f64 + MARGIN.1 + 46.0 - 24.0,
        );
        let title = format!(
            "{collective}, {} ranks on {} nodes, {machine}",
            shape.ranks, shape.nodes
        );
        panel(&mut svg, origin, &title, series);
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

fn series_name(row: &Compared) -> String {
    let conditions = &row.point.cell.conditions;
    let mut name = row.point.asked.to_string();
    for part in [&conditions.settings, &conditions.concurrent_compute] {
        if !part.is_empty() && part != "none" {
            let _ = write!(name, ", {part}");
        }
    }
    name.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Bus bandwidth, GB/s, of a row whose measured one belongs to its measured time.
fn simulated_gbs(row: &Compared) -> f64 {
    row.point.busbw_gbs * row.point.time_us / row.predicted_us
}

/// A bandwidth with about three digits.
fn three_digits(gbs: f64) -> String {
    match gbs {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 1.0 => format!("{v:.1}"),
        v if v >= 0.01 => format!("{v:.3}"),
        v => format!("{v:.0e}"),
    }
}

fn panel(
    svg: &mut String,
    origin: (f64, f64),
    title: &str,
    series: &BTreeMap<String, Vec<&Compared>>,
) {
    let rows = || series.values().flatten();
    let log = |v: f64| v.max(1e-9).log10();
    let range = |values: Vec<f64>| {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if high - low < 0.3 {
            (low - 0.15, low + 0.15)
        } else {
            (low, high)
        }
    };
    let x_range = range(rows().map(|r| log(r.point.cell.bytes as f64)).collect());
    let y_range = range(
        rows()
            .flat_map(|r| [log(r.point.busbw_gbs), log(simulated_gbs(r))])
            .collect(),
    );
    let x = |bytes: f64| origin.0 + PANEL.0 * (log(bytes) - x_range.0) / (x_range.1 - x_range.0);
    let y =
        |gbs: f64| origin.1 + PANEL.1 * (1.0 - (log(gbs) - y_range.0) / (y_range.1 - y_range.0));
    let _ = writeln!(
        svg,
        "<text x=\"{:.0}\" y=\"{:.0}\" font-size=\"12\">{title}</text>\n<rect x=\"{:.0}\" y=\"{:.0}\" \
         width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#999\"/>",
        origin.0,
        origin.1 - 6.0,
        origin.0,
        origin.1,
        PANEL.0,
        PANEL.1
    );
    #[allow(clippy::cast_possible_truncation)] // powers of ten
    for exponent in y_range.0.ceil() as i32..=y_range.1.floor() as i32 {
        let at = y(10f64.powi(exponent));
        let _ = writeln!(
            svg,
            "<line x1=\"{:.0}\" x2=\"{:.0}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#eee\"/>\
             <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            origin.0,
            origin.0 + PANEL.0,
            origin.0 - 5.0,
            at + 4.0,
            10f64.powi(exponent)
        );
    }
    for end in [y_range.0, y_range.1] {
        // A decade's label nearby says enough.
        if (end - end.round()).abs() * PANEL.1 < 14.0 * (y_range.1 - y_range.0) {
            continue;
        }
        let value = 10f64.powf(end);
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#777\">{}</text>",
            origin.0 - 5.0,
            y(value) + if end < y_range.1 { 2.0 } else { 8.0 },
            three_digits(value)
        );
    }
    let mut bits = x_range.0 * std::f64::consts::LOG2_10;
    while bits <= x_range.1 * std::f64::consts::LOG2_10 + 0.01 {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // sizes
        let bytes = 1u64 << (bits.round() as u32);
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
            x(bytes as f64).clamp(origin.0, origin.0 + PANEL.0),
            origin.1 + PANEL.1 + 14.0,
            format_bytes(bytes)
        );
        bits += 5.0;
    }
    for (index, (name, rows)) in series.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let mut rows = rows.clone();
        rows.sort_by_key(|r| r.point.cell.bytes);
        let line: Vec<String> = rows
            .iter()
            .map(|r| {
                format!(
                    "{:.1},{:.1}",
                    x(r.point.cell.bytes as f64),
                    y(simulated_gbs(r))
                )
            })
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>",
            line.join(" ")
        );
        for r in &rows {
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.2\" fill=\"{colour}\"/>",
                x(r.point.cell.bytes as f64),
                y(r.point.busbw_gbs)
            );
        }
        if index < COLOURS.len() {
            let _ = writeln!(
                svg,
                "<text x=\"{:.0}\" y=\"{:.0}\" fill=\"{colour}\">{}</text>",
                origin.0,
                origin.1 + PANEL.1 + 30.0 + 14.0 * index as f64,
                if index + 1 == COLOURS.len() && series.len() > COLOURS.len() {
                    format!("and {} more", series.len() - index)
                } else {
                    name.chars().take(56).collect()
                }
            );
        }
    }
}
