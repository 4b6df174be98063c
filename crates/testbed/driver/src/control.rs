//! What the host program can ask of the stub, beyond CUDA: symbols that begin with `ccl_stub_`.

use std::ffi::{c_int, c_void};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use ccl_stub::launch::{Advance, Launch, OnLaunch, Quiesce, SetOnLaunch};

use crate::boundary::answer;
use crate::nccl::proxies;
use crate::stream;

struct Callback {
    function: OnLaunch,
    context: *mut c_void,
}

// SAFETY: the host program promises that its callback may be called from any thread.
unsafe impl Send for Callback {}
// SAFETY: as above.
unsafe impl Sync for Callback {}

static CALLBACK: RwLock<Option<Callback>> = RwLock::new(None);

/// Sets who is told of launches.
#[unsafe(no_mangle)]
extern "C" fn ccl_stub_on_launch(function: Option<OnLaunch>, context: *mut c_void) {
    *CALLBACK.write().unwrap_or_else(PoisonError::into_inner) =
        function.map(|function| Callback { function, context });
}

/// Waits until the network proxies have stood still for `quiet_ms`.
#[unsafe(no_mangle)]
extern "C" fn ccl_stub_quiesce(quiet_ms: u64) {
    proxies::quiesce(Duration::from_millis(quiet_ms));
}

/// Queues work of this duration, of which nothing else is known.
#[unsafe(no_mangle)]
extern "C" fn ccl_stub_advance(stream: *mut c_void, duration_ns: u64) -> c_int {
    answer(stream::with(stream as usize, |stream| {
        stream.advance(duration_ns)
    }))
    .0
}

// The host program looks them up by these types.
const _: SetOnLaunch = ccl_stub_on_launch;
const _: Quiesce = ccl_stub_quiesce;
const _: Advance = ccl_stub_advance;

/// Tells of a launch; how long it takes, nanoseconds. 0 when nobody listens.
pub fn duration_ns(launch: &Launch) -> u64 {
    let callback = CALLBACK.read().unwrap_or_else(PoisonError::into_inner);
    callback.as_ref().map_or(0, |callback| {
        // SAFETY: the host program set the function with this context, and what `launch` points to
        // lives through the call.
        unsafe { (callback.function)(callback.context, launch) }
    })
}
