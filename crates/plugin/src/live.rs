//! Live mode: what to run comes from the decision log of this communicator, which all its ranks and
//! the agent map.
//!
//! A rank counts its calls; the log says what the k-th call runs, and every rank gets the same
//! answer (see `ccl_abi::shared`). A rank that reaches the horizon waits; after the time-out it
//! freezes the log and goes on with what is committed, so a job survives an agent that dies. Before an
//! agent has come there is none to wait for: the horizon is moved by the ranks themselves.
//!
//! Beside that a rank says on the communicator's roll that it is there, how far it is, and which pairs
//! NCCL cannot run on it: the agent changes nothing before all ranks have said so. None of that
//! enters a choice.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ccl_abi::nccl::common::{ALGORITHMS, PROTOCOLS};
use ccl_abi::shared::job::{CommunicatorName, GEOMETRY, communicator_words, parts};
use ccl_abi::shared::{Answer, Mapping, Process, Reader, Roll, Rule, Seat, initialise};

use crate::fork::Owner;
use crate::version::Version;

/// How long a rank waits at the horizon. A training step must not notice a switch, and must survive
/// an agent that is gone.
pub const PATIENCE: Duration = Duration::from_millis(200);
/// How long a rank sleeps between two looks while it waits.
const LOOK_EVERY: Duration = Duration::from_micros(50);
/// How many calls ahead ranks move the horizon while there is no agent: one that comes is obeyed that
/// much later.
const ALONE: u64 = 64;
/// Calls of which a rank notes what NCCL cannot run.
const NOTED_CALLS: u64 = 256;

/// One communicator's log, as one rank sees it.
#[derive(Debug)]
pub struct Live {
    mapping: Mapping,
    owner: Owner,
    seat: usize,
    /// Calls asked about. NCCL makes a communicator's calls one after another, so reading and writing
    /// apart loses none.
    calls: AtomicU64,
    frozen_here: AtomicU64,
}

impl Live {
    /// Opens the log in the job directory and takes a seat; the first rank makes both.
    ///
    /// # Errors
    /// What the file system says, a file that is no log of this version, or no seat left.
    pub fn open(
        job: &Path,
        communicator: CommunicatorName,
        nccl: Option<Version>,
    ) -> io::Result<Self> {
        let doubt = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let words = communicator_words().ok_or_else(|| doubt("geometry"))?;
        let mapping = Mapping::open(&job.join(communicator.file()), words)?;
        let (log, roll) = parts(mapping.words()).ok_or_else(|| doubt("too short"))?;
        let me = Process::this();
        // Whoever comes first makes it; all others are told that it is in use.
        let _ = initialise(log, GEOMETRY, me.pid, u64::from(me.started));
        let geometry = Reader::new(log).ok().map(|reader| reader.geometry());
        if geometry != Some(GEOMETRY) {
            return Err(doubt("it is no log of this version"));
        }
        let roll = Roll::open(roll).map_err(|_| doubt("it has no roll of this version"))?;
        if let Some(Version(code)) = nccl {
            roll.runs_in(code);
        }
        let seat = roll.sit(me).ok_or_else(|| doubt("no seat is left"))?;
        Ok(Self {
            mapping,
            owner: Owner::this(),
            seat,
            calls: AtomicU64::new(0),
            frozen_here: AtomicU64::new(0),
        })
    }

    /// The shared words; `None` in a process that was forked from the rank's, which could freeze the
    /// log and leave the seat.
    fn words(&self) -> Option<&[AtomicU64]> {
        self.owner.is_this().then(|| self.mapping.words())
    }

    fn reader(&self) -> Option<Reader<'_, AtomicU64>> {
        Reader::again(self.words()?, GEOMETRY)
    }

    fn seat(&self) -> Option<Seat<'_, AtomicU64>> {
        Roll::again(parts(self.words()?)?.1)?.seat(self.seat)
    }

    /// What the next call runs, if it `can`; waits at the horizon. `None` is NCCL's own choice.
    ///
    /// What is in a log was found possible for all ranks before it was published. A rank that finds it
    /// impossible all the same leaves the call to NCCL rather than writing where NCCL refuses, and
    /// says so on the roll.
    pub fn next(
        &self,
        collective: u8,
        bytes: u64,
        can: impl Fn(usize, usize) -> bool,
    ) -> Option<Rule> {
        let call = self.calls.load(Relaxed);
        self.calls.store(call + 1, Relaxed);
        let seat = self.seat()?;
        seat.called(call + 1);
        if call < NOTED_CALLS {
            seat.cannot_run(collective, impossible(&can));
        }
        let reader = self.reader()?;
        let rule = match reader.at(call, collective, bytes) {
            Answer::Run(rule) => rule,
            Answer::NcclChooses | Answer::Unreadable => return None,
            Answer::Wait => self.wait(&reader, call, collective, bytes)?,
        };
        if can(usize::from(rule.algorithm), usize::from(rule.protocol)) {
            return Some(rule);
        }
        seat.declined();
        None
    }

    /// What the last call's entry says of this collective: chunk sizes are asked for afterwards, in
    /// the same order on every rank.
    pub fn last(&self, collective: u8, bytes: u64) -> Option<Rule> {
        let call = self.calls.load(Relaxed).checked_sub(1)?;
        match self.reader()?.at(call, collective, bytes) {
            Answer::Run(rule) => Some(rule),
            _ => None,
        }
    }

    /// Off the fast path: here a clock and sleeping are allowed.
    #[cold]
    fn wait(
        &self,
        reader: &Reader<'_, AtomicU64>,
        call: u64,
        collective: u8,
        bytes: u64,
    ) -> Option<Rule> {
        let began = Instant::now();
        loop {
            if reader.writer().is_none() {
                reader.extend_unclaimed(call + ALONE);
            } else {
                std::thread::sleep(LOOK_EVERY);
            }
            match reader.at(call, collective, bytes) {
                Answer::Run(rule) => return Some(rule),
                Answer::NcclChooses | Answer::Unreadable => return None,
                Answer::Wait if began.elapsed() >= PATIENCE => {
                    self.frozen_here.fetch_add(1, Relaxed);
                    reader.freeze();
                }
                Answer::Wait => {}
            }
        }
    }

    /// How often this rank lost patience: 0 or 1.
    pub fn times_frozen(&self) -> u64 {
        self.frozen_here.load(Relaxed)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(seat) = self.seat() {
            seat.leave();
        }
    }
}

/// The pairs that NCCL cannot run, as the roll has them.
fn impossible(can: impl Fn(usize, usize) -> bool) -> u32 {
    (0..ALGORITHMS * PROTOCOLS)
        .filter(|pair| !can(pair / PROTOCOLS, pair % PROTOCOLS))
        .fold(0, |pairs, pair| pairs | 1 << pair)
}
