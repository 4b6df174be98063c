//! Which call of a training iteration is which: iterations repeat, so a call is known by how many of its
//! collective came before on its communicator.

use std::collections::BTreeMap;

use ccl_core::{Collective, CommShape, TaskKey};
use thiserror::Error;

/// One call, as a rank recorded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// What was called.
    pub collective: Collective,
    /// Its size, bytes, as NCCL tells a tuner.
    pub bytes: u64,
    /// How many of this collective came before on this communicator.
    pub sequence: u64,
}

/// Where in the job a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The iteration, counted from the pattern's first.
    pub iteration: u64,
    /// Which of the iteration's calls on this communicator.
    pub index: usize,
}

/// The calls of one communicator in an iteration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    keys: Vec<TaskKey>,
    bytes: Vec<u64>,
    /// Of each collective: how many came before the pattern's first iteration, and where in an
    /// iteration its calls are.
    by_collective: BTreeMap<Collective, (u64, Vec<usize>)>,
}

/// Why there is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    /// An iteration without a call on this communicator.
    #[error("no call was seen in an iteration")]
    Empty,
    /// A call that is missing, or that came from elsewhere.
    #[error("{collective} number {expected} is missing; {found} came instead")]
    Gap {
        /// Its collective.
        collective: Collective,
        /// The number that should have come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// Two iterations are not alike.
    #[error("iterations differ from call {index} on")]
    Differs {
        /// Which of an iteration's calls.
        index: usize,
    },
}

impl Pattern {
    /// The pattern of iterations that are alike, given one rank's calls in the order of enqueuing.
    ///
    /// # Errors
    /// Iterations that differ, or that were not seen in full.
    pub fn of(shape: CommShape, iterations: &[Vec<Call>]) -> Result<Self, PatternError> {
        let first = iterations.first().filter(|calls| !calls.is_empty());
        let first = first.ok_or(PatternError::Empty)?;
        let key = |call: &Call| TaskKey::of(shape, call.collective, call.bytes);
        let mut by_collective: BTreeMap<Collective, (u64, Vec<usize>)> = BTreeMap::new();
        for (index, call) in first.iter().enumerate() {
            let entry = by_collective.entry(call.collective);
            let (_, positions) = entry.or_insert((call.sequence, Vec::new()));
            positions.push(index);
        }
        let mut next: BTreeMap<Collective, u64> = by_collective
            .iter()
            .map(|(c, (base, _))| (*c, *base))
            .collect();
        for calls in iterations {
            let pairs = calls.iter().zip(first);
            let differs = pairs.clone().position(|(a, b)| key(a) != key(b));
            let differs = differs.or((calls.len() != first.len()).then_some(pairs.count()));
            if let Some(index) = differs {
                return Err(PatternError::Differs { index });
            }
            for call in calls {
                let expected = next.entry(call.collective).or_default();
                if call.sequence != *expected {
                    return Err(PatternError::Gap {
                        collective: call.collective,
                        expected: *expected,
                        found: call.sequence,
                    });
                }
                *expected += 1;
            }
        }
        Ok(Self {
            keys: first.iter().map(key).collect(),
            bytes: first.iter().map(|call| call.bytes).collect(),
            by_collective,
        })
    }

    /// Calls of an iteration; never 0.
    pub fn calls(&self) -> usize {
        self.keys.len()
    }

    /// The keys of an iteration's calls, in order.
    pub fn keys(&self) -> &[TaskKey] {
        &self.keys
    }

    /// The sizes of an iteration's calls, bytes, in order.
    pub fn bytes(&self) -> &[u64] {
        &self.bytes
    }

    /// Calls that came before the pattern's first iteration.
    pub fn calls_before(&self) -> u64 {
        self.by_collective.values().map(|(base, _)| base).sum()
    }

    /// Where a call is; `None` for one before the first iteration or of a kind that does not occur.
    pub fn position(&self, collective: Collective, sequence: u64) -> Option<Position> {
        let (base, indexes) = self.by_collective.get(&collective)?;
        let since = sequence.checked_sub(*base)?;
        let of_iteration = indexes.len() as u64;
        let index = usize::try_from(since % of_iteration).ok()?;
        Some(Position {
            iteration: since / of_iteration,
            index: *indexes.get(index)?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use Collective::{AllGather, AllReduce};

    /// `calls` per iteration, `before` of each collective before.
    fn iterations(kinds: &[(Collective, u64)], before: u64, count: usize) -> Vec<Vec<Call>> {
        let mut next: BTreeMap<Collective, u64> = BTreeMap::new();
        let one = |_| {
            let calls = kinds.iter().map(|(collective, bytes)| {
                let sequence = next.entry(*collective).or_insert(before);
                *sequence += 1;
                Call {
                    collective: *collective,
                    bytes: *bytes,
                    sequence: *sequence - 1,
                }
            });
            calls.collect()
        };
        (0..count).map(one).collect()
    }

    const KINDS: [(Collective, u64); 4] = [
        (AllGather, 1024),
        (AllReduce, 64),
        (AllGather, 1024),
        (AllReduce, 4096),
    ];

    #[test]
    fn every_call_has_its_place() {
        let seen = iterations(&KINDS, 10, 3);
        let pattern = Pattern::of(CommShape::new(8, 1), &seen).unwrap();
        assert_eq!((pattern.calls(), pattern.calls_before()), (4, 20));
        for (iteration, calls) in (0..).zip(&seen) {
            for (index, call) in calls.iter().enumerate() {
                let found = pattern.position(call.collective, call.sequence).unwrap();
                assert_eq!(found, Position { iteration, index });
            }
        }
        assert_eq!(pattern.position(AllReduce, 9), None);
        assert_eq!(pattern.position(Collective::Reduce, 10), None);
        let later = pattern.position(AllReduce, 10 + 2 * 1000 + 1);
        assert_eq!(
            later,
            Some(Position {
                iteration: 1000,
                index: 3
            })
        );
    }

    #[test]
    fn what_does_not_repeat_is_none() {
        let shape = CommShape::new(8, 1);
        assert_eq!(Pattern::of(shape, &[]), Err(PatternError::Empty));
        let mut seen = iterations(&KINDS, 0, 2);
        seen[1][2].bytes = 1 << 20;
        assert_eq!(
            Pattern::of(shape, &seen),
            Err(PatternError::Differs { index: 2 })
        );
        let mut seen = iterations(&KINDS, 0, 2);
        seen[1].pop();
        assert_eq!(
            Pattern::of(shape, &seen),
            Err(PatternError::Differs { index: 3 })
        );
        let mut seen = iterations(&KINDS, 0, 2);
        seen[1][0].sequence = 7;
        let gap = PatternError::Gap {
            collective: AllGather,
            expected: 2,
            found: 7,
        };
        assert_eq!(Pattern::of(shape, &seen), Err(gap));
    }
}
