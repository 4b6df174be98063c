//! What was launched: the stub driver calls back on the thread that launches, and the thread keeps
//! it until it asks.

use std::cell::RefCell;
use std::ffi::{CStr, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};

use ccl_core::{Algorithm, Collective, CommShape, Protocol};
use ccl_stub::launch::{Launch as RawLaunch, Operation as RawOperation};
use serde::{Deserialize, Serialize};

/// A kernel launch of NCCL.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// The rank's communicator, by its place in the job's list.
    pub communicator: usize,
    /// The rank in it.
    pub rank: u32,
    /// Ranks and nodes of it, as NCCL counts them.
    pub shape: CommShape,
    /// Thread blocks: one per channel in use.
    pub thread_blocks: u32,
    /// Threads per block.
    pub block_threads: u32,
    /// When it starts on its stream's clock, nanoseconds.
    pub start_ns: u64,
    /// How long it takes there, nanoseconds: simulated.
    pub duration_ns: u64,
    /// What it runs; more than one for a group.
    pub operations: Vec<Operation>,
}

/// A collective of a launch, as it really runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Operation {
    /// The collective.
    pub collective: Collective,
    /// Its size in bytes as nccl-tests counts it.
    pub bytes: u64,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The protocol.
    pub protocol: Protocol,
    /// Channels that have work of it.
    pub channels: u32,
    /// Threads per channel that work on it.
    pub threads: u32,
    /// Bytes a channel moves per pipeline step.
    pub chunk_bytes: u64,
}

impl Operation {
    fn of(raw: &RawOperation) -> Option<Self> {
        let found = |id: u32| usize::try_from(id).ok();
        Some(Self {
            collective: *Collective::ALL.get(found(raw.collective)?)?,
            bytes: raw.bytes,
            algorithm: *Algorithm::ALL.get(found(raw.algorithm)?)?,
            protocol: *Protocol::ALL.get(found(raw.protocol)?)?,
            channels: raw.channels,
            threads: raw.threads,
            chunk_bytes: raw.chunk_bytes,
        })
    }
}

/// Says how long launches take. Called on the launching threads, many at a time.
pub trait Durations: Send + Sync {
    /// Duration of a launch, nanoseconds; its `duration_ns` is not set yet.
    fn duration_ns(&self, launch: &Launch) -> u64;
}

/// Kernels take no time.
#[derive(Clone, Copy, Debug)]
pub struct NoTime;

impl Durations for NoTime {
    fn duration_ns(&self, _launch: &Launch) -> u64 {
        0
    }
}

static DURATIONS: RwLock<Option<Arc<dyn Durations>>> = RwLock::new(None);

pub(crate) fn set_durations(durations: Arc<dyn Durations>) {
    *DURATIONS.write().unwrap_or_else(PoisonError::into_inner) = Some(durations);
}

/// What a thread has launched since it last asked, and what could not be read of it.
#[derive(Default)]
struct Record {
    communicator: usize,
    launches: Vec<Launch>,
    errors: Vec<String>,
}

thread_local! {
    static RECORD: RefCell<Record> = RefCell::default();
}

/// The calling thread's next launches are of this communicator.
pub(crate) fn launching(communicator: usize) {
    RECORD.with_borrow_mut(|record| record.communicator = communicator);
}

/// The calling thread's launches since the last time.
///
/// # Errors
/// Why a launch could not be read.
pub(crate) fn take() -> Result<Vec<Launch>, String> {
    RECORD.with_borrow_mut(|record| match record.errors.pop() {
        Some(error) => Err(error),
        None => Ok(std::mem::take(&mut record.launches)),
    })
}

/// The callback of the stub driver.
///
/// # Safety
/// `launch` leads to a launch that is valid, with all it points to, until this returns.
pub(crate) unsafe extern "C" fn on_launch(_context: *mut c_void, launch: *const RawLaunch) -> u64 {
    // A panic must not unwind into the driver; it is told as an error.
    catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: as the caller promises.
        let launch = unsafe { read(launch) };
        RECORD.with_borrow_mut(|record| match launch {
            Ok(mut launch) => {
                launch.communicator = record.communicator;
                let durations = DURATIONS.read().unwrap_or_else(PoisonError::into_inner);
                launch.duration_ns = durations.as_ref().map_or(0, |d| d.duration_ns(&launch));
                let duration_ns = launch.duration_ns;
                record.launches.push(launch);
                duration_ns
            }
            Err(error) => {
                record.errors.push(error);
                0
            }
        })
    }))
    .unwrap_or_else(|_| {
        let error = "the source of durations panicked".to_owned();
        RECORD.with_borrow_mut(|record| record.errors.push(error));
        0
    })
}

/// # Safety
/// As with [`on_launch`].
unsafe fn read(launch: *const RawLaunch) -> Result<Launch, String> {
    // SAFETY: as the caller promises.
    let raw = unsafe { launch.as_ref() }.ok_or("the driver told of no launch")?;
    if !raw.error.is_null() {
        // SAFETY: not null, so a C string.
        return Err(unsafe { CStr::from_ptr(raw.error) }
            .to_string_lossy()
            .into_owned());
    }
    // SAFETY: the driver points to as many operations as it says.
    let operations = unsafe { std::slice::from_raw_parts(raw.operations, raw.operation_count) };
    let operations: Option<Vec<_>> = operations.iter().map(Operation::of).collect();
    Ok(Launch {
        communicator: 0,
        rank: raw.rank.unsigned_abs(),
        shape: CommShape::new(raw.ranks.unsigned_abs(), raw.nodes.unsigned_abs()),
        thread_blocks: raw.thread_blocks,
        block_threads: raw.block_threads,
        start_ns: raw.start_ns,
        duration_ns: 0,
        operations: operations.ok_or("an operation is none that this program knows")?,
    })
}
