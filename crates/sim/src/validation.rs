//! Holds the simulator against recorded measurements, row by row.
//!
//! A row is mapped to a machine by what it says of itself, simulated with exactly what was asked
//! of NCCL there (the untuned rows with what the NCCL model chooses), and compared in time. A row
//! that cannot be mapped is counted and named, never left out silently. Nothing is fitted here.

mod machine;
mod statistics;

use std::collections::BTreeMap;

use ccl_core::{Asked, Choice, Collective, Sweep, SweepPoint};
use serde::Serialize;

use crate::hardware::Hardware;
use crate::nccl::{Model, System};
use crate::{CollectiveCall, Group, ResolvedChoice};
pub use machine::{Machine, NotCovered};
use statistics::{mean_rank_correlation, quantile};

/// Errors count from this size up: below it the harness is part of what is timed.
pub const FROM_BYTES: u64 = 64 << 10;

/// One row with what the model says of it.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The row.
    pub point: SweepPoint,
    /// The machine it was mapped to.
    pub machine: String,
    /// What was simulated.
    pub choice: ResolvedChoice,
    /// The model's time, microseconds.
    pub predicted_us: f64,
}

impl Compared {
    /// Relative error in time, percent; positive where the model is too slow.
    pub fn error_pct(&self) -> f64 {
        100.0 * (self.predicted_us / self.point.time_us - 1.0)
    }
}

/// How one data set compares.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// Rows compared, from [`FROM_BYTES`] up.
    pub points: usize,
    /// Rows of any size that could not be mapped.
    pub not_covered: usize,
    /// Median of the absolute relative error in time, percent.
    pub median_abs_pct_error: Option<f64>,
    /// 90th percentile of the same.
    pub p90_abs_pct_error: Option<f64>,
    /// The median over the untuned rows alone.
    pub default_median_abs_pct_error: Option<f64>,
    /// Rank correlation between measured and simulated times of the configurations of one call,
    /// averaged over the calls that were timed with three and more; `None` without any.
    pub spearman: Option<f64>,
    /// Why rows could not be mapped, with counts.
    pub reasons: BTreeMap<String, usize>,
}

/// The whole comparison.
#[derive(Clone, Debug)]
pub struct Validation {
    /// Per data set, in the order of their names.
    pub datasets: Vec<Dataset>,
    /// Every row compared, of any size.
    pub compared: Vec<Compared>,
}

/// Compares a sweep.
pub fn validate(sweep: &Sweep) -> Validation {
    let mut machines = Machines::default();
    let mut compared: BTreeMap<String, Vec<Compared>> = BTreeMap::new();
    let mut reasons: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for point in sweep.points() {
        let of_set = compared.entry(point.dataset.clone()).or_default();
        match machines.simulate(point) {
            Ok(row) => of_set.push(row),
            Err(reason) => {
                let reasons = reasons.entry(point.dataset.clone()).or_default();
                *reasons.entry(reason.to_string()).or_default() += 1;
            }
        }
    }
    for finding in sweep.findings() {
        compared.entry(finding.dataset.clone()).or_default();
        let reasons = reasons.entry(finding.dataset.clone()).or_default();
        *reasons.entry(finding.what.clone()).or_default() += 1;
    }
    let datasets = compared
        .iter()
        .map(|(name, rows)| summarise(name, rows, reasons.remove(name).unwrap_or_default()))
        .collect();
    Validation {
        datasets,
        compared: compared.into_values().flatten().collect(),
    }
}

fn summarise(name: &str, rows: &[Compared], reasons: BTreeMap<String, usize>) -> Dataset {
    let counted: Vec<&Compared> = rows
        .iter()
        .filter(|r| r.point.cell.bytes >= FROM_BYTES)
        .collect();
    let errors = |only_default: bool| -> Vec<f64> {
        counted
            .iter()
            .filter(|r| !only_default || r.point.asked.is_default())
            .map(|r| r.error_pct().abs())
            .collect()
    };
    let all = errors(false);
    Dataset {
        name: name.to_owned(),
        points: all.len(),
        not_covered: reasons.values().sum(),
        median_abs_pct_error: quantile(&all, 0.5),
        p90_abs_pct_error: quantile(&all, 0.9),
        default_median_abs_pct_error: quantile(&errors(true), 0.5),
        spearman: mean_rank_correlation(&counted),
        reasons,
    }
}

/// Machines that were seen already, with their models.
#[derive(Default)]
struct Machines {
    known: BTreeMap<String, (Machine, Hardware)>,
    models: BTreeMap<String, Model>,
}

impl Machines {
    fn simulate(&mut self, point: &SweepPoint) -> Result<Compared, NotCovered> {
        let cell = &point.cell;
        let name = format!("{:?} {}", cell.conditions, cell.shape);
        if !self.known.contains_key(&name) {
            let machine = Machine::of(cell)?;
            let hardware = Hardware::new(&machine.cluster, &machine.settings);
            self.known.insert(name.clone(), (machine, hardware));
        }
        let Some((machine, hardware)) = self.known.get(&name) else {
            return Err(NotCovered::Machine(cell.conditions.gpu.clone()));
        };
        let model = self.models.entry(name).or_insert_with(|| {
            let system = System::derive(&machine.cluster, cell.shape, &machine.settings);
            Model::new(system, machine.settings.clone())
        });
        let choice = run_with(model, cell.collective, cell.bytes, point.asked)?;
        let call = CollectiveCall {
            collective: cell.collective,
            bytes: cell.bytes,
            group: Group::alone(cell.shape),
            choice,
        };
        Ok(Compared {
            point: point.clone(),
            machine: machine.cluster.name.clone(),
            choice,
            predicted_us: hardware.time(&call, machine.load).time_us + machine.harness_us,
        })
    }
}

/// What NCCL runs when told this much.
fn run_with(
    model: &Model,
    collective: Collective,
    bytes: u64,
    asked: Asked,
) -> Result<ResolvedChoice, NotCovered> {
    if !collective.is_tunable() {
        return Ok(ResolvedChoice::POINT_TO_POINT);
    }
    let table = model.cost_table(collective, bytes, 1);
    let pair = table
        .possible()
        .filter(|(a, p)| {
            asked.algorithm.is_none_or(|n| n == *a) && asked.protocol.is_none_or(|n| n == *p)
        })
        .filter_map(|(a, p)| Some((table.get(a, p)?, a, p)))
        .min_by(|x, y| x.0.total_cmp(&y.0));
    // A pair NCCL does not offer by itself was forced there: it ran all the same.
    let (algorithm, protocol) = match (pair, asked.algorithm, asked.protocol) {
        (Some((_, a, p)), ..) | (None, Some(a), Some(p)) => (a, p),
        _ => return Err(NotCovered::Choice(asked.to_string())),
    };
    let choice = Choice {
        channels: asked.channels,
        threads: asked.threads,
        chunk_bytes: asked.chunk_bytes,
        ..Choice::new(algorithm, protocol)
    };
    if choice.check(collective).is_err() {
        return Err(NotCovered::Choice(asked.to_string()));
    }
    Ok(model.resolve(choice, collective, bytes))
}
