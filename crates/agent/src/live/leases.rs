//! Which calls of an iteration run a candidate: blocks of leased calls, each beside a block of the
//! incumbent's, spread over the iteration.

use std::collections::BTreeSet;

use ccl_abi::shared::Rule;
use ccl_core::{Choice, CommShape, Policy, TaskKey};

use super::pilot::Segment;
use crate::guard::Lease;

/// Blocks that the leased calls of an iteration are spread over.
const BLOCKS: usize = 8;

/// Some calls of one key in an iteration, by their indexes.
pub type Block = Vec<usize>;

/// The calls of one key, dealt out.
#[derive(Clone, Debug, PartialEq)]
pub struct Dealt {
    /// The key.
    pub key: TaskKey,
    /// The incumbent's blocks.
    pub incumbent: Vec<Block>,
    /// Each lease's choice and blocks; block `i` ran beside the incumbent's block `i`. One that found no
    /// room has none.
    pub leases: Vec<(Choice, Vec<Block>)>,
}

/// Deals out the calls of a key, given by their indexes, among its leases. A key with a single call
/// gives it to its first lease.
pub fn deal(key: TaskKey, calls: &[usize], leases: &[&Lease]) -> Dealt {
    // Blocks that are compared have one size: no lease gets more than the smallest of them.
    let smallest = leases.iter().map(|lease| lease.calls).min().unwrap_or(0);
    let of_lease = usize::try_from(smallest)
        .unwrap_or(usize::MAX)
        .min(calls.len());
    let mut dealt = Dealt {
        key,
        incumbent: Vec::new(),
        leases: leases
            .iter()
            .map(|lease| (lease.choice, Vec::new()))
            .collect(),
    };
    match (calls, dealt.leases.first_mut()) {
        (_, None) => dealt.incumbent.push(calls.to_vec()),
        ([only], Some((_, blocks))) if of_lease > 0 => blocks.push(vec![*only]),
        _ if of_lease == 0 => dealt.incumbent.push(calls.to_vec()),
        _ => {
            let blocks = BLOCKS.min(of_lease).max(1);
            let of_block = (of_lease / blocks).max(1);
            let part = calls.len() / blocks;
            for calls in calls.chunks_exact(part.max(1)).take(blocks) {
                let mut chunks = calls.chunks_exact(of_block.min(part.max(1)));
                dealt.incumbent.extend(chunks.next().map(<[usize]>::to_vec));
                for (_, blocks) in &mut dealt.leases {
                    blocks.extend(chunks.next().map(<[usize]>::to_vec));
                }
            }
        }
    }
    dealt
}

/// The rules of a policy for communicators of a shape, as a log has them. `None` when one cannot be
/// written there: a thread count, or a collective no tuner is asked about.
pub fn rules(policy: &Policy, shape: CommShape) -> Option<Vec<Rule>> {
    let of_shape = policy.rules.iter().filter(|rule| rule.shape == shape);
    of_shape
        .map(|rule| {
            let id = rule.collective.nccl_id()?;
            packed(id, rule.min_bytes, rule.max_bytes, &rule.choice)
        })
        .collect()
}

fn rule_of(key: TaskKey, choice: &Choice) -> Option<Rule> {
    packed(
        key.collective.nccl_id()?,
        key.bucket.min_bytes(),
        key.bucket.max_bytes(),
        choice,
    )
}

fn packed(collective: u32, min_bytes: u64, max_bytes: u64, choice: &Choice) -> Option<Rule> {
    let id = |n: u32| u8::try_from(n).ok();
    choice.threads.is_none().then_some(())?;
    let rule = Rule {
        collective: id(collective)?,
        min_bytes,
        max_bytes,
        algorithm: id(choice.algorithm.nccl_id())?,
        protocol: id(choice.protocol.nccl_id())?,
        channels: id(choice.channels.unwrap_or(0))?,
        chunk_bytes: choice.chunk_bytes.unwrap_or(0),
    };
    rule.is_sane().then_some(rule)
}

/// Entries for one iteration of a communicator: `base` everywhere, and before it each lease's rule
/// for its blocks. `at` says from which call on of the communicator an index applies.
pub fn segments(base: &[Rule], dealt: &[Dealt], at: impl Fn(usize) -> u64) -> Option<Vec<Segment>> {
    let mut spans: Vec<(usize, usize, Rule)> = Vec::new();
    for of_key in dealt {
        for (choice, blocks) in &of_key.leases {
            for block in blocks {
                let (Some(first), Some(last)) = (block.first(), block.last()) else {
                    continue;
                };
                spans.push((*first, last + 1, rule_of(of_key.key, choice)?));
            }
        }
    }
    let edges: BTreeSet<usize> = spans
        .iter()
        .flat_map(|(from, to, _)| [*from, *to])
        .chain([0])
        .collect();
    let segment = |edge: usize| {
        let leased = spans
            .iter()
            .filter(|(from, to, _)| (*from..*to).contains(&edge))
            .map(|(_, _, rule)| *rule);
        Segment {
            from: at(edge),
            rules: leased.chain(base.iter().copied()).collect(),
        }
    };
    Some(edges.into_iter().map(segment).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ccl_core::{Algorithm, Collective, Protocol};
    use proptest::prelude::*;

    use super::*;

    const SHAPE: CommShape = CommShape::new(8, 1);

    fn key(log2: u8) -> TaskKey {
        TaskKey::of(SHAPE, Collective::AllReduce, 1 << log2)
    }

    fn choice(channels: u32) -> Choice {
        Choice::new(Algorithm::Ring, Protocol::Simple).with_channels(channels)
    }

    fn lease(log2: u8, channels: u32, calls: u64) -> Lease {
        Lease {
            key: key(log2),
            choice: choice(channels),
            calls,
        }
    }

    #[test]
    fn a_single_call_goes_to_the_lease_and_two_make_a_pair() {
        let one = lease(20, 4, 1);
        let single = deal(key(20), &[7], &[&one]);
        assert_eq!(
            (single.incumbent.len(), &single.leases[0].1),
            (0, &vec![vec![7]])
        );
        let pair = deal(key(20), &[3, 9], &[&one]);
        assert_eq!(
            (pair.incumbent, &pair.leases[0].1),
            (vec![vec![3]], &vec![vec![9]])
        );
        // No room for a second.
        let crowded = deal(key(20), &[3, 9], &[&one, &lease(20, 8, 1)]);
        assert!(crowded.leases[1].1.is_empty());
        let alone = deal(key(20), &[3, 9], &[]);
        assert_eq!(alone.incumbent, vec![vec![3, 9]]);
    }

    proptest! {
        /// Every call runs what it was dealt for, no lease gets more calls than approved, blocks are
        /// pairs of one size, and no call is in two.
        #[test]
        fn the_entries_say_what_was_dealt(
            pattern in prop::collection::vec(10u8..14, 1..200),
            sizes in prop::collection::vec((10u8..14, 1u64..40), 0..6),
            ratio in 1u64..3,
        ) {
            let leases: Vec<Lease> = sizes
                .iter()
                .zip(1..)
                .map(|((log2, calls), channels)| lease(*log2, channels, *calls))
                .collect();
            let dealt: Vec<Dealt> = (10u8..14)
                .map(|log2| {
                    let calls: Vec<usize> = pattern
                        .iter()
                        .enumerate()
                        .filter(|(_, of)| **of == log2)
                        .map(|(index, _)| index)
                        .collect();
                    let of_key: Vec<&Lease> =
                        leases.iter().filter(|l| l.key == key(log2)).collect();
                    deal(key(log2), &calls, &of_key)
                })
                .collect();
            let incumbent = Policy::default().with_choice(key(11), Some(choice(64)));
            let base = rules(&incumbent, SHAPE).unwrap();
            let entries = segments(&base, &dealt, |index| 100 + ratio * index as u64).unwrap();
            prop_assert_eq!(entries[0].from, 100);
            prop_assert!(entries.windows(2).all(|pair| pair[0].from < pair[1].from));
            // After the iteration nothing is leased.
            prop_assert_eq!(&entries.last().unwrap().rules, &base);
            let mut expected: Vec<Option<u32>> =
                pattern.iter().map(|log2| (*log2 == 11).then_some(64)).collect();
            let mut used = BTreeSet::new();
            for of_key in &dealt {
                for (choice, blocks) in &of_key.leases {
                    let lease = leases.iter().find(|l| l.choice == *choice).unwrap();
                    let calls: usize = blocks.iter().map(Vec::len).sum();
                    prop_assert!(calls as u64 <= lease.calls);
                    for index in blocks.iter().flatten() {
                        prop_assert!(used.insert(*index));
                        expected[*index] = choice.channels;
                    }
                    for (a, b) in blocks.iter().zip(&of_key.incumbent) {
                        prop_assert!(a.len() == b.len());
                    }
                }
            }
            for (index, log2) in pattern.iter().enumerate() {
                for asked in 0..ratio {
                    let call = 100 + ratio * index as u64 + asked;
                    let entry = entries.iter().rev().find(|e| e.from <= call).unwrap();
                    let ran = entry.rules.iter().find(|rule| rule.matches(4, 1 << log2));
                    let channels = ran.map(|rule| u32::from(rule.channels));
                    prop_assert_eq!(channels, expected[index], "call {}", index);
                }
            }
        }
    }
}
