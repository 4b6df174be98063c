//! One communicator's log in the pilot's hands.

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use ccl_abi::shared::job::{CommunicatorName, GEOMETRY, parts};
use ccl_abi::shared::{Mapping, Process, Roll, State, Unclaimed, Writer};

use super::{Followed, Segment, SteerError};

/// How far ahead of the fastest rank the horizon is kept.
const LEAD: Duration = Duration::from_millis(40);
/// The least of it, calls: a rank that begins is not waited for.
const LEAST_LEAD: u64 = 32;
/// Over how long a rank's pace is measured.
const PACE_OVER: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Log {
    mapping: Mapping,
    /// Calls of the fastest rank some moments ago, to know its pace.
    paced: (Instant, u64),
    lead: u64,
}

impl Log {
    /// The log in a file, if it is whole and ours to write.
    pub(super) fn open(path: &Path, me: Process) -> Option<Self> {
        let mapping = Mapping::existing(path).ok()?;
        let (log, roll) = parts(mapping.words())?;
        // Not complete yet, or not ours to write: another agent's job directory.
        Roll::again(roll)?;
        match Writer::claim(log, me, Process::is_gone) {
            Ok(writer) => writer.beat(),
            // This process claimed it before, as after a pilot that was dropped.
            Err(Unclaimed::Held(holder)) if holder == me => {}
            Err(_) => return None,
        }
        Some(Self {
            mapping,
            paced: (Instant::now(), 0),
            lead: LEAST_LEAD,
        })
    }

    pub(super) fn parts(&self) -> Option<(Writer<'_, AtomicU64>, Roll<'_, AtomicU64>)> {
        let (log, roll) = parts(self.mapping.words())?;
        Some((Writer::new(log).ok()?, Roll::again(roll)?))
    }

    pub(super) fn followed(&self, name: CommunicatorName) -> Option<Followed> {
        let (writer, roll) = self.parts()?;
        let state = writer.state();
        Some(Followed {
            name,
            state,
            ranks: roll.present().collect(),
            entries_left: GEOMETRY.slots.saturating_sub(state.entries),
            nccl_version: roll.nccl_version(),
        })
    }

    /// Moves the horizon ahead of the fastest rank.
    pub(super) fn keep(&mut self, now: Instant) {
        let Some((writer, roll)) = self.parts() else {
            return;
        };
        let calls = roll.present().map(|rank| rank.calls).max().unwrap_or(0);
        let (since, before) = self.paced;
        let elapsed = now.duration_since(since);
        let mut lead = self.lead;
        let mut paced = self.paced;
        if elapsed >= PACE_OVER {
            let made = u128::from(calls.saturating_sub(before));
            let ahead = made * LEAD.as_nanos() / elapsed.as_nanos().max(1);
            lead = u64::try_from(ahead).unwrap_or(u64::MAX / 2).max(LEAST_LEAD);
            paced = (now, calls);
        }
        writer.beat();
        let horizon = calls.saturating_add(lead);
        if horizon > writer.state().horizon {
            // A log that ranks froze stays as it is; whoever steers next is told.
            let _ = writer.extend(horizon.min(State::FOR_EVER - 1));
        }
        self.lead = lead;
        self.paced = paced;
    }

    pub(super) fn append(
        &self,
        name: CommunicatorName,
        segments: &[Segment],
    ) -> Result<(), SteerError> {
        let (writer, _) = self.parts().ok_or(SteerError::Unknown { name })?;
        segments
            .iter()
            .try_for_each(|segment| {
                writer.append(segment.from, &segment.rules, segment.from.saturating_add(1))
            })
            .map_err(|why| SteerError::Refused { name, why })
    }
}
