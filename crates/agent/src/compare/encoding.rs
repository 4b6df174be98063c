//! Configurations of a job as points of one mixed space, for searches that know nothing of NCCL.
//!
//! For each task key that matters: algorithm and protocol (a category), channels, and, where the
//! protocol is Simple, the chunk. "NCCL's own" is a level of channels and chunk, standing where
//! NCCL's own number for the key would, so that the space holds exactly the points of the oracle
//! and NCCL's default is one of them. The same encoding serves the comparison and
//! `ccl-agent objective`.

mod build;
mod json;
#[cfg(test)]
mod tests;

use ccl_core::{Algorithm, Choice, Policy, Protocol, TaskKey};
use ccl_search::{MixedSpace, Point};

use crate::testbed::KeyFacts;
pub use json::EncodingError;

/// One level of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// All of it is left to NCCL.
    Untuned,
    Pair(Algorithm, Protocol),
    /// Channels or bytes; `None` is NCCL's own.
    Number(Option<u64>),
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

impl Encoding {
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
