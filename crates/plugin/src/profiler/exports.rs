//! The six profiler symbols. As with the tuner: nothing unwinds into C, and the answer is success,
//! because an error would end what works without us.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use ccl_abi::nccl::common::{Logger, NcclResult, SUCCESS};
use ccl_abi::nccl::profiler::{
    InitV1, InitV4, InitV5, Profiler, ProfilerV1, ProfilerV2, ProfilerV3, ProfilerV4, ProfilerV5,
    ProfilerV6, StateArguments,
};
use ccl_abi::nccl::tuner::Name;
use ccl_abi::shared::Membership;
use ccl_abi::shared::job::CommunicatorName;

use super::communicator::{Communicator, by_index};
use super::event::{Describe, Glance};
use super::handle::Handle;
use super::recorder::{ALL_KINDS, Recorder};
use crate::identity;
use crate::log::Log;
use crate::mode::{Depth, Mode, Recording};

const NAME: Name = Name(c"ccl-agent".as_ptr());

const fn profiler<I: Copy, D: Describe>(init: I) -> Profiler<I, D> {
    Profiler {
        name: NAME,
        init,
        start_event: start::<D>,
        stop_event: stop,
        record_event_state: record,
        finalize,
    }
}

/// NCCL 2.23 to 2.25.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ncclProfiler_v1: ProfilerV1 = profiler(init_v1 as InitV1);
/// NCCL 2.26.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ncclProfiler_v2: ProfilerV2 = profiler(init_v1 as InitV1);
/// NCCL 2.26.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ncclProfiler_v3: ProfilerV3 = profiler(init_v1 as InitV1);
/// NCCL 2.27.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ncclProfiler_v4: ProfilerV4 = profiler(init_v4 as InitV4);
/// NCCL 2.28.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ncclProfiler_v5: ProfilerV5 = profiler(init_v5 as InitV5);
/// NCCL 2.29 and later.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ncclProfiler_v6: ProfilerV6 = profiler(init_v5 as InitV5);

/// Nothing unwinds into C.
fn harmless(what: impl FnOnce()) -> NcclResult {
    let _ = catch_unwind(AssertUnwindSafe(what));
    SUCCESS
}

/// # Safety
/// Each is null or a place for one value; NCCL keeps the mask's as long as the process lives.
unsafe fn open(
    context: *mut *mut c_void,
    mask: *mut c_int,
    member: Option<Membership>,
    is_exact: bool,
    log: Log,
) {
    if context.is_null() || mask.is_null() {
        return;
    }
    // SAFETY: not null, and ours to write. In any doubt NCCL reports nothing.
    unsafe {
        *context = std::ptr::null_mut();
        *mask = 0;
    }
    let recording = Mode::recording(|name| std::env::var(name).ok());
    let Some(Recording {
        job,
        depth,
        one_in,
        is_simulated,
    }) = recording
    else {
        return;
    };
    let kinds = kinds(depth);
    let recorder = match Recorder::of_process(&job, kinds, one_in, is_simulated) {
        Ok(recorder) => recorder,
        Err(error) => return log.warn(&not_recording(&job, &error.to_string())),
    };
    // The ring and its table are the parent's, and so may be the lock that opening takes.
    if !recorder.is_ours() {
        return log.warn(&not_recording(&job, "the ring is this process's parent's"));
    }
    // SAFETY: as the caller says.
    let communicator = unsafe { Communicator::open(recorder, member, is_exact, mask) };
    let Some(communicator) = communicator else {
        return log.warn(&not_recording(&job, "too many communicators"));
    };
    // SAFETY: as above; the number is never followed.
    unsafe { *context = std::ptr::without_provenance_mut(communicator.context()) };
    log.info(&format!("recording into {}", job.display()));
}

fn not_recording(job: &Path, why: &str) -> String {
    format!("nothing is recorded in {}: {why}", job.display())
}

fn kinds(depth: Depth) -> u32 {
    use ccl_abi::nccl::profiler::kind::{COLLECTIVE, KERNEL_CHANNEL};
    let of = |bits: u64| u32::try_from(bits).unwrap_or(0);
    match depth {
        Depth::Collectives => of(COLLECTIVE),
        Depth::Kernels => of(COLLECTIVE | KERNEL_CHANNEL),
        Depth::Transfers => ALL_KINDS,
    }
}

unsafe extern "C" fn init_v1(context: *mut *mut c_void, mask: *mut c_int) -> NcclResult {
    // SAFETY: NCCL's places.
    harmless(|| unsafe { open(context, mask, None, false, Log(None)) })
}

unsafe extern "C" fn init_v4(
    context: *mut *mut c_void,
    mask: *mut c_int,
    _name: *const c_char,
    comm_id: u64,
    nodes: c_int,
    ranks: c_int,
    rank: c_int,
    logger: Option<Logger>,
) -> NcclResult {
    harmless(|| {
        let of = |n: c_int| u32::try_from(n).unwrap_or(0);
        identity::told(CommunicatorName {
            id: comm_id,
            ranks: of(ranks).into(),
            nodes: of(nodes).into(),
        });
        let member = Membership {
            id: comm_id,
            ranks: of(ranks),
            nodes: of(nodes),
            rank: of(rank),
        };
        // SAFETY: NCCL's places.
        unsafe { open(context, mask, Some(member), true, Log(logger)) }
    })
}

unsafe extern "C" fn init_v5(
    context: *mut *mut c_void,
    comm_id: u64,
    mask: *mut c_int,
    name: *const c_char,
    nodes: c_int,
    ranks: c_int,
    rank: c_int,
    logger: Option<Logger>,
) -> NcclResult {
    // SAFETY: the same arguments in another order.
    unsafe { init_v4(context, mask, name, comm_id, nodes, ranks, rank, logger) }
}

unsafe extern "C" fn start<D: Describe>(
    context: *mut c_void,
    handle: *mut *mut c_void,
    descriptor: *mut D,
) -> NcclResult {
    harmless(|| {
        if handle.is_null() {
            return;
        }
        // SAFETY: a place for one handle. NCCL skips what follows a null handle.
        unsafe { *handle = std::ptr::null_mut() };
        // SAFETY: null, or NCCL's own for the time of the call.
        let Some(descriptor) = (unsafe { descriptor.as_ref() }) else {
            return;
        };
        // SAFETY: NCCL made the descriptor.
        let glance = unsafe { descriptor.glance() };
        if glance == Glance::Nothing {
            return;
        }
        let Some(communicator) = Communicator::of_context(context.addr()) else {
            return;
        };
        let one_in = match glance {
            Glance::Collective(sequence) => communicator.wants(sequence),
            Glance::Part | Glance::Nothing => Some(1),
        };
        let Some(one_in) = one_in else {
            return;
        };
        // SAFETY: NCCL made the descriptor.
        let number = communicator.start(unsafe { descriptor.event() }, one_in);
        if let Ok(number) = usize::try_from(number) {
            // SAFETY: as above; the number is never followed.
            unsafe { *handle = std::ptr::without_provenance_mut(number) };
        }
    })
}

/// The communicator and handle behind what NCCL passes back.
fn of(handle: *mut c_void) -> Option<(&'static Communicator, Handle)> {
    let handle = Handle::from_number(handle.addr() as u64)?;
    Some((by_index(handle.communicator)?, handle))
}

unsafe extern "C" fn stop(handle: *mut c_void) -> NcclResult {
    harmless(|| {
        if let Some((communicator, handle)) = of(handle) {
            communicator.stop(handle);
        }
    })
}

unsafe extern "C" fn record(
    handle: *mut c_void,
    state: c_uint,
    arguments: *mut StateArguments,
) -> NcclResult {
    harmless(|| {
        if let Some((communicator, handle)) = of(handle) {
            let value = match arguments.is_null() {
                true => 0,
                // SAFETY: at least one word in every version; every bit pattern is a number.
                false => unsafe { arguments.cast::<u64>().read_unaligned() },
            };
            communicator.record(handle, state, value);
        }
    })
}

unsafe extern "C" fn finalize(context: *mut c_void) -> NcclResult {
    harmless(|| {
        if let Some(communicator) = Communicator::of_context(context.addr()) {
            communicator.close();
        }
    })
}
