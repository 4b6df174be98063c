//! After the verdict: the locked configuration is watched, and tuning begins again when the job has changed
//! for good.
//!
//! A change of pace that passes by itself changes nothing; what each change is of, [`pace`] tells. From time
//! to time, and whenever the pace has changed, the configuration is held against NCCL's own choices in a few
//! pairs; what became slower than them goes at once. Between two re-openings at least as many iterations pass
//! as before, and twice as many each time, so that a job that never settles is not tuned for ever.
//!
//! A job that was started again with other variables is watched for failures alone: holding it against
//! itself as it came would take restarts, and those are spent on the verdict.

mod pace;

use ccl_core::{ChangeOf, Configuration, Phase, RolledBackTo, StoppedBecause, TraceEvent, Verdict};
use ccl_search::statistics::Stage;
use ccl_search::{Decision, ScaledComparison, median, pair_noise, relative_noise};

use self::pace::{Pace, Seen};
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
        let untuned_us = median(&found.untuned_us).or(median(&self.baseline_us));
        let locked_us = match self.incumbent.is_untuned() {
            true => untuned_us,
            false => median(&found.best_us),
        };
        let levels = locked_us.zip(untuned_us).filter(|_| watch.left > 0);
        let Some((locked_us, untuned_us)) = levels else {
            return Ok(None);
        };
        let noise = relative_noise(&self.baseline_us).unwrap_or(0.0);
        let noise_of_pair = pair_noise(&self.baseline_us).unwrap_or(0.0);
        let mut pace = Pace::new(locked_us, untuned_us, noise, noise_of_pair);
        self.guard.set_baseline_us(untuned_us);
        let mut waiting: Option<String> = None;
        while watch.left > 0 && !self.is_interrupted() {
            watch.left -= 1;
            watch.since_open += 1;
            let locked = self.approved_incumbent()?;
            let Ok(sample) = self.spend(&locked)? else {
                // What failed was rolled back; the next iteration runs what is locked now.
                continue;
            };
            let seen = pace.alone(sample.iteration_us);
            let changed = seen.is_some_and(|s| s.stage != Stage::Passed);
            let mut seen: Vec<Seen> = seen.into_iter().collect();
            self.say(watch.since_open, &seen)?;
            if seen.iter().any(|s| s.stage == Stage::Passed) {
                self.guard.set_baseline_us(untuned_us);
            }
            if changed || watch.since_open.is_multiple_of(CHECK_EVERY) {
                seen.extend(self.hold_against_default(watch.since_open, &mut pace)?);
            }
            let mut lasting = seen.iter().filter(|s| s.of == ChangeOf::Incumbent);
            if let Some(seen) = lasting.next_back() {
                waiting = Some(format!(
                    "the iteration takes {:.1} ms since {} iterations, {:.1} before",
                    seen.since_us / 1e3,
                    seen.held,
                    seen.before_us / 1e3
                ));
            }
            if watch.since_open >= watch.not_before
                && self.guard.exhausted().is_none()
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

    /// Tells of changes.
    fn say(&mut self, iteration: u64, seen: &[Seen]) -> Result<(), RunError> {
        for seen in seen {
            self.emit(TraceEvent::ChangeSeen {
                iteration,
                of: seen.of,
                before_ms: seen.before_us / 1e3,
                since_ms: seen.since_us / 1e3,
                because: seen.because().to_owned(),
            })?;
        }
        Ok(())
    }

    /// A few pairs with NCCL's own choices; a locked configuration that is slower than they are goes. Gives
    /// the changes that the pairs show. Regret is counted from here on against what NCCL's own choices take
    /// now: a machine that became slower is not what a configuration does to the job.
    fn hold_against_default(
        &mut self,
        iteration: u64,
        pace: &mut Pace,
    ) -> Result<Vec<Seen>, RunError> {
        let mut all_seen = Vec::new();
        // NCCL's own choices as the job came with them would take a restart.
        let is_restarted = !self.incumbent.environment.variables.is_empty();
        if self.incumbent.is_untuned() || is_restarted {
            return Ok(all_seen);
        }
        let noise = pair_noise(&self.baseline_us).unwrap_or(0.0);
        let effect = self.options.minimum_effect;
        let mut comparison = ScaledComparison::new(CHECK_ALPHA, effect, noise.max(LEAST_NOISE));
        let (untuned, locked) = (self.guard.approve_untuned(), self.approved_incumbent()?);
        let mut untuned_us = Vec::new();
        for pair in 0..CHECK_PAIRS {
            let order = match pair % 2 {
                0 => [&untuned, &locked],
                _ => [&locked, &untuned],
            };
            let [first, second] = order;
            let (Ok(first), Ok(second)) = (self.spend(first)?, self.spend(second)?) else {
                return Ok(all_seen);
            };
            let (old, new) = match pair % 2 {
                0 => (first, second),
                _ => (second, first),
            };
            comparison.push(old.iteration_us, new.iteration_us);
            untuned_us.push(old.iteration_us);
            let seen = pace.pair(new.iteration_us, old.iteration_us);
            self.say(iteration, &seen)?;
            all_seen.extend(seen);
            if comparison.decision() != Decision::Continue {
                break;
            }
        }
        if let Some(now_us) = median(&untuned_us) {
            self.guard.set_baseline_us(now_us);
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
            return Ok(all_seen);
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
        })?;
        Ok(all_seen)
    }

    /// Tunes again, from what is locked, on what the machine is now.
    pub(super) fn tune_again(&mut self) -> Result<Stop, RunError> {
        self.emit(TraceEvent::PhaseStarted {
            phase: Phase::Online,
        })?;
        self.baseline_us.clear();
        self.probed_us.clear();
        self.proposals.clear();
        self.asked_to_stop = None;
        for key in &mut self.situation.keys {
            key.tried = key.incumbent.into_iter().collect();
        }
        self.make_models();
        // Trials are held against what is locked, and so must be what the models expect of them.
        for key in &self.situation.keys {
            let model = self.models.get_mut(&key.facts.key);
            if let Some((model, locked)) = model.zip(key.incumbent) {
                model.adopt(locked);
            }
        }
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
