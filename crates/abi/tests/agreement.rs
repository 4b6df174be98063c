//! Agreement, model-checked over the code that ships.
//!
//! loom runs every interleaving (up to a bound on preemptions) of a writer that may die after any of
//! its steps and two ranks that may lose patience at any moment, with the memory orderings the code
//! asks for. Until the writer claims the log, ranks move its horizon themselves. In each the two ranks
//! must have run the same thing at the same call. Three mutants, a writer that ignores the frozen
//! flag, one that commits an entry before it is filled, and a rank that moves the horizon blindly, must
//! be caught: a check that cannot fail proves nothing.

#![allow(clippy::unwrap_used, clippy::panic)]

use ccl_abi::shared::{Answer, Geometry, Process, Reader, Rule, State, Word, Writer, initialise};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

const GEOMETRY: Geometry = Geometry { slots: 2, rules: 1 };
/// Word of the state, as the layout says.
const STATE_AT: usize = 16;
/// First word of the first slot.
const SLOT_AT: usize = 24;
const CALLS: u64 = 2;

/// loom's word under the code that ships.
struct Checked(AtomicU64);

impl Word for Checked {
    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn write(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn acquire(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    fn publish(&self, from: u64, to: u64) -> Result<(), u64> {
        self.0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .map(|_| ())
    }

    fn release(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }

    fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    fn set(&self, bits: u64) {
        self.0.fetch_or(bits, Ordering::AcqRel);
    }
}

type Region = Arc<Vec<Checked>>;

fn region() -> Region {
    let words = GEOMETRY.words().unwrap();
    let region: Vec<Checked> = (0..words).map(|_| Checked(AtomicU64::new(0))).collect();
    initialise(&region, GEOMETRY, 1, 1).unwrap();
    Arc::new(region)
}

fn rule(channels: u8) -> Rule {
    Rule {
        collective: 4,
        min_bytes: 0,
        max_bytes: u64::MAX,
        algorithm: 1,
        protocol: 2,
        channels,
        chunk_bytes: 0,
    }
}

/// A rank: asks for each call, moves the horizon while there is no writer, and freezes when it would
/// have to wait for one.
fn rank(region: &Region, extend: impl Fn(&Region, u64)) -> Vec<Answer> {
    let reader = Reader::new(region).unwrap();
    let settled = |call| match reader.at(call, 4, 1024) {
        Answer::Wait => None,
        settled => Some(settled),
    };
    let wait = |call| {
        if reader.writer().is_none() {
            extend(region, call + 1);
            if let Some(settled) = settled(call) {
                return settled;
            }
        }
        reader.freeze();
        reader.at(call, 4, 1024)
    };
    (0..CALLS)
        .map(|call| settled(call).unwrap_or_else(|| wait(call)))
        .collect()
}

/// As ranks that ship do it.
fn extend(region: &Region, horizon: u64) {
    Reader::new(region).unwrap().extend_unclaimed(horizon);
}

/// Two ranks beside a writer; the same answers, and no rank left waiting.
fn check(writer: impl Fn(&Region) + Send + Sync + 'static) {
    check_with(true, 3, writer, extend);
}

/// `is_claimed`: whether the log has its writer from the beginning.
fn check_with(
    is_claimed: bool,
    preemptions: usize,
    writer: impl Fn(&Region) + Send + Sync + 'static,
    extend: impl Fn(&Region, u64) + Copy + Send + Sync + 'static,
) {
    let mut model = loom::model::Builder::new();
    // LOOM_MAX_PREEMPTIONS=4 looks deeper, for some minutes.
    model.preemption_bound = model.preemption_bound.or(Some(preemptions));
    let writer = std::sync::Arc::new(writer);
    model.check(move || {
        let region = region();
        if is_claimed {
            Writer::claim(&region, ME, |_| true).unwrap();
        }
        let ranks = [0, 1].map(|_| {
            let region = region.clone();
            thread::spawn(move || rank(&region, extend))
        });
        writer(&region);
        let [first, second] = ranks.map(|rank| rank.join().unwrap());
        assert_eq!(first, second, "two ranks ran different things");
        assert!(!first.contains(&Answer::Wait) && !first.contains(&Answer::Unreadable));
    });
}

const ME: Process = Process { pid: 9, started: 9 };

/// The writer's steps; it dies after `steps` of them. `claims`: it begins by claiming the log.
fn writes(region: &Region, claims: bool, steps: usize) {
    let writer = match claims {
        true => Writer::claim(region, ME, |_| true).unwrap(),
        false => Writer::new(region).unwrap(),
    };
    let from = writer.state().horizon;
    let all: [&dyn Fn() -> bool; 3] = [
        &|| writer.append(from, &[rule(4)], from + 1).is_ok(),
        &|| writer.append(from + 1, &[rule(8)], from + 2).is_ok(),
        &|| writer.extend(State::FOR_EVER).is_ok(),
    ];
    for step in all.iter().take(steps) {
        if !step() {
            return;
        }
    }
}

#[test]
fn ranks_agree_whenever_the_writer_dies() {
    for steps in 0..=3 {
        check(move |region| writes(region, false, steps));
    }
}

#[test]
fn ranks_agree_whenever_the_writer_comes() {
    for steps in 0..=2 {
        check_with(false, 2, move |region| writes(region, true, steps), extend);
    }
}

#[test]
fn a_rank_that_moves_the_horizon_blindly_is_caught() {
    let blindly = |region: &Region, horizon: u64| {
        let word = &region[STATE_AT];
        let state = State::unpack(word.acquire());
        word.release(State { horizon, ..state }.pack());
    };
    let mutant = move || check_with(false, 2, |region| writes(region, true, 2), blindly);
    assert!(is_caught_in(mutant));
}

/// The words of a slot with one rule from call 0 on, as the writer that ships seals them.
fn slot() -> Vec<u64> {
    use std::sync::atomic::AtomicU64;
    let words = GEOMETRY.words().unwrap();
    let region: Vec<AtomicU64> = (0..words).map(|_| AtomicU64::new(0)).collect();
    initialise(&region, GEOMETRY, 1, 1).unwrap();
    Writer::new(&region)
        .unwrap()
        .append(0, &[rule(4)], 1)
        .unwrap();
    region[SLOT_AT..SLOT_AT + 6]
        .iter()
        .map(Word::read)
        .collect()
}

/// Whether the check sees through a broken writer.
fn is_caught(mutant: impl Fn(&Region) + Send + Sync + 'static + std::panic::UnwindSafe) -> bool {
    is_caught_in(move || check(mutant))
}

fn is_caught_in(model: impl FnOnce() + std::panic::UnwindSafe) -> bool {
    // The model reports what it found on the way. That it gave up would prove nothing.
    let Err(caught) = std::panic::catch_unwind(model) else {
        return false;
    };
    let text = caught.downcast_ref::<String>().cloned();
    let why = text.or(caught.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    let why = why.unwrap();
    why.contains("two ranks ran different things") || why.contains("Answer::Unreadable")
}

#[test]
fn a_writer_that_ignores_the_freeze_is_caught() {
    assert!(is_caught(|region| {
        for (offset, word) in slot().into_iter().enumerate() {
            region[SLOT_AT + offset].write(word);
        }
        let committed = State {
            frozen: false,
            entries: 1,
            horizon: 2,
        };
        region[STATE_AT]
            .0
            .store(committed.pack(), Ordering::Release);
    }));
}

#[test]
fn an_entry_that_is_visible_before_it_is_whole_is_caught() {
    assert!(is_caught(|region| {
        let committed = State {
            frozen: false,
            entries: 1,
            horizon: 2,
        };
        let seen = region[STATE_AT].acquire();
        if region[STATE_AT].publish(seen, committed.pack()).is_err() {
            return;
        }
        for (offset, word) in slot().into_iter().enumerate() {
            region[SLOT_AT + offset].write(word);
        }
    }));
}
