//! The ring through which the ranks of a process tell an observer what their collectives did.
//!
//! One ring per process, several threads that push, one observer that pops. A full ring drops what comes and counts it: a rank never waits for an observer, and needs none.
//!
//! ```text
//! word 0    magic; written last
//!      1    version in the upper half, slots in the lower
//!      2    words of the region
//!      3    who made it
//!      4    wall clock minus monotonic clock when it was made, nanoseconds
//!      5    flags: 1 the durations are simulated
//!      8    the observer, 0 while there is none
//!     16    dropped, 17 events without a place, 18 events of what was over
//!     24    control: mask of events in the upper half, one in how many is recorded in the lower
//!     32..  the table of communicators: id; ranks and nodes; how often the place was used and rank
//!     ..    the queue of records
//! ```

use super::queue::Queue;
use super::record::Record;
use super::seal::{join, lower, upper};
use super::{Doubt, Process, Word};

/// `ccl-evt\0`, little-endian.
const MAGIC: u64 = u64::from_le_bytes(*b"ccl-evt\0");
const VERSION: u32 = 1;
const SHAPE_AT: usize = 1;
const WORDS_AT: usize = 2;
const MAKER_AT: usize = 3;
const CLOCK_AT: usize = 4;
const FLAGS_AT: usize = 5;
const OBSERVER_AT: usize = 8;
const DROPPED_AT: usize = 16;
const CONTROL_AT: usize = 24;
const TABLE_AT: usize = 32;
const TABLE_ENTRY: usize = 3;
/// Communicators that can be open at once. A communicator's number is its place in the table plus a
/// multiple of this, so that the place's next one has another.
pub const MOST_COMMUNICATORS: u32 = 1 << 12;
const QUEUE_AT: usize = TABLE_AT + MOST_COMMUNICATORS as usize * TABLE_ENTRY;

/// A communicator as one rank sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Membership {
    /// The communicator's id; 0 where the interface does not say.
    pub id: u64,
    /// Ranks; 0 where the interface does not say (before v4).
    pub ranks: u32,
    /// Nodes; 0 likewise.
    pub nodes: u32,
    /// This rank.
    pub rank: u32,
}

/// What a ring could not take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Records that found the ring full.
    pub dropped: u64,
    /// Events that found no place while they were open.
    pub crowded: u64,
    /// Events of collectives that were over.
    pub late: u64,
}

/// What an observer asks of the ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// Kinds of events wanted (`nccl::profiler::kind`). It can be lowered while a job runs; without
    /// collectives there is nobody left to raise it again.
    pub kinds: u32,
    /// One collective in this many is recorded, from 1.
    pub one_in: u32,
}

/// A ring in a region of words.
#[derive(Debug)]
pub struct Ring<'a, W> {
    region: &'a [W],
    slots: u64,
}

impl<'a, W: Word> Ring<'a, W> {
    /// Words a ring with that many slots takes; slots are a power of two up to 2^20.
    pub fn words(slots: u32) -> Option<usize> {
        let sane = slots.is_power_of_two() && (2..=1 << 20).contains(&slots);
        sane.then(|| QUEUE_AT + Queue::<W>::words(slots as usize))
    }

    /// Makes a ring of a zeroed region that nobody else makes one of at the same time.
    /// `wall_minus_monotonic_ns` dates its records; `is_simulated` marks all its durations.
    ///
    /// # Errors
    /// A number of slots that is not allowed or does not fit, or a region in use.
    pub fn initialise(
        region: &'a [W],
        slots: u32,
        maker: Process,
        wall_minus_monotonic_ns: u64,
        is_simulated: bool,
        control: Control,
    ) -> Result<Self, Doubt> {
        let words = Self::words(slots).ok_or(Doubt::Sizes)?;
        if region.len() < words {
            return Err(Doubt::Short);
        }
        if region[0].acquire() != 0 {
            return Err(Doubt::Magic);
        }
        region[SHAPE_AT].write(join(VERSION, slots));
        region[WORDS_AT].write(words as u64);
        region[MAKER_AT].write(maker.pack());
        region[CLOCK_AT].write(wall_minus_monotonic_ns);
        region[FLAGS_AT].write(u64::from(is_simulated));
        region[CONTROL_AT].write(join(control.kinds, control.one_in.max(1)));
        let ring = Self {
            region,
            slots: u64::from(slots),
        };
        ring.queue().ok_or(Doubt::Short)?.initialise();
        region[0].publish(0, MAGIC).map_err(|_| Doubt::Magic)?;
        Ok(ring)
    }

    /// A ring that somebody made.
    ///
    /// # Errors
    /// Anything that is not a ring of this version, whole.
    pub fn new(region: &'a [W]) -> Result<Self, Doubt> {
        if region.len() < QUEUE_AT {
            return Err(Doubt::Short);
        }
        if region[0].acquire() != MAGIC {
            return Err(Doubt::Magic);
        }
        let shape = region[SHAPE_AT].read();
        if upper(shape) != VERSION {
            return Err(Doubt::Version);
        }
        let words = Self::words(lower(shape)).ok_or(Doubt::Sizes)?;
        if region[WORDS_AT].read() != words as u64 || region.len() < words {
            return Err(Doubt::Sizes);
        }
        Ok(Self::again(region, lower(shape)))
    }

    /// The same ring again, for a caller that made or checked it before.
    pub fn again(region: &'a [W], slots: u32) -> Self {
        let slots = u64::from(slots);
        Self { region, slots }
    }

    /// Slots.
    pub fn slots(&self) -> u64 {
        self.slots
    }

    fn word(&self, at: usize) -> u64 {
        self.region.get(at).map_or(0, Word::read)
    }

    fn queue(&self) -> Option<Queue<'a, W>> {
        Some(Queue::new(self.region.get(QUEUE_AT..)?, self.slots))
    }

    /// Adds a record, or drops it when the observer is behind; true when it was added. Called by
    /// any thread, and never waits.
    pub fn push(&self, record: &Record) -> bool {
        let added = self.queue().is_some_and(|queue| queue.push(record.pack()));
        if !added {
            self.count(0);
        }
        added
    }

    /// Takes the oldest record. For one observer (see [`Ring::claim`]). What cannot be one is skipped
    /// and counted in `damaged`.
    pub fn pop(&self, damaged: &mut u64) -> Option<Record> {
        let queue = self.queue()?;
        loop {
            match Record::unpack(&queue.pop()?) {
                Some(record) => return Some(record),
                None => *damaged += 1,
            }
        }
    }

    /// Makes `me` the observer unless a living one is.
    ///
    /// # Errors
    /// Who observes.
    pub fn claim(&self, me: Process, is_gone: impl FnOnce(Process) -> bool) -> Result<(), Process> {
        let Some(word) = self.region.get(OBSERVER_AT) else {
            return Err(me);
        };
        let seen = word.acquire();
        if let Some(holder) = Process::unpack(seen)
            && (holder == me || !is_gone(holder))
        {
            return Err(holder);
        }
        word.publish(seen, me.pack())
            .map_err(|now| Process::unpack(now).unwrap_or(me))
    }

    /// Lets another observe.
    pub fn leave(&self, me: Process) {
        if let Some(word) = self.region.get(OBSERVER_AT) {
            // Somebody else's claim stays.
            let _ = word.publish(me.pack(), 0);
        }
    }

    /// Says what a communicator is. A later one can get the same place in the table: records of
    /// the earlier that are popped after that belong to nobody who is known.
    pub fn describe(&self, number: u32, member: Membership) {
        let at = TABLE_AT + (number % MOST_COMMUNICATORS) as usize * TABLE_ENTRY;
        let Some([id, shape, who]) = self.region.get(at..at + TABLE_ENTRY) else {
            return;
        };
        // Unknown while it changes.
        who.write(0);
        id.release(member.id);
        shape.release(join(member.ranks, member.nodes));
        who.release(join(number / MOST_COMMUNICATORS + 1, member.rank));
    }

    /// The communicator with this number.
    pub fn membership(&self, number: u32) -> Option<Membership> {
        let at = TABLE_AT + (number % MOST_COMMUNICATORS) as usize * TABLE_ENTRY;
        let [id, shape, who] = self.region.get(at..at + TABLE_ENTRY)? else {
            return None;
        };
        let seen = who.acquire();
        let (id, shape) = (id.acquire(), shape.acquire());
        let is_it = upper(seen) == number / MOST_COMMUNICATORS + 1 && who.read() == seen;
        is_it.then_some(Membership {
            id,
            ranks: upper(shape),
            nodes: lower(shape),
            rank: lower(seen),
        })
    }

    /// What the observer asks for.
    pub fn control(&self) -> Control {
        let word = self.word(CONTROL_AT);
        Control {
            kinds: upper(word),
            one_in: lower(word).max(1),
        }
    }

    /// Asks for something else, from the next collective on.
    pub fn ask(&self, control: Control) {
        if let Some(word) = self.region.get(CONTROL_AT) {
            word.write(join(control.kinds, control.one_in.max(1)));
        }
    }

    fn count(&self, which: usize) {
        if let Some(word) = self.region.get(DROPPED_AT + which) {
            word.add(1);
        }
    }

    /// Counts an event that found no place.
    pub fn count_crowded(&self) {
        self.count(1);
    }

    /// Counts an event of a collective that was over.
    pub fn count_late(&self) {
        self.count(2);
    }

    /// What was lost so far.
    pub fn losses(&self) -> Losses {
        Losses {
            dropped: self.word(DROPPED_AT),
            crowded: self.word(DROPPED_AT + 1),
            late: self.word(DROPPED_AT + 2),
        }
    }

    /// Who made it.
    pub fn maker(&self) -> Option<Process> {
        Process::unpack(self.word(MAKER_AT))
    }

    /// Wall clock minus monotonic clock, nanoseconds.
    pub fn wall_minus_monotonic_ns(&self) -> u64 {
        self.word(CLOCK_AT)
    }

    /// Whether the durations come from a simulation.
    pub fn is_simulated(&self) -> bool {
        self.word(FLAGS_AT) & 1 == 1
    }
}
