//! One rank's side of one communicator: places for what is open, and what happens at each event.

use std::ffi::c_int;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use ccl_abi::nccl::profiler::{kind, state};
use ccl_abi::shared::Membership;

use super::clock::monotonic_ns;
use super::collective::{Expect, Place, Progress};
use super::event::{Collective, Event};
use super::handle::{Handle, Kind, MOST_COMMUNICATORS};
use super::recorder::Recorder;
use super::transfer::{Elapsed, Transfer, wait_of};

/// Collectives of a communicator that can be open at once; ranks enqueue far ahead of the GPU.
const PLACES: usize = 1024;
/// Transfers of a communicator that can be open at once.
const TRANSFERS: usize = 1024;
/// How many collectives later one is over of which nobody says when it is.
const LAG: u64 = 64;

/// One rank's side of a communicator.
#[derive(Debug)]
pub struct Communicator {
    index: u16,
    recorder: &'static Recorder,
    /// Between init and finalize.
    is_open: AtomicBool,
    /// Its number in the ring.
    number: AtomicU32,
    /// Whether the ring knows what it is.
    is_described: AtomicBool,
    /// Whether the interface says how many channels a collective uses.
    is_exact: AtomicBool,
    /// Collectives so far.
    enqueued: AtomicU64,
    places: Box<[Place]>,
    next: AtomicU64,
    transfers: Box<[Transfer]>,
    next_transfer: AtomicU64,
    /// Where NCCL keeps the mask, and what was last written there.
    mask: AtomicPtr<c_int>,
    kinds: AtomicU32,
}

/// Whether a collective is one of those that are recorded. By its sequence number, so that all ranks record
/// the same ones; scattered, because a training job repeats itself: of every tenth call of an iteration
/// of a hundred the same ten would be seen for ever. Multiples of the golden ratio fall evenly into any
/// rhythm (Knuth, The Art of Computer Programming, vol. 3, 6.4).
pub fn is_sampled(sequence: u64, one_in: u32) -> bool {
    let place = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (place * u64::from(one_in)) >> 32 == 0
}

/// All that ever were, by index. Never freed, so that a late event finds memory: the place of a
/// communicator that is closed is taken by the next that opens.
static ALL: [AtomicPtr<Communicator>; MOST_COMMUNICATORS as usize] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; MOST_COMMUNICATORS as usize];
static OPENING: Mutex<()> = Mutex::new(());

/// The communicator with this index.
pub fn by_index(index: u16) -> Option<&'static Communicator> {
    let pointer = ALL.get(usize::from(index))?.load(Ordering::Acquire);
    // SAFETY: null, or leaked by `open` and never freed.
    unsafe { pointer.as_ref() }
}

impl Communicator {
    /// Opens one; `is_exact` when collectives say how many channels they use. `None` when there are
    /// too many.
    ///
    /// # Safety
    /// `mask` is null or where NCCL keeps its mask, as long as the process lives.
    pub unsafe fn open(
        recorder: &'static Recorder,
        member: Option<Membership>,
        is_exact: bool,
        mask: *mut c_int,
    ) -> Option<&'static Self> {
        let _one = OPENING.lock().ok()?;
        let unknown = Membership {
            id: 0,
            ranks: 0,
            nodes: 0,
            rank: 0,
        };
        let kinds = recorder.ring().control().kinds;
        let communicator = Self::vacant(recorder)?;
        let number = communicator.next_number();
        recorder.ring().describe(number, member.unwrap_or(unknown));
        communicator
            .is_described
            .store(member.is_some(), Ordering::Relaxed);
        communicator.is_exact.store(is_exact, Ordering::Relaxed);
        communicator.mask.store(mask, Ordering::Relaxed);
        communicator.want(kinds);
        communicator.is_open.store(true, Ordering::Release);
        Some(communicator)
    }

    /// A closed one, or a new one.
    fn vacant(recorder: &'static Recorder) -> Option<&'static Self> {
        for (index, entry) in (0..MOST_COMMUNICATORS).zip(&ALL) {
            if let Some(old) = by_index(index) {
                if old.is_open.load(Ordering::Acquire) {
                    continue;
                }
                return Some(old);
            }
            let new = Box::leak(Box::new(Self {
                index,
                recorder,
                is_open: AtomicBool::new(false),
                number: AtomicU32::new(u32::from(index)),
                is_described: AtomicBool::new(false),
                is_exact: AtomicBool::new(false),
                places: (0..PLACES).map(|_| Place::default()).collect(),
                enqueued: AtomicU64::new(0),
                next: AtomicU64::new(1),
                transfers: (0..TRANSFERS).map(|_| Transfer::default()).collect(),
                next_transfer: AtomicU64::new(0),
                mask: AtomicPtr::new(std::ptr::null_mut()),
                kinds: AtomicU32::new(0),
            }));
            entry.store(new, Ordering::Release);
            return Some(new);
        }
        None
    }

    /// The place's next number in the ring.
    fn next_number(&self) -> u32 {
        let before = self.number.load(Ordering::Relaxed);
        let next = before.wrapping_add(ccl_abi::shared::MOST_COMMUNICATORS);
        self.number.store(next, Ordering::Relaxed);
        next
    }

    /// What NCCL gets as context and passes back: the index, never an address.
    pub fn context(&self) -> usize {
        usize::from(self.index) + 1
    }

    /// The communicator of such a context.
    pub fn of_context(context: usize) -> Option<&'static Self> {
        by_index(u16::try_from(context.checked_sub(1)?).ok()?)
    }

    /// Writes NCCL's mask.
    fn want(&self, kinds: u32) {
        self.kinds.store(kinds, Ordering::Relaxed);
        let mask = self.mask.load(Ordering::Relaxed);
        if let (false, Ok(kinds)) = (mask.is_null(), i32::try_from(kinds)) {
            // SAFETY: NCCL's own variable, an aligned int that it reads atomically.
            unsafe { AtomicI32::from_ptr(mask) }.store(kinds, Ordering::Relaxed);
        }
    }

    /// An event begins; the number of its handle, 0 when it is not recorded. `one_in` is what
    /// [`Communicator::wants`] said of a collective.
    pub fn start(&self, event: Event, one_in: u32) -> u64 {
        if !self.is_open.load(Ordering::Relaxed) || !self.recorder.is_ours() {
            return 0;
        }
        match event {
            Event::Collective(collective) => self.start_collective(&collective, one_in),
            Event::ProxyOp { parent, pid } => {
                // Another process's collective: the parent is a handle of that process.
                if pid != self.recorder.pid() {
                    return 0;
                }
                self.start_part(parent, Kind::ProxyOp)
            }
            Event::Kernel { parent, timer_ns } => {
                let number = self.start_part(parent, Kind::Kernel);
                if let Some((place, _)) = self.place(number) {
                    let now_ns = if timer_ns.is_some() {
                        0
                    } else {
                        monotonic_ns()
                    };
                    place.kernel_began(timer_ns, now_ns);
                }
                number
            }
            Event::Transfer { parent } => self.start_transfer(parent),
            Event::Other => 0,
        }
    }

    /// Of a collective that is to be recorded, one in how many is; known before more of it is read. What
    /// an observer asked for meanwhile is passed on to NCCL here.
    pub fn wants(&self, sequence: u64) -> Option<u32> {
        if !self.is_open.load(Ordering::Relaxed) || !self.recorder.is_ours() {
            return None;
        }
        let control = self.recorder.ring().control();
        if control.kinds != self.kinds.load(Ordering::Relaxed) {
            self.want(control.kinds);
        }
        let number = self.enqueued.fetch_add(1, Ordering::Relaxed);
        let one_in = self.recorder.one_in(number, control);
        is_sampled(sequence, one_in).then_some(one_in)
    }

    fn start_collective(&self, collective: &Collective, one_in: u32) -> u64 {
        let ring = self.recorder.ring();
        if let Some(id) = collective.comm_id
            && !self.is_described.swap(true, Ordering::Relaxed)
        {
            let rank = collective.rank;
            let (ranks, nodes) = (0, 0);
            let member = Membership {
                id,
                ranks,
                nodes,
                rank,
            };
            ring.describe(self.number.load(Ordering::Relaxed), member);
        }
        let generation = self.next.fetch_add(1, Ordering::Relaxed);
        self.sweep(generation);
        let expect = self.expectation(collective, self.kinds.load(Ordering::Relaxed));
        let index = Self::place_of(generation);
        let Some(place) = self.places.get(index) else {
            return 0;
        };
        let before = place.generation();
        if before != 0 {
            // A whole round ago, and something of it never ended.
            self.publish(place, before);
        }
        if !place.take(generation, collective, expect, one_in, monotonic_ns()) {
            ring.count_crowded();
            return 0;
        }
        #[allow(clippy::cast_possible_truncation)] // handles keep the lower half
        let generation = generation as u32;
        let handle = Handle {
            kind: Kind::Collective,
            communicator: self.index,
            place: u16::try_from(index).unwrap_or(0),
            generation,
        };
        handle.number()
    }

    fn place_of(generation: u64) -> usize {
        usize::try_from(generation % PLACES as u64).unwrap_or(0)
    }

    fn expectation(&self, collective: &Collective, kinds: u32) -> Expect {
        let kernels = u64::from(kinds) & kind::KERNEL_CHANNEL != 0;
        match collective.channels {
            0 => Expect::Unknown,
            n if kernels && self.is_exact.load(Ordering::Relaxed) => Expect::Channels(n),
            _ => Expect::Unknown,
        }
    }

    /// Publishes the one that is [`LAG`] back, if it is still there and quiet.
    fn sweep(&self, generation: u64) {
        let Some(old) = generation.checked_sub(LAG).filter(|g| *g > 0) else {
            return;
        };
        if let Some(place) = self.places.get(Self::place_of(old))
            && place.generation() == old
            && !place.expects_channels()
            && place.is_quiet()
        {
            self.publish(place, old);
        }
    }

    fn publish(&self, place: &Place, generation: u64) {
        let number = self.number.load(Ordering::Relaxed);
        let kernels = place.kernels();
        if let Some(record) = place.empty(generation, number) {
            self.recorder.push(&record, kernels);
        }
    }

    /// The place a handle of this communicator stands for, if it is still its own.
    fn place(&self, number: u64) -> Option<(&Place, Handle)> {
        let handle = Handle::from_number(number)?;
        if handle.communicator != self.index || handle.kind == Kind::Transfer {
            return None;
        }
        let place = self.places.get(usize::from(handle.place))?;
        place.is(handle.generation).then_some((place, handle))
    }

    /// A child that has no place of its own: its handle is the parent's under another name.
    fn start_part(&self, parent: u64, kind: Kind) -> u64 {
        if parent == 0 {
            return 0;
        }
        let Some((place, handle)) = self.place(parent) else {
            self.recorder.ring().count_late();
            return 0;
        };
        if handle.kind != Kind::Collective {
            return 0;
        }
        // Kernel channels can have been counted beforehand.
        if kind == Kind::ProxyOp || !place.expects_channels() {
            place.open_part();
        }
        handle.with(kind).number()
    }

    fn start_transfer(&self, parent: u64) -> u64 {
        if parent == 0 {
            return 0;
        }
        match self.place(parent) {
            Some((_, handle)) if handle.kind == Kind::ProxyOp => {}
            Some(_) => return 0,
            None => {
                self.recorder.ring().count_late();
                return 0;
            }
        }
        let now_ns = monotonic_ns();
        // A few attempts: transfers end in about the order they began.
        for _ in 0..4 {
            let next = self.next_transfer.fetch_add(1, Ordering::Relaxed);
            let index = usize::try_from(next % TRANSFERS as u64).unwrap_or(0);
            if let Some(generation) = self
                .transfers
                .get(index)
                .and_then(|t| t.take(parent, now_ns))
            {
                let handle = Handle {
                    kind: Kind::Transfer,
                    communicator: self.index,
                    place: u16::try_from(index).unwrap_or(0),
                    generation,
                };
                return handle.number();
            }
        }
        self.recorder.ring().count_crowded();
        0
    }

    fn add(&self, elapsed: Elapsed, is_over: bool) {
        let Some((place, _)) = self.place(elapsed.owner) else {
            return;
        };
        if let Some(wait) = elapsed.wait {
            place.waited(wait, elapsed.ns);
        }
        if is_over {
            place.transferred(elapsed.bytes);
        }
    }

    /// An event changes its state; `value` is the argument of the states that have one.
    pub fn record(&self, handle: Handle, nccl_state: u32, value: u64) {
        match (handle.kind, wait_of(nccl_state)) {
            (Kind::Transfer, Some(wait)) => {
                let transfer = self.transfers.get(usize::from(handle.place));
                let now = monotonic_ns();
                let bytes = if self.is_exact.load(Ordering::Relaxed) {
                    value
                } else {
                    0
                };
                if let Some(elapsed) =
                    transfer.and_then(|t| t.enter(handle.generation, wait, bytes, now))
                {
                    self.add(elapsed, false);
                }
            }
            (Kind::Kernel, None) if nccl_state == state::KERNEL_CHANNEL_STOP => {
                if let Some((place, _)) = self.place(handle.number()) {
                    place.kernel_ended_at(value);
                }
            }
            _ => {}
        }
    }

    /// An event ends.
    pub fn stop(&self, handle: Handle) {
        if handle.kind == Kind::Transfer {
            let transfer = self.transfers.get(usize::from(handle.place));
            if let Some(elapsed) = transfer.and_then(|t| t.end(handle.generation, monotonic_ns())) {
                self.add(elapsed, true);
            }
            return;
        }
        let Some((place, _)) = self.place(handle.number()) else {
            return;
        };
        let is_exact = place.expects_channels();
        match handle.kind {
            Kind::Collective if !is_exact => place.enqueued(monotonic_ns()),
            Kind::ProxyOp | Kind::Kernel if !is_exact => place.seen_at(monotonic_ns()),
            _ => {}
        }
        let generation = place.generation();
        // What nobody can foresee may go on after a quiet moment: `sweep` publishes it.
        if place.close_part() == Progress::Over && is_exact {
            self.publish(place, generation);
        }
    }

    /// Publishes what is left. The place of the communicator is the next one's.
    pub fn close(&self) {
        if !self.is_open.swap(false, Ordering::AcqRel) {
            return;
        }
        for place in &self.places {
            let generation = place.generation();
            if generation != 0 {
                self.publish(place, generation);
            }
        }
        self.mask.store(std::ptr::null_mut(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::is_sampled;

    #[test]
    fn sampling_sees_every_call_of_a_job_that_repeats_itself() {
        const ROUNDS: u64 = 20_000;
        assert!((0..1000).all(|sequence| is_sampled(sequence, 1)));
        for one_in in [2, 3, 10, 64, 100] {
            for period in [1, 2, 3, 8, 10, 64, 100] {
                for call in 0..period {
                    let seen = (0..ROUNDS)
                        .filter(|round| is_sampled(round * period + call, one_in))
                        .count() as u64;
                    let expected = ROUNDS / u64::from(one_in);
                    assert!(
                        seen.abs_diff(expected) * 5 <= expected,
                        "1 in {one_in}, call {call} of {period}: {seen}, not {expected}"
                    );
                }
            }
        }
    }
}
