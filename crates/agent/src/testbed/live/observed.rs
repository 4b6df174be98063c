//! The records of one iteration, by call.

use std::collections::BTreeMap;

use ccl_abi::shared::job::CommunicatorName;
use ccl_core::{Choice, CommShape, TaskKey};

use super::facts::Learnt;
use super::plan::Orders;
use crate::live::leases::{Block, Dealt};
use crate::observe::seen::Seen;
use crate::testbed::{KeySample, LeaseSample, TestbedError};

/// A communicator's shape, as task keys have it.
pub(super) fn shape_of(name: CommunicatorName) -> CommShape {
    let part = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    CommShape::new(part(name.ranks), part(name.nodes))
}

/// The communicator of a record; `None` where the interface did not say.
pub(super) fn name_of(seen: &Seen) -> Option<CommunicatorName> {
    let member = seen.member?;
    Some(CommunicatorName {
        id: member.id,
        ranks: member.ranks.into(),
        nodes: member.nodes.into(),
    })
}

/// One call on all its ranks.
#[derive(Clone, Debug, Default)]
struct OfCall {
    ranks: u64,
    /// Microseconds. The rank that comes last waits for nobody: its time is the call's own.
    shortest_us: f64,
    choices: Vec<Choice>,
}

/// All calls of one iteration.
#[derive(Clone, Debug)]
pub(super) struct Collected {
    iteration: u64,
    calls: BTreeMap<(CommunicatorName, usize), OfCall>,
}

impl Collected {
    pub(super) fn new(iteration: u64) -> Self {
        let calls = BTreeMap::new();
        Self { iteration, calls }
    }

    /// Adds a record, if it is of this iteration.
    pub(super) fn add(&mut self, seen: &Seen, learnt: &Learnt) {
        let Some(name) = name_of(seen) else { return };
        let Some(known) = learnt.communicators.get(&name) else {
            return;
        };
        let position = known
            .pattern
            .position(seen.collective, seen.record.sequence);
        let Some(position) = position.filter(|p| p.iteration == self.iteration) else {
            return;
        };
        let key = TaskKey::of(shape_of(name), seen.collective, seen.bytes());
        if known.pattern.keys().get(position.index) != Some(&key) {
            return;
        }
        #[allow(clippy::cast_precision_loss)] // far below 2^53 ns
        let us = seen.record.duration_ns as f64 / 1e3;
        let of_call = self.calls.entry((name, position.index)).or_default();
        of_call.shortest_us = match of_call.ranks {
            0 => us,
            _ => of_call.shortest_us.min(us),
        };
        of_call.ranks += 1;
        if !of_call.choices.contains(&seen.choice) {
            of_call.choices.push(seen.choice);
        }
    }

    /// Whether every call of every communicator was seen on all ranks.
    pub(super) fn is_complete(&self, learnt: &Learnt) -> bool {
        learnt.communicators.iter().all(|(name, known)| {
            (0..known.pattern.calls()).all(|index| {
                let of_call = self.calls.get(&(*name, index));
                of_call.is_some_and(|of_call| of_call.ranks >= name.ranks)
            })
        })
    }

    /// Whether what ran is what was ordered, on all ranks that were seen.
    ///
    /// # Errors
    /// The first call of which it is not.
    pub(super) fn compare_with(&self, orders: &Orders) -> Result<(), TestbedError> {
        for ((name, index), of_call) in &self.calls {
            if let [first, other, ..] = of_call.choices[..]
                && (first.algorithm, first.protocol, first.channels)
                    != (other.algorithm, other.protocol, other.channels)
            {
                return Err(TestbedError::Failed {
                    reason: format!(
                        "ranks of {} ran call {index} as {first} and as {other}",
                        name.file()
                    ),
                });
            }
            let Some(Some(ordered)) = orders.get(&(*name, *index)) else {
                continue;
            };
            let differs = of_call.choices.iter().find(|ran| {
                (ran.algorithm, ran.protocol) != (ordered.algorithm, ordered.protocol)
                    || ordered.channels.is_some_and(|n| ran.channels != Some(n))
            });
            if let Some(ran) = differs {
                return Err(TestbedError::NotFollowed {
                    reason: format!("{ordered} was ordered and NCCL ran {ran}"),
                });
            }
        }
        Ok(())
    }

    /// What was seen of a key. Blocks with a call of which no record came have no value.
    pub(super) fn sample(
        &self,
        key: TaskKey,
        learnt: &Learnt,
        dealt: &dyn Fn(&[TaskKey]) -> Vec<Dealt>,
    ) -> KeySample {
        let mut calls_us = Vec::new();
        let mut leases: Vec<LeaseSample> = Vec::new();
        let mut choice = None;
        for (name, known) in &learnt.communicators {
            let dealt = dealt(known.pattern.keys());
            let Some(of_key) = dealt.into_iter().find(|of_key| of_key.key == key) else {
                continue;
            };
            let mean = |block: &Block| self.mean_us(*name, block);
            let incumbent: Vec<Option<f64>> = of_key.incumbent.iter().map(mean).collect();
            let first = of_key.incumbent.first().and_then(|block| block.first());
            choice = choice.or_else(|| self.choice(*name, *first?));
            let mut complete = vec![true; incumbent.len()];
            let blocks: Vec<(Choice, Vec<Option<f64>>)> = of_key
                .leases
                .iter()
                .map(|(choice, blocks)| (*choice, blocks.iter().map(mean).collect()))
                .collect();
            for (_, of_lease) in &blocks {
                for (slot, us) in complete.iter_mut().zip(of_lease) {
                    *slot &= us.is_some();
                }
            }
            let is_kept = |slot: usize| {
                complete.get(slot).is_none_or(|complete| *complete)
                    && incumbent.get(slot).is_none_or(Option::is_some)
            };
            let kept = |values: &[Option<f64>]| -> Vec<f64> {
                let of_slot = values.iter().enumerate();
                of_slot
                    .filter(|(slot, _)| is_kept(*slot))
                    .filter_map(|(_, us)| *us)
                    .collect()
            };
            calls_us.extend(kept(&incumbent));
            for (choice, of_lease) in blocks {
                let values = kept(&of_lease);
                match leases.iter_mut().find(|lease| lease.choice == choice) {
                    Some(lease) => lease.calls_us.extend(values),
                    None => leases.push(LeaseSample {
                        choice,
                        calls_us: values,
                    }),
                }
            }
        }
        KeySample {
            key,
            calls_us,
            choice,
            leases,
        }
    }

    fn mean_us(&self, name: CommunicatorName, block: &Block) -> Option<f64> {
        let times: Option<Vec<f64>> = block
            .iter()
            .map(|index| {
                self.calls
                    .get(&(name, *index))
                    .map(|of_call| of_call.shortest_us)
            })
            .collect();
        let times = times.filter(|times| !times.is_empty())?;
        #[allow(clippy::cast_precision_loss)] // a count of calls
        Some(times.iter().sum::<f64>() / times.len() as f64)
    }

    fn choice(&self, name: CommunicatorName, index: usize) -> Option<Choice> {
        self.calls.get(&(name, index))?.choices.first().copied()
    }
}
