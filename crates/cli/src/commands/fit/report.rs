//! What a fit found, for people, for programs, and as comments of the table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ccl_core::{CommShape, Finding, Sweep, format_bytes};
use ccl_search::fit::{
    CurveKey, Fit, FitOptions, NoiseBasis, PairBasis, Speedup, Untouched, Why, Window,
};
use serde::Serialize;

use super::FitArgs;
use crate::table::{Align, Table, WIDTH, wrap};

/// The answer; its serialised form is what `--json` prints.
#[derive(Serialize)]
pub struct Report<'a> {
    data: Vec<String>,
    /// The table that was written, if one was.
    out: Option<String>,
    points: usize,
    options: &'a FitOptions,
    /// The models of NCCL that completed algorithms to pairs; empty if none was needed.
    protocol_models: Vec<String>,
    windows: &'a [Window],
    untouched: &'a [Untouched],
    findings: &'a [Finding],
}

impl<'a> Report<'a> {
    /// Collects.
    pub fn new(
        args: &FitArgs,
        sweep: &'a Sweep,
        found: &'a Fit,
        options: &'a FitOptions,
        protocol_models: Vec<String>,
    ) -> Self {
        Self {
            data: args.data.iter().map(|p| p.display().to_string()).collect(),
            out: args.out.as_ref().map(|p| p.display().to_string()),
            points: sweep.points().count(),
            options,
            protocol_models,
            windows: &found.windows,
            untouched: &found.untouched,
            findings: sweep.findings(),
        }
    }

    /// The comments of the table: what it rests on.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = vec![format!(
            "Made by ccl-agent fit from {} ({} points).",
            self.data.join(", "),
            self.points
        )];
        if let Some(window) = self.windows.first() {
            notes.push(format!("Holds for: {}.", window.key.conditions));
        } else {
            notes.push("No choice beats the default by more than the noise: no rows.".to_owned());
        }
        for window in self.windows {
            notes.push(format!(
                "{} {}: {} for {}, {} sizes.",
                heading(&window.key),
                sizes(window.range()),
                window.asked,
                gain(&window.speedup),
                window.points.len(),
            ));
        }
        notes.extend(self.inference());
        notes
    }

    fn inference(&self) -> Option<String> {
        (!self.protocol_models.is_empty()).then(|| {
            format!(
                "Protocol where the sweep names only the algorithm: not recorded; what NCCL's own cost \
                 model takes on {}.",
                self.protocol_models.join(", ")
            )
        })
    }

    /// Tables.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let paragraph = |text: &mut String, what: &str| {
            for line in wrap(what, WIDTH) {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{line}");
            }
        };
        if self.windows.is_empty() {
            paragraph(
                &mut text,
                "Nothing beats the default by more than the noise: NCCL is left alone.",
            );
        } else {
            self.gains(&mut text);
        }
        self.left_alone(&mut text);
        text.push('\n');
        let floor = &self.options.floor;
        paragraph(
            &mut text,
            &format!(
                "Speed-up is default time / choice time with its 95 % interval: from the repeats where \
                 both have six and more; else a floor of {:.1} % on one node and {:.1} % between \
                 nodes (and never less than what that is of {} us). Bounds are measured sizes.",
                100.0 * floor.one_node,
                100.0 * floor.many_nodes,
                floor.shortest_us,
            ),
        );
        if let Some(inference) = self.inference() {
            paragraph(&mut text, &inference);
        }
        if let Some(first) = self.findings.first() {
            paragraph(
                &mut text,
                &format!(
                    "{} rows were not used, the first in line {}: {}.",
                    self.findings.len(),
                    first.line,
                    first.what
                ),
            );
        }
        let rows: usize = self.windows.iter().map(|w| w.rows.len()).sum();
        match &self.out {
            Some(out) => {
                let _ = writeln!(text, "Wrote {out}: {rows} rows.");
            }
            None => paragraph(
                &mut text,
                "Nothing was written; --out FILE writes the table.",
            ),
        }
        text
    }

    fn gains(&self, text: &mut String) {
        let mut key = None;
        let mut tables: Vec<(&CurveKey, Table)> = Vec::new();
        for window in self.windows {
            if key.replace(&window.key) != Some(&window.key) {
                tables.push((
                    &window.key,
                    Table::new([
                        ("SIZES", Align::Left),
                        ("CHOICE", Align::Left),
                        ("SPEED-UP", Align::Left),
                        ("POINTS", Align::Right),
                        ("NOISE FROM", Align::Left),
                        ("ROWS", Align::Left),
                    ]),
                ));
            }
            if let Some((_, table)) = tables.last_mut() {
                table.row([
                    sizes(window.range()),
                    window.asked.to_string(),
                    gain(&window.speedup),
                    window.points.len().to_string(),
                    basis(window.speedup.basis).to_owned(),
                    rows(window),
                ]);
            }
        }
        for (key, table) in tables {
            let _ = writeln!(
                text,
                "{}\n{}\n\n{}",
                key.conditions,
                heading(key),
                table.render()
            );
        }
    }

    /// Curves that were compared, size by size; the others counted by reason.
    fn left_alone(&self, text: &mut String) {
        let mut compared = Table::new([
            ("LEFT TO NCCL", Align::Left),
            ("SIZES", Align::Left),
            ("BEST OTHER", Align::Left),
            ("SPEED-UP", Align::Left),
            ("WHY", Align::Left),
        ]);
        let mut any = false;
        let mut counted: BTreeMap<Why, usize> = BTreeMap::new();
        for left in self.untouched {
            let Some((asked, speedup)) = left.best else {
                *counted.entry(left.why).or_default() += 1;
                continue;
            };
            any = true;
            compared.row([
                heading(&left.key),
                sizes((left.min_bytes, left.max_bytes)),
                asked.to_string(),
                gain(&speedup),
                why(left.why).to_owned(),
            ]);
        }
        if any {
            text.push_str(&compared.render());
        }
        for (reason, count) in counted {
            let _ = writeln!(text, "Not compared, {count} curves: {}.", why(reason));
        }
    }
}

fn heading(key: &CurveKey) -> String {
    let CommShape { ranks, nodes } = key.shape;
    format!("{} {ranks}r/{nodes}n", key.collective)
}

fn sizes((min, max): (u64, u64)) -> String {
    if min == max {
        format_bytes(min)
    } else {
        format!("{}..{}", format_bytes(min), format_bytes(max))
    }
}

fn gain(speedup: &Speedup) -> String {
    let [low, high] = speedup.ci95;
    format!("{:.3} [{low:.3}, {high:.3}]", speedup.median)
}

fn basis(basis: NoiseBasis) -> &'static str {
    match basis {
        NoiseBasis::Repeats => "repeats",
        NoiseBasis::Floor => "floor",
    }
}

/// The pairs of a window and how they are known.
fn rows(window: &Window) -> String {
    let mut parts: Vec<String> = Vec::new();
    for row in &window.rows {
        let known = match row.basis {
            PairBasis::Asked => "named",
            PairBasis::Log => "logged",
            PairBasis::OnlyOne => "its only one",
            PairBasis::Model => "model",
        };
        parts.push(format!(
            "{} {} ({known})",
            row.choice.protocol,
            sizes((row.min_bytes, row.max_bytes))
        ));
    }
    parts.join(", ")
}

fn why(why: Why) -> &'static str {
    match why {
        Why::NotTunable => "NCCL asks no tuner about this collective",
        Why::NoDefault => "no default was measured under the same conditions",
        Why::OnlyDefault => "nothing but the default was measured",
        Why::DefaultIsFastest => "the default is fastest",
        Why::WithinNoise => "inside the noise",
        Why::NeighboursContradict => "one size alone, its neighbours contradict",
        Why::NoRow => {
            "faster, but no row can say it: it pins threads or chunk, or its algorithm or protocol \
             is not known (name --cluster)"
        }
    }
}
