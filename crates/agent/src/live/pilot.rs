//! Keeps every communicator's horizon ahead of its ranks, and appends what is to be run.
//!
//! A thread of its own does the keeping, because a rank that reaches the horizon waits and after
//! 200 ms freezes the log for good. It keeps the horizon as far ahead as the fastest rank comes in 40 ms
//! (`log::LEAD`): farther makes a switch later, nearer makes ranks wait for a thread that the system did not
//! schedule in time. Logs are found as the ranks make them.
//!
//! Nothing is appended before all ranks of a communicator follow its log: a rank that does not would
//! run something else than the others.

mod log;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ccl_abi::shared::job::CommunicatorName;
use ccl_abi::shared::{Presence, Process, Refused, Rule, State};
use thiserror::Error;

use self::log::Log;

/// How often the thread looks at the ranks.
const TICK: Duration = Duration::from_micros(500);
/// How often it looks for new logs.
const LOOK_FOR_LOGS: Duration = Duration::from_millis(5);

/// From a call on these rules are to apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The call, counted from 0 by each rank of the communicator.
    pub from: u64,
    /// The rules; none is NCCL's own choice for everything.
    pub rules: Vec<Rule>,
}

/// A communicator as the pilot sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Followed {
    /// Which.
    pub name: CommunicatorName,
    /// Its log.
    pub state: State,
    /// Its ranks on this machine, in the order in which they sat down.
    pub ranks: Vec<Presence>,
    /// Entries that the log can still take.
    pub entries_left: u32,
    /// The NCCL its ranks run in, as `major * 10000 + minor * 100 + patch`, where they know it.
    pub nccl_version: Option<u32>,
}

impl Followed {
    /// Whether every rank of the communicator follows the log.
    pub fn is_complete(&self) -> bool {
        self.ranks.len() as u64 >= self.name.ranks
    }

    /// Calls the fastest rank has asked about.
    pub fn calls(&self) -> u64 {
        self.ranks.iter().map(|rank| rank.calls).max().unwrap_or(0)
    }

    /// Whether all its ranks have ended.
    pub fn is_over(&self) -> bool {
        self.is_complete()
            && self
                .ranks
                .iter()
                .all(|rank| rank.has_left || rank.process.is_gone())
    }
}

/// Why nothing was appended.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SteerError {
    /// No such log.
    #[error("no communicator {} is there", name.file())]
    Unknown {
        /// Which was asked for.
        name: CommunicatorName,
    },
    /// Some rank does not follow the log.
    #[error("{following} of {} ranks follow the log {}", name.ranks, name.file())]
    Incomplete {
        /// Which.
        name: CommunicatorName,
        /// How many do.
        following: u64,
    },
    /// The log did not take it.
    #[error("the log {} did not take an entry: {why:?}", name.file())]
    Refused {
        /// Which.
        name: CommunicatorName,
        /// Why.
        why: Refused,
    },
}

#[derive(Debug)]
struct Shared {
    job: PathBuf,
    me: Process,
    logs: Mutex<BTreeMap<CommunicatorName, Log>>,
    is_over: AtomicBool,
}

impl Shared {
    fn logs(&self) -> MutexGuard<'_, BTreeMap<CommunicatorName, Log>> {
        // What a panicking holder left is consistent: logs are only added.
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_for_logs(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.job)? {
            let file = entry?.file_name();
            let name = file.to_str().and_then(CommunicatorName::from_file);
            let Some(name) = name else { continue };
            let mut logs = self.logs();
            if !logs.contains_key(&name)
                && let Some(log) = Log::open(&self.job.join(&file), self.me)
            {
                logs.insert(name, log);
            }
        }
        Ok(())
    }

    fn keep(&self) {
        let mut looked: Option<Instant> = None;
        while !self.is_over.load(Ordering::Acquire) {
            let now = Instant::now();
            if looked.is_none_or(|then| now.duration_since(then) >= LOOK_FOR_LOGS) {
                // A directory that is gone has no ranks to keep waiting.
                let _ = self.look_for_logs();
                looked = Some(now);
            }
            self.logs().values_mut().for_each(|log| log.keep(now));
            std::thread::sleep(TICK);
        }
    }
}

/// The writer of all logs of a job's directory.
#[derive(Debug)]
pub struct Pilot {
    shared: Arc<Shared>,
    keeper: Option<JoinHandle<()>>,
}

impl Pilot {
    /// Takes the job's logs in hand, those that are there and those that come.
    ///
    /// # Errors
    /// A directory that cannot be listed, or a thread that cannot be started.
    pub fn start(job: &Path) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            job: job.to_owned(),
            me: Process::this(),
            logs: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        shared.look_for_logs()?;
        let kept = Arc::clone(&shared);
        let keeper = std::thread::Builder::new()
            .name("horizon keeper".to_owned())
            .spawn(move || kept.keep())?;
        Ok(Self {
            shared,
            keeper: Some(keeper),
        })
    }

    /// All communicators, in the order of their names.
    pub fn communicators(&self) -> Vec<Followed> {
        let logs = self.shared.logs();
        logs.iter()
            .filter_map(|(name, log)| log.followed(*name))
            .collect()
    }

    /// Appends what `plan` makes of the communicators as they are now; the horizons do not move
    /// meanwhile. Segments of one communicator are in order, none below its horizon.
    ///
    /// # Errors
    /// A communicator of which a rank is missing, before anything is appended; an entry that a log did
    /// not take: those before it stand.
    pub fn steer(
        &self,
        plan: impl FnOnce(&[Followed]) -> Vec<(CommunicatorName, Vec<Segment>)>,
    ) -> Result<(), SteerError> {
        let logs = self.shared.logs();
        let followed: Vec<Followed> = logs
            .iter()
            .filter_map(|(name, log)| log.followed(*name))
            .collect();
        let plan = plan(&followed);
        for (name, _) in &plan {
            let found = followed.iter().find(|f| f.name == *name);
            let found = found.ok_or(SteerError::Unknown { name: *name })?;
            if !found.is_complete() {
                return Err(SteerError::Incomplete {
                    name: *name,
                    following: found.ranks.len() as u64,
                });
            }
        }
        for (name, segments) in plan {
            let log = logs.get(&name).ok_or(SteerError::Unknown { name })?;
            log.append(name, &segments)?;
        }
        Ok(())
    }

    /// Ends the steering: from the horizon on the rules that `last` says apply for ever, and the job
    /// no longer depends on this process.
    ///
    /// # Errors
    /// A log that ranks froze already keeps what it has: that is said, and the others are
    /// released all the same.
    pub fn release(
        &mut self,
        last: impl Fn(CommunicatorName) -> Vec<Rule>,
    ) -> Result<(), SteerError> {
        self.stop_keeping();
        self.release_all(last)
    }

    /// Whether the job was left.
    pub fn is_released(&self) -> bool {
        self.keeper.is_none()
    }

    fn release_all(&self, last: impl Fn(CommunicatorName) -> Vec<Rule>) -> Result<(), SteerError> {
        let mut first = Ok(());
        for (name, log) in self.shared.logs().iter() {
            let Some((writer, roll)) = log.parts() else {
                continue;
            };
            let rules = last(*name);
            let is_complete = roll.present().count() as u64 >= name.ranks;
            let horizon = writer.state().horizon;
            let released = match is_complete && horizon < State::FOR_EVER {
                true => writer.append(horizon, &rules, State::FOR_EVER),
                // Nothing was ever ordered there.
                false => writer.extend(State::FOR_EVER),
            };
            first = first.and(released.map_err(|why| SteerError::Refused { name: *name, why }));
        }
        first
    }

    fn stop_keeping(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        if let Some(keeper) = self.keeper.take() {
            // It holds no state that a panic of it could have broken.
            let _ = keeper.join();
        }
    }
}

impl Drop for Pilot {
    /// Without [`Pilot::release`], as when the agent fails: NCCL's own choices, for ever.
    fn drop(&mut self) {
        if self.keeper.is_some() {
            self.stop_keeping();
            let _ = self.release_all(|_| Vec::new());
        }
    }
}
