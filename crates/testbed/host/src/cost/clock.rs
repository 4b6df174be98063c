//! The processor time of a thread and of the process.

use std::ffi::{c_int, c_long};

/// `struct timespec` of 64-bit Linux.
#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: c_long,
}

unsafe extern "C" {
    fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int;
}

/// `CLOCK_PROCESS_CPUTIME_ID` of Linux.
const PROCESS: c_int = 2;
/// `CLOCK_THREAD_CPUTIME_ID` of Linux.
const THREAD: c_int = 3;

fn read(clock: c_int) -> u64 {
    let mut time = Timespec {
        seconds: 0,
        nanoseconds: 0,
    };
    // SAFETY: it writes one timespec to a place that is ours.
    unsafe { clock_gettime(clock, &raw mut time) };
    let part = |n: i64| u64::try_from(n).unwrap_or(0);
    part(time.seconds) * 1_000_000_000 + part(time.nanoseconds)
}

/// What all threads of the process have used, nanoseconds.
pub fn process_ns() -> u64 {
    read(PROCESS)
}

/// What the calling thread has used, nanoseconds.
pub fn thread_ns() -> u64 {
    read(THREAD)
}
