//! Cheap figures as a prior, with a bias that is learnt and a guard.
//!
//! A simulator can say something of every point before anything is measured. Following Kennedy and O'Hagan (2000, Predicting the output from a
//! complex computer code when fast approximations are available, eq. 1), in logarithms of times:
//!
//! ```text
//! log live = a + b log cheap + GP
//! ```
//!
//! with normal priors on a and b that the process integrates out. Which source to believe, or
//! none, is one rule ([`Contest`]). It proposes nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::space::{MixedSpace, Point};

/// Deviation of the constant a: a factor of e, around the mean of what was observed.
const CONSTANT: f64 = 1.0;
/// Deviation of the factor b around 1: a cheap figure may be half or twice as steep as the live one.
const FACTOR: f64 = 0.5;
/// Groupings that a source may have.
pub const MOST_GROUPINGS: usize = 3;
/// Points of a large space by which a source's figures are centred.
const CENTRED_BY: usize = 2_000;

/// What is believed of a point before any observation: a mean, and features whose coefficients are
/// standard normal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Belief {
    /// The mean of the logarithm, but for a constant.
    pub mean: f64,
    /// Features, each times the deviation of its coefficient: 1, the cheap figure, and whether
    /// there is no cheap figure.
    pub features: [f64; 3],
    /// Groups of points that may miss together, and the deviation of how far each does.
    pub groups: [Option<(u32, f64)>; MOST_GROUPINGS],
}

impl Belief {
    /// A constant and nothing more.
    pub const CONSTANT: Self = Self {
        mean: 0.0,
        features: [CONSTANT, 0.0, 0.0],
        groups: [None; MOST_GROUPINGS],
    };

    /// The covariance that the uncertain coefficients give two points.
    pub fn covariance(&self, other: &Self) -> f64 {
        let [a, b, c] = self.features;
        let [x, y, z] = other.features;
        let together = self
            .groups
            .iter()
            .zip(&other.groups)
            .map(|both| match both {
                (Some((here, deviation)), Some((there, _))) if here == there => {
                    deviation * deviation
                }
                _ => 0.0,
            });
        a * x + b * y + c * z + together.sum::<f64>()
    }
}

type Figure = dyn Fn(&Point) -> Option<f64> + Send + Sync;

/// A cheap source: the logarithm of a time for some or all points.
#[derive(Clone)]
pub struct Source {
    name: String,
    figure: Arc<Figure>,
    /// What it was asked already: all of a small space.
    table: BTreeMap<Point, Option<f64>>,
    centre: f64,
    deviation: f64,
    /// Deviation of what it misses, as far as that is known.
    accuracy: Option<f64>,
    groupings: Vec<Grouping>,
}

/// Which points miss together, and how far: a deviation.
#[derive(Clone)]
struct Grouping {
    of: Arc<dyn Fn(&Point) -> u32 + Send + Sync>,
    deviation: f64,
}

impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Source({})", self.name)
    }
}

impl Source {
    /// A source by its figure: the logarithm of a time in any unit, `None` where it knows nothing.
    /// It is asked once for every point of a space of up to 2,000; of a larger one for some hundred
    /// points a suggestion, so it had better be quick there.
    pub fn new(
        name: impl Into<String>,
        space: &MixedSpace,
        figure: impl Fn(&Point) -> Option<f64> + Send + Sync + 'static,
    ) -> Self {
        let figure = move |point: &Point| figure(point).filter(|value| value.is_finite());
        let asked: BTreeMap<Point, Option<f64>> = centring_points(space)
            .into_iter()
            .map(|point| {
                let value = figure(&point);
                (point, value)
            })
            .collect();
        let known: Vec<f64> = asked.values().copied().flatten().collect();
        let count = known.len().max(1) as f64;
        let centre = known.iter().sum::<f64>() / count;
        let variance = known.iter().map(|v| (v - centre).powi(2)).sum::<f64>() / count;
        Self {
            name: name.into(),
            figure: Arc::new(figure),
            table: asked,
            centre,
            deviation: variance.sqrt(),
            accuracy: None,
            groupings: Vec::new(),
        }
    }

    /// The same, known to miss by so much where it is right at all: the standard deviation of
    /// the logarithm.
    #[must_use]
    pub fn accurate_to(mut self, deviation: f64) -> Self {
        self.accuracy = Some(deviation);
        self
    }

    /// The same, whose points miss by group as well: all points of a group by one offset with this
    /// deviation, whatever the points within it have in common besides. Up to [`MOST_GROUPINGS`] times;
    /// unlike what the process learns, these offsets stay as wide as they are said to be.
    #[must_use]
    pub fn missing_by_group(
        mut self,
        deviation: f64,
        group: impl Fn(&Point) -> u32 + Send + Sync + 'static,
    ) -> Self {
        self.groupings.push(Grouping {
            of: Arc::new(group),
            deviation,
        });
        self
    }

    /// How far it is known to miss, where that is known.
    pub fn accuracy(&self) -> Option<f64> {
        self.accuracy
    }

    /// Its name, for reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How much its figures differ over the space: the standard deviation of the logarithm.
    pub fn deviation(&self) -> f64 {
        self.deviation
    }

    /// What it makes one believe of a point. Points it knows nothing of share one unknown offset,
    /// as wide as its figures are.
    pub fn belief(&self, point: &Point) -> Belief {
        let mut groups = [None; MOST_GROUPINGS];
        for (group, grouping) in groups.iter_mut().zip(&self.groupings) {
            *group = Some(((grouping.of)(point), grouping.deviation));
        }
        let asked = self.table.get(point).copied();
        match asked.unwrap_or_else(|| (self.figure)(point)) {
            Some(value) => {
                let factor = self.accuracy.map_or(FACTOR, |missed| missed.min(FACTOR));
                Belief {
                    mean: value - self.centre,
                    features: [CONSTANT, factor * (value - self.centre), 0.0],
                    groups,
                }
            }
            None => Belief {
                mean: 0.0,
                features: [CONSTANT, 0.0, self.deviation],
                groups,
            },
        }
    }
}

/// Every point of a small space, evenly many of a larger one.
fn centring_points(space: &MixedSpace) -> Vec<Point> {
    use rand::SeedableRng;
    if space.size() <= CENTRED_BY as f64 {
        return space.points(CENTRED_BY);
    }
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    (0..CENTRED_BY).map(|_| space.sample(&mut rng)).collect()
}

/// Evidence that makes a source believed: 3 to 1 over what is in use, in nats; what Kass and Raftery
/// (1995, Bayes Factors, section 3.2) call positive.
const BELIEVED: f64 = 1.098_612_288_668_11;

/// Which of several models of the same observations is in use: one for each source, the one believed first
/// in front, and last the one without. The rule: one that is farther behind as soon as the odds are for it;
/// one in front again as soon as the odds for it are 3 to 1. It works both ways: a source that misleads is
/// dropped for what is left without it, and one that was dropped comes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contest {
    in_use: usize,
}

impl Contest {
    /// Index of the model in use; the first before anything was observed.
    pub fn in_use(self) -> usize {
        self.in_use
    }

    /// The same without the first models.
    pub fn without(self, first: usize) -> Self {
        Self {
            in_use: self.in_use.saturating_sub(first),
        }
    }

    /// Judges by the logarithms of the evidence, `None` for a model that could not be had.
    pub fn judge(&mut self, evidence: &[Option<f64>]) {
        let now = evidence.get(self.in_use).copied().flatten();
        let scores = evidence.iter().enumerate().filter_map(|(index, value)| {
            let handicap = match index {
                index if index >= self.in_use => 0.0,
                _ if now.is_none() => 0.0,
                _ => BELIEVED,
            };
            value.map(|value| (index, value - handicap))
        });
        // The first of equals.
        let most = scores.reduce(|best, next| if next.1 > best.1 { next } else { best });
        if let Some((index, _)) = most {
            self.in_use = index;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Parameter;

    fn space() -> MixedSpace {
        MixedSpace::new(vec![Parameter::linear("x", &[0.0, 1.0, 2.0, 3.0])])
    }

    #[test]
    fn figures_are_centred_so_that_any_unit_will_do() {
        let space = space();
        let level = |point: &Point| f64::from(point.level(0).unwrap_or(0));
        let one = Source::new("one", &space, move |p: &Point| Some(level(p)));
        let other = Source::new("other", &space, move |p: &Point| Some(level(p) + 7.0));
        for point in space.points(9) {
            let (a, b) = (one.belief(&point), other.belief(&point));
            assert!((a.mean - b.mean).abs() < 1e-12);
        }
    }

    #[test]
    fn points_without_a_figure_are_as_uncertain_as_figures_spread() {
        let space = space();
        let source = Source::new("half", &space, |p: &Point| {
            p.level(0).filter(|l| *l < 2).map(|l| f64::from(l) * 2.0)
        });
        let unknown = source.belief(&space.point(&[3]));
        assert_eq!(unknown.mean, 0.0);
        assert_eq!(unknown.features, [1.0, 0.0, 1.0]);
    }

    #[test]
    fn odds_against_a_source_drop_it_and_three_to_one_bring_it_back() {
        let mut contest = Contest::default();
        contest.judge(&[Some(0.1), Some(0.0)]);
        assert_eq!(contest.in_use(), 0);
        contest.judge(&[Some(0.0), Some(0.1)]);
        assert_eq!(contest.in_use(), 1);
        contest.judge(&[Some(1.0), Some(0.0)]);
        assert_eq!(contest.in_use(), 1);
        contest.judge(&[Some(1.2), Some(0.0)]);
        assert_eq!(contest.in_use(), 0);
        contest.judge(&[None, Some(-9.0)]);
        assert_eq!(contest.in_use(), 1);
    }

    #[test]
    fn a_source_that_misleads_gives_way_to_the_one_behind_it_and_needs_three_to_one_to_come_back() {
        let mut contest = Contest::default();
        contest.judge(&[Some(0.0), Some(0.1), Some(0.0)]);
        assert_eq!(contest.in_use(), 1);
        contest.judge(&[Some(1.0), Some(0.0), Some(-1.0)]);
        assert_eq!(contest.in_use(), 1);
        contest.judge(&[Some(1.2), Some(0.0), Some(-1.0)]);
        assert_eq!(contest.in_use(), 0);
    }
}
