//! A running job on one machine, switched through its decision logs.
//!
//! The job runs at its own pace and is never stopped: an iteration of the testbed is the next
//! iteration of the job that no rank has reached yet. What is approved for it is appended to the
//! logs of all communicators; what its calls took is read from the rings, how long it took from the
//! job's own lines. What ran is compared with what was ordered: an order that NCCL did not follow
//! is a failure with both in its text, never a figure.
//!
//! Figures are measured, unless a ring or a line of the job says that a model made them: then all are
//! simulated. Not here: process-level knobs, several machines, starting the job.

mod facts;
mod observed;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ccl_abi::shared::Rule;
use ccl_abi::shared::job::CommunicatorName;
use ccl_core::{Choice, Configuration, NcclVersion, Source, TaskKey};
use thiserror::Error;

use self::facts::Learnt;
use self::observed::{Collected, shape_of};
use super::{IterationSample, KeyFacts, Testbed, TestbedError, TestbedInfo};
use crate::guard::{Approved, ApprovedProbe};
use crate::live::iterations::{Iteration, IterationFile};
use crate::live::leases::{Dealt, deal, rules, segments};
use crate::live::pattern::PatternError;
use crate::live::pilot::{Followed, Pilot, Segment};
use crate::observe::rings::Rings;

/// How long the records of a finished iteration are waited for.
const GRACE: Duration = Duration::from_millis(500);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_micros(500);
/// Entries of a log that are kept for switching whole configurations.
const KEPT_ENTRIES: u32 = 256;

/// A job to attach to.
pub struct LiveJob {
    /// Its directory, in which its ranks make their logs and rings, and the job writes its iteration
    /// times ([`ITERATIONS_FILE`](ccl_abi::shared::job::ITERATIONS_FILE)).
    pub directory: PathBuf,
    /// What its cluster is called.
    pub cluster: String,
    /// Its NCCL, if its ranks cannot tell.
    pub nccl_version: NcclVersion,
    /// Whether nothing runs beside the calls of a key. A key of which that is not known counts as
    /// overlapped: then the iteration is judged, not the call.
    pub is_exposed: Box<dyn Fn(TaskKey) -> bool>,
    /// How long the job may make no progress before it counts as hung.
    pub patience: Duration,
    /// How long to wait for its first rank.
    pub wait: Duration,
    /// What a reader of the results must know beside what the testbed itself notes.
    pub notes: Vec<String>,
}

/// Why a job cannot be tuned while it runs.
#[derive(Debug, Error)]
pub enum LiveError {
    /// Its directory or its iteration times cannot be read.
    #[error("cannot read the job's files: {0}")]
    Io(#[from] io::Error),
    /// It ended before it could be tuned.
    #[error("all ranks of the job have ended")]
    Ended,
    /// Its ranks waited for an agent that did not answer, and no longer listen to any.
    #[error("the ranks of {} gave up waiting for an earlier agent", name.file())]
    Frozen {
        /// Which.
        name: CommunicatorName,
    },
    /// It does not show what is needed.
    #[error("after {waited_s} s the job has not shown {missing}")]
    NotSeen {
        /// What is missing.
        missing: String,
        /// How long it was waited for, seconds.
        waited_s: f64,
    },
    /// Its iterations are not alike.
    #[error("communicator {}: {why}", name.file())]
    Pattern {
        /// Where.
        name: CommunicatorName,
        /// How not.
        why: PatternError,
    },
    /// NCCL does not ask the tuner the same number of times for every call.
    #[error(
        "communicator {}: NCCL asked the tuner {asked} times for {calls} collectives; grouped \
         collectives cannot be told apart",
        name.file()
    )]
    Asked {
        /// Where.
        name: CommunicatorName,
        /// Questions.
        asked: u64,
        /// Collectives.
        calls: u64,
    },
    /// The records say when calls were enqueued, not how long they took.
    #[error("the records hold no durations, only when calls were enqueued")]
    NoDurations,
}

/// The testbed.
pub struct LiveTestbed {
    info: TestbedInfo,
    learnt: Learnt,
    pilot: Pilot,
    rings: Rings,
    iterations: IterationFile,
    /// What all calls run that are not leased.
    applied: Configuration,
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

/// What one call of an iteration is to run: nothing where NCCL chooses.
type Orders = BTreeMap<(CommunicatorName, usize), Option<Choice>>;

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
            applied: Configuration::default(),
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

    /// Appends what is approved to all logs; which iteration it is for, and what its calls are to
    /// run.
    fn order(&mut self, approved: &Approved) -> Result<(u64, Orders), TestbedError> {
        if self.pilot.is_released() {
            let reason = "it was left for good".to_owned();
            return Err(TestbedError::Gone { reason });
        }
        let configuration = approved.configuration();
        let is_new = *configuration != self.applied || !approved.leases().is_empty();
        let failed = |reason: String| TestbedError::Failed { reason };
        let learnt = &self.learnt;
        let mut planned: Result<(u64, Orders), String> = Err("no communicator".to_owned());
        self.pilot
            .steer(|followed| {
                let mut segments = Vec::new();
                let number = learnt.next_iteration(followed, is_new);
                planned = plan(learnt, approved, followed, number).map(|(entries, orders)| {
                    if is_new {
                        segments = entries;
                    }
                    (number, orders)
                });
                segments
            })
            .map_err(|error| failed(error.to_string()))?;
        self.applied = configuration.clone();
        planned.map_err(failed)
    }

    /// Waits for the iteration to end and for its records.
    fn collect(&mut self, number: u64) -> Result<(Iteration, Collected), TestbedError> {
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
            if ended.is_none() && self.pilot.communicators().iter().all(Followed::is_over) {
                let reason = "all its ranks have ended".to_owned();
                return Err(TestbedError::Gone { reason });
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// Entries for all communicators, and what each call is to run.
type Plan = (Vec<(CommunicatorName, Vec<Segment>)>, Orders);

fn plan(
    learnt: &Learnt,
    approved: &Approved,
    followed: &[Followed],
    number: u64,
) -> Result<Plan, String> {
    let policy = &approved.configuration().policy;
    let mut entries = Vec::new();
    let mut orders = Orders::new();
    for (name, known) in &learnt.communicators {
        let of = followed.iter().find(|f| f.name == *name);
        let of = of.ok_or_else(|| format!("communicator {} is gone", name.file()))?;
        if of.state.frozen {
            return Err(format!(
                "ranks froze {}: the agent was too slow",
                name.file()
            ));
        }
        let dealt = dealt(known.pattern.keys(), approved);
        let base: Vec<Rule> = rules(policy, shape_of(*name))
            .ok_or("a rule of the policy cannot be written into a log")?;
        let at = |index: usize| known.call(number, index);
        let segments = segments(&base, &dealt, at).ok_or("a lease cannot be written into a log")?;
        let wanted = u32::try_from(segments.len()).unwrap_or(u32::MAX);
        let kept = if approved.leases().is_empty() {
            0
        } else {
            KEPT_ENTRIES
        };
        if of.entries_left.saturating_sub(kept) < wanted {
            return Err(format!("{} takes no more leases", name.file()));
        }
        for (index, key) in known.pattern.keys().iter().enumerate() {
            orders.insert((*name, index), policy.choice_for(*key));
        }
        for (choice, index) in leased(&dealt) {
            orders.insert((*name, index), Some(choice));
        }
        entries.push((*name, segments));
    }
    Ok((entries, orders))
}

/// The calls of an iteration with these keys, dealt out by key.
fn dealt(keys: &[TaskKey], approved: &Approved) -> Vec<Dealt> {
    let mut calls: BTreeMap<TaskKey, Vec<usize>> = BTreeMap::new();
    for (index, key) in keys.iter().enumerate() {
        calls.entry(*key).or_default().push(index);
    }
    let of_key = |(key, calls): (TaskKey, Vec<usize>)| {
        let leases: Vec<_> = approved.leases().iter().filter(|l| l.key == key).collect();
        deal(key, &calls, &leases)
    };
    calls.into_iter().map(of_key).collect()
}

fn leased(dealt: &[Dealt]) -> impl Iterator<Item = (Choice, usize)> {
    dealt
        .iter()
        .flat_map(|of_key| &of_key.leases)
        .flat_map(|(choice, blocks)| blocks.iter().flatten().map(|index| (*choice, *index)))
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

    fn run_iteration(&mut self, approved: &Approved) -> Result<IterationSample, TestbedError> {
        let (number, orders) = self.order(approved)?;
        let (iteration, collected) = self.collect(number)?;
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
