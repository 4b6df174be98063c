//! The ring of this process: made once, kept as long as the process lives.

use std::ffi::c_int;
use std::io;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use ccl_abi::nccl::profiler::kind;
use ccl_abi::shared::job::ring_file;
use ccl_abi::shared::{Control, Mapping, Process, Record, Ring};

use super::budget::Budget;
use super::clock;
use crate::fork::Owner;

/// Records the ring holds: 1 MiB, a second at 8,000 collectives a second.
const SLOTS: u32 = 8192;

/// The kinds of events that are asked for.
pub const ALL_KINDS: u32 =
    (kind::COLLECTIVE | kind::PROXY_OP | kind::PROXY_STEP | kind::KERNEL_CHANNEL) as u32;

/// The process's ring.
#[derive(Debug)]
pub struct Recorder {
    mapping: Mapping,
    owner: Owner,
    pid: c_int,
    /// Where nobody said how many collectives to record.
    budget: Option<Budget>,
}

static RECORDER: OnceLock<Option<Recorder>> = OnceLock::new();
impl Recorder {
    /// The process's ring in the job directory, made by whoever asks first.
    ///
    /// # Errors
    /// What the file system says, for the first who asks; `None` later.
    pub fn of_process(
        job: &Path,
        kinds: u32,
        one_in: Option<u32>,
        is_simulated: bool,
    ) -> io::Result<&'static Self> {
        let mut failed = None;
        let recorder = RECORDER.get_or_init(|| match Self::new(job, kinds, one_in, is_simulated) {
            Ok(recorder) => Some(recorder),
            Err(error) => {
                failed = Some(error);
                None
            }
        });
        match (recorder, failed) {
            (Some(recorder), _) => Ok(recorder),
            (None, Some(error)) => Err(error),
            (None, None) => Err(io::Error::other("no ring could be made before")),
        }
    }

    fn new(job: &Path, kinds: u32, one_in: Option<u32>, is_simulated: bool) -> io::Result<Self> {
        let control = Control {
            kinds,
            one_in: one_in.unwrap_or(1),
        };
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, "a ring of another size");
        let words = Ring::<AtomicU64>::words(SLOTS).ok_or_else(invalid)?;
        let pid = std::process::id();
        let mut attempt = 0;
        let mapping = loop {
            match Mapping::create(&job.join(ring_file(pid, attempt)), words) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && attempt < 1000 => {
                    attempt += 1
                }
                other => break other?,
            }
        };
        let maker = Process::this();
        let wall = clock::wall_minus_monotonic_ns();
        Ring::initialise(mapping.words(), SLOTS, maker, wall, is_simulated, control)
            .map_err(|_| invalid())?;
        Ok(Self {
            mapping,
            owner: Owner::this(),
            pid: c_int::try_from(pid).unwrap_or(0),
            budget: one_in.is_none().then(|| Budget::new(clock::monotonic_ns())),
        })
    }

    /// The ring.
    pub fn ring(&self) -> Ring<'_, AtomicU64> {
        Ring::again(self.mapping.words(), SLOTS)
    }

    /// Whether this process may write: not one that was forked from the ring's.
    pub fn is_ours(&self) -> bool {
        self.owner.is_this()
    }

    /// The process that made the ring.
    pub fn pid(&self) -> c_int {
        self.pid
    }

    /// One collective in how many is recorded, when a communicator has come to this number. What an
    /// observer asks for goes before the budget.
    pub fn one_in(&self, number: u64, control: Control) -> u32 {
        match &self.budget {
            Some(budget) if control.one_in == 1 => budget.one_in(number, clock::monotonic_ns),
            _ => control.one_in,
        }
    }

    /// Adds a record; of so many kernel channels.
    pub fn push(&self, record: &Record, kernels: u64) {
        if self.is_ours() {
            self.ring().push(record);
            if let Some(budget) = &self.budget {
                budget.spend(kernels, record.transfers.into());
            }
        }
    }
}
