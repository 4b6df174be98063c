//! `ccl-agent sim validate --data CSV`: the hardware model against recorded measurements.

use std::fmt::Write as _;
use std::path::Path;

use ccl_agent::run_dir::write_atomically;
use ccl_core::read_measured_csv;
use ccl_sim::validation::{Dataset, FROM_BYTES, validate};
use serde::Serialize;

use super::plot::plot;
use crate::error::{CommandError, CommandResult};
use crate::output;
use crate::table::{Align, Table};

#[derive(Serialize)]
struct Report<'a> {
    datasets: &'a [Dataset],
}

/// Compares, draws where asked to, and prints.
///
/// # Errors
/// A sweep that cannot be read, a folder that cannot be written.
pub fn run(data: &Path, plots: Option<&Path>, json: bool) -> CommandResult {
    let text = std::fs::read_to_string(data)
        .map_err(|e| CommandError::bad_input(format!("cannot read {}: {e}", data.display())))?;
    let sweep = read_measured_csv(&text).map_err(|e| {
        CommandError::bad_input(format!("{}: {e}", data.display()))
            .help("the columns are described in doc/model-validation.md")
    })?;
    let found = validate(&sweep);
    let mut drawn = String::new();
    if let Some(folder) = plots {
        for dataset in &found.datasets {
            let rows: Vec<_> = found
                .compared
                .iter()
                .filter(|c| c.point.dataset == dataset.name)
                .collect();
            let Some(svg) = plot(dataset, &rows) else {
                continue;
            };
            let path = folder.join(format!("{}.svg", dataset.name));
            write_atomically(&path, svg.as_bytes()).map_err(|e| {
                CommandError::bad_input(format!("cannot write {}: {e}", path.display()))
            })?;
            // Writing to a string cannot fail.
            let _ = write!(drawn, "\nWrote {}", path.display());
        }
    }
    if json {
        return output::json(&Report {
            datasets: &found.datasets,
        });
    }
    output::text(format!("{}{drawn}", summary(&found.datasets)))
}

fn summary(datasets: &[Dataset]) -> String {
    let mut table = Table::new([
        ("DATA SET", Align::Left),
        ("POINTS", Align::Right),
        ("NOT COVERED", Align::Right),
        ("MEDIAN %", Align::Right),
        ("P90 %", Align::Right),
        ("UNTUNED MEDIAN %", Align::Right),
        ("SPEARMAN", Align::Right),
    ]);
    let number = |value: Option<f64>, digits: usize| {
        value.map_or("-".to_owned(), |v| format!("{v:.digits$}"))
    };
    let mut reasons = String::new();
    for d in datasets {
        table.row([
            d.name.clone(),
            d.points.to_string(),
            d.not_covered.to_string(),
            number(d.median_abs_pct_error, 1),
            number(d.p90_abs_pct_error, 1),
            number(d.default_median_abs_pct_error, 1),
            number(d.spearman, 2),
        ]);
        for (reason, count) in &d.reasons {
            // Writing to a string cannot fail.
            let _ = write!(reasons, "\n  {}: {count} rows: {reason}", d.name);
        }
    }
    if !reasons.is_empty() {
        reasons.insert_str(0, "\n\nNot covered:");
    }
    format!(
        "{}\nErrors are on time, absolute and relative, from {} KiB up. Spearman: rank correlation \
         of the\nconfigurations of one call, where three and more were timed.{reasons}",
        table.render(),
        FROM_BYTES >> 10
    )
}
