//! The numeric lane: honest statistics and a search that can say why. Pure and seeded.
//!
//! [`SequentialComparison`] answers "faster, slower, or no difference" from paired times and may
//! be looked at after every pair; [`KeySearch`] walks the choices of one task key by coordinate
//! descent, ask and tell; [`fit`] turns a recorded sweep into tuner rules. None of them knows what
//! a testbed is.

pub mod fit;
mod interval;
mod key_search;
mod optimiser;
pub mod problem;
mod sequential;
pub mod space;
pub mod surrogate;

pub use interval::{median, median_interval, relative_noise};
pub use key_search::{KeySearch, Space};
pub use optimiser::{History, Optimiser};
pub use sequential::{Decision, SequentialComparison};
pub use space::{MixedSpace, Parameter, Point, Scale};
