//! The observer's table and rings, from records and files that nobody vouches for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use ccl_abi::shared::{Control, Losses, Mapping, Membership, Process, Record, Ring, Timing, Waits};
use ccl_agent::observe::inspector::InspectorFiles;
use ccl_agent::observe::report::Report;
use ccl_agent::observe::rings::{Refusal, Rings};
use ccl_agent::observe::row::{Clock, Row};
use ccl_agent::observe::seen::Seen;
use ccl_agent::observe::table::Table;
use ccl_core::Collective;
use proptest::prelude::*;

const SLOTS: u32 = 64;

fn record() -> Record {
    Record {
        communicator: 4096,
        sequence: 0,
        collective: 4,
        algorithm: 1,
        protocol: 2,
        channels: 8,
        warps: 16,
        element_bytes: 4,
        timing: Timing::Device,
        is_complete: true,
        count: 1 << 20,
        enqueued_ns: 0,
        duration_ns: 100_000,
        transfers: 0,
        sampled: 1,
        transferred_bytes: 0,
        waits: Waits::default(),
    }
}

fn member(id: u64, rank: u32) -> Membership {
    Membership {
        id,
        ranks: 8,
        nodes: 1,
        rank,
    }
}

/// Adds a call of `rank` that took so long.
fn add(table: &mut Table, id: u64, rank: u32, record: Record) {
    let seen = Seen::of(record, Some(member(id, rank)), 100 + rank, 0, false);
    table.add(&seen.unwrap());
}

fn took(us: u64) -> Record {
    Record {
        duration_ns: us * 1000,
        ..record()
    }
}

fn only(table: &Table) -> Row {
    let rows = table.rows();
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.into_iter().next().unwrap()
}

#[test]
fn the_rank_that_is_inside_for_the_shortest_time_is_the_late_one() {
    let mut table = Table::default();
    for call in 0..40 {
        for rank in 0..8 {
            let late = if rank == 5 { 80 } else { 0 };
            add(&mut table, 1, rank, took(200 + call % 3 - late));
        }
    }
    let row = only(&table);
    let late = row.late_rank.unwrap();
    assert_eq!(
        (late.rank, late.pid, late.communicator.as_str()),
        (5, 105, "0x1")
    );
    assert!((late.others_wait_us - 80.0).abs() < 1.0, "{late:?}");
    assert!(row.why[0].contains("rank 5 of communicator 0x1 (process 105) comes late"));
    assert_eq!((row.calls, row.ranks_seen), (40, 8));
}

#[test]
fn nobody_is_called_late_without_evidence() {
    let late_in = |calls: u64, collective: u8, gap: &dyn Fn(u64) -> u64| {
        let mut table = Table::default();
        for call in 0..calls {
            for rank in 0..8 {
                let gap = if rank == 5 { gap(call) } else { 0 };
                add(
                    &mut table,
                    1,
                    rank,
                    Record {
                        collective,
                        ..took(200 - gap)
                    },
                );
            }
        }
        only(&table).late_rank
    };
    assert!(late_in(40, 4, &|_| 80).is_some());
    assert!(late_in(4, 4, &|_| 80).is_none(), "too few calls");
    assert!(late_in(40, 4, &|_| 8).is_none(), "within a twentieth");
    assert!(
        late_in(40, 4, &|call| 80 * (call % 3).min(1)).is_none(),
        "in two of three calls"
    );
    // The root of a broadcast leaves when it has sent, whoever waits for what.
    assert!(late_in(40, 0, &|_| 80).is_none());

    // Ranks of different communicators do not wait for each other.
    let mut table = Table::default();
    for _ in 0..40 {
        add(&mut table, 1, 0, took(200));
        add(&mut table, 2, 0, took(100));
    }
    let row = only(&table);
    assert_eq!((row.late_rank, row.calls), (None, 80));
    assert!(
        row.why[0].starts_with("nothing seen says why"),
        "{:?}",
        row.why
    );
}

#[test]
fn parts_of_durations_and_worse_clocks_do_not_count() {
    let mut table = Table::default();
    add(
        &mut table,
        1,
        0,
        Record {
            timing: Timing::Enqueue,
            ..took(1)
        },
    );
    let row = only(&table);
    assert_eq!(
        (row.clock, row.median_us, row.untimed),
        (Clock::None, None, 1)
    );
    add(
        &mut table,
        1,
        0,
        Record {
            timing: Timing::Proxy,
            ..took(500)
        },
    );
    let row = only(&table);
    assert_eq!((row.clock, row.median_us), (Clock::Host, Some(500.0)));
    add(
        &mut table,
        1,
        0,
        Record {
            is_complete: false,
            ..took(3)
        },
    );
    add(&mut table, 1, 0, took(100));
    add(
        &mut table,
        1,
        0,
        Record {
            timing: Timing::Proxy,
            ..took(700)
        },
    );
    let row = only(&table);
    assert_eq!((row.clock, row.median_us), (Clock::Gpu, Some(100.0)));
    assert_eq!((row.calls, row.incomplete, row.untimed), (5, 1, 3));
}

#[test]
fn sizes_of_a_task_key_share_a_row_and_the_tail_is_said() {
    let mut table = Table::default();
    for call in 0..200_u64 {
        let count = (1 << 20) + call;
        let us = if call % 50 == 0 { 900 } else { 100 };
        add(&mut table, 1, 0, Record { count, ..took(us) });
    }
    let row = only(&table);
    assert_eq!(
        (row.min_bytes, row.max_bytes),
        (4 << 20, (4 << 20) + 4 * 199)
    );
    assert_eq!(row.p99_us, Some(900.0));
    assert!(
        row.why
            .iter()
            .any(|s| s.contains("900.0 us or more, 9.0 times the median"))
    );
    // 4 MiB in 100 us, times 2 x 7 / 8.
    assert!((row.busbw_gbs.unwrap() - 73.4).abs() < 0.1);
}

#[test]
fn memory_is_bounded_and_calls_are_not_forgotten() {
    let mut table = Table::default();
    // Communicators that come and go.
    for id in 0..20_000 {
        add(&mut table, id, 0, record());
    }
    let row = only(&table);
    assert_eq!(row.calls, 20_000);
    assert!(row.ranks_seen <= 8192, "{}", row.ranks_seen);
    // Rows without end: choices that nobody would make.
    for channels in 0..=255 {
        for warps in 0..20 {
            add(
                &mut table,
                1,
                0,
                Record {
                    channels,
                    warps,
                    ..record()
                },
            );
        }
    }
    assert_eq!(table.rows().len(), 1024);
    // One of them is the row that was there.
    assert_eq!(table.unlisted(), 256 * 20 - 1024);
    assert_eq!(table.records(), 20_000 + 256 * 20);
}

prop_compose! {
    fn hostile()(
        ids in any::<[u8; 6]>(),
        numbers in any::<[u64; 5]>(),
        waits in any::<[u64; 6]>(),
        small in any::<[u32; 3]>(),
        timing in 0..3_usize,
        is_complete in any::<bool>(),
    ) -> Record {
        let [collective, algorithm, protocol, channels, warps, element_bytes] = ids;
        Record {
            communicator: small[0],
            sequence: numbers[0],
            collective: collective % 6,
            algorithm: algorithm % 8,
            protocol: protocol % 4,
            channels,
            warps,
            element_bytes,
            timing: [Timing::Device, Timing::Proxy, Timing::Enqueue][timing],
            is_complete,
            count: numbers[1],
            enqueued_ns: numbers[2],
            duration_ns: numbers[3],
            transfers: small[1],
            sampled: small[2],
            transferred_bytes: numbers[4],
            waits: Waits::from(waits),
        }
    }
}

prop_compose! {
    fn anybody()(id in any::<u64>(), ranks in any::<u32>(), nodes in any::<u32>(), rank in any::<u32>())
        -> Membership { Membership { id, ranks, nodes, rank } }
}

proptest! {
    /// Any records give a table with numbers in it, and lines.
    #[test]
    fn any_records_give_a_table(
        records in prop::collection::vec((hostile(), prop::option::of(anybody()), any::<u64>()), 1..60),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut files = InspectorFiles::new(folder.path()).unwrap();
        let mut table = Table::default();
        for (record, member, offset) in records {
            // A second record of the same key, so that sums are made too.
            for record in [record, Record { duration_ns: u64::MAX, ..record }] {
                if let Some(seen) = Seen::of(record, member, 7, offset, false) {
                    files.write(&seen).unwrap();
                    table.add(&seen);
                }
            }
        }
        files.flush().unwrap();
        let mut shares = 0.0;
        for row in table.rows() {
            let figures = [row.median_us, row.p99_us, row.busbw_gbs, Some(row.share)];
            prop_assert!(figures.into_iter().flatten().all(|f| f.is_finite() && f >= 0.0), "{row:?}");
            prop_assert!(row.min_bytes <= row.max_bytes && !row.why.is_empty());
            if let Some(waits) = row.waits {
                let sum: f64 = waits.by_size().iter().map(|(_, share)| share).sum();
                prop_assert!((sum - 1.0).abs() < 1e-9);
            }
            shares += row.share;
        }
        prop_assert!(shares == 0.0 || (shares - 1.0).abs() < 1e-9);
        let report = Report::new(folder.path(), 0, false, &Rings::new(folder.path()), &table);
        prop_assert!(serde_json::to_string(&report).is_ok());
        for entry in fs::read_dir(folder.path()).unwrap() {
            for line in fs::read_to_string(entry.unwrap().path()).unwrap().lines() {
                prop_assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
            }
        }
    }
}

/// A ring of this process, which lives.
fn ring(path: &Path) -> Mapping {
    let mapping = Mapping::create(path, Ring::<AtomicU64>::words(SLOTS).unwrap()).unwrap();
    let control = Control {
        kinds: 2,
        one_in: 1,
    };
    Ring::initialise(mapping.words(), SLOTS, Process::this(), 0, false, control)
        .unwrap()
        .describe(4096, member(1, 0));
    mapping
}

fn of(mapping: &Mapping) -> Ring<'_, AtomicU64> {
    Ring::again(mapping.words(), SLOTS)
}

fn drained(rings: &mut Rings) -> Vec<Seen> {
    let mut all = Vec::new();
    rings.drain(|seen| all.push(seen));
    all
}

fn reasons(rings: &Rings) -> Vec<Refusal> {
    rings.refused().map(|(_, why)| why.clone()).collect()
}

#[test]
fn a_communicator_is_remembered_when_its_place_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let mapping = ring(&folder.path().join("a.ring"));
    let mut rings = Rings::new(folder.path());
    rings.find().unwrap();
    of(&mapping).push(&record());
    assert_eq!(drained(&mut rings)[0].member, Some(member(1, 0)));
    // The place's next communicator, described before the last records of the first were read.
    of(&mapping).push(&record());
    of(&mapping).describe(8192, member(2, 0));
    of(&mapping).push(&Record {
        communicator: 8192,
        ..record()
    });
    of(&mapping).push(&Record {
        communicator: 12288,
        ..record()
    });
    let members: Vec<_> = drained(&mut rings).into_iter().map(|s| s.member).collect();
    assert_eq!(members, [Some(member(1, 0)), Some(member(2, 0)), None]);
}

#[test]
fn a_ring_that_is_replaced_is_read_to_its_end_and_one_that_is_cut_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ring");
    let old = ring(&path);
    let mut rings = Rings::new(folder.path());
    rings.find().unwrap();
    of(&old).push(&record());
    fs::remove_file(&path).unwrap();
    let new = ring(&path);
    of(&new).push(&record());
    assert_eq!(drained(&mut rings).len(), 1);
    rings.find().unwrap();
    of(&old).push(&record());
    assert_eq!((drained(&mut rings).len(), rings.processes()), (2, 2));

    // Behind the end of a file there is no memory to read.
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(4096).unwrap();
    of(&old).push(&record());
    assert_eq!(rings.processes(), 1);
    assert_eq!(rings.losses(), Losses::default());
    assert_eq!(drained(&mut rings).len(), 1);
    assert_eq!(reasons(&rings), [Refusal::Shortened]);
    rings.find().unwrap();
    assert_eq!(reasons(&rings), [Refusal::NotARing("too short")]);
    // Nor is there at the end.
    drop(rings);
}

#[test]
fn a_ring_has_one_observer_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let mapping = ring(&folder.path().join("a.ring"));
    let mut first = Rings::new(folder.path());
    first.find().unwrap();
    let mut second = Rings::new(folder.path());
    second.find().unwrap();
    assert_eq!(reasons(&second), [Refusal::Observed(std::process::id())]);
    of(&mapping).push(&record());
    assert_eq!(
        (drained(&mut second).len(), drained(&mut first).len()),
        (0, 1)
    );
    drop(first);
    of(&mapping).push(&record());
    second.find().unwrap();
    assert_eq!((reasons(&second).len(), drained(&mut second).len()), (0, 1));

    // One that lost its claim reads no more, whoever has it now.
    let me = Process::this();
    of(&mapping).leave(me);
    let parent = std::os::unix::process::parent_id();
    let other = Process::living(parent).unwrap();
    of(&mapping).claim(other, |_| false).unwrap();
    of(&mapping).push(&record());
    assert_eq!(drained(&mut second).len(), 0);
    assert_eq!(reasons(&second), [Refusal::Observed(parent)]);
}

#[test]
fn ranks_that_come_later_are_asked_too() {
    let folder = tempfile::tempdir().unwrap();
    let first = ring(&folder.path().join("a.ring"));
    let mut rings = Rings::new(folder.path());
    rings.find().unwrap();
    rings.ask(None, Some(5));
    let second = ring(&folder.path().join("b.ring"));
    assert_eq!(rings.asked().map(|c| c.one_in), Some(5));
    rings.find().unwrap();
    for mapping in [&first, &second] {
        let control = of(mapping).control();
        assert_eq!((control.kinds, control.one_in), (2, 5));
    }
    of(&second).ask(Control {
        kinds: 2,
        one_in: 6,
    });
    assert_eq!(rings.asked(), None, "they differ");
}

#[test]
fn ids_that_no_nccl_has_are_damage() {
    let folder = tempfile::tempdir().unwrap();
    let mapping = ring(&folder.path().join("a.ring"));
    let mut rings = Rings::new(folder.path());
    rings.find().unwrap();
    // The ring itself checks the ranges; what passes there has a name here.
    of(&mapping).push(&Record {
        collective: 5,
        ..record()
    });
    of(&mapping).push(&record());
    let seen = drained(&mut rings);
    assert_eq!((seen.len(), rings.damaged()), (1, 1));
    assert_eq!(seen[0].collective, Collective::AllReduce);
}
