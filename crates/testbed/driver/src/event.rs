//! Events: moments on a stream's clock.

use std::ffi::c_uint;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::boundary::{CuResult, Out, answer};
use crate::context;
use crate::registry::Registry;
use crate::stream;

/// The moment of the last record, nanoseconds; 0 before the first.
struct Event(AtomicU64);

static EVENTS: Registry<Event> = Registry::new(0xe700_0000);

/// The moment an event was recorded at, nanoseconds.
pub fn moment_ns(event: usize) -> Result<u64, CuResult> {
    EVENTS
        .get(event)
        .map(|event| event.0.load(Ordering::Acquire))
}

#[unsafe(no_mangle)]
extern "C" fn cuEventCreate(event: Out<usize>, _flags: c_uint) -> CuResult {
    event.put(context::current().map(|_| EVENTS.insert(Event(AtomicU64::new(0)))))
}

#[unsafe(no_mangle)]
extern "C" fn cuEventDestroy_v2(event: usize) -> CuResult {
    answer(EVENTS.remove(event))
}

#[unsafe(no_mangle)]
extern "C" fn cuEventRecord(event: usize, stream: usize) -> CuResult {
    answer(EVENTS.get(event).and_then(|event| {
        stream::with(stream, |stream| {
            event.0.store(stream.now_ns(), Ordering::Release)
        })
    }))
}

#[unsafe(no_mangle)]
extern "C" fn cuEventQuery(event: usize) -> CuResult {
    answer(moment_ns(event).map(drop))
}

#[unsafe(no_mangle)]
extern "C" fn cuEventSynchronize(event: usize) -> CuResult {
    answer(moment_ns(event).map(drop))
}

#[unsafe(no_mangle)]
extern "C" fn cuEventElapsedTime(milliseconds: Out<f32>, start: usize, end: usize) -> CuResult {
    milliseconds.put(moment_ns(start).and_then(|start| {
        let end = moment_ns(end)?;
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
        // What the interface answers is single precision.
        let elapsed = (end as f64 - start as f64) / 1e6;
        Ok(elapsed as f32)
    }))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// An event recorded on a stream.
    pub fn recorded(stream: usize) -> usize {
        let mut event = 0;
        assert_eq!(cuEventCreate(Out::to(&mut event), 0), CuResult::SUCCESS);
        assert_eq!(cuEventRecord(event, stream), CuResult::SUCCESS);
        event
    }

    pub fn elapsed_ms(start: usize, end: usize) -> f32 {
        let mut milliseconds = f32::NAN;
        let code = cuEventElapsedTime(Out::to(&mut milliseconds), start, end);
        assert_eq!(code, CuResult::SUCCESS);
        milliseconds
    }
}
