//! What samples allow to be said, and how sure.
//!
//! Comparisons take pairs of an incumbent and a candidate time, because drift and neighbours hit
//! both, and may be looked at after every pair. Nothing here measures, waits or decides what to
//! try; randomness comes in as a seed.

mod bootstrap;
mod cause;
mod change_point;
mod interval;
mod outliers;
mod pairs;
mod power;
mod scaled;
mod sequential;
#[cfg(test)]
mod simulation;

pub use bootstrap::{median_bootstrap, ratio_bootstrap};
pub use cause::{Cause, CauseFinder, Finding};
pub use change_point::{Change, ChangeDetector, Sensitivity, Stage};
pub use interval::{median, median_interval, relative_noise};
pub use outliers::{NotSettled, PairScreen, Reason, SetAside, outliers, warm_up};
pub use pairs::{Decision, pair_noise};
pub use power::SignTestPower;
pub use scaled::ScaledComparison;
pub use sequential::SequentialComparison;
