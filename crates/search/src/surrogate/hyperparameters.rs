//! Hyperparameters by the mode of their posterior: evidence, its gradient, and a climb in slices.
//!
//! The climb is Rprop (iRprop-; Blum and Riedmiller 2013, Optimization of Gaussian process
//! hyperparameters using Rprop): a gradient a step, no line search, and a step size for each that
//! carries over to the next observation. So a fit can be cut into slices that a suggestion can
//! afford, and goes on where the last one stopped. It owns no data.

use super::cholesky::{Cholesky, row_start};
use super::gaussian_process::Data;
use super::kernel::{Kernel, LogNormal};

/// Rprop's factors and bounds of a step, in units of a logarithm (Blum and Riedmiller, section 2).
const GROW: f64 = 1.2;
const SHRINK: f64 = 0.5;
const FIRST_STEP: f64 = 0.2;
const LARGEST_STEP: f64 = 0.8;
const SMALLEST_STEP: f64 = 1e-3;
/// Steps begin at no less than this when a refit begins.
const RESTART_STEP: f64 = 0.05;

/// Slopes below this, nats for a factor of e, move nothing that matters.
const FLAT: f64 = 0.05;
/// Steps after which a refit is over, flat or not.
const MOST_STEPS: usize = 80;
/// The next refit begins when observations have grown by an eighth.
const GROWTH: usize = 8;
/// Hyperparameters stay within so many prior deviations of the median.
const REACH: f64 = 4.0;

/// Multiplications that a suggestion may spend on the climb, and the steps it makes at most.
const SLICE_COST: usize = 6_000_000;
const SLICE_STEPS: usize = 20;

/// The logarithm of the density of the residuals (Rasmussen and Williams 2006, eq. 2.30).
pub(super) fn evidence(factor: &Cholesky, weights: &[f64], residuals: &[f64]) -> f64 {
    let fit: f64 = residuals.iter().zip(weights).map(|(r, w)| r * w).sum();
    let constant = residuals.len() as f64 * std::f64::consts::TAU.ln();
    -0.5 * (fit + factor.log_determinant() + constant)
}

/// Derivatives of the evidence.
pub(super) struct EvidenceGradient {
    /// By the logarithms of the kernel's hyperparameters.
    pub kernel: Vec<f64>,
    /// By a variance added to every observation.
    pub diagonal: f64,
}

/// The gradient of the evidence (Rasmussen and Williams 2006, eq. 5.9).
pub(super) fn evidence_gradient(
    kernel: &Kernel,
    data: &Data,
    factor: &Cholesky,
    weights: &[f64],
) -> EvidenceGradient {
    let inverse = factor.inverse();
    let mut slopes = kernel.slopes();
    let mut diagonal = 0.0;
    for row in 0..data.len() {
        let codes = data.codes(row);
        let start = row_start(row);
        for column in 0..=row {
            let twice = weights[row] * weights[column] - inverse[start + column];
            // Off the diagonal each pair stands for two entries.
            let weight = if column < row { twice } else { 0.5 * twice };
            let other = data.codes(column);
            slopes.add(
                kernel,
                codes,
                other,
                weight * kernel.covariance(codes, other),
            );
            if column == row {
                diagonal += weight;
            }
        }
    }
    EvidenceGradient {
        kernel: kernel.gradient(&slopes),
        diagonal,
    }
}

/// The state of the climb.
#[derive(Clone, Debug)]
pub(super) struct Climb {
    priors: Vec<LogNormal>,
    logs: Vec<f64>,
    steps: Vec<f64>,
    slopes: Vec<f64>,
    taken: usize,
    /// Observations at which a refit begins.
    due: usize,
}

impl Climb {
    pub(super) fn new(priors: Vec<LogNormal>) -> Self {
        let count = priors.len();
        Self {
            logs: priors.iter().map(|p| p.mean).collect(),
            priors,
            steps: vec![FIRST_STEP; count],
            slopes: vec![0.0; count],
            taken: 0,
            due: 2,
        }
    }

    /// The logarithm of the density of the hyperparameters, but for a constant.
    pub(super) fn log_prior(&self, logs: &[f64]) -> f64 {
        let pairs = self.priors.iter().zip(logs);
        pairs
            .map(|(p, log)| -0.5 * ((log - p.mean) / p.deviation).powi(2))
            .sum()
    }

    /// A refit is due at so many observations, for what they say has changed.
    pub(super) fn reopen(&mut self, observations: usize) {
        self.due = self.due.min(observations.max(2));
    }

    pub(super) fn is_due(&self, observations: usize) -> bool {
        observations >= self.due
    }

    /// Steps that one suggestion can afford: factor, inverse and gradient cost half the cube of
    /// the observations and some dozen operations for each pair and parameter.
    pub(super) fn slice(&self, observations: usize) -> usize {
        let pairs = observations * observations / 2;
        let cost = pairs * (observations + 4 * self.logs.len());
        (SLICE_COST / cost.max(1)).clamp(1, SLICE_STEPS)
    }

    /// The setting to evaluate next.
    pub(super) fn next(&self) -> Vec<f64> {
        self.logs.clone()
    }

    /// Steps from the setting just evaluated, by the evidence's gradient there. `true` when the
    /// refit is over.
    pub(super) fn step(&mut self, observations: usize, gradient: &[f64]) -> bool {
        let mut steepest = 0.0_f64;
        for (index, prior) in self.priors.iter().enumerate() {
            let log = self.logs[index];
            let mut slope = gradient[index] - (log - prior.mean) / prior.deviation.powi(2);
            steepest = steepest.max(slope.abs());
            let turn = slope * self.slopes[index];
            let step = &mut self.steps[index];
            if turn > 0.0 {
                *step = (*step * GROW).min(LARGEST_STEP);
            } else if turn < 0.0 {
                *step = (*step * SHRINK).max(SMALLEST_STEP);
                slope = 0.0;
            }
            self.slopes[index] = slope;
            let reach = REACH * prior.deviation;
            let moved = if slope == 0.0 {
                0.0
            } else {
                step.copysign(slope)
            };
            self.logs[index] = (log + moved).clamp(prior.mean - reach, prior.mean + reach);
        }
        self.taken += 1;
        let over = steepest < FLAT || self.taken >= MOST_STEPS;
        if over {
            self.taken = 0;
            self.due = observations + (observations / GROWTH).max(1);
            for step in &mut self.steps {
                *step = step.max(RESTART_STEP);
            }
        }
        over
    }

    /// Back towards the priors, from where nothing factors.
    pub(super) fn retreat(&mut self) {
        for (log, prior) in self.logs.iter_mut().zip(&self.priors) {
            *log = f64::midpoint(*log, prior.mean);
        }
        self.slopes.fill(0.0);
    }
}
