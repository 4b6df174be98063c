//! Configurations of a job as points of one mixed space, for searches that know nothing of NCCL.
//!
//! For each task key that matters: algorithm and protocol (a category), channels, and, where the
//! protocol is Simple, the chunk. "NCCL's own" is a level of channels and chunk, standing where
//! NCCL's own number for the key would, so that the space holds exactly the points of the oracle
//! and NCCL's default is one of them. The same encoding serves the comparison and
//! `ccl-agent objective`.

use std::collections::BTreeMap;

use ccl_core::{Algorithm, Choice, Policy, Protocol, TaskKey};
use ccl_search::{MixedSpace, Parameter, Point, Scale};
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::testbed::{KeyFacts, Testbed};

/// The level that leaves a number to NCCL.
const NCCL: &str = "nccl";
/// Where "NCCL's own" stands beside a level of the same number: a quarter of an octave above, for
/// every level needs a place of its own.
const BESIDE: f64 = 1.19;

/// One level of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// All of it is left to NCCL.
    Untuned,
    Pair(Algorithm, Protocol),
    /// Channels or bytes; `None` is NCCL's own.
    Number(Option<u64>),
}

impl Level {
    fn json(self) -> Value {
        match self {
            Self::Untuned | Self::Number(None) => NCCL.into(),
            Self::Pair(algorithm, protocol) => format!("{algorithm}/{protocol}").into(),
            Self::Number(Some(number)) => number.into(),
        }
    }
}

/// The parameters of some keys that always run the same.
#[derive(Clone, Debug)]
struct Part {
    keys: Vec<KeyFacts>,
    /// Index of its first parameter: pair, channels, chunk, as far as there are any.
    first: usize,
    last: usize,
}

/// Points and policies, one for the other.
#[derive(Clone, Debug)]
pub struct Encoding {
    space: MixedSpace,
    parts: Vec<Part>,
    levels: Vec<Vec<Level>>,
    default: Point,
}

/// Why an object is no configuration of the space.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EncodingError {
    /// No parameter of this name.
    #[error("no parameter {name:?} in the space")]
    Name {
        /// The name.
        name: String,
    },
    /// No level of this value.
    #[error("{name}: {value} is not one of {levels}")]
    Level {
        /// The parameter.
        name: String,
        /// The value.
        value: String,
        /// The levels.
        levels: String,
    },
}

impl Encoding {
    /// Each key by itself.
    pub fn per_key(testbed: &dyn Testbed, keys: &[KeyFacts]) -> Self {
        let mut this = Self::empty();
        for facts in keys {
            this.add(facts.key.to_string(), std::slice::from_ref(facts), testbed);
        }
        this.finish()
    }

    /// One choice for all keys: where a key cannot run it, that key is left to NCCL, as is every
    /// key under the level `nccl`.
    pub fn one_for_all(testbed: &dyn Testbed, keys: &[KeyFacts]) -> Self {
        let mut this = Self::empty();
        this.add("all".to_owned(), keys, testbed);
        this.finish()
    }

    fn empty() -> Self {
        Self {
            space: MixedSpace::default(),
            parts: Vec::new(),
            levels: Vec::new(),
            default: Point(Vec::new()),
        }
    }

    fn finish(mut self) -> Self {
        let default: Vec<u16> = (0..self.levels.len())
            .map(|parameter| self.default_level(parameter))
            .collect();
        self.default = self.space.point(&default);
        self
    }

    fn add(&mut self, name: String, keys: &[KeyFacts], testbed: &dyn Testbed) {
        let Some(first_key) = keys.first() else {
            return;
        };
        let own = testbed.untuned_choice(first_key.key);
        let mut pairs: Vec<(Algorithm, Protocol)> = Vec::new();
        for pair in keys.iter().flat_map(|k| &k.legal.pairs) {
            if !pairs.contains(pair) {
                pairs.push(*pair);
            }
        }
        // The default of one key is a point; that of several is no one choice.
        let untuned = own.map(|own| (own.algorithm, own.protocol));
        let is_point = keys.len() == 1 && untuned.is_some_and(|pair| pairs.contains(&pair));
        let mut kinds: Vec<Level> = Vec::new();
        if let Some(pair) = untuned.filter(|_| is_point) {
            // Level 0 is the default, whatever order the pairs are in.
            kinds.push(Level::Pair(pair.0, pair.1));
        } else {
            kinds.push(Level::Untuned);
        }
        kinds.extend(
            pairs
                .iter()
                .filter(|pair| !(is_point && Some(**pair) == untuned))
                .map(|pair| Level::Pair(pair.0, pair.1)),
        );
        let under = |wanted: &dyn Fn(Protocol) -> bool| -> Vec<u16> {
            let matches = |level: &Level| matches!(level, Level::Pair(_, p) if wanted(*p));
            (0_u16..)
                .zip(&kinds)
                .filter(|(_, level)| matches(level))
                .map(|(index, _)| index)
                .collect()
        };
        let (any, simple) = (under(&|_| true), under(&|p| p == Protocol::Simple));
        let first = self.levels.len();
        let mut parameters = self.space.parameters().to_vec();
        parameters.push(Parameter::categorical(format!("{name}/pair"), kinds.len()));
        self.levels.push(kinds);
        let channels: Vec<u64> = first_key
            .legal
            .channels
            .iter()
            .map(|n| u64::from(*n))
            .collect();
        let own_channels = own.and_then(|c| c.channels).map(u64::from);
        let chunks = &first_key.legal.chunk_bytes;
        let own_chunk = own.and_then(|c| c.chunk_bytes);
        let numbers = [
            ("channels", channels.as_slice(), own_channels, any),
            ("chunk_bytes", chunks.as_slice(), own_chunk, simple),
        ];
        for (what, settable, own, when) in numbers {
            if settable.is_empty() || when.is_empty() {
                continue;
            }
            let (levels, positions) = with_own(settable, own);
            let parameter = Parameter::logarithmic(format!("{name}/{what}"), &positions);
            parameters.push(parameter.only_when(first, when));
            self.levels.push(levels);
        }
        self.parts.push(Part {
            keys: keys.to_vec(),
            first,
            last: parameters.len(),
        });
        self.space = MixedSpace::new(parameters);
    }

    /// The space.
    pub fn space(&self) -> &MixedSpace {
        &self.space
    }

    /// NCCL as it comes.
    pub fn default_point(&self) -> &Point {
        &self.default
    }

    /// What a point stands for.
    pub fn policy(&self, point: &Point) -> Policy {
        let mut policy = Policy::default();
        for part in &self.parts {
            let is_default =
                (part.first..part.last).all(|p| point.level(p) == self.default.level(p));
            let Some(choice) = self.choice(part, point).filter(|_| !is_default) else {
                continue;
            };
            for facts in part.keys.iter().filter(|k| k.legal.allows(&choice)) {
                policy = policy.with_choice(facts.key, Some(choice));
            }
        }
        policy
    }

    fn choice(&self, part: &Part, point: &Point) -> Option<Choice> {
        let level = |parameter: usize| {
            let level = usize::from(point.level(parameter)?);
            self.levels.get(parameter)?.get(level).copied()
        };
        let Some(Level::Pair(algorithm, protocol)) = level(part.first) else {
            return None;
        };
        let mut choice = Choice::new(algorithm, protocol);
        for parameter in part.first + 1..part.last {
            let Some(Level::Number(Some(number))) = level(parameter) else {
                continue;
            };
            if self.space.parameters()[parameter]
                .name
                .ends_with("/channels")
            {
                choice.channels = u32::try_from(number).ok();
            } else {
                choice.chunk_bytes = Some(number);
            }
        }
        Some(choice)
    }

    /// The space in JSON: parameters in order, each with its levels and the condition under which it
    /// exists, and NCCL's default as a configuration.
    pub fn describe(&self) -> Value {
        let parameters: Vec<Value> = self
            .space
            .parameters()
            .iter()
            .zip(&self.levels)
            .map(|(parameter, levels)| {
                let names = |levels: &[Level]| -> Vec<Value> {
                    levels.iter().map(|level| level.json()).collect()
                };
                let mut object = json!({ "name": parameter.name, "levels": names(levels) });
                match &parameter.scale {
                    Scale::Categories(_) => object["kind"] = "categorical".into(),
                    Scale::Ordered(positions) => {
                        object["kind"] = "ordered".into();
                        object["positions"] = json!(positions);
                    }
                }
                if let Some(condition) = &parameter.when {
                    let on = &self.levels[condition.parameter];
                    let under: Vec<Level> = condition
                        .levels
                        .iter()
                        .map(|l| on[usize::from(*l)])
                        .collect();
                    object["when"] = json!({
                        "parameter": self.space.parameters()[condition.parameter].name,
                        "levels": names(&under),
                    });
                }
                object
            })
            .collect();
        json!({ "parameters": parameters, "default": self.object(&self.default) })
    }

    /// A point as an object of names and values; what does not exist there is left out.
    pub fn object(&self, point: &Point) -> Map<String, Value> {
        let parameters = self.space.parameters().iter().enumerate();
        parameters
            .filter_map(|(index, parameter)| {
                let level = self.levels[index].get(usize::from(point.level(index)?))?;
                Some((parameter.name.clone(), level.json()))
            })
            .collect()
    }

    /// The point of an object. What is left out is NCCL's own; what does not exist under the rest is
    /// ignored.
    ///
    /// # Errors
    /// A name or a value that the space does not have.
    pub fn point(&self, object: &Map<String, Value>) -> Result<Point, EncodingError> {
        let names: BTreeMap<&str, usize> = (0..)
            .zip(self.space.parameters())
            .map(|(index, parameter)| (parameter.name.as_str(), index))
            .collect();
        let mut wanted: Vec<u16> = (0..self.levels.len())
            .map(|p| self.default_level(p))
            .collect();
        for (name, value) in object {
            let Some(&parameter) = names.get(name.as_str()) else {
                return Err(EncodingError::Name { name: name.clone() });
            };
            // 8 and 8.0 are one number to most languages.
            let same = |level: &Level| match (level, value.as_f64()) {
                #[allow(clippy::cast_precision_loss)] // channels and chunk sizes
                (Level::Number(Some(number)), Some(asked)) => {
                    (*number as f64).to_bits() == asked.to_bits()
                }
                _ => level.json() == *value,
            };
            let Some(level) = self.levels[parameter].iter().position(same) else {
                let levels: Vec<String> = self.levels[parameter]
                    .iter()
                    .map(|level| level.json().to_string())
                    .collect();
                return Err(EncodingError::Level {
                    name: name.clone(),
                    value: value.to_string(),
                    levels: levels.join(", "),
                });
            };
            wanted[parameter] = u16::try_from(level).unwrap_or(u16::MAX);
        }
        Ok(self.space.point(&wanted))
    }

    /// The keys it decides about.
    pub fn keys(&self) -> impl Iterator<Item = TaskKey> {
        self.parts.iter().flat_map(|p| &p.keys).map(|k| k.key)
    }

    /// The level that leaves a parameter to NCCL.
    fn default_level(&self, parameter: usize) -> u16 {
        let own = |level: &Level| *level == Level::Number(None);
        let found = self.levels[parameter].iter().position(own).unwrap_or(0);
        u16::try_from(found).unwrap_or(0)
    }
}

/// Numbers with "NCCL's own" among them, and where each stands.
#[allow(clippy::cast_precision_loss)] // channels and chunk sizes
fn with_own(settable: &[u64], own: Option<u64>) -> (Vec<Level>, Vec<f64>) {
    let number = own.or(settable.first().copied()).unwrap_or(1);
    let place = if settable.contains(&number) {
        number as f64 * BESIDE
    } else {
        number as f64
    };
    let mut placed: Vec<(f64, Level)> = settable
        .iter()
        .map(|n| (*n as f64, Level::Number(Some(*n))))
        .collect();
    placed.push((place, Level::Number(None)));
    placed.sort_by(|a, b| a.0.total_cmp(&b.0));
    placed.into_iter().map(|(at, level)| (level, at)).unzip()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ccl_sim::noise::{NoiseModel, Scenario};
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::super::suite::Suite;
    use super::*;
    use crate::oracle::space_of;
    use crate::testbed::SimulatedTestbed;

    fn testbed(task: usize) -> SimulatedTestbed {
        let task = Suite::builtin().unwrap().tasks.swap_remove(task);
        let none = NoiseModel::none();
        SimulatedTestbed::new(&task.workload, &task.cluster, none, Scenario::default()).unwrap()
    }

    #[test]
    fn the_space_of_a_key_is_that_of_the_oracle() {
        let testbed = testbed(3);
        for facts in testbed.keys().iter().filter(|k| k.is_tunable()) {
            let encoding = Encoding::per_key(&testbed, std::slice::from_ref(facts));
            let points = encoding.space().points(10_000);
            let found: BTreeSet<Option<Choice>> = points
                .iter()
                .map(|p| encoding.policy(p).choice_for(facts.key))
                .collect();
            assert_eq!(found.len(), points.len());
            let own = testbed.untuned_choice(facts.key).unwrap();
            let expected: BTreeSet<Option<Choice>> = space_of(facts)
                .points()
                .into_iter()
                .map(|c| (c != Choice::new(own.algorithm, own.protocol)).then_some(c))
                .collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_default_is_a_point_and_its_policy_is_empty() {
        for task in 0..Suite::builtin().unwrap().tasks.len() {
            let testbed = testbed(task);
            let keys: Vec<KeyFacts> = testbed
                .keys()
                .iter()
                .filter(|k| k.is_tunable())
                .cloned()
                .collect();
            for encoding in [
                Encoding::per_key(&testbed, &keys),
                Encoding::one_for_all(&testbed, &keys),
            ] {
                assert!(encoding.space().contains(encoding.default_point()));
                assert_eq!(encoding.policy(encoding.default_point()), Policy::default());
                assert_eq!(
                    encoding.point(&Map::new()).unwrap(),
                    *encoding.default_point()
                );
            }
        }
    }

    #[test]
    fn what_is_not_in_the_space_is_refused_by_name() {
        let testbed = testbed(3);
        let facts = testbed.keys().iter().find(|k| k.is_tunable()).unwrap();
        let encoding = Encoding::per_key(&testbed, std::slice::from_ref(facts));
        let point = |value: Value| encoding.point(value.as_object().unwrap());
        let unknown = point(json!({ "speed": 3 })).unwrap_err().to_string();
        assert_eq!(unknown, "no parameter \"speed\" in the space");
        let name = format!("{}/channels", facts.key);
        let wrong = point(json!({ name.clone(): 3 })).unwrap_err().to_string();
        assert!(
            wrong.starts_with(&format!("{name}: 3 is not one of 1")),
            "{wrong}"
        );
        assert_eq!(
            point(json!({ name.clone(): 8 })),
            point(json!({ name: 8.0 }))
        );
    }

    proptest! {
        #[test]
        fn every_point_comes_back_from_its_object_and_can_run(seed: u64) {
            let testbed = testbed(3);
            let keys: Vec<KeyFacts> =
                testbed.keys().iter().filter(|k| k.is_tunable()).cloned().collect();
            for encoding in [
                Encoding::per_key(&testbed, &keys),
                Encoding::one_for_all(&testbed, &keys),
            ] {
                let point = encoding.space().sample(&mut ChaCha8Rng::seed_from_u64(seed));
                prop_assert_eq!(encoding.point(&encoding.object(&point)), Ok(point.clone()));
                prop_assert!(encoding.policy(&point).compile().is_ok());
            }
        }
    }
}
