//! The ring: model-checked over the code that ships, then with memory that lies.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::atomic::AtomicU64 as Plain;

use ccl_abi::shared::{
    Control, Doubt, Membership, PackedRecord, Process, Queue, Record, Ring, Timing, Waits, Word,
};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use proptest::prelude::*;

/// loom's word under the code that ships; one that does not order its releases is the mutant.
struct Checked<const ORDERED: bool>(AtomicU64);

impl<const ORDERED: bool> Word for Checked<ORDERED> {
    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn write(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn acquire(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    fn release(&self, value: u64) {
        let order = match ORDERED {
            true => Ordering::Release,
            false => Ordering::Relaxed,
        };
        self.0.store(value, order);
    }

    fn publish(&self, from: u64, to: u64) -> Result<(), u64> {
        self.0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .map(|_| ())
    }

    fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    fn set(&self, bits: u64) {
        self.0.fetch_or(bits, Ordering::AcqRel);
    }
}

/// A record in which every word is the same, so that a mixture shows.
fn uniform(value: u64) -> PackedRecord {
    [value; 15]
}

/// Two threads push one record each into a queue of two slots that starts with one record, while a
/// third pops: nothing is torn, lost or seen twice, whatever found no room was refused.
fn check<const ORDERED: bool>(preemptions: usize) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = model.preemption_bound.or(Some(preemptions));
    model.max_branches = model.max_branches.max(50_000);
    model.check(|| {
        let words: Vec<Checked<ORDERED>> = (0..Queue::<Checked<ORDERED>>::words(2))
            .map(|_| Checked(AtomicU64::new(0)))
            .collect();
        let words = Arc::new(words);
        Queue::new(&words, 2).initialise();
        assert!(Queue::new(&words, 2).push(uniform(1)));
        let pushers = [2, 3].map(|value| {
            let words = words.clone();
            thread::spawn(move || Queue::new(&words, 2).push(uniform(value)))
        });
        let mut seen: Vec<PackedRecord> = Vec::new();
        for _ in 0..2 {
            seen.extend(Queue::new(&words, 2).pop());
        }
        let pushed = pushers.map(|pusher| pusher.join().unwrap());
        while let Some(record) = Queue::new(&words, 2).pop() {
            seen.push(record);
        }
        let mut values: Vec<u64> = seen.iter().map(|record| record[0]).collect();
        for (record, value) in seen.iter().zip(&values) {
            assert_eq!(*record, uniform(*value), "torn");
        }
        values.sort_unstable();
        let added = [2, 3].into_iter().zip(pushed).filter(|(_, ok)| *ok);
        let expected: Vec<u64> = [1]
            .into_iter()
            .chain(added.map(|(value, _)| value))
            .collect();
        assert_eq!(values, expected);
    });
}

#[test]
fn pushes_and_pops_in_any_order_keep_records_whole() {
    check::<true>(3);
}

#[test]
fn a_release_that_orders_nothing_is_caught() {
    // One preemption shows it; with more it takes longer to come to that.
    let caught = std::panic::catch_unwind(|| check::<false>(1)).unwrap_err();
    let why = caught.downcast_ref::<String>().unwrap();
    assert!(why.contains("left == right"), "{why}");
}

const SLOTS: u32 = 4;
const ME: Process = Process { pid: 7, started: 9 };

fn region() -> Vec<Plain> {
    let words = Ring::<Plain>::words(SLOTS).unwrap();
    (0..words).map(|_| Plain::new(0)).collect()
}

fn made(region: &[Plain]) -> Ring<'_, Plain> {
    let control = Control {
        kinds: 0b101_1010,
        one_in: 1,
    };
    Ring::initialise(region, SLOTS, ME, 5, false, control).unwrap()
}

fn record(sequence: u64) -> Record {
    Record {
        communicator: 0,
        sequence,
        collective: 4,
        algorithm: 1,
        protocol: 2,
        channels: 16,
        warps: 17,
        element_bytes: 4,
        timing: Timing::Device,
        is_complete: true,
        count: 1 << 20,
        enqueued_ns: 77,
        duration_ns: 88_000,
        transfers: 12,
        sampled: 1,
        transferred_bytes: 1 << 22,
        waits: Waits {
            send_ns: 3,
            recv_gpu_ns: 4,
            ..Waits::default()
        },
    }
}

#[test]
fn a_full_ring_drops_and_counts_and_goes_on() {
    let region = region();
    let ring = made(&region);
    assert_eq!(Ring::new(&region).unwrap().slots(), u64::from(SLOTS));
    let mut damaged = 0;
    for round in 0..3 {
        for sequence in 0..6 {
            assert_eq!(ring.push(&record(sequence)), sequence < 4, "{sequence}");
        }
        assert_eq!(ring.losses().dropped, 2 * (round + 1));
        for sequence in 0..4 {
            assert_eq!(ring.pop(&mut damaged), Some(record(sequence)));
        }
        assert_eq!(ring.pop(&mut damaged), None);
    }
    assert_eq!(damaged, 0);
}

#[test]
fn communicators_the_observer_and_what_it_asks_for() {
    let region = region();
    let ring = made(&region);
    let member = Membership {
        id: 1 << 63,
        ranks: 8,
        nodes: 2,
        rank: 3,
    };
    assert_eq!(ring.membership(0), None);
    ring.describe(0, member);
    assert_eq!(ring.membership(0), Some(member));
    assert_eq!(ring.membership(4096), None);
    ring.describe(4096, member);
    assert_eq!(
        (ring.membership(0), ring.membership(4096)),
        (None, Some(member))
    );
    let other = Process { pid: 8, started: 1 };
    assert_eq!(ring.claim(ME, |_| false), Ok(()));
    assert_eq!(ring.claim(other, |_| false), Err(ME));
    ring.leave(other);
    assert_eq!(ring.claim(other, |_| false), Err(ME));
    ring.leave(ME);
    assert_eq!(ring.claim(other, |_| false), Ok(()));
    assert_eq!(
        ring.control(),
        Control {
            kinds: 0b101_1010,
            one_in: 1
        }
    );
    ring.ask(Control {
        kinds: 2,
        one_in: 0,
    });
    assert_eq!(
        ring.control(),
        Control {
            kinds: 2,
            one_in: 1
        }
    );
    assert_eq!(ring.maker(), Some(ME));
    assert!(!ring.is_simulated());
}

#[test]
fn what_is_no_ring_is_doubted() {
    let region = region();
    assert_eq!(Ring::new(&region[..10]).err(), Some(Doubt::Short));
    assert_eq!(Ring::new(&region).err(), Some(Doubt::Magic));
    made(&region);
    let control = Control {
        kinds: 2,
        one_in: 1,
    };
    let again = Ring::initialise(&region, SLOTS, ME, 0, false, control);
    assert_eq!(again.err(), Some(Doubt::Magic));
    assert_eq!(
        Ring::new(&region[..region.len() - 1]).err(),
        Some(Doubt::Sizes)
    );
    assert_eq!(Ring::<Plain>::words(3), None);
    assert_eq!(Ring::<Plain>::words(1 << 21), None);
}

proptest! {
    /// Flipped bits anywhere: records that are whole or none, and no call that runs on.
    #[test]
    fn memory_that_lies_does_no_harm(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0u32..64), 0..20),
        pushes in 0u64..9,
    ) {
        let region = region();
        made(&region);
        made_busy(&region, pushes);
        for (at, bit) in flips {
            let word = at.get(&region);
            word.write(word.read() ^ (1 << bit));
        }
        if let Ok(ring) = Ring::new(&region) {
            let mut damaged = 0;
            for _ in 0..20 {
                if let Some(found) = ring.pop(&mut damaged) {
                    prop_assert!(found.sequence < 9 && found == record(found.sequence));
                }
                ring.push(&record(0));
            }
            let _ = (ring.membership(0), ring.control(), ring.losses(), ring.maker());
        }
    }

    /// Records survive packing, and what was not packed is none.
    #[test]
    fn a_record_is_sealed(sequence in any::<u64>(), word in 0usize..15, bit in 0u32..64) {
        let mut words = record(sequence).pack();
        prop_assert_eq!(Record::unpack(&words), Some(record(sequence)));
        words[word] ^= 1 << bit;
        prop_assert_eq!(Record::unpack(&words), None);
    }
}

fn made_busy(region: &[Plain], pushes: u64) {
    let ring = Ring::new(region).unwrap();
    for sequence in 0..pushes {
        ring.push(&record(sequence));
    }
}
