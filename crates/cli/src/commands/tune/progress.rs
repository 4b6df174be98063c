//! What a person sees while a run goes on: one line per decision that matters, and a status line
//! where there is a terminal. Everything goes to stderr.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use ccl_core::{
    Caller, Candidate, CommShape, Environment, Lane, Outcome, Phase, Proposer, TaskKey, TraceEvent,
    format_bytes,
};
use indicatif::{ProgressBar, ProgressStyle};

use crate::table::{WIDTH, wrap};

/// Shows events as they come.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    budget: u32,
    began: Instant,
    trials: u32,
    baseline_ms: f64,
    standing: f64,
    candidates: Vec<Candidate>,
}

impl Progress {
    pub(super) fn new(budget: u32) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(u64::from(budget));
            if let Ok(style) =
                ProgressStyle::with_template("{prefix:7} {bar:20} {pos}/{len} trials  {wide_msg}")
            {
                bar.set_style(style);
            }
            bar
        });
        Self {
            bar,
            budget,
            began: Instant::now(),
            trials: 0,
            baseline_ms: 0.0,
            standing: 1.0,
            candidates: Vec::new(),
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
                workload,
                cluster,
                testbed,
                source,
                notes,
                nccl_version,
                budget,
                ..
            } => {
                self.line(&format!(
                    "Tuning {workload} on {cluster}, NCCL {nccl_version}: {testbed} testbed, at most \
                     {budget} trials"
                ));
                self.line(&format!("run {run_id}; every figure is {source}"));
                for note in notes {
                    for (index, line) in wrap(note, WIDTH - 4).into_iter().enumerate() {
                        self.line(&format!("  {} {line}", if index == 0 { "*" } else { " " }));
                    }
                }
            }
            TraceEvent::PhaseStarted { phase } => {
                if let Some(bar) = &self.bar {
                    bar.set_prefix(format!("{phase:?}").to_lowercase());
                }
                self.line(match phase {
                    Phase::Offline => "\nOFFLINE: what the job sends, what could matter, what is known",
                    Phase::Online => "\nONLINE: trials on a few calls of the running job, each beside what runs now",
                    Phase::After => "\nAFTER: best against untuned NCCL on fresh pairs",
                });
            }
            TraceEvent::TaskKeys { keys } => {
                for k in keys {
                    self.line(&format!(
                        "  {:<14} of {:>9}, {:<22} {:>6} calls, {:>9.0} us each ({:.1} GB/s), NCCL \
                         runs {}",
                        k.key.collective.to_string(),
                        format_bytes(k.bytes),
                        group(k.key.shape),
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
                    "  {}: {before} -> {after} configurations; left out, {because}: {dropped}",
                    named(*key)
                ));
            }
            TraceEvent::TakenBack {
                key,
                restored,
                because,
                before,
                after,
            } => {
                self.line(&format!(
                    "  {}: {before} -> {after} configurations; searched again, {because}: {restored}",
                    named(*key)
                ));
            }
            TraceEvent::Retrieved { cards, rules } => {
                self.line(&format!(
                    "  retrieved {} passages and {} remembered rules",
                    cards.len(),
                    rules.len()
                ));
            }
            TraceEvent::Planned { steps } => {
                let first = steps.first().map_or("", String::as_str);
                self.line(&format!(
                    "  planned {} steps, the first: {first}",
                    steps.len()
                ));
            }
            TraceEvent::BaselineMeasured {
                iteration_ms,
                samples,
                noise,
            } => {
                self.baseline_ms = iteration_ms.median;
                self.line(&match samples {
                    1 => format!(
                        "  untuned NCCL: {} in one warm iteration; trials bring their own beside them",
                        time(iteration_ms.median)
                    ),
                    _ => format!(
                        "  baseline, untuned NCCL: {} [{}, {}] per iteration ({samples} iterations, \
                         noise {:.1} %)",
                        time(iteration_ms.median),
                        time(iteration_ms.ci95[0]),
                        time(iteration_ms.ci95[1]),
                        100.0 * noise
                    ),
                });
            }
            TraceEvent::Diagnosed { diagnosis } => {
                let what = diagnosis.key.map_or("the job".to_owned(), named);
                self.line(&format!(
                    "  {what}: {}, {}",
                    diagnosis.class, diagnosis.because
                ));
                // A fault of the job ends the run, and is told in full there.
                let checks = diagnosis.checks.iter();
                for check in checks.filter(|_| diagnosis.key.is_some()) {
                    self.line(&format!("    check {check}"));
                }
            }
            TraceEvent::Advised { advice } => {
                self.line(&format!(
                    "  for the next start, not tried: {}={} ({})",
                    advice.variable, advice.value, advice.because
                ));
            }
            TraceEvent::LlmAsked {
                provider, model, ..
            } => {
                self.line(&format!("  asking {provider} {model} for hypotheses"));
            }
            TraceEvent::LlmAnswered { proposal, .. } => {
                self.line(&format!("  it decides: {proposal}"));
            }
            TraceEvent::ToolCalled {
                by: Caller::Llm,
                tool,
                done,
                ..
            } => {
                let refused = if *done { "" } else { ", refused" };
                self.line(&format!("  it calls {tool}{refused}"));
            }
            TraceEvent::MindChosen {
                mind: Proposer::Llm,
                because,
                ..
            } => self.line(&format!("  its decision is taken: {because}")),
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
                let standing = format!(
                    "now about {} per iteration = {:.3} [{low:.3}, {high:.3}] of untuned",
                    time(self.baseline_ms * estimated_ratio.median),
                    estimated_ratio.median,
                );
                if (estimated_ratio.median - self.standing).abs() > 1e-9 {
                    self.standing = estimated_ratio.median;
                    self.line(&format!("            {standing}"));
                }
                let message = format!(
                    "{standing}, regret {regret_iterations:.2}, {} left",
                    self.time_left()
                );
                if let Some(bar) = &self.bar {
                    bar.set_position(u64::from(self.trials));
                    bar.set_message(message);
                }
            }
            TraceEvent::EnvironmentsChosen {
                candidates,
                because,
            } => {
                self.line(&format!("  whole-job knobs: {because}"));
                for candidate in candidates {
                    self.line(&format!(
                        "    {} ({})",
                        variables(&candidate.environment),
                        candidate.because
                    ));
                }
            }
            TraceEvent::Restarted {
                environment,
                lost_us,
                because,
            } => {
                self.line(&format!(
                    "  started again {}, {} down: {because}",
                    match variables(environment) {
                        set if set.is_empty() => "as it came".to_owned(),
                        set => format!("with {set}"),
                    },
                    time(lost_us / 1e3)
                ));
            }
            TraceEvent::EnvironmentJudged {
                environment,
                outcome,
                ratio,
                because,
            } => {
                let word = if outcome.is_kept() { "kept" } else { "dropped" };
                let ratio = ratio.map_or(String::new(), |r| format!(" at {r:.3} of the iteration"));
                self.line(&format!(
                    "  {word} {}{ratio}: {because}",
                    variables(environment)
                ));
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
            candidate.choice,
            named(candidate.key)
        ));
        self.line(&format!("            {why}"));
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

/// A communicator in words.
fn group(shape: CommShape) -> String {
    let s = |n: u32| if n == 1 { "" } else { "s" };
    format!(
        "{} ranks on {} node{}",
        shape.ranks,
        shape.nodes,
        s(shape.nodes)
    )
}

/// Variables as somebody would type them.
fn variables(environment: &Environment) -> String {
    let set = environment.variables.iter();
    let set: Vec<_> = set.map(|(n, v)| format!("{n}={v}")).collect();
    set.join(" ")
}

/// A key in words.
fn named(key: TaskKey) -> String {
    format!(
        "{} of {} to {} ({})",
        key.collective,
        format_bytes(key.bucket.min_bytes()),
        format_bytes(key.bucket.max_bytes().saturating_add(1)),
        group(key.shape)
    )
}
