//! A bounded queue of records: several threads push, one observer pops, nobody waits.
//!
//! D. Vyukov, "Bounded MPMC queue" (1024cores.net), with one popper: each slot has a turn, and the
//! turn says whose move it is. Empty at position p it is p; full it is p + 1; popped it is
//! p + slots, which is "empty" for the next round. Nothing that lies in the memory can make a push
//! or a pop run on: both end after a bounded number of steps.

use super::Word;
use super::record::{PackedRecord, WORDS};

const PUSHED_AT: usize = 0;
/// On a cache line of its own.
const POPPED_AT: usize = 8;
const SLOTS_AT: usize = 16;
const SLOT_WORDS: usize = 1 + WORDS;
/// Each failed attempt of a push is another's success, so this many in a row mean that the memory
/// lies.
const ATTEMPTS: u32 = 1000;

/// A queue in a slice of words.
#[derive(Debug)]
pub struct Queue<'a, W> {
    words: &'a [W],
    slots: u64,
}

impl<'a, W: Word> Queue<'a, W> {
    /// Words it takes.
    pub const fn words(slots: usize) -> usize {
        SLOTS_AT + slots * SLOT_WORDS
    }

    /// A queue of `slots`, a power of two, in words that were [`Queue::initialise`]d once.
    pub fn new(words: &'a [W], slots: u64) -> Self {
        Self { words, slots }
    }

    /// Makes an empty queue of zeroed words.
    pub fn initialise(&self) {
        for position in 0..self.slots {
            if let Some(slot) = self.slot(position) {
                slot[0].write(position);
            }
        }
    }

    fn slot(&self, position: u64) -> Option<&'a [W]> {
        let index = usize::try_from(position & (self.slots - 1)).ok()?;
        let at = SLOTS_AT + index * SLOT_WORDS;
        self.words.get(at..at + SLOT_WORDS)
    }

    /// Adds a record; false when there is no room, as while another thread is stopped in the middle
    /// of a push a whole round ago.
    pub fn push(&self, record: PackedRecord) -> bool {
        let Some(pushed) = self.words.get(PUSHED_AT) else {
            return false;
        };
        let mut position = pushed.read();
        for _ in 0..ATTEMPTS {
            let Some(slot) = self.slot(position) else {
                return false;
            };
            let turn = slot[0].acquire();
            if turn == position {
                match pushed.publish(position, position.wrapping_add(1)) {
                    Ok(()) => {
                        for (word, value) in slot[1..].iter().zip(record) {
                            word.write(value);
                        }
                        slot[0].release(position.wrapping_add(1));
                        return true;
                    }
                    Err(now) => position = now,
                }
            } else if turn.wrapping_add(self.slots) == position.wrapping_add(1) {
                // Full since the last round.
                return false;
            } else {
                position = pushed.read();
            }
        }
        false
    }

    /// Takes the oldest record. One caller at a time.
    pub fn pop(&self) -> Option<PackedRecord> {
        let popped = self.words.get(POPPED_AT)?;
        let position = popped.read();
        let slot = self.slot(position)?;
        if slot[0].acquire() != position.wrapping_add(1) {
            return None;
        }
        let mut record = [0; WORDS];
        for (value, word) in record.iter_mut().zip(&slot[1..]) {
            *value = word.read();
        }
        popped.write(position.wrapping_add(1));
        slot[0].release(position.wrapping_add(self.slots));
        Some(record)
    }
}
