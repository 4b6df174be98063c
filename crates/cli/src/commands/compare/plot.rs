//! Pictures of a comparison: how far above the oracle over evaluations, and what searching cost.
//! Plain SVG, written by hand, as the pictures of [`sim validate`](super::super::sim).

use std::fmt::Write as _;

use ccl_agent::compare::report::Report;

/// Size of one panel and its margins, pixels.
const PANEL: (f64, f64) = (230.0, 150.0);
const MARGIN: (f64, f64) = (44.0, 38.0);
const COLUMNS: usize = 4;
/// Colours that stay apart for most people (Okabe and Ito 2008), then dashes.
const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000",
];
/// Percent above the oracle that the pictures show, lowest and highest.
const PERCENT: (f64, f64) = (0.1, 300.0);
/// Height of one bar of regret, pixels.
const BAR: f64 = 20.0;

fn style(index: usize) -> String {
    let colour = COLOURS[index % COLOURS.len()];
    let dashes = if index < COLOURS.len() {
        ""
    } else {
        " stroke-dasharray=\"5,3\""
    };
    format!("stroke=\"{colour}\"{dashes}")
}

fn opening(width: f64, height: f64, title: &str, what: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" \
         fill=\"white\"/>\n<text x=\"12\" y=\"20\" font-size=\"15\">{title}</text>\n<text x=\"12\" \
         y=\"36\" fill=\"#555\">{what}</text>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// One panel per task: median percent above the oracle over evaluations, both logarithmic.
pub(super) fn convergence(report: &Report) -> String {
    let columns = COLUMNS.min(report.tasks.len().max(1));
    let lines = report.tasks.len().div_ceil(columns);
    let cell = (PANEL.0 + MARGIN.0 + 14.0, PANEL.1 + 2.0 * MARGIN.1);
    let legend = 18.0 * report.methods.len().div_ceil(columns) as f64;
    let (width, height) = (
        cell.0 * columns as f64 + 10.0,
        cell.1 * lines as f64 + 60.0 + legend,
    );
    let mut svg = opening(
        width,
        height,
        "Percent above the oracle over evaluations",
        &format!("median over {} seeds; the line at 2 %", report.seeds),
    );
    for (index, method) in report.methods.iter().enumerate() {
        let x = 12.0 + cell.0 * (index % columns) as f64;
        let y = 56.0 + 18.0 * (index / columns) as f64;
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.0}\" x2=\"{:.0}\" y1=\"{y:.0}\" y2=\"{y:.0}\" {} stroke-width=\"2\"/>\
             <text x=\"{:.0}\" y=\"{:.0}\">{method}</text>",
            x + 28.0,
            style(index),
            x + 34.0,
            y + 4.0,
        );
    }
    let curves = report.convergence.chunks(report.methods.len().max(1));
    for (index, (task, curves)) in report.tasks.iter().zip(curves).enumerate() {
        let origin = (
            cell.0 * (index % columns) as f64 + MARGIN.0,
            cell.1 * (index / columns) as f64 + MARGIN.1 + 46.0 + legend,
        );
        panel(&mut svg, origin, &task.name, curves, report.budget);
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, origin: (f64, f64), title: &str, curves: &[Vec<f64>], budget: u32) {
    let log = |v: f64| v.clamp(PERCENT.0, PERCENT.1).log10();
    let (low, high) = (log(PERCENT.0), log(PERCENT.1));
    let last = f64::from(budget.max(2)).log10();
    let x = |evaluations: f64| origin.0 + PANEL.0 * evaluations.max(1.0).log10() / last;
    let y = |percent: f64| origin.1 + PANEL.1 * (1.0 - (log(percent) - low) / (high - low));
    let _ = writeln!(
        svg,
        "<text x=\"{0:.0}\" y=\"{1:.0}\" font-size=\"12\">{2}</text>\n<rect x=\"{0:.0}\" y=\"{3:.0}\" \
         width=\"{4}\" height=\"{5}\" fill=\"none\" stroke=\"#999\"/>",
        origin.0,
        origin.1 - 6.0,
        escaped(title),
        origin.1,
        PANEL.0,
        PANEL.1
    );
    for (percent, colour) in [
        (0.1, "#eee"),
        (1.0, "#eee"),
        (2.0, "#bbb"),
        (10.0, "#eee"),
        (100.0, "#eee"),
    ] {
        let _ = writeln!(
            svg,
            "<line x1=\"{:.0}\" x2=\"{:.0}\" y1=\"{2:.1}\" y2=\"{2:.1}\" stroke=\"{colour}\"/>",
            origin.0,
            origin.0 + PANEL.0,
            y(percent),
        );
        if (percent - 2.0).abs() > 0.5 {
            let _ = writeln!(
                svg,
                "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{percent}</text>",
                origin.0 - 4.0,
                y(percent) + 4.0
            );
        }
    }
    let mut tick = 1.0;
    while tick <= f64::from(budget) {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{tick}</text>",
            x(tick),
            origin.1 + PANEL.1 + 14.0
        );
        tick *= 10.0;
    }
    for (index, curve) in curves.iter().enumerate() {
        let mut points = String::new();
        let mut before: Option<f64> = None;
        for (evaluations, percent) in curve.iter().enumerate().skip(1) {
            // Steps: what would run changes all at once.
            let at = x(evaluations as f64);
            if let Some(before) = before.filter(|b| (b - percent).abs() > 1e-9) {
                let _ = write!(points, "{at:.1},{:.1} ", y(before));
            } else if before.is_some() && evaluations + 1 < curve.len() {
                continue;
            }
            let _ = write!(points, "{at:.1},{:.1} ", y(*percent));
            before = Some(*percent);
        }
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" {} stroke-width=\"1.5\"/>",
            points.trim_end(),
            style(index)
        );
    }
}

/// One bar per method: regret of a run, median and 95 % interval over tasks and seeds.
pub(super) fn regret(report: &Report) -> String {
    let (left, long) = (160.0, 420.0);
    let most = report
        .overall
        .iter()
        .map(|o| o.regret_iterations.ci95[1])
        .fold(1.0, f64::max);
    // Linear up to 0.01 iterations, logarithmic beyond: zero has no logarithm.
    let least: f64 = 0.01;
    let x = |regret: f64| left + long * (1.0 + regret / least).ln() / (1.0 + most / least).ln();
    let height = 70.0 + BAR * report.overall.len() as f64;
    let mut svg = opening(
        left + long + 90.0,
        height,
        "Regret of a run, iterations of the job",
        "median over tasks and seeds, with its 95 % interval; logarithmic from 0.01",
    );
    for (index, overall) in report.overall.iter().enumerate() {
        let top = 50.0 + BAR * index as f64;
        let regret = overall.regret_iterations;
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>\n<rect x=\"{left}\" \
             y=\"{top:.0}\" width=\"{:.1}\" height=\"{}\" fill=\"{}\"/>\n<line x1=\"{:.1}\" \
             x2=\"{:.1}\" y1=\"{8:.1}\" y2=\"{8:.1}\" stroke=\"black\"/>",
            left - 6.0,
            top + 12.0,
            overall.method,
            x(regret.median) - left,
            BAR - 6.0,
            COLOURS[index % COLOURS.len()],
            x(regret.ci95[0]),
            x(regret.ci95[1]),
            top + BAR / 2.0 - 3.0,
        );
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.0}\">{:.2}</text>",
            x(regret.ci95[1].max(regret.median)) + 6.0,
            top + 12.0,
            regret.median
        );
    }
    svg.push_str("</svg>\n");
    svg
}
