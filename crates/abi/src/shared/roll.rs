//! The roll of a communicator's ranks on this machine: who follows the log, how far each is, and what
//! each cannot run.
//!
//! It lies behind the log in the same file. Ranks write, the agent reads: whether all ranks are there
//! before anything is changed, which of them is the fastest, and which pairs are legal for all. No
//! choice of a rank may depend on it, since two ranks can see it differently.
//!
//! ```text
//! word 0      magic and version
//!      1      NCCL's version code, 0 where no rank knows it
//! word 8..    seats, 64 bytes each: owner; calls; left (bit 63) and how often an order could not be
//!             run; for each collective seen (bit 63) and pairs that were impossible (bits 0..21)
//! ```

use super::{Doubt, Process, Word};
use crate::nccl::common::{ALGORITHMS, COLLECTIVES, PROTOCOLS};

/// `cclrol\0` and version 1, little-endian.
const MAGIC: u64 = u64::from_le_bytes(*b"cclrol\0\x01");
const NCCL_AT: usize = 1;
const SEATS_AT: usize = 8;
const SEAT_WORDS: usize = 8;
const CALLS_AT: usize = 1;
const DECLINED_AT: usize = 2;
const IMPOSSIBLE_AT: usize = 3;
const FLAG: u64 = 1 << 63;
const ALL_PAIRS: u64 = (1 << (ALGORITHMS * PROTOCOLS)) - 1;
const _: () = assert!(IMPOSSIBLE_AT + COLLECTIVES == SEAT_WORDS);

/// A rank as the agent sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// The process it lives in.
    pub process: Process,
    /// Calls it has asked about; the last may be waiting at the horizon.
    pub calls: u64,
    /// Whether its communicator has ended.
    pub has_left: bool,
    /// Orders that it could not run and left to NCCL.
    pub declined: u64,
    /// By collective, the pairs (bit `algorithm * 3 + protocol`) that NCCL could not run in some call;
    /// `None` where no call was seen.
    pub impossible: [Option<u32>; COLLECTIVES],
}

/// A roll in a region of words.
#[derive(Clone, Copy, Debug)]
pub struct Roll<'a, W> {
    region: &'a [W],
}

impl<'a, W: Word> Roll<'a, W> {
    /// Most ranks of one communicator on one machine.
    pub const SEATS: usize = 128;
    /// Words it takes.
    pub const WORDS: usize = SEATS_AT + Self::SEATS * SEAT_WORDS;

    /// The roll in a region, made when the region is zeroed; several may do that at once.
    ///
    /// # Errors
    /// A region that is too short or holds something else.
    pub fn open(region: &'a [W]) -> Result<Self, Doubt> {
        let this = Self::again(region).ok_or(Doubt::Short)?;
        match region[0].publish(0, MAGIC) {
            Ok(()) | Err(MAGIC) => Ok(this),
            Err(_) => Err(Doubt::Magic),
        }
    }

    /// The same roll again, for a caller that opened it before.
    pub fn again(region: &'a [W]) -> Option<Self> {
        (region.len() >= Self::WORDS).then_some(Self { region })
    }

    /// Says which NCCL a rank runs in: `major * 10000 + minor * 100 + patch`.
    pub fn runs_in(&self, version: u32) {
        self.region[NCCL_AT].write(u64::from(version));
    }

    /// Which NCCL the ranks run in, as the last of them said.
    pub fn nccl_version(&self) -> Option<u32> {
        let code = u32::try_from(self.region[NCCL_AT].read()).ok();
        code.filter(|code| *code > 0)
    }

    /// Takes a seat for one rank; its number, or `None` when all are taken.
    pub fn sit(&self, me: Process) -> Option<usize> {
        (0..Self::SEATS).find(|number| {
            self.seat(*number)
                .is_some_and(|seat| seat.words[0].publish(0, me.pack()).is_ok())
        })
    }

    /// The seat with this number.
    pub fn seat(&self, number: usize) -> Option<Seat<'a, W>> {
        if number >= Self::SEATS {
            return None;
        }
        let at = SEATS_AT + number * SEAT_WORDS;
        let words = self.region.get(at..at + SEAT_WORDS)?;
        Some(Seat { words })
    }

    /// Everybody who ever sat down, in the order of the seats.
    pub fn present(&self) -> impl Iterator<Item = Presence> {
        let roll = Self {
            region: self.region,
        };
        (0..Self::SEATS).map_while(move |number| roll.seat(number)?.presence())
    }
}

/// One rank's seat.
#[derive(Clone, Copy, Debug)]
pub struct Seat<'a, W> {
    words: &'a [W],
}

impl<W: Word> Seat<'_, W> {
    /// Says how many calls were asked about.
    pub fn called(&self, calls: u64) {
        self.words[CALLS_AT].write(calls);
    }

    /// Says that NCCL cannot run these pairs of a collective (bit `algorithm * 3 + protocol`); what was
    /// said before stays said. Known collectives only.
    pub fn cannot_run(&self, collective: u8, pairs: u32) {
        if usize::from(collective) >= COLLECTIVES {
            return;
        }
        let word = &self.words[IMPOSSIBLE_AT + usize::from(collective)];
        let said = word.read();
        let now = said | FLAG | (u64::from(pairs) & ALL_PAIRS);
        if now != said {
            word.write(now);
        }
    }

    /// Counts an order that could not be run.
    pub fn declined(&self) {
        self.words[DECLINED_AT].add(1);
    }

    /// Says that the communicator has ended.
    pub fn leave(&self) {
        self.words[DECLINED_AT].set(FLAG);
    }

    #[allow(clippy::cast_possible_truncation)] // 21 bits
    fn presence(&self) -> Option<Presence> {
        let process = Process::unpack(self.words[0].acquire())?;
        let declined = self.words[DECLINED_AT].read();
        let impossible = [0, 1, 2, 3, 4].map(|collective| {
            let word = self.words[IMPOSSIBLE_AT + collective].read();
            (word & FLAG != 0).then_some((word & ALL_PAIRS) as u32)
        });
        Some(Presence {
            process,
            calls: self.words[CALLS_AT].read(),
            has_left: declined & FLAG != 0,
            declined: declined & !FLAG,
            impossible,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    fn region(words: usize) -> Vec<AtomicU64> {
        (0..words).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn ranks_sit_down_and_say_how_far_they_are() {
        let region = region(Roll::<AtomicU64>::WORDS);
        let roll = Roll::open(&region).unwrap();
        assert_eq!(roll.nccl_version(), None);
        roll.runs_in(22105);
        assert_eq!(roll.nccl_version(), Some(22105));
        let process = |pid| Process { pid, started: 5 };
        // Two ranks of one process have two seats.
        assert_eq!(roll.sit(process(7)), Some(0));
        assert_eq!(Roll::open(&region).unwrap().sit(process(7)), Some(1));
        let seat = roll.seat(1).unwrap();
        seat.called(12);
        seat.cannot_run(4, 0b101);
        seat.cannot_run(4, 0b010);
        seat.cannot_run(5, 1);
        seat.declined();
        seat.leave();
        let present: Vec<Presence> = roll.present().collect();
        assert_eq!(present.len(), 2);
        assert_eq!((present[0].calls, present[0].has_left), (0, false));
        assert_eq!(present[0].impossible, [None; 5]);
        let expected = Presence {
            process: process(7),
            calls: 12,
            has_left: true,
            declined: 1,
            impossible: [None, None, None, None, Some(0b111)],
        };
        assert_eq!(present[1], expected);
        for _ in 2..128 {
            assert!(roll.sit(process(8)).is_some());
        }
        assert_eq!(roll.sit(process(8)), None);
        assert!(roll.seat(128).is_none() && roll.seat(usize::MAX).is_none());
    }

    #[test]
    fn what_is_no_roll_is_doubted() {
        assert_eq!(Roll::open(&region(7)).unwrap_err(), Doubt::Short);
        let foreign = region(Roll::<AtomicU64>::WORDS);
        foreign[0].write(9);
        assert_eq!(Roll::open(&foreign).unwrap_err(), Doubt::Magic);
    }
}
