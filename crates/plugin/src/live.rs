//! Live mode: what to run comes from the decision log of this communicator, which all its ranks and
//! the agent map.
//!
//! A rank counts its calls; the log says what the k-th call runs, and every rank gets the same
//! answer (see `ccl_abi::shared`). A rank that reaches the horizon waits; after the time-out it
//! freezes the log and goes on with what is committed, so a job survives an agent that dies.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ccl_abi::shared::{Answer, Geometry, Reader, Rule, initialise};

use ccl_abi::shared::Mapping;

use crate::fork::Owner;

/// The size of every log: 1,024 entries of up to 64 rules, 2 MiB.
pub const GEOMETRY: Geometry = Geometry {
    slots: 1024,
    rules: 64,
};
/// How long a rank waits at the horizon. A training step must not notice a switch, and must survive
/// an agent that is gone.
pub const PATIENCE: Duration = Duration::from_millis(200);
/// How long a rank sleeps between two looks while it waits.
const LOOK_EVERY: Duration = Duration::from_micros(50);

/// Name of a communicator's log: equal on all its ranks, since the id and the shape are.
pub fn file_name(comm_id: u64, ranks: u64, nodes: u64) -> String {
    format!("comm-{comm_id:016x}-{ranks}r{nodes}n.log")
}

/// One communicator's log, as one rank sees it.
#[derive(Debug)]
pub struct Live {
    mapping: Mapping,
    owner: Owner,
    calls: AtomicU64,
    frozen_here: AtomicU64,
}

impl Live {
    /// Opens the log in the job directory; the first rank makes it.
    ///
    /// # Errors
    /// What the file system says, or a file that is no log of this version.
    pub fn open(job: &Path, comm_id: u64, ranks: u64, nodes: u64) -> io::Result<Self> {
        let doubt = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let words = GEOMETRY.words().ok_or_else(|| doubt("geometry"))?;
        let mapping = Mapping::open(&job.join(file_name(comm_id, ranks, nodes)), words)?;
        // Whoever comes first makes it; all others are told that it is in use.
        let _ = initialise(mapping.words(), GEOMETRY, std::process::id(), 0);
        let live = Self {
            mapping,
            owner: Owner::this(),
            calls: AtomicU64::new(0),
            frozen_here: AtomicU64::new(0),
        };
        let geometry = Reader::new(live.mapping.words())
            .ok()
            .map(|reader| reader.geometry());
        if geometry != Some(GEOMETRY) {
            return Err(doubt("it is no log of this version"));
        }
        Ok(live)
    }

    /// `None` in a process that was forked from the rank's: it could freeze the log.
    fn reader(&self) -> Option<Reader<'_, AtomicU64>> {
        self.owner
            .is_this()
            .then(|| Reader::again(self.mapping.words(), GEOMETRY))?
    }

    /// What the next call runs; waits at the horizon. `None` is NCCL's own choice.
    pub fn next(&self, collective: u8, bytes: u64) -> Option<Rule> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let reader = self.reader()?;
        match reader.at(call, collective, bytes) {
            Answer::Run(rule) => Some(rule),
            Answer::NcclChooses | Answer::Unreadable => None,
            Answer::Wait => self.wait(&reader, call, collective, bytes),
        }
    }

    /// What the last call's entry says of this collective: chunk sizes are asked for afterwards, in
    /// the same order on every rank.
    pub fn last(&self, collective: u8, bytes: u64) -> Option<Rule> {
        let call = self.calls.load(Ordering::Relaxed).checked_sub(1)?;
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
            std::thread::sleep(LOOK_EVERY);
            match reader.at(call, collective, bytes) {
                Answer::Run(rule) => return Some(rule),
                Answer::NcclChooses | Answer::Unreadable => return None,
                Answer::Wait if began.elapsed() >= PATIENCE => {
                    self.frozen_here.fetch_add(1, Ordering::Relaxed);
                    reader.freeze();
                }
                Answer::Wait => {}
            }
        }
    }

    /// How often this rank lost patience: 0 or 1.
    pub fn times_frozen(&self) -> u64 {
        self.frozen_here.load(Ordering::Relaxed)
    }
}
