//! What a person sees while a run goes on: one line per decision that matters, and a status line
//! where there is a terminal. Everything goes to stderr.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use ccl_core::{Candidate, Lane, Outcome, Phase, TraceEvent, format_bytes};
use indicatif::{ProgressBar, ProgressStyle};

/// Shows events as they come.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    budget: u32,
    began: Instant,
    phase: Phase,
    trials: u32,
    baseline_ms: f64,
    candidates: Vec<Candidate>,
    keys: usize,
}

impl Progress {
    pub(super) fn new(budget: u32) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(u64::from(budget));
            if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} trials  {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self {
            bar,
            budget,
            began: Instant::now(),
            phase: Phase::Offline,
            trials: 0,
            baseline_ms: 0.0,
            candidates: Vec::new(),
            keys: 0,
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            // Nobody is left to be told when stderr is closed.
            None => {
                let _ = writeln!(std::io::stderr().lock(), "{text}");
            }
        }
    }

    pub(super) fn show(&mut self, event: &TraceEvent) {
        match event {
            TraceEvent::RunStarted {
                run_id,
                source,
                notes,
                nccl_version,
                ..
            } => {
                self.line(&format!(
                    "run {run_id}, NCCL {nccl_version}, every figure {source}"
                ));
                for note in notes {
                    self.line(&format!("  note: {note}"));
                }
            }
            TraceEvent::PhaseStarted { phase } => {
                self.phase = *phase;
                self.line(match phase {
                    Phase::Offline => "\nOFFLINE: cheap thinking, before the job is touched",
                    Phase::Online => "\nONLINE: trials on a few calls of the running job",
                    Phase::After => "\nAFTER: best against untuned NCCL on fresh pairs",
                });
            }
            TraceEvent::TaskKeys { keys } => {
                self.keys = keys.len();
                for k in keys {
                    self.line(&format!(
                        "  {:<14} {:>9} on {:<8} {:>6} calls  {:>10.0} us each  {:>5.1} GB/s bus  \
                         runs {}",
                        k.key.collective.to_string(),
                        format_bytes(k.bytes),
                        k.key.shape.to_string(),
                        k.calls,
                        k.call_us,
                        k.bus_gbs,
                        k.choice.map_or("unknown".to_owned(), |c| c.to_string()),
                    ));
                }
            }
            TraceEvent::Pruned {
                key,
                dropped,
                because,
                before,
                after,
                ..
            } => {
                self.line(&format!(
                    "  pruned on {key}: {before} -> {after} points ({because}): {dropped}"
                ));
            }
            TraceEvent::Retrieved { cards, rules } => {
                self.line(&format!(
                    "  retrieved {} cards and {} remembered rules",
                    cards.len(),
                    rules.len()
                ));
            }
            TraceEvent::Planned { steps } => {
                self.line(&format!(
                    "  plan of {} steps, first: {}",
                    steps.len(),
                    steps[0]
                ));
            }
            TraceEvent::BaselineMeasured {
                iteration_ms,
                samples,
                noise,
            } => {
                self.baseline_ms = iteration_ms.median;
                self.line(&format!(
                    "  baseline, untuned NCCL: {} [{}, {}] per iteration ({samples} iterations, \
                     noise {:.1} %)",
                    time(iteration_ms.median),
                    time(iteration_ms.ci95[0]),
                    time(iteration_ms.ci95[1]),
                    100.0 * noise
                ));
            }
            TraceEvent::LlmAsked {
                provider, model, ..
            } => {
                self.line(&format!("  asking {provider} {model} for hypotheses"));
            }
            TraceEvent::LlmAnswered { proposal, .. } => {
                self.line(&format!("  it proposes: {proposal}"));
            }
            TraceEvent::LlmFailed { reason, .. } => {
                self.line(&format!(
                    "  no answer ({reason}); the rule mind acts instead"
                ));
            }
            TraceEvent::Refused { candidate, reason } => {
                self.line(&format!("  refused {}: {reason}", candidate.choice));
            }
            TraceEvent::Decided { candidates, .. } => self.candidates.clone_from(candidates),
            TraceEvent::Judged {
                candidate,
                outcome,
                because,
                ..
            } => {
                self.trials += 1;
                self.judged(*candidate, *outcome, because);
            }
            TraceEvent::Incumbent {
                estimated_ratio,
                regret_iterations,
                ..
            } => {
                let [low, high] = estimated_ratio.ci95;
                let message = format!(
                    "online, about {} = {:.3} [{:.3}, {:.3}] of untuned, regret {:.2}, {} left",
                    time(self.baseline_ms * estimated_ratio.median),
                    estimated_ratio.median,
                    low,
                    high,
                    regret_iterations,
                    self.time_left()
                );
                if let Some(bar) = &self.bar {
                    bar.set_position(u64::from(self.trials));
                    bar.set_message(message);
                }
            }
            TraceEvent::Stopped { explanation, .. } => {
                self.line(&format!("  stopped: {explanation}"));
            }
            _ => {}
        }
    }

    fn judged(&self, id: u32, outcome: Outcome, because: &str) {
        let Some(candidate) = self.candidates.iter().find(|c| c.id == id) else {
            return;
        };
        if !outcome.is_kept() {
            return;
        }
        let why = match (candidate.lane, &candidate.hypothesis) {
            (Lane::Hypothesis, Some(h)) => format!("{}: {}", h.mechanism, h.because),
            _ => format!("search: {}", candidate.because),
        };
        self.line(&format!(
            "  trial {id:>3} kept  {} on {}: {because}",
            candidate.choice, candidate.key
        ));
        self.line(&format!("                  {why}"));
    }

    /// Longest that the rest of the budget may take at the pace so far.
    fn time_left(&self) -> String {
        let pace = self.began.elapsed().div_f64(f64::from(self.trials.max(1)));
        let left = pace.mul_f64(f64::from(self.budget.saturating_sub(self.trials)));
        format!("at most {} s", Duration::as_secs(&left) + 1)
    }
}

/// A time in milliseconds in a unit for people.
pub(super) fn time(ms: f64) -> String {
    if ms >= 1e3 {
        format!("{:.2} s", ms / 1e3)
    } else {
        format!("{ms:.2} ms")
    }
}
