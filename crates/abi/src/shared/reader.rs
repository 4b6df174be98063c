//! What a rank does: ask for a call index, and freeze when nobody answers.

use super::layout::{Doubt, Geometry, HEARTBEAT_AT, SLOT_HEAD, STATE_AT, WRITER_AT, slot_head};
use super::rule::WORDS;
use super::seal::lower;
use super::state::FROZEN;
use super::{Process, Rule, State, Word};

/// Which entry a call belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The entry with this number, from 0.
    Entry(u32),
    /// It is settled that none applies.
    BeforeAll,
    /// The writer may still add one.
    Wait,
    /// What is committed cannot be read.
    Unreadable,
}

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
    /// newest entry and its rules; no allocation. The first rule that matches counts, and its seal is
    /// checked; those before it are only passed by. So a flipped bit can hide a rule, from all ranks
    /// alike, and never makes one up.
    pub fn at(&self, call: u64, collective: u8, bytes: u64) -> Answer {
        match self.entry(call) {
            (Version::Entry(slot), rules) => self.rule_of(slot, rules, collective, bytes),
            (Version::BeforeAll, _) => Answer::NcclChooses,
            (Version::Wait, _) => Answer::Wait,
            (Version::Unreadable, _) => Answer::Unreadable,
        }
    }

    /// Which entry call `call` belongs to; settled once it is anything but [`Version::Wait`].
    pub fn version(&self, call: u64) -> Version {
        self.entry(call).0
    }

    /// The same, and how many rules it has.
    fn entry(&self, call: u64) -> (Version, u32) {
        let state = self.state();
        if !state.is_settled(call) {
            return (Version::Wait, 0);
        }
        if state.entries > self.geometry.slots {
            return (Version::Unreadable, 0);
        }
        // Entries apply from ever later calls. Nearly always it is the newest that applies; behind
        // it each look halves what is left.
        let mut found = (Version::BeforeAll, 0);
        let (mut low, mut high) = (0, state.entries);
        let mut slot = state.entries.saturating_sub(1);
        while low < high {
            match self.head_of(slot) {
                None => return (Version::Unreadable, 0),
                Some((from, rules)) if from <= call => {
                    found = (Version::Entry(slot), rules);
                    low = slot + 1;
                }
                Some(_) => high = slot,
            }
            slot = low + (high - low) / 2;
        }
        found
    }

    /// From which call a slot applies and how many rules it has; `None` unless its seal says so.
    fn head_of(&self, slot: u32) -> Option<(u64, u32)> {
        let at = self.geometry.slot_at(slot);
        let (from, head) = (self.word(at)?, self.word(at + 1)?);
        let rules = lower(head);
        let is_whole = head == slot_head(slot, from, rules) && rules <= self.geometry.rules;
        is_whole.then_some((from, rules))
    }

    fn rule_of(&self, slot: u32, rules: u32, collective: u8, bytes: u64) -> Answer {
        let first = self.geometry.slot_at(slot) + SLOT_HEAD;
        let Some(words) = self.region.get(first..first + rules as usize * WORDS) else {
            return Answer::Unreadable;
        };
        for packed in words.chunks_exact(WORDS) {
            let [min_bytes, max_bytes, ids, chunk_bytes] = packed else {
                return Answer::Unreadable;
            };
            // The largest size first: of rules in the order of their sizes, that alone passes by all
            // that are too small.
            let max_bytes = max_bytes.read();
            if bytes > max_bytes {
                continue;
            }
            let (min_bytes, ids) = (min_bytes.read(), ids.read());
            if bytes >= min_bytes && Rule::is_for(ids, collective) {
                let packed = [min_bytes, max_bytes, ids, chunk_bytes.read()];
                return Rule::unpack(packed).map_or(Answer::Unreadable, Answer::Run);
            }
        }
        Answer::NcclChooses
    }

    /// Ends the writer's say: for a rank that waited too long. Whoever wins the race, the outcome
    /// is the same for everybody. One instruction, whatever others do meanwhile.
    pub fn freeze(&self) {
        if let Some(word) = self.region.get(STATE_AT) {
            word.set(FROZEN);
        }
    }

    /// Moves the horizon to `horizon`, for a rank that reached it while nobody claims to be the writer:
    /// nobody can be waited for. It is the promise every writer keeps, since it appends by
    /// exchanging the same word, so ranks that do this and a writer that comes meanwhile still agree.
    /// Nothing happens where a writer is, or the word changed meanwhile: whoever asks again sees
    /// what to do.
    pub fn extend_unclaimed(&self, horizon: u64) {
        let Some(word) = self.region.get(STATE_AT) else {
            return;
        };
        let seen = word.acquire();
        let state = State::unpack(seen);
        let is_later = state.horizon < horizon && horizon < State::FOR_EVER;
        if self.writer().is_none() && !state.frozen && is_later {
            // Whoever was first: the word is another now.
            let _ = word.publish(seen, State { horizon, ..state }.pack());
        }
    }

    /// The state of the log.
    pub fn state(&self) -> State {
        State::unpack(self.region.get(STATE_AT).map_or(0, Word::acquire))
    }

    /// The writer's heartbeat: for whoever watches the writer. No choice may depend on it, since two
    /// ranks can see it differently.
    pub fn heartbeat(&self) -> u64 {
        self.word(HEARTBEAT_AT).unwrap_or(0)
    }

    /// Who claimed to be the writer, if anybody did. No choice may depend on it either.
    pub fn writer(&self) -> Option<Process> {
        Process::unpack(self.word(WRITER_AT)?)
    }

    fn word(&self, at: usize) -> Option<u64> {
        self.region.get(at).map(Word::read)
    }
}
