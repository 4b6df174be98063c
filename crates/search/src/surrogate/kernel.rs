//! The covariance of two points of a mixed space with conditions.
//!
//! Every parameter has finitely many levels, so its correlation is a small table: Matern 5/2
//! between ordered positions (Rasmussen and Williams 2006, eq. 4.17), the overlap kernel between
//! categories (Hutter 2009, section 11.2; here equal or exp(-w)), each with its own length or
//! weight. Where a parameter exists in neither point its distance is 0, where in one only it is a
//! constant that is learnt (Hutter and Osborne 2013, arXiv:1310.5738). The covariance is the
//! product of all tables and a variance s². It does not know observations.

use crate::space::{MixedSpace, Point, Scale};

/// What is believed of the logarithm of a hyperparameter before anything is seen: a normal
/// distribution, wide enough to be outvoted by a dozen observations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogNormal {
    /// Mean of the logarithm.
    pub mean: f64,
    /// Standard deviation of the logarithm.
    pub deviation: f64,
}

/// Logarithm of s: what logs of times usually spread over, a few percent to a few times.
const AMPLITUDE: LogNormal = LogNormal {
    mean: -1.2,
    deviation: 1.2,
};
/// Logarithm of a length, in widths of the parameter's range, for a space of one dimension. Grows
/// with the root of the dimensions (Hvarfner et al. 2024, arXiv:2402.02229, section 4).
const LENGTH: LogNormal = LogNormal {
    mean: -0.8,
    deviation: 1.0,
};
/// Logarithm of the weight of two categories that differ, and of a parameter that exists once.
const WEIGHT: LogNormal = LogNormal {
    mean: -1.0,
    deviation: 1.0,
};

/// One parameter: its correlations, and where its hyperparameters are.
#[derive(Clone, Debug)]
struct Dimension {
    scale: Scale,
    /// Index of its length or weight.
    own: usize,
    /// Index of the weight of existing in one point only, for parameters with a condition.
    absence: Option<usize>,
    /// Levels and one for absence.
    stride: usize,
    /// Correlation of levels a and b at `a * stride + b`.
    table: Vec<f64>,
    /// Its derivative by the logarithm of the own hyperparameter, then of the other.
    slopes: [Vec<f64>; 2],
}

/// The kernel of one space at one setting of its hyperparameters.
#[derive(Clone, Debug)]
pub struct Kernel {
    dimensions: Vec<Dimension>,
    logs: Vec<f64>,
    priors: Vec<LogNormal>,
}

impl Kernel {
    /// The kernel of a space, every hyperparameter at its prior median.
    pub fn new(space: &MixedSpace) -> Self {
        Self::with_amplitude(space, AMPLITUDE)
    }

    /// The same where something is known of how much values spread.
    pub fn with_amplitude(space: &MixedSpace, amplitude: LogNormal) -> Self {
        let mut priors = vec![amplitude];
        let many = (space.dimensions().max(1) as f64).sqrt().ln();
        let mut dimensions = Vec::with_capacity(space.dimensions());
        for parameter in space.parameters() {
            let prior = match parameter.scale {
                Scale::Ordered(_) => LogNormal {
                    mean: LENGTH.mean + many,
                    ..LENGTH
                },
                Scale::Categories(_) => WEIGHT,
            };
            let own = priors.len();
            priors.push(prior);
            let absence = parameter.when.as_ref().map(|_| {
                priors.push(WEIGHT);
                priors.len() - 1
            });
            let stride = usize::from(parameter.levels()) + 1;
            dimensions.push(Dimension {
                scale: parameter.scale.clone(),
                own,
                absence,
                stride,
                table: vec![1.0; stride * stride],
                slopes: [vec![0.0; stride * stride], vec![0.0; stride * stride]],
            });
        }
        let logs: Vec<f64> = priors.iter().map(|p| p.mean).collect();
        let mut kernel = Self {
            dimensions,
            logs: Vec::new(),
            priors,
        };
        kernel.set(&logs);
        kernel
    }

    /// Logarithms of the hyperparameters: s, then each parameter's length or weight followed by
    /// its weight of absence where it has a condition.
    pub fn logs(&self) -> &[f64] {
        &self.logs
    }

    /// What is believed of each.
    pub fn priors(&self) -> &[LogNormal] {
        &self.priors
    }

    /// Sets them.
    pub fn set(&mut self, logs: &[f64]) {
        self.logs = logs.to_vec();
        for dimension in &mut self.dimensions {
            let absence = dimension.absence.map(|index| logs[index].exp());
            dimension.fill(logs[dimension.own].exp(), absence);
        }
    }

    /// A point as table indices.
    pub fn encode(&self, point: &Point) -> Vec<u16> {
        let code = |(index, dimension): (usize, &Dimension)| {
            let absent = dimension.stride - 1;
            let level = point.level(index).map_or(absent, usize::from);
            u16::try_from(level.min(absent)).unwrap_or(u16::MAX)
        };
        self.dimensions.iter().enumerate().map(code).collect()
    }

    /// The variance of any point, s².
    pub fn variance(&self) -> f64 {
        (2.0 * self.logs[0]).exp()
    }

    /// The covariance of two encoded points.
    pub fn covariance(&self, a: &[u16], b: &[u16]) -> f64 {
        let mut product = self.variance();
        for ((dimension, a), b) in self.dimensions.iter().zip(a).zip(b) {
            product *= dimension.table[usize::from(*a) * dimension.stride + usize::from(*b)];
        }
        product
    }

    /// The covariances of one encoded point with many. `block` is sorted, so what a point shares
    /// with the one before it is not computed again.
    pub fn covariances(&self, one: &[u16], block: &Block, into: &mut Vec<f64>) {
        let mut running = vec![self.variance(); self.dimensions.len() + 1];
        into.clear();
        for (codes, &shared) in block.codes().zip(&block.shared) {
            for index in shared..self.dimensions.len() {
                let dimension = &self.dimensions[index];
                let at = usize::from(one[index]) * dimension.stride + usize::from(codes[index]);
                running[index + 1] = running[index] * dimension.table[at];
            }
            into.push(running[self.dimensions.len()]);
        }
    }

    /// An empty sum of derivatives.
    pub fn slopes(&self) -> Slopes {
        let cells = self.dimensions.iter().map(|d| d.table.len());
        Slopes {
            cells: cells.map(|count| vec![0.0; count]).collect(),
            total: 0.0,
        }
    }

    /// The derivative of Σ weight · covariance by the logarithm of every hyperparameter.
    pub fn gradient(&self, slopes: &Slopes) -> Vec<f64> {
        let mut gradient = vec![0.0; self.logs.len()];
        gradient[0] = 2.0 * slopes.total;
        for (dimension, cells) in self.dimensions.iter().zip(&slopes.cells) {
            let indices = [Some(dimension.own), dimension.absence];
            for (index, slope) in indices.into_iter().zip(&dimension.slopes) {
                let Some(index) = index else { continue };
                gradient[index] = (0..slope.len())
                    .map(|at| slope[at] * cells[at] / dimension.table[at])
                    .sum();
            }
        }
        gradient
    }
}

impl Dimension {
    fn fill(&mut self, own: f64, absence: Option<f64>) {
        let absent = self.stride - 1;
        // One exists, one does not: the least correlation there is. What both exist with is
        // squeezed in above it, which keeps the table positive definite whatever is learnt.
        let floor = absence.map_or(0.0, |weight| (-weight).exp());
        let floor_slope = absence.map_or(0.0, |weight| -weight * floor);
        for a in 0..=absent {
            for b in 0..=absent {
                let at = a * self.stride + b;
                let (value, slopes) = if a == b {
                    (1.0, [0.0, 0.0])
                } else if a == absent || b == absent {
                    (floor, [0.0, floor_slope])
                } else {
                    let (value, slope) = match &self.scale {
                        Scale::Ordered(positions) => matern(positions[a] - positions[b], own),
                        Scale::Categories(_) => ((-own).exp(), -own * (-own).exp()),
                    };
                    (
                        floor + (1.0 - floor) * value,
                        [(1.0 - floor) * slope, floor_slope * (1.0 - value)],
                    )
                };
                // A table entry divides, and nothing is entirely independent.
                self.table[at] = value.max(f64::MIN_POSITIVE.sqrt());
                self.slopes[0][at] = slopes[0];
                self.slopes[1][at] = slopes[1];
            }
        }
    }
}

/// Matern 5/2 at a distance, and its derivative by the logarithm of the length.
fn matern(distance: f64, length: f64) -> (f64, f64) {
    let t = 5.0_f64.sqrt() * distance.abs() / length;
    let decay = (-t).exp();
    (
        (1.0 + t + t * t / 3.0) * decay,
        t * t * (1.0 + t) / 3.0 * decay,
    )
}

/// Weights of a gradient, gathered by what pairs of points have in common: the pairs of a data set
/// are many, the pairs of levels few.
#[derive(Clone, Debug)]
pub struct Slopes {
    cells: Vec<Vec<f64>>,
    total: f64,
}

impl Slopes {
    /// Adds a pair of points: its weight times its covariance.
    pub fn add(&mut self, kernel: &Kernel, a: &[u16], b: &[u16], weighted: f64) {
        self.total += weighted;
        for (index, dimension) in kernel.dimensions.iter().enumerate() {
            let at = usize::from(a[index]) * dimension.stride + usize::from(b[index]);
            self.cells[index][at] += weighted;
        }
    }
}

/// Encoded points in ascending order.
#[derive(Clone, Debug, Default)]
pub struct Block {
    codes: Vec<u16>,
    /// Leading codes each shares with the one before it.
    shared: Vec<usize>,
    width: usize,
}

impl Block {
    /// These points, in the order given; quick where it is ascending.
    pub fn new(kernel: &Kernel, points: &[Point]) -> Self {
        let mut block = Self {
            codes: Vec::with_capacity(points.len() * kernel.dimensions.len()),
            shared: Vec::with_capacity(points.len()),
            width: kernel.dimensions.len().max(1),
        };
        let mut before: Vec<u16> = Vec::new();
        for point in points {
            let codes = kernel.encode(point);
            let same = codes.iter().zip(&before).take_while(|(a, b)| a == b);
            block.shared.push(same.count());
            block.codes.extend_from_slice(&codes);
            before = codes;
        }
        block
    }

    /// The points' codes.
    pub fn codes(&self) -> impl Iterator<Item = &[u16]> {
        self.codes.chunks_exact(self.width)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::super::cholesky::Cholesky;
    use super::*;
    use crate::problem::ReferenceProblem;
    use crate::space::Parameter;

    fn kernel_at(space: &MixedSpace, shift: &[f64]) -> Kernel {
        let mut kernel = Kernel::new(space);
        let logs: Vec<f64> = kernel
            .logs()
            .iter()
            .zip(shift.iter().cycle())
            .map(|(log, shift)| log + shift)
            .collect();
        kernel.set(&logs);
        kernel
    }

    proptest! {
        /// Whatever is learnt, every set of points has a positive definite matrix.
        #[test]
        fn the_covariance_is_positive_definite_at_any_hyperparameters(
            seed: u64,
            shift in prop::collection::vec(-3.0..3.0f64, 17),
        ) {
            let problem = ReferenceProblem::shared();
            let kernel = kernel_at(problem.space(), &shift);
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let points: Vec<Vec<u16>> = (0..25)
                .map(|_| kernel.encode(&problem.space().sample(&mut rng)))
                .collect();
            let mut factor = Cholesky::default();
            for (i, a) in points.iter().enumerate() {
                let mut row: Vec<f64> = points[..=i]
                    .iter()
                    .map(|b| kernel.covariance(a, b))
                    .collect();
                row[i] += 1e-8 * kernel.variance();
                prop_assert!(factor.append(&row));
            }
        }

        #[test]
        fn the_gradient_is_the_difference_quotient(
            seed: u64,
            shift in prop::collection::vec(-1.0..1.0f64, 17),
        ) {
            let problem = ReferenceProblem::shared();
            let kernel = kernel_at(problem.space(), &shift);
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let a = kernel.encode(&problem.space().sample(&mut rng));
            let b = kernel.encode(&problem.space().sample(&mut rng));
            let mut slopes = kernel.slopes();
            slopes.add(&kernel, &a, &b, 1.5 * kernel.covariance(&a, &b));
            let gradient = kernel.gradient(&slopes);
            for index in 0..gradient.len() {
                let moved = |by: f64| {
                    let mut logs = kernel.logs().to_vec();
                    logs[index] += by;
                    let mut other = kernel.clone();
                    other.set(&logs);
                    1.5 * other.covariance(&a, &b)
                };
                let quotient = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                prop_assert!((quotient - gradient[index]).abs() < 1e-6 * (1.0 + quotient.abs()));
            }
        }

        #[test]
        fn a_block_gives_what_pairs_give(seed: u64) {
            let problem = ReferenceProblem::shared();
            let kernel = Kernel::new(problem.space());
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut points: Vec<Point> =
                (0..40).map(|_| problem.space().sample(&mut rng)).collect();
            points.sort();
            let one = kernel.encode(&problem.space().sample(&mut rng));
            let mut row = Vec::new();
            kernel.covariances(&one, &Block::new(&kernel, &points), &mut row);
            for (point, value) in points.iter().zip(row) {
                let pair = kernel.covariance(&one, &kernel.encode(point));
                prop_assert!((pair - value).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn what_exists_in_neither_point_makes_no_distance() {
        let space = MixedSpace::new(vec![
            Parameter::categorical("protocol", 3),
            Parameter::logarithmic("chunk", &[1.0, 2.0, 4.0]).only_when(0, vec![2]),
        ]);
        let kernel = Kernel::new(&space);
        let at = |levels: &[u16]| kernel.encode(&space.point(levels));
        let table = &kernel.dimensions[1].table;
        assert_eq!(table[3 * 4 + 3], 1.0);
        // One only: farther than any two that both have it.
        assert!(table[3] < table[2] && table[2] < table[1]);
        assert_eq!(
            kernel.covariance(&at(&[0, 0]), &at(&[2, 0])),
            kernel.covariance(&at(&[1, 0]), &at(&[2, 2]))
        );
    }
}
