//! The decision log under memory that lies: logs with a history are damaged, then read and written.
//!
//! Undamaged, a log answers what a plain walk over its history answers; damaged in any way, it gives
//! an answer or a doubt, in bounds and in range.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

use std::sync::atomic::AtomicU64;

use ccl_abi::shared::{
    Answer, Geometry, Process, Reader, Roll, Rule, State, Version, Word, Writer, initialise,
};

#[path = "fuzz/random.rs"]
mod random;
use random::{Random, cases};

/// Where things lie, as the layout says: magic to maker, writer, state, slots.
const HEADER: [usize; 7] = [0, 1, 2, 3, 8, 9, STATE_AT];
const STATE_AT: usize = 16;
const SLOTS_AT: usize = 24;

struct Entry {
    from: u64,
    rules: Vec<Rule>,
}

struct Log {
    geometry: Geometry,
    region: Vec<AtomicU64>,
    entries: Vec<Entry>,
    horizon: u64,
    frozen: bool,
}

fn rule(random: &mut Random) -> Rule {
    let (a, b) = (random.below(6), random.below(6));
    Rule {
        collective: random.of(&[0, 1, 2, 3, 4]),
        min_bytes: a.min(b),
        max_bytes: match random.one_in(4) {
            true => u64::MAX,
            false => a.max(b),
        },
        algorithm: random.of(&[0, 1, 2, 3, 4, 5, 6]),
        protocol: random.of(&[0, 1, 2]),
        channels: random.of(&[0, 1, 32, 64]),
        chunk_bytes: random.of(&[0, 1, 64 << 20]),
    }
}

/// A log that a writer wrote.
fn log(random: &mut Random) -> Log {
    let geometry = Geometry {
        slots: random.of(&[1, 2, 5, 8]),
        rules: random.of(&[1, 2, 4]),
    };
    let words = geometry.words().unwrap();
    let region: Vec<_> = (0..words).map(|_| AtomicU64::new(0)).collect();
    initialise(&region, geometry, 42, 7).unwrap();
    let me = Process { pid: 9, started: 1 };
    let writer = Writer::claim(&region, me, |_| false).unwrap();
    let (mut entries, mut horizon) = (Vec::new(), 0);
    for _ in 0..2 * u64::from(geometry.slots) {
        if random.one_in(4) {
            horizon += 1 + random.below(3);
            writer.extend(horizon).unwrap();
        } else if entries.len() < geometry.slots as usize {
            let from = horizon + random.below(3);
            horizon = from + 1 + random.below(3);
            let rules: Vec<Rule> = (0..random.below(u64::from(geometry.rules) + 1))
                .map(|_| rule(random))
                .collect();
            writer.append(from, &rules, horizon).unwrap();
            entries.push(Entry { from, rules });
        }
    }
    if random.one_in(4) {
        horizon = State::FOR_EVER;
        writer.extend(horizon).unwrap();
    }
    let frozen = random.one_in(8);
    if frozen {
        Reader::new(&region).unwrap().freeze();
    }
    Log {
        geometry,
        region,
        entries,
        horizon,
        frozen,
    }
}

impl Log {
    /// What its history says of a call.
    fn expected(&self, call: u64, collective: u8, bytes: u64) -> Answer {
        if !self.frozen && call >= self.horizon && self.horizon != State::FOR_EVER {
            return Answer::Wait;
        }
        let entry = self.entries.iter().rev().find(|entry| entry.from <= call);
        entry
            .and_then(|entry| entry.rules.iter().find(|r| r.matches(collective, bytes)))
            .map_or(Answer::NcclChooses, |rule| Answer::Run(*rule))
    }

    /// One thing is no longer as it was.
    fn damage(&self, random: &mut Random, other: &Log) {
        let words = &self.region;
        let used = SLOTS_AT + self.entries.len() * (2 + 4 * self.geometry.rules as usize);
        let at = match random.below(3) {
            0 => random.of(&HEADER),
            1 => random.index(words.len()),
            _ => random.index(used.min(words.len())),
        };
        let word = &words[at];
        match random.below(8) {
            0..=2 => word.write(word.read() ^ 1 << random.below(64)),
            3 => word.write(random.number()),
            4 => word.write(words[random.index(words.len())].read()),
            // A state nobody published: entries that were never written, any horizon.
            5 => words[STATE_AT].write(random.number() << 48 | random.below(20)),
            // Words that are sealed well, in a place that is not theirs or out of range.
            6 => {
                let ids = random.word().to_le_bytes();
                let forged = Rule {
                    collective: ids[0] % 8,
                    algorithm: ids[1] % 16,
                    protocol: ids[2] % 8,
                    channels: ids[3],
                    min_bytes: random.number(),
                    max_bytes: random.number(),
                    chunk_bytes: random.number(),
                };
                let slot = SLOTS_AT + 2 + 4 * random.index(self.geometry.rules as usize);
                for (word, value) in words[slot..].iter().zip(forged.pack()) {
                    word.write(value);
                }
            }
            _ => {
                let from = random.index(other.region.len());
                let foreign = &other.region[from..];
                let length = 1 + random.index(24);
                for (word, value) in words[at..].iter().zip(foreign).take(length) {
                    word.write(value.read());
                }
            }
        }
    }
}

/// Asks for calls, collectives and sizes around everything that is in the log.
fn ask(
    log: &Log,
    reader: &Reader<'_, AtomicU64>,
    random: &mut Random,
    mut seen: impl FnMut(u64, u8, u64, Answer),
) {
    for _ in 0..6 {
        let mut call = random.below(30);
        let mut collective = u8::try_from(random.below(7)).unwrap();
        let mut bytes = random.below(7);
        if random.one_in(4) {
            call = random.number();
            bytes = random.number();
        } else if !log.entries.is_empty() {
            let entry = &log.entries[random.index(log.entries.len())];
            call = entry.from + random.below(2);
            if !entry.rules.is_empty() {
                let rule = entry.rules[random.index(entry.rules.len())];
                collective = rule.collective;
                bytes = rule.min_bytes + random.below(2);
            }
        }
        seen(call, collective, bytes, reader.at(call, collective, bytes));
    }
}

fn harmless(call: u64, collective: u8, bytes: u64, answer: Answer) {
    if let Answer::Run(rule) = answer {
        assert!(
            rule.is_sane() && rule.matches(collective, bytes),
            "call {call}: {rule:?}"
        );
    }
}

#[test]
fn logs_that_lie_are_survived() {
    let (mut readable, mut told, mut doubted) = (0u64, 0u64, 0u64);
    let count = cases(|random| {
        let (log, other) = (log(random), log(random));
        let reader = Reader::new(&log.region).unwrap();
        ask(&log, &reader, random, |call, collective, bytes, answer| {
            assert_eq!(answer, log.expected(call, collective, bytes));
        });
        for _ in 0..1 + random.below(3) {
            log.damage(random, &other);
        }
        let length = match random.one_in(4) {
            true => random.index(log.region.len() + 1),
            false => log.region.len(),
        };
        let region = &log.region[..length];
        // As the plugin reads: by the sizes it knew before, whatever the header says now.
        let again = Reader::again(region, log.geometry);
        assert_eq!(again.is_some(), length == log.region.len());
        let found = Reader::new(region).ok();
        readable += u64::from(found.is_some());
        for reader in again.iter().chain(&found) {
            ask(&log, reader, random, |call, collective, bytes, answer| {
                harmless(call, collective, bytes, answer);
                told += u64::from(matches!(answer, Answer::Run(_)));
                doubted += u64::from(answer == Answer::Unreadable);
            });
            if let Version::Entry(slot) = reader.version(random.below(30)) {
                assert!(slot < reader.geometry().slots);
            }
            let _ = (reader.heartbeat(), reader.writer(), reader.state());
        }
        // Writing goes on, or is refused.
        if let Ok(writer) = Writer::new(region) {
            let state = writer.state();
            let rule = rule(random);
            let _ = writer.append(state.horizon + random.below(3), &[rule], random.number());
            let _ = writer.append(random.number(), &[rule, rule], random.number());
            let _ = writer.extend(random.number());
            writer.beat();
        }
        let me = Process { pid: 1, started: 1 };
        let _ = Writer::claim(region, me, |_| true).map(|_| ());
        let _ = initialise(region, other.geometry, 1, 1);
        for reader in again.iter().chain(&found) {
            reader.freeze();
            ask(&log, reader, random, |call, collective, bytes, answer| {
                harmless(call, collective, bytes, answer);
                assert_ne!(answer, Answer::Wait);
            });
        }
    });
    eprintln!("{count} logs: {readable} still readable, {told} rules told, {doubted} doubts");
    // Damage that is always seen at once, or never, would test little.
    if count >= 1000 {
        assert!(readable > count / 3 && told > count && doubted > count / 2);
    }
}

/// The roll behind a log: who is on it and what they say, with anything in its words.
#[test]
fn rolls_that_lie_are_survived() {
    let words: Vec<_> = (0..Roll::<AtomicU64>::WORDS + 1)
        .map(|_| AtomicU64::new(0))
        .collect();
    let (mut opened, mut seen) = (0u64, 0u64);
    let count = cases(|random| {
        let used = 8 + 8 * random.index(6);
        for word in &words[..80] {
            word.write(0);
        }
        let me = Process { pid: 5, started: 2 };
        let roll = Roll::open(&words[..]).unwrap();
        for number in 0..random.index(5) {
            assert_eq!(roll.sit(me), Some(number));
            let seat = roll.seat(number).unwrap();
            seat.called(random.number());
            seat.cannot_run(random.word().to_le_bytes()[0], u32::MAX);
        }
        for _ in 0..random.below(6) {
            words[random.index(used)].write(random.number());
        }
        let length = match random.one_in(4) {
            true => random.index(words.len()),
            false => words.len(),
        };
        let Ok(roll) = Roll::open(&words[..length]) else {
            return;
        };
        opened += 1;
        for rank in roll.present() {
            seen += 1;
            assert!(rank.process.pid != 0 && rank.declined < 1 << 63);
            assert!(
                rank.impossible
                    .into_iter()
                    .flatten()
                    .all(|pairs| pairs < 1 << 21)
            );
        }
        let _ = roll.nccl_version();
        let number = usize::try_from(random.number()).unwrap();
        assert_eq!(roll.seat(number).is_some(), number < 128);
        if let Some(number) = roll.sit(me) {
            let seat = roll.seat(number).unwrap();
            seat.called(random.number());
            seat.cannot_run(random.word().to_le_bytes()[0], u32::MAX);
            seat.declined();
            seat.leave();
            words[8 + 8 * number..][..8]
                .iter()
                .for_each(|word| word.write(0));
        }
    });
    eprintln!("{count} rolls: {opened} opened, {seen} ranks seen");
    if count >= 1000 {
        assert!(opened > count / 4 && seen > count / 2);
    }
}
