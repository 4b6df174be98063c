//! Reads a model's answer: whole, or put together from its stream while its parts are passed on.

use serde_json::Value;

use crate::connection::{Read, Unread};
use crate::exchange::{Delta, Sink};
use crate::key::{Key, Scrubber};
use crate::wire::framing::{Cutter, Frame};
use crate::wire::{Assemble, StreamError, Wire};

/// A body that comes as one.
pub(crate) struct Whole<'a>(pub &'a dyn Wire);

impl Read for Whole<'_> {
    fn begin(&mut self) {}

    fn piece(&mut self, _bytes: &[u8]) -> Result<(), StreamError> {
        Ok(())
    }

    fn end(&mut self, body: &str) -> Result<Value, Unread> {
        serde_json::from_str(body)
            .map_err(|error| Unread::Stream(StreamError::Malformed(format!("no JSON: {error}"))))
    }

    fn error(&self, body: &Value) -> Option<String> {
        self.0.error(body)
    }
}

/// A body that comes as a stream.
pub(crate) struct Streamed<'a, 's> {
    wire: &'a dyn Wire,
    key: Option<&'a Key>,
    sink: &'s mut dyn FnMut(&Delta),
    state: State<'a>,
}

struct State<'a> {
    cutter: Cutter,
    assembler: Box<dyn Assemble>,
    text: Scrubber<'a>,
    thinking: Scrubber<'a>,
}

impl<'a> State<'a> {
    fn new(wire: &dyn Wire, key: Option<&'a Key>) -> Self {
        Self {
            cutter: Cutter::new(wire.framing()),
            assembler: wire.assembler(),
            text: Scrubber::new(key),
            thinking: Scrubber::new(key),
        }
    }
}

impl<'a, 's> Streamed<'a, 's> {
    pub(crate) fn new(
        wire: &'a dyn Wire,
        key: Option<&'a Key>,
        sink: &'s mut dyn FnMut(&Delta),
    ) -> Self {
        Self {
            wire,
            key,
            sink,
            state: State::new(wire, key),
        }
    }

    fn frame(&mut self, frame: &Frame) -> Result<(), StreamError> {
        let mut deltas = Vec::new();
        self.state.assembler.event(frame, &mut deltas)?;
        for delta in deltas {
            let shown = match delta {
                Delta::Text(more) => Delta::Text(self.state.text.push(&more)),
                Delta::Thinking(more) => Delta::Thinking(self.state.thinking.push(&more)),
                Delta::Again => Delta::Again,
            };
            self.show(&shown);
        }
        Ok(())
    }

    fn show(&mut self, delta: &Delta) {
        if !matches!(delta, Delta::Text(t) | Delta::Thinking(t) if t.is_empty()) {
            (self.sink)(delta);
        }
    }
}

impl Read for Streamed<'_, '_> {
    fn begin(&mut self) {
        self.state = State::new(self.wire, self.key);
        (self.sink)(&Delta::Again);
    }

    fn piece(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        self.state
            .cutter
            .push(bytes)
            .iter()
            .try_for_each(|frame| self.frame(frame))
    }

    fn end(&mut self, _body: &str) -> Result<Value, Unread> {
        if let Some(frame) = self.state.cutter.finish() {
            self.frame(&frame).map_err(|error| match error {
                // A last event that is no JSON is one that was cut.
                StreamError::Malformed(reason) => Unread::Truncated(reason),
                server => Unread::Stream(server),
            })?;
        }
        let thinking = Delta::Thinking(self.state.thinking.finish());
        let text = Delta::Text(self.state.text.finish());
        self.show(&thinking);
        self.show(&text);
        let over = std::mem::replace(&mut self.state, State::new(self.wire, self.key));
        over.assembler.finish().map_err(Unread::Truncated)
    }

    fn error(&self, body: &Value) -> Option<String> {
        self.wire.error(body)
    }
}

/// What a caller's sink becomes while a question may be asked several times.
pub(crate) fn reborrow<'a>(sink: &'a mut Sink<'_>) -> Option<&'a mut dyn FnMut(&Delta)> {
    match sink {
        Some(sink) => Some(&mut **sink),
        None => None,
    }
}
