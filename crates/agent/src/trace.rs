//! Writes the trace: numbers each event, stamps it with the run's clock, hands it to a sink.
//!
//! The clock is handed in, so a test's trace is as reproducible as its decisions. A sink that
//! fails ends the run: a trace with holes would be a story with holes.

use std::io;
use std::time::Duration;

use ccl_core::{TraceEvent, TraceLine};

/// Where trace lines go.
pub trait TraceSink {
    /// Takes one line; must not lose it when the process dies afterwards.
    ///
    /// # Errors
    /// What the medium says.
    fn write(&mut self, line: &TraceLine) -> io::Result<()>;
}

impl TraceSink for Vec<TraceLine> {
    fn write(&mut self, line: &TraceLine) -> io::Result<()> {
        self.push(line.clone());
        Ok(())
    }
}

/// Somebody who watches the run as it goes.
pub trait Observer {
    /// One event happened.
    fn event(&mut self, event: &TraceEvent);
}

/// Nobody watches.
impl Observer for () {
    fn event(&mut self, _event: &TraceEvent) {}
}

/// Numbers, stamps and hands out events.
pub struct Tracer<'a> {
    sink: &'a mut dyn TraceSink,
    observer: &'a mut dyn Observer,
    elapsed: &'a dyn Fn() -> Duration,
    sequence: u64,
}

impl<'a> Tracer<'a> {
    /// A tracer whose clock tells the time since the run began.
    pub fn new(
        sink: &'a mut dyn TraceSink,
        observer: &'a mut dyn Observer,
        elapsed: &'a dyn Fn() -> Duration,
    ) -> Self {
        Self {
            sink,
            observer,
            elapsed,
            sequence: 0,
        }
    }

    /// Writes one event.
    ///
    /// # Errors
    /// What the sink says.
    pub fn emit(&mut self, event: TraceEvent) -> io::Result<()> {
        let at_ms = u64::try_from((self.elapsed)().as_millis()).unwrap_or(u64::MAX);
        let line = TraceLine {
            sequence: self.sequence,
            at_ms,
            event,
        };
        self.sequence += 1;
        self.observer.event(&line.event);
        self.sink.write(&line)
    }

    /// Time since the run began.
    pub fn elapsed(&self) -> Duration {
        (self.elapsed)()
    }
}
