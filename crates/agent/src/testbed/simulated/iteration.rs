//! One iteration of a simulated job: what its calls take, leased ones among them, and what disturbs it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use ccl_core::{Choice, Configuration, TaskKey};
use ccl_sim::iteration::IterationTime;
use ccl_sim::noise::Fate;

use super::SimulatedTestbed;
use crate::guard::{Approved, Lease};
use crate::testbed::{IterationSample, KeyFacts, KeySample, LeaseSample, TestbedError};

/// Blocks that the leased calls of an iteration are spread over.
const BLOCKS: u64 = 8;
/// Noise streams of one key: one per lease and block, the incumbent's first.
const STREAMS_OF_KEY: u64 = 4096;

/// Noise-free times under one configuration, and with each leased choice on all calls of its key.
pub(super) struct Known {
    configuration: Configuration,
    time: IterationTime,
    with: BTreeMap<(TaskKey, Choice), IterationTime>,
}

impl Known {
    /// Time of an iteration some of whose calls are leased, microseconds: each lease shifts it by its
    /// share of what it would do on all calls.
    pub(super) fn mixed_us(&self, approved: &Approved, keys: &[KeyFacts]) -> f64 {
        let shifts = approved.leases().iter().filter_map(|lease| {
            let with = self.with.get(&(lease.key, lease.choice))?;
            let calls = keys.iter().find(|k| k.key == lease.key)?.calls.max(1);
            #[allow(clippy::cast_precision_loss)] // counts of calls
            let share = lease.calls.min(calls) as f64 / calls as f64;
            Some(share * (with.iteration_us - self.time.iteration_us))
        });
        self.time.iteration_us + shifts.sum::<f64>()
    }
}

/// An iteration's place in the scenario.
#[derive(Clone, Copy)]
struct Now {
    number: u64,
    /// How many times as long everything takes.
    disturbance: f64,
}

impl SimulatedTestbed {
    /// Noise-free times under an approved configuration and with each of its leases on all calls.
    pub(super) fn learn(&mut self, approved: &Approved) -> Result<Known, TestbedError> {
        let configuration = approved.configuration();
        let mut known = match self.known.take() {
            Some(known) if known.configuration == *configuration => known,
            _ => Known {
                configuration: configuration.clone(),
                time: self.evaluate(&configuration.policy)?,
                with: BTreeMap::new(),
            },
        };
        for lease in approved.leases() {
            if let Entry::Vacant(unknown) = known.with.entry((lease.key, lease.choice)) {
                let policy = configuration
                    .policy
                    .with_choice(lease.key, Some(lease.choice));
                unknown.insert(self.evaluate(&policy)?);
            }
        }
        Ok(known)
    }

    /// The choices that somebody asked for and that run in an iteration.
    fn asked_for(&self, approved: &Approved) -> Vec<(TaskKey, Choice)> {
        let policy = &approved.configuration().policy;
        let of_keys = self.keys.iter().filter_map(|facts| {
            let choice = policy.choice_for(facts.key)?;
            (approved.leased_calls(facts.key) < facts.calls).then_some((facts.key, choice))
        });
        let leased = approved.leases().iter().map(|l| (l.key, l.choice));
        of_keys.chain(leased).collect()
    }

    /// What slowed calls add to an iteration, microseconds: as if nothing ran beside them.
    fn slowed_us(&self, number: u64, approved: &Approved, known: &Known) -> f64 {
        let policy = &approved.configuration().policy;
        let mut added_us = 0.0;
        for facts in &self.keys {
            let mut add = |choice: &Choice, calls: u64, time: &IterationTime| {
                let factor = self.scenario.calls_factor(number, facts.key, choice);
                let call_us = time.keys.get(&facts.key).map_or(0.0, |k| k.call_us);
                #[allow(clippy::cast_precision_loss)] // counts of calls
                let calls = calls as f64;
                added_us += calls * call_us * (factor - 1.0);
            };
            if let Some(choice) = policy.choice_for(facts.key) {
                let left = facts.calls.saturating_sub(approved.leased_calls(facts.key));
                add(&choice, left, &known.time);
            }
            for lease in approved.leases().iter().filter(|l| l.key == facts.key) {
                if let Some(with) = known.with.get(&(lease.key, lease.choice)) {
                    add(&lease.choice, lease.calls.min(facts.calls), with);
                }
            }
        }
        added_us
    }

    /// Runs the next iteration.
    ///
    /// # Errors
    /// What the scenario has in store, or a configuration that does not compile.
    pub(super) fn next_iteration(
        &mut self,
        approved: &Approved,
    ) -> Result<IterationSample, TestbedError> {
        let number = self.iteration;
        self.iteration += 1;
        let asked_for = self.asked_for(approved);
        let disturbance = match self.scenario.fate_with(number, &asked_for) {
            Fate::Runs(factor) => factor,
            Fate::Hangs => {
                return Err(TestbedError::Hung {
                    waited_s: approved.deadline_us() / 1e6,
                });
            }
            Fate::Fails => {
                return Err(TestbedError::Failed {
                    reason: "a rank died".to_owned(),
                });
            }
        };
        let known = self.learn(approved)?;
        let quiet_us =
            known.mixed_us(approved, &self.keys) + self.slowed_us(number, approved, &known);
        let now = Now {
            number,
            disturbance,
        };
        let keys = (0..).zip(&self.keys);
        let keys =
            keys.filter_map(|(index, facts)| self.sample_of(index, facts, now, approved, &known));
        let keys = keys.collect();
        let iteration_us = quiet_us * (self.noise.iteration_factor(number) * disturbance);
        self.known = Some(known);
        Ok(IterationSample { iteration_us, keys })
    }

    /// What the calls of the key with this index take.
    fn sample_of(
        &self,
        index: u64,
        facts: &KeyFacts,
        now: Now,
        approved: &Approved,
        known: &Known,
    ) -> Option<KeySample> {
        let time = known.time.keys.get(&facts.key)?;
        let leases = approved.leases().iter().filter(|l| l.key == facts.key);
        let leases: Vec<&Lease> = leases.collect();
        let leased: u64 = leases.iter().map(|l| l.calls).sum();
        let left = facts.calls.saturating_sub(leased);
        // As many blocks as the largest lease has calls, up to a few; the incumbent's calls lie
        // around all of them. Without leases one block of everything.
        let blocks_of = |calls: u64| BLOCKS.min(calls).max(1);
        let blocks = leases.iter().map(|l| blocks_of(l.calls)).max().unwrap_or(1);
        let first_stream = (index + 1) * STREAMS_OF_KEY;
        let policy = &approved.configuration().policy;
        let slow = |choice: Option<Choice>| {
            choice.map_or(1.0, |c| {
                self.scenario.calls_factor(now.number, facts.key, &c)
            })
        };
        let sample = |mean_us: f64, lease: u64, calls: u64, blocks: u64| -> Vec<f64> {
            let calls_of_block = (calls / blocks).max(1);
            let of_block = |block| {
                let stream = first_stream + lease * (BLOCKS + 1) + block;
                let noise = self.noise.calls_factor(now.number, stream, calls_of_block);
                mean_us * noise * now.disturbance
            };
            (0..blocks).map(of_block).collect()
        };
        let calls_us = match left {
            0 => Vec::new(),
            _ => {
                let mean_us = time.call_us * slow(policy.choice_for(facts.key));
                sample(mean_us, 0, left, blocks)
            }
        };
        let of_leases = leases.iter().zip(1..).filter_map(|(lease, slot)| {
            let with = known.with.get(&(lease.key, lease.choice))?;
            let call_us = with.keys.get(&lease.key).map_or(f64::NAN, |k| k.call_us);
            let mean_us = call_us * slow(Some(lease.choice));
            Some(LeaseSample {
                choice: lease.choice,
                calls_us: sample(mean_us, slot, lease.calls, blocks_of(lease.calls)),
            })
        });
        let choice = policy.choice_for(facts.key);
        Some(KeySample {
            key: facts.key,
            calls_us,
            choice: choice.or_else(|| self.untuned.get(&facts.key).copied()),
            leases: of_leases.collect(),
        })
    }
}
