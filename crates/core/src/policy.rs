//! Policies: ranges of sizes mapped to choices, compiled to a table that answers in one search.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Choice, ChoiceError, Collective, CommShape, TaskKey};

/// One row of a policy: calls of this shape and collective with a size in the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rule {
    /// The communicator's shape; a rule is never carried to another scale.
    pub shape: CommShape,
    /// The collective.
    pub collective: Collective,
    /// Smallest size, in bytes, inclusive.
    pub min_bytes: u64,
    /// Largest size, in bytes, inclusive.
    pub max_bytes: u64,
    /// What to run.
    pub choice: Choice,
}

impl Rule {
    /// The rule for exactly one task key.
    pub fn for_key(key: TaskKey, choice: Choice) -> Self {
        let TaskKey {
            shape,
            collective,
            bucket,
        } = key;
        Self {
            shape,
            collective,
            min_bytes: bucket.min_bytes(),
            max_bytes: bucket.max_bytes(),
            choice,
        }
    }
}

/// A set of rules; calls no rule matches keep NCCL's own choice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Policy {
    /// The rules, in no particular order; they may not overlap.
    pub rules: Vec<Rule>,
}

/// Why a policy does not compile.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// A rule asks for something no NCCL can run.
    #[error("rule {index} ({collective} {min_bytes}..={max_bytes} bytes): {reason}")]
    Choice {
        /// Position in the policy, from 0.
        index: usize,
        /// The rule's collective.
        collective: Collective,
        /// The rule's smallest size.
        min_bytes: u64,
        /// The rule's largest size.
        max_bytes: u64,
        /// What is impossible.
        reason: ChoiceError,
    },
    /// A range that holds nothing.
    #[error("rule {index}: smallest size {min_bytes} is above the largest {max_bytes}")]
    EmptyRange {
        /// Position in the policy, from 0.
        index: usize,
        /// The rule's smallest size.
        min_bytes: u64,
        /// The rule's largest size.
        max_bytes: u64,
    },
    /// Two rules claim the same call: which one wins would depend on their order.
    #[error("two rules for {collective} on {shape} overlap at {bytes} bytes")]
    Overlap {
        /// The shape both name.
        shape: CommShape,
        /// The collective both name.
        collective: Collective,
        /// A size both claim.
        bytes: u64,
    },
}

impl Policy {
    /// Compiles to a table.
    ///
    /// # Errors
    /// When a rule is impossible or empty, or two rules overlap.
    pub fn compile(&self) -> Result<DecisionTable, PolicyError> {
        let mut table: BTreeMap<(CommShape, Collective), Vec<Range>> = BTreeMap::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let Rule {
                shape,
                collective,
                min_bytes,
                max_bytes,
                choice,
            } = *rule;
            choice
                .check(collective)
                .map_err(|reason| PolicyError::Choice {
                    index,
                    collective,
                    min_bytes,
                    max_bytes,
                    reason,
                })?;
            if min_bytes > max_bytes {
                return Err(PolicyError::EmptyRange {
                    index,
                    min_bytes,
                    max_bytes,
                });
            }
            table.entry((shape, collective)).or_default().push(Range {
                min_bytes,
                max_bytes,
                choice,
            });
        }
        for ((shape, collective), ranges) in &mut table {
            ranges.sort_by_key(|r| r.min_bytes);
            if let Some(pair) = ranges.windows(2).find(|w| w[0].max_bytes >= w[1].min_bytes) {
                return Err(PolicyError::Overlap {
                    shape: *shape,
                    collective: *collective,
                    bytes: pair[1].min_bytes,
                });
            }
        }
        Ok(DecisionTable { table })
    }

    /// The choice of the first rule that covers this key's smallest size.
    pub fn choice_for(&self, key: TaskKey) -> Option<Choice> {
        let bytes = key.bucket.min_bytes();
        self.rules
            .iter()
            .find(|r| {
                r.shape == key.shape
                    && r.collective == key.collective
                    && (r.min_bytes..=r.max_bytes).contains(&bytes)
            })
            .map(|r| r.choice)
    }

    /// The same policy with this key's choice replaced; `None` gives the key back to NCCL.
    pub fn with_choice(&self, key: TaskKey, choice: Option<Choice>) -> Self {
        let of_key = |r: &Rule| Rule::for_key(key, r.choice) == *r;
        let mut rules: Vec<Rule> = self.rules.iter().copied().filter(|r| !of_key(r)).collect();
        rules.extend(choice.map(|c| Rule::for_key(key, c)));
        rules.sort_by_key(|r| (r.shape, r.collective, r.min_bytes));
        Self { rules }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    min_bytes: u64,
    max_bytes: u64,
    choice: Choice,
}

/// A compiled policy: sorted, disjoint ranges per shape and collective.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecisionTable {
    table: BTreeMap<(CommShape, Collective), Vec<Range>>,
}

impl DecisionTable {
    /// The choice for one call; `None` keeps NCCL's own.
    pub fn lookup(&self, shape: CommShape, collective: Collective, bytes: u64) -> Option<Choice> {
        let ranges = self.table.get(&(shape, collective))?;
        let after = ranges.partition_point(|r| r.min_bytes <= bytes);
        let range = ranges.get(after.checked_sub(1)?)?;
        (bytes <= range.max_bytes).then_some(range.choice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, Protocol};

    const SHAPE: CommShape = CommShape::new(8, 1);

    fn rule(min_bytes: u64, max_bytes: u64) -> Rule {
        let choice = Choice::new(Algorithm::Ring, Protocol::Simple);
        Rule {
            shape: SHAPE,
            collective: Collective::AllReduce,
            min_bytes,
            max_bytes,
            choice,
        }
    }

    #[test]
    fn the_table_answers_at_the_edges() {
        let policy = Policy {
            rules: vec![rule(100, 199), rule(10, 19)],
        };
        let table = policy.compile().unwrap();
        let hit = |bytes| table.lookup(SHAPE, Collective::AllReduce, bytes).is_some();
        let hits = [9, 10, 19, 20, 99, 100, 199, 200].map(hit);
        assert_eq!(hits, [false, true, true, false, false, true, true, false]);
        assert!(
            table
                .lookup(CommShape::new(16, 2), Collective::AllReduce, 15)
                .is_none()
        );
        assert!(table.lookup(SHAPE, Collective::AllGather, 15).is_none());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let overlap = Policy {
            rules: vec![rule(10, 20), rule(20, 30)],
        };
        assert!(matches!(
            overlap.compile(),
            Err(PolicyError::Overlap { bytes: 20, .. })
        ));
        let empty = Policy {
            rules: vec![rule(10, 9)],
        };
        assert!(matches!(
            empty.compile(),
            Err(PolicyError::EmptyRange { .. })
        ));
        let mut nvls = rule(1, 2);
        nvls.choice = Choice::new(Algorithm::Nvls, Protocol::Ll);
        let impossible = Policy { rules: vec![nvls] }.compile().unwrap_err();
        assert!(
            impossible
                .to_string()
                .contains("NVLS runs with Simple only")
        );
    }

    #[test]
    fn a_key_is_replaced_and_given_back() {
        let key = TaskKey::of(SHAPE, Collective::AllReduce, 80 << 20);
        let one = Choice::new(Algorithm::Ring, Protocol::Simple);
        let two = Choice::new(Algorithm::Tree, Protocol::Ll);
        let policy = Policy::default()
            .with_choice(key, Some(one))
            .with_choice(key, Some(two));
        assert_eq!(policy.rules.len(), 1);
        assert_eq!(policy.choice_for(key), Some(two));
        assert_eq!(policy.with_choice(key, None), Policy::default());
    }
}
