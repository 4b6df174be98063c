//! What could have been found: the noise-free best of the per-call space.
//!
//! Every point of every key, one key after the other, until a whole turn changes nothing. Keys
//! whose calls are exposed add up, so their turn is exhaustive in the strict sense; keys that share
//! one stretch of computation depend on each other, which is what the further turns are for. The
//! agent never sees any of this.

use ccl_core::{Choice, Policy, TaskKey};
use ccl_search::Space;

use crate::summary::Oracle;
use crate::testbed::{KeyFacts, Testbed, TestbedError};

/// Turns over all keys after which the best is taken as it stands.
const MOST_TURNS: u32 = 4;
/// The space of a key.
pub fn space_of(facts: &KeyFacts) -> Space {
    Space {
        pairs: facts.legal.pairs.clone(),
        channels: facts.legal.channels.clone(),
        chunk_bytes: facts.legal.chunk_bytes.clone(),
        only: facts.legal.only.clone(),
    }
}

/// Searches the whole space and says how much of its gain `found` captures. A gain below
/// `minimum_effect`, a share of the iteration, is nothing to gain.
///
/// # Errors
/// A testbed that does not know noise-free times.
pub fn oracle(
    testbed: &dyn Testbed,
    found: &Policy,
    minimum_effect: f64,
) -> Result<Oracle, TestbedError> {
    let keys: Vec<&KeyFacts> = testbed
        .keys()
        .iter()
        .filter(|k| k.key.collective.is_tunable())
        .collect();
    let untuned_us = testbed.oracle_iteration_us(&[])?;
    let mut best: Vec<(TaskKey, Choice)> = Vec::new();
    let mut best_us = untuned_us;
    for _ in 0..MOST_TURNS {
        let before = best_us;
        for facts in &keys {
            let others: Vec<_> = best
                .iter()
                .copied()
                .filter(|(k, _)| *k != facts.key)
                .collect();
            for choice in space_of(facts).points() {
                let mut with = others.clone();
                with.push((facts.key, choice));
                // A point without a figure is no candidate for the best.
                let Ok(us) = testbed.oracle_iteration_us(&with) else {
                    continue;
                };
                if us < best_us {
                    (best_us, best) = (us, with);
                }
            }
        }
        if best_us >= before {
            break;
        }
    }
    let ours: Vec<(TaskKey, Choice)> = keys
        .iter()
        .filter_map(|k| found.choice_for(k.key).map(|choice| (k.key, choice)))
        .collect();
    let ours_us = testbed.oracle_iteration_us(&ours)?;
    let captured = if untuned_us - best_us < minimum_effect * untuned_us {
        1.0
    } else {
        (untuned_us - ours_us) / (untuned_us - best_us)
    };
    Ok(Oracle {
        iteration_ms: best_us / 1e3,
        captured,
    })
}
