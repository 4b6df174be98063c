//! One run: the state that the three phases share, and the only way an iteration is spent.
//!
//! The phases are in [`crate::phases`]; here is what they have in common: the testbed, the guard
//! that every configuration passes, the trace that every step writes, and the books.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ccl_core::knobs::{CheckContext, Platform};
use ccl_core::{
    Advice, Candidate, Choice, ClusterSpec, Configuration, ContextSignature, Diagnosis,
    Environment, Evidence, EvidenceId, Outcome, StoppedBecause, TaskKey, TraceEvent,
};
use ccl_memory::{Knowledge, KnowledgeError, RuleRecord, ScoreRecord};
use thiserror::Error;

use crate::arbiter::Arbiter;
use crate::expectation::Expectation;
use crate::guard::{Approved, Bounds, Guard, Refusal};
use crate::key_model::KeyModel;
use crate::mind::RuleMind;
use crate::mind::llm::LlmMind;
use crate::phases::{Contender, Proposal};
use crate::remembered::Remembered;
use crate::situation::{KeyState, Situation};
use crate::testbed::{IterationSample, Testbed, TestbedError};
use crate::trace::Tracer;

/// Repetitions of one probe, where the job makes that many calls itself.
const PROBE_REPETITIONS: u64 = 3;

/// Share of the price of all probes from which on the repetitions of one are dear.
const DEAR_PROBE: f64 = 0.05;

/// What a run may spend and how sure it has to be.
#[derive(Clone, Debug, PartialEq)]
pub struct TuneOptions {
    /// Most candidates that may be tried.
    pub budget: u32,
    /// The seed of every random decision.
    pub seed: u64,
    /// How much harm the run may do.
    pub bounds: Bounds,
    /// Chance of calling a configuration faster that is not, over the whole run: the level of
    /// the final comparison.
    pub alpha: f64,
    /// Smallest change of a time that matters, as a share: anything below is "no difference".
    pub minimum_effect: f64,
    /// Untuned iterations that make the first baseline; more are taken where they do not agree.
    pub baseline_iterations: u32,
    /// Iterations the whole job is expected to have, where that is known: the regret budget is a share of
    /// them.
    pub expected_iterations: Option<u64>,
    /// Most times the job may be started again to try variables that NCCL reads once; 0 is never. Trying one
    /// takes at least five: there and back, and three for the final comparison.
    pub restarts: u32,
    /// Iterations that the configuration is watched for after the verdict.
    pub watch_iterations: u64,
    /// Most pairs of the final comparison.
    pub final_pairs: u32,
    /// What calls outside the job may cost, in iterations of the job: a micro-benchmark keeps the
    /// GPUs from it.
    pub probe_iterations: f64,
    /// Whether to compute the oracle.
    pub oracle: bool,
    /// Whether explained candidates are tried: without, the search acts alone.
    pub hypothesis_lane: bool,
    /// Whether the search proposes candidates: without, only what can be explained is tried.
    pub numeric_lane: bool,
    /// Whether what the simulator expects of the machine may guide the search.
    pub expectation: bool,
    /// Whether the mechanisms of the rule mind propose and advise.
    pub mechanisms: bool,
    /// Whether a language model is shown cards and pages.
    pub knowledge: bool,
    /// How long an answer of a language model is waited for where no job runs meanwhile.
    pub patience: Duration,
}

impl Default for TuneOptions {
    fn default() -> Self {
        Self {
            budget: 200,
            seed: 1,
            bounds: Bounds::default(),
            alpha: 0.05,
            minimum_effect: 0.005,
            baseline_iterations: 1,
            expected_iterations: None,
            restarts: 0,
            watch_iterations: 0,
            final_pairs: 40,
            probe_iterations: 1.0,
            oracle: false,
            hypothesis_lane: true,
            numeric_lane: true,
            expectation: true,
            mechanisms: true,
            knowledge: true,
            patience: Duration::from_secs(300),
        }
    }
}

/// Why a run did not end with a result.
#[derive(Debug, Error)]
pub enum RunError {
    /// The trace or another artifact could not be written.
    #[error("cannot write the run's artifacts: {0}")]
    Artifacts(#[from] io::Error),
    /// Untuned NCCL could not be measured: there is nothing to compare with.
    #[error("the untuned baseline failed: {0}")]
    Baseline(TestbedError),
    /// The workload has nothing a tuner could change.
    #[error("the workload has no collective that NCCL asks a tuner about")]
    NothingToTune,
    /// The guard refused what must never be refused, or the testbed failed on it.
    #[error("{0}")]
    Testbed(#[from] TestbedError),
    /// The guard does not let the run go on.
    #[error("the guard stopped the run: {0}")]
    Guard(#[from] Refusal),
    /// What is known beforehand could not be searched.
    #[error("{0}")]
    Knowledge(#[from] KnowledgeError),
}

/// Numbers that end up in the summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Candidates tried.
    pub trials: u32,
    /// Candidates refused.
    pub refused: u32,
    /// Candidates tried and rolled back.
    pub rolled_back: u32,
    /// Tried, hypothesis lane.
    pub hypothesis: u32,
    /// Tried, numeric lane.
    pub numeric: u32,
    /// Rounds.
    pub rounds: u32,
    /// Choices timed outside the job.
    pub probes: u32,
    /// Remembered rules that became candidates.
    pub warm_rules: u32,
}

/// One candidate after its trial, for the distillation.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    /// The candidate.
    pub candidate: Candidate,
    /// What it was compared with.
    pub against: Option<Choice>,
    /// How it ended.
    pub outcome: ccl_core::Outcome,
    /// Paired time ratio, candidate / incumbent.
    pub ratio: Option<ccl_core::Interval>,
    /// Pairs behind it.
    pub pairs: u32,
}

/// A run in progress.
pub struct Tuner<'a> {
    pub(crate) testbed: &'a mut dyn Testbed,
    pub(crate) tracer: Tracer<'a>,
    pub(crate) options: TuneOptions,
    pub(crate) guard: Guard,
    pub(crate) situation: Situation,
    pub(crate) expectation: Expectation,
    pub(crate) incumbent: Configuration,
    /// What won the race of environments, until the verdict.
    pub(crate) environment: Option<Configuration>,
    pub(crate) models: BTreeMap<TaskKey, KeyModel>,
    pub(crate) arbiter: Arbiter,
    /// Candidates on leased calls that are not decided yet.
    pub(crate) racing: Vec<Contender>,
    /// What the candidates were expected to save, shares of the iteration.
    pub(crate) promised: BTreeMap<(TaskKey, Choice), f64>,
    pub(crate) rule_mind: RuleMind,
    pub(crate) llm_mind: LlmMind<'a>,
    /// What somebody proposed and nobody tried yet, and how many there were.
    pub(crate) proposals: Vec<Proposal>,
    pub(crate) proposed: u32,
    /// Why nothing may be tried on this machine, where it is broken.
    pub(crate) broken: Option<(StoppedBecause, String)>,
    /// Why somebody wants the search to end.
    pub(crate) asked_to_stop: Option<String>,
    pub(crate) knowledge: &'a Knowledge,
    pub(crate) remembered: Remembered,
    /// Whether rules of neighbouring places are heard by now.
    pub(crate) hears_neighbours: bool,
    pub(crate) tried: Vec<Tried>,
    /// Environments that were raced, and how each ended.
    pub(crate) raced: Vec<(Environment, Outcome)>,
    pub(crate) learnt: Vec<RuleRecord>,
    /// Rules that somebody asked to be kept.
    pub(crate) recorded: Vec<RuleRecord>,
    /// What the guard refused, and why.
    pub(crate) refusals: Vec<String>,
    pub(crate) failed: Vec<RuleRecord>,
    pub(crate) run_id: String,
    pub(crate) fault: Option<Diagnosis>,
    pub(crate) advice: Vec<Advice>,
    pub(crate) probed_us: BTreeMap<(TaskKey, Option<Choice>), Option<f64>>,
    pub(crate) probing_us: f64,
    pub(crate) counts: Counts,
    /// The first iteration, microseconds: slower than all others, if it is no better.
    pub(crate) cold_us: Option<f64>,
    pub(crate) baseline_us: Vec<f64>,
    /// The incumbent's latest iterations without anything on trial, microseconds.
    pub(crate) pace_us: Vec<f64>,
    pub(crate) interrupted: &'a AtomicBool,
}

impl<'a> Tuner<'a> {
    /// A run that has not begun.
    #[allow(clippy::too_many_arguments)] // one place, and each is a different kind of thing
    pub fn new(
        testbed: &'a mut dyn Testbed,
        cluster: &ClusterSpec,
        context: ContextSignature,
        tracer: Tracer<'a>,
        options: TuneOptions,
        llm_mind: LlmMind<'a>,
        knowledge: &'a Knowledge,
        remembered: Remembered,
        interrupted: &'a AtomicBool,
    ) -> Self {
        let info = testbed.describe();
        let catalogue = CheckContext {
            nccl_version: Some(info.nccl_version),
            platform: Some(Platform::of(cluster)),
        };
        let keys = testbed.keys().iter().map(|k| k.key);
        let untuned = keys.filter_map(|key| Some((key, testbed.untuned_choice(key)?)));
        let guard = Guard::new(options.bounds, testbed.keys())
            .with_catalogue(catalogue)
            .with_untuned(untuned)
            .for_iterations(options.expected_iterations)
            .with_restarts(options.restarts)
            .remembering(&remembered.failures, &context);
        let options = TuneOptions {
            minimum_effect: options.minimum_effect.max(info.resolution),
            ..options
        };
        let situation = Situation {
            cluster: cluster.clone(),
            context,
            keys: Vec::new(),
            evidence: Vec::new(),
        };
        let expectation = Expectation::new(cluster, testbed.keys());
        let mut rule_mind = RuleMind::new(options.expectation.then(|| expectation.clone()));
        rule_mind.remember(remembered.scores.clone());
        Self {
            testbed,
            tracer,
            options,
            guard,
            situation,
            rule_mind,
            expectation,
            incumbent: Configuration::default(),
            environment: None,
            models: BTreeMap::new(),
            arbiter: Arbiter::default(),
            racing: Vec::new(),
            promised: BTreeMap::new(),
            llm_mind,
            proposals: Vec::new(),
            proposed: 0,
            broken: None,
            asked_to_stop: None,
            knowledge,
            remembered,
            hears_neighbours: false,
            tried: Vec::new(),
            raced: Vec::new(),
            learnt: Vec::new(),
            recorded: Vec::new(),
            refusals: Vec::new(),
            failed: Vec::new(),
            run_id: String::new(),
            fault: None,
            advice: Vec::new(),
            probed_us: BTreeMap::new(),
            probing_us: 0.0,
            counts: Counts::default(),
            cold_us: None,
            baseline_us: Vec::new(),
            pace_us: Vec::new(),
            interrupted,
        }
    }

    /// The same, knowing more of what the machine should do than its keys tell.
    #[must_use]
    pub fn expecting(mut self, expectation: Expectation) -> Self {
        let told = self.options.expectation.then(|| expectation.clone());
        self.rule_mind.expect(told);
        self.expectation = expectation;
        self
    }

    /// Writes one event.
    pub(crate) fn emit(&mut self, event: TraceEvent) -> Result<(), RunError> {
        Ok(self.tracer.emit(event)?)
    }

    /// Files one observation and returns its number.
    pub(crate) fn observe(
        &mut self,
        key: Option<TaskKey>,
        statement: String,
    ) -> Result<EvidenceId, RunError> {
        let source = self.testbed.describe().source;
        self.observe_as(source, key, statement)
    }

    /// The same for what another source said.
    pub(crate) fn observe_as(
        &mut self,
        source: ccl_core::Source,
        key: Option<TaskKey>,
        statement: String,
    ) -> Result<EvidenceId, RunError> {
        let number = u32::try_from(self.situation.evidence.len()).unwrap_or(u32::MAX - 1) + 1;
        let evidence = Evidence {
            id: EvidenceId(number),
            key,
            statement,
            source,
        };
        self.situation.evidence.push(evidence.clone());
        self.emit(TraceEvent::EvidenceGathered { evidence })?;
        Ok(EvidenceId(number))
    }

    /// Ends the run's writing; what comes after it goes on where it stopped.
    pub fn into_tracer(self) -> Tracer<'a> {
        self.tracer
    }

    /// Spends one iteration of the job and books it. What went wrong with the configuration is an
    /// answer; the job went back by then if it came to harm.
    ///
    /// # Errors
    /// A job that is no more: that ends the run, for no configuration can be judged by it.
    pub(crate) fn spend(
        &mut self,
        approved: &Approved,
    ) -> Result<Result<IterationSample, TestbedError>, RunError> {
        match self.testbed.run_iteration(approved) {
            Ok(sample) => {
                self.guard.book(approved, sample.iteration_us);
                Ok(Ok(sample))
            }
            Err(error) if error.is_harm() => self.roll_back(approved, error).map(Err),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Median time of one call outside the job, microseconds; asked once per choice. `None` where
    /// the testbed cannot tell, the guard does not let it, or it would cost more than calls outside
    /// the job may.
    pub(crate) fn probe_us(&mut self, key: TaskKey, choice: Option<Choice>) -> Option<f64> {
        if let Some(known) = self.probed_us.get(&(key, choice)) {
            return *known;
        }
        let repetitions = self.affordable_repetitions(key)?;
        let approved = self.guard.approve_probe(key, choice).ok();
        let samples = approved.and_then(|a| self.testbed.probe(&a, repetitions).ok());
        let found = samples.and_then(|samples| {
            self.probing_us += samples.iter().sum::<f64>();
            ccl_search::median(&samples)
        });
        self.counts.probes += 1;
        self.probed_us.insert((key, choice), found);
        found
    }

    /// Repetitions of a probe: never more than the job itself makes calls, and none where the
    /// price, taking the call to last as long as it does now, is not left.
    fn affordable_repetitions(&self, key: TaskKey) -> Option<u32> {
        let state = self.situation.key(key);
        let calls = state.map_or(1, |k| k.facts.calls);
        let repetitions = u32::try_from(PROBE_REPETITIONS.min(calls)).unwrap_or(1);
        let Some(iteration_us) = ccl_search::median(&self.baseline_us) else {
            // Before the job was looked at: one probe of what runs, at most an iteration in all.
            return Some(repetitions);
        };
        let call_us = state.map_or(0.0, |k| k.observed.call_us);
        let allowed_us = self.options.probe_iterations * iteration_us;
        // Many choices timed once tell more than a few timed well.
        let is_dear = f64::from(repetitions) * call_us > DEAR_PROBE * allowed_us;
        let repetitions = if is_dear { 1 } else { repetitions };
        let price_us = f64::from(repetitions) * call_us;
        (self.probing_us + price_us <= allowed_us).then_some(repetitions)
    }

    /// What calls outside the job have cost, in iterations of it.
    pub(crate) fn probing_iterations(&self) -> f64 {
        ccl_search::median(&self.baseline_us).map_or(0.0, |us| self.probing_us / us)
    }

    /// Whether somebody asked to stop.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// What the machine should do, as its specification describes it; nothing where the options say
    /// that nobody may know.
    pub fn expectation(&self) -> Option<&Expectation> {
        self.options.expectation.then_some(&self.expectation)
    }

    /// What this run found the mechanisms' predictions to be worth.
    pub fn scores(&self, run_id: &str) -> Vec<ScoreRecord> {
        self.rule_mind
            .scores(self.testbed.describe().source, run_id)
    }

    /// The rules of a run that has ended.
    pub fn learnt(&self) -> &[RuleRecord] {
        &self.learnt
    }

    /// The first reason to end the search early, if there is one.
    pub(crate) fn must_stop(&self) -> Option<(StoppedBecause, String)> {
        if self.is_interrupted() {
            return Some((
                StoppedBecause::Interrupted,
                "interrupted; rolled back".to_owned(),
            ));
        }
        if let Some(refusal) = self.guard.exhausted() {
            return Some((StoppedBecause::Sla, refusal.to_string()));
        }
        if self.counts.trials >= self.options.budget {
            let why = format!("all {} trials of the budget are spent", self.options.budget);
            return Some((StoppedBecause::Budget, why));
        }
        None
    }

    /// The state of a key; every key of a candidate has one.
    pub(crate) fn key_state_mut(&mut self, key: TaskKey) -> Option<&mut KeyState> {
        self.situation.keys.iter_mut().find(|k| k.facts.key == key)
    }

    /// The job's incumbent configuration, approved: what it was approved as when it was kept.
    pub(crate) fn approved_incumbent(&self) -> Result<Approved, RunError> {
        Ok(self.guard.approve(&self.incumbent)?)
    }
}
