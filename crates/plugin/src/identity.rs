//! Which communicator a tuner was made for, where its interface does not say.
//!
//! Tuner v5 and v6 pass an id. With v2 to v4 two communicators of one shape look the same, and ranks
//! that take one for the other would disagree. There are two ways to know all the same, and without
//! either of them live mode leaves everything to NCCL:
//!
//! * The profiler of NCCL 2.27 (v4) is told the id, on the same thread and immediately before the tuner
//!   (`initTransportsRank` and `ncclCommInitRankFunc` of `src/init.cc`, 2.27.7). Where this object is
//!   both, the tuner takes the id from there.
//! * Whoever starts the job confirms with `CCL_AGENT_INIT_ORDER` that all ranks make their
//!   communicators of one shape in the same order: then the number of the init call tells them apart.
//!   `process` counts the calls of the process (one rank per process), `thread` those of the thread
//!   (ranks as threads of one process). Each shape has its own count, so that a rank that is not in
//!   a group of another shape is not off by one.

use std::cell::Cell;
use std::sync::Mutex;

use ccl_abi::shared::job::CommunicatorName;

/// Where the order of init calls is the same on all ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitOrder {
    /// Counted by process.
    Process,
    /// Counted by thread.
    Thread,
}

impl InitOrder {
    /// From `CCL_AGENT_INIT_ORDER`; anything else confirms nothing.
    pub fn from(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        match variable("CCL_AGENT_INIT_ORDER").as_deref() {
            Some("process") => Some(Self::Process),
            Some("thread") => Some(Self::Thread),
            _ => None,
        }
    }
}

/// Shapes that are told apart; a job has a handful.
const SHAPES: usize = 32;

/// How many communicators of each shape were made: ranks, nodes, count. A count of 0 is a free row.
#[derive(Clone, Copy, Debug)]
struct Counts([(u64, u64, u32); SHAPES]);

impl Counts {
    const NONE: Self = Self([(0, 0, 0); SHAPES]);

    /// Counts one more; how many there were before, `None` when there are too many shapes.
    fn count(&mut self, ranks: u64, nodes: u64) -> Option<u32> {
        let is_it = |row: &&mut (u64, u64, u32)| row.2 == 0 || (row.0, row.1) == (ranks, nodes);
        let row = self.0.iter_mut().find(is_it)?;
        let before = row.2;
        *row = (ranks, nodes, before.checked_add(1)?);
        Some(before)
    }
}

/// What one init call knows of its communicator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitCall {
    ranks: u64,
    nodes: u64,
    of_process: Option<u32>,
    of_thread: Option<u32>,
    told: Option<CommunicatorName>,
}

static OF_PROCESS: Mutex<Counts> = Mutex::new(Counts::NONE);

thread_local! {
    // Neither has a destructor: a thread of the host ends without a trace of us.
    static OF_THREAD: Cell<Counts> = const { Cell::new(Counts::NONE) };
    static TOLD: Cell<Option<CommunicatorName>> = const { Cell::new(None) };
}

/// The profiler was told of a communicator on this thread.
pub fn told(communicator: CommunicatorName) {
    TOLD.set(Some(communicator));
}

impl InitCall {
    /// Counts an init call of the tuner. Every call is counted, so that the number of one does not
    /// depend on what the others were for.
    pub fn count(ranks: u64, nodes: u64) -> Self {
        let mut of_thread = OF_THREAD.get();
        let number = of_thread.count(ranks, nodes);
        OF_THREAD.set(of_thread);
        let of_process = OF_PROCESS.lock().ok();
        Self {
            ranks,
            nodes,
            of_process: of_process.and_then(|mut counts| counts.count(ranks, nodes)),
            of_thread: number,
            told: TOLD.take(),
        }
    }

    /// The communicator's name, if it can be known.
    pub fn name(self, id: Option<u64>, order: Option<InitOrder>) -> Option<CommunicatorName> {
        let Self { ranks, nodes, .. } = self;
        if let Some(id) = id {
            return Some(CommunicatorName { id, ranks, nodes });
        }
        if let Some(told) = self.told {
            return Some(told).filter(|told| (told.ranks, told.nodes) == (ranks, nodes));
        }
        let ordinal = match order? {
            InitOrder::Process => self.of_process,
            InitOrder::Thread => self.of_thread,
        };
        Some(CommunicatorName::of_ordinal(ordinal?, ranks, nodes))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_id_then_what_the_profiler_heard_then_the_confirmed_order() {
        std::thread::spawn(|| {
            let heard = CommunicatorName {
                id: 5,
                ranks: 8,
                nodes: 1,
            };
            let first = InitCall::count(8, 1);
            assert_eq!(first.name(None, None), None);
            let by_id = first.name(Some(9), None).map(|name| name.id);
            assert_eq!(by_id, Some(9));
            told(heard);
            let second = InitCall::count(8, 1);
            assert_eq!(second.name(None, None), Some(heard));
            // Of another communicator: that is a doubt, not an ordinal.
            told(heard);
            let other = InitCall::count(16, 2);
            assert_eq!(other.name(None, Some(InitOrder::Thread)), None);
            // It was for one init only, and each shape has its own count.
            let third = InitCall::count(8, 1);
            let ordinal = third.name(None, Some(InitOrder::Thread));
            assert_eq!(ordinal, Some(CommunicatorName::of_ordinal(2, 8, 1)));
            assert!(third.name(None, Some(InitOrder::Process)).is_some());
            let mut counts = Counts::NONE;
            assert_eq!((counts.count(8, 1), counts.count(8, 1)), (Some(0), Some(1)));
            for ranks in 100..131 {
                assert_eq!(counts.count(ranks, 1), Some(0));
            }
            assert_eq!((counts.count(200, 1), counts.count(8, 1)), (None, Some(2)));
        })
        .join()
        .unwrap();
    }
}
