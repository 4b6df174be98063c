//! What a job shows of itself while it runs untuned: its communicators, the calls of an iteration, what
//! NCCL chose for them, and what its ranks can run.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ccl_abi::shared::Timing;
use ccl_abi::shared::job::{CommunicatorName, ITERATIONS_FILE};
use ccl_core::{Choice, Collective, TaskKey};

use super::legal::{key_of, keys, untuned};
use super::observed::{name_of, shape_of};
use super::signals::signals;
use super::{LOOK_EVERY, LiveError, LiveJob};
use crate::live::iterations::{Iteration, IterationFile};
use crate::live::pattern::{Call, Pattern};
use crate::live::pilot::{Followed, Pilot};
use crate::observe::rings::Rings;
use crate::observe::seen::Seen;
use crate::testbed::{KeyFacts, Signals};

/// Iterations that are watched; those before are the job's warm-up.
const WATCHED: usize = 8;
/// The job's first iterations, at which nobody looks.
const WARM_UP: usize = 2;

/// One communicator.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    /// The calls of an iteration.
    pub(super) pattern: Pattern,
    /// How often NCCL asks its tuner for one collective.
    pub(super) asks: u64,
}

impl Known {
    /// The call, as ranks count them, that an iteration's call is.
    pub(super) fn call(&self, iteration: u64, index: usize) -> u64 {
        let calls = self.pattern.calls() as u64;
        self.asks * (self.pattern.calls_before() + iteration * calls + index as u64)
    }

    /// The first iteration that begins at this call or later.
    fn iteration_from(&self, call: u64) -> u64 {
        let collectives = call.div_ceil(self.asks);
        let since = collectives.saturating_sub(self.pattern.calls_before());
        since.div_ceil(self.pattern.calls() as u64)
    }
}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Learnt {
    /// The communicators that make calls in every iteration.
    pub(super) communicators: BTreeMap<CommunicatorName, Known>,
    /// The job's own number of the patterns' first iteration.
    pub(super) first_number: u64,
    /// The units of tuning.
    pub(super) keys: Vec<KeyFacts>,
    /// What NCCL chooses.
    pub(super) untuned: BTreeMap<TaskKey, Choice>,
    /// How long its calls took while the job was watched, microseconds.
    pub(super) untuned_us: BTreeMap<TaskKey, Vec<f64>>,
    /// What they showed besides.
    pub(super) signals: BTreeMap<TaskKey, Signals>,
    /// Whether any figure comes from a model.
    pub(super) is_simulated: bool,
}

impl Learnt {
    /// The next iteration that can be steered, or only watched: one that no horizon, or no rank, has
    /// reached.
    pub(super) fn next_iteration(&self, followed: &[Followed], is_steered: bool) -> u64 {
        let first = |f: &Followed| {
            let call = match is_steered {
                true => f.state.horizon.max(f.calls()),
                false => f.calls(),
            };
            self.communicators
                .get(&f.name)
                .map(|known| known.iteration_from(call))
        };
        followed.iter().filter_map(first).max().unwrap_or(0)
    }
}

/// Watches the job until all of that is known.
pub(super) fn learn(
    job: &LiveJob,
    pilot: &Pilot,
    rings: &mut Rings,
) -> Result<(Learnt, IterationFile), LiveError> {
    let mut seen: Vec<Seen> = Vec::new();
    let mut lines: Vec<Iteration> = Vec::new();
    let mut file: Option<IterationFile> = None;
    let began = Instant::now();
    let mut progress = began;
    let path = job.directory.join(ITERATIONS_FILE);
    loop {
        rings.find()?;
        rings.drain(|one| seen.push(one));
        if file.is_none() && path.exists() {
            file = Some(IterationFile::open(&path)?);
        }
        if let Some(file) = &mut file {
            while let Some(line) = file.poll()? {
                lines.push(line);
                progress = Instant::now();
            }
        }
        let enough = lines.len() >= WARM_UP + WATCHED;
        if enough && let Some(file) = file.take() {
            // The other ranks' records of these iterations.
            std::thread::sleep(Duration::from_millis(50));
            rings.drain(|one| seen.push(one));
            let lines = &lines[WARM_UP - 1..];
            return Ok((facts(job, &pilot.communicators(), lines, &seen)?, file));
        }
        let followed = pilot.communicators();
        if !followed.is_empty() && followed.iter().all(Followed::is_over) {
            return Err(LiveError::Ended);
        }
        if let Some(frozen) = followed.iter().find(|f| f.state.frozen) {
            return Err(LiveError::Frozen { name: frozen.name });
        }
        if followed.is_empty() && began.elapsed() > job.wait {
            return Err(LiveError::NotSeen {
                missing: "a rank that follows a decision log".to_owned(),
                waited_s: job.wait.as_secs_f64(),
            });
        }
        if followed.is_empty() {
            progress = Instant::now();
        }
        if progress.elapsed() > job.patience {
            let missing = match (&file, seen.is_empty()) {
                (None, _) => "iteration times".to_owned(),
                (_, true) => "records of its collectives".to_owned(),
                _ => format!("{} iterations, only {}", WARM_UP + WATCHED, lines.len()),
            };
            let waited_s = job.patience.as_secs_f64();
            return Err(LiveError::NotSeen { missing, waited_s });
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// `lines`: the end of the warm-up, and the watched iterations.
fn facts(
    job: &LiveJob,
    followed: &[Followed],
    lines: &[Iteration],
    seen: &[Seen],
) -> Result<Learnt, LiveError> {
    let mut communicators: BTreeMap<CommunicatorName, Known> = BTreeMap::new();
    let mut by_name: BTreeMap<CommunicatorName, Vec<&Seen>> = BTreeMap::new();
    for one in seen {
        if let Some(name) = name_of(one) {
            by_name.entry(name).or_default().push(one);
        }
    }
    if seen.iter().all(|one| one.record.timing == Timing::Enqueue) {
        return Err(LiveError::NoDurations);
    }
    for (name, seen) in &by_name {
        let of = followed.iter().find(|f| f.name == *name && f.is_complete());
        let Some(of) = of else {
            return Err(LiveError::NotSeen {
                missing: format!("all ranks of {} following their log", name.file()),
                waited_s: 0.0,
            });
        };
        let pattern = pattern(*name, lines, seen)?;
        let Some(pattern) = pattern else { continue };
        let last = |collective| {
            let of = seen.iter().filter(|one| one.collective == collective);
            of.map(|one| one.record.sequence + 1).max().unwrap_or(0)
        };
        let calls: u64 = Collective::ALL.into_iter().map(last).sum();
        // Ranks ask before they record, by less than an iteration.
        let asks = (of.calls() + calls / 4) / calls.max(1);
        if asks == 0 {
            return Err(LiveError::Asked {
                name: *name,
                asked: of.calls(),
                calls,
            });
        }
        communicators.insert(*name, Known { pattern, asks });
    }
    if communicators.is_empty() {
        return Err(LiveError::NotSeen {
            missing: "a communicator that makes calls in every iteration".to_owned(),
            waited_s: 0.0,
        });
    }
    let untuned = untuned(seen);
    let mut untuned_us: BTreeMap<TaskKey, Vec<f64>> = BTreeMap::new();
    for one in seen {
        if let Some(key) = key_of(one) {
            #[allow(clippy::cast_precision_loss)] // far below 2^53 ns
            let us = one.record.duration_ns as f64 / 1e3;
            untuned_us.entry(key).or_default().push(us);
        }
    }
    let keys = keys(job, &communicators, followed, seen);
    Ok(Learnt {
        communicators,
        first_number: lines.first().map_or(0, |line| line.number) + 1,
        keys,
        untuned,
        untuned_us,
        signals: signals(lines, seen),
        is_simulated: seen.iter().any(|one| one.is_simulated)
            || lines.iter().any(|line| line.is_simulated),
    })
}

/// The calls between the job's lines, as the communicator's first rank made them; `None` for a
/// communicator without calls there.
fn pattern(
    name: CommunicatorName,
    lines: &[Iteration],
    seen: &[&Seen],
) -> Result<Option<Pattern>, LiveError> {
    let mut first_rank: Vec<&Seen> = seen
        .iter()
        .copied()
        .filter(|one| one.member.is_some_and(|m| m.rank == 0))
        .collect();
    first_rank.sort_by_key(|one| one.record.enqueued_ns);
    let iterations: Vec<Vec<Call>> = lines
        .windows(2)
        .map(|pair| {
            let within = pair[0].ended_us..pair[1].ended_us;
            let calls = first_rank
                .iter()
                .filter(|one| within.contains(&one.enqueued_us));
            let call = |one: &&Seen| Call {
                collective: one.collective,
                bytes: one.bytes(),
                sequence: one.record.sequence,
            };
            calls.map(call).collect()
        })
        .collect();
    if iterations.iter().all(Vec::is_empty) {
        return Ok(None);
    }
    Pattern::of(shape_of(name), &iterations)
        .map(Some)
        .map_err(|why| LiveError::Pattern { name, why })
}
