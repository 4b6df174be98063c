//! The ring under memory that lies: pushed to and popped from while what lies in it is damaged.
//!
//! Undamaged, it is a bounded queue; damaged in any way, it gives records that are in range or none,
//! and no call runs on.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;

use ccl_abi::shared::{
    Control, Losses, MOST_COMMUNICATORS, Membership, Process, Queue, Record, Ring, Timing, Waits,
    Word,
};

#[path = "fuzz/random.rs"]
mod random;
use random::{Random, cases};

const SLOTS: u32 = 4;
const ME: Process = Process { pid: 7, started: 9 };
const CONTROL: Control = Control {
    kinds: 0b101_1010,
    one_in: 1,
};
/// As the layout says: the table of communicators and the queue behind it.
const TABLE_AT: usize = 32;
const QUEUE_AT: usize = TABLE_AT + 3 * MOST_COMMUNICATORS as usize;

fn record(random: &mut Random) -> Record {
    Record {
        communicator: u32::try_from(random.below(1 << 32)).unwrap(),
        sequence: random.number(),
        collective: random.of(&[0, 1, 2, 3, 4]),
        algorithm: random.of(&[0, 1, 2, 3, 4, 5, 6]),
        protocol: random.of(&[0, 1, 2]),
        channels: random.of(&[0, 1, 64, 255]),
        warps: random.of(&[0, 16, 255]),
        element_bytes: random.of(&[1, 2, 4, 8, 16]),
        timing: random.of(&[Timing::Device, Timing::Proxy, Timing::Enqueue]),
        is_complete: random.one_in(2),
        count: random.number(),
        enqueued_ns: random.number(),
        duration_ns: random.number(),
        transfers: u32::try_from(random.below(1 << 32)).unwrap(),
        sampled: 1,
        transferred_bytes: random.number(),
        waits: Waits::from([0; 6].map(|_: u64| random.number())),
    }
}

/// Words a case may touch: all but most of the table.
fn places() -> impl Iterator<Item = usize> {
    let end = QUEUE_AT + Queue::<AtomicU64>::words(SLOTS as usize);
    (0..TABLE_AT + 6).chain(QUEUE_AT - 3..end)
}

/// The ring's memory, made once and mended after each case: a new one would cost more than the case.
struct Memory {
    region: Vec<AtomicU64>,
    fresh: Vec<(usize, u64)>,
}

impl Memory {
    fn new() -> Self {
        let words = Ring::<AtomicU64>::words(SLOTS).unwrap();
        let region: Vec<_> = (0..words).map(|_| AtomicU64::new(0)).collect();
        Ring::initialise(&region, SLOTS, ME, 5, false, CONTROL).unwrap();
        let fresh = places().map(|at| (at, region[at].read())).collect();
        Self { region, fresh }
    }

    fn mend(&self) {
        for (at, value) in &self.fresh {
            self.region[*at].write(*value);
        }
    }

    fn damage(&self, random: &mut Random) {
        let (at, _) = self.fresh[random.index(self.fresh.len())];
        let at = match random.below(3) {
            // The positions and the turns of the slots, on which everything hangs.
            0 => QUEUE_AT + random.of(&[0, 8, 16, 32, 48, 64]),
            1 => random.of(&[0, 1, 2, 3, 8, 16, 24]),
            _ => at,
        };
        let word = &self.region[at];
        let (other, _) = self.fresh[random.index(self.fresh.len())];
        match random.below(6) {
            0..=2 => word.write(word.read() ^ 1 << random.below(64)),
            3 => word.write(random.number()),
            4 => word.write(self.region[other].read()),
            // A record sealed well and out of range.
            _ => {
                let mut forged = record(random);
                let id = random.of(&[5, 7, 8, 17, 0, 255]);
                match random.below(4) {
                    0 => forged.collective = id,
                    1 => forged.algorithm = id,
                    2 => forged.protocol = id,
                    _ => forged.element_bytes = id,
                }
                Queue::new(&self.region[QUEUE_AT..], u64::from(SLOTS)).push(forged.pack());
            }
        }
    }
}

fn is_sane(record: &Record) -> bool {
    record.collective < 5
        && record.algorithm < 7
        && record.protocol < 3
        && (1..=16).contains(&record.element_bytes)
}

/// A queue that cannot be wrong beside the ring.
fn as_a_queue(ring: &Ring<'_, AtomicU64>, random: &mut Random) {
    let mut model = VecDeque::new();
    let (mut dropped, mut damaged) = (0, 0);
    for _ in 0..random.below(12) {
        if random.one_in(3) {
            assert_eq!(ring.pop(&mut damaged), model.pop_front());
        } else {
            let record = record(random);
            let fits = model.len() < SLOTS as usize;
            assert_eq!(ring.push(&record), fits);
            match fits {
                true => model.push_back(record),
                false => dropped += 1,
            }
        }
    }
    let expected = Losses {
        dropped,
        ..Losses::default()
    };
    assert_eq!((ring.losses(), damaged), (expected, 0));
}

fn use_it(ring: &Ring<'_, AtomicU64>, random: &mut Random) -> u64 {
    let mut popped = 0;
    let mut damaged = 0;
    for _ in 0..4 {
        ring.push(&record(random));
        if let Some(record) = ring.pop(&mut damaged) {
            assert!(is_sane(&record), "{record:?}");
            popped += 1;
        }
    }
    assert!(damaged <= 4 * u64::from(SLOTS), "a pop ran on: {damaged}");
    let number = u32::try_from(random.number() >> 32).unwrap();
    let (ranks, nodes, rank) = (number, 1, 2);
    let _ = ring.membership(number);
    // Only of places that are mended.
    ring.describe(
        number % 2 + MOST_COMMUNICATORS * random.of(&[0, 1, 0xf_ffff]),
        Membership {
            id: random.number(),
            ranks,
            nodes,
            rank,
        },
    );
    let _ = ring.claim(ME, |_| random.one_in(2));
    ring.leave(ME);
    assert!(ring.control().one_in > 0);
    ring.ask(Control {
        kinds: number,
        one_in: number,
    });
    let _ = (ring.losses(), ring.maker(), ring.is_simulated());
    let _ = ring.wall_minus_monotonic_ns();
    popped
}

#[test]
fn rings_that_lie_are_survived() {
    let memory = Memory::new();
    let (mut readable, mut popped) = (0, 0);
    let count = cases(|random| {
        memory.mend();
        let region = &memory.region[..];
        as_a_queue(&Ring::new(region).unwrap(), random);
        for _ in 0..1 + random.below(3) {
            memory.damage(random);
        }
        let length = match random.one_in(4) {
            true => random.index(region.len() + 1),
            false => region.len(),
        };
        // As an observer opens it, and as the plugin goes on with what it made itself.
        if let Ok(ring) = Ring::new(&region[..length]) {
            readable += 1;
            popped += use_it(&ring, random);
        }
        popped += use_it(&Ring::again(&region[..length], SLOTS), random);
    });
    eprintln!("{count} rings: {readable} still readable, {popped} records popped");
    if count >= 1000 {
        assert!(readable > count / 4 && popped > count);
    }
}
