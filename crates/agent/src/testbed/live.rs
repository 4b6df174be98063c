//! A running job on one machine, switched through its decision logs.
//!
//! The job runs at its own pace and is never stopped: an iteration of the testbed is the next
//! iteration of the job that no rank has reached yet. What is approved for it is appended to the
//! logs of all communicators, together with the way back: after the iteration the job runs what was
//! settled before, whatever becomes of this process meanwhile. What its calls took is read from the rings, how long it took from the
//! job's own lines. What ran is compared with what was ordered: an order that NCCL did not follow
//! is a failure with both in its text, never a figure.
//!
//! Figures are measured, unless a ring or a line of the job says that a model made them: then all are
//! simulated. Not here: process-level knobs, several machines, starting the job.

mod facts;
mod job;
mod legal;
mod observed;
mod plan;
mod signals;

pub use job::{LiveError, LiveJob};

use std::time::{Duration, Instant};

use ccl_abi::shared::Refused;
use ccl_core::{Choice, Configuration, NcclVersion, Source, TaskKey};

use self::facts::Learnt;
use self::observed::{Collected, shape_of};
use self::plan::{Orders, dealt, plan};
use super::{IterationSample, KeyFacts, Signals, Testbed, TestbedError, TestbedInfo};
use crate::guard::{Approved, ApprovedProbe};
use crate::live::iterations::{Iteration, IterationFile};
use crate::live::leases::rules;
use crate::live::pilot::{Followed, Pilot, SteerError};
use crate::observe::rings::Rings;

/// How long the records of a finished iteration are waited for.
const GRACE: Duration = Duration::from_millis(500);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_micros(500);

/// The testbed.
pub struct LiveTestbed {
    info: TestbedInfo,
    learnt: Learnt,
    pilot: Pilot,
    rings: Rings,
    iterations: IterationFile,
    /// What the job runs whenever nothing is tried.
    settled: Configuration,
    patience: Duration,
    elsewhere: Option<Box<dyn Testbed>>,
}

impl std::fmt::Debug for LiveTestbed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveTestbed")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// `major * 10000 + minor * 100 + patch`, as `nccl.h` has it.
fn version_of(code: u32) -> NcclVersion {
    let part = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
    NcclVersion::new(
        part(code / 10_000),
        part(code / 100 % 100),
        part(code % 100),
    )
}

impl LiveTestbed {
    /// Attaches to a job: takes its logs in hand, waits until all ranks follow them, and watches
    /// some untuned iterations to learn what they consist of.
    ///
    /// # Errors
    /// A job that cannot be tuned, with what is in the way.
    pub fn attach(job: LiveJob) -> Result<Self, LiveError> {
        let pilot = Pilot::start(&job.directory)?;
        let mut rings = Rings::new(&job.directory);
        let (learnt, iterations) = facts::learn(&job, &pilot, &mut rings)?;
        let source = match learnt.is_simulated {
            true => Source::Simulated,
            false => Source::Measured,
        };
        let mut notes = job.notes;
        if learnt.is_simulated {
            notes.push(
                "the job's durations are computed by a model: its control path ran, its figures \
                 were not measured"
                    .to_owned(),
            );
        }
        let told = pilot.communicators().iter().find_map(|c| c.nccl_version);
        let nccl_version = told.map_or(job.nccl_version, version_of);
        if told.is_none() {
            notes.push(format!(
                "the ranks could not tell their NCCL; {nccl_version} is taken from the cluster"
            ));
        }
        let info = TestbedInfo {
            kind: "live",
            source,
            cluster: job.cluster,
            nccl_version,
            resolution: 0.0,
            notes,
        };
        Ok(Self {
            info,
            learnt,
            pilot,
            rings,
            iterations,
            settled: Configuration::default(),
            patience: job.patience,
            elsewhere: None,
        })
    }

    /// Times calls outside the job on another testbed. One whose figures have another source is not
    /// taken: its figures would pass for this one's.
    ///
    /// # Errors
    /// Gives it back.
    pub fn time_calls_on(&mut self, elsewhere: Box<dyn Testbed>) -> Result<(), Box<dyn Testbed>> {
        if elsewhere.describe().source != self.info.source {
            return Err(elsewhere);
        }
        let kind = elsewhere.describe().kind;
        let note = format!("choices are timed outside the job on the {kind} testbed");
        self.info.notes.push(note);
        self.elsewhere = Some(elsewhere);
        Ok(())
    }

    /// Orders what is approved for the next iteration, if it is anything else than what runs anyway;
    /// which iteration that is, and what its calls are to run.
    fn order(&self, approved: &Approved) -> Result<(u64, Orders), TestbedError> {
        if self.pilot.is_released() {
            let reason = "it was left for good".to_owned();
            return Err(TestbedError::Gone { reason });
        }
        let is_new = *approved.configuration() != self.settled || !approved.leases().is_empty();
        self.append(approved, &self.settled, is_new)
    }

    /// Appends what is approved to all logs, and `settled` for afterwards; with `is_new` false the logs
    /// say so already, and nothing is appended.
    fn append(
        &self,
        approved: &Approved,
        settled: &Configuration,
        is_new: bool,
    ) -> Result<(u64, Orders), TestbedError> {
        let mut planned = Err(TestbedError::Gone {
            reason: "it has no communicators".to_owned(),
        });
        let steered = self.pilot.steer(|followed| {
            let number = self.learnt.next_iteration(followed, is_new);
            let plan = plan(&self.learnt, approved, settled, followed, number);
            let mut appended = Vec::new();
            planned = plan.map(|(entries, orders)| {
                if is_new {
                    appended = entries;
                }
                (number, orders)
            });
            appended
        });
        steered.map_err(unsteered)?;
        planned
    }

    /// Waits for the iteration to end and for its records: until the deadline for the iteration's own
    /// sake, and no longer than the patience for a job that shows nothing any more.
    fn collect(
        &mut self,
        number: u64,
        deadline: Duration,
    ) -> Result<(Iteration, Collected), TestbedError> {
        let mut collected = Collected::new(number);
        let mut progress = Instant::now();
        let mut ended: Option<(Iteration, Instant)> = None;
        let failed = |reason: String| TestbedError::Failed { reason };
        self.rings.find().map_err(|e| failed(e.to_string()))?;
        loop {
            let learnt = &self.learnt;
            self.rings.drain(|seen| collected.add(&seen, learnt));
            while let Some(iteration) = self.iterations.poll().map_err(|e| failed(e.to_string()))? {
                progress = Instant::now();
                if iteration.number == self.learnt.first_number + number {
                    ended = Some((iteration, progress));
                }
            }
            if let Some((iteration, since)) = ended
                && (collected.is_complete(&self.learnt) || since.elapsed() > GRACE)
            {
                return Ok((iteration, collected));
            }
            if progress.elapsed() > self.patience {
                // What hangs in NCCL does not come back.
                let reason = format!("no iteration ended in {} s", self.patience.as_secs());
                return Err(TestbedError::Gone { reason });
            }
            if progress.elapsed() > deadline {
                return Err(TestbedError::Hung {
                    waited_s: progress.elapsed().as_secs_f64(),
                });
            }
            if ended.is_none() && self.pilot.communicators().iter().all(Followed::is_over) {
                let reason = "all its ranks have ended".to_owned();
                return Err(TestbedError::Gone { reason });
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Testbed for LiveTestbed {
    fn describe(&self) -> &TestbedInfo {
        &self.info
    }

    fn keys(&self) -> &[KeyFacts] {
        &self.learnt.keys
    }

    fn untuned_choice(&self, key: TaskKey) -> Option<Choice> {
        self.learnt.untuned.get(&key).copied()
    }

    fn signals(&self, key: TaskKey) -> Signals {
        self.learnt.signals.get(&key).cloned().unwrap_or_default()
    }

    fn probes_alone(&self) -> bool {
        self.elsewhere.is_some()
    }

    fn run_iteration(&mut self, approved: &Approved) -> Result<IterationSample, TestbedError> {
        let (number, orders) = self.order(approved)?;
        let deadline = Duration::from_secs_f64(approved.deadline_us() / 1e6);
        let (iteration, collected) = self.collect(number, deadline)?;
        collected.compare_with(&orders)?;
        let keys =
            self.learnt.keys.iter().map(|facts| {
                collected.sample(facts.key, &self.learnt, &|keys| dealt(keys, approved))
            });
        Ok(IterationSample {
            iteration_us: iteration.time_ms * 1e3,
            keys: keys.collect(),
        })
    }

    fn probe(
        &mut self,
        approved: &ApprovedProbe,
        repetitions: u32,
    ) -> Result<Vec<f64>, TestbedError> {
        if let Some(elsewhere) = &mut self.elsewhere {
            return elsewhere.probe(approved, repetitions);
        }
        let watched = self.learnt.untuned_us.get(&approved.key());
        match (approved.choice(), watched) {
            (None, Some(watched)) => {
                Ok(watched.iter().copied().take(repetitions as usize).collect())
            }
            _ => Err(TestbedError::NotMeasurable {
                reason: "calls of a running job cannot be timed outside it".to_owned(),
            }),
        }
    }

    fn settle(&mut self, approved: &Approved) -> Result<(), TestbedError> {
        self.append(approved, approved.configuration(), true)?;
        self.settled = approved.configuration().clone();
        Ok(())
    }

    fn leave(&mut self, approved: &Approved) -> Result<(), TestbedError> {
        let policy = &approved.configuration().policy;
        let last = |name| rules(policy, shape_of(name)).unwrap_or_default();
        self.pilot
            .release(last)
            .map_err(|error| TestbedError::Failed {
                reason: error.to_string(),
            })
    }

    fn oracle_iteration_us(&self, _: &[(TaskKey, Choice)]) -> Result<f64, TestbedError> {
        Err(TestbedError::NotMeasurable {
            reason: "nobody knows a running job's noise-free times".to_owned(),
        })
    }
}

fn unsteered(error: SteerError) -> TestbedError {
    match error {
        SteerError::Refused {
            name,
            why: Refused::Frozen,
        } => plan::frozen(name),
        error => TestbedError::Failed {
            reason: error.to_string(),
        },
    }
}
