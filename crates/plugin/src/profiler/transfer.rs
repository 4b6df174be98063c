//! The place of one network transfer while it runs: which state it is in, and since when.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use ccl_abi::nccl::profiler::state;

/// Which of a record's waits a state of NCCL's counts for.
pub fn wait_of(nccl_state: u32) -> Option<u32> {
    match nccl_state {
        state::SEND_GPU_WAIT => Some(0),
        state::SEND_PEER_WAIT => Some(1),
        state::SEND_WAIT => Some(2),
        state::RECV_WAIT => Some(3),
        state::RECV_FLUSH_WAIT => Some(4),
        state::RECV_GPU_WAIT => Some(5),
        _ => None,
    }
}

const NO_WAIT: u32 = u32::MAX;

/// Time that has to be added to a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed {
    /// Handle of the network work it belongs to.
    pub owner: u64,
    /// Which wait.
    pub wait: Option<u32>,
    /// How long.
    pub ns: u64,
    /// Bytes of the transfer, as last heard.
    pub bytes: u64,
}

/// A place. One proxy thread at a time has it.
#[derive(Debug, Default)]
pub struct Transfer {
    /// Handle of the network work; 0 while the place is free.
    owner: AtomicU64,
    generation: AtomicU32,
    wait: AtomicU32,
    since_ns: AtomicU64,
    bytes: AtomicU64,
}

impl Transfer {
    /// Takes the place, if it is free; its generation.
    pub fn take(&self, owner: u64, now_ns: u64) -> Option<u32> {
        self.owner
            .compare_exchange(0, owner, Relaxed, Relaxed)
            .ok()?;
        self.wait.store(NO_WAIT, Relaxed);
        self.since_ns.store(now_ns, Relaxed);
        self.bytes.store(0, Relaxed);
        let generation = self.generation.load(Relaxed).wrapping_add(1);
        self.generation.store(generation, Relaxed);
        Some(generation)
    }

    fn is(&self, generation: u32) -> bool {
        self.generation.load(Relaxed) == generation && self.owner.load(Relaxed) != 0
    }

    fn elapsed(&self, now_ns: u64) -> Elapsed {
        let wait = self.wait.load(Relaxed);
        Elapsed {
            owner: self.owner.load(Relaxed),
            wait: (wait != NO_WAIT).then_some(wait),
            ns: now_ns.saturating_sub(self.since_ns.load(Relaxed)),
            bytes: self.bytes.load(Relaxed),
        }
    }

    /// Enters a state; what the one before took. `None` for a place that is another's by now.
    pub fn enter(&self, generation: u32, wait: u32, bytes: u64, now_ns: u64) -> Option<Elapsed> {
        if !self.is(generation) {
            return None;
        }
        let elapsed = self.elapsed(now_ns);
        self.wait.store(wait, Relaxed);
        self.since_ns.store(now_ns, Relaxed);
        self.bytes.store(bytes, Relaxed);
        Some(elapsed)
    }

    /// Ends it and frees the place.
    pub fn end(&self, generation: u32, now_ns: u64) -> Option<Elapsed> {
        if !self.is(generation) {
            return None;
        }
        let elapsed = self.elapsed(now_ns);
        self.owner.store(0, Relaxed);
        Some(elapsed)
    }
}
