//! What a rank does: ask for a call index, and freeze when nobody answers.

use super::layout::{Doubt, GEOMETRY_AT, Geometry, HEARTBEAT_AT, SLOT_HEAD, STATE_AT};
use super::rule::WORDS;
use super::{Rule, State, Word};

/// What applies to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An entry has this rule for it.
    Run(Rule),
    /// It is settled that NCCL chooses: no entry applies, or none of its rules matches.
    NcclChooses,
    /// The writer may still add an entry for this call.
    Wait,
    /// What is committed cannot be read.
    Unreadable,
}

/// A rank's view of one communicator's log.
#[derive(Debug)]
pub struct Reader<'a, W> {
    region: &'a [W],
    geometry: Geometry,
}

impl<'a, W: Word> Reader<'a, W> {
    /// A view of a region that somebody else made.
    ///
    /// # Errors
    /// Anything that is not a log of this version, whole.
    pub fn new(region: &'a [W]) -> Result<Self, Doubt> {
        Ok(Self {
            region,
            geometry: Geometry::of(region)?,
        })
    }

    /// The same view again, without looking at the header: for a caller that made a whole reader of
    /// this region before and kept its geometry. `None` when the region cannot hold it.
    pub fn again(region: &'a [W], geometry: Geometry) -> Option<Self> {
        (region.len() >= geometry.words()?).then_some(Self { region, geometry })
    }

    /// The geometry of the log.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// What call `call` of this communicator runs. Depends on nothing but the arguments and what is
    /// committed, so it is the same on every rank that gets an answer. One acquired word, then the
    /// newest entry and its rules; no allocation.
    pub fn at(&self, call: u64, collective: u8, bytes: u64) -> Answer {
        let state = self.state();
        if !state.is_settled(call) {
            return Answer::Wait;
        }
        if state.entries > self.geometry.slots {
            return Answer::Unreadable;
        }
        // Entries apply from ever later calls, so the newest that applies comes first.
        for slot in (0..state.entries).rev() {
            let at = self.geometry.slot_at(slot);
            let Some(from) = self.word(at) else {
                return Answer::Unreadable;
            };
            if from <= call {
                return self.rule_of(at, collective, bytes);
            }
        }
        Answer::NcclChooses
    }

    fn rule_of(&self, slot_at: usize, collective: u8, bytes: u64) -> Answer {
        let count = self.word(slot_at + 1).and_then(|n| u32::try_from(n).ok());
        let Some(count) = count.filter(|n| *n <= self.geometry.rules) else {
            return Answer::Unreadable;
        };
        for index in 0..count as usize {
            let at = slot_at + SLOT_HEAD + index * WORDS;
            let words = [0, 1, 2, 3].map(|n| self.word(at + n));
            let [Some(a), Some(b), Some(c), Some(d)] = words else {
                return Answer::Unreadable;
            };
            let Some(rule) = Rule::unpack([a, b, c, d]) else {
                return Answer::Unreadable;
            };
            if rule.matches(collective, bytes) {
                return Answer::Run(rule);
            }
        }
        Answer::NcclChooses
    }

    /// Ends the writer's say: for a rank that waited too long. Whoever wins the race, the outcome
    /// is the same for everybody.
    pub fn freeze(&self) {
        let Some(word) = self.region.get(STATE_AT) else {
            return;
        };
        let mut seen = word.acquire();
        // The writer can win a bounded number of times: its slots are bounded, and so is its horizon.
        while !State::unpack(seen).frozen {
            match word.publish(
                seen,
                State {
                    frozen: true,
                    ..State::unpack(seen)
                }
                .pack(),
            ) {
                Ok(()) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// The state of the log.
    pub fn state(&self) -> State {
        State::unpack(self.region.get(STATE_AT).map_or(0, Word::acquire))
    }

    /// The writer's heartbeat.
    pub fn heartbeat(&self) -> u64 {
        self.word(HEARTBEAT_AT).unwrap_or(0)
    }

    fn word(&self, at: usize) -> Option<u64> {
        debug_assert!(at >= GEOMETRY_AT, "the header is read once");
        self.region.get(at).map(Word::read)
    }
}
