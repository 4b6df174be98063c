//! One run from its inputs to its results: what `tune` and `mcp` have in common.
//!
//! Everything is checked before anything is written; what is wrong after that leaves a run
//! directory that says how far it came. Who steers the run between its beginning and its end is the caller's
//! business.

mod folder;
mod job;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ccl_agent::expectation::Expectation;
use ccl_agent::mind::llm::LlmMind;
use ccl_agent::remembered::Remembered;
use ccl_agent::summary::Summary;
use ccl_agent::testbed::Testbed;
use ccl_agent::trace::{Observer, Tracer};
use ccl_agent::tuner::{RunError, TuneOptions, Tuner};
use ccl_core::{ContextSignature, Diagnosis, StoppedBecause, TraceEvent};
use ccl_llm::{Exchange, Provider, Recorder};
use ccl_memory::{Address, Knowledge, Memory, Opening};
use clap::{Args, ValueEnum};

use crate::commands::embeddings;
use crate::commands::memory_argument;
use crate::error::{CommandError, CommandResult, ExitKind};
use folder::{artifacts_error, create, write_results};
use job::Job;

/// What a run is about, and where its traces go.
#[derive(Args)]
pub struct RunArgs {
    /// Workload specification, JSON.
    #[arg(long, value_name = "FILE")]
    pub workload: PathBuf,
    /// Run all three phases on the simulated testbed; the language model is attempted all the same.
    #[arg(long)]
    pub dry_run: bool,
    /// What configurations are tried on.
    #[arg(long, value_enum)]
    pub testbed: Option<TestbedArg>,
    /// Catalogue name or TOML file of the cluster.
    #[arg(long, value_name = "NAME|FILE")]
    pub cluster: Option<String>,
    /// Recorded sweep, for the recorded testbed.
    #[arg(long, value_name = "CSV")]
    pub data: Option<PathBuf>,
    /// Data set of the sweep, where it holds several.
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<String>,
    /// Directory of a running job, for the job testbed: its ranks run the plugin with
    /// CCL_AGENT_MODE=live and CCL_AGENT_JOB=DIR, and it writes its iteration times to
    /// DIR/iterations.jsonl.
    #[arg(long, value_name = "DIR")]
    pub job: Option<PathBuf>,
    /// Most candidates that may be tried.
    #[arg(long, value_name = "TRIALS", default_value_t = 200)]
    pub budget: u32,
    /// Seed of every random decision.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Iterations the whole job is expected to have: tuning may cost it 1 % of them. Without it, five.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub job_iterations: Option<u64>,
    /// Memory of earlier runs: a file, a folder, sqlite:FILE or postgres://USER@HOST/DATABASE (a password is best
    /// left to PGPASSWORD). Rules that were learnt in places like this one, what hypotheses were worth and what was
    /// measured of choices become a part of what decides this run. Without it the run starts cold. What it
    /// learns goes there, or to ARTIFACTS/memory.
    #[arg(long, value_name = "URL")]
    pub memory: Option<String>,
    /// Search knowledge by meaning as well as by words, with static embeddings in the layout of Model2Vec.
    #[arg(long, value_name = "DIR")]
    pub embeddings: Option<PathBuf>,
    /// Where run directories go.
    #[arg(long, value_name = "DIR", default_value = "artifacts")]
    pub artifacts: PathBuf,
}

/// What configurations are tried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TestbedArg {
    Simulated,
    Recorded,
    Bench,
    Job,
}

/// A run that has ended.
pub struct Finished {
    /// What it found.
    pub summary: Summary,
    /// Where it lies.
    pub folder: PathBuf,
    /// The memory that heard of it.
    pub memory: String,
}

impl Finished {
    /// What its end means for whoever called: a machine that is broken (4), an interrupt (130).
    ///
    /// # Errors
    /// Either of them.
    pub fn outcome(&self) -> CommandResult {
        if let Some(broken) = &self.summary.diagnosis {
            return Err(CommandError::bad_input(fault(broken))
                .kind(ExitKind::GuardRefused)
                .help("repair the machine, then run again; nothing was changed"));
        }
        if self.summary.stopped_because == StoppedBecause::Interrupted {
            let folder = self.folder.display();
            return Err(
                CommandError::bad_input("interrupted; the job is back on untuned NCCL")
                    .kind(ExitKind::Interrupted)
                    .help(format!("what was seen until then is in {folder}")),
            );
        }
        Ok(())
    }
}

/// What is broken, and what to check, numbered.
fn fault(diagnosis: &Diagnosis) -> String {
    let mut text = format!(
        "nothing was tuned: {}. Check, in this order:",
        diagnosis.because
    );
    for (number, check) in (1..).zip(&diagnosis.checks) {
        let _ = write!(text, "\n{number}. {check}");
    }
    text
}

/// Who steers a run: given the run and its name, from its beginning to its result.
pub type Steer<'s> = dyn FnMut(&mut Tuner<'_>, &str) -> Result<Summary, RunError> + 's;

/// Lays a run out, lets somebody steer it, and puts what came of it where it belongs. `options` are those that
/// [`RunArgs`] does not say.
///
/// # Errors
/// Bad input (2), a workload that fails untuned (3), a guard that stops or a machine that is broken (4).
pub fn run(
    args: &RunArgs,
    options: TuneOptions,
    provider: Option<Arc<dyn Provider>>,
    observer: &mut dyn Observer,
    steer: &mut Steer<'_>,
) -> Result<Finished, CommandError> {
    let options = TuneOptions {
        budget: args.budget,
        seed: args.seed,
        expected_iterations: args.job_iterations,
        ..options
    };
    let job = Job::read(args)?;
    let mut testbed = job.testbed(args)?;
    if options.restarts > 0 && testbed.restart_terms().is_none() {
        return Err(CommandError::bad_input(format!(
            "--restarts {}: the {} testbed cannot start the job again",
            options.restarts,
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
    let (remembered, documents) = match &args.memory {
        Some(_) => {
            let keys = testbed.keys().iter().map(|k| k.key);
            Remembered::recall(memory.as_mut(), source, &context, keys, today)
                .and_then(|remembered| Ok((remembered, memory.documents()?)))
                .map_err(|error| {
                    CommandError::bad_input(format!("{}: {error}", memory.place()))
                        .help("name another memory, or leave out --memory")
                })?
        }
        None => (Remembered::default(), Vec::new()),
    };
    let embedder = args
        .embeddings
        .as_deref()
        .map(embeddings::local)
        .transpose()?;

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
    let mut tracer = Tracer::new(&mut run_dir, observer, &elapsed);
    tracer
        .emit(started(&run_id, &job, testbed.as_ref(), args))
        .map_err(written)?;
    let mut knowledge =
        Knowledge::new(job.cluster.nccl_version, &documents).map_err(CommandError::bad_input)?;
    if let Some(embedder) = embedder {
        knowledge = knowledge.with_embedder(embedder);
    }
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
    let summary = match steer(&mut tuner, &run_id) {
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
    let memory = memory.place().to_owned();
    Ok(Finished {
        summary,
        folder,
        memory,
    })
}

fn started(run_id: &str, job: &Job, testbed: &dyn Testbed, args: &RunArgs) -> TraceEvent {
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
fn open_memory(args: &RunArgs) -> Result<Box<dyn Memory>, CommandError> {
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
