//! Contexts: what a tuner's init gives to NCCL and gets back with every call.
//!
//! A context is a number that is checked, not an address that is followed: what was never one, or
//! was ended before, finds nothing and changes nothing. Places lie in pages that are made when they
//! are needed and never freed; there is no practical bound, because a rank that ran out of places
//! would leave to NCCL what the other ranks decide. No locks, so a forked child cannot inherit one
//! that is held.
//!
//! Not checked: that nobody ends a context while another thread is in a call on it. NCCL frees the
//! whole communicator there, so it does not do that either.

use std::ffi::c_void;
use std::sync::atomic::{
    AtomicPtr, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use crate::tuner::Tuner;

/// Bits of a context that say which place; the others are the place's turn.
const INDEX_BITS: u32 = 20;
const PAGE_BITS: u32 = 8;
const PAGES: usize = 1 << (INDEX_BITS - PAGE_BITS);
const PLACES: usize = 1 << PAGE_BITS;

/// The turn's lowest two bits: nobody has the place.
const FREE: u64 = 0;
/// A tuner is in it.
const TAKEN: u64 = 1;
/// Somebody is filling or emptying it.
const BUSY: u64 = 2;
/// From one user of a place to the next.
const TURN: u64 = 4;
/// As many bits as a context has left for it.
const TURN_MASK: u64 = u64::MAX >> INDEX_BITS;

#[derive(Debug, Default)]
struct Place {
    turn: AtomicU64,
    tuner: AtomicPtr<Tuner>,
}

type Page = [Place; PLACES];

static ALL: [AtomicPtr<Page>; PAGES] = [const { AtomicPtr::new(std::ptr::null_mut()) }; PAGES];

/// The page, made if it is not there.
fn page(entry: &AtomicPtr<Page>) -> &'static Page {
    let there = entry.load(Acquire);
    // SAFETY: null, or a page that was leaked here and is never freed.
    if let Some(page) = unsafe { there.as_ref() } {
        return page;
    }
    let new = Box::into_raw(Box::new(std::array::from_fn(|_| Place::default())));
    match entry.compare_exchange(there, new, AcqRel, Acquire) {
        // SAFETY: made above, and leaked from now on.
        Ok(_) => unsafe { &*new },
        Err(others) => {
            // SAFETY: made above, and nobody else has seen it.
            drop(unsafe { Box::from_raw(new) });
            // SAFETY: not null, or the exchange had succeeded; leaked by whoever was first.
            unsafe { &*others }
        }
    }
}

/// The place of a context, and the turn it was given for.
fn place(context: *mut c_void) -> Option<(&'static Place, u64)> {
    let number = context.addr();
    let index = number % (1 << INDEX_BITS);
    let page = ALL.get(index >> PAGE_BITS)?.load(Acquire);
    // SAFETY: null, or a page that is never freed.
    let place = unsafe { page.as_ref() }?.get(index % PLACES)?;
    Some((place, number as u64 >> INDEX_BITS))
}

/// A new context; never null. `None` when 2^20 are open.
pub fn open(tuner: Box<Tuner>) -> Option<*mut c_void> {
    let pages = ALL.iter().flat_map(|entry| page(entry));
    for (index, place) in pages.enumerate() {
        let turn = place.turn.load(Relaxed);
        if turn % TURN != FREE
            || place
                .turn
                .compare_exchange(turn, turn | BUSY, AcqRel, Relaxed)
                .is_err()
        {
            continue;
        }
        place.tuner.store(Box::into_raw(tuner), Relaxed);
        let turn = turn | TAKEN;
        place.turn.store(turn, Release);
        let number = turn << INDEX_BITS | index as u64;
        return usize::try_from(number)
            .ok()
            .map(std::ptr::without_provenance_mut);
    }
    None
}

/// The tuner of a context that is open.
///
/// # Safety
/// Nobody ends the context while the tuner is in use.
pub unsafe fn get<'a>(context: *mut c_void) -> Option<&'a Tuner> {
    let (place, turn) = place(context)?;
    if place.turn.load(Acquire) != turn || turn % TURN != TAKEN {
        return None;
    }
    // SAFETY: put there by `open` from a box, and taken out by whoever ends the context.
    unsafe { place.tuner.load(Relaxed).as_ref() }
}

/// Ends a context; its tuner, the first time.
pub fn close(context: *mut c_void) -> Option<Box<Tuner>> {
    let (place, turn) = place(context)?;
    if turn % TURN != TAKEN {
        return None;
    }
    let busy = turn & !TAKEN | BUSY;
    place
        .turn
        .compare_exchange(turn, busy, AcqRel, Relaxed)
        .ok()?;
    let tuner = place.tuner.swap(std::ptr::null_mut(), Relaxed);
    let next = (turn & !TAKEN).wrapping_add(TURN) & TURN_MASK;
    place.turn.store(next, Release);
    // SAFETY: `open` made it of a box, and the exchange above let nobody else come here.
    (!tuner.is_null()).then(|| unsafe { Box::from_raw(tuner) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::undocumented_unsafe_blocks)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::log::Log;
    use crate::mode::Mode;
    use crate::tuner::Communicator;

    fn tuner() -> Box<Tuner> {
        let communicator = Communicator {
            ranks: 8,
            nodes: 1,
            id: None,
            name: None,
        };
        Box::new(Tuner::new(&Mode::Off("a test"), communicator, Log(None)))
    }

    fn is_open(context: *mut c_void) -> bool {
        unsafe { get(context) }.is_some()
    }

    #[test]
    fn what_was_ended_stays_ended_though_its_place_is_used_again() {
        let first = open(tuner()).unwrap();
        assert!(is_open(first) && !first.is_null());
        assert!(close(first).is_some());
        assert!(!is_open(first) && close(first).is_none());
        let others: Vec<_> = (0..3 * PLACES).map(|_| open(tuner()).unwrap()).collect();
        assert!(!is_open(first) && close(first).is_none());
        let different: HashSet<_> = others.iter().collect();
        assert_eq!(different.len(), others.len());
        for other in &others {
            assert!(is_open(*other) && close(*other).is_some());
        }
        assert!(!others.into_iter().any(is_open));
    }

    #[test]
    fn what_was_never_given_is_nothing() {
        let open = open(tuner()).unwrap();
        let number = open.addr();
        for bit in 0..usize::BITS {
            let other = std::ptr::without_provenance_mut(number ^ 1 << bit);
            // Other tests may have opened a neighbour, but never under another turn of this place.
            if bit >= INDEX_BITS {
                assert!(!is_open(other) && close(other).is_none(), "bit {bit}");
            }
        }
        for number in [0, 1, 2, usize::MAX, usize::MAX >> INDEX_BITS] {
            assert!(!is_open(std::ptr::without_provenance_mut(number)));
        }
        assert!(close(open).is_some());
    }

    #[test]
    fn threads_that_end_the_same_context_end_it_once() {
        for _ in 0..200 {
            let context = open(tuner()).unwrap().addr();
            let end = || close(std::ptr::without_provenance_mut(context)).is_some();
            let ended = std::thread::scope(|scope| {
                let threads = [(); 3].map(|()| {
                    scope.spawn(move || {
                        let ended = end();
                        // Meanwhile the place changes hands.
                        close(open(tuner()).unwrap()).unwrap();
                        ended || end()
                    })
                });
                threads
                    .map(|thread| thread.join().unwrap())
                    .into_iter()
                    .filter(|ended| *ended)
                    .count()
            });
            assert_eq!(ended, 1);
        }
    }
}
