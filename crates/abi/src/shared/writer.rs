//! What the agent does: append entries at or beyond the horizon, and move the horizon.

use super::layout::{Doubt, Geometry, HEARTBEAT_AT, SLOT_HEAD, STATE_AT};
use super::rule::WORDS;
use super::{Rule, State, Word};

/// Why the log was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A rank froze it: it never changes again.
    Frozen,
    /// The entry would apply to calls that may have been made already.
    BelowHorizon {
        /// Where the horizon is.
        horizon: u64,
    },
    /// The horizon only grows.
    Backwards {
        /// Where the horizon is.
        horizon: u64,
    },
    /// No slot is left.
    Full,
    /// More rules than a slot holds, or a rule no NCCL can run.
    Rules,
    /// The log is damaged.
    Damaged,
}

/// The agent's handle; there is one per log.
#[derive(Debug)]
pub struct Writer<'a, W> {
    region: &'a [W],
    geometry: Geometry,
}

impl<'a, W: Word> Writer<'a, W> {
    /// The writer of a region that was initialised.
    ///
    /// # Errors
    /// Anything that is not a log of this version, whole.
    pub fn new(region: &'a [W]) -> Result<Self, Doubt> {
        Ok(Self {
            region,
            geometry: Geometry::of(region)?,
        })
    }

    /// The state of the log.
    pub fn state(&self) -> State {
        State::unpack(self.region.get(STATE_AT).map_or(0, Word::acquire))
    }

    /// From call `effective_from` on these rules apply, and the horizon is `horizon`, above it. One
    /// compare-and-swap makes both true; until then the entry does not exist.
    ///
    /// # Errors
    /// When it would break the promise, does not fit, or a rank froze the log meanwhile.
    pub fn append(&self, effective_from: u64, rules: &[Rule], horizon: u64) -> Result<(), Refused> {
        let seen = self
            .region
            .get(STATE_AT)
            .map(Word::acquire)
            .ok_or(Refused::Damaged)?;
        let state = State::unpack(seen);
        if state.frozen {
            return Err(Refused::Frozen);
        }
        if effective_from < state.horizon || horizon <= effective_from {
            return Err(Refused::BelowHorizon {
                horizon: state.horizon,
            });
        }
        if state.entries >= self.geometry.slots {
            return Err(Refused::Full);
        }
        if rules.len() > self.geometry.rules as usize || !rules.iter().all(Rule::is_sane) {
            return Err(Refused::Rules);
        }
        self.fill(state.entries, effective_from, rules)
            .ok_or(Refused::Damaged)?;
        self.publish(
            seen,
            State {
                entries: state.entries + 1,
                horizon,
                ..state
            },
        )
    }

    /// Promises to add nothing below a later call.
    ///
    /// # Errors
    /// When the horizon is there already, or a rank froze the log.
    pub fn extend(&self, horizon: u64) -> Result<(), Refused> {
        let seen = self
            .region
            .get(STATE_AT)
            .map(Word::acquire)
            .ok_or(Refused::Damaged)?;
        let state = State::unpack(seen);
        if state.frozen {
            return Err(Refused::Frozen);
        }
        if horizon <= state.horizon {
            return Err(Refused::Backwards {
                horizon: state.horizon,
            });
        }
        self.publish(seen, State { horizon, ..state })
    }

    /// Says that the writer lives.
    pub fn beat(&self) {
        if let Some(word) = self.region.get(HEARTBEAT_AT) {
            word.write(word.read().wrapping_add(1));
        }
    }

    /// Only ranks change the word beside the writer, and only to freeze it.
    fn publish(&self, seen: u64, to: State) -> Result<(), Refused> {
        let word = self.region.get(STATE_AT).ok_or(Refused::Damaged)?;
        word.publish(seen, to.pack()).map_err(|_| Refused::Frozen)
    }

    fn fill(&self, slot: u32, effective_from: u64, rules: &[Rule]) -> Option<()> {
        let at = self.geometry.slot_at(slot);
        self.region.get(at)?.write(effective_from);
        self.region.get(at + 1)?.write(rules.len() as u64);
        for (index, rule) in rules.iter().enumerate() {
            for (offset, word) in rule.pack().into_iter().enumerate() {
                self.region
                    .get(at + SLOT_HEAD + index * WORDS + offset)?
                    .write(word);
            }
        }
        Some(())
    }
}
