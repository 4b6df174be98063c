//! The points an acquisition is computed for.
//!
//! All of them where the space is small, which it is for one task key. Else points drawn at
//! random, what surrounds the best ones, and the best ones changed in a few parameters. It orders
//! nothing.

use rand::{Rng, RngExt};

use crate::space::{MixedSpace, Point};

/// A space of up to so many points is looked at whole.
pub(super) const WHOLE: usize = 2_000;

/// Points drawn from the whole of a larger space.
const DRAWN: usize = 300;
/// Changed copies of each of the best.
const CHANGED: usize = 40;
/// Parameters that a copy differs in, at most.
const CHANGES: usize = 4;

/// Every point of a small space; `None` of a larger one.
pub(super) fn whole(space: &MixedSpace) -> Option<Vec<Point>> {
    (space.size() <= WHOLE as f64).then(|| {
        let mut points = space.points(WHOLE);
        points.sort();
        points
    })
}

/// Candidates of a space too large to look at, ascending and each once.
pub(super) fn drawn(space: &MixedSpace, best: &[Point], rng: &mut impl Rng) -> Vec<Point> {
    let mut points: Vec<Point> = (0..DRAWN).map(|_| space.sample(rng)).collect();
    for point in best {
        points.extend(space.neighbours(point));
        points.extend((0..CHANGED).map(|_| changed(space, point, rng)));
        points.push(point.clone());
    }
    points.sort();
    points.dedup();
    points
}

/// A point with some parameters drawn anew.
fn changed(space: &MixedSpace, point: &Point, rng: &mut impl Rng) -> Point {
    let fresh: Vec<u16> = space
        .parameters()
        .iter()
        .map(|p| rng.random_range(0..p.levels().max(1)))
        .collect();
    let mut next = point.clone();
    for _ in 0..rng.random_range(2..=CHANGES) {
        let parameter = rng.random_range(0..space.dimensions().max(1));
        if let Some(level) = fresh.get(parameter) {
            next = space.with(&next, parameter, *level, &fresh);
        }
    }
    next
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::problem::ReferenceProblem;
    use crate::space::Parameter;

    #[test]
    fn a_small_space_is_there_whole_and_a_large_one_is_not() {
        let small = MixedSpace::new(vec![
            Parameter::categorical("a", 3),
            Parameter::linear("b", &[1.0, 2.0]).only_when(0, vec![1]),
        ]);
        assert_eq!(whole(&small).map(|points| points.len()), Some(4));
        assert_eq!(whole(ReferenceProblem::shared().space()), None);
    }

    #[test]
    fn candidates_are_points_of_the_space_with_all_that_surrounds_the_best() {
        let problem = ReferenceProblem::shared();
        let space = problem.space();
        let best = problem.optimum().0.clone();
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let points = drawn(space, std::slice::from_ref(&best), &mut rng);
        assert!(points.iter().all(|point| space.contains(point)));
        assert!(points.is_sorted());
        for neighbour in space.neighbours(&best) {
            assert!(points.binary_search(&neighbour).is_ok());
        }
    }
}
