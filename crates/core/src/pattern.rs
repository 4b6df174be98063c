//! What several choices have in common: the culprit of a failure is rarely one choice alone.
//!
//! A run that fails with LL128 on eight channels may fail with LL128 on any, or with any protocol on eight
//! channels, or for this size only. A pattern says which of these is meant. Not here: how likely each is.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Algorithm, Choice, Collective, CommShape, Protocol, SizeBucket, TaskKey, format_bytes,
};

/// A set of choices on a set of keys; a part that is `None` matches everything.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(default)]
pub struct ChoicePattern {
    /// The communicator's shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<CommShape>,
    /// The collective.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collective: Option<Collective>,
    /// The size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<SizeBucket>,
    /// The algorithm asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<Algorithm>,
    /// The protocol asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// The channel count asked for; a choice that leaves it to NCCL does not match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<u32>,
    /// The chunk asked for, bytes; a choice that leaves it to NCCL does not match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk_bytes: Option<u64>,
}

/// Parts of a pattern.
const PARTS: u32 = 7;

impl ChoicePattern {
    /// Everything that is known of this choice on this key: nothing but it matches.
    pub fn of(key: TaskKey, choice: &Choice) -> Self {
        Self {
            shape: Some(key.shape),
            collective: Some(key.collective),
            bucket: Some(key.bucket),
            algorithm: Some(choice.algorithm),
            protocol: Some(choice.protocol),
            channels: choice.channels,
            chunk_bytes: choice.chunk_bytes,
        }
    }

    /// Whether this choice on this key is meant.
    pub fn matches(&self, key: TaskKey, choice: &Choice) -> bool {
        fn fits<T: PartialEq>(wanted: Option<T>, found: Option<T>) -> bool {
            wanted.is_none() || wanted == found
        }
        let found = Self::of(key, choice);
        fits(self.shape, found.shape)
            && fits(self.collective, found.collective)
            && fits(self.bucket, found.bucket)
            && fits(self.algorithm, found.algorithm)
            && fits(self.protocol, found.protocol)
            && fits(self.channels, found.channels)
            && fits(self.chunk_bytes, found.chunk_bytes)
    }

    /// Whether it says anything about the choice, and not about keys alone.
    pub fn is_about_choices(&self) -> bool {
        self.algorithm.is_some()
            || self.protocol.is_some()
            || self.channels.is_some()
            || self.chunk_bytes.is_some()
    }

    /// The widest patterns that match this choice and about which nothing is known to be good: what is
    /// new about it. `is_known` says whether something that matches is known to be good. None when every
    /// part and every combination of parts is known, the choice itself included.
    pub fn new_about(key: TaskKey, choice: &Choice, is_known: impl Fn(&Self) -> bool) -> Vec<Self> {
        let whole = Self::of(key, choice);
        let mut subsets: Vec<u32> = (0..1 << PARTS).collect();
        subsets.sort_by_key(|parts| parts.count_ones());
        let mut found: Vec<(u32, Self)> = Vec::new();
        for parts in subsets {
            let pattern = whole.only(parts);
            let is_covered = found.iter().any(|(wider, _)| parts & wider == *wider);
            if pattern.parts() != parts
                || is_covered
                || !pattern.is_about_choices()
                || is_known(&pattern)
            {
                continue;
            }
            found.push((parts, pattern));
        }
        found.into_iter().map(|(_, pattern)| pattern).collect()
    }

    /// Which parts say something, as bits.
    fn parts(&self) -> u32 {
        [
            self.shape.is_some(),
            self.collective.is_some(),
            self.bucket.is_some(),
            self.algorithm.is_some(),
            self.protocol.is_some(),
            self.channels.is_some(),
            self.chunk_bytes.is_some(),
        ]
        .iter()
        .zip(0..)
        .map(|(said, bit)| u32::from(*said) << bit)
        .sum()
    }

    fn only(&self, parts: u32) -> Self {
        let has = |bit: u32| parts >> bit & 1 == 1;
        Self {
            shape: self.shape.filter(|_| has(0)),
            collective: self.collective.filter(|_| has(1)),
            bucket: self.bucket.filter(|_| has(2)),
            algorithm: self.algorithm.filter(|_| has(3)),
            protocol: self.protocol.filter(|_| has(4)),
            channels: self.channels.filter(|_| has(5)),
            chunk_bytes: self.chunk_bytes.filter(|_| has(6)),
        }
    }
}

impl fmt::Display for ChoicePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<String> = Vec::new();
        words.extend(self.algorithm.map(|a| a.to_string()));
        words.extend(self.protocol.map(|p| p.to_string()));
        words.extend(self.channels.map(|n| format!("{n}ch")));
        words.extend(
            self.chunk_bytes
                .map(|n| format!("chunk {}", format_bytes(n))),
        );
        if words.is_empty() {
            words.push("any choice".to_owned());
        }
        words.extend(self.collective.map(|c| format!("on {c}")));
        words.extend(
            self.bucket
                .map(|b| format!("of {}", format_bytes(b.min_bytes()))),
        );
        words.extend(self.shape.map(|s| format!("at {s}")));
        write!(f, "{}", words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(log2: u8) -> TaskKey {
        TaskKey::of(CommShape::new(8, 1), Collective::AllReduce, 1 << log2)
    }

    const RING: Choice = Choice::new(Algorithm::Ring, Protocol::Simple);

    #[test]
    fn what_is_new_is_the_widest_that_never_ran() {
        let ran = [
            (key(20), RING.with_channels(8)),
            (key(22), RING.with_channels(4)),
        ];
        let known = |p: &ChoicePattern| ran.iter().any(|(k, c)| p.matches(*k, c));
        let new = |key, choice: Choice| -> Vec<String> {
            let new = ChoicePattern::new_about(key, &choice, known);
            new.iter().map(ToString::to_string).collect()
        };
        assert_eq!(new(key(20), RING.with_channels(16)), ["16ch"]);
        let tree = Choice::new(Algorithm::Tree, Protocol::Simple).with_channels(8);
        assert_eq!(new(key(20), tree), ["Tree"]);
        // Both counts ran, but not four channels for the smaller size.
        assert_eq!(new(key(20), RING.with_channels(4)), ["4ch of 1 MiB"]);
        assert_eq!(new(key(20), RING.with_channels(8)), Vec::<String>::new());
    }

    fn choices() -> impl Strategy<Value = (TaskKey, Choice)> {
        let pairs = prop::sample::select(vec![
            (Algorithm::Ring, Protocol::Simple),
            (Algorithm::Ring, Protocol::Ll),
            (Algorithm::Tree, Protocol::Simple),
            (Algorithm::Tree, Protocol::Ll128),
        ]);
        (
            20u8..23,
            pairs,
            prop::option::of(1u32..4),
            prop::option::of(15u32..17),
        )
            .prop_map(|(log2, (algorithm, protocol), channels, chunk)| {
                let choice = Choice {
                    channels,
                    chunk_bytes: chunk.map(|n| 1 << n),
                    ..Choice::new(algorithm, protocol)
                };
                (key(log2), choice)
            })
    }

    proptest! {
        /// Whatever pattern the culprit is: if nothing that matches it ever ran well and this choice
        /// matches it, then everything that matches it is among what is new about this choice.
        #[test]
        fn no_culprit_hides_outside_of_what_is_new(
            ran in prop::collection::vec(choices(), 0..6),
            (failed_key, failed) in choices(),
            parts in 0u32..1 << PARTS,
            (other_key, other) in choices(),
        ) {
            let culprit = ChoicePattern::of(failed_key, &failed).only(parts);
            let known = |p: &ChoicePattern| ran.iter().any(|(k, c)| p.matches(*k, c));
            prop_assume!(culprit.is_about_choices() && !known(&culprit));
            let new = ChoicePattern::new_about(failed_key, &failed, known);
            if culprit.matches(other_key, &other) {
                prop_assert!(new.iter().any(|p| p.matches(other_key, &other)));
            }
            for (key, choice) in &ran {
                prop_assert!(!new.iter().any(|p| p.matches(*key, choice)));
            }
        }
    }
}
