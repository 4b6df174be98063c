//! Afterwards: the verdict on fresh pairs, the rules learnt, the books closed.

use std::collections::BTreeMap;

use ccl_core::{Interval, Outcome, StoppedBecause, TraceEvent, Verdict};
use ccl_memory::{Change, RuleKind, RuleRecord};

use super::online::Stop;
use super::verdict::{Comparison, estimate};
use crate::key_model::KeyModel;
use crate::oracle::oracle;
use crate::summary::{Baseline, Best, Lanes, Summary, TuningCost, WarmStart};
use crate::tuner::{RunError, Tried, Tuner};

/// A slow-down below this is not worth remembering.
const WORTH_AVOIDING: f64 = 1.02;

impl Tuner<'_> {
    pub(super) fn after(&mut self, run_id: &str, stop: Stop) -> Result<Summary, RunError> {
        let mut stop = stop;
        let found = self.lock()?;
        let found = self.watch_and_tune(found, &mut stop)?;
        let (mut because, mut explanation) = stop;
        if self.is_interrupted() && because != StoppedBecause::Interrupted {
            because = StoppedBecause::Interrupted;
            explanation = format!("{explanation}; interrupted during the final comparison");
        }
        let is_faster = found.verdict == Verdict::Faster;
        let last = self.approved_incumbent()?;
        self.testbed.leave(&last)?;
        // What was confirmed together with an environment is not known to help without it.
        let is_restarted = !self.incumbent.environment.variables.is_empty();
        let own = self.environment_rule(&found);
        let rules = self.distil(is_faster && !is_restarted, own)?;
        let generalised = self.generalise(&rules)?;
        let oracle = if self.options.oracle {
            Some(oracle(
                self.testbed,
                &self.incumbent.policy,
                self.options.minimum_effect,
            )?)
        } else {
            None
        };
        let counts = [
            ("trials", u64::from(self.counts.trials)),
            ("refused", u64::from(self.counts.refused)),
            ("rolled_back", u64::from(self.counts.rolled_back)),
            ("iterations", self.guard.iterations()),
            ("rules", rules.len() as u64),
        ];
        self.learnt = rules;
        self.learnt.extend(generalised);
        let counts: BTreeMap<_, _> = counts.map(|(name, n)| (name.to_owned(), n)).into();
        self.emit(TraceEvent::RunFinished {
            verdict: found.verdict,
            counts,
        })?;
        let info = self.testbed.describe();
        Ok(Summary {
            run_id: run_id.to_owned(),
            source: info.source,
            workload: self.situation.context.workload.clone(),
            cluster: info.cluster.clone(),
            nccl_version: info.nccl_version.to_string(),
            seed: self.options.seed,
            baseline: Baseline {
                iteration_ms: self.untuned_estimate(&found),
            },
            best: Best {
                iteration_ms: if is_faster {
                    estimate(&found.best_us)
                } else {
                    self.untuned_estimate(&found)
                },
                configuration: self.incumbent.clone(),
            },
            speedup: found.speedup,
            verdict: found.verdict,
            trials: self.counts.trials,
            refused: self.counts.refused,
            rolled_back: self.counts.rolled_back,
            tuning_cost: TuningCost {
                iterations: self.guard.iterations(),
                regret_iterations: self.guard.regret_iterations(),
                worst_iteration_ratio: self.guard.worst_iteration_ratio(),
                probes: self.counts.probes,
                probe_iterations: self.probing_iterations(),
                restarts: self.guard.restarts_made(),
                restart_iterations: self.guard.restart_iterations(),
            },
            oracle,
            lanes: Lanes {
                hypothesis: self.counts.hypothesis,
                numeric: self.counts.numeric,
            },
            warm_start: WarmStart {
                rules: self.counts.warm_rules,
                surrogate: self.models.values().any(KeyModel::has_remembered),
            },
            llm: self.llm_mind.used(),
            stopped_because: because,
            stopped_explanation: explanation,
            diagnosis: self.fault.clone(),
            advice: self.advice.clone(),
            notes: info.notes.clone(),
        })
    }

    /// Untuned iterations of the final pairs, which ran beside the best; without any, the
    /// baseline's.
    fn untuned_estimate(&self, found: &Comparison) -> crate::summary::Estimate {
        let fresh = &found.untuned_us;
        estimate(if fresh.is_empty() {
            &self.baseline_us
        } else {
            fresh
        })
    }

    /// Rules with provenance: positive ones only for what the verdict confirmed.
    fn distil(
        &mut self,
        confirmed: bool,
        of_environment: Option<RuleRecord>,
    ) -> Result<Vec<RuleRecord>, RunError> {
        let mut rules = self.failed.clone();
        rules.extend(of_environment);
        for tried in &self.tried {
            if self.is_suspect(tried.candidate.key, &tried.candidate.choice) {
                continue;
            }
            let kind = match tried.outcome {
                Outcome::Kept if confirmed && self.is_in_best(tried) => RuleKind::Positive,
                Outcome::RolledBackSlower | Outcome::RolledBackCanary
                    if tried.ratio.is_none_or(|r| r.ci95[0] > WORTH_AVOIDING) =>
                {
                    RuleKind::Avoid
                }
                Outcome::RolledBackIteration | Outcome::RolledBackFailed => RuleKind::Avoid,
                _ => continue,
            };
            rules.push(self.rule_of(tried, kind));
        }
        // What somebody asked for is held to the same: a gain counts where the verdict confirmed it.
        for rule in &self.recorded {
            let is_new = !rules.iter().any(|known| known.call() == rule.call());
            let holds = rule.call().is_some_and(|(key, choice)| {
                let is_best = self.incumbent.policy.choice_for(key) == Some(choice);
                let is_gain = rule.kind == RuleKind::Positive;
                !self.is_suspect(key, &choice) && (!is_gain || confirmed && is_best)
            });
            if is_new && holds {
                rules.push(rule.clone());
            }
        }
        for rule in &rules {
            let (id, kind) = (rule.id(), rule.kind.word().to_owned());
            self.emit(TraceEvent::RuleDistilled {
                id,
                kind,
                statement: rule.statement(),
            })?;
        }
        Ok(rules)
    }

    /// What a trial showed, as a rule: its figures are the trial's.
    pub(crate) fn rule_of(&self, tried: &Tried, kind: RuleKind) -> RuleRecord {
        let candidate = &tried.candidate;
        let change = Change::Call {
            key: candidate.key,
            choice: candidate.choice,
            against: tried.against,
        };
        let context = self.situation.context.clone();
        let source = self.testbed.describe().source;
        let hypothesis = candidate.hypothesis.as_ref();
        RuleRecord {
            ratio: tried.ratio,
            pairs: tried.pairs,
            mechanism: hypothesis.map(|h| h.mechanism.clone()),
            evidence: hypothesis.map_or_else(Vec::new, |h| h.evidence.clone()),
            ..RuleRecord::new(kind, context, change, source, &self.run_id)
        }
    }

    /// A variable that the verdict confirmed. How much of the gain is its own is known only where nothing else was
    /// changed.
    fn environment_rule(&self, found: &Comparison) -> Option<RuleRecord> {
        let variables = &self.incumbent.environment.variables;
        let mut variables = variables.iter();
        let (Some((name, value)), None) = (variables.next(), variables.next()) else {
            return None;
        };
        if found.verdict != Verdict::Faster {
            return None;
        }
        let own = self.testbed.restart_terms().map(|terms| terms.own);
        let change = Change::Variable {
            name: name.clone(),
            value: value.clone(),
            against: own.and_then(|own| own.get(name).map(str::to_owned)),
        };
        let speedup = found.speedup;
        let is_alone = self.incumbent.policy.rules.is_empty();
        let ratio = is_alone.then(|| Interval {
            median: 1.0 / speedup.median,
            ci95: [1.0 / speedup.ci95[1], 1.0 / speedup.ci95[0]],
        });
        let source = self.testbed.describe().source;
        let context = self.situation.context.clone();
        Some(RuleRecord {
            ratio,
            pairs: found.pairs,
            ..RuleRecord::new(RuleKind::Positive, context, change, source, &self.run_id)
        })
    }

    fn is_in_best(&self, tried: &Tried) -> bool {
        let best = self.incumbent.policy.choice_for(tried.candidate.key);
        best == Some(tried.candidate.choice)
    }
}
