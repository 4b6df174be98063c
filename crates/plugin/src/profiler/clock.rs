//! The monotonic clock as a number. The standard library's has no number, and shared memory needs one
//! that other processes understand.

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

/// `CLOCK_MONOTONIC` of Linux.
const MONOTONIC: c_int = 1;
/// `CLOCK_REALTIME` of Linux.
const REALTIME: c_int = 0;

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

/// Nanoseconds since some moment, the same for all processes of the machine; through the vDSO, no
/// system call.
pub fn monotonic_ns() -> u64 {
    read(MONOTONIC)
}

/// Nanoseconds since 1970 minus [`monotonic_ns`].
pub fn wall_minus_monotonic_ns() -> u64 {
    read(REALTIME).wrapping_sub(monotonic_ns())
}
