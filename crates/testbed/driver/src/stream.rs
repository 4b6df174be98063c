//! Streams as virtual clocks: a launch moves its stream's clock on by the duration the host program
//! answers, and nothing ever waits. Streams of one rank meet through events; ranks do not wait for
//! one another, so skew between ranks does not appear.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::boundary::{CuResult, Out, answer};
use crate::context;
use crate::event;
use crate::registry::Registry;

/// One stream.
pub struct Stream {
    /// When everything queued so far is done, nanoseconds.
    clock_ns: AtomicU64,
    priority: c_int,
    flags: c_uint,
}

impl Stream {
    const fn new(flags: c_uint, priority: c_int) -> Self {
        Self {
            clock_ns: AtomicU64::new(0),
            priority,
            flags,
        }
    }

    /// When everything queued so far is done, nanoseconds.
    pub fn now_ns(&self) -> u64 {
        self.clock_ns.load(Ordering::Acquire)
    }

    /// Queues work of this duration.
    pub fn advance(&self, duration_ns: u64) {
        self.clock_ns.fetch_add(duration_ns, Ordering::AcqRel);
    }

    /// Does not go on before this moment.
    fn wait_until(&self, moment_ns: u64) {
        self.clock_ns.fetch_max(moment_ns, Ordering::AcqRel);
    }
}

static STREAMS: Registry<Stream> = Registry::new(0x5700_0000);
/// Null and the two special handles mean the device's own stream.
const LAST_SPECIAL: usize = 2;
/// The devices' own streams.
static DEFAULT: [Stream; 16] = [const { Stream::new(0, 0) }; 16];

/// Does something with a stream.
pub fn with<R>(stream: usize, what: impl FnOnce(&Stream) -> R) -> Result<R, CuResult> {
    if stream <= LAST_SPECIAL {
        let device = context::current_device()?;
        let own = DEFAULT
            .get(device as usize)
            .ok_or(CuResult::INVALID_DEVICE)?;
        return Ok(what(own));
    }
    STREAMS.get(stream).map(|stream| what(&stream))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamCreateWithPriority(
    stream: Out<usize>,
    flags: c_uint,
    priority: c_int,
) -> CuResult {
    stream.put(context::current().map(|_| STREAMS.insert(Stream::new(flags, priority))))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamCreate(stream: Out<usize>, flags: c_uint) -> CuResult {
    cuStreamCreateWithPriority(stream, flags, 0)
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamDestroy_v2(stream: usize) -> CuResult {
    answer(STREAMS.remove(stream))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamSynchronize(stream: usize) -> CuResult {
    answer(with(stream, |_| ()))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamQuery(stream: usize) -> CuResult {
    answer(with(stream, |_| ()))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamWaitEvent(stream: usize, event: usize, _flags: c_uint) -> CuResult {
    answer(event::moment_ns(event).and_then(|moment| with(stream, |s| s.wait_until(moment))))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamGetPriority(stream: usize, priority: Out<c_int>) -> CuResult {
    priority.put(with(stream, |s| s.priority))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamGetFlags(stream: usize, flags: Out<c_uint>) -> CuResult {
    flags.put(with(stream, |s| s.flags))
}

/// Nothing is ever captured into a graph.
const NOT_CAPTURING: c_int = 0;

#[unsafe(no_mangle)]
extern "C" fn cuStreamIsCapturing(_stream: usize, status: Out<c_int>) -> CuResult {
    status.set(NOT_CAPTURING)
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamGetCaptureInfo(_stream: usize, status: Out<c_int>, _id: usize) -> CuResult {
    status.set(NOT_CAPTURING)
}

#[unsafe(no_mangle)]
extern "C" fn cuThreadExchangeStreamCaptureMode(mode: Out<c_int>) -> CuResult {
    // Without captures every mode is the same; the global one is what a thread starts with.
    mode.replace(0)
        .map_or(CuResult::INVALID_VALUE, |_| CuResult::SUCCESS)
}

#[unsafe(no_mangle)]
extern "C" fn cuLaunchHostFunc(
    stream: usize,
    function: Option<unsafe extern "C" fn(*mut c_void)>,
    data: *mut c_void,
) -> CuResult {
    let Some(function) = function else {
        return CuResult::INVALID_VALUE;
    };
    answer(with(stream, |_| {
        // SAFETY: the caller asks for this call with this argument. Nothing is pending on a clock, so
        // its turn is now.
        unsafe { function(data) };
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::{elapsed_ms, recorded};

    fn stream() -> usize {
        context::tests::on_device(0);
        let mut stream = 0;
        assert_eq!(cuStreamCreate(Out::to(&mut stream), 0), CuResult::SUCCESS);
        stream
    }

    #[test]
    fn a_clock_advances_with_its_work_and_events_join_clocks() {
        let (first, second) = (stream(), stream());
        let start = recorded(first);
        assert_eq!(with(first, |s| s.advance(2_500_000)), Ok(()));
        let end = recorded(first);
        assert!((elapsed_ms(start, end) - 2.5).abs() < 1e-6);
        // The other stream knows nothing of it until it waits for the event.
        assert!(elapsed_ms(start, recorded(second)).abs() < 1e-6);
        assert_eq!(cuStreamWaitEvent(second, end, 0), CuResult::SUCCESS);
        assert!((elapsed_ms(start, recorded(second)) - 2.5).abs() < 1e-6);
        // And an event of the past does not turn a clock back.
        assert_eq!(cuStreamWaitEvent(first, start, 0), CuResult::SUCCESS);
        assert!(elapsed_ms(end, recorded(first)).abs() < 1e-6);
    }

    #[test]
    fn a_stream_that_has_ended_is_an_error() {
        let stream = stream();
        assert_eq!(cuStreamDestroy_v2(stream), CuResult::SUCCESS);
        assert_eq!(cuStreamSynchronize(stream), CuResult::INVALID_HANDLE);
        assert_eq!(cuStreamDestroy_v2(stream), CuResult::INVALID_HANDLE);
    }
}
