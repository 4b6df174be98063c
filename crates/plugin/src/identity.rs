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
//!   communicators in the same order: then the number of the init call tells them apart. `process`
//!   counts the calls of the process (one rank per process), `thread` those of the thread (ranks as
//!   threads of one process).

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

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

/// What one init call knows of its communicator beside ranks and nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitCall {
    of_process: u32,
    of_thread: u32,
    told: Option<CommunicatorName>,
}

static CALLS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    // Neither has a destructor: a thread of the host ends without a trace of us.
    static THREAD_CALLS: Cell<u32> = const { Cell::new(0) };
    static TOLD: Cell<Option<CommunicatorName>> = const { Cell::new(None) };
}

/// The profiler was told of a communicator on this thread.
pub fn told(communicator: CommunicatorName) {
    TOLD.set(Some(communicator));
}

impl InitCall {
    /// Counts an init call of the tuner. Every call is counted, so that the number of one does not
    /// depend on what the others were for.
    pub fn count() -> Self {
        let of_thread = THREAD_CALLS.get();
        THREAD_CALLS.set(of_thread.wrapping_add(1));
        Self {
            of_process: CALLS.fetch_add(1, Ordering::Relaxed),
            of_thread,
            told: TOLD.take(),
        }
    }

    /// The communicator's name, if it can be known.
    pub fn name(
        self,
        id: Option<u64>,
        ranks: u64,
        nodes: u64,
        order: Option<InitOrder>,
    ) -> Option<CommunicatorName> {
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
        Some(CommunicatorName::of_ordinal(ordinal, ranks, nodes))
    }
}

#[cfg(test)]
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
            let first = InitCall::count();
            assert_eq!(first.name(None, 8, 1, None), None);
            let by_id = first.name(Some(9), 8, 1, None).map(|name| name.id);
            assert_eq!(by_id, Some(9));
            told(heard);
            let second = InitCall::count();
            assert_eq!(second.name(None, 8, 1, None), Some(heard));
            // Of another communicator: that is a doubt, not an ordinal.
            assert_eq!(second.name(None, 16, 2, Some(InitOrder::Thread)), None);
            // It was for one init only.
            let third = InitCall::count();
            let ordinal = third.name(None, 8, 1, Some(InitOrder::Thread));
            assert_eq!(ordinal, Some(CommunicatorName::of_ordinal(2, 8, 1)));
            assert!(third.name(None, 8, 1, Some(InitOrder::Process)).is_some());
        })
        .join()
        .ok();
    }
}
