//! What the agent does: append entries at or beyond the horizon, and move the horizon.

use super::layout::{Doubt, Geometry, HEARTBEAT_AT, STATE_AT, WRITER_AT, slot_head};
use super::{Process, Rule, State, Word};

/// Why a log could not be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unclaimed {
    /// It is no log of this version.
    Doubt(Doubt),
    /// This process is its writer, or became it at the same moment.
    Held(Process),
    /// A writer has a pid other than 0.
    NoPid,
}

/// Why the log was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A rank froze it: it never changes again.
    Frozen,
    /// The entry would apply to calls that may have been made already, or not below the horizon
    /// that comes with it.
    BelowHorizon {
        /// Where the horizon is.
        horizon: u64,
    },
    /// The horizon only grows.
    Backwards {
        /// Where the horizon is.
        horizon: u64,
    },
    /// At or beyond [`State::FOR_EVER`], where nothing can change.
    Beyond,
    /// No slot is left.
    Full,
    /// More rules than a slot holds, or a rule no NCCL can run.
    Rules,
    /// The log is damaged, or has a second writer.
    Damaged,
}

/// The agent's handle; there is one per log: a second would fill the slot that the first is
/// about to publish. [`Writer::claim`] sees to that.
#[derive(Debug)]
pub struct Writer<'a, W> {
    region: &'a [W],
    geometry: Geometry,
}

impl<'a, W: Word> Writer<'a, W> {
    /// The writer of a region that was initialised, if no other process is it. A writer that is
    /// gone for certain is replaced: one that is only slow must not be, so `is_gone` answers true
    /// only if no process with that pid and that start time exists. What the predecessor had not
    /// published does not exist.
    ///
    /// # Errors
    /// Anything that is not a log of this version, whole, or a writer that lives.
    pub fn claim(
        region: &'a [W],
        me: Process,
        is_gone: impl FnOnce(Process) -> bool,
    ) -> Result<Self, Unclaimed> {
        if me.pid == 0 {
            return Err(Unclaimed::NoPid);
        }
        let writer = Self::new(region).map_err(Unclaimed::Doubt)?;
        let word = region
            .get(WRITER_AT)
            .ok_or(Unclaimed::Doubt(Doubt::Short))?;
        let seen = word.acquire();
        if let Some(holder) = Process::unpack(seen)
            && (holder == me || !is_gone(holder))
        {
            return Err(Unclaimed::Held(holder));
        }
        match word.publish(seen, me.pack()) {
            Ok(()) => Ok(writer),
            Err(now) => Err(Unclaimed::Held(Process::unpack(now).unwrap_or(me))),
        }
    }

    /// The writer of a region that was initialised, for a caller that knows by other means that
    /// there is no other.
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
        if horizon > State::FOR_EVER {
            return Err(Refused::Beyond);
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
        if horizon > State::FOR_EVER {
            return Err(Refused::Beyond);
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

    /// Only ranks change the word beside the writer: to freeze it, and, if they looked before it was
    /// claimed, to move the horizon once more.
    fn publish(&self, seen: u64, to: State) -> Result<(), Refused> {
        let word = self.region.get(STATE_AT).ok_or(Refused::Damaged)?;
        word.publish(seen, to.pack()).map_err(|now| {
            let (before, now) = (State::unpack(seen), State::unpack(now));
            match now {
                State { frozen: true, .. } => Refused::Frozen,
                State {
                    horizon, entries, ..
                } if entries == before.entries && horizon > before.horizon => {
                    Refused::BelowHorizon { horizon }
                }
                _ => Refused::Damaged,
            }
        })
    }

    fn fill(&self, slot: u32, effective_from: u64, rules: &[Rule]) -> Option<()> {
        let at = self.geometry.slot_at(slot);
        let count = u32::try_from(rules.len()).ok()?;
        let head = slot_head(slot, effective_from, count);
        let rules = rules.iter().flat_map(|rule| rule.pack());
        let words = [effective_from, head].into_iter().chain(rules);
        let slot = self.region.get(at..)?;
        words.zip(slot).for_each(|(value, word)| word.write(value));
        Some(())
    }
}
