//! A mixed space with conditions: what surrogates, screening and optimisers search.
//!
//! Every parameter has finitely many levels, because every knob of NCCL that is worth a trial has:
//! ordered ones lie on a scale (linear or logarithmic) on which distances mean something, the
//! others do not. A parameter may exist only under some levels of an earlier one: a chunk size
//! where the protocol is Simple. Nothing here knows what a level stands for; whoever made the
//! space turns a [`Point`] back into a configuration.

use rand::{Rng, RngExt};

/// What the levels of a parameter have to do with each other.
#[derive(Clone, Debug, PartialEq)]
pub enum Scale {
    /// They lie on a line: ascending positions, from 0 to 1.
    Ordered(Vec<f64>),
    /// Names and no more; this many.
    Categories(usize),
}

/// Under which levels of an earlier parameter another one exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Index of the parameter it depends on.
    pub parameter: usize,
    /// Levels of that under which it exists.
    pub levels: Vec<u16>,
}

/// One dimension of a space.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name, unique in its space.
    pub name: String,
    /// Its levels.
    pub scale: Scale,
    /// When it exists; always without a condition.
    pub when: Option<Condition>,
}

impl Parameter {
    /// Levels without an order.
    pub fn categorical(name: impl Into<String>, levels: usize) -> Self {
        Self {
            name: name.into(),
            scale: Scale::Categories(levels),
            when: None,
        }
    }

    /// Ascending values whose differences matter.
    pub fn linear(name: impl Into<String>, values: &[f64]) -> Self {
        Self {
            name: name.into(),
            scale: Scale::Ordered(positions(values)),
            when: None,
        }
    }

    /// Ascending positive values whose ratios matter.
    pub fn logarithmic(name: impl Into<String>, values: &[f64]) -> Self {
        let logs: Vec<f64> = values
            .iter()
            .map(|v| v.max(f64::MIN_POSITIVE).ln())
            .collect();
        Self::linear(name, &logs)
    }

    /// The same, existing only under these levels of parameter number `parameter`.
    #[must_use]
    pub fn only_when(mut self, parameter: usize, levels: Vec<u16>) -> Self {
        self.when = Some(Condition { parameter, levels });
        self
    }

    /// Number of levels.
    pub fn levels(&self) -> u16 {
        let count = match &self.scale {
            Scale::Ordered(positions) => positions.len(),
            Scale::Categories(count) => *count,
        };
        u16::try_from(count).unwrap_or(u16::MAX)
    }
}

/// Values moved and stretched to 0..=1; a single value lies at 0.
fn positions(values: &[f64]) -> Vec<f64> {
    let (Some(first), Some(last)) = (values.first(), values.last()) else {
        return Vec::new();
    };
    let width = if last > first { last - first } else { 1.0 };
    values.iter().map(|v| (v - first) / width).collect()
}

/// One level per parameter, `None` where the parameter does not exist.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point(pub Vec<Option<u16>>);

impl Point {
    /// The level of one parameter, where it exists.
    pub fn level(&self, parameter: usize) -> Option<u16> {
        self.0.get(parameter).copied().flatten()
    }
}

/// A space: its parameters, each depending on earlier ones only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MixedSpace {
    parameters: Vec<Parameter>,
}

impl MixedSpace {
    /// A space of these parameters. A condition that names no earlier parameter never holds.
    pub fn new(parameters: Vec<Parameter>) -> Self {
        Self { parameters }
    }

    /// Its parameters.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Number of parameters.
    pub fn dimensions(&self) -> usize {
        self.parameters.len()
    }

    /// The point with these levels, without those that do not exist there. Levels beyond the last
    /// are the last.
    pub fn point(&self, levels: &[u16]) -> Point {
        let mut point = Point(Vec::with_capacity(self.parameters.len()));
        for (index, parameter) in self.parameters.iter().enumerate() {
            let wanted = levels.get(index).copied().unwrap_or(0);
            let level = wanted.min(parameter.levels().saturating_sub(1));
            let exists = parameter.levels() > 0 && self.exists(index, &point);
            point.0.push(exists.then_some(level));
        }
        point
    }

    /// Whether a parameter exists where the earlier ones have the levels of `point`.
    pub fn exists(&self, parameter: usize, point: &Point) -> bool {
        let condition = self.parameters.get(parameter).and_then(|p| p.when.as_ref());
        condition.is_none_or(|c| {
            c.parameter < parameter
                && point
                    .level(c.parameter)
                    .is_some_and(|level| c.levels.contains(&level))
        })
    }

    /// Whether a point belongs to the space.
    pub fn contains(&self, point: &Point) -> bool {
        let levels: Vec<u16> = point.0.iter().map(|level| level.unwrap_or(0)).collect();
        levels.len() == self.parameters.len() && self.point(&levels) == *point
    }

    /// A point drawn level by level, each level of a parameter as likely as any other.
    pub fn sample(&self, rng: &mut impl Rng) -> Point {
        let levels: Vec<u16> = self
            .parameters
            .iter()
            .map(|p| rng.random_range(0..p.levels().max(1)))
            .collect();
        self.point(&levels)
    }

    /// The point with one parameter at another level; parameters that come to exist by it take
    /// their levels from `levels`.
    pub fn with(&self, point: &Point, parameter: usize, level: u16, levels: &[u16]) -> Point {
        let wanted: Vec<u16> = (0..self.parameters.len())
            .map(|index| {
                if index == parameter {
                    level
                } else {
                    let fallback = levels.get(index).copied().unwrap_or(0);
                    point.level(index).unwrap_or(fallback)
                }
            })
            .collect();
        self.point(&wanted)
    }

    /// Points that differ in one parameter: by one level where levels are ordered, in any way
    /// where they are not. In a fixed order, without the point itself.
    pub fn neighbours(&self, point: &Point) -> Vec<Point> {
        let mut found = Vec::new();
        for (index, parameter) in self.parameters.iter().enumerate() {
            let Some(now) = point.level(index) else {
                continue;
            };
            let others: Vec<u16> = match parameter.scale {
                Scale::Ordered(_) => [now.checked_sub(1), now.checked_add(1)]
                    .into_iter()
                    .flatten()
                    .filter(|n| *n < parameter.levels())
                    .collect(),
                Scale::Categories(_) => (0..parameter.levels()).filter(|n| *n != now).collect(),
            };
            found.extend(others.into_iter().map(|n| self.with(point, index, n, &[])));
        }
        found
    }

    /// Number of points; infinite only in name, for it is a float.
    pub fn size(&self) -> f64 {
        let unconditional = |index: &usize| self.parameters[*index].when.is_none();
        let roots = (0..self.parameters.len()).filter(unconditional);
        roots.map(|root| self.count(root)).product()
    }

    /// Ways to set a parameter that exists, and what exists by it.
    fn count(&self, parameter: usize) -> f64 {
        let depends = |index: &usize, level: u16| {
            let condition = self.parameters[*index].when.as_ref();
            condition.is_some_and(|c| c.parameter == parameter && c.levels.contains(&level))
        };
        let later = parameter + 1..self.parameters.len();
        let under = |level: u16| -> f64 {
            let children = later.clone().filter(|index| depends(index, level));
            children.map(|child| self.count(child)).product()
        };
        match self.parameters[parameter].levels() {
            0 => 1.0,
            levels => (0..levels).map(under).sum(),
        }
    }

    /// Every point in a fixed order, but no more than `most`.
    pub fn points(&self, most: usize) -> Vec<Point> {
        let mut found = vec![Point(Vec::new())];
        for (index, parameter) in self.parameters.iter().enumerate() {
            let mut longer = Vec::new();
            for point in &found {
                let exists = parameter.levels() > 0 && self.exists(index, point);
                let levels = if exists { parameter.levels() } else { 1 };
                for level in 0..levels {
                    let mut next = point.clone();
                    next.0.push(exists.then_some(level));
                    longer.push(next);
                }
                if longer.len() >= most {
                    break;
                }
            }
            found = longer;
        }
        found.truncate(most);
        found
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Algorithm and protocol, channels, and a chunk under one of the three pairs.
    fn space() -> MixedSpace {
        MixedSpace::new(vec![
            Parameter::categorical("pair", 3),
            Parameter::logarithmic("channels", &[1.0, 2.0, 4.0, 8.0]),
            Parameter::logarithmic("chunk", &[32.0, 64.0, 128.0]).only_when(0, vec![2]),
        ])
    }

    #[test]
    fn a_parameter_exists_only_under_its_condition() {
        let space = space();
        assert_eq!(space.point(&[0, 3, 2]).0, [Some(0), Some(3), None]);
        assert_eq!(space.point(&[2, 9, 1]).0, [Some(2), Some(3), Some(1)]);
        let to_simple = space.with(&space.point(&[0, 1, 0]), 0, 2, &[0, 0, 2]);
        assert_eq!(to_simple.0, [Some(2), Some(1), Some(2)]);
    }

    #[test]
    fn every_point_is_there_once_and_counted() {
        let space = space();
        let points = space.points(1000);
        let unique: BTreeSet<_> = points.iter().cloned().collect();
        assert_eq!(points.len(), 2 * 4 + 4 * 3);
        assert_eq!(unique.len(), points.len());
        assert_eq!(space.size(), 20.0);
        assert_eq!(space.points(7).len(), 7);
    }

    #[test]
    fn many_conditions_are_counted_without_walking_every_point() {
        let thirty = (0..30).flat_map(|key| {
            [
                Parameter::categorical(format!("{key}/pair"), 3),
                Parameter::logarithmic(format!("{key}/chunk"), &[1.0, 2.0])
                    .only_when(2 * key, vec![2]),
            ]
        });
        assert_eq!(MixedSpace::new(thirty.collect()).size(), 4f64.powi(30));
    }

    #[test]
    fn ratios_are_distances_on_a_logarithmic_scale() {
        let Scale::Ordered(positions) = &space().parameters()[1].scale.clone() else {
            unreachable!("channels are ordered");
        };
        for (found, expected) in positions.iter().zip([0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0]) {
            assert!((found - expected).abs() < 1e-12);
        }
    }

    proptest! {
        #[test]
        fn samples_and_neighbours_belong_to_the_space(seed: u64) {
            let space = space();
            let point = space.sample(&mut ChaCha8Rng::seed_from_u64(seed));
            prop_assert!(space.contains(&point));
            for neighbour in space.neighbours(&point) {
                prop_assert!(space.contains(&neighbour));
                prop_assert_ne!(&neighbour, &point);
            }
        }
    }
}
