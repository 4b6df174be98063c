//! A barrier that can be broken: when one rank fails, the others do not wait for it for ever.

use std::sync::{Condvar, Mutex, PoisonError};

use thiserror::Error;

/// Somebody failed, and will not come to the barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("another rank failed")]
pub struct Broken;

/// A barrier for a fixed number of threads, usable again and again.
#[derive(Debug)]
pub struct Barrier {
    threads: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    waiting: usize,
    round: u64,
    is_broken: bool,
}

impl Barrier {
    /// A barrier for this many threads.
    pub fn new(threads: usize) -> Self {
        Self {
            threads,
            state: Mutex::new(State {
                waiting: 0,
                round: 0,
                is_broken: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Waits for all the others.
    ///
    /// # Errors
    /// When the barrier was broken before all had come.
    pub fn wait(&self) -> Result<(), Broken> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_broken {
            return Err(Broken);
        }
        state.waiting += 1;
        if state.waiting == self.threads {
            state.waiting = 0;
            state.round += 1;
            self.changed.notify_all();
            return Ok(());
        }
        let round = state.round;
        while state.round == round {
            if state.is_broken {
                return Err(Broken);
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Breaks it for everybody, now and later.
    pub fn break_it(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_broken = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn nobody_is_a_round_ahead() {
        let barrier = Arc::new(Barrier::new(4));
        let count = Arc::new(AtomicU32::new(0));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (barrier, count) = (Arc::clone(&barrier), Arc::clone(&count));
                std::thread::spawn(move || {
                    for round in 1..=100 {
                        count.fetch_add(1, Ordering::SeqCst);
                        barrier.wait().unwrap();
                        assert_eq!(count.load(Ordering::SeqCst), 4 * round);
                        barrier.wait().unwrap();
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    }

    #[test]
    fn who_waits_for_a_failed_thread_is_told() {
        let barrier = Arc::new(Barrier::new(2));
        let other = Arc::clone(&barrier);
        let waiting = std::thread::spawn(move || other.wait());
        barrier.break_it();
        assert_eq!(waiting.join().unwrap(), Err(Broken));
        assert_eq!(barrier.wait(), Err(Broken));
    }
}
