//! The inputs of a run: which workload, which cluster, which testbed.

use std::path::Path;
use std::time::Duration;

use ccl_agent::run_dir::RunDir;
use ccl_agent::testbed::{
    KeyFacts, LiveError, LiveJob, LiveTestbed, RecordedTestbed, SimulatedError, SimulatedTestbed,
    Testbed,
};
use ccl_core::{
    Algorithm, Cell, ClusterSpec, DecisionTable, NcclTestsOptions, Protocol, Source, Sweep,
    TaskKey, WorkloadSpec, detect_format, read_sweep,
};
use ccl_sim::ProcessSettings;
use ccl_sim::iteration::IterationModel;
use ccl_sim::nccl::{Model, System};
use ccl_sim::noise::{NoiseModel, Scenario};
use serde_json::json;

use super::{RunArgs, TestbedArg};
use crate::commands::cluster_argument;
use crate::commands::memory_argument::without_passwords;
use crate::error::CommandError;

/// How long a job may take to begin: NCCL's start on a large machine, and the time a person needs.
const WAIT: Duration = Duration::from_secs(600);
/// How long a running job may show nothing new before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A workload and the cluster it runs on.
pub(super) struct Job {
    pub(super) workload: WorkloadSpec,
    pub(super) cluster: ClusterSpec,
    workload_text: String,
    testbed: TestbedArg,
}

impl Job {
    /// Reads and checks the inputs; writes nothing.
    pub(super) fn read(args: &RunArgs) -> Result<Self, CommandError> {
        let path = &args.workload;
        let text = std::fs::read_to_string(path).map_err(|error| {
            CommandError::bad_input(format!("cannot read {}: {error}", path.display()))
                .help("--workload names a JSON file; see workload/ for examples")
        })?;
        let workload = WorkloadSpec::parse(&text).map_err(|error| {
            CommandError::bad_input(format!("{}: {error}", path.display()))
                .help("see workload/ for examples and doc/reference/schema for the schema")
        })?;
        let testbed = which(args, &workload)?;
        let Some(name) = &args.cluster else {
            return Err(CommandError::bad_input("which cluster?").help(
                "name one with --cluster: a TOML file, or one of the catalogue in cluster/",
            ));
        };
        let cluster = cluster_argument::load(name)?;
        Ok(Self {
            workload,
            cluster,
            workload_text: text,
            testbed,
        })
    }

    /// What configurations will be tried on: a testbed with something to tune.
    pub(super) fn testbed(&self, args: &RunArgs) -> Result<Box<dyn Testbed>, CommandError> {
        let testbed = match self.testbed {
            TestbedArg::Recorded => self.recorded(args),
            TestbedArg::Job => self.live(args),
            _ => self.simulated(args),
        }?;
        if !testbed.keys().iter().any(KeyFacts::is_tunable) {
            return Err(CommandError::bad_input(format!(
                "{}: no collective in it that NCCL asks a tuner about",
                args.workload.display()
            ))
            .help(
                "AllToAll and SendRecv are built from send and receive; nothing is chosen for them",
            ));
        }
        Ok(testbed)
    }

    fn simulated(&self, args: &RunArgs) -> Result<Box<dyn Testbed>, CommandError> {
        let noise = NoiseModel::typical(args.seed);
        let scenario = Scenario::default();
        SimulatedTestbed::new(&self.workload, &self.cluster, noise, scenario)
            .map(|testbed| Box::new(testbed) as Box<dyn Testbed>)
            .map_err(|error| {
                let help = match &error {
                    SimulatedError::Iteration(_) => {
                        "the simulated testbed needs traffic that fits the cluster".to_owned()
                    }
                    SimulatedError::Settings(_) => format!(
                        "of the workload's env it models {}",
                        ProcessSettings::MODELLED.join(", ")
                    ),
                };
                CommandError::bad_input(format!("{}: {error}", args.workload.display())).help(help)
            })
    }

    /// Attaches to the job that runs in `--job`.
    fn live(&self, args: &RunArgs) -> Result<Box<dyn Testbed>, CommandError> {
        let Some(directory) = &args.job else {
            return Err(starting_is_not_built());
        };
        let exposed = self.exposed_keys();
        let mut notes = Vec::new();
        if exposed.is_empty() {
            notes.push(
                "the workload does not say which calls are waited for: all are judged by the \
                 iteration"
                    .to_owned(),
            );
        }
        let attached = LiveTestbed::attach(LiveJob {
            directory: directory.clone(),
            cluster: self.cluster.name.clone(),
            nccl_version: self.cluster.nccl_version,
            is_exposed: Box::new(move |key| exposed.contains(&key)),
            patience: PATIENCE,
            wait: WAIT,
            notes,
        });
        let mut testbed = attached.map_err(|error| {
            let help = match &error {
                LiveError::Io(_) => "--job names the directory in the ranks' CCL_AGENT_JOB",
                LiveError::Ended => "attach while the job runs",
                LiveError::Frozen { .. } => {
                    "the job goes on with what was agreed until then; its next start can be tuned"
                }
                LiveError::NotSeen { .. } | LiveError::NoDurations => {
                    "the ranks need NCCL_TUNER_PLUGIN and NCCL_PROFILER_PLUGIN on our plugin, \
                     CCL_AGENT_MODE=live and CCL_AGENT_JOB, and the job writes its iterations to \
                     iterations.jsonl there"
                }
                LiveError::Pattern { .. } | LiveError::Asked { .. } => {
                    "only jobs whose iterations make the same calls can be tuned while they run"
                }
            };
            CommandError::bad_input(format!("{}: {error}", directory.display())).help(help)
        })?;
        // Simulated figures may stand beside simulated ones only.
        if testbed.describe().source == Source::Simulated
            && let Ok(elsewhere) = self.simulated(args)
        {
            // Refused only where the sources differ.
            let _ = testbed.time_calls_on(elsewhere);
        }
        Ok(Box::new(testbed))
    }

    /// Keys of which the workload says that every call is waited for.
    fn exposed_keys(&self) -> Vec<TaskKey> {
        let settings = ProcessSettings::default();
        let model = IterationModel::new(&self.workload, &self.cluster, &settings);
        let time = model.map(|model| model.evaluate(&DecisionTable::default()));
        let keys = time.map(|time| time.keys).unwrap_or_default();
        keys.into_iter()
            .filter(|(_, time)| !time.overlapped)
            .map(|(key, _)| key)
            .collect()
    }

    fn recorded(&self, args: &RunArgs) -> Result<Box<dyn Testbed>, CommandError> {
        let Some(path) = &args.data else {
            return Err(CommandError::bad_input("--testbed recorded needs a sweep")
                .help("name it with --data"));
        };
        let sweep = read_data(path, args.dataset.as_deref())?;
        let bad = |error: &dyn std::fmt::Display| {
            CommandError::bad_input(format!("{}: {error}", path.display()))
        };
        let settings = ProcessSettings::default();
        let model = IterationModel::new(&self.workload, &self.cluster, &settings)
            .map_err(|error| bad(&error))?;
        let time = model.evaluate(&DecisionTable::default());
        if let Some((key, _)) = time.keys.iter().find(|(_, k)| k.overlapped) {
            return Err(bad(&format!("{key} overlaps with computation")).help(
                "a sweep of calls alone says nothing about calls beside computation; use --dry-run",
            ));
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // counts of calls
        let calls: Vec<(TaskKey, u64, u64)> = time
            .keys
            .iter()
            .map(|(key, k)| (*key, k.bytes, k.calls.round().max(1.0) as u64))
            .collect();
        // A sweep that names an algorithm alone ran it with the protocol that NCCL's own cost
        // model prefers for it.
        let protocol_of = |cell: &Cell, algorithm: Algorithm| -> Option<Protocol> {
            let system = System::derive(&self.cluster, cell.shape, &settings);
            let model = Model::new(system, settings.clone());
            let table = model.cost_table(cell.collective, cell.bytes, 1);
            table
                .possible()
                .filter(|(a, _)| *a == algorithm)
                .filter_map(|(a, p)| Some((table.get(a, p)?, p)))
                .min_by(|a, b| a.0.total_cmp(&b.0))
                .map(|(_, p)| p)
        };
        RecordedTestbed::new(
            &sweep,
            &self.cluster.name,
            self.cluster.nccl_version,
            &calls,
            time.compute_us,
            &protocol_of,
            args.seed,
        )
        .map(|testbed| Box::new(testbed) as Box<dyn Testbed>)
        .map_err(|error| {
            bad(&error).help("choose a data set with --dataset; only exact points can be tried")
        })
    }

    /// Puts the inputs into the run directory, byte for byte.
    pub(super) fn write_inputs(
        &self,
        run_dir: &RunDir,
        args: &RunArgs,
        run_id: &str,
    ) -> std::io::Result<()> {
        run_dir.write("workload.json", self.workload_text.as_bytes())?;
        let cluster = toml::to_string(&self.cluster).map_err(std::io::Error::other)?;
        run_dir.write("cluster.toml", cluster.as_bytes())?;
        run_dir.write_json(
            "run.json",
            &json!({
                "run_id": run_id,
                "version": env!("CARGO_PKG_VERSION"),
                "arguments": without_passwords(std::env::args().skip(1)),
                "seed": args.seed,
                "budget": args.budget,
                "started": jiff::Timestamp::now().to_string(),
            }),
        )
    }
}

/// Which testbed; never a simulated one that nobody asked for.
fn which(args: &RunArgs, workload: &WorkloadSpec) -> Result<TestbedArg, CommandError> {
    match args.testbed {
        Some(TestbedArg::Bench | TestbedArg::Job) if args.dry_run => Err(CommandError::bad_input(
            "--dry-run simulates; --testbed asks for hardware",
        )
        .help("give one of the two")),
        Some(TestbedArg::Bench) => Err(not_built("--testbed bench")),
        Some(TestbedArg::Job) if args.job.is_none() => Err(starting_is_not_built()),
        Some(testbed) => Ok(testbed),
        None if args.dry_run => Ok(TestbedArg::Simulated),
        None if workload.command.is_empty() => Err(CommandError::bad_input(format!(
            "{}: the workload's command is empty, so there is no job to tune",
            args.workload.display()
        ))
        .help("give the workload a command, or simulate it with --dry-run")),
        None => Err(not_built("tuning a running job")),
    }
}

fn starting_is_not_built() -> CommandError {
    CommandError::bad_input("starting a job is not built yet").help(
        "start it with the plugin in live mode, and name its directory with --job; or simulate it \
         with --dry-run",
    )
}

fn not_built(what: &str) -> CommandError {
    CommandError::bad_input(format!("{what} is not built yet"))
        .help("--dry-run runs all three phases on the simulated testbed")
}

/// Reads a sweep of a known kind.
fn read_data(path: &Path, dataset: Option<&str>) -> Result<Sweep, CommandError> {
    let bad = |error: &dyn std::fmt::Display| {
        CommandError::bad_input(format!("{}: {error}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| bad(&error))?;
    let format = detect_format(&text).map_err(|error| bad(&error))?;
    let name = path
        .file_name()
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let sweep = read_sweep(&text, format, &name, &NcclTestsOptions::default())
        .map_err(|error| bad(&error))?;
    Ok(match dataset {
        Some(dataset) => sweep.filtered(|point| point.dataset == dataset),
        None => sweep,
    })
}
