//! Gaussian-process regression with a known noise for every observation.
//!
//! Observations are logarithms of times, each with its own variance (a ratio from n pairs has one);
//! what those variances leave out is learnt as a common excess. The mean is a constant, or a cheap
//! figure for each point with a factor ([`Belief`]); both have normal priors and are integrated
//! out, so they are part of the covariance (Rasmussen and Williams 2006, section 2.7). It neither
//! chooses points nor knows where beliefs come from.

use std::ops::Range;

use super::cholesky::{Cholesky, dot, row_start};
use super::hyperparameters::{Climb, evidence, evidence_gradient};
use super::kernel::{Block, Kernel, LogNormal};
use super::prior::Belief;
use super::{Posterior, SurrogateError};
use crate::space::{MixedSpace, Point};

/// Observations beyond which somebody else should take over.
pub(super) const MOST_OBSERVATIONS: usize = 400;

/// The deviation by which observations scatter beyond their own variance: 1 %, within a factor of
/// a few.
const EXCESS: LogNormal = LogNormal {
    mean: -4.6,
    deviation: 1.0,
};

/// An observation whose variance is below this share of what it was may change the fit.
const NEWS: f64 = 0.25;

/// Added to the diagonal as a share of the variance, then a hundred times more until it factors.
const JITTERS: [f64; 4] = [1e-10, 1e-8, 1e-6, 1e-4];

/// What all other observations say of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeaveOneOut {
    /// The observation less its prediction.
    pub residual: f64,
    /// Variance of the prediction, the observation's noise included.
    pub variance: f64,
}

/// What is regressed on.
#[derive(Clone, Debug, Default)]
pub(super) struct Data {
    codes: Vec<u16>,
    width: usize,
    pub(super) beliefs: Vec<Belief>,
    values: Vec<f64>,
    pub(super) variances: Vec<f64>,
    /// Which of them were made elsewhere: nothing that is observed here takes their place.
    elsewhere: Range<usize>,
}

impl Data {
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn codes(&self, index: usize) -> &[u16] {
        &self.codes[index * self.width..(index + 1) * self.width]
    }

    fn push(&mut self, codes: &[u16], belief: Belief, value: f64, variance: f64) {
        self.width = codes.len();
        self.codes.extend_from_slice(codes);
        self.beliefs.push(belief);
        self.values.push(value);
        self.variances.push(variance);
    }

    /// The first observation of a point here.
    fn find(&self, codes: &[u16]) -> Option<usize> {
        let mut here = (0..self.len()).filter(|index| !self.elsewhere.contains(index));
        here.find(|index| self.codes(*index) == codes)
    }

    /// Drops the observations of a point here but for its first.
    fn keep_only(&mut self, first: usize, codes: &[u16]) {
        let mut index = self.len();
        while index > first + 1 {
            index -= 1;
            if self.codes(index) == codes && !self.elsewhere.contains(&index) {
                self.codes
                    .drain(index * self.width..(index + 1) * self.width);
                self.beliefs.remove(index);
                self.values.remove(index);
                self.variances.remove(index);
                if index < self.elsewhere.start {
                    self.elsewhere = self.elsewhere.start - 1..self.elsewhere.end - 1;
                }
            }
        }
    }

    fn truncate(&mut self, count: usize) {
        self.codes.truncate(count * self.width);
        self.beliefs.truncate(count);
        self.values.truncate(count);
        self.variances.truncate(count);
    }

    /// Values less what was believed; the constant is centred, so that times may be in any unit.
    pub(super) fn residuals(&self, offset: f64) -> Vec<f64> {
        let pairs = self.values.iter().zip(&self.beliefs);
        pairs.map(|(v, b)| v - b.mean - offset).collect()
    }

    fn offset(&self) -> f64 {
        self.residuals(0.0).iter().sum::<f64>() / self.len().max(1) as f64
    }
}

/// A Gaussian process over one space, with what it was told.
#[derive(Clone, Debug)]
pub struct GaussianProcess {
    kernel: Kernel,
    /// Logarithm of the excess deviation.
    excess: f64,
    data: Data,
    offset: f64,
    factor: Cholesky,
    /// K⁻¹ times the residuals.
    weights: Vec<f64>,
    jitter: f64,
    climb: Climb,
}

impl GaussianProcess {
    /// Nothing observed, hyperparameters at their prior medians.
    pub fn new(space: &MixedSpace) -> Self {
        Self::with_kernel(Kernel::new(space))
    }

    /// The same where what is to be learnt is known to be about as large as `deviation`.
    pub fn of_residuals(space: &MixedSpace, deviation: f64) -> Self {
        Self::with_kernel(Kernel::with_amplitude(
            space,
            LogNormal {
                mean: deviation.ln(),
                deviation: 0.7,
            },
        ))
    }

    fn with_kernel(kernel: Kernel) -> Self {
        let mut priors = kernel.priors().to_vec();
        priors.push(EXCESS);
        Self {
            kernel,
            excess: EXCESS.mean,
            data: Data::default(),
            offset: 0.0,
            factor: Cholesky::default(),
            weights: Vec::new(),
            jitter: JITTERS[0],
            climb: Climb::new(priors),
        }
    }

    /// Number of observations.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether nothing was observed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The kernel as fitted.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Variance that observations have beyond their own.
    pub fn excess_variance(&self) -> f64 {
        (2.0 * self.excess).exp()
    }

    /// Adds an observation: the logarithm of a time and its variance.
    ///
    /// # Errors
    ///
    /// When it is no observation, one too many, or the covariance does not factor. The first two
    /// leave everything as it was; after the last, drop the process.
    pub fn tell(
        &mut self,
        point: &Point,
        belief: Belief,
        value: f64,
        variance: f64,
    ) -> Result<(), SurrogateError> {
        if !(value.is_finite() && variance.is_finite() && variance >= 0.0) {
            return Err(SurrogateError::NotAnObservation { value, variance });
        }
        if self.len() >= MOST_OBSERVATIONS {
            return Err(SurrogateError::TooManyObservations {
                count: self.len() + 1,
                most: MOST_OBSERVATIONS,
            });
        }
        let codes = self.kernel.encode(point);
        self.data.push(&codes, belief, value, variance);
        self.offset = self.data.offset();
        self.extend()
    }

    /// Adds observations made elsewhere, points with their values and variances: they stay beside what is
    /// observed here, and the hyperparameters are fitted to them.
    ///
    /// # Errors
    ///
    /// As [`tell`](Self::tell).
    pub(super) fn tell_elsewhere(
        &mut self,
        observations: &[(Point, Belief, f64, f64)],
    ) -> Result<(), SurrogateError> {
        let before = self.len();
        for (point, belief, value, variance) in observations {
            self.tell(point, *belief, *value, *variance)?;
        }
        let start = match self.data.elsewhere.is_empty() {
            true => before,
            false => self.data.elsewhere.start,
        };
        self.data.elsewhere = start..self.len();
        self.settle()
    }

    /// Replaces what was observed of a point here by one observation, or adds it where there is none.
    ///
    /// # Errors
    ///
    /// As [`tell`](Self::tell).
    pub fn retell(
        &mut self,
        point: &Point,
        belief: Belief,
        value: f64,
        variance: f64,
    ) -> Result<(), SurrogateError> {
        let codes = self.kernel.encode(point);
        let Some(index) = self.data.find(&codes) else {
            return self.tell(point, belief, value, variance);
        };
        if !(value.is_finite() && variance.is_finite() && variance >= 0.0) {
            return Err(SurrogateError::NotAnObservation { value, variance });
        }
        self.data.keep_only(index, &codes);
        let (told, known) = (self.data.values[index], self.data.variances[index]);
        let is_news = (value - told).powi(2) > known || variance < NEWS * known;
        if is_news {
            self.climb.reopen(self.len());
        }
        self.data.values[index] = value;
        self.data.variances[index] = variance;
        self.offset = self.data.offset();
        // Rows before it are as they were.
        self.factor.truncate(index);
        self.extend()
    }

    /// Where a refit is due, climbs the likelihood by as many steps as one suggestion can afford.
    ///
    /// # Errors
    ///
    /// When the covariance does not factor; drop the process then.
    pub fn refit(&mut self) -> Result<(), SurrogateError> {
        if self.climb.is_due(self.len()) {
            self.climb()?;
        }
        Ok(())
    }

    /// Fits the hyperparameters until they stay where they are.
    ///
    /// # Errors
    ///
    /// When the covariance does not factor.
    pub fn settle(&mut self) -> Result<(), SurrogateError> {
        while self.climb.is_due(self.len()) {
            self.climb()?;
        }
        Ok(())
    }

    /// What is believed of a point.
    pub fn predict(&self, point: &Point, belief: Belief) -> Posterior {
        let codes = self.kernel.encode(point);
        let cross = self.cross(&codes, belief);
        self.posterior(cross, belief)
    }

    /// What is believed of the value of a point less that of another: surer than either where they are
    /// alike.
    pub fn difference(
        &self,
        (point, belief): (&Point, Belief),
        (other, other_belief): (&Point, Belief),
    ) -> Posterior {
        let (here, there) = (self.kernel.encode(point), self.kernel.encode(other));
        let cross = self.cross(&here, belief);
        let mut apart: Vec<f64> = cross
            .iter()
            .zip(self.cross(&there, other_belief))
            .map(|(a, b)| a - b)
            .collect();
        let mean = belief.mean - other_belief.mean + dot(&apart, &self.weights);
        let prior = 2.0 * (self.kernel.variance() - self.kernel.covariance(&here, &there))
            + belief.covariance(&belief)
            + other_belief.covariance(&other_belief)
            - 2.0 * belief.covariance(&other_belief);
        self.factor.solve_lower(&mut apart);
        let known: f64 = apart.iter().map(|v| v * v).sum();
        Posterior {
            mean,
            variance: (prior - known).max(0.0),
        }
    }

    /// The mean of what is believed of a point: quicker than all of it.
    pub fn mean(&self, point: &Point, belief: Belief) -> f64 {
        let cross = self.cross(&self.kernel.encode(point), belief);
        belief.mean + self.offset + dot(&cross, &self.weights)
    }

    /// The logarithm of the evidence: the density of the observations at these hyperparameters,
    /// times the density of the hyperparameters. What models of the same data are compared by.
    pub fn log_evidence(&self) -> f64 {
        let residuals = self.data.residuals(self.offset);
        evidence(&self.factor, &self.weights, &residuals) + self.climb.log_prior(&self.logs())
    }

    /// What all others say of each observation (Rasmussen and Williams 2006, eq. 5.12).
    pub fn leave_one_out(&self) -> Vec<LeaveOneOut> {
        let inverse = self.factor.inverse();
        let of = |(index, weight): (usize, &f64)| {
            let variance = 1.0 / inverse[row_start(index + 1) - 1];
            LeaveOneOut {
                residual: weight * variance,
                variance,
            }
        };
        self.weights.iter().enumerate().map(of).collect()
    }

    /// Means of many points, and no less than their variances: what the most telling single
    /// observation leaves. Cheap: linear in observations.
    pub(super) fn sketch(&self, block: &Block, beliefs: &[Belief]) -> Vec<Posterior> {
        let prior = self.kernel.variance();
        let mut found: Vec<Posterior> = beliefs
            .iter()
            .map(|belief| Posterior {
                mean: belief.mean + self.offset,
                variance: prior + belief.covariance(belief),
            })
            .collect();
        let priors: Vec<f64> = found.iter().map(|p| p.variance).collect();
        let mut row = Vec::with_capacity(beliefs.len());
        for (index, weight) in self.weights.iter().enumerate() {
            let here = &self.data.beliefs[index];
            self.kernel
                .covariances(self.data.codes(index), block, &mut row);
            let own = 1.0 / (prior + here.covariance(here) + self.noise(index));
            for (((found, prior), value), belief) in
                found.iter_mut().zip(&priors).zip(&row).zip(beliefs)
            {
                let value = value + here.covariance(belief);
                found.mean += value * weight;
                found.variance = found.variance.min(prior - value * value * own);
            }
        }
        found
    }

    /// Adds what is believed of a point as if it had been seen, noise and all (kriging believer,
    /// Ginsbourger et al. 2010). `false` where it does not factor.
    pub(super) fn believe(&mut self, point: &Point, belief: Belief) -> bool {
        let before = self.clone();
        let mean = self.mean(point, belief);
        let codes = self.kernel.encode(point);
        let typical = self.data.variances.iter().sum::<f64>() / self.len().max(1) as f64;
        self.data.push(&codes, belief, mean, typical);
        let done = self.extend().is_ok();
        if !done {
            *self = before;
        }
        done
    }

    /// Forgets all observations but the first `count`.
    pub(super) fn forget(&mut self, count: usize) {
        self.data.truncate(count);
        self.factor.truncate(count);
        self.weigh();
    }

    fn logs(&self) -> Vec<f64> {
        let mut logs = self.kernel.logs().to_vec();
        logs.push(self.excess);
        logs
    }

    fn noise(&self, index: usize) -> f64 {
        self.data.variances[index] + self.excess_variance() + self.jitter * self.kernel.variance()
    }

    /// Covariances of a point with all observations.
    fn cross(&self, codes: &[u16], belief: Belief) -> Vec<f64> {
        (0..self.len())
            .map(|index| {
                self.kernel.covariance(codes, self.data.codes(index))
                    + belief.covariance(&self.data.beliefs[index])
            })
            .collect()
    }

    fn posterior(&self, mut cross: Vec<f64>, belief: Belief) -> Posterior {
        let mean = dot(&cross, &self.weights);
        self.factor.solve_lower(&mut cross);
        let prior = self.kernel.variance() + belief.covariance(&belief);
        let known: f64 = cross.iter().map(|v| v * v).sum();
        Posterior {
            mean: belief.mean + self.offset + mean,
            variance: (prior - known).max(0.0),
        }
    }

    /// Factors the rows that are not factored yet; all of them with more jitter if need be.
    fn extend(&mut self) -> Result<(), SurrogateError> {
        let count = self.len();
        while self.factor.size() < count {
            let index = self.factor.size();
            let codes = self.data.codes(index);
            let belief = self.data.beliefs[index];
            let mut row: Vec<f64> = (0..=index)
                .map(|other| {
                    self.kernel.covariance(codes, self.data.codes(other))
                        + belief.covariance(&self.data.beliefs[other])
                })
                .collect();
            row[index] += self.noise(index);
            if !self.factor.append(&row) {
                let more = JITTERS.iter().find(|jitter| **jitter > self.jitter);
                self.jitter = *more.ok_or(SurrogateError::NotPositiveDefinite { count })?;
                self.factor.truncate(0);
            }
        }
        self.weigh();
        Ok(())
    }

    fn weigh(&mut self) {
        self.weights = self.data.residuals(self.offset);
        self.factor.solve_lower(&mut self.weights);
        self.factor.solve_upper(&mut self.weights);
    }

    fn set(&mut self, logs: &[f64]) {
        if let Some((excess, kernel)) = logs.split_last() {
            self.kernel.set(kernel);
            self.excess = *excess;
            self.jitter = JITTERS[0];
            self.factor.truncate(0);
        }
    }

    /// A slice of the climb: every step factors anew, the best setting of the slice stays.
    fn climb(&mut self) -> Result<(), SurrogateError> {
        let mut best: Option<(f64, Vec<f64>)> = None;
        for _ in 0..self.climb.slice(self.len()) {
            let logs = self.climb.next();
            self.set(&logs);
            if self.extend().is_err() {
                self.climb.retreat();
                continue;
            }
            let objective = self.log_evidence();
            if best.as_ref().is_none_or(|(value, _)| objective > *value) {
                best = Some((objective, logs));
            }
            let gradient = evidence_gradient(&self.kernel, &self.data, &self.factor, &self.weights);
            let excess = 2.0 * self.excess_variance() * gradient.diagonal;
            let mut slopes = gradient.kernel;
            slopes.push(excess);
            if self.climb.step(self.data.len(), &slopes) {
                break;
            }
        }
        if let Some((_, logs)) = best
            && logs != self.logs()
        {
            self.set(&logs);
        }
        self.extend()
    }
}

#[cfg(test)]
mod tests;
