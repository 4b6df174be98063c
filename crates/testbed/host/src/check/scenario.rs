//! The two things that happen to a job in a check: it is switched from choice to choice while it runs, and
//! its agent is killed while it does that.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use ccl_abi::shared::job::{CommunicatorName, parts};
use ccl_abi::shared::{Answer, Mapping, Presence, Reader, Roll, Rule, State};
use ccl_agent::live::pilot::{Pilot, Segment};
use ccl_agent::observe::rings::Rings;
use ccl_agent::observe::seen::Seen;

use super::messages::{Called, Machine};
use super::plan::{self, Cell, Order};
use super::ranks::Launcher;
use super::{CheckError, agent};

/// Entries that the agent must have made before it is killed.
const ENTRIES_BEFORE_THE_KILL: u32 = 5;
/// How often all calls are made before it, at least, and after the last call it decided.
const ROUNDS: u64 = 2;

/// All that a job left behind.
#[derive(Debug)]
pub struct Evidence {
    /// What it ran on.
    pub machine: Machine,
    /// The calls, over and over.
    pub cells: Vec<Cell>,
    /// What each rank called.
    pub called: Vec<Vec<Called>>,
    /// Processes of the ranks, in their order.
    pub pids: Vec<u32>,
    /// What was ordered for each call; `None` is NCCL's own choice.
    pub ordered: Vec<Option<Rule>>,
    /// The profilers' records.
    pub seen: Vec<Seen>,
    /// Records that were lost or damaged.
    pub lost: u64,
    /// Times that something else was ordered from a call on.
    pub switches: u64,
    /// Orders that ranks could not run.
    pub declined: u64,
    /// The first call after the last switch.
    pub settled_at: u64,
    /// Whether ranks froze the log, having waited for an agent in vain.
    pub is_frozen: bool,
}

/// The rule for a call among rules of one entry.
fn rule_of(rules: &[Rule], cell: &Cell) -> Option<Rule> {
    let id = u8::try_from(cell.collective.nccl_id()?).ok()?;
    rules.iter().find(|r| r.matches(id, cell.bytes)).copied()
}

fn cell_of(cells: &[Cell], call: u64) -> Option<&Cell> {
    let index = call.checked_rem(cells.len() as u64)?;
    cells.get(usize::try_from(index).ok()?)
}

/// Records of all ranks, taken out of the rings while they run.
struct Recorded {
    rings: Rings,
    seen: Vec<Seen>,
}

impl Recorded {
    fn of(job: &Path) -> Self {
        Self {
            rings: Rings::new(job),
            seen: Vec::new(),
        }
    }

    fn collect(&mut self) -> Result<(), CheckError> {
        self.rings.find().map_err(CheckError::Start)?;
        self.rings.drain(|seen| self.seen.push(seen));
        Ok(())
    }

    fn finish(mut self) -> Result<(Vec<Seen>, u64), CheckError> {
        self.collect()?;
        let losses = self.rings.losses();
        let refused = self.rings.refused().count() as u64;
        let lost = losses.dropped + losses.crowded + self.rings.damaged() + refused;
        Ok((std::mem::take(&mut self.seen), lost))
    }
}

/// How often NCCL asks the tuner about one call: twice in 2.21, once from 2.22 on. The logs count these.
fn asks_per_call(ranks: &[Presence], calls: u64) -> Result<u64, CheckError> {
    let asks = ranks.first().map_or(0, |rank| rank.calls);
    let each = asks.checked_div(calls).unwrap_or(0);
    let is_all = ranks.iter().all(|rank| rank.calls == each * calls);
    match each > 0 && is_all {
        true => Ok(each),
        false => Err(CheckError::Asks {
            calls,
            asks: ranks.iter().map(|rank| rank.calls).collect(),
        }),
    }
}

/// Switches a running job through all orders: NCCL's own choice before, every switch once, NCCL's own choice
/// after, and then without an agent.
///
/// # Errors
/// A job that does not come to its end.
pub fn switched(launcher: &Launcher, job: &Path) -> Result<Evidence, CheckError> {
    let cells = plan::cells(&launcher.bytes, launcher.ranks);
    let round = cells.len() as u64;
    let mut ranks = launcher.start(job)?;
    let mut recorded = Recorded::of(job);
    let mut pilot = Pilot::start(job).map_err(CheckError::Start)?;
    ranks.call_until(round)?;
    ranks.wait(|ranks| ranks.made_by_all() >= round)?;
    let first = agent::followed(&pilot).ok_or(CheckError::NotFollowed)?;
    let asks = asks_per_call(&first.ranks, round)?;
    let orders = plan::orders(&first.ranks);
    if orders.len() < 3 {
        return Err(CheckError::NothingToSwitch);
    }
    // By the first call they are for.
    let mut given: Vec<(u64, &Order)> = Vec::new();
    let mut earliest = 2 * round;
    ranks.call_until(earliest)?;
    // The first order is what is there already.
    for order in &orders[1..] {
        let mut from = earliest;
        pilot.steer(|all| {
            let found = all.iter().find(|followed| followed.name == first.name);
            let horizon = found.map_or(0, |followed| followed.state.horizon);
            from = earliest.max(horizon.div_ceil(asks));
            let segment = Segment {
                from: from * asks,
                rules: order.rules.clone(),
            };
            vec![(first.name, vec![segment])]
        })?;
        // The next one is given while this one is being followed.
        earliest = from + round;
        ranks.call_until(earliest)?;
        while ranks.made_by_all() <= from {
            ranks.look()?;
            recorded.collect()?;
        }
        given.push((from, order));
    }
    let settled_at = given.last().map_or(0, |(from, _)| *from);
    pilot.release(|_| Vec::new())?;
    let until = earliest + round;
    ranks.call_until(until)?;
    while ranks.made_by_all() < until {
        ranks.look()?;
        recorded.collect()?;
    }
    let mut last = pilot.communicators();
    last.retain(|followed| followed.name == first.name);
    let last = last.pop().ok_or(CheckError::NotFollowed)?;
    if asks_per_call(&last.ranks, until)? != asks {
        return Err(CheckError::AsksChanged);
    }
    let ordered = (0..until).map(|call| {
        let (_, order) = given.iter().rev().find(|(from, _)| *from <= call)?;
        rule_of(&order.rules, cell_of(&cells, call)?)
    });
    let ordered = ordered.collect();
    let evidence = Evidence {
        machine: ranks.machine().cloned().ok_or(CheckError::NotFollowed)?,
        pids: ranks.pids(),
        called: ranks.end()?,
        ordered,
        cells,
        seen: Vec::new(),
        lost: 0,
        switches: given.len() as u64,
        declined: last.ranks.iter().map(|rank| rank.declined).sum(),
        settled_at,
        is_frozen: last.state.frozen,
    };
    let (seen, lost) = recorded.finish()?;
    Ok(Evidence {
        seen,
        lost,
        ..evidence
    })
}

/// The agent's process; it does not outlive this.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        // SIGKILL; one that has ended is not there to be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The log of the only communicator of a job.
fn log(job: &Path) -> Option<Mapping> {
    let mut names = std::fs::read_dir(job).ok()?.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        CommunicatorName::from_file(name.to_str()?)
    });
    let name = names.next()?;
    Mapping::existing(&job.join(name.file())).ok()
}

/// Its ranks.
fn present(mapping: &Mapping) -> Result<Vec<Presence>, CheckError> {
    let (_, roll) = parts(mapping.words()).ok_or(CheckError::NotFollowed)?;
    let roll = Roll::again(roll).ok_or(CheckError::NotFollowed)?;
    Ok(roll.present().collect())
}

fn state(mapping: &Mapping) -> Option<State> {
    let (log, _) = parts(mapping.words())?;
    Some(Reader::new(log).ok()?.state())
}

/// Kills the agent of a running job with SIGKILL in the middle of its switching; the job goes on.
///
/// # Errors
/// A job that does not come to its end.
pub fn agent_killed(launcher: &Launcher, job: &Path) -> Result<Evidence, CheckError> {
    let cells = plan::cells(&launcher.bytes, launcher.ranks);
    let round = cells.len() as u64;
    let mut ranks = launcher.start(job)?;
    let mut recorded = Recorded::of(job);
    let mut until = round;
    ranks.call_until(until)?;
    ranks.wait(|ranks| ranks.made_by_all() >= round)?;
    let mapping = log(job).ok_or(CheckError::NotFollowed)?;
    let asks = asks_per_call(&present(&mapping)?, round)?;
    let agent = Command::new(&launcher.program)
        .args(["check-agent", "--asks", &asks.to_string(), "--job"])
        .arg(job)
        .stdin(Stdio::piped())
        .spawn();
    let mut agent = Agent(agent.map_err(CheckError::Start)?);
    loop {
        ranks.look()?;
        recorded.collect()?;
        let entries = state(&mapping).map_or(0, |state| state.entries);
        let made = ranks.made_by_all();
        if entries >= ENTRIES_BEFORE_THE_KILL && made >= ROUNDS * round {
            break;
        }
        if let Ok(Some(_)) = agent.0.try_wait() {
            return Err(CheckError::NoAgent);
        }
        // Always something left to do, so that the kill finds the ranks running.
        if until < made + round {
            until = made + 2 * round;
            ranks.call_until(until)?;
        }
    }
    drop(agent);
    let horizon = state(&mapping).map_or(0, |state| state.horizon);
    until = until.max(horizon.div_ceil(asks)) + ROUNDS * round;
    ranks.call_until(until)?;
    while ranks.made_by_all() < until {
        ranks.look()?;
        recorded.collect()?;
    }
    let last = present(&mapping)?;
    if asks_per_call(&last, until)? != asks {
        return Err(CheckError::AsksChanged);
    }
    let (words, _) = parts(mapping.words()).ok_or(CheckError::NotFollowed)?;
    let reader = Reader::new(words).map_err(|_| CheckError::NotFollowed)?;
    // What the agent had said when it died is in the log, and only there.
    let ordered: Vec<Option<Rule>> = (0..until)
        .map(|call| {
            let cell = cell_of(&cells, call)?;
            let id = u8::try_from(cell.collective.nccl_id()?).ok()?;
            match reader.at(call * asks, id, cell.bytes) {
                Answer::Run(rule) => Some(rule),
                _ => None,
            }
        })
        .collect();
    let versions: Vec<_> = (0..until).map(|call| reader.version(call * asks)).collect();
    let switched: Vec<u64> = (1..until)
        .zip(versions.windows(2))
        .filter(|(_, pair)| pair[0] != pair[1])
        .map(|(call, _)| call)
        .collect();
    let evidence = Evidence {
        machine: ranks.machine().cloned().ok_or(CheckError::NotFollowed)?,
        pids: ranks.pids(),
        ordered,
        cells,
        seen: Vec::new(),
        lost: 0,
        switches: switched.len() as u64,
        declined: last.iter().map(|rank| rank.declined).sum(),
        settled_at: switched.last().copied().unwrap_or(0),
        is_frozen: reader.state().frozen,
        called: ranks.end()?,
    };
    let (seen, lost) = recorded.finish()?;
    Ok(Evidence {
        seen,
        lost,
        ..evidence
    })
}
