//! One 64-bit word of shared memory. A trait, so that a model checker can put its own words under the
//! code that ships.

use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(target_endian = "big")]
compile_error!("the layout in shared memory is little-endian, as NCCL's platforms are");

/// An atomic 64-bit word.
///
/// These few functions, and those beside them that a rank calls for every collective, are marked
/// `inline`: the shared object is built without optimisation across crates, since its crate is a
/// Rust library as well.
pub trait Word {
    /// Reads without ordering: for what was published through an acquired word.
    fn read(&self) -> u64;

    /// Writes without ordering: for what will be published.
    fn write(&self, value: u64);

    /// Reads; everything written before the matching [`Word::publish`] or [`Word::release`] is visible
    /// afterwards.
    fn acquire(&self) -> u64;

    /// Writes, publishing everything written before: for a word that only one side ever writes.
    fn release(&self, value: u64);

    /// Changes `from` into `to`, publishing everything written before; `Err` with what is there
    /// when it is something else.
    ///
    /// # Errors
    /// The present value.
    fn publish(&self, from: u64, to: u64) -> Result<(), u64>;

    /// Adds, without ordering: for a count.
    fn add(&self, by: u64);

    /// Sets bits, whatever the others are or become; acquires and publishes. Never tries again.
    fn set(&self, bits: u64);
}

impl Word for AtomicU64 {
    #[inline]
    fn read(&self) -> u64 {
        self.load(Ordering::Relaxed)
    }

    #[inline]
    fn write(&self, value: u64) {
        self.store(value, Ordering::Relaxed);
    }

    #[inline]
    fn acquire(&self) -> u64 {
        self.load(Ordering::Acquire)
    }

    #[inline]
    fn release(&self, value: u64) {
        self.store(value, Ordering::Release);
    }

    #[inline]
    fn publish(&self, from: u64, to: u64) -> Result<(), u64> {
        self.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .map(|_| ())
    }

    #[inline]
    fn add(&self, by: u64) {
        self.fetch_add(by, Ordering::Relaxed);
    }

    #[inline]
    fn set(&self, bits: u64) {
        self.fetch_or(bits, Ordering::AcqRel);
    }
}
