//! A training job on the real NCCL: its iterations one after another, until somebody ends it.
//!
//! Every rank enqueues the calls of the workload, in the order in which a schedule mixes them; NCCL asks
//! the plugin and schedules them; what it launched is charged with a simulated duration, recorded
//! where the plugin's profiler would record it (NCCL 2.21 has no profiler interface), and added up to an
//! iteration time by the simulator's own rules for computation beside communication. So an agent sees
//! of this job what it sees of any other.
//!
//! Tuner v2 passes no communicator id. Here the question which communicator is which does not arise:
//! the job has one communicator of a shape, all ranks make them in one order in threads of their
//! own, and the environment says so (`CCL_AGENT_INIT_ORDER=thread`). Of several groups of one shape
//! (eight data-parallel groups, for example) the one of the first rank runs; the others would do the
//! same at the same time, and the hardware model counts them in.

mod charge;
mod record;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ccl_core::{ClusterSpec, CommShape, WorkloadSpec};
use ccl_sim::ProcessSettings;
use ccl_sim::iteration::{IterationCall, IterationError, IterationModel};
use ccl_sim::noise::NoiseModel;
use thiserror::Error;

use self::charge::Charges;
use self::record::Recorder;
use crate::placement::{Group, Member};
use crate::rank::Rank;
use crate::world::{JobError, Libraries, World};

/// A file of this name in the job's directory ends the job after the iteration.
pub const STOP_FILE: &str = "stop";
/// At its end every rank says in this file what it ran, as a number that is equal for equal choices.
pub const RANKS_FILE: &str = "ranks.jsonl";

/// Why a workload cannot run as a job.
#[derive(Debug, Error)]
pub enum SetupError {
    /// It does not fit the cluster, or has no traffic.
    #[error(transparent)]
    Iteration(#[from] IterationError),
    /// Its directory.
    #[error("the job's directory: {0}")]
    Io(#[from] io::Error),
    /// Nothing in it is a collective that NCCL asks a tuner about.
    #[error("no collective in the workload that this program can run")]
    Nothing,
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Job {
    /// The workload.
    pub workload: WorkloadSpec,
    /// The cluster whose hardware the durations are simulated for.
    pub cluster: ClusterSpec,
    /// Its directory.
    pub directory: PathBuf,
    /// What disturbs the durations.
    pub noise: NoiseModel,
    /// Iterations after which it ends by itself.
    pub iterations: u64,
}

/// A call of an iteration in its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Step {
    /// Which kind of call, by its number in the model.
    pub kind: usize,
    /// The world's communicator.
    pub communicator: usize,
}

impl Job {
    /// The model that knows the calls of an iteration and what they cost.
    pub(crate) fn model(&self) -> Result<IterationModel, IterationError> {
        IterationModel::new(&self.workload, &self.cluster, &ProcessSettings::default())
    }

    /// Runs it; how many iterations.
    ///
    /// # Errors
    /// What cannot be set up, or what went wrong in a rank.
    pub fn run(&self, libraries: &Arc<Libraries>) -> Result<u64, RunError> {
        let model = self.model().map_err(SetupError::from)?;
        let calls = model.iteration_calls();
        let (world, steps) = self.world(&calls)?;
        let charges = Arc::new(Charges::new(model, self.noise));
        let recorder = Recorder::new(&self.directory).map_err(SetupError::from)?;
        let shared = Arc::new(Running {
            job: self.clone(),
            calls,
            steps,
            charges: Arc::clone(&charges),
            recorder,
            is_over: AtomicBool::new(false),
        });
        let done = world.run(libraries, charges, move |rank| shared.iterate(rank))?;
        Ok(done.into_iter().max().unwrap_or(0))
    }

    /// One communicator for each shape, that of the first rank, and the order of an iteration's calls.
    pub(crate) fn world(&self, calls: &[IterationCall]) -> Result<(World, Vec<Step>), RunError> {
        let mut world = World::new(self.workload.nodes, self.workload.gpus_per_node);
        let first = Member { node: 0, gpu: 0 };
        let mut shapes: Vec<CommShape> = Vec::new();
        let mut kinds = Vec::new();
        for (kind, call) in calls.iter().enumerate() {
            if !call.collective.is_tunable() {
                continue;
            }
            let shape = call.group.shape;
            if !shapes.contains(&shape) {
                let is_ours = |group: &Group| group.0.contains(&first);
                let group = world.tile(shape)?.into_iter().find(is_ours);
                world.communicators.push(group.ok_or(SetupError::Nothing)?);
                shapes.push(shape);
            }
            let communicator = shapes.iter().position(|s| *s == shape).unwrap_or(0);
            world.most_bytes = world.most_bytes.max(call.bytes);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a count of calls
            let count = call.count.round().max(1.0) as usize;
            kinds.push((Step { kind, communicator }, count));
        }
        if kinds.is_empty() {
            return Err(SetupError::Nothing.into());
        }
        world.patience = Duration::from_secs(24 * 3600);
        Ok((world, mixed(&kinds)))
    }
}

/// Why a job did not end well.
#[derive(Debug, Error)]
pub enum RunError {
    /// It could not begin.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A rank failed.
    #[error(transparent)]
    Job(#[from] JobError),
}

/// All calls in an order in which each kind is spread evenly over the iteration.
fn mixed(kinds: &[(Step, usize)]) -> Vec<Step> {
    let mut steps: Vec<(f64, Step)> = kinds
        .iter()
        .flat_map(|(step, count)| {
            #[allow(clippy::cast_precision_loss)] // counts of calls
            let place = move |number: usize| (number as f64 + 0.5) / *count as f64;
            (0..*count).map(move |number| (place(number), *step))
        })
        .collect();
    steps.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.kind.cmp(&b.1.kind)));
    steps.into_iter().map(|(_, step)| step).collect()
}

/// What the ranks share while it runs.
struct Running {
    job: Job,
    calls: Vec<IterationCall>,
    steps: Vec<Step>,
    charges: Arc<Charges>,
    recorder: Recorder,
    is_over: AtomicBool,
}

impl Running {
    /// One rank's life.
    fn iterate(&self, rank: &mut Rank) -> Result<u64, JobError> {
        let is_first = rank.member() == Member { node: 0, gpu: 0 };
        let members: Vec<usize> = rank.communicators().collect();
        let mut records = self.recorder.rank(rank, &members)?;
        for iteration in 0.. {
            rank.barrier()?;
            if is_first && self.is_to_end(iteration) {
                self.is_over.store(true, Ordering::Release);
            }
            rank.barrier()?;
            if self.is_over.load(Ordering::Acquire) {
                records.finish()?;
                return Ok(iteration);
            }
            let mut sums = self.charges.sums();
            for (index, step) in self.steps.iter().enumerate() {
                if !members.contains(&step.communicator) {
                    continue;
                }
                let call = &self.calls[step.kind];
                charge::about_to_launch(iteration, index, step.kind);
                let enqueued_ns = record::now_ns();
                rank.collective(step.communicator, call.collective, call.bytes)?;
                for launch in rank.launches()? {
                    records.add(&launch, enqueued_ns)?;
                    sums.add(step.kind, &launch)?;
                }
            }
            rank.synchronize()?;
            rank.barrier()?;
            if is_first {
                let time_us = self.charges.iteration_us(iteration, &sums);
                self.recorder.iteration(iteration, time_us)?;
            }
        }
        Ok(0)
    }

    fn is_to_end(&self, iteration: u64) -> bool {
        iteration >= self.job.iterations || self.job.directory.join(STOP_FILE).exists()
    }
}

/// Ends a job after its present iteration.
///
/// # Errors
/// What the file system says.
pub fn end(directory: &Path) -> io::Result<()> {
    std::fs::write(directory.join(STOP_FILE), "")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_mixed_evenly() {
        let step = |kind| Step {
            kind,
            communicator: 0,
        };
        let steps = mixed(&[(step(0), 4), (step(1), 2), (step(2), 1)]);
        let kinds: Vec<usize> = steps.iter().map(|step| step.kind).collect();
        assert_eq!(kinds, [0, 1, 0, 2, 0, 1, 0]);
    }
}
