//! The choices of one task key as a mixed space, so that a surrogate can learn across them.
//!
//! Algorithm and protocol are categories of their own, because what is learnt about a protocol
//! under one algorithm says something under another; channels and chunk lie on logarithmic scales
//! and exist only where they are set, for NCCL's own count is no point on that scale. Pairs without a
//! kernel are points of the space without a choice.

use std::collections::{BTreeMap, BTreeSet};

use ccl_core::{Algorithm, Choice, Protocol, format_bytes};

use crate::key_search::Space;
use crate::space::{MixedSpace, Parameter, Point};

/// Parameters, in their order: algorithm, protocol, who sets the channels, channels, who sets the
/// chunk, chunk.
const CHANNELS_SET: usize = 2;
const CHUNK_SET: usize = 4;
/// Level of "who sets it": NCCL, or this choice.
const BY_CHOICE: u16 = 1;

/// Choices and their points, one for one.
#[derive(Clone, Debug, PartialEq)]
pub struct ChoiceSpace {
    mixed: MixedSpace,
    /// What the levels of each parameter are called.
    names: Vec<Vec<String>>,
    choices: BTreeMap<Point, Choice>,
    points: BTreeMap<Choice, Point>,
}

impl ChoiceSpace {
    /// The points of a key's space.
    pub fn new(space: &Space) -> Self {
        Self::of(&space.points())
    }

    /// A space of exactly these choices.
    #[allow(clippy::cast_precision_loss)] // chunk sizes below 2^53
    pub fn of(choices: &[Choice]) -> Self {
        let distinct = |of: &dyn Fn(&Choice) -> Option<u64>| -> Vec<u64> {
            let set: BTreeSet<u64> = choices.iter().filter_map(of).collect();
            set.into_iter().collect()
        };
        let algorithms: BTreeSet<Algorithm> = choices.iter().map(|c| c.algorithm).collect();
        let protocols: BTreeSet<Protocol> = choices.iter().map(|c| c.protocol).collect();
        let channels = distinct(&|c| c.channels.map(u64::from));
        let chunks = distinct(&|c| c.chunk_bytes);
        let floats = |values: &[u64]| -> Vec<f64> { values.iter().map(|v| *v as f64).collect() };
        let set_by = |levels: usize| if levels > 0 { 2 } else { 1 };
        let mixed = MixedSpace::new(vec![
            Parameter::categorical("algorithm", algorithms.len()),
            Parameter::categorical("protocol", protocols.len()),
            Parameter::categorical("channels set by", set_by(channels.len())),
            Parameter::logarithmic("channels", &floats(&channels))
                .only_when(CHANNELS_SET, vec![BY_CHOICE]),
            Parameter::categorical("chunk set by", set_by(chunks.len())),
            Parameter::logarithmic("chunk", &floats(&chunks)).only_when(CHUNK_SET, vec![BY_CHOICE]),
        ]);
        let level = |index: Option<usize>| index.and_then(|i| u16::try_from(i).ok()).unwrap_or(0);
        let set = || vec!["NCCL's own".to_owned(), "set".to_owned()];
        let names = vec![
            algorithms.iter().map(ToString::to_string).collect(),
            protocols.iter().map(ToString::to_string).collect(),
            set(),
            channels.iter().map(|n| format!("{n} channels")).collect(),
            set(),
            chunks.iter().map(|n| format_bytes(*n)).collect(),
        ];
        let mut this = Self {
            mixed,
            names,
            choices: BTreeMap::new(),
            points: BTreeMap::new(),
        };
        for choice in choices {
            let position =
                |values: &[u64], value: u64| level(values.iter().position(|v| *v == value));
            let set = |is_set: bool| u16::from(is_set);
            let point = this.mixed.point(&[
                level(algorithms.iter().position(|a| *a == choice.algorithm)),
                level(protocols.iter().position(|p| *p == choice.protocol)),
                set(choice.channels.is_some()),
                choice
                    .channels
                    .map_or(0, |n| position(&channels, u64::from(n))),
                set(choice.chunk_bytes.is_some()),
                choice.chunk_bytes.map_or(0, |n| position(&chunks, n)),
            ]);
            this.choices.insert(point.clone(), *choice);
            this.points.insert(*choice, point);
        }
        this
    }

    /// The space its points belong to.
    pub fn mixed(&self) -> &MixedSpace {
        &self.mixed
    }

    /// What a level of a parameter is called.
    pub fn level_name(&self, parameter: usize, level: u16) -> String {
        let names = self.names.get(parameter);
        let name = names.and_then(|names| names.get(usize::from(level)));
        name.cloned().unwrap_or_default()
    }

    /// What a point stands for; nothing where NCCL has no such kernel.
    pub fn choice(&self, point: &Point) -> Option<Choice> {
        self.choices.get(point).copied()
    }

    /// Where a choice lies, if it is one of this space.
    pub fn point(&self, choice: &Choice) -> Option<&Point> {
        self.points.get(choice)
    }

    /// All choices with their points, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (&Point, &Choice)> {
        self.choices.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_has_a_point_of_its_own_and_is_found_again() {
        let space = Space {
            pairs: vec![
                (Algorithm::Tree, Protocol::Simple),
                (Algorithm::Ring, Protocol::Ll),
                (Algorithm::Ring, Protocol::Simple),
            ],
            channels: vec![1, 8, 64],
            chunk_bytes: vec![1 << 15, 1 << 18],
            only: None,
        };
        let choices = ChoiceSpace::new(&space);
        assert_eq!(choices.iter().count() as u64, space.size());
        for choice in space.points() {
            let point = choices.point(&choice).unwrap();
            assert!(choices.mixed().contains(point));
            assert_eq!(choices.choice(point), Some(choice));
        }
    }

    #[test]
    fn a_pair_without_a_kernel_is_a_point_without_a_choice() {
        let only = [
            Choice::new(Algorithm::Ring, Protocol::Ll),
            Choice::new(Algorithm::Nvls, Protocol::Simple),
        ];
        let choices = ChoiceSpace::of(&only);
        let found = choices
            .mixed()
            .points(100)
            .iter()
            .filter(|p| choices.choice(p).is_some())
            .count();
        assert_eq!(found, 2);
        assert_eq!(choices.mixed().size(), 4.0);
    }
}
