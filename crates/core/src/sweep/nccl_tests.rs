//! The text that nccl-tests prints, as many runs in one file as there are.
//!
//! nccl-tests does not print what NCCL was told. That comes from the file itself, as lines that
//! hold `NCCL_ALGO=Ring` and the like (a command line, a comment, a shell trace) or NCCL's own
//! `NCCL_ALGO set by environment to Ring`; where the log says what ran (`Algo RING proto
//! SIMPLE`), that is kept too. Format: `writeResultHeader`, `writeDeviceReport` and
//! `writeBenchmarkLineBody` in `src/util.cu` of nccl-tests 2.19.6, and the older headers
//! without `root`.

mod log;
mod run;

use super::table::shorten;
use super::{Asked, Cell, Conditions, Finding, Sweep, SweepError, SweepPoint, busbw_from_time};
use crate::{Collective, CommShape};
use log::Variables;
use run::{Devices, Layout};

/// Which of the two measurements of a row counts. They are two conditions, not two samples of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BufferPlacement {
    /// Send and receive buffers differ: the left columns.
    #[default]
    OutOfPlace,
    /// One buffer: the right columns.
    InPlace,
}

/// What the text does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NcclTestsOptions {
    /// Which columns count.
    pub placement: BufferPlacement,
    /// What NCCL was told in every run of the text; must not contradict the text.
    pub asked: Option<Asked>,
    /// The collective, for old versions that do not print the program's name.
    pub collective: Option<Collective>,
}

/// Whether a line opens the output of a run.
pub(super) fn is_run_header(line: &str) -> bool {
    line.starts_with("# nThread ") && line.contains("minBytes")
}

/// What is known of the run that is being read.
#[derive(Default)]
struct Run {
    collective: Option<Collective>,
    nccl: String,
    variables: Variables,
    ran: log::Ran,
    devices: Devices,
    layout: Option<Layout>,
    rows: usize,
}

/// Reads the output of nccl-tests. `dataset` names the file in reports.
///
/// Rows with wrong results, of 0 bytes or without this placement become findings.
///
/// # Errors
/// A line that is no row where a row must be, a run that does not say its devices or its
/// collective, variables that contradict `options`; with line and column.
pub fn read_nccl_tests(
    text: &str,
    dataset: &str,
    options: &NcclTestsOptions,
) -> Result<Sweep, SweepError> {
    let mut run = Run::default();
    let mut points: Vec<SweepPoint> = Vec::new();
    let mut findings = Vec::new();
    let mut first_of_run = 0;
    for (number, line) in (1u64..).zip(text.lines()) {
        // Anything that describes a run after rows were seen describes the next run.
        let describes = log::variables_in(line).next().is_some() || is_run_header(line);
        if run.rows > 0 && (describes || line.starts_with("# nccl-tests version")) {
            log::attach(&mut points[first_of_run..], &run.ran);
            first_of_run = points.len();
            run = Run::default();
        }
        if run::is_row(line) {
            match point(number, line, &run, dataset, options)? {
                Ok(point) => points.push(point),
                Err(what) => findings.push(Finding {
                    dataset: dataset.to_owned(),
                    line: number,
                    what,
                }),
            }
            run.rows += 1;
        } else {
            describe(&mut run, number, line)?;
        }
    }
    log::attach(&mut points[first_of_run..], &run.ran);
    if points.is_empty() && findings.is_empty() {
        return Err(SweepError {
            line: u64::try_from(text.lines().count())
                .unwrap_or(u64::MAX)
                .max(1),
            column: 1,
            expected: "at least one row of results".to_owned(),
            found: "the end of the text".to_owned(),
        });
    }
    Ok(Sweep::new(points, findings))
}

/// Takes what a line that is no row says of its run.
fn describe(run: &mut Run, number: u64, line: &str) -> Result<(), SweepError> {
    for (name, value) in log::variables_in(line) {
        run.variables.set(number, line, name, value)?;
    }
    if let Some(collective) = run::collective_in(line) {
        run.collective = Some(collective);
    }
    if let Some(version) = log::version_in(line) {
        run.nccl = version;
    }
    run.ran.note(line);
    run.devices.note(number, line)?;
    if let Some(layout) = Layout::of_header(line) {
        run.layout = Some(layout);
    }
    Ok(())
}

/// A row as a point, or why it is none.
fn point(
    number: u64,
    line: &str,
    run: &Run,
    dataset: &str,
    options: &NcclTestsOptions,
) -> Result<Result<SweepPoint, String>, SweepError> {
    let error = |expected: &str, found: String| SweepError {
        line: number,
        column: 1,
        expected: expected.to_owned(),
        found,
    };
    let layout = run.layout.ok_or_else(|| {
        error(
            "the header `# size count type ... time algbw busbw` before the first row",
            format!("`{}`", shorten(line.trim())),
        )
    })?;
    let row = layout.read(number, line, options.placement)?;
    let collective = options.collective.or(run.collective).ok_or_else(|| {
        error(
            "the program's name (`all_reduce_perf`) in the lines before the rows",
            "no name in this run".to_owned(),
        )
    })?;
    let asked = run.variables.asked();
    if options
        .asked
        .is_some_and(|o| !asked.is_default() && o != asked)
    {
        return Err(error(
            "a run with the choice given beside the file",
            format!("a run whose own lines say {asked}"),
        ));
    }
    let (shape, settings): (CommShape, _) = run.devices.shape().map_err(|e| error(e.0, e.1))?;
    if row.bytes == 0 {
        return Ok(Err("0 bytes: nothing to choose".to_owned()));
    }
    if let Some(wrong) = row.wrong {
        return Ok(Err(format!(
            "{} bytes: {wrong} wrong results; a time of a wrong result is no time",
            row.bytes
        )));
    }
    let Some(time_us) = row.time_us else {
        return Ok(Err(format!(
            "{} bytes: not measured with this placement",
            row.bytes
        )));
    };
    let mut settings: Vec<String> = run.variables.beyond_choice().chain(settings).collect();
    if options.placement == BufferPlacement::InPlace {
        settings.push("in place".to_owned());
    }
    let conditions = Conditions {
        gpu: run.devices.gpu(),
        nccl: run.nccl.clone(),
        settings: settings.join(" "),
        ..Conditions::default()
    };
    Ok(Ok(SweepPoint {
        cell: Cell {
            conditions: super::measured::closed_off(conditions, dataset),
            shape,
            collective,
            bytes: row.bytes,
        },
        asked: options.asked.unwrap_or(asked),
        ran: None,
        time_us,
        // From the time: the printed bandwidth has two decimals.
        busbw_gbs: busbw_from_time(collective, shape.ranks, row.bytes, time_us),
        dataset: dataset.to_owned(),
        source: dataset.to_owned(),
        line: number,
    }))
}
