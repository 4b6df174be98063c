//! Leaving out parameters and levels on evidence, and taking them back when it no longer holds.
//!
//! A parameter is left out by keeping one of its levels, so levels are all there is to leave out.
//! What was dropped stays on the books with its figures: a later figure on the other side of the
//! threshold brings it back, and so does a new incumbent where the evidence was gathered around the
//! old one. Nothing here gathers evidence.

use crate::space::{Condition, MixedSpace, Parameter, Point, Scale};

/// Why levels were dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ground {
    /// The parameter has no effect: at most `threshold`, in the unit of the evidence (a share of the
    /// variance, a difference of logarithms).
    NoEffect {
        /// What was found.
        effect: f64,
        /// What would have mattered.
        threshold: f64,
    },
    /// The levels are slower than the best by at least `threshold`, as the evidence counts it.
    Slower {
        /// What was found, of the best of the dropped levels.
        loss: f64,
        /// What would not have been enough.
        threshold: f64,
    },
}

impl Ground {
    fn holds(self) -> bool {
        match self {
            Self::NoEffect { effect, threshold } => effect <= threshold,
            Self::Slower { loss, threshold } => loss >= threshold,
        }
    }

    /// The same ground with a new figure.
    fn with(self, figure: f64) -> Self {
        match self {
            Self::NoEffect { threshold, .. } => Self::NoEffect {
                effect: figure,
                threshold,
            },
            Self::Slower { threshold, .. } => Self::Slower {
                loss: figure,
                threshold,
            },
        }
    }
}

/// Levels of one parameter that were dropped together.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropped {
    /// Index of the parameter.
    pub parameter: usize,
    /// The levels, ascending.
    pub levels: Vec<u16>,
    /// On what figures.
    pub ground: Ground,
    /// The incumbent the evidence was gathered around; `None` if it is about the whole space.
    pub around: Option<Point>,
}

/// Why levels came back.
#[derive(Clone, Debug, PartialEq)]
pub enum Contradiction {
    /// The figure is on the other side of the threshold now.
    Figure(Ground),
    /// The incumbent is another one than the evidence was gathered around.
    IncumbentMoved,
}

/// A space with parts left out.
#[derive(Clone, Debug)]
pub struct Pruning {
    space: MixedSpace,
    dropped: Vec<Dropped>,
}

impl Pruning {
    /// Nothing is left out yet.
    pub fn new(space: MixedSpace) -> Self {
        Self {
            space,
            dropped: Vec::new(),
        }
    }

    /// What is left out, in the order it was.
    pub fn dropped(&self) -> &[Dropped] {
        &self.dropped
    }

    /// The levels of a parameter that are left, ascending.
    pub fn kept(&self, parameter: usize) -> Vec<u16> {
        let count = self.space.parameters().get(parameter);
        let is_kept = |level: &u16| {
            let drops = |d: &Dropped| d.parameter == parameter && d.levels.contains(level);
            !self.dropped.iter().any(drops)
        };
        (0..count.map_or(0, Parameter::levels))
            .filter(is_kept)
            .collect()
    }

    /// Leaves out levels. Refused (`false`) where the ground does not hold, and where no level of
    /// the parameter would be left.
    pub fn drop_levels(&mut self, mut dropped: Dropped) -> bool {
        let kept = self.kept(dropped.parameter);
        dropped.levels.retain(|level| kept.contains(level));
        dropped.levels.sort_unstable();
        dropped.levels.dedup();
        let some = !dropped.levels.is_empty() && dropped.levels.len() < kept.len();
        if some && dropped.ground.holds() {
            self.dropped.push(dropped);
            return true;
        }
        false
    }

    /// Leaves out a parameter: all of its levels but one.
    pub fn drop_parameter(
        &mut self,
        parameter: usize,
        keep: u16,
        ground: Ground,
        around: Option<Point>,
    ) -> bool {
        let mut levels = self.kept(parameter);
        let before = levels.len();
        levels.retain(|level| *level != keep);
        levels.len() + 1 == before
            && self.drop_levels(Dropped {
                parameter,
                levels,
                ground,
                around,
            })
    }

    /// Takes back what newer evidence contradicts, and says why. `figure` gives the figure of the
    /// same kind as the ground's, where there is one; `incumbent` is the one of now.
    pub fn reconsider(
        &mut self,
        incumbent: &Point,
        figure: impl Fn(&Dropped) -> Option<f64>,
    ) -> Vec<(Dropped, Contradiction)> {
        let mut returned = Vec::new();
        self.dropped.retain(|dropped| {
            let now = figure(dropped).map(|f| dropped.ground.with(f));
            let moved = dropped.around.as_ref().is_some_and(|p| p != incumbent);
            let contradiction = match now {
                Some(ground) if !ground.holds() => Contradiction::Figure(ground),
                // A new figure that agrees is evidence from here and now.
                None if moved => Contradiction::IncumbentMoved,
                _ => return true,
            };
            returned.push((dropped.clone(), contradiction));
            false
        });
        returned
    }

    /// The space that is left. Positions stay where they were, so that distances keep their
    /// meaning.
    pub fn reduced(&self) -> MixedSpace {
        let kept: Vec<Vec<u16>> = (0..self.space.dimensions()).map(|i| self.kept(i)).collect();
        let reduce = |(index, parameter): (usize, &Parameter)| Parameter {
            name: parameter.name.clone(),
            scale: match &parameter.scale {
                Scale::Ordered(positions) => {
                    let position = |level: &u16| positions[usize::from(*level)];
                    Scale::Ordered(kept[index].iter().map(position).collect())
                }
                Scale::Categories(_) => Scale::Categories(kept[index].len()),
            },
            when: parameter.when.as_ref().map(|condition| Condition {
                parameter: condition.parameter,
                levels: kept
                    .get(condition.parameter)
                    .into_iter()
                    .flatten()
                    .zip(0..)
                    .filter(|(level, _)| condition.levels.contains(level))
                    .map(|(_, new)| new)
                    .collect(),
            }),
        };
        let parameters = self.space.parameters().iter().enumerate();
        MixedSpace::new(parameters.map(reduce).collect())
    }

    /// A point of the reduced space as a point of the whole one.
    pub fn whole(&self, reduced: &Point) -> Point {
        let levels: Vec<u16> = (0..self.space.dimensions())
            .map(|index| {
                let level = usize::from(reduced.level(index).unwrap_or(0));
                self.kept(index).get(level).copied().unwrap_or(0)
            })
            .collect();
        self.space.point(&levels)
    }

    /// A point of the whole space in the reduced one; `None` if it has a level that is left out.
    pub fn reduce(&self, whole: &Point) -> Option<Point> {
        let levels = (0..self.space.dimensions()).map(|index| match whole.level(index) {
            None => Some(None),
            Some(level) => {
                let found = self.kept(index).into_iter().zip(0..);
                let mut found = found.filter(|(kept, _)| *kept == level);
                found.next().map(|(_, new)| Some(new))
            }
        });
        levels.collect::<Option<Vec<_>>>().map(Point)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn space() -> MixedSpace {
        MixedSpace::new(vec![
            Parameter::categorical("protocol", 3),
            Parameter::linear("channels", &[1.0, 2.0, 3.0, 5.0, 9.0]),
            Parameter::linear("chunk", &[1.0, 2.0, 3.0]).only_when(0, vec![0, 2]),
        ])
    }

    const NO_EFFECT: Ground = Ground::NoEffect {
        effect: 0.001,
        threshold: 0.01,
    };

    fn slow(parameter: usize, levels: &[u16], around: Option<Point>) -> Dropped {
        Dropped {
            parameter,
            levels: levels.to_vec(),
            ground: Ground::Slower {
                loss: 0.3,
                threshold: 0.2,
            },
            around,
        }
    }

    #[test]
    fn the_last_level_cannot_be_dropped_nor_anything_without_a_ground() {
        let mut pruning = Pruning::new(space());
        assert!(!pruning.drop_levels(slow(0, &[0, 1, 2], None)));
        assert!(pruning.drop_levels(slow(0, &[0, 1], None)));
        assert!(!pruning.drop_levels(slow(0, &[2], None)));
        let effect = Ground::NoEffect {
            effect: 0.02,
            threshold: 0.01,
        };
        assert!(!pruning.drop_parameter(1, 0, effect, None));
        assert!(!pruning.drop_parameter(1, 9, NO_EFFECT, None));
        assert_eq!(pruning.dropped().len(), 1);
    }

    #[test]
    fn what_the_figures_contradict_comes_back_and_the_rest_stays() {
        let mut pruning = Pruning::new(space());
        assert!(pruning.drop_parameter(2, 1, NO_EFFECT, None));
        assert!(pruning.drop_levels(slow(1, &[0], None)));
        assert!(pruning.drop_levels(slow(1, &[4], None)));
        let incumbent = space().point(&[0, 2, 1]);
        let back = pruning.reconsider(&incumbent, |dropped| match dropped.parameter {
            2 => Some(0.05),
            _ => Some(if dropped.levels == [4] { 0.1 } else { 0.4 }),
        });
        assert_eq!(back.len(), 2);
        assert_eq!(pruning.kept(2), [0, 1, 2]);
        assert_eq!(pruning.kept(1), [1, 2, 3, 4]);
        let Contradiction::Figure(Ground::NoEffect { effect, .. }) = back[0].1 else {
            panic!("{:?}", back[0]);
        };
        assert_eq!(effect, 0.05);
    }

    #[test]
    fn evidence_around_an_incumbent_ends_with_it() {
        let mut pruning = Pruning::new(space());
        let (here, there) = (space().point(&[0, 2, 1]), space().point(&[1, 2, 1]));
        assert!(pruning.drop_levels(slow(1, &[0], Some(here.clone()))));
        assert!(pruning.drop_levels(slow(1, &[1], None)));
        assert!(pruning.reconsider(&here, |_| None).is_empty());
        // A figure from the new place that agrees keeps it out.
        assert!(pruning.reconsider(&there, |_| Some(0.5)).is_empty());
        let back = pruning.reconsider(&there, |_| None);
        assert_eq!(back.len(), 1);
        assert_eq!(back[0].1, Contradiction::IncumbentMoved);
        assert_eq!(pruning.kept(1), [0, 2, 3, 4]);
    }

    proptest! {
        #[test]
        fn the_reduced_space_is_the_part_of_the_whole_that_has_no_dropped_level(
            drops in proptest::collection::vec((0_usize..3, 0_u16..5), 0..6),
        ) {
            let mut pruning = Pruning::new(space());
            for (parameter, level) in drops {
                pruning.drop_levels(slow(parameter, &[level], None));
            }
            let reduced = pruning.reduced();
            let there: Vec<Point> = reduced.points(1000).iter().map(|p| pruning.whole(p)).collect();
            let expected: Vec<Point> = space()
                .points(1000)
                .into_iter()
                .filter(|p| (0..3).all(|i| p.level(i).is_none_or(|l| pruning.kept(i).contains(&l))))
                .collect();
            prop_assert_eq!(&there, &expected);
            for (point, small) in there.iter().zip(reduced.points(1000)) {
                prop_assert_eq!(pruning.reduce(point), Some(small));
            }
        }
    }
}
