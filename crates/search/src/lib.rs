//! The numeric lane: honest statistics and a search that can say why. Pure and seeded.
//!
//! [`SequentialComparison`] answers "faster, slower, or no difference" from paired times and may
//! be looked at after every pair, and [`statistics`] holds what else samples allow to be said;
//! [`KeySearch`] walks the choices of one task key by coordinate descent, ask and tell; [`fit`]
//! turns a recorded sweep into tuner rules. [`Forest`] and [`surrogate`] predict what was not
//! measured, screening and importance say which parameters of a [`MixedSpace`] matter, [`Halving`]
//! races candidates that are dear to switch to, and [`peers`] are the published searches ours is
//! compared with. None of them knows what a testbed is.

mod choice_space;
pub mod fit;
mod forest;
mod halving;
mod importance;
mod key_search;
mod normal;
mod optimiser;
pub mod peers;
pub mod problem;
mod pruning;
mod screening;
pub mod space;
pub mod statistics;
pub mod surrogate;

pub use choice_space::ChoiceSpace;
pub use forest::{Forest, ForestOptions};
pub use halving::{Halving, HalvingError, HalvingOptions, Outcome, Standing, Stretch};
pub use importance::{Anova, Share, functional_anova, permutation_importance};
pub use key_search::{KeySearch, Space};
pub use optimiser::{History, Optimiser};
pub use pruning::{Contradiction, Dropped, Ground, Pruning};
pub use screening::{Effect, Reaction, Verdict, elementary_effects, one_at_a_time};
pub use space::{MixedSpace, Parameter, Point, Scale};
pub use statistics::{
    Decision, ScaledComparison, SequentialComparison, median, median_interval, pair_noise,
    relative_noise,
};
