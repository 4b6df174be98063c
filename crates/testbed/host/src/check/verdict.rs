//! What a check found: the decision log says what each call should have run, the profiler's rings or the
//! stub driver what it did.

use std::collections::BTreeMap;
use std::path::Path;

use ccl_abi::shared::job::{CommunicatorName, parts};
use ccl_abi::shared::{Answer, Mapping, Reader, Roll};
use ccl_agent::observe::rings::Rings;

use super::rank::{RankReport, report_file};
use super::{CheckError, call, number_of};

/// What was found of one job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Ranks.
    pub ranks: u64,
    /// Calls of each rank.
    pub calls: u64,
    /// Entries of the decision log.
    pub orders: u64,
    /// Whether ranks froze it.
    pub is_frozen: bool,
    /// Numbers compared, and wrong ones.
    pub compared: u64,
    /// Wrong numbers.
    pub wrong: u64,
    /// Calls for which it is known what ran, on all ranks together.
    pub seen: u64,
    /// Of those: ordered and run as ordered.
    pub as_ordered: u64,
    /// Ordered, and run on fewer channels: the communicator has no more, or the size no more work.
    pub fewer_channels: u64,
    /// Ordered and run otherwise.
    pub otherwise: u64,
    /// Calls that two ranks ran differently.
    pub disagreed: u64,
    /// The NCCL that ran.
    pub nccl: String,
}

impl Findings {
    /// Whether nothing speaks against it. `is_stub`: no data moved, so none was compared.
    pub fn are_good(&self, is_stub: bool) -> bool {
        self.wrong == 0
            && self.otherwise == 0
            && self.disagreed == 0
            && self.as_ordered > 0
            && self.orders > 0
            && (is_stub || self.compared > 0)
    }
}

/// Ids of algorithm and protocol, channels.
type Ran = [u32; 3];

/// Reads what a job left in its directory.
///
/// # Errors
/// A report, a log or a ring that is missing or cannot be read.
pub fn findings(job: &Path, ranks: u32) -> Result<Findings, CheckError> {
    let failed = |what: String| CheckError::Failed(what);
    let reports: Vec<RankReport> = (0..ranks)
        .map(|rank| {
            let path = report_file(job, rank);
            let text = std::fs::read_to_string(&path)
                .map_err(|e| failed(format!("rank {rank} left no report: {e}")))?;
            Ok(serde_json::from_str(&text)?)
        })
        .collect::<Result<_, CheckError>>()?;
    let calls = reports.first().map_or(0, |report| report.calls);
    if reports.iter().any(|report| report.calls != calls) || calls == 0 {
        return Err(failed("ranks made different numbers of calls".to_owned()));
    }
    let mut found = Findings {
        ranks: u64::from(ranks),
        calls,
        compared: reports.iter().map(|report| report.compared).sum(),
        wrong: reports.iter().map(|report| report.wrong).sum(),
        nccl: reports.first().map_or(String::new(), |r| r.nccl.clone()),
        ..Findings::default()
    };
    let mapping = log_of(job, u64::from(ranks))?;
    let (log, roll) = parts(mapping.words()).ok_or_else(|| failed("a log too short".to_owned()))?;
    let reader = Reader::new(log).map_err(|doubt| failed(format!("the log: {doubt:?}")))?;
    let roll = Roll::open(roll).map_err(|doubt| failed(format!("the roll: {doubt:?}")))?;
    found.orders = u64::from(reader.state().entries);
    found.is_frozen = reader.state().frozen;
    let asked = roll.present().map(|rank| rank.calls).max().unwrap_or(0);
    if asked == 0 || !asked.is_multiple_of(calls) {
        return Err(failed(format!(
            "NCCL asked {asked} times for {calls} calls"
        )));
    }
    let mut ran: BTreeMap<u64, Vec<Ran>> = BTreeMap::new();
    for report in &reports {
        for (number, launched) in (0..).zip(&report.launched) {
            ran.entry(number).or_default().push(*launched);
        }
    }
    if ran.is_empty() {
        recorded(job, &mut ran)?;
    }
    for (number, choices) in &ran {
        let (collective, bytes) = call(*number);
        found.seen += choices.len() as u64;
        found.disagreed += u64::from(choices.iter().any(|choice| *choice != choices[0]));
        let id = collective.nccl_id().and_then(|id| u8::try_from(id).ok());
        let first_ask = number * (asked / calls);
        let Answer::Run(rule) = reader.at(first_ask, id.unwrap_or(u8::MAX), bytes) else {
            continue;
        };
        for [algorithm, protocol, channels] in choices {
            let pair = (u32::from(rule.algorithm), u32::from(rule.protocol));
            let wanted = u32::from(rule.channels);
            match (*algorithm, *protocol) == pair {
                true if wanted == 0 || *channels == wanted => found.as_ordered += 1,
                true if *channels < wanted => found.fewer_channels += 1,
                _ => found.otherwise += 1,
            }
        }
    }
    Ok(found)
}

fn log_of(job: &Path, ranks: u64) -> Result<Mapping, CheckError> {
    for entry in std::fs::read_dir(job)? {
        let entry = entry?;
        let name = entry
            .file_name()
            .to_str()
            .and_then(CommunicatorName::from_file);
        if name.is_some_and(|name| name.ranks == ranks) {
            return Ok(Mapping::existing(&entry.path())?);
        }
    }
    Err(CheckError::Failed(
        "no decision log: the ranks did not load the plugin in live mode".to_owned(),
    ))
}

/// What the profiler recorded.
fn recorded(job: &Path, ran: &mut BTreeMap<u64, Vec<Ran>>) -> Result<(), CheckError> {
    let mut rings = Rings::new(job);
    rings.find()?;
    rings.drain(|seen| {
        let record = &seen.record;
        if let Some(number) = number_of(seen.collective, record.sequence) {
            let choice = [record.algorithm, record.protocol, record.channels].map(u32::from);
            ran.entry(number).or_default().push(choice);
        }
    });
    if ran.is_empty() {
        return Err(CheckError::Failed(
            "the profiler recorded nothing: NCCL before 2.23 has no interface for it".to_owned(),
        ));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ccl_abi::shared::job::{GEOMETRY, communicator_words};
    use ccl_abi::shared::{Process, Rule, State, Writer, initialise};

    use super::super::{CALLS, write_whole};
    use super::*;

    /// A job of two ranks in which `launched` says what rank 1 ran in the second round, where Ring/LL on 4
    /// channels was ordered for AllReduce.
    fn job(launched: Ran) -> Result<Findings, CheckError> {
        let folder = tempfile::tempdir().unwrap();
        let name = CommunicatorName {
            id: 1,
            ranks: 2,
            nodes: 2,
        };
        let path = folder.path().join(name.file());
        let mapping = Mapping::open(&path, communicator_words().unwrap()).unwrap();
        let (log, roll) = parts(mapping.words()).unwrap();
        initialise(log, GEOMETRY, 1, 1).unwrap();
        let rule = Rule {
            collective: 4,
            min_bytes: 0,
            max_bytes: u64::MAX,
            algorithm: 1,
            protocol: 0,
            channels: 4,
            chunk_bytes: 0,
        };
        let writer = Writer::new(log).unwrap();
        writer.append(CALLS, &[rule], State::FOR_EVER).unwrap();
        let roll = Roll::open(roll).unwrap();
        for rank in 0..2u32 {
            let seat = roll.sit(Process { pid: 7, started: 1 }).unwrap();
            roll.seat(seat).unwrap().called(2 * CALLS);
            let own = [1, 2, 8];
            let of_call = |number: u64| match call(number) {
                (collective, _) if number < CALLS || collective.nccl_id() != Some(4) => own,
                _ if rank == 1 => launched,
                _ => [1, 0, 4],
            };
            let report = RankReport {
                rank,
                calls: 2 * CALLS,
                launched: (0..2 * CALLS).map(of_call).collect(),
                ..RankReport::default()
            };
            let text = serde_json::to_string(&report).unwrap();
            write_whole(&report_file(folder.path(), rank), &text).unwrap();
        }
        findings(folder.path(), 2)
    }

    #[test]
    fn what_ran_is_held_against_what_was_ordered() {
        let good = job([1, 0, 4]).unwrap();
        assert_eq!((good.as_ordered, good.otherwise, good.disagreed), (8, 0, 0));
        assert_eq!((good.seen, good.orders), (4 * CALLS, 1));
        assert!(good.are_good(true));
        assert!(!good.are_good(false), "nothing was compared");
        let fewer = job([1, 0, 2]).unwrap();
        assert_eq!((fewer.as_ordered, fewer.fewer_channels), (4, 4));
        assert!(!fewer.are_good(true), "and the ranks disagreed");
        for other in [[0, 0, 4], [1, 2, 4], [1, 0, 5]] {
            let found = job(other).unwrap();
            assert_eq!((found.otherwise, found.disagreed), (4, 4), "{other:?}");
            assert!(!found.are_good(true));
        }
    }
}
