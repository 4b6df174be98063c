//! `ccl-agent compare`: every method on every task of a suite, and what they amount to.

mod markdown;
mod plot;
mod text;

use std::path::{Path, PathBuf};
use std::time::Instant;

use ccl_agent::compare::method::Method;
use ccl_agent::compare::suite::{Suite, SuiteError};
use ccl_agent::compare::{CompareError, CompareOptions, compare};
use ccl_agent::run_dir::write_atomically;
use ccl_agent::tuner::RunError;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::cluster_argument;
use crate::error::{CommandError, CommandResult, ExitKind};
use crate::output;

/// Arguments of `ccl-agent compare`.
#[derive(Args)]
pub struct CompareArgs {
    /// The tasks: `builtin`, or a TOML file.
    #[arg(long, value_name = "NAME|FILE", default_value = "builtin")]
    suite: String,
    /// Only the tasks of the suite whose name contains this.
    #[arg(long, value_name = "TEXT")]
    task: Option<String>,
    /// The methods, separated by commas; all of them by default.
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    methods: Vec<String>,
    /// Evaluations (iterations of the job) of every blind method, and candidates of ours.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(3..=100_000))]
    budget: u32,
    /// Machines drawn for each task, seeds 1 to K.
    #[arg(long, value_name = "K", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    seeds: u64,
    /// How far the true machines may be from their specification: standard deviation of the logarithm of
    /// each figure of the hardware, 0 to 1; what the suite says by default.
    #[arg(long, value_name = "S")]
    machine_spread: Option<f64>,
    /// Machines worked on at a time; results do not depend on it. All processors by default.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Write the page of the comparison there, and its pictures into a folder beside it.
    #[arg(long, value_name = "FILE.md")]
    markdown: Option<PathBuf>,
    /// Print one JSON object on stdout; progress goes to stderr.
    #[arg(long)]
    json: bool,
}

/// Runs `ccl-agent compare`.
///
/// # Errors
/// Bad input (2), a run of ours that the guard does not let go on (4).
pub fn run(args: &CompareArgs) -> CommandResult {
    let mut suite = suite(&args.suite)?;
    if let Some(wanted) = &args.task {
        let names: Vec<String> = suite.tasks.iter().map(|t| t.name.clone()).collect();
        suite.tasks.retain(|task| task.name.contains(wanted));
        if suite.tasks.is_empty() {
            return Err(CommandError::bad_input(format!(
                "no task of suite {} has {wanted:?} in its name",
                suite.name
            ))
            .help(format!("its tasks: {}", names.join("; "))));
        }
    }
    if let Some(spread) = args.machine_spread {
        suite.machine_spread = cluster_argument::machine_spread(spread)?;
    }
    let methods = methods(&args.methods)?;
    let threads = args.threads.map_or_else(
        || std::thread::available_parallelism().map_or(1, usize::from),
        usize::from,
    );
    let began = Instant::now();
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} machines, {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(0).with_style(style);
    let report = compare(
        &suite,
        &CompareOptions {
            methods,
            budget: args.budget,
            seeds: args.seeds,
            threads,
            clock: &|| began.elapsed(),
            progress: &|done, of| {
                bar.set_length(of as u64);
                bar.set_position(done as u64);
            },
        },
    )
    .map_err(failed)?;
    bar.finish_and_clear();
    if let Some(path) = &args.markdown {
        write_page(path, &report)?;
    }
    if args.json {
        output::json(&report)
    } else {
        output::text(text::tables(&report))
    }
}

fn suite(name: &str) -> Result<Suite, CommandError> {
    let read = match name {
        "builtin" => Suite::builtin(),
        file if Path::new(file).extension().is_some_and(|e| e == "toml") => {
            Suite::load(Path::new(file))
        }
        other => {
            return Err(CommandError::bad_input(format!("unknown suite {other:?}"))
                .help("name builtin, or a TOML file like suite/builtin.toml"));
        }
    };
    read.map_err(|error| match &error {
        SuiteError::Read { .. } => CommandError::bad_input(&error)
            .help("--suite names a TOML file; suite/builtin.toml is an example"),
        _ => CommandError::bad_input(format!("{name}: {error}"))
            .help("what a suite may say is in doc/compare.md; suite/builtin.toml is an example"),
    })
}

fn methods(names: &[String]) -> Result<Vec<Method>, CommandError> {
    if names.is_empty() {
        return Ok(Method::ALL.to_vec());
    }
    let mut methods: Vec<Method> = Vec::new();
    for name in names {
        let method = name.trim().parse().map_err(|error| {
            let known: Vec<&str> = Method::ALL.iter().map(|m| m.name()).collect();
            CommandError::bad_input(error).help(format!("there are {}", known.join(", ")))
        })?;
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    Ok(methods)
}

fn failed(error: CompareError) -> CommandError {
    let is_guard = matches!(
        &error,
        CompareError::At { error, .. } if matches!(**error, CompareError::Run(RunError::Guard(_)))
    );
    let shown = CommandError::bad_input(error);
    if is_guard {
        shown.kind(ExitKind::GuardRefused)
    } else {
        shown.help("a task's workload must fit its cluster and have traffic to tune")
    }
}

/// Writes the page and its pictures.
fn write_page(path: &Path, report: &ccl_agent::compare::report::Report) -> CommandResult {
    let folder = path.parent().unwrap_or(Path::new("")).join("figures");
    let cannot = |error: std::io::Error| {
        CommandError::bad_input(format!("cannot write {}: {error}", path.display()))
            .help("--markdown names a file in a folder you can write to")
    };
    std::fs::create_dir_all(&folder).map_err(cannot)?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let pictures = [
        ("convergence", plot::convergence(report)),
        ("regret", plot::regret(report)),
    ];
    for (name, svg) in &pictures {
        write_atomically(&folder.join(format!("{stem}-{name}.svg")), svg.as_bytes())
            .map_err(cannot)?;
    }
    let page = markdown::page(report, &stem);
    write_atomically(path, page.as_bytes()).map_err(cannot)
}
