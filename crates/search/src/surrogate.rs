//! Surrogates: what a search believes of points it has not measured, and what it does with it.
//!
//! [`GaussianProcess`] is the one for few observations, [`BayesianSearch`] proposes points by it.
//! All values are logarithms of times (or of ratios of times): differences are ratios, lower is
//! better. Where a Gaussian process cannot be had, [`SurrogateError`] says so and another
//! [`Surrogate`] can take over. Nothing here runs anything or reads a clock.

mod acquisition;
mod bayesian;
mod candidates;
mod cholesky;
mod gaussian_process;
mod hyperparameters;
mod kernel;
mod prior;

pub use acquisition::{log_expected_improvement, log_improvement_factor};
pub use bayesian::{BayesianSearch, Expected, Settings};
pub use cholesky::Cholesky;
pub use gaussian_process::{GaussianProcess, LeaveOneOut};
pub use kernel::{Kernel, LogNormal};
pub use prior::{Belief, Source};
use thiserror::Error;

use crate::normal::cumulative;
use crate::space::Point;

/// What is believed of one point: a normal distribution of the logarithm of its time, without the
/// noise of measuring it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Posterior {
    /// Mean of the logarithm.
    pub mean: f64,
    /// Variance of the logarithm.
    pub variance: f64,
}

impl Posterior {
    /// Two independent opinions as one: each counts by its precision.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        const LEAST: f64 = 1e-9;
        let (a, b) = (
            1.0 / self.variance.max(LEAST),
            1.0 / other.variance.max(LEAST),
        );
        Self {
            mean: (a * self.mean + b * other.mean) / (a + b),
            variance: 1.0 / (a + b),
        }
    }

    /// The chance that it is below a value.
    pub fn chance_below(self, value: f64) -> f64 {
        cumulative((value - self.mean) / self.variance.sqrt().max(f64::MIN_POSITIVE))
    }
}

/// A belief about every point of a space.
pub trait Surrogate {
    /// What is believed of a point.
    fn predict(&self, point: &Point) -> Posterior;
}

/// Why there is no Gaussian process.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum SurrogateError {
    /// Its cost grows with the cube of the observations.
    #[error("{count} observations are more than the {most} a Gaussian process is kept for")]
    TooManyObservations {
        /// Observations.
        count: usize,
        /// The most it takes.
        most: usize,
    },
    /// The covariance of the observations is not positive definite, jitter added.
    #[error("the covariance of {count} observations is not positive definite")]
    NotPositiveDefinite {
        /// Observations.
        count: usize,
    },
    /// A value or variance that is no number, or a variance below zero.
    #[error("value {value} with variance {variance} is no observation")]
    NotAnObservation {
        /// The value told.
        value: f64,
        /// Its variance.
        variance: f64,
    },
    /// Every point known to the search is excluded.
    #[error("no point is left to propose")]
    NothingLeft,
}
