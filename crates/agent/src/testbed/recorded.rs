//! The recorded testbed: what somebody measured earlier stands in for the machine.
//!
//! Exact points only: nothing is interpolated between sizes, algorithms or protocols, and what is
//! not on record is not measurable here. Repeats give the noise; a point without repeats has
//! none to show, so this testbed says how small a difference its figures can tell
//! ([`TestbedInfo::resolution`]) instead of making noise up.

mod points;
#[cfg(test)]
mod tests;

use ccl_core::{Choice, NcclVersion, NotMeasured, Source, Sweep, TaskKey};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use thiserror::Error;

use self::points::{ProtocolOf, RecordedKey, record};
use super::{
    IterationSample, KeyFacts, KeySample, LeaseSample, Testbed, TestbedError, TestbedInfo,
};
use crate::guard::{Approved, ApprovedProbe};

/// Smallest difference that figures taken once can show, as a share: run-to-run variation of
/// nccl-tests on a quiet machine is 1-3 % (the repeated points of the published sweeps).
const RESOLUTION_WITHOUT_REPEATS: f64 = 0.03;

/// Why a sweep cannot stand in for this job.
#[derive(Debug, Error)]
pub enum RecordedError {
    /// The sweep was taken under several conditions.
    #[error(
        "the sweep mixes {} conditions; the first two: {first}; {second}",
        count
    )]
    Mixed {
        /// How many.
        count: usize,
        /// One of them.
        first: String,
        /// Another.
        second: String,
    },
    /// Nothing of this job's collectives is on record.
    #[error("{0}")]
    NotMeasured(#[from] NotMeasured),
    /// The sweep is empty.
    #[error("the sweep holds no points")]
    Empty,
}

/// A job whose calls were all measured earlier.
pub struct RecordedTestbed {
    info: TestbedInfo,
    keys: Vec<KeyFacts>,
    recorded: Vec<RecordedKey>,
    compute_us: f64,
    rng: ChaCha8Rng,
}

impl RecordedTestbed {
    /// A job that makes `calls` (key, bytes, count) and computes for `compute_us` beside them.
    ///
    /// # Errors
    /// A sweep of several machines or releases, or one without the untuned times of these calls.
    pub fn new(
        sweep: &Sweep,
        cluster: &str,
        nccl_version: NcclVersion,
        calls: &[(TaskKey, u64, u64)],
        compute_us: f64,
        protocol_of: &ProtocolOf<'_>,
        seed: u64,
    ) -> Result<Self, RecordedError> {
        let conditions = match sweep.conditions()[..] {
            [] => return Err(RecordedError::Empty),
            [one] => one.clone(),
            [first, second, ..] => {
                return Err(RecordedError::Mixed {
                    count: sweep.conditions().len(),
                    first: first.to_string(),
                    second: second.to_string(),
                });
            }
        };
        let mut recorded = Vec::new();
        for &(key, bytes, count) in calls {
            recorded.push(record(sweep, &conditions, key, bytes, count, protocol_of)?);
        }
        let repeated = recorded
            .iter()
            .flat_map(|k| k.points.values())
            .all(|samples| samples.len() > 1);
        let mut notes = vec![
            format!("every time was measured earlier by somebody else: {conditions}"),
            "points that were not recorded cannot be tried".to_owned(),
        ];
        if !repeated {
            notes.push(format!(
                "points without repeats: differences below {:.0} % are not told apart",
                100.0 * RESOLUTION_WITHOUT_REPEATS
            ));
        }
        Ok(Self {
            info: TestbedInfo {
                kind: "recorded",
                source: Source::Recorded,
                cluster: cluster.to_owned(),
                nccl_version,
                resolution: if repeated {
                    0.0
                } else {
                    RESOLUTION_WITHOUT_REPEATS
                },
                notes,
            },
            keys: recorded.iter().map(|k| k.facts.clone()).collect(),
            recorded,
            compute_us,
            rng: ChaCha8Rng::seed_from_u64(seed),
        })
    }

    fn key(&self, key: TaskKey) -> Result<&RecordedKey, TestbedError> {
        self.recorded
            .iter()
            .find(|k| k.facts.key == key)
            .ok_or_else(|| TestbedError::NotMeasurable {
                reason: format!("{key} was not recorded"),
            })
    }

    fn samples(&self, key: TaskKey, choice: Option<Choice>) -> Result<&[f64], TestbedError> {
        self.key(key)?
            .points
            .get(&choice)
            .map(Vec::as_slice)
            .ok_or_else(|| {
                let what = choice.map_or("untuned NCCL".to_owned(), |c| c.to_string());
                TestbedError::NotMeasurable {
                    reason: format!("{what} was not recorded on {key}"),
                }
            })
    }

    /// One of the samples, drawn with the seed.
    fn draw(&mut self, key: TaskKey, choice: Option<Choice>) -> Result<f64, TestbedError> {
        let count = self.samples(key, choice)?.len();
        let index = self.rng.random_range(0..count.max(1));
        let samples = self.samples(key, choice)?;
        samples
            .get(index)
            .copied()
            .ok_or_else(|| TestbedError::NotMeasurable {
                reason: format!("{key} has no samples"),
            })
    }
}

impl Testbed for RecordedTestbed {
    fn describe(&self) -> &TestbedInfo {
        &self.info
    }

    fn keys(&self) -> &[KeyFacts] {
        &self.keys
    }

    /// A sweep says what was asked of NCCL, not what NCCL chose by itself.
    fn untuned_choice(&self, _key: TaskKey) -> Option<Choice> {
        None
    }

    fn run_iteration(&mut self, approved: &Approved) -> Result<IterationSample, TestbedError> {
        let mut iteration_us = self.compute_us;
        let mut keys = Vec::new();
        for facts in self.keys.clone() {
            let choice = approved.configuration().policy.choice_for(facts.key);
            let mut leased = 0;
            let mut leases = Vec::new();
            for lease in approved.leases().iter().filter(|l| l.key == facts.key) {
                let call_us = self.draw(lease.key, Some(lease.choice))?;
                let calls = lease.calls.min(facts.calls - leased);
                leased += calls;
                #[allow(clippy::cast_precision_loss)] // counts of calls
                let all_us = calls as f64 * call_us;
                iteration_us += all_us;
                leases.push(LeaseSample {
                    choice: lease.choice,
                    calls_us: vec![call_us],
                });
            }
            let left = facts.calls - leased;
            let mut calls_us = Vec::new();
            if left > 0 {
                let call_us = self.draw(facts.key, choice)?;
                #[allow(clippy::cast_precision_loss)] // counts of calls
                let all_us = left as f64 * call_us;
                iteration_us += all_us;
                calls_us.push(call_us);
            }
            keys.push(KeySample {
                key: facts.key,
                calls_us,
                choice,
                leases,
            });
        }
        Ok(IterationSample { iteration_us, keys })
    }

    fn probe(
        &mut self,
        approved: &ApprovedProbe,
        repetitions: u32,
    ) -> Result<Vec<f64>, TestbedError> {
        (0..repetitions)
            .map(|_| self.draw(approved.key(), approved.choice()))
            .collect()
    }

    fn oracle_iteration_us(&self, choices: &[(TaskKey, Choice)]) -> Result<f64, TestbedError> {
        let mut iteration_us = self.compute_us;
        for facts in &self.keys {
            let choice = choices
                .iter()
                .find(|(k, _)| *k == facts.key)
                .map(|(_, c)| *c);
            let median = ccl_search::median(self.samples(facts.key, choice)?);
            #[allow(clippy::cast_precision_loss)] // counts of calls
            let calls = facts.calls as f64;
            iteration_us += calls * median.unwrap_or(f64::NAN);
        }
        Ok(iteration_us)
    }
}
