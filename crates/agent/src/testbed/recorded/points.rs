//! What a sweep has on record of one key.

use std::collections::BTreeMap;

use ccl_core::{Algorithm, Asked, Cell, Choice, Conditions, Protocol, Sweep, TaskKey};

use super::RecordedError;
use crate::testbed::{KeyFacts, LegalChoices};

/// The protocol a sweep meant where it named an algorithm alone; `None` leaves the point out.
pub type ProtocolOf<'a> = dyn Fn(&Cell, Algorithm) -> Option<Protocol> + 'a;

/// One key with all that was measured of it.
pub(super) struct RecordedKey {
    pub(super) facts: KeyFacts,
    /// Samples in microseconds; `None` is untuned NCCL.
    pub(super) points: BTreeMap<Option<Choice>, Vec<f64>>,
}

/// The points of one key, at exactly its size.
///
/// # Errors
/// Where untuned NCCL was not measured at it.
pub(super) fn record(
    sweep: &Sweep,
    conditions: &Conditions,
    key: TaskKey,
    bytes: u64,
    calls: u64,
    protocol_of: &ProtocolOf<'_>,
) -> Result<RecordedKey, RecordedError> {
    let cell = Cell {
        conditions: conditions.clone(),
        shape: key.shape,
        collective: key.collective,
        bytes,
    };
    let mut points: BTreeMap<Option<Choice>, Vec<f64>> = BTreeMap::new();
    points.insert(None, sweep.samples_us(&cell, Asked::DEFAULT)?);
    let here = sweep
        .cells()
        .find(|(c, _)| **c == cell)
        .map(|(_, asked)| asked);
    for (asked, samples) in here.into_iter().flatten() {
        let Some(algorithm) = asked.algorithm else {
            continue;
        };
        let logged = samples
            .first()
            .and_then(|p| p.ran)
            .map(|(_, protocol)| protocol);
        let protocol = asked
            .protocol
            .or(logged)
            .or_else(|| protocol_of(&cell, algorithm));
        let Some(protocol) = protocol else { continue };
        let choice = Choice {
            channels: asked.channels,
            threads: asked.threads,
            chunk_bytes: asked.chunk_bytes,
            ..Choice::new(algorithm, protocol)
        };
        points
            .entry(Some(choice))
            .or_default()
            .extend(samples.iter().map(|p| p.time_us));
    }
    let only: Vec<Choice> = points.keys().copied().flatten().collect();
    let mut pairs: Vec<_> = only.iter().map(|c| (c.algorithm, c.protocol)).collect();
    pairs.dedup();
    let legal = LegalChoices {
        pairs,
        only: Some(only),
        ..LegalChoices::default()
    };
    Ok(RecordedKey {
        facts: KeyFacts {
            key,
            bytes,
            calls,
            overlapped: false,
            legal,
        },
        points,
    })
}
