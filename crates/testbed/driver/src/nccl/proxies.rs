//! The device's side of network connections.
//!
//! Between nodes NCCL's proxy threads wait for flags that kernels set: a sender's slot is filled, a
//! receiver's slot is empty. Here every slot to send is marked as ready with zero bytes, again and
//! again, and every slot received is marked as consumed from the start, so that the proxies do their
//! whole work over real sockets without a byte of data. Connections between GPUs that reach each
//! other have no proxies and need none of that.
//!
//! Connections that are made after a communicator's first launch are not served; NCCL 2.21 makes those
//! of collectives when it initialises.

use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use super::layout::{CommunicatorAndChannels, Connection, Peer, STEPS, Slot};
use crate::memory;

/// Beyond any step a proxy will ever count to.
const ALL_STEPS: u64 = u64::MAX / 2;
/// A slot without anything to send.
const EMPTY: i64 = -1;
/// Between two rounds while proxies work, and while they stand still.
const BUSY_NAP: Duration = Duration::from_micros(30);
const IDLE_NAP: Duration = Duration::from_millis(1);
/// How long after the last progress proxies still count as working.
const STILL_BUSY: Duration = Duration::from_millis(20);

/// What a kernel would do for a proxy.
enum Served {
    Sender { slots: *mut Slot },
    Receiver { tail: *mut u64, seen: u64 },
}

// SAFETY: addresses in driver memory that both sides access atomically; `forget` drops them before
// the memory goes.
unsafe impl Send for Served {}

struct Service {
    communicators: Vec<usize>,
    served: Vec<Served>,
    last_progress: Option<Instant>,
}

static SERVICE: Mutex<Service> = Mutex::new(Service {
    communicators: Vec::new(),
    served: Vec::new(),
    last_progress: None,
});
static WORK: Condvar = Condvar::new();

fn service() -> MutexGuard<'static, Service> {
    SERVICE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves the connections of a communicator from its first launch on. The address was checked by
/// whoever read the launch.
pub fn serve(communicator: usize) {
    let mut service = service();
    if !service.communicators.contains(&communicator) {
        service.communicators.push(communicator);
        for (connection, sends) in connections_of(communicator) {
            service.served.extend(start(&connection, sends));
        }
    }
    if !service.served.is_empty() {
        service.last_progress = Some(Instant::now());
        drop(service);
        static THREAD: Once = Once::new();
        THREAD.call_once(|| drop(std::thread::spawn(run)));
        WORK.notify_all();
    }
}

/// Connections with a proxy, and whether they send.
fn connections_of(communicator: usize) -> Vec<(Connection, bool)> {
    // SAFETY: the launch was read from this communicator, so its memory is there.
    let both = unsafe { &*(communicator as *const CommunicatorAndChannels) };
    let ranks = usize::try_from(both.communicator.ranks).unwrap_or(0);
    let mut found = Vec::new();
    for channel in &both.channels {
        if !memory::holds(channel.peers as usize, ranks * size_of::<usize>()) {
            continue;
        }
        for rank in 0..ranks {
            // SAFETY: a table of one pointer per rank; that its memory is there was just checked.
            let peer = unsafe { *channel.peers.add(rank) };
            if !memory::holds(peer as usize, size_of::<Peer>()) {
                continue;
            }
            // SAFETY: as above.
            let peer = unsafe { std::ptr::read(peer) };
            found.extend(peer.send.map(|connection| (connection, true)));
            found.extend(peer.receive.map(|connection| (connection, false)));
        }
    }
    found.retain(|(connection, _)| !connection.slots.is_null());
    found
}

/// Sets what a kernel would count up, once and for all.
fn start(connection: &Connection, sends: bool) -> Option<Served> {
    let (counter, other) = if sends {
        (connection.tail, connection.head)
    } else {
        (connection.head, connection.tail)
    };
    let slots = connection.slots;
    let there = memory::holds(counter as usize, size_of::<u64>())
        && memory::holds(other as usize, size_of::<u64>())
        && memory::holds(slots as usize, STEPS * size_of::<Slot>());
    if !there {
        return None;
    }
    // SAFETY: the memory is there; the proxy reads it as one word.
    unsafe { AtomicU64::from_ptr(counter) }.store(ALL_STEPS, Ordering::Release);
    Some(if sends {
        Served::Sender { slots }
    } else {
        Served::Receiver {
            tail: other,
            seen: 0,
        }
    })
}

impl Served {
    /// Does what there is to do; whether the proxy had moved.
    fn turn(&mut self) -> bool {
        match self {
            Self::Sender { slots } => {
                let mut moved = false;
                for slot in 0..STEPS {
                    // SAFETY: eight slots in driver memory, dropped from here before they go.
                    let size = unsafe { AtomicI64::from_ptr(&raw mut (*slots.add(slot)).size) };
                    let marked =
                        size.compare_exchange(EMPTY, 0, Ordering::AcqRel, Ordering::Relaxed);
                    moved |= marked.is_ok();
                }
                moved
            }
            Self::Receiver { tail, seen } => {
                // SAFETY: a word in driver memory, dropped from here before it goes.
                let now = unsafe { AtomicU64::from_ptr(*tail) }.load(Ordering::Acquire);
                std::mem::replace(seen, now) != now
            }
        }
    }

    fn address(&self) -> usize {
        match self {
            Self::Sender { slots } => *slots as usize,
            Self::Receiver { tail, .. } => *tail as usize,
        }
    }
}

/// The thread that plays the kernels.
fn run() {
    let mut service = service();
    loop {
        if service.served.is_empty() {
            service = WORK.wait(service).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        let mut moved = false;
        for served in &mut service.served {
            moved |= served.turn();
        }
        if moved {
            service.last_progress = Some(Instant::now());
        }
        let busy = service
            .last_progress
            .is_some_and(|last| last.elapsed() < STILL_BUSY);
        let nap = if busy { BUSY_NAP } else { IDLE_NAP };
        service = WORK
            .wait_timeout(service, nap)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
}

/// Memory goes away: whatever lies in it is no longer served.
pub fn forget(memory: Range<usize>) {
    let mut service = service();
    service
        .communicators
        .retain(|address| !memory.contains(address));
    service
        .served
        .retain(|served| !memory.contains(&served.address()));
}

/// Waits until no proxy has moved for this long. NCCL offers nothing better to ask: a communicator
/// that is destroyed while its proxies still send waits for ever.
pub fn quiesce(quiet: Duration) {
    loop {
        let waited = {
            let service = service();
            match service.last_progress {
                Some(last) if !service.served.is_empty() => last.elapsed(),
                _ => return,
            }
        };
        let Some(left) = quiet.checked_sub(waited).filter(|left| !left.is_zero()) else {
            return;
        };
        std::thread::sleep(left);
    }
}
