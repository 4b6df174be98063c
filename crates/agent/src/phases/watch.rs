//! After the verdict: the locked configuration is watched, and tuning begins again when the job has changed
//! for good.
//!
//! A change of pace that passes by itself changes nothing. From time to time, and whenever the pace has
//! changed, the configuration is held against NCCL's own choices in a few pairs; what became slower than
//! them goes at once. Between two re-openings at least as many iterations pass as before, and twice as
//! many each time, so that a job that never settles is not tuned for ever.
//!
//! A job that was started again with other variables is watched for failures alone: holding it against
//! itself as it came would take restarts, and those are spent on the verdict.

use ccl_core::{Configuration, Phase, RolledBackTo, StoppedBecause, TraceEvent, Verdict};
use ccl_search::statistics::{ChangeDetector, Sensitivity, Stage};
use ccl_search::{Decision, ScaledComparison, median, pair_noise, relative_noise};

use super::online::Stop;
use super::verdict::Comparison;
use crate::tuner::{RunError, Tuner};

/// Iterations between two comparisons with NCCL's own choices: a handful of pairs in so many iterations
/// costs a few percent of what the configuration gains.
const CHECK_EVERY: u64 = 200;
/// Most pairs of such a comparison.
const CHECK_PAIRS: u32 = 6;
/// Chance of taking a configuration for slower that is not, per comparison.
const CHECK_ALPHA: f64 = 0.01;
/// Changes of the pace that are not worth tuning for, as a share: drift and the error of the level.
const TOLERANCE: f64 = 0.03;
/// Watched iterations until the first false alarm, on average at least.
const RUN_LENGTH: f64 = 50_000.0;
/// Iterations a change has to last: a neighbour's job of a few minutes does not count.
const LASTING_AFTER: usize = 40;
/// Iterations between two re-openings, at first; twice as many after each.
const REOPEN_AFTER: u64 = 200;
/// Relative noise below which nobody should believe it: a few samples are often alike.
const LEAST_NOISE: f64 = 0.004;

/// What is left of the watching.
pub(super) struct Watch {
    left: u64,
    /// Watched iterations since tuning was last open.
    since_open: u64,
    /// Watched iterations before it may be opened again.
    not_before: u64,
}

impl Watch {
    pub(super) fn new(iterations: u64) -> Self {
        Self {
            left: iterations,
            since_open: 0,
            not_before: 0,
        }
    }
}

impl Tuner<'_> {
    /// Watches until all iterations are spent or tuning has to begin again; says why it has to.
    pub(super) fn watch(
        &mut self,
        watch: &mut Watch,
        found: &Comparison,
    ) -> Result<Option<String>, RunError> {
        let level_us = match self.incumbent.is_untuned() {
            true => median(&found.untuned_us).or(median(&self.baseline_us)),
            false => median(&found.best_us),
        };
        let Some(level_us) = level_us.filter(|_| watch.left > 0) else {
            return Ok(None);
        };
        let noise = relative_noise(&self.baseline_us).unwrap_or(0.0);
        let mut detector = ChangeDetector::new(Sensitivity {
            noise: noise.max(LEAST_NOISE),
            tolerance: TOLERANCE,
            run_length: RUN_LENGTH,
            lasting_after: LASTING_AFTER,
        });
        let mut waiting: Option<String> = None;
        while watch.left > 0 && !self.is_interrupted() {
            watch.left -= 1;
            watch.since_open += 1;
            let locked = self.approved_incumbent()?;
            let Ok(sample) = self.spend(&locked)? else {
                // What failed was rolled back; the next iteration runs what is locked now.
                continue;
            };
            let change = detector.push(sample.iteration_us / level_us);
            if let Some(change) = change {
                let because = match change.stage {
                    Stage::Began => "it may pass; NCCL's own choices are measured beside it",
                    Stage::Passed => "it passed: nothing is to be done",
                    Stage::Lasting => "it is there to stay: another configuration may be best now",
                };
                self.emit(TraceEvent::ChangeSeen {
                    iteration: watch.since_open,
                    before_ms: change.from * level_us / 1e3,
                    since_ms: change.to * level_us / 1e3,
                    because: because.to_owned(),
                })?;
                if change.stage == Stage::Lasting {
                    waiting = Some(format!(
                        "the iteration takes {:.1} ms since {} iterations, {:.1} before",
                        change.to * level_us / 1e3,
                        change.held,
                        change.from * level_us / 1e3
                    ));
                }
            }
            let changed = change.is_some_and(|c| c.stage != Stage::Passed);
            if changed || watch.since_open.is_multiple_of(CHECK_EVERY) {
                self.hold_against_default()?;
            }
            if watch.since_open >= watch.not_before
                && let Some(because) = waiting.take()
            {
                watch.since_open = 0;
                watch.not_before = (2 * watch.not_before).max(REOPEN_AFTER);
                let not_before = watch.not_before;
                self.emit(TraceEvent::Reopened {
                    because: because.clone(),
                    not_before,
                })?;
                return Ok(Some(because));
            }
        }
        Ok(None)
    }

    /// A few pairs with NCCL's own choices; a locked configuration that is slower than they are goes.
    fn hold_against_default(&mut self) -> Result<(), RunError> {
        // NCCL's own choices as the job came with them would take a restart.
        let is_restarted = !self.incumbent.environment.variables.is_empty();
        if self.incumbent.is_untuned() || is_restarted {
            return Ok(());
        }
        let noise = pair_noise(&self.baseline_us).unwrap_or(0.0);
        let effect = self.options.minimum_effect;
        let mut comparison = ScaledComparison::new(CHECK_ALPHA, effect, noise.max(LEAST_NOISE));
        let (untuned, locked) = (self.guard.approve_untuned(), self.approved_incumbent()?);
        for pair in 0..CHECK_PAIRS {
            let order = match pair % 2 {
                0 => [&untuned, &locked],
                _ => [&locked, &untuned],
            };
            let [first, second] = order;
            let (Ok(first), Ok(second)) = (self.spend(first)?, self.spend(second)?) else {
                return Ok(());
            };
            let (old, new) = match pair % 2 {
                0 => (first, second),
                _ => (second, first),
            };
            comparison.push(old.iteration_us, new.iteration_us);
            if comparison.decision() != Decision::Continue {
                break;
            }
        }
        let ratio = comparison.median_ratio().unwrap_or(1.0);
        let is_slower = comparison.decision() == Decision::Slower;
        let because = match is_slower {
            true => "it is slower than NCCL's own choices now: they run again",
            false => "it stays",
        };
        self.emit(TraceEvent::DefaultMeasured {
            ratio,
            pairs: comparison.pairs(),
            because: because.to_owned(),
        })?;
        if !is_slower {
            return Ok(());
        }
        self.give_back_to_nccl();
        let untuned = self.guard.approve_untuned();
        self.testbed.settle(&untuned)?;
        self.emit(TraceEvent::RolledBack {
            to: RolledBackTo::Defaults,
            configuration: Configuration::default(),
            suspects: Vec::new(),
            reason: format!(
                "the locked configuration takes {ratio:.3} times as long as NCCL's own choices over \
                 {} pairs",
                comparison.pairs()
            ),
            lost_iterations: 0.0,
        })
    }

    /// Tunes again, from what is locked, on what the machine is now.
    pub(super) fn tune_again(&mut self) -> Result<Stop, RunError> {
        self.emit(TraceEvent::PhaseStarted {
            phase: Phase::Online,
        })?;
        self.baseline_us.clear();
        self.probed_us.clear();
        for key in &mut self.situation.keys {
            key.tried = key.incumbent.into_iter().collect();
        }
        self.make_models();
        self.screen_models()?;
        let stop = self.online()?;
        self.emit(TraceEvent::PhaseStarted {
            phase: Phase::After,
        })?;
        Ok(stop)
    }

    /// The verdict, and what it means for what the job runs from now on.
    pub(super) fn lock(&mut self) -> Result<Comparison, RunError> {
        let found = self.compare_with_untuned()?;
        if found.verdict != Verdict::Faster {
            // Anything that is not clearly better is not worth a risk: back to NCCL as it comes.
            self.give_back_to_nccl();
        }
        Ok(found)
    }

    /// Watches what the verdict locked, and tunes again as often as the job changes for good.
    pub(super) fn watch_and_tune(
        &mut self,
        mut found: Comparison,
        stop: &mut Stop,
    ) -> Result<Comparison, RunError> {
        let mut watch = Watch::new(self.options.watch_iterations);
        if self.options.watch_iterations == 0 {
            return Ok(found);
        }
        loop {
            let locked = self.approved_incumbent()?;
            self.testbed.settle(&locked)?;
            let was_tuned = !self.incumbent.is_untuned();
            let reopened = self.watch(&mut watch, &found)?;
            if was_tuned && self.incumbent.is_untuned() {
                found.verdict = Verdict::NoDifference;
                stop.1
                    .push_str("; what was locked became slower than NCCL's own choices, or failed");
            }
            // A new baseline would take a restart as well.
            let is_restarted = !self.incumbent.environment.variables.is_empty();
            let may_go_on =
                !self.is_interrupted() && !is_restarted && self.guard.exhausted().is_none();
            let Some(because) = reopened.filter(|_| may_go_on) else {
                break;
            };
            *stop = self.tune_again()?;
            stop.1 = format!("{}; tuned again because {because}", stop.1);
            found = self.lock()?;
        }
        if self.is_interrupted() {
            stop.0 = StoppedBecause::Interrupted;
        }
        Ok(found)
    }
}
