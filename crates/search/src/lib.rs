//! The numeric lane: honest statistics and a search that can say why. Pure and seeded.
//!
//! [`SequentialComparison`] answers "faster, slower, or no difference" from paired times and may
//! be looked at after every pair, and [`statistics`] holds what else samples allow to be said;
//! [`KeySearch`] walks the choices of one task key by coordinate descent, ask and tell; [`fit`]
//! turns a recorded sweep into tuner rules. None of them knows what a testbed is.

pub mod fit;
mod key_search;
pub mod statistics;

pub use key_search::{KeySearch, Space};
pub use statistics::{
    Decision, ScaledComparison, SequentialComparison, median, median_interval, pair_noise,
    relative_noise,
};
