//! The trait at the centre: something a configuration can be tried on.
//!
//! Simulation, recorded sweeps, a micro-benchmark and a running job look the same from here, but
//! every result carries its [`Source`], and what a testbed cannot do it refuses by name instead
//! of making something up. Nothing reaches a testbed except through [`crate::guard`]: the only
//! arguments it accepts are [`Approved`], [`ApprovedProbe`] and [`ApprovedRestart`], which only the
//! guard can make.

mod live;
mod recorded;
mod signals;
mod simulated;

pub use live::{LiveError, LiveJob, LiveTestbed};
pub use recorded::{RecordedError, RecordedTestbed};
pub use signals::{LateRank, Signals, wait_for_ranks};
pub use simulated::{SimulatedError, SimulatedTestbed};

use ccl_core::{Algorithm, Choice, Environment, NcclVersion, Protocol, Source, TaskKey};
use thiserror::Error;

use crate::guard::{Approved, ApprovedProbe, ApprovedRestart};

/// What a testbed is and can do.
#[derive(Clone, Debug, PartialEq)]
pub struct TestbedInfo {
    /// `simulated`, `recorded`, ...
    pub kind: &'static str,
    /// Where its figures come from.
    pub source: Source,
    /// The cluster's name.
    pub cluster: String,
    /// The NCCL there.
    pub nccl_version: NcclVersion,
    /// Smallest relative difference of two times that its figures can show: 0 where noise is
    /// sampled with every call, more where a figure was taken once.
    pub resolution: f64,
    /// What a reader of its results must know.
    pub notes: Vec<String>,
}

/// One unit of tuning as the testbed knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyFacts {
    /// The key.
    pub key: TaskKey,
    /// Bytes of one call (the most frequent size in the bucket).
    pub bytes: u64,
    /// Calls in one iteration.
    pub calls: u64,
    /// Whether computation runs beside it.
    pub overlapped: bool,
    /// What may be asked for: decided from the communicator's facts, equal on all ranks.
    pub legal: LegalChoices,
}

impl KeyFacts {
    /// Whether there is anything to choose.
    pub fn is_tunable(&self) -> bool {
        self.key.collective.is_tunable() && !self.legal.pairs.is_empty()
    }
}

/// The choices a communicator can run at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LegalChoices {
    /// Pairs with a kernel and the hardware for it.
    pub pairs: Vec<(Algorithm, Protocol)>,
    /// Channel counts that may be asked for; empty where the count is not settable.
    pub channels: Vec<u32>,
    /// Chunk sizes that may be asked for, bytes; empty where the size is not settable.
    pub chunk_bytes: Vec<u64>,
    /// A complete list where the testbed can run nothing but these points (recorded sweeps).
    pub only: Option<Vec<Choice>>,
}

impl LegalChoices {
    /// Whether this choice is among them.
    pub fn allows(&self, choice: &Choice) -> bool {
        if let Some(points) = &self.only {
            return points.contains(choice);
        }
        let listed = |list: &[u32], n: Option<u32>| n.is_none_or(|n| list.contains(&n));
        self.pairs.contains(&(choice.algorithm, choice.protocol))
            && choice.threads.is_none()
            && listed(&self.channels, choice.channels)
            && choice
                .chunk_bytes
                .is_none_or(|n| self.chunk_bytes.contains(&n))
    }
}

/// One key in one iteration.
#[derive(Clone, Debug, PartialEq)]
pub struct KeySample {
    /// The key.
    pub key: TaskKey,
    /// Mean call times under the configuration's own choice, microseconds, one value per block of
    /// calls in the order of the blocks; empty when every call was leased.
    pub calls_us: Vec<f64>,
    /// What ran under the configuration, where the testbed can tell.
    pub choice: Option<Choice>,
    /// Its leases.
    pub leases: Vec<LeaseSample>,
}

/// One lease in one iteration.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaseSample {
    /// What the leased calls ran.
    pub choice: Choice,
    /// Mean call times, microseconds, one value per block; block `i` ran beside block `i` of
    /// [`KeySample::calls_us`], so the two are a pair whatever the machine did meanwhile.
    pub calls_us: Vec<f64>,
}

/// One iteration as it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct IterationSample {
    /// Wall time of the iteration, microseconds.
    pub iteration_us: f64,
    /// Its keys, in the order of [`Testbed::keys`].
    pub keys: Vec<KeySample>,
}

/// What starting the job again would mean.
#[derive(Clone, Debug, PartialEq)]
pub struct RestartTerms {
    /// How long the job would be down, microseconds: expected, not promised.
    pub price_us: f64,
    /// The variables of NCCL that the job itself starts with.
    pub own: Environment,
    /// The variables that a restart can set.
    pub variables: Vec<&'static str>,
}

/// Why an iteration gave no figure.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum TestbedError {
    /// The workload failed under this configuration.
    #[error("the workload failed: {reason}")]
    Failed {
        /// The symptom.
        reason: String,
    },
    /// No progress within the time allowed.
    #[error("the workload hung for {waited_s} s")]
    Hung {
        /// How long it was waited for, seconds.
        waited_s: f64,
    },
    /// NCCL did not do what was asked of it: the job goes on, but there is no figure for that.
    #[error("it was not followed: {reason}")]
    NotFollowed {
        /// What was asked and what was done.
        reason: String,
    },
    /// The job is no more: nothing can be tried on it, whatever it was that ended it.
    #[error("the job is gone: {reason}")]
    Gone {
        /// How that is known.
        reason: String,
    },
    /// This testbed has no figure for that.
    #[error("not measurable here: {reason}")]
    NotMeasurable {
        /// What is missing.
        reason: String,
    },
}

impl TestbedError {
    /// Whether the job itself came to harm, and not only the figure that was asked for.
    pub fn is_harm(&self) -> bool {
        matches!(
            self,
            Self::Failed { .. } | Self::Hung { .. } | Self::Gone { .. }
        )
    }
}

/// Something a configuration can be tried on.
pub trait Testbed {
    /// What it is.
    fn describe(&self) -> &TestbedInfo;

    /// The units of tuning, in a fixed order.
    fn keys(&self) -> &[KeyFacts];

    /// What untuned NCCL runs for a key, where the testbed can tell.
    fn untuned_choice(&self, key: TaskKey) -> Option<Choice>;

    /// What untuned calls of a key were seen to do besides taking their time. Nothing is known where
    /// the testbed does not see into calls.
    fn signals(&self, _key: TaskKey) -> Signals {
        Signals::default()
    }

    /// Whether [`Self::probe`] times calls without computation beside them.
    fn probes_alone(&self) -> bool {
        true
    }

    /// Runs one iteration of the job. One that has not ended by its deadline
    /// ([`Approved::deadline_us`]) is a hang, and is not waited for any longer.
    ///
    /// # Errors
    /// A failure, a hang, or a point that this testbed has no figure for.
    fn run_iteration(&mut self, approved: &Approved) -> Result<IterationSample, TestbedError>;

    /// Times calls of one key outside the job, without computation beside them: one value per
    /// repetition, microseconds.
    ///
    /// # Errors
    /// A point that this testbed has no figure for.
    fn probe(
        &mut self,
        approved: &ApprovedProbe,
        repetitions: u32,
    ) -> Result<Vec<f64>, TestbedError>;

    /// From now on the job runs this whenever no iteration is tried; before the first time, NCCL as it
    /// comes. A testbed that runs nothing between iterations has nothing to do.
    ///
    /// # Errors
    /// A job that could not be told, or that is gone.
    fn settle(&mut self, _approved: &Approved) -> Result<(), TestbedError> {
        Ok(())
    }

    /// What starting the job again would mean; `None` where it cannot be: a job that somebody else started,
    /// or figures that were taken once.
    fn restart_terms(&self) -> Option<RestartTerms> {
        None
    }

    /// Ends the job and starts it again from where it was, with these variables set beside its own and
    /// nothing else: what an earlier restart set is gone. The keys stay the same, but what is possible
    /// on them may not. How long the job was down, microseconds.
    ///
    /// # Errors
    /// A job that does not come back ([`TestbedError::is_harm`]); or one that cannot be started again, or
    /// not with these variables: it then runs on as it was.
    fn restart(&mut self, _approved: &ApprovedRestart) -> Result<f64, TestbedError> {
        Err(TestbedError::NotMeasurable {
            reason: format!(
                "the {} testbed cannot start the job again",
                self.describe().kind
            ),
        })
    }

    /// After a failure or a hang: the job goes on with this, its environment included, which ran before
    /// without one. How long the job was down, microseconds, beside what was waited for.
    ///
    /// # Errors
    /// A job that cannot be brought back.
    fn recover(&mut self, approved: &Approved) -> Result<f64, TestbedError> {
        self.settle(approved).map(|()| 0.0)
    }

    /// The run is over: the job keeps this configuration, and no longer depends on this process.
    ///
    /// # Errors
    /// A job that could not be left with it; it then has what it had, or NCCL's own choices.
    fn leave(&mut self, _approved: &Approved) -> Result<(), TestbedError> {
        Ok(())
    }

    /// Noise-free iteration time, microseconds, for the oracle alone: never shown to the agent.
    ///
    /// # Errors
    /// A testbed that cannot know it, or has no figure for that point.
    fn oracle_iteration_us(&self, choices: &[(TaskKey, Choice)]) -> Result<f64, TestbedError>;
}
