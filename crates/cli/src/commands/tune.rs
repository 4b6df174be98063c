//! `ccl-agent tune`: reads the inputs, lays the run directory, runs the three phases, shows the
//! result.
//!
//! Everything is checked before anything is written; what is wrong after that leaves a run
//! directory that says how far it came.

mod job;
mod progress;
mod text;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ccl_agent::expectation::Expectation;
use ccl_agent::mind::llm::LlmMind;
use ccl_agent::remembered::Remembered;
use ccl_agent::run_dir::{RunDir, write_atomically};
use ccl_agent::summary::Summary;
use ccl_agent::testbed::Testbed;
use ccl_agent::trace::{Observer, Tracer};
use ccl_agent::tuner::{RunError, TuneOptions, Tuner};
use ccl_core::{Configuration, ContextSignature, ExportFormat, StoppedBecause, TraceEvent, export};
use ccl_llm::{Exchange, Recorder};
use ccl_memory::{Address, Knowledge, Memory, Opening};
use clap::{Args, ValueEnum};

use crate::commands::memory_argument;
use crate::commands::provider::{ProviderArgs, provider};
use crate::error::{CommandError, CommandResult, ExitKind};
use crate::output;
use job::Job;
use progress::Progress;

/// Arguments of `ccl-agent tune`.
#[derive(Args)]
pub struct TuneArgs {
    /// Workload specification, JSON.
    #[arg(long, value_name = "FILE")]
    workload: PathBuf,
    /// Run all three phases on the simulated testbed; the language model is attempted all the same.
    #[arg(long)]
    dry_run: bool,
    /// What configurations are tried on.
    #[arg(long, value_enum)]
    testbed: Option<TestbedArg>,
    /// Catalogue name or TOML file of the cluster.
    #[arg(long, value_name = "NAME|FILE")]
    cluster: Option<String>,
    /// Recorded sweep, for the recorded testbed.
    #[arg(long, value_name = "CSV")]
    data: Option<PathBuf>,
    /// Data set of the sweep, where it holds several.
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// Directory of a running job, for the job testbed: its ranks run the plugin with
    /// CCL_AGENT_MODE=live and CCL_AGENT_JOB=DIR, and it writes its iteration times to
    /// DIR/iterations.jsonl.
    #[arg(long, value_name = "DIR")]
    job: Option<PathBuf>,
    /// Most candidates that may be tried.
    #[arg(long, value_name = "TRIALS", default_value_t = 200)]
    budget: u32,
    /// Seed of every random decision.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Iterations the whole job is expected to have: tuning may cost it 1 % of them. Without it, five.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    job_iterations: Option<u64>,
    /// Most times the job may be started again, to try variables that NCCL reads once: two for each that is
    /// tried and three for the final comparison, so fewer than five try none. Only a job that the testbed
    /// can start itself. With --job-iterations the time they take is a part of the 1 %.
    #[arg(long, value_name = "N", default_value_t = 0)]
    restarts: u32,
    /// Iterations to watch the job for after the verdict: it goes back when it becomes slower than
    /// untuned, and is tuned again when its pace changes for good.
    #[arg(long, value_name = "ITERATIONS", default_value_t = 0)]
    watch: u64,
    /// Compute what could have been found, and how much of it was.
    #[arg(long)]
    oracle: bool,
    #[command(flatten)]
    llm: ProviderArgs,
    /// Memory of earlier runs: a file, a folder, sqlite:FILE or postgres://USER@HOST/DATABASE (a password is best
    /// left to PGPASSWORD). Rules that were learnt in places like this one, what hypotheses were worth and what was
    /// measured of choices become a part of what decides this run. Without it the run starts cold. What it
    /// learns goes there, or to ARTIFACTS/memory.
    #[arg(long, value_name = "URL")]
    memory: Option<String>,
    /// Where run directories go.
    #[arg(long, value_name = "DIR", default_value = "artifacts")]
    artifacts: PathBuf,
    /// Print one JSON object on stdout; progress goes to stderr.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TestbedArg {
    Simulated,
    Recorded,
    Bench,
    Job,
}

/// Runs `ccl-agent tune`.
///
/// # Errors
/// Bad input (2), a workload that fails untuned (3), a guard that stops or a machine that is broken
/// (4), an interrupt (130).
pub fn run(args: &TuneArgs) -> CommandResult {
    let job = Job::read(args)?;
    let provider = provider(&args.llm)?;
    let mut testbed = job.testbed(args)?;
    if args.restarts > 0 && testbed.restart_terms().is_none() {
        return Err(CommandError::bad_input(format!(
            "--restarts {}: the {} testbed cannot start the job again",
            args.restarts,
            testbed.describe().kind
        ))
        .help("leave it out, or simulate the job with --dry-run"));
    }
    let source = testbed.describe().source;
    let context = ContextSignature::of(
        &job.cluster,
        &job.workload.name,
        job.workload.nodes,
        job.workload.gpus_per_node,
    );
    let today = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let mut memory = open_memory(args)?;
    let remembered = match &args.memory {
        Some(_) => {
            let keys = testbed.keys().iter().map(|k| k.key);
            Remembered::recall(memory.as_mut(), source, &context, keys, today).map_err(|error| {
                CommandError::bad_input(format!("{}: {error}", memory.place()))
                    .help("name another memory, or leave out --memory")
            })?
        }
        None => Remembered::default(),
    };

    let mut run_dir = create(&args.artifacts, &job.workload.name, args.seed)?;
    let folder = run_dir.path().to_owned();
    let run_id = folder
        .file_name()
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let written = |e: std::io::Error| artifacts_error(&folder, &e);
    job.write_inputs(&run_dir, args, &run_id).map_err(written)?;
    run_dir
        .write_json("memory.json", &remembered)
        .map_err(written)?;

    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    // A second handler in one process is refused; the first one is ours, so that is no loss.
    let _ = ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed));

    let began = Instant::now();
    let elapsed = || began.elapsed();
    let recorder = Recorder::new(folder.join("llm"));
    let record = move |_: u32, exchange: &Exchange| recorder.write(exchange).map(drop);
    let mut progress = Progress::new(args.budget);
    let mut tracer = Tracer::new(&mut run_dir, &mut progress, &elapsed);
    tracer
        .emit(started(&run_id, &job, testbed.as_ref(), args))
        .map_err(written)?;
    let options = TuneOptions {
        budget: args.budget,
        seed: args.seed,
        oracle: args.oracle,
        expected_iterations: args.job_iterations,
        restarts: args.restarts,
        watch_iterations: args.watch,
        ..TuneOptions::default()
    };
    let knowledge =
        Knowledge::new(job.cluster.nccl_version, &[]).map_err(CommandError::bad_input)?;
    let expectation =
        Expectation::new(&job.cluster, testbed.keys()).with_workload(&job.workload, &job.cluster);
    let mut tuner = Tuner::new(
        testbed.as_mut(),
        &job.cluster,
        context,
        tracer,
        options,
        LlmMind::new(provider, Box::new(record)),
        &knowledge,
        remembered,
        &interrupted,
    )
    .expecting(expectation);
    let summary = match tuner.run(&run_id) {
        Ok(summary) => summary,
        Err(error) => {
            // What made the job fail is not forgotten with it.
            let kept = memory.learn(&tuner.lessons(&run_id, None, today));
            let error = failed(error, &folder);
            return Err(match kept {
                Ok(()) => error,
                Err(why) => error.help(format!("its rules could not be kept either: {why}")),
            });
        }
    };
    let lessons = tuner.lessons(&run_id, Some(&summary), today);
    let mut tracer = tuner.into_tracer();
    memory.learn(&lessons).map_err(|error| {
        CommandError::bad_input(error).help("the run is complete but for what it leaves in memory")
    })?;
    for file in write_results(&folder, &summary).map_err(written)? {
        tracer
            .emit(TraceEvent::Exported { file })
            .map_err(written)?;
    }
    progress.finish();

    if args.json {
        output::json(&summary)?;
    } else {
        output::text(text::result(&summary, &folder, memory.place()))?;
    }
    if let Some(fault) = &summary.diagnosis {
        return Err(CommandError::bad_input(text::fault(fault))
            .kind(ExitKind::GuardRefused)
            .help("repair the machine, then run again; nothing was changed"));
    }
    if summary.stopped_because == StoppedBecause::Interrupted {
        return Err(
            CommandError::bad_input("interrupted; the job is back on untuned NCCL")
                .kind(ExitKind::Interrupted)
                .help(format!(
                    "what was seen until then is in {}",
                    folder.display()
                )),
        );
    }
    Ok(())
}

fn started(run_id: &str, job: &Job, testbed: &dyn Testbed, args: &TuneArgs) -> TraceEvent {
    let info = testbed.describe();
    TraceEvent::RunStarted {
        run_id: run_id.to_owned(),
        workload: job.workload.name.clone(),
        cluster: info.cluster.clone(),
        nccl_version: info.nccl_version.to_string(),
        testbed: info.kind.to_owned(),
        source: info.source,
        seed: args.seed,
        budget: args.budget,
        notes: info.notes.clone(),
    }
}

/// The memory that is named, or the one beside the run directories: what is learnt goes there in any case.
fn open_memory(args: &TuneArgs) -> Result<Box<dyn Memory>, CommandError> {
    match &args.memory {
        Some(address) => memory_argument::open(address, Opening::OrNew),
        None => {
            let address = Address::in_folder(&args.artifacts.join("memory"));
            memory_argument::open_at(&address, Opening::OrNew).map_err(|error| {
                CommandError::bad_input(format!("cannot write to {error}"))
                    .help("name another folder with --artifacts, or another memory with --memory")
            })
        }
    }
}

/// A new run directory; its name says workload, time and seed.
fn create(artifacts: &Path, workload: &str, seed: u64) -> Result<RunDir, CommandError> {
    let name: String = workload
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '-'
            }
        })
        .collect();
    let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
    let base = format!("{name}-{now}-seed{seed}");
    for attempt in 1..100 {
        let id = if attempt == 1 {
            base.clone()
        } else {
            format!("{base}-{attempt}")
        };
        match RunDir::create(artifacts, &id) {
            Err(error)
                if error.kind() == std::io::ErrorKind::AlreadyExists
                    && artifacts.join(&id).exists() => {}
            Err(error) => return Err(artifacts_error(artifacts, &error)),
            Ok(run_dir) => return Ok(run_dir),
        }
    }
    Err(CommandError::bad_input(format!(
        "{}: too many runs of this second",
        artifacts.display()
    )))
}

fn artifacts_error(folder: &Path, error: &std::io::Error) -> CommandError {
    CommandError::bad_input(format!("cannot write to {}: {error}", folder.display()))
        .help("name a folder you can write to with --artifacts")
}

fn failed(error: RunError, folder: &Path) -> CommandError {
    let help = format!("the trace up to here is in {}", folder.display());
    let kind = match &error {
        RunError::Artifacts(_) | RunError::NothingToTune | RunError::Knowledge(_) => {
            ExitKind::BadInput
        }
        RunError::Baseline(_) | RunError::Testbed(_) => ExitKind::WorkloadFailed,
        RunError::Guard(_) => ExitKind::GuardRefused,
    };
    CommandError::bad_input(error).kind(kind).help(help)
}

/// Writes the best configuration in the forms that can hold it, then the summary; gives the names.
fn write_results(folder: &Path, summary: &Summary) -> std::io::Result<Vec<String>> {
    let mut files = Vec::new();
    let configuration = &summary.best.configuration;
    let is_restarted = !configuration.environment.variables.is_empty();
    // Beside a file with the variables, the tables lose nothing by being without.
    let policy = Configuration {
        policy: configuration.policy.clone(),
        ..Configuration::default()
    };
    for (format, name, holds) in [
        (ExportFormat::Json, "best/configuration.json", configuration),
        (ExportFormat::Env, "best/variables.env", configuration),
        (ExportFormat::PolicyCsv, "best/policy.csv", &policy),
        (ExportFormat::NcclTunerCsv, "best/nccl-tuner.csv", &policy),
    ] {
        if format == ExportFormat::Env && !is_restarted {
            continue;
        }
        // What a form cannot hold is not written in part: the JSON holds everything.
        let text = match export(holds, format, &summary.run_id) {
            Ok(text) => text,
            Err(reason) => {
                let name = format!("{name}.not-possible.txt");
                write_atomically(&folder.join(&name), format!("{reason}\n").as_bytes())?;
                files.push(name);
                continue;
            }
        };
        write_atomically(&folder.join(name), text.as_bytes())?;
        files.push(name.to_owned());
    }
    let mut text = serde_json::to_vec_pretty(summary)?;
    text.push(b'\n');
    write_atomically(&folder.join("summary.json"), &text)?;
    files.push("summary.json".to_owned());
    Ok(files)
}

/// Progress is what a person sees of the trace.
impl Observer for Progress {
    fn event(&mut self, event: &TraceEvent) {
        self.show(event);
    }
}
