//! Time and chance, handed in: a clock, a way to wait, and what makes waiting clients not come back
//! all at once.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// What a client needs to know of time.
pub trait Pace: Send + Sync {
    /// Time since some fixed moment; never goes back.
    fn now(&self) -> Duration;
    /// Waits.
    fn sleep(&self, time: Duration);
    /// The next random number, at least 0 and below 1.
    fn chance(&self) -> f64;
    /// The time of day.
    fn date(&self) -> Timestamp;
}

/// The real time, and random numbers from a seed.
#[derive(Debug)]
pub struct RealPace {
    began: Instant,
    random: Mutex<ChaCha8Rng>,
}

impl RealPace {
    /// Time from now on.
    pub fn new(seed: u64) -> Self {
        Self {
            began: Instant::now(),
            random: Mutex::new(ChaCha8Rng::seed_from_u64(seed)),
        }
    }
}

impl Pace for RealPace {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn chance(&self) -> f64 {
        self.random
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .random()
    }

    fn date(&self) -> Timestamp {
        Timestamp::now()
    }
}
