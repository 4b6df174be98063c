//! The recorded testbed: what somebody measured earlier stands in for the machine.
//!
//! Exact points only: nothing is interpolated between sizes, algorithms or protocols, and what is
//! not on record is not measurable here. Repeats give the noise; a point without repeats has
//! none to show, so this testbed says how small a difference its figures can tell
//! ([`TestbedInfo::resolution`]) instead of making noise up.

use std::collections::BTreeMap;

use ccl_core::{
    Algorithm, Asked, Cell, Choice, Conditions, NcclVersion, NotMeasured, Protocol, Source, Sweep,
    TaskKey,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use thiserror::Error;

use super::{
    IterationSample, KeyFacts, KeySample, LeaseSample, LegalChoices, Testbed, TestbedError,
    TestbedInfo,
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

/// The protocol a sweep meant where it named an algorithm alone; `None` leaves the point out.
pub type ProtocolOf<'a> = dyn Fn(&Cell, Algorithm) -> Option<Protocol> + 'a;

struct RecordedKey {
    facts: KeyFacts,
    /// Samples in microseconds; `None` is untuned NCCL.
    points: BTreeMap<Option<Choice>, Vec<f64>>,
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

fn record(
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

#[cfg(test)]
mod tests {
    use ccl_core::{Collective, CommShape, read_measured_csv};

    use super::*;
    use crate::guard::{Bounds, Guard, Lease};

    /// Published points of 8xB300 (eunomia-bpf/nccl-eBPF), AllReduce of 8 MiB.
    const SWEEP: &str = "dataset,gpu,gpus_per_node,nodes,ranks,intra,network,nccl,collective,bytes,algorithm,protocol,channels,threads,chunk_bytes,settings,concurrent_compute,time_us,busbw_gbs,source\n\
        x,B300,8,1,8,NVLink5,none,2.29.7,AllReduce,8388608,default,,,,,,,,300.0,x\n\
        x,B300,8,1,8,NVLink5,none,2.29.7,AllReduce,8388608,Ring,Simple,,,,,,,400.0,x\n";

    fn testbed() -> RecordedTestbed {
        let sweep = read_measured_csv(SWEEP).unwrap();
        let key = TaskKey::of(CommShape::new(8, 1), Collective::AllReduce, 8 << 20);
        let version = NcclVersion::new(2, 29, 7);
        RecordedTestbed::new(
            &sweep,
            "b300",
            version,
            &[(key, 8 << 20, 4)],
            10.0,
            &|_, _| None,
            1,
        )
        .unwrap()
    }

    #[test]
    fn only_what_is_on_record_can_be_tried() {
        let mut testbed = testbed();
        let key = testbed.keys()[0].key;
        let guard = Guard::new(Bounds::default(), testbed.keys());
        let ring = Choice::new(Algorithm::Ring, Protocol::Simple);
        let tree = Choice::new(Algorithm::Tree, Protocol::Simple);
        assert!(guard.approve_probe(key, Some(tree)).is_err());
        let untuned = guard.approve_probe(key, None).unwrap();
        let times = testbed.probe(&untuned, 3).unwrap();
        assert!(
            times.iter().all(|t| (t - times[0]).abs() < 1e-12),
            "no made-up noise"
        );
        let leases = [Lease {
            key,
            choice: ring,
            calls: 1,
        }];
        // One of four calls is more than a lease may take, but a lease has at least one.
        let mixed = guard
            .approve_with_leases(&Default::default(), &leases)
            .unwrap();
        let with = testbed.run_iteration(&mixed).unwrap();
        let without = testbed.run_iteration(&guard.approve_untuned()).unwrap();
        let saved = without.iteration_us - with.iteration_us;
        assert!(
            (saved - times[0] / 4.0).abs() < 1e-6,
            "a quarter less on one of four calls"
        );
        assert!(testbed.describe().resolution > 0.0);
    }

    #[test]
    fn a_size_between_two_recorded_ones_is_not_made_up() {
        let sweep = read_measured_csv(SWEEP).unwrap();
        let key = TaskKey::of(CommShape::new(8, 1), Collective::AllReduce, 9 << 20);
        let version = NcclVersion::new(2, 29, 7);
        let none = |_: &Cell, _: Algorithm| None;
        let result =
            RecordedTestbed::new(&sweep, "b300", version, &[(key, 9 << 20, 1)], 0.0, &none, 1);
        assert!(matches!(
            result,
            Err(RecordedError::NotMeasured(NotMeasured::Size { .. }))
        ));
    }
}
