//! Where things lie in the region, and whether a region can be one at all.
//!
//! ```text
//! word 0    magic; written last
//!      1    shape: major (8 bits), minor (8), zero (16), slots (16), rules of a slot (16)
//!      2    words of the region
//!      3    who made it: pid in the upper half, start time in the lower
//!      8    the writer: pid in the upper half, start time in the lower; 0 while there is none
//!      9    heartbeat of the writer, counts up
//!     16    the state: frozen, entries, horizon
//!     24..  slots: effective_from, seal and count of rules, the rules
//! ```
//!
//! Header, writer and state have 64 bytes each to themselves: a heartbeat does not take the state
//! out of the ranks' caches.

use super::seal::{join, lower, seal};
use super::{Process, State, Word, rule};

/// `ccl-log\0`, little-endian.
pub const MAGIC: u64 = u64::from_le_bytes(*b"ccl-log\0");
/// Readers of another major version refuse.
pub const MAJOR: u8 = 2;
/// Minor versions add to the header's free words and move nothing.
pub const MINOR: u8 = 0;

pub(super) const SHAPE_AT: usize = 1;
pub(super) const WORDS_AT: usize = 2;
const MAKER_AT: usize = 3;
pub(super) const WRITER_AT: usize = 8;
pub(super) const HEARTBEAT_AT: usize = 9;
pub(super) const STATE_AT: usize = 16;
const SLOTS_AT: usize = 24;
/// Words of a slot before its rules.
pub(super) const SLOT_HEAD: usize = 2;

/// Why a region is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Too small for a header.
    Short,
    /// Something else lies there; to whoever would make a log: one lies there already.
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
    #[inline]
    pub fn words(self) -> Option<usize> {
        let sane =
            (1..=State::MOST_ENTRIES).contains(&self.slots) && (1..=4096).contains(&self.rules);
        let slots = usize::try_from(self.slots).ok()?;
        sane.then(|| SLOTS_AT + slots * self.slot_words())
    }

    #[inline]
    fn slot_words(self) -> usize {
        SLOT_HEAD + self.rules as usize * rule::WORDS
    }

    /// First word of a slot.
    #[inline]
    pub(super) fn slot_at(self, slot: u32) -> usize {
        SLOTS_AT + slot as usize * self.slot_words()
    }

    /// Version and sizes in one word: one compare-and-swap settles them.
    fn shape(self) -> u64 {
        let version = u32::from(MAJOR) << 24 | u32::from(MINOR) << 16;
        join(version, self.slots << 16 | self.rules)
    }

    /// The geometry of a region, checked against its length.
    pub(super) fn of<W: Word>(region: &[W]) -> Result<Self, Doubt> {
        let word = |at: usize| region.get(at).map(Word::read).ok_or(Doubt::Short);
        if region.len() < SLOTS_AT {
            return Err(Doubt::Short);
        }
        // The magic is written last, so what is acquired with it is complete.
        if region.first().map(Word::acquire) != Some(MAGIC) {
            return Err(Doubt::Magic);
        }
        let shape = word(SHAPE_AT)?;
        if shape >> 56 != u64::from(MAJOR) {
            return Err(Doubt::Version);
        }
        let sizes = lower(shape);
        let geometry = Self {
            slots: sizes >> 16,
            rules: sizes & 0xffff,
        };
        let words = geometry.words().ok_or(Doubt::Sizes)?;
        if word(WORDS_AT)? != words as u64 || region.len() < words {
            return Err(Doubt::Sizes);
        }
        Ok(geometry)
    }
}

/// The second word of a slot: how many rules, sealed with where and from when they apply.
#[inline]
pub(super) fn slot_head(slot: u32, effective_from: u64, rules: u32) -> u64 {
    let check = seal([u64::from(slot), effective_from, u64::from(rules)]);
    join(check, rules)
}

/// Makes an empty log of a zeroed region: no entries, horizon 0, no writer. Several may try at
/// once, and any of them may die on the way: those of one geometry write the same words, and
/// one of another geometry is refused before it writes any. A log that exists is left alone.
///
/// `pid` and `started` (see [`Process`]) are of the process that makes it, for whoever looks.
///
/// # Errors
/// A geometry that is not allowed, does not fit or is not the one that others chose here, or a
/// region that is in use.
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
    if region[0].acquire() != 0 {
        return Err(Doubt::Magic);
    }
    if let Err(other) = region[SHAPE_AT].publish(0, geometry.shape())
        && other != geometry.shape()
    {
        return Err(Doubt::Sizes);
    }
    region[WORDS_AT].write(words as u64);
    let started = lower(started);
    // The first who comes is the maker, even if another completes what he began.
    let _ = region[MAKER_AT].publish(0, Process { pid, started }.pack());
    region[0].publish(0, MAGIC).map_err(|_| Doubt::Magic)
}
