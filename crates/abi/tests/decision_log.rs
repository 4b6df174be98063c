//! The decision log with one thread: its promises, its limits, and memory that lies.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::atomic::AtomicU64;

use ccl_abi::shared::{
    Answer, Doubt, Geometry, Process, Reader, Refused, Rule, State, Unclaimed, Version, Word,
    Writer, initialise,
};
use proptest::prelude::*;

const GEOMETRY: Geometry = Geometry { slots: 3, rules: 2 };

fn region() -> Vec<AtomicU64> {
    let region: Vec<_> = (0..GEOMETRY.words().unwrap())
        .map(|_| AtomicU64::new(0))
        .collect();
    initialise(&region, GEOMETRY, 42, 7).unwrap();
    region
}

fn rule(collective: u8, channels: u8) -> Rule {
    Rule {
        collective,
        min_bytes: 1024,
        max_bytes: 4095,
        algorithm: 1,
        protocol: 2,
        channels,
        chunk_bytes: 65536,
    }
}

#[test]
fn a_rank_waits_at_the_horizon_and_sees_entries_from_their_call_on() {
    let region = region();
    let (writer, reader) = (Writer::new(&region).unwrap(), Reader::new(&region).unwrap());
    let at = |call| reader.at(call, 4, 2048);
    assert_eq!(at(0), Answer::Wait);
    writer.extend(10).unwrap();
    assert_eq!(
        (at(0), at(9), at(10)),
        (Answer::NcclChooses, Answer::NcclChooses, Answer::Wait)
    );
    // A lease: the candidate from call 12, the incumbent again from 15.
    writer.append(12, &[rule(4, 8)], 13).unwrap();
    writer.append(15, &[], 20).unwrap();
    assert_eq!(
        (at(11), at(12), at(14)),
        (
            Answer::NcclChooses,
            Answer::Run(rule(4, 8)),
            Answer::Run(rule(4, 8))
        )
    );
    assert_eq!((at(15), at(20)), (Answer::NcclChooses, Answer::Wait));
    // Other collectives and sizes are NCCL's.
    assert_eq!(reader.at(12, 2, 2048), Answer::NcclChooses);
    assert_eq!(reader.at(12, 4, 4096), Answer::NcclChooses);
    // Locked for ever: nobody waits any more.
    writer.extend(State::FOR_EVER).unwrap();
    assert_eq!(at(1 << 40), Answer::NcclChooses);
}

#[test]
fn the_entry_of_any_call_is_found_among_many() {
    let geometry = Geometry {
        slots: 100,
        rules: 1,
    };
    for entries in 0..=100u64 {
        let words = geometry.words().unwrap();
        let region: Vec<_> = (0..words).map(|_| AtomicU64::new(0)).collect();
        initialise(&region, geometry, 1, 1).unwrap();
        let (writer, reader) = (Writer::new(&region).unwrap(), Reader::new(&region).unwrap());
        // Gaps of 1, 2, 3, 1, 2, 3 and so on.
        let mut starts = Vec::new();
        let mut from = 1;
        for entry in 0..entries {
            writer.append(from, &[], from + 1).unwrap();
            starts.push(from);
            from += 1 + entry % 3;
        }
        writer.extend(from + 5).unwrap();
        for call in 0..from + 5 {
            let expected = starts.iter().rposition(|start| *start <= call);
            let expected = expected.map_or(Version::BeforeAll, |slot| {
                Version::Entry(u32::try_from(slot).unwrap())
            });
            assert_eq!(reader.version(call), expected, "{entries} entries");
        }
    }
}

#[test]
fn the_writer_keeps_its_promise() {
    let region = region();
    let writer = Writer::new(&region).unwrap();
    writer.extend(10).unwrap();
    assert_eq!(
        writer.append(9, &[], 20),
        Err(Refused::BelowHorizon { horizon: 10 })
    );
    assert_eq!(
        writer.append(10, &[], 10),
        Err(Refused::BelowHorizon { horizon: 10 })
    );
    assert_eq!(writer.extend(10), Err(Refused::Backwards { horizon: 10 }));
    assert_eq!(writer.append(10, &[rule(4, 1); 3], 11), Err(Refused::Rules));
    assert_eq!(writer.append(10, &[rule(4, 65)], 11), Err(Refused::Rules));
    for from in 10..13 {
        writer.append(from, &[rule(4, 1)], from + 1).unwrap();
    }
    assert_eq!(writer.append(13, &[], 14), Err(Refused::Full));
}

#[test]
fn after_a_freeze_nothing_changes_and_nobody_waits() {
    let region = region();
    let (writer, reader) = (Writer::new(&region).unwrap(), Reader::new(&region).unwrap());
    writer.append(2, &[rule(4, 8)], 3).unwrap();
    assert_eq!(reader.at(3, 4, 2048), Answer::Wait);
    reader.freeze();
    reader.freeze();
    assert_eq!(reader.at(3, 4, 2048), Answer::Run(rule(4, 8)));
    assert_eq!(reader.at(1, 4, 2048), Answer::NcclChooses);
    assert_eq!(writer.append(9, &[], 10), Err(Refused::Frozen));
    assert_eq!(writer.extend(10), Err(Refused::Frozen));
}

#[test]
fn what_is_no_log_is_doubted() {
    let doubt = |region: &[AtomicU64]| Reader::new(region).err();
    assert_eq!(doubt(&[]), Some(Doubt::Short));
    let zero: Vec<_> = (0..64).map(|_| AtomicU64::new(0)).collect();
    assert_eq!(doubt(&zero), Some(Doubt::Magic));
    let good = region();
    assert_eq!(doubt(&good[..good.len() - 1]), Some(Doubt::Sizes));
    good[1].write(good[1].read() ^ (3 << 56));
    assert_eq!(doubt(&good), Some(Doubt::Version));
    let good = region();
    good[1].write(good[1].read() | 0xffff);
    assert_eq!(doubt(&good), Some(Doubt::Sizes));
    assert_eq!(
        initialise(&good, GEOMETRY, 1, 1),
        Err(Doubt::Magic),
        "a log in use is not made anew"
    );
}

#[test]
fn a_log_has_one_writer_until_it_is_gone() {
    let region = region();
    let process = |pid| Process { pid, started: 5 };
    let claim = |pid, gone: bool| Writer::claim(&region, process(pid), |_| gone).err();
    assert_eq!(claim(0, false), Some(Unclaimed::NoPid));
    assert_eq!(claim(7, false), None);
    assert_eq!(claim(8, false), Some(Unclaimed::Held(process(7))));
    assert_eq!(claim(7, true), Some(Unclaimed::Held(process(7))));
    assert_eq!(claim(8, true), None);
    let reader = Reader::new(&region).unwrap();
    assert_eq!(reader.writer(), Some(process(8)));
}

#[test]
fn one_flipped_bit_in_a_committed_entry_never_makes_up_a_rule() {
    let region = region();
    let (writer, reader) = (Writer::new(&region).unwrap(), Reader::new(&region).unwrap());
    writer.append(2, &[rule(4, 8)], 3).unwrap();
    assert_eq!(reader.at(2, 4, 2048), Answer::Run(rule(4, 8)));
    assert_eq!(reader.version(2), Version::Entry(0));
    for (at, word) in region[24..24 + 6].iter().enumerate() {
        for bit in 0..64 {
            let good = word.read();
            word.write(good ^ (1 << bit));
            let answer = reader.at(2, 4, 2048);
            // The collective and the range can hide the rule; anything else is seen.
            let hides = at == 2 || at == 3 || (at == 4 && (24..32).contains(&bit));
            assert!(
                answer == Answer::Unreadable || (hides && answer == Answer::NcclChooses),
                "word {at}, bit {bit}: {answer:?}"
            );
            for collective in 0..8 {
                for bytes in [0, 1023, 1 << 20, u64::MAX] {
                    assert!(!matches!(reader.at(2, collective, bytes), Answer::Run(_)));
                }
            }
            word.write(good);
        }
    }
}

proptest! {
    /// Flipped bits and foreign memory: an answer or a doubt, never a rule NCCL has no kernel for.
    #[test]
    fn memory_that_lies_does_no_harm(
        flips in prop::collection::vec((0usize..50, 0u32..64), 0..12),
        noise in prop::collection::vec(any::<u64>(), 0..40),
        call in prop_oneof![0u64..20, any::<u64>()],
        whole in any::<bool>(),
    ) {
        let region = region();
        let writer = Writer::new(&region).unwrap();
        writer.append(2, &[rule(4, 8), rule(2, 4)], 5).unwrap();
        writer.append(7, &[rule(4, 16)], 9).unwrap();
        if whole {
            for (word, value) in region.iter().skip(16).zip(noise) {
                word.write(value);
            }
        }
        for (at, bit) in flips {
            region[at].write(region[at].read() ^ (1 << bit));
        }
        if let Ok(reader) = Reader::new(&region) {
            for collective in 0..6 {
                if let Answer::Run(rule) = reader.at(call, collective, 2048) {
                    prop_assert!(rule.is_sane() && rule.matches(collective, 2048));
                }
            }
            reader.freeze();
            prop_assert!(reader.state().frozen);
            prop_assert_ne!(reader.at(call, 4, 2048), Answer::Wait);
        }
    }

    /// Rules survive packing, and what was not packed is none.
    #[test]
    fn a_rule_is_four_words(words in any::<[u64; 4]>(), channels in 0u8..=64) {
        prop_assert_eq!(Rule::unpack(rule(3, channels).pack()), Some(rule(3, channels)));
        if let Some(found) = Rule::unpack(words) {
            prop_assert_eq!(found.pack(), words);
        }
    }
}
