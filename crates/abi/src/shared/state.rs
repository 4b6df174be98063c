//! The one word: frozen flag, committed entries, horizon.

/// Bits of the horizon: 2^48 calls are 30 years at 300,000 a second.
const HORIZON_BITS: u32 = 48;
/// Largest horizon; it stands for "for ever".
const MOST_HORIZON: u64 = (1 << HORIZON_BITS) - 1;
/// Bits of the entry count.
const ENTRY_BITS: u32 = 15;
/// The flag's bit; setting it is all a rank ever does to the word.
pub(super) const FROZEN: u64 = 1 << 63;

/// Everything that must change together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// No writer can change the log any more.
    pub frozen: bool,
    /// Entries that exist; a slot beyond does not, whatever is in it.
    pub entries: u32,
    /// No entry that applies below this call index will ever be added.
    pub horizon: u64,
}

impl State {
    /// The largest horizon: the job no longer depends on the writer. No entry can apply from
    /// here on, and no horizon is beyond it.
    pub const FOR_EVER: u64 = MOST_HORIZON;
    /// Most entries a log can have.
    pub const MOST_ENTRIES: u32 = (1 << ENTRY_BITS) - 1;

    /// As a word; entries and horizon beyond what fits are cut to the largest.
    pub fn pack(self) -> u64 {
        let entries = u64::from(self.entries.min(Self::MOST_ENTRIES));
        let frozen = if self.frozen { FROZEN } else { 0 };
        frozen | (entries << HORIZON_BITS) | self.horizon.min(MOST_HORIZON)
    }

    /// From a word; every word is a state.
    #[inline]
    pub fn unpack(word: u64) -> Self {
        let entries = (word >> HORIZON_BITS) & u64::from(Self::MOST_ENTRIES);
        Self {
            frozen: word & FROZEN != 0,
            entries: u32::try_from(entries).unwrap_or(Self::MOST_ENTRIES),
            horizon: word & MOST_HORIZON,
        }
    }

    /// Whether the entry for this call can no longer change.
    #[inline]
    pub fn is_settled(self, call: u64) -> bool {
        self.frozen || call < self.horizon || self.horizon == MOST_HORIZON
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_holds_a_state_and_every_word_is_one() {
        for frozen in [false, true] {
            for entries in [0, 1, State::MOST_ENTRIES] {
                for horizon in [0, 1, State::FOR_EVER] {
                    let state = State {
                        frozen,
                        entries,
                        horizon,
                    };
                    assert_eq!(State::unpack(state.pack()), state);
                }
            }
        }
        for word in [0, u64::MAX, 1 << 63, 0x1234_5678_9abc_def0] {
            assert_eq!(State::unpack(word).pack(), word);
        }
    }
}
