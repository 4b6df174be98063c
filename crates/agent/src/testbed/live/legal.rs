//! The units of tuning of a job: its keys, what NCCL chooses for them, and what may be asked for instead.

use std::collections::BTreeMap;

use ccl_abi::shared::job::CommunicatorName;
use ccl_core::{Algorithm, Choice, Protocol, TaskKey};

use super::LiveJob;
use super::facts::Known;
use super::observed::{name_of, shape_of};
use crate::live::pilot::Followed;
use crate::observe::seen::Seen;
use crate::testbed::{KeyFacts, LegalChoices};

/// Channel counts worth asking for.
const CHANNELS: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Protocols in a row of a rank's mask of impossible pairs.
const PROTOCOLS: u32 = 3;

/// The key of a record; `None` where its communicator is not known.
pub(super) fn key_of(one: &Seen) -> Option<TaskKey> {
    let name = name_of(one)?;
    Some(TaskKey::of(shape_of(name), one.collective, one.bytes()))
}
/// What NCCL chose most often for each key.
pub(super) fn untuned(seen: &[Seen]) -> BTreeMap<TaskKey, Choice> {
    let mut counts: BTreeMap<TaskKey, BTreeMap<Choice, u64>> = BTreeMap::new();
    for one in seen {
        if let Some(key) = key_of(one) {
            let choice = Choice {
                threads: None,
                ..one.choice
            };
            *counts.entry(key).or_default().entry(choice).or_default() += 1;
        }
    }
    counts
        .into_iter()
        .filter_map(|(key, counts)| {
            let most = counts.into_iter().max_by_key(|(_, count)| *count);
            most.map(|(choice, _)| (key, choice))
        })
        .collect()
}

/// The units of tuning.
pub(super) fn keys(
    job: &LiveJob,
    communicators: &BTreeMap<CommunicatorName, Known>,
    followed: &[Followed],
    seen: &[Seen],
) -> Vec<KeyFacts> {
    // Communicators of one shape have one policy, and what one of them shows holds for all.
    let mut facts: BTreeMap<TaskKey, KeyFacts> = BTreeMap::new();
    for (name, known) in communicators {
        let mut sizes: BTreeMap<TaskKey, BTreeMap<u64, u64>> = BTreeMap::new();
        for (key, bytes) in known.pattern.keys().iter().zip(known.pattern.bytes()) {
            *sizes.entry(*key).or_default().entry(*bytes).or_default() += 1;
        }
        for (key, sizes) in sizes {
            let of = followed
                .iter()
                .filter(|f| shape_of(f.name) == shape_of(*name));
            facts.entry(key).or_insert_with(|| KeyFacts {
                key,
                bytes: sizes
                    .iter()
                    .max_by_key(|(_, count)| **count)
                    .map_or(0, |(bytes, _)| *bytes),
                calls: sizes.values().sum(),
                overlapped: !(job.is_exposed)(key),
                legal: legal(key, of, seen),
            });
        }
    }
    facts.into_values().collect()
}

/// What no rank of any communicator of the shape ruled out, on as many channels as NCCL itself was seen
/// to use there.
fn legal<'a>(
    key: TaskKey,
    followed: impl Iterator<Item = &'a Followed>,
    seen: &[Seen],
) -> LegalChoices {
    let id = key
        .collective
        .nccl_id()
        .and_then(|id| usize::try_from(id).ok());
    let mut impossible = 0;
    for rank in followed.flat_map(|f| &f.ranks) {
        let of_rank = id.and_then(|id| rank.impossible.get(id).copied().flatten());
        // A rank that was never asked has not said what it can run.
        impossible |= of_rank.unwrap_or(u32::MAX);
    }
    let can = |a: Algorithm, p: Protocol| {
        let pair = a.nccl_id() * PROTOCOLS + p.nccl_id();
        impossible & 1 << pair == 0 && a.serves(key.collective) && a.speaks(p)
    };
    let pairs = Algorithm::ALL
        .into_iter()
        .flat_map(|a| Protocol::ALL.map(|p| (a, p)))
        .filter(|(a, p)| can(*a, *p))
        .collect();
    let of_shape = seen
        .iter()
        .filter(|one| key_of(one).is_some_and(|other| other.shape == key.shape));
    let most = of_shape
        .filter_map(|one| one.choice.channels)
        .max()
        .unwrap_or(0);
    LegalChoices {
        pairs,
        channels: CHANNELS.into_iter().filter(|n| *n <= most).collect(),
        chunk_bytes: Vec::new(),
        only: None,
    }
}
