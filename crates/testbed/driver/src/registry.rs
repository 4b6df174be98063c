//! Handles. A handle is a number into a table, not an address, so that a stale one is an error
//! instead of a crash.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::boundary::CuResult;

/// The things of one kind that are alive.
pub struct Registry<T> {
    inner: RwLock<Inner<T>>,
}

struct Inner<T> {
    last: usize,
    alive: BTreeMap<usize, Arc<T>>,
}

impl<T> Registry<T> {
    /// An empty table. Handles begin above `base`: CUDA gives small numbers a meaning of their own
    /// in some places.
    pub const fn new(base: usize) -> Self {
        Self {
            inner: RwLock::new(Inner {
                last: base,
                alive: BTreeMap::new(),
            }),
        }
    }

    /// Keeps a thing and answers its handle.
    pub fn insert(&self, thing: T) -> usize {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.last += 8;
        let handle = inner.last;
        inner.alive.insert(handle, Arc::new(thing));
        handle
    }

    /// The thing with a handle.
    pub fn get(&self, handle: usize) -> Result<Arc<T>, CuResult> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner
            .alive
            .get(&handle)
            .cloned()
            .ok_or(CuResult::INVALID_HANDLE)
    }

    /// Ends a thing.
    pub fn remove(&self, handle: usize) -> Result<(), CuResult> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner
            .alive
            .remove(&handle)
            .map(drop)
            .ok_or(CuResult::INVALID_HANDLE)
    }
}
