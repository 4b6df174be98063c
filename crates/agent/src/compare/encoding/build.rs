//! The space of some keys: parameters, their levels, and where each level stands.

use ccl_core::{Algorithm, Protocol};
use ccl_search::{MixedSpace, Parameter, Point};

use super::{Encoding, Level, Part};
use crate::testbed::{KeyFacts, Testbed};

/// Where "NCCL's own" stands beside a level of the same number: a quarter of an octave above, for
/// every level needs a place of its own.
const BESIDE: f64 = 1.19;

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
