//! `ccl-agent fit`: a recorded sweep in, an NCCL tuner table out.
//!
//! Reads, asks `ccl_search::fit`, writes. What a window is, is decided there.

mod protocol;
mod report;
mod table_file;

use std::fs;
use std::path::{Path, PathBuf};

use ccl_core::{
    BufferPlacement, NcclTestsOptions, Sweep, SweepFormat, SweepPoint, detect_format, read_sweep,
    write_tuner_csv,
};
use ccl_search::fit::{FitError, FitOptions, fit};
use clap::Args;

use crate::commands::cluster_argument;
use crate::error::{CommandError, CommandResult};
use crate::output;
use protocol::Catalogue;
use report::Report;

/// Arguments of `ccl-agent fit`.
#[derive(Args)]
pub struct FitArgs {
    /// Recorded sweep: the text nccl-tests prints, a CSV of published measurements, or the
    /// performance CSV of NVIDIA's tuner example. May be repeated (the default in one file, a
    /// named algorithm in another).
    #[arg(long, value_name = "SWEEP", required = true)]
    data: Vec<PathBuf>,
    /// Where to write the tuner CSV; without it nothing is written.
    #[arg(long, value_name = "POLICY.csv")]
    out: Option<PathBuf>,
    /// Kind of the sweep, where the text does not give it away: measured-csv, nccl-tests or
    /// tuner-example-csv.
    #[arg(long, value_parser = format_named)]
    format: Option<SweepFormat>,
    /// Use only this data set of a CSV of published measurements; may be repeated.
    #[arg(long, value_name = "NAME")]
    dataset: Vec<String>,
    /// Cluster whose model of NCCL says which protocol a named algorithm took, where the sweep does
    /// not; without it the clusters of the catalogue with the same GPU.
    #[arg(long, value_name = "NAME|FILE")]
    cluster: Option<String>,
    /// What may be noise where there are fewer than six repeats, in percent; without it what
    /// recorded repeats differ by: 3.2 on one node, 9.2 between nodes.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    noise_floor: Option<f64>,
    /// Use the in-place columns of nccl-tests.
    #[arg(long)]
    in_place: bool,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

fn format_named(text: &str) -> Result<SweepFormat, String> {
    SweepFormat::ALL
        .into_iter()
        .find(|f| f.name() == text)
        .ok_or_else(|| {
            format!(
                "known: {}",
                SweepFormat::ALL.map(SweepFormat::name).join(", ")
            )
        })
}

fn percent(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|p| (0.0..100.0).contains(p))
        .ok_or_else(|| "expected a number from 0 to below 100".to_owned())
}

/// Fits, writes the table, prints the report.
///
/// # Errors
/// A sweep that cannot be read, gains on more than one machine, a file that cannot be written;
/// then nothing is written.
pub fn run(args: &FitArgs) -> CommandResult {
    let cluster = args.cluster.as_deref().map(cluster_argument::load);
    let catalogue = Catalogue::new(cluster.transpose()?)?;
    let sweep = read(args)?;
    let mut options = FitOptions::default();
    if let Some(percent) = args.noise_floor {
        options.floor.one_node = percent / 100.0;
        options.floor.many_nodes = percent / 100.0;
    }
    let found = fit(&sweep, &options, &|key, algorithm, bytes| {
        catalogue.protocol(key, algorithm, bytes)
    });
    let policy = found.policy().map_err(several)?;
    let report = Report::new(args, &sweep, &found, &options, catalogue.used(&found));
    let csv = write_tuner_csv(&policy, &report.notes())
        .map_err(|e| CommandError::bad_input(format!("the fit makes no tuner table: {e}")))?;
    if let Some(out) = &args.out {
        table_file::write(out, &csv, &args.data)?;
    }
    if args.json {
        output::json(&report)
    } else {
        output::text(report.text())
    }
}

fn several(error: FitError) -> CommandError {
    let FitError::Several(conditions) = &error;
    let list: Vec<_> = conditions.iter().map(|c| format!("  {c}")).collect();
    CommandError::bad_input(format!("{error}:\n{}", list.join("\n")))
        .help("fit one machine at a time: name its data set with --dataset, or split the file")
}

/// All the files as one sweep, less what `--dataset` leaves out.
fn read(args: &FitArgs) -> Result<Sweep, CommandError> {
    let mut points: Vec<SweepPoint> = Vec::new();
    let mut findings = Vec::new();
    for path in &args.data {
        let sweep = read_file(path, args)?;
        points.extend(sweep.points().cloned());
        findings.extend(sweep.findings().iter().cloned());
    }
    if args.dataset.is_empty() {
        return Ok(Sweep::new(points, findings));
    }
    for name in &args.dataset {
        if !points.iter().any(|p| p.dataset == *name) {
            let mut known: Vec<_> = points.iter().map(|p| p.dataset.as_str()).collect();
            known.sort_unstable();
            known.dedup();
            return Err(
                CommandError::bad_input(format!("no usable point of data set {name:?}"))
                    .help(format!("the data has: {}", known.join(", "))),
            );
        }
    }
    points.retain(|p| args.dataset.contains(&p.dataset));
    findings.retain(|f| args.dataset.contains(&f.dataset));
    Ok(Sweep::new(points, findings))
}

fn read_file(path: &Path, args: &FitArgs) -> Result<Sweep, CommandError> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map_err(|e| CommandError::bad_input(format!("cannot read {shown}: {e}")))?;
    let format = match args.format {
        Some(format) => format,
        None => detect_format(&text).map_err(|e| {
            CommandError::bad_input(format!("{shown}: line 1, column 1: {e}"))
                .help("name the kind with --format measured-csv|nccl-tests|tuner-example-csv")
        })?,
    };
    let options = NcclTestsOptions {
        placement: if args.in_place {
            BufferPlacement::InPlace
        } else {
            BufferPlacement::OutOfPlace
        },
        ..NcclTestsOptions::default()
    };
    // Files that do not state their machine are compared only inside one data set. Naming them
    // together says that they are one, so all take the first one's name.
    let name = args.data.first().map_or(path, PathBuf::as_path);
    let name = name
        .file_name()
        .map_or_else(|| shown.to_string(), |n| n.to_string_lossy().into_owned());
    let sweep = read_sweep(&text, format, &name, &options).map_err(|e| {
        CommandError::bad_input(format!("{shown}: {e}")).help(format!(
            "the text was read as {format}; --format names another kind"
        ))
    })?;
    if sweep.points().next().is_none() {
        let first = sweep.findings().first();
        let why = first.map_or_else(
            || "no rows".to_owned(),
            |f| format!("line {}, column 1: {}", f.line, f.what),
        );
        return Err(CommandError::bad_input(format!(
            "{shown}: no row can be used: {why}"
        )));
    }
    Ok(sweep)
}
