//! The numeric lane: honest statistics and a search that can say why. Pure and seeded.
//!
//! [`SequentialComparison`] answers "faster, slower, or no difference" from paired times and may
//! be looked at after every pair; [`KeySearch`] walks the choices of one task key by coordinate
//! descent, ask and tell; [`fit`] turns a recorded sweep into tuner rules. None of them knows what
//! a testbed is.

pub mod fit;
mod forest;
mod halving;
mod importance;
mod interval;
mod key_search;
mod normal;
mod optimiser;
pub mod peers;
pub mod problem;
mod pruning;
mod screening;
mod sequential;
pub mod space;
pub mod surrogate;

pub use forest::{Forest, ForestOptions};
pub use halving::{Halving, HalvingError, HalvingOptions, Outcome, Standing, Stretch};
pub use importance::{Anova, Share, functional_anova, permutation_importance};
pub use interval::{median, median_interval, relative_noise};
pub use key_search::{KeySearch, Space};
pub use optimiser::{History, Optimiser};
pub use pruning::{Contradiction, Dropped, Ground, Pruning};
pub use screening::{Effect, Reaction, Verdict, elementary_effects, one_at_a_time};
pub use sequential::{Decision, SequentialComparison};
pub use space::{MixedSpace, Parameter, Point, Scale};
