//! Ask and tell: how every search of a [`MixedSpace`](crate::MixedSpace) is driven, ours and the published ones
//! it is compared with.

use crate::space::Point;

/// A search for the smallest value.
pub trait Optimiser {
    /// The next point to evaluate. May repeat one: evaluations are noisy.
    fn ask(&mut self) -> Point;

    /// What a point gave: a time, in any one unit, lower is better. Points it never asked for are
    /// told as well. A failed evaluation is told as infinite.
    fn tell(&mut self, point: &Point, value: f64);

    /// The point it would run from now on; `None` before anything was told.
    fn best(&self) -> Option<Point>;
}

/// Evaluations in the order they were told, and the best of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Point and value.
    pub evaluations: Vec<(Point, f64)>,
}

impl History {
    /// Books an evaluation.
    pub fn push(&mut self, point: &Point, value: f64) {
        self.evaluations.push((point.clone(), value));
    }

    /// Books an evaluation in the place of all earlier ones of its point.
    pub fn replace(&mut self, point: &Point, value: f64) {
        self.evaluations.retain(|(told, _)| told != point);
        self.push(point, value);
    }

    /// Number of evaluations.
    pub fn len(&self) -> usize {
        self.evaluations.len()
    }

    /// Whether nothing was told yet.
    pub fn is_empty(&self) -> bool {
        self.evaluations.is_empty()
    }

    /// The evaluation with the smallest value, the first of equals; failed ones never win.
    pub fn best(&self) -> Option<&(Point, f64)> {
        let finite = self.evaluations.iter().filter(|(_, v)| v.is_finite());
        finite.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// Whether a point was evaluated.
    pub fn contains(&self, point: &Point) -> bool {
        self.evaluations.iter().any(|(p, _)| p == point)
    }
}
