//! Where things lie in the region, and whether a region can be one at all.
//!
//! ```text
//! word 0    magic
//!      1    version, major in the upper half
//!      2    words of the region
//!      3    slots in the upper half, rules of a slot in the lower
//!      4    pid of the writer
//!      5    start time of the writer, so that a pid that was used again is not taken for it
//!      6    heartbeat, counts up
//!      7    the state: frozen, entries, horizon
//!      8..  slots: effective_from, count of rules, the rules
//! ```

use super::State;
use super::rule::WORDS;
use super::word::Word;

/// `ccl-log\0`, little-endian.
pub const MAGIC: u64 = u64::from_le_bytes(*b"ccl-log\0");
/// Major version 1, minor 0: readers of another major version refuse.
pub const VERSION: u64 = 1 << 32;

pub(super) const VERSION_AT: usize = 1;
pub(super) const WORDS_AT: usize = 2;
pub(super) const GEOMETRY_AT: usize = 3;
pub(super) const PID_AT: usize = 4;
pub(super) const STARTED_AT: usize = 5;
pub(super) const HEARTBEAT_AT: usize = 6;
pub(super) const STATE_AT: usize = 7;
const SLOTS_AT: usize = 8;
/// Words of a slot before its rules.
pub(super) const SLOT_HEAD: usize = 2;

/// Why a region is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Too small for a header.
    Short,
    /// Something else lies there.
    Magic,
    /// A version this code does not know.
    Version,
    /// Its sizes contradict each other or the region.
    Sizes,
}

/// How many slots, and how many rules each can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Entries the log can ever have, 1 to [`State::MOST_ENTRIES`].
    pub slots: u32,
    /// Rules of one entry, 1 to 4096.
    pub rules: u32,
}

impl Geometry {
    /// Words a region of this geometry takes; `None` for a geometry that is not allowed.
    pub fn words(self) -> Option<usize> {
        let sane =
            (1..=State::MOST_ENTRIES).contains(&self.slots) && (1..=4096).contains(&self.rules);
        let slots = usize::try_from(self.slots).ok()?;
        sane.then(|| SLOTS_AT + slots * self.slot_words())
    }

    fn slot_words(self) -> usize {
        SLOT_HEAD + self.rules as usize * WORDS
    }

    /// First word of a slot.
    pub(super) fn slot_at(self, slot: u32) -> usize {
        SLOTS_AT + slot as usize * self.slot_words()
    }

    fn pack(self) -> u64 {
        u64::from(self.slots) << 32 | u64::from(self.rules)
    }

    fn unpack(word: u64) -> Option<Self> {
        let half = |n: u64| u32::try_from(n & u64::from(u32::MAX)).ok();
        Some(Self {
            slots: half(word >> 32)?,
            rules: half(word)?,
        })
    }

    /// The geometry of a region, checked against its length.
    pub(super) fn of<W: Word>(region: &[W]) -> Result<Self, Doubt> {
        let word = |at: usize| region.get(at).map(Word::read).ok_or(Doubt::Short);
        if word(STATE_AT).is_err() {
            return Err(Doubt::Short);
        }
        // The magic is written last, so what is acquired with it is complete.
        if region.first().map(Word::acquire) != Some(MAGIC) {
            return Err(Doubt::Magic);
        }
        if word(VERSION_AT)? >> 32 != VERSION >> 32 {
            return Err(Doubt::Version);
        }
        let geometry = Self::unpack(word(GEOMETRY_AT)?).ok_or(Doubt::Sizes)?;
        let words = geometry.words().ok_or(Doubt::Sizes)?;
        if word(WORDS_AT)? != words as u64 || region.len() < words {
            return Err(Doubt::Sizes);
        }
        Ok(geometry)
    }
}

/// Makes an empty log of a zeroed region: no entries, horizon 0.
///
/// # Errors
/// A geometry that is not allowed or does not fit, or a region that is in use.
pub fn initialise<W: Word>(
    region: &[W],
    geometry: Geometry,
    pid: u32,
    started: u64,
) -> Result<(), Doubt> {
    let words = geometry.words().ok_or(Doubt::Sizes)?;
    if region.len() < words {
        return Err(Doubt::Short);
    }
    for (at, value) in [
        (VERSION_AT, VERSION),
        (WORDS_AT, words as u64),
        (GEOMETRY_AT, geometry.pack()),
        (PID_AT, u64::from(pid)),
        (STARTED_AT, started),
        (HEARTBEAT_AT, 0),
    ] {
        region[at].write(value);
    }
    region[0].publish(0, MAGIC).map_err(|_| Doubt::Magic)
}
