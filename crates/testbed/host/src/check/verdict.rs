//! Holds what a job ran against what was ordered, and its results against what they have to be.
//!
//! Algorithm and protocol of an order are always to be run. Channels may lawfully be fewer: NCCL has no
//! more than the communicator opened, and uses no more than there is work for. That is counted as cut, not
//! as obeyed; the largest calls, which have work for all, must run as many as the order and the
//! communicator allow, the most that any call ran on being what it has.

use std::collections::BTreeMap;

use ccl_agent::observe::seen::Seen;

use super::plan::{Cell, name};
use super::scenario::Evidence;

/// Tree and Ring deal their work to channels as described; PAT, CollNet and NVLS have rules of their own.
const DEALT: [u8; 2] = [0, 1];

/// What ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ran {
    algorithm: u8,
    protocol: u8,
    channels: u8,
}

/// What was found in a job. Counts are over all ranks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls.
    pub calls: u64,
    /// Those before the first switch, between the first and the last, and from the last on.
    pub by_phase: [u64; 3],
    /// Elements of results that were compared.
    pub elements: u64,
    /// Those of them that were wrong.
    pub mismatches: u64,
    /// On the stub, where nothing moves: elements that were found wrong, as all of them must be.
    pub unmoved: u64,
    /// Times that another choice was ordered.
    pub switches: u64,
    /// Calls of which it is known what ran.
    pub recorded: u64,
    /// Calls for which a pair was ordered.
    pub ordered: u64,
    /// Those of them that ran it, on as many channels as ordered or, where that was left open, on any.
    pub obeyed: u64,
    /// Those that ran it on fewer channels.
    pub cut: u64,
    /// Choices of pair and channels that ran.
    pub choices: Vec<String>,
    /// What is not as it has to be.
    pub problems: Vec<String>,
}

/// Problems said in full; the others are counted.
const MOST_PROBLEMS: usize = 12;

impl Tally {
    fn problem(&mut self, what: String) {
        match self.problems.len() {
            n if n < MOST_PROBLEMS => self.problems.push(what),
            MOST_PROBLEMS => self.problems.push("and more of that".to_owned()),
            _ => {}
        }
    }

    /// Holds a job against what was ordered.
    pub fn of(evidence: &Evidence) -> Self {
        let mut tally = Self {
            switches: evidence.switches,
            ..Self::default()
        };
        tally.results(evidence);
        let ran = tally.ran(evidence);
        tally.agreement(evidence, &ran);
        tally.orders(evidence, &ran);
        tally.own_choices(evidence, &ran);
        if evidence.lost > 0 {
            tally.problem(format!("{} records were lost or damaged", evidence.lost));
        }
        if evidence.declined > 0 {
            tally.problem(format!(
                "{} orders were legal and could not be run",
                evidence.declined
            ));
        }
        tally
    }

    fn results(&mut self, evidence: &Evidence) {
        let first_switch = evidence.ordered.iter().position(Option::is_some);
        for (rank, called) in evidence.called.iter().enumerate() {
            if called.len() != evidence.ordered.len() {
                let (made, wanted) = (called.len(), evidence.ordered.len());
                self.problem(format!("rank {rank} made {made} of {wanted} calls"));
            }
            for (place, call) in called.iter().enumerate() {
                let phase = match call.call {
                    n if n >= evidence.settled_at => 2,
                    _ if first_switch.is_some_and(|first| place >= first) => 1,
                    _ => 0,
                };
                self.calls += 1;
                self.by_phase[phase] += 1;
                if evidence.machine.is_stub {
                    self.unmoved += call.mismatches;
                    if call.mismatches != call.elements || call.is_overrun {
                        self.problem(format!(
                            "rank {rank} call {place}: something moved on the stub, or the comparison is blind"
                        ));
                    }
                    continue;
                }
                self.elements += call.elements;
                self.mismatches += call.mismatches;
                if call.mismatches > 0 || call.is_overrun {
                    let what = cell(evidence, place).map_or_else(String::new, describe);
                    let how = match call.first_mismatch {
                        Some(first) => format!(
                            "{} of {} elements are wrong, first {first}",
                            call.mismatches, call.elements
                        ),
                        None if call.is_overrun => "something was written behind it".to_owned(),
                        None => format!("{} elements are not there", call.mismatches),
                    };
                    self.problem(format!("rank {rank} call {place}, {what}: {how}"));
                }
            }
        }
        if evidence.machine.is_stub && self.unmoved == 0 {
            self.problem("no result was looked at".to_owned());
        }
        if !evidence.machine.is_stub && self.elements == 0 {
            self.problem("no result was compared".to_owned());
        }
        if self.by_phase.contains(&0) {
            let [before, during, after] = self.by_phase;
            self.problem(format!(
                "{before} calls before, {during} during and {after} after the switches: some of each are needed"
            ));
        }
    }

    /// By rank and call.
    fn ran(&mut self, evidence: &Evidence) -> Vec<Vec<Option<Ran>>> {
        let ran: Vec<Vec<Option<Ran>>> = match evidence.machine.is_stub {
            true => evidence.called.iter().map(|c| launched(c)).collect(),
            false => self.profiled(evidence),
        };
        self.recorded = ran.iter().flatten().flatten().count() as u64;
        if self.recorded < self.calls {
            let (known, calls) = (self.recorded, self.calls);
            self.problem(format!("of {calls} calls {known} are recorded"));
        }
        ran
    }

    /// From the rings. The n-th record of a collective is of the n-th call of it.
    fn profiled(&mut self, evidence: &Evidence) -> Vec<Vec<Option<Ran>>> {
        let ranks = u32::try_from(evidence.pids.len()).unwrap_or(u32::MAX);
        let mut all = Vec::new();
        for (rank, pid) in evidence.pids.iter().enumerate() {
            let mut records: BTreeMap<_, Vec<&Seen>> = BTreeMap::new();
            for seen in evidence.seen.iter().filter(|seen| seen.pid == *pid) {
                records.entry(seen.collective).or_default().push(seen);
            }
            for of_collective in records.values_mut() {
                of_collective.sort_by_key(|seen| seen.record.sequence);
                let first = of_collective.first().map_or(0, |seen| seen.record.sequence);
                let gap = (first..)
                    .zip(of_collective.iter())
                    .find(|(n, seen)| *n != seen.record.sequence);
                if let Some((missing, seen)) = gap {
                    let what = seen.collective.name();
                    self.problem(format!("rank {rank}: {what} {missing} is not recorded"));
                }
            }
            let mut counts: BTreeMap<_, usize> = BTreeMap::new();
            let called = evidence.called.get(rank).map_or(0, Vec::len);
            let mut ran = Vec::new();
            for place in 0..called {
                let Some(cell) = cell(evidence, place) else {
                    continue;
                };
                let number = counts.entry(cell.collective).or_default();
                let record = records.get(&cell.collective).and_then(|of| of.get(*number));
                *number += 1;
                let expected = cell.count(ranks) * cell.datatype.bytes() as u64;
                if let Some(seen) = record
                    && seen.message_bytes() != expected
                {
                    let (what, bytes) = (describe(cell), seen.message_bytes());
                    self.problem(format!(
                        "rank {rank} call {place}, {what}: {bytes} bytes are recorded, not {expected}"
                    ));
                }
                ran.push(record.map(|seen| Ran {
                    algorithm: seen.record.algorithm,
                    protocol: seen.record.protocol,
                    channels: seen.record.channels,
                }));
            }
            all.push(ran);
        }
        all
    }

    fn agreement(&mut self, evidence: &Evidence, ran: &[Vec<Option<Ran>>]) {
        let Some((first, others)) = ran.split_first() else {
            return;
        };
        for (number, other) in others.iter().enumerate() {
            for (place, (a, b)) in first.iter().zip(other).enumerate() {
                if let (Some(a), Some(b)) = (a, b)
                    && a != b
                {
                    let what = cell(evidence, place).map_or_else(String::new, describe);
                    let (rank, a, b) = (number + 1, a.name(), b.name());
                    self.problem(format!(
                        "call {place}, {what}: rank 0 ran {a} and rank {rank} {b}"
                    ));
                }
            }
        }
    }

    fn orders(&mut self, evidence: &Evidence, ran: &[Vec<Option<Ran>>]) {
        let most_bytes = evidence.cells.iter().map(|cell| cell.bytes).max();
        let most_bytes = most_bytes.unwrap_or(0);
        let dealt = |ran: &&Ran| DEALT.contains(&ran.algorithm);
        let all = ran.iter().flatten().flatten();
        let opened = all.filter(dealt).map(|ran| ran.channels).max().unwrap_or(0);
        let mut choices = BTreeMap::new();
        for (rank, of_rank) in ran.iter().enumerate() {
            for (place, (ran, ordered)) in of_rank.iter().zip(&evidence.ordered).enumerate() {
                let (Some(ran), Some(cell)) = (ran, cell(evidence, place)) else {
                    continue;
                };
                choices.insert((ran.algorithm, ran.protocol, ran.channels), ran.name());
                let Some(rule) = ordered else { continue };
                self.ordered += 1;
                let is_pair = (rule.algorithm, rule.protocol) == (ran.algorithm, ran.protocol);
                // Rounded down to whole elements, so not exactly the largest.
                let is_large = cell.bytes * 2 > most_bytes && DEALT.contains(&ran.algorithm);
                let wanted = match rule.channels {
                    0 => ran.channels,
                    ordered => ordered,
                };
                if is_pair && ran.channels == wanted {
                    self.obeyed += 1;
                } else if is_pair
                    && ran.channels < wanted
                    && (!is_large || ran.channels == wanted.min(opened))
                {
                    self.cut += 1;
                } else {
                    let what = describe(cell);
                    let ordered = name(rule.algorithm, rule.protocol, rule.channels);
                    let ran = ran.name();
                    self.problem(format!(
                        "rank {rank} call {place}, {what}: {ordered} was ordered and {ran} ran"
                    ));
                }
            }
        }
        self.choices = choices.into_values().collect();
        if self.ordered == 0 {
            self.problem("nothing was ordered".to_owned());
        }
    }

    /// Where nothing is ordered NCCL chooses, and the same for the same call, before and after.
    fn own_choices(&mut self, evidence: &Evidence, ran: &[Vec<Option<Ran>>]) {
        let mut own: BTreeMap<&Cell, Ran> = BTreeMap::new();
        for (place, (ran, ordered)) in ran
            .iter()
            .flat_map(|of| of.iter().zip(&evidence.ordered).enumerate())
        {
            let (Some(ran), None, Some(cell)) = (ran, ordered, cell(evidence, place)) else {
                continue;
            };
            let first = *own.entry(cell).or_insert(*ran);
            if first != *ran {
                let (what, first, ran) = (describe(cell), first.name(), ran.name());
                self.problem(format!(
                    "call {place}, {what}: NCCL's own choice was {first} and is {ran}"
                ));
            }
        }
    }
}

impl Ran {
    fn name(self) -> String {
        name(self.algorithm, self.protocol, self.channels)
    }
}

fn launched(called: &[super::messages::Called]) -> Vec<Option<Ran>> {
    let small = |n: u32| u8::try_from(n).unwrap_or(u8::MAX);
    let ran = called.iter().map(|called| {
        called.launched.map(|operation| Ran {
            algorithm: small(operation.algorithm.nccl_id()),
            protocol: small(operation.protocol.nccl_id()),
            channels: small(operation.channels),
        })
    });
    ran.collect()
}

fn cell(evidence: &Evidence, place: usize) -> Option<&Cell> {
    evidence.cells.get(place.checked_rem(evidence.cells.len())?)
}

fn describe(cell: &Cell) -> String {
    let bytes = ccl_core::format_bytes(cell.bytes);
    format!(
        "{} of {bytes} {}",
        cell.collective.name(),
        cell.datatype.name()
    )
}

#[cfg(test)]
pub(super) mod tests;
