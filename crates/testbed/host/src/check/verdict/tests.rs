use ccl_abi::shared::{Record, Rule, Timing, Waits};
use ccl_core::Collective;

use super::*;
use crate::check::messages::{Called, Machine};
use crate::nccl::Datatype;

const RANKS: u32 = 2;
/// Three rounds of two calls: before, with an order, after.
const CALLS: u64 = 6;

fn cells() -> Vec<Cell> {
    [
        (Collective::AllReduce, 1 << 20),
        (Collective::AllGather, 1 << 10),
    ]
    .map(|(collective, bytes)| Cell {
        collective,
        bytes,
        datatype: Datatype::Float32,
    })
    .to_vec()
}

fn order(channels: u8) -> Rule {
    Rule {
        collective: 4,
        min_bytes: 0,
        max_bytes: u64::MAX,
        algorithm: 0,
        protocol: 0,
        channels,
        chunk_bytes: 0,
    }
}

fn seen(pid: u32, collective: u8, sequence: u64, ran: (u8, u8, u8), count: u64) -> Seen {
    let (algorithm, protocol, channels) = ran;
    let record = Record {
        communicator: 0,
        sequence,
        collective,
        algorithm,
        protocol,
        channels,
        warps: 16,
        element_bytes: 4,
        timing: Timing::Device,
        is_complete: true,
        count,
        enqueued_ns: 0,
        duration_ns: 1,
        transfers: 0,
        sampled: 1,
        transferred_bytes: 0,
        waits: Waits::default(),
    };
    Seen::of(record, None, pid, 0, false).unwrap()
}

/// A job on a GPU in which everything is right: own choice Ring Simple on 2 channels, and Tree LL on one
/// ordered for AllReduce in the second round.
pub fn right() -> Evidence {
    let mut evidence = Evidence {
        machine: Machine {
            nccl: "2.27.7".to_owned(),
            device: "a GPU".to_owned(),
            cuda: "12.8".to_owned(),
            is_stub: false,
        },
        cells: cells(),
        called: Vec::new(),
        pids: vec![100, 101],
        ordered: vec![None, None, Some(order(1)), None, None, None],
        seen: Vec::new(),
        lost: 0,
        switches: 2,
        declined: 0,
        settled_at: 4,
        is_frozen: false,
    };
    for rank in 0..RANKS {
        let called = |call| Called {
            call,
            elements: 10,
            mismatches: 0,
            first_mismatch: None,
            is_overrun: false,
            launched: None,
        };
        evidence.called.push((0..CALLS).map(called).collect());
        for round in 0..3 {
            let ran = if round == 1 { (0, 0, 1) } else { (1, 2, 2) };
            // NCCL's first sequence number need not be 0.
            let pid = 100 + rank;
            evidence.seen.push(seen(pid, 4, 7 + round, ran, 1 << 18));
            evidence
                .seen
                .push(seen(pid, 2, 3 + round, (1, 2, 1), 1 << 7));
        }
    }
    evidence
}

fn problems(evidence: &Evidence) -> String {
    Tally::of(evidence).problems.join("\n")
}

#[test]
fn a_job_that_did_as_it_was_told_has_no_problems() {
    let tally = Tally::of(&right());
    assert_eq!(tally.problems, Vec::<String>::new());
    assert_eq!((tally.calls, tally.by_phase), (12, [4, 4, 4]));
    assert_eq!((tally.elements, tally.mismatches), (120, 0));
    assert_eq!(
        (tally.recorded, tally.ordered, tally.obeyed, tally.cut),
        (12, 2, 2, 0)
    );
    assert_eq!(
        tally.choices,
        ["Tree LL 1ch", "Ring Simple 1ch", "Ring Simple 2ch"]
    );
}

#[test]
fn channels_beyond_what_there_are_are_cut_and_not_obeyed() {
    let mut evidence = right();
    evidence.ordered[2] = Some(order(16));
    // The communicator has two, and the largest call must use both.
    assert!(problems(&evidence).contains("Tree LL 16ch was ordered and Tree LL 1ch ran"));
    for seen in evidence.seen.iter_mut().filter(|s| s.record.algorithm == 0) {
        seen.record.channels = 2;
    }
    let tally = Tally::of(&evidence);
    assert_eq!(tally.problems, Vec::<String>::new());
    assert_eq!((tally.obeyed, tally.cut), (0, 2));
    // More than ordered is never lawful.
    evidence.ordered[2] = Some(order(1));
    assert!(problems(&evidence).contains("Tree LL 1ch was ordered and Tree LL 2ch ran"));
}

#[test]
fn wrong_numbers_are_problems() {
    let mut evidence = right();
    evidence.called[1][3].mismatches = 4;
    evidence.called[1][3].first_mismatch = Some(2);
    let tally = Tally::of(&evidence);
    assert_eq!(tally.mismatches, 4);
    assert_eq!(tally.problems.len(), 1);
    assert!(tally.problems[0].contains("rank 1 call 3, AllGather of 1 KiB float32: 4 of 10"));
    let mut evidence = right();
    evidence.called[0][0].is_overrun = true;
    assert!(problems(&evidence).contains("written behind"));
}

#[test]
fn another_choice_than_ordered_and_ranks_that_differ_are_problems() {
    let mut evidence = right();
    // Rank 1 goes its own way in the ordered call.
    let is_it = |s: &&mut Seen| s.pid == 101 && s.record.algorithm == 0;
    evidence
        .seen
        .iter_mut()
        .find(is_it)
        .unwrap()
        .record
        .protocol = 2;
    let said = problems(&evidence);
    assert!(
        said.contains("rank 0 ran Tree LL 1ch and rank 1 Tree Simple 1ch"),
        "{said}"
    );
    assert!(
        said.contains("Tree LL 1ch was ordered and Tree Simple 1ch ran"),
        "{said}"
    );
    // NCCL's own choice does not come back.
    let mut evidence = right();
    let last = |s: &&mut Seen| s.record.collective == 4 && s.record.sequence == 9;
    for seen in evidence.seen.iter_mut().filter(last) {
        seen.record.channels = 1;
    }
    let said = problems(&evidence);
    assert!(
        said.contains("own choice was Ring Simple 2ch and is Ring Simple 1ch"),
        "{said}"
    );
}

#[test]
fn what_is_not_recorded_is_a_problem() {
    // NCCL before 2.23 has no profiler interface.
    let mut evidence = right();
    evidence.seen.clear();
    let said = problems(&evidence);
    assert!(said.contains("of 12 calls 0 are recorded"), "{said}");
    // One is missing in the middle, and nothing is taken for another call.
    let mut evidence = right();
    evidence
        .seen
        .retain(|s| (s.pid, s.record.collective, s.record.sequence) != (100, 4, 8));
    let said = problems(&evidence);
    assert!(said.contains("AllReduce 8 is not recorded"), "{said}");
    // A record of another size.
    let mut evidence = right();
    evidence.seen[0].record.count += 1;
    assert!(problems(&evidence).contains("bytes are recorded, not"));
    let mut evidence = right();
    evidence.lost = 1;
    evidence.declined = 1;
    assert_eq!(Tally::of(&evidence).problems.len(), 2);
    // Without calls before a switch there is nothing to compare with.
    let mut evidence = right();
    evidence.settled_at = 0;
    assert!(problems(&evidence).contains("0 calls before"));
}

/// On the stub what is right is wrong: nothing moved, so nothing can have come.
#[test]
fn on_the_stub_a_right_result_is_a_problem() {
    let mut evidence = right();
    evidence.machine.is_stub = true;
    assert!(problems(&evidence).contains("something moved on the stub"));
    for called in evidence.called.iter_mut().flatten() {
        called.mismatches = called.elements;
    }
    let tally = Tally::of(&evidence);
    assert_eq!(
        (tally.unmoved, tally.elements, tally.mismatches),
        (120, 0, 0)
    );
    let said = tally.problems.join("\n");
    assert!(!said.contains("something moved"), "{said}");
}
