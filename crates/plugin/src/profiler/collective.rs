//! The place of one collective from its enqueuing until all of it was seen.

use std::sync::atomic::{
    AtomicI64, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use ccl_abi::shared::{Record, Timing, Waits};

use super::event::Collective;

/// Generations from here on mean that somebody is taking or emptying the place.
const BUSY: u64 = 1 << 63;

/// How much of a collective can be foreseen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// This many kernel channels: it is over when the last of them ended (v4 on).
    Channels(u8),
    /// Nobody says; it is over when a good many more have come after it and nothing of it is open.
    Unknown,
}

/// A place.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Place {
    /// 0: free.
    generation: AtomicU64,
    /// Parts of it that are open or expected, the enqueuing itself among them.
    pending: AtomicI64,
    ids: AtomicU64,
    sequence: AtomicU64,
    count: AtomicU64,
    /// One collective in how many was recorded when it was enqueued.
    one_in: AtomicU64,
    enqueued_ns: AtomicU64,
    stopped_ns: AtomicU64,
    /// The GPU's timer: earliest start, latest end.
    device: Span,
    /// The host's clock likewise, over kernels and network work.
    host: Span,
    kernels: AtomicU64,
    transfers: AtomicU64,
    transferred_bytes: AtomicU64,
    waits: [AtomicU64; 6],
}

/// Earliest and latest.
#[derive(Debug, Default)]
struct Span {
    first_ns: AtomicU64,
    last_ns: AtomicU64,
}

impl Span {
    fn clear(&self) {
        self.first_ns.store(u64::MAX, Relaxed);
        self.last_ns.store(0, Relaxed);
    }

    /// Most channels change nothing, and a look is cheaper than a change that is none.
    fn starts(&self, ns: u64) {
        if ns < self.first_ns.load(Relaxed) {
            self.first_ns.fetch_min(ns, Relaxed);
        }
    }

    fn ends(&self, ns: u64) {
        if ns > self.last_ns.load(Relaxed) {
            self.last_ns.fetch_max(ns, Relaxed);
        }
    }

    fn duration_ns(&self) -> Option<u64> {
        let (first, last) = (self.first_ns.load(Relaxed), self.last_ns.load(Relaxed));
        last.checked_sub(first).filter(|_| first != u64::MAX)
    }
}

/// Whether a collective is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Parts of it are open or expected.
    Open,
    /// Nothing of it is.
    Over,
}

impl Place {
    /// Whether it is this collective's. Handles keep 32 bits of a generation.
    #[allow(clippy::cast_possible_truncation)] // compared as such
    pub fn is(&self, generation: u32) -> bool {
        let here = self.generation.load(Acquire);
        here != 0 && here & BUSY == 0 && here as u32 == generation
    }

    /// The generation, 0 while it is free.
    pub fn generation(&self) -> u64 {
        self.generation.load(Acquire)
    }

    /// Takes a free place for this collective, one in `one_in`; false when it is not free.
    pub fn take(
        &self,
        generation: u64,
        c: &Collective,
        expect: Expect,
        one_in: u32,
        now_ns: u64,
    ) -> bool {
        if self
            .generation
            .compare_exchange(0, generation | BUSY, AcqRel, Relaxed)
            .is_err()
        {
            return false;
        }
        let expected = match expect {
            Expect::Channels(n) => i64::from(n),
            Expect::Unknown => 0,
        };
        let ids = u64::from_le_bytes([
            c.collective,
            c.algorithm,
            c.protocol,
            c.channels,
            c.warps,
            c.element_bytes,
            u8::from(expect != Expect::Unknown),
            0,
        ]);
        self.pending.store(1 + expected, Relaxed);
        self.ids.store(ids, Relaxed);
        self.sequence.store(c.sequence, Relaxed);
        self.count.store(c.count, Relaxed);
        self.one_in.store(u64::from(one_in), Relaxed);
        self.enqueued_ns.store(now_ns, Relaxed);
        self.stopped_ns.store(0, Relaxed);
        self.device.clear();
        self.host.clear();
        self.kernels.store(0, Relaxed);
        self.transfers.store(0, Relaxed);
        self.transferred_bytes.store(0, Relaxed);
        for wait in &self.waits {
            wait.store(0, Relaxed);
        }
        self.generation.store(generation, Release);
        true
    }

    /// Kernel channels that were told of.
    pub fn kernels(&self) -> u64 {
        self.kernels.load(Relaxed)
    }

    /// Whether the kernel channels were counted beforehand.
    pub fn expects_channels(&self) -> bool {
        self.ids.load(Relaxed).to_le_bytes()[6] == 1
    }

    /// A part begins that was not counted beforehand.
    pub fn open_part(&self) {
        self.pending.fetch_add(1, Relaxed);
    }

    /// A part ends.
    pub fn close_part(&self) -> Progress {
        match self.pending.fetch_sub(1, AcqRel) {
            1 => Progress::Over,
            _ => Progress::Open,
        }
    }

    /// Whether nothing of it is open.
    pub fn is_quiet(&self) -> bool {
        self.pending.load(Acquire) <= 0
    }

    /// The host has enqueued it.
    pub fn enqueued(&self, now_ns: u64) {
        self.stopped_ns.store(now_ns, Relaxed);
    }

    /// A kernel's channel began; host's and GPU's time.
    pub fn kernel_began(&self, timer_ns: Option<u64>, now_ns: u64) {
        self.kernels.fetch_add(1, Relaxed);
        match timer_ns {
            Some(timer) => self.device.starts(timer),
            None => self.host.starts(now_ns),
        }
    }

    /// A kernel's channel ended, by the GPU's timer.
    pub fn kernel_ended_at(&self, timer_ns: u64) {
        self.device.ends(timer_ns);
    }

    /// A part ended, by the host's clock.
    pub fn seen_at(&self, now_ns: u64) {
        self.host.ends(now_ns);
    }

    /// Adds what a transfer spent in a state.
    pub fn waited(&self, wait: u32, ns: u64) {
        if let Some(sum) = self.waits.get(wait as usize) {
            sum.fetch_add(ns, Relaxed);
        }
    }

    /// A transfer ended.
    pub fn transferred(&self, bytes: u64) {
        self.transfers.fetch_add(1, Relaxed);
        self.transferred_bytes.fetch_add(bytes, Relaxed);
    }

    /// Empties the place and says what was in it; `None` when somebody else did that, or it is no
    /// longer this collective's.
    pub fn empty(&self, generation: u64, communicator: u32) -> Option<Record> {
        self.generation
            .compare_exchange(generation, generation | BUSY, AcqRel, Relaxed)
            .ok()?;
        let record = self.record(communicator);
        self.generation.store(0, Release);
        Some(record)
    }

    fn record(&self, communicator: u32) -> Record {
        let ids = self.ids.load(Relaxed).to_le_bytes();
        let [
            collective,
            algorithm,
            protocol,
            channels,
            warps,
            element_bytes,
            exact,
            _,
        ] = ids;
        let enqueued_ns = self.enqueued_ns.load(Relaxed);
        let (timing, duration_ns) = self.timing(enqueued_ns);
        let kernels = u8::try_from(self.kernels.load(Relaxed)).unwrap_or(u8::MAX);
        Record {
            communicator,
            sequence: self.sequence.load(Relaxed),
            collective,
            algorithm,
            protocol,
            // Before v4 NCCL says how many there may be; how many there were can be counted.
            channels: if exact == 0 && kernels > 0 {
                kernels
            } else {
                channels
            },
            warps,
            element_bytes,
            timing,
            is_complete: self.is_quiet(),
            count: self.count.load(Relaxed),
            enqueued_ns,
            duration_ns,
            transfers: u32::try_from(self.transfers.load(Relaxed)).unwrap_or(u32::MAX),
            sampled: u32::try_from(self.one_in.load(Relaxed)).unwrap_or(u32::MAX),
            transferred_bytes: self.transferred_bytes.load(Relaxed),
            waits: Waits::from([0, 1, 2, 3, 4, 5].map(|n: usize| self.waits[n].load(Relaxed))),
        }
    }

    /// The best clock there is.
    fn timing(&self, enqueued_ns: u64) -> (Timing, u64) {
        if let Some(duration) = self.device.duration_ns() {
            return (Timing::Device, duration);
        }
        let last = self.host.last_ns.load(Relaxed);
        if last > 0 {
            // Without kernel events the enqueuing is the earliest that is known.
            let first = self.host.first_ns.load(Relaxed).min(last);
            let first = if self.host.duration_ns().is_some() {
                first
            } else {
                enqueued_ns
            };
            return (Timing::Proxy, last.saturating_sub(first));
        }
        let stopped = self.stopped_ns.load(Relaxed);
        (Timing::Enqueue, stopped.saturating_sub(enqueued_ns))
    }
}
