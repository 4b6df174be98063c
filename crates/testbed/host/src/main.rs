//! `ccl-testbed`: runs collectives through the NCCL of a path and reports what it really scheduled.

mod check_command;
mod cost_command;
mod job_command;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ccl_core::{ClusterSpec, Collective, CommShape, cluster_text, parse_bytes};
use ccl_testbed::nccl::Version;
use ccl_testbed::placement::Group;
use ccl_testbed::report::{self, SIMULATED, Timed};
use ccl_testbed::simulated::SimulatedHardware;
use ccl_testbed::world::{Libraries, World};
use clap::{Args, Parser, Subcommand};

/// The real NCCL without a GPU: its control path is real, its data path is simulated.
#[derive(Parser)]
#[command(version)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run collectives and print what NCCL scheduled.
    Run(Run),
    /// Run a workload's iterations until somebody ends it, for an agent to attach to.
    Job(job_command::JobCommand),
    /// Check on a GPU that results are right and orders obeyed while choices are switched.
    Check(check_command::CheckCommand),
    /// A rank of a check.
    #[command(hide = true)]
    CheckRank(check_command::RankCommand),
    /// The agent of a check, to be killed.
    #[command(hide = true)]
    CheckAgent(check_command::AgentCommand),
    /// Measure what the plugin costs the host.
    Cost(cost_command::CostCommand),
}

#[derive(Args)]
struct Run {
    /// The shared object of NCCL.
    #[arg(long, value_name = "PATH")]
    nccl: PathBuf,
    /// Ranks of the job.
    #[arg(long, default_value_t = 8)]
    ranks: u32,
    /// Nodes they are spread over.
    #[arg(long, default_value_t = 1)]
    nodes: u32,
    /// Shapes of the communicators to make, in this order, such as 8r1n,4r4n: each as often as it
    /// takes for every rank to be in one. Default: one of all ranks.
    #[arg(long, value_delimiter = ',', value_parser = shape)]
    communicators: Vec<CommShape>,
    /// The collectives, or `all`.
    #[arg(long, value_delimiter = ',', default_value = "all", value_parser = collectives)]
    collective: Vec<Collectives>,
    /// Sizes: a range in powers of two such as 1K..64M, or a list.
    #[arg(long, default_value = "1K..64M", value_parser = sizes)]
    bytes: Sizes,
    /// How often each collective and size is enqueued.
    #[arg(long, default_value_t = 1)]
    repeat: u32,
    /// Calls enqueued as one group, which NCCL launches together.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    group: u32,
    /// Simulated computation before each call, microseconds.
    #[arg(long, default_value_t = 0)]
    compute_us: u64,
    /// The cluster whose hardware the durations are simulated for: a catalogue name or a TOML file.
    /// NCCL itself sees the stub's machine, eight GPUs behind NVSwitches, or `NCCL_TOPO_FILE`.
    #[arg(long, default_value = "dgx-h100")]
    cluster: String,
    /// Give the job up after this many seconds.
    #[arg(long, default_value_t = 300)]
    patience: u64,
    /// JSON lines instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone)]
struct Collectives(Vec<Collective>);

#[derive(Clone)]
struct Sizes(Vec<u64>);

fn shape(text: &str) -> Result<CommShape, String> {
    let parts = text.strip_suffix('n').and_then(|text| text.split_once('r'));
    let number = |text: &str| text.parse().ok();
    parts
        .and_then(|(ranks, nodes)| Some(CommShape::new(number(ranks)?, number(nodes)?)))
        .ok_or_else(|| format!("{text:?} is no shape; write 8r1n for 8 ranks on 1 node"))
}

fn collectives(text: &str) -> Result<Collectives, String> {
    if text == "all" {
        let tunable = Collective::ALL.into_iter().filter(|c| c.is_tunable());
        return Ok(Collectives(tunable.collect()));
    }
    let found = text
        .parse::<Collective>()
        .map_err(|error| error.to_string())?;
    if found.is_tunable() {
        Ok(Collectives(vec![found]))
    } else {
        Err(format!(
            "{} is made of send and receive, which is not run here",
            found.name()
        ))
    }
}

fn sizes(text: &str) -> Result<Sizes, String> {
    let size = |text: &str| parse_bytes(text).map_err(|error| error.to_string());
    let Some((first, last)) = text.split_once("..") else {
        return text
            .split(',')
            .map(size)
            .collect::<Result<_, _>>()
            .map(Sizes);
    };
    let (first, last) = (size(first)?, size(last)?);
    if first == 0 || first > last {
        return Err(format!("{text} is no range of sizes"));
    }
    let doubled = |n: &u64| n.checked_mul(2).filter(|n| *n <= last);
    Ok(Sizes(std::iter::successors(Some(first), doubled).collect()))
}

fn cluster(name_or_file: &str) -> Result<ClusterSpec, String> {
    let text = match cluster_text(name_or_file) {
        Some(text) => text.to_owned(),
        None => std::fs::read_to_string(Path::new(name_or_file)).map_err(|error| {
            format!("{name_or_file} is no cluster of the catalogue, and no file: {error}")
        })?,
    };
    ClusterSpec::parse(&text).map_err(|error| format!("{name_or_file}: {error}"))
}

/// An error and what is behind it, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

fn main() -> ExitCode {
    let done = match Program::parse().command {
        Command::Run(run) => run.execute(),
        Command::Job(job) => job.execute(),
        Command::Check(check) => check.execute(),
        Command::CheckRank(rank) => rank.execute(),
        Command::CheckAgent(agent) => agent.execute(),
        Command::Cost(cost) => cost.execute(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Threads may be stuck inside NCCL: nothing is torn down, the process ends.
            let _ = writeln!(std::io::stderr(), "ccl-testbed: {error}");
            std::process::exit(1);
        }
    }
}

impl Run {
    fn execute(&self) -> Result<(), String> {
        let world = self.world()?;
        let mut hardware = SimulatedHardware::new(&cluster(&self.cluster)?);
        // Groups of one shape do the same at the same time, and share their nodes.
        for shape in world.communicators.iter().map(Group::shape) {
            let groups = world.gpus_per_node / shape.ranks_per_node();
            hardware = hardware.with_concurrent(shape, groups);
        }
        let libraries = Libraries::load(&self.nccl).map_err(|error| with_causes(&error))?;
        let version = libraries.nccl.version();
        let is_stub = libraries.driver.is_stub();
        let plan = self.plan();
        let group = self.group;
        let computation = Duration::from_micros(self.compute_us);
        let launches = world
            .run(&libraries, Arc::new(hardware), move |rank| {
                let communicators: Vec<usize> = rank.communicators().collect();
                let mut seen = Vec::new();
                for &communicator in &communicators {
                    for &(collective, bytes) in &plan {
                        let elapsed_us = rank.elapsed_us(|rank| {
                            if !computation.is_zero() {
                                rank.compute(computation)?;
                            }
                            rank.group(|rank| {
                                (0..group).try_for_each(|_| {
                                    rank.collective(communicator, collective, bytes)
                                })
                            })
                        })?;
                        let launches = rank.launches()?.into_iter();
                        seen.extend(launches.map(|launch| Timed { launch, elapsed_us }));
                    }
                }
                Ok(seen)
            })
            .map_err(|error| with_causes(&error))?;
        let launches: Vec<Timed> = launches.into_iter().flatten().collect();
        self.print(is_stub, version, &launches)
            .map_err(|error| error.to_string())
    }

    fn world(&self) -> Result<World, String> {
        if self.nodes == 0 || self.ranks == 0 || !self.ranks.is_multiple_of(self.nodes) {
            return Err(format!(
                "{} ranks do not divide over {} nodes",
                self.ranks, self.nodes
            ));
        }
        let mut world = World::new(self.nodes, self.ranks / self.nodes);
        let whole = [CommShape::new(self.ranks, self.nodes)];
        let shapes = if self.communicators.is_empty() {
            &whole[..]
        } else {
            &self.communicators
        };
        for shape in shapes {
            let groups = world.tile(*shape).map_err(|error| error.to_string())?;
            world.communicators.extend(groups);
        }
        world.most_bytes = self.bytes.0.iter().copied().max().unwrap_or(0).max(1 << 20);
        world.patience = Duration::from_secs(self.patience);
        Ok(world)
    }

    /// Every call in its order.
    fn plan(&self) -> Vec<(Collective, u64)> {
        let mut plan = Vec::new();
        for Collectives(collectives) in &self.collective {
            for &collective in collectives {
                for &bytes in &self.bytes.0 {
                    plan.extend((0..self.repeat).map(|_| (collective, bytes)));
                }
            }
        }
        plan
    }

    fn print(&self, is_stub: bool, version: Version, launches: &[Timed]) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if !is_stub {
            return writeln!(
                out,
                "NCCL {version} ran on a real driver, which does not tell what is launched"
            );
        }
        let lines = report::lines(version, launches);
        if self.json {
            for line in &lines {
                serde_json::to_writer(&mut out, line)?;
                writeln!(out)?;
            }
            return Ok(());
        }
        writeln!(out, "NCCL {version}: {SIMULATED}")?;
        writeln!(out, "times: simulated for cluster {}", self.cluster)?;
        write!(out, "{}", report::table(&lines))
    }
}
