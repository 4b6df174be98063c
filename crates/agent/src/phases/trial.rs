//! One trial: several candidates leased inside the same iterations, each judged against the
//! incumbent calls beside it.
//!
//! A task key occurs thousands of times in a training iteration, so a candidate needs only a
//! small share of one iteration to be compared, and many candidates fit into the same one. Each
//! lease gives blocks of calls that ran next to blocks of incumbent calls: pairs, whatever the
//! machine did meanwhile. Keys whose calls hide behind computation are judged by the iteration
//! instead, because there a faster call can make a slower job.

use ccl_core::{Candidate, Choice, Interval, Outcome, TraceEvent};
use ccl_search::{Decision, SequentialComparison};

use crate::guard::Lease;
use crate::testbed::{IterationSample, TestbedError};
use crate::tuner::{RunError, Tried, Tuner};

/// Most iterations one trial of leases may take; a key with a single call needs two for a pair.
const MOST_LEASE_ITERATIONS: u32 = 24;
/// Pairs after which a lease that is still undecided is given up.
const MOST_PAIRS: u32 = 48;
/// Most pairs of iterations one trial of an overlapped key may take.
const MOST_ITERATION_PAIRS: u32 = 12;
/// Pairs after which a lease is given up when what it would gain of the iteration is below
/// [`WORTH_PURSUING`].
const PAIRS_TO_SEE_VALUE: u32 = 4;
/// Share of the iteration that a candidate must promise to be pursued: a job's call that occurs
/// once an iteration costs two iterations a pair.
pub(super) const WORTH_PURSUING: f64 = 0.002;
/// Chance of keeping a candidate that is not better; a wrong one costs a little, and the final
/// comparison on fresh pairs does not depend on it.
const TRIAL_ALPHA: f64 = 0.05;

/// A candidate under comparison.
struct Contender {
    candidate: Candidate,
    /// The key's share of the iteration.
    share: f64,
    comparison: SequentialComparison,
    /// The value of a lease that took a key's only call, waiting for its partner.
    unpaired_us: Option<f64>,
    ended: Option<(Outcome, String)>,
}

impl Contender {
    fn is_open(&self) -> bool {
        self.ended.is_none()
            && self.comparison.pairs() < MOST_PAIRS
            && self.is_worth_pursuing()
            && self.comparison.decision() == Decision::Continue
    }

    fn is_worth_pursuing(&self) -> bool {
        let gain = self.share * (1.0 - self.median().unwrap_or(0.0));
        self.comparison.pairs() < PAIRS_TO_SEE_VALUE || gain >= WORTH_PURSUING
    }

    fn median(&self) -> Option<f64> {
        self.comparison.median_ratio()
    }
}

impl Tuner<'_> {
    /// Tries candidates, judges them, and makes the best of each key its incumbent.
    pub(super) fn trial(&mut self, round: u32, candidates: Vec<Candidate>) -> Result<(), RunError> {
        let overlapped = candidates.iter().any(|c| {
            self.situation
                .key(c.key)
                .is_some_and(|k| k.facts.overlapped)
        });
        let new = |candidate: Candidate, this: &Self| Contender {
            share: this
                .situation
                .key(candidate.key)
                .map_or(0.0, |k| k.observed.share),
            candidate,
            comparison: SequentialComparison::new(TRIAL_ALPHA, this.options.minimum_effect),
            unpaired_us: None,
            ended: None,
        };
        let mut contenders: Vec<Contender> = candidates.into_iter().map(|c| new(c, self)).collect();
        let metric = if overlapped { "iteration" } else { "call" };
        if overlapped {
            self.compare_iterations(round, &mut contenders)?;
        } else {
            self.compare_leases(round, &mut contenders)?;
        }
        self.judge(contenders, metric)
    }

    /// Leases all contenders in the same iterations until each is decided.
    fn compare_leases(&mut self, round: u32, contenders: &mut [Contender]) -> Result<(), RunError> {
        for iteration in 0..MOST_LEASE_ITERATIONS {
            let leases: Vec<Lease> = contenders
                .iter()
                .filter(|c| c.is_open() && c.unpaired_us.is_none())
                .map(|c| Lease {
                    key: c.candidate.key,
                    choice: c.candidate.choice,
                    calls: if iteration == 0 {
                        self.guard.calls_of_a_canary(c.candidate.key)
                    } else {
                        self.guard.calls_of_one_lease(c.candidate.key)
                    },
                })
                .collect();
            if !contenders.iter().any(Contender::is_open) {
                break;
            }
            let approved = self.guard.approve_with_leases(&self.incumbent, &leases)?;
            if iteration == 0 {
                let ids = contenders
                    .iter()
                    .map(|c| c.candidate.id)
                    .collect::<Vec<_>>();
                let first: u64 = leases.iter().map(|l| l.calls).sum();
                let then: u64 = leases
                    .iter()
                    .map(|l| self.guard.calls_of_one_lease(l.key))
                    .sum();
                self.emit(TraceEvent::Applied {
                    round,
                    candidates: ids,
                    how: format!(
                        "{first} leased calls in the first iteration, then {then}, the incumbent \
                         beside them"
                    ),
                })?;
            }
            match self.spend(&approved) {
                Ok(sample) => self.take_pairs(&sample, contenders, iteration == 0),
                Err(error) => {
                    fail_all(contenders, &error);
                    break;
                }
            }
            if self
                .must_stop()
                .is_some_and(|(why, _)| why != ccl_core::StoppedBecause::Budget)
            {
                break;
            }
        }
        Ok(())
    }

    fn take_pairs(&self, sample: &IterationSample, contenders: &mut [Contender], canary: bool) {
        for contender in contenders.iter_mut().filter(|c| c.ended.is_none()) {
            let Some(key) = sample
                .keys
                .iter()
                .find(|k| k.key == contender.candidate.key)
            else {
                continue;
            };
            if let Some(candidate_us) = contender.unpaired_us.take() {
                if let Some(&incumbent_us) = key.calls_us.first() {
                    contender.comparison.push(incumbent_us, candidate_us);
                }
                continue;
            }
            let leased = key
                .leases
                .iter()
                .find(|l| l.choice == contender.candidate.choice);
            let Some(leased) = leased else { continue };
            if key.calls_us.is_empty() {
                contender.unpaired_us = leased.calls_us.first().copied();
                continue;
            }
            for (&incumbent_us, &candidate_us) in key.calls_us.iter().zip(&leased.calls_us) {
                contender.comparison.push(incumbent_us, candidate_us);
            }
            let ratio = contender.median().unwrap_or(1.0);
            if canary && self.guard.canary_failed(ratio) {
                contender.ended = Some((
                    Outcome::RolledBackCanary,
                    format!("the first calls took {ratio:.2} times as long; no more were spent"),
                ));
            }
        }
    }

    /// Runs each contender on all calls, iteration beside iteration with the incumbent.
    fn compare_iterations(
        &mut self,
        round: u32,
        contenders: &mut [Contender],
    ) -> Result<(), RunError> {
        for contender in contenders.iter_mut() {
            let Candidate {
                id, key, choice, ..
            } = contender.candidate;
            // A few calls first: a choice that is hopeless as a call is not worth an iteration.
            let calls = self.guard.calls_of_a_canary(key);
            let canary = self
                .guard
                .approve_with_leases(&self.incumbent, &[Lease { key, choice, calls }])?;
            self.emit(TraceEvent::Applied {
                round,
                candidates: vec![id],
                how: format!(
                    "{calls} leased calls first, then all calls of the key, iteration by iteration"
                ),
            })?;
            match self.spend(&canary) {
                Ok(sample) => {
                    let ratio = call_ratio(&sample, key, choice);
                    if ratio.is_some_and(|r| self.guard.canary_failed(r)) {
                        let ratio = ratio.unwrap_or(f64::INFINITY);
                        contender.ended = Some((
                            Outcome::RolledBackCanary,
                            format!("the first calls took {ratio:.2} times as long"),
                        ));
                        continue;
                    }
                }
                Err(error) => {
                    contender.ended = Some((Outcome::RolledBackFailed, error.to_string()));
                    continue;
                }
            }
            let candidate = ccl_core::Configuration {
                policy: self.incumbent.policy.with_choice(key, Some(choice)),
                ..self.incumbent.clone()
            };
            let with = self.guard.approve(&candidate)?;
            let without = self.approved_incumbent()?;
            for pair in 0..MOST_ITERATION_PAIRS {
                // Which goes first changes from pair to pair, so that drift favours neither.
                let order = if pair % 2 == 0 {
                    [&without, &with]
                } else {
                    [&with, &without]
                };
                let times = order.map(|approved| self.spend(approved).map(|s| s.iteration_us));
                let [first, second] = times;
                match (first, second) {
                    (Ok(first), Ok(second)) => {
                        let (old, new) = if pair % 2 == 0 {
                            (first, second)
                        } else {
                            (second, first)
                        };
                        contender.comparison.push(old, new);
                        if self.breaks_service_level(old, new) {
                            contender.ended = Some((
                                Outcome::RolledBackIteration,
                                format!("an iteration took {:.2} times as long", new / old),
                            ));
                            break;
                        }
                    }
                    (Err(error), _) | (_, Err(error)) => {
                        contender.ended = Some((Outcome::RolledBackFailed, error.to_string()));
                        break;
                    }
                }
                let hopeless = contender.comparison.pairs() >= PAIRS_TO_SEE_VALUE
                    && contender.median().is_some_and(|ratio| ratio > 1.0);
                if hopeless || contender.comparison.decision() != Decision::Continue {
                    break;
                }
            }
        }
        Ok(())
    }

    fn breaks_service_level(&self, incumbent_us: f64, candidate_us: f64) -> bool {
        candidate_us > incumbent_us * self.guard.bounds().worst_iteration_ratio
    }

    /// Says how each contender ended; the fastest of a key that is faster becomes its incumbent.
    fn judge(&mut self, contenders: Vec<Contender>, metric: &str) -> Result<(), RunError> {
        let median = |c: &Contender| c.median().unwrap_or(f64::INFINITY);
        let winners: Vec<u32> = contenders
            .iter()
            .filter(|c| c.ended.is_none() && c.comparison.decision() == Decision::Faster)
            .filter(|c| {
                !contenders.iter().any(|other| {
                    other.candidate.key == c.candidate.key
                        && other.ended.is_none()
                        && other.comparison.decision() == Decision::Faster
                        && (median(other), other.candidate.id) < (median(c), c.candidate.id)
                })
            })
            .map(|c| c.candidate.id)
            .collect();
        for contender in contenders {
            let ratio = contender.comparison.ratio();
            let pairs = contender.comparison.pairs();
            let won = winners.contains(&contender.candidate.id);
            let decision = contender.comparison.decision();
            let Contender {
                candidate, ended, ..
            } = contender;
            let (outcome, because) = ended.unwrap_or_else(|| match ratio {
                None if pairs == 0 => {
                    (Outcome::RolledBackFailed, "no pair could be measured".to_owned())
                }
                None => (
                    Outcome::RolledBackNoDifference,
                    format!("{pairs} pairs are too few to tell a difference from the noise"),
                ),
                Some(r) if won => (Outcome::Kept, faster(r, pairs)),
                Some(r) if decision == Decision::Faster => (
                    Outcome::RolledBackNoDifference,
                    format!("{}, but another candidate of the key gained more", faster(r, pairs)),
                ),
                Some(r) if decision == Decision::Slower => (
                    Outcome::RolledBackSlower,
                    format!("{:.1} % slower over {pairs} pairs", 100.0 * (r.median - 1.0)),
                ),
                Some(r) => (
                    Outcome::RolledBackNoDifference,
                    format!(
                        "ratio {:.3} [{:.3}, {:.3}] over {pairs} pairs: no difference beyond the noise",
                        r.median, r.ci95[0], r.ci95[1]
                    ),
                ),
            });
            if let Some(ratio) = ratio {
                self.emit(TraceEvent::Measured {
                    candidate: candidate.id,
                    ratio,
                    pairs,
                    metric: metric.to_owned(),
                })?;
            }
            let as_predicted = candidate.hypothesis.as_ref().zip(ratio).map(|(h, r)| {
                let [low, high] = h.predicted_ratio;
                r.ci95[1] >= low && r.ci95[0] <= high
            });
            self.emit(TraceEvent::Judged {
                candidate: candidate.id,
                outcome,
                because,
                as_predicted,
            })?;
            self.file(candidate, outcome, ratio, pairs);
        }
        Ok(())
    }

    /// Puts a judged candidate into the books.
    fn file(
        &mut self,
        candidate: Candidate,
        outcome: Outcome,
        ratio: Option<Interval>,
        pairs: u32,
    ) {
        let against = self.situation.key(candidate.key).and_then(|k| k.running());
        if outcome.is_kept() {
            self.incumbent.policy = self
                .incumbent
                .policy
                .with_choice(candidate.key, Some(candidate.choice));
            if let Some(key) = self.key_state_mut(candidate.key) {
                key.incumbent = Some(candidate.choice);
            }
        } else {
            self.counts.rolled_back += 1;
            if let Some(hypothesis) = &candidate.hypothesis {
                self.rule_mind.refute(&hypothesis.mechanism, candidate.key);
            }
        }
        if let Some(search) = self.searches.get_mut(&candidate.key) {
            search.tell(candidate.choice, ratio.map(|r| r.median), outcome.is_kept());
        }
        self.tried.push(Tried {
            candidate,
            against,
            outcome,
            ratio,
            pairs,
        });
    }
}

/// Median candidate / incumbent of one lease in one iteration.
fn call_ratio(sample: &IterationSample, key: ccl_core::TaskKey, choice: Choice) -> Option<f64> {
    let key = sample.keys.iter().find(|k| k.key == key)?;
    let lease = key.leases.iter().find(|l| l.choice == choice)?;
    let mut ratios: Vec<f64> = key
        .calls_us
        .iter()
        .zip(&lease.calls_us)
        .map(|(a, b)| b / a)
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied()
}

fn faster(ratio: Interval, pairs: u32) -> String {
    format!(
        "{:.1} % faster [{:.1}, {:.1}] over {pairs} pairs",
        100.0 * (1.0 - ratio.median),
        100.0 * (1.0 - ratio.ci95[1]),
        100.0 * (1.0 - ratio.ci95[0])
    )
}

fn fail_all(contenders: &mut [Contender], error: &TestbedError) {
    for contender in contenders.iter_mut().filter(|c| c.ended.is_none()) {
        contender.ended = Some((Outcome::RolledBackFailed, error.to_string()));
    }
}
