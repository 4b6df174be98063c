//! Which environments are worth a restart: what was advised, and single moves that the simulator likes.
//!
//! A move changes one variable that the testbed can restart with to one of the catalogue's levels, beside what
//! the job sets itself. What an earlier run found to help comes first, then advice; neither needs an opinion of
//! the simulator, for they rest on what was seen of this machine. Of a variable that nobody advised only the best level goes in. Where the
//! simulator does not know the workload, or may not be asked, there are no moves.
//!
//! The policy found per call goes along, less the choices that would keep NCCL from a better one of its own
//! there: switches that can reduce are of no use to calls that are told to run a ring.

use std::collections::BTreeSet;

use ccl_core::knobs::{self, Platform};
use ccl_core::{Configuration, Environment, EnvironmentCandidate, Policy};
use ccl_sim::iteration::IterationModel;

use crate::mind::LANGUAGE_MODEL;
use crate::testbed::RestartTerms;
use crate::tuner::Tuner;

/// A move that is expected to save less, as a share of the iteration, is not worth a restart.
const LEAST_SAVING: f64 = 0.005;

/// A candidate with what would run.
pub(super) struct Planned {
    pub(super) candidate: EnvironmentCandidate,
    pub(super) configuration: Configuration,
}

impl Tuner<'_> {
    /// Environments worth a restart, the most promising first.
    pub(super) fn environments(&self, terms: &RestartTerms) -> Vec<Planned> {
        let mut planned: Vec<Planned> = Vec::new();
        let mut advised: BTreeSet<String> = BTreeSet::new();
        for (variable, value, because) in self.remembered_variables() {
            let environment = set(&variable, &value);
            if !self.can_be_tried(&environment, terms) || !advised.insert(variable) {
                continue;
            }
            let (configuration, ratio) = self.beside_policy(environment, terms);
            let mechanism = Some("remembered".to_owned());
            planned.push(self.planned(configuration, because, mechanism, ratio));
        }
        let of_llm = self.advice.iter().filter(|a| a.mechanism == LANGUAGE_MODEL);
        let advised_by_both = self.rule_mind.advise(&self.situation).into_iter();
        for advice in advised_by_both.chain(of_llm.cloned()) {
            let environment = set(&advice.variable, &advice.value);
            if !self.can_be_tried(&environment, terms) || !advised.insert(advice.variable) {
                continue;
            }
            let (configuration, ratio) = self.beside_policy(environment, terms);
            let mechanism = Some(advice.mechanism);
            planned.push(self.planned(configuration, advice.because, mechanism, ratio));
        }
        let mut moves: Vec<(f64, Planned)> = Vec::new();
        let others = terms.variables.iter().filter(|v| !advised.contains(**v));
        for variable in others {
            let levels = self.levels(variable).into_iter();
            let best = levels
                .map(|value| set(variable, value))
                .filter(|environment| self.can_be_tried(environment, terms))
                .filter_map(|environment| {
                    let (configuration, ratio) = self.beside_policy(environment, terms);
                    Some((ratio?, configuration))
                })
                .min_by(|a, b| a.0.total_cmp(&b.0));
            let worth = |(ratio, _): &(f64, _)| *ratio <= 1.0 - LEAST_SAVING;
            let Some((ratio, configuration)) = best.filter(worth) else {
                continue;
            };
            let because = format!("the simulator expects {ratio:.3} of the iteration time");
            let one = self.planned(configuration, because, None, Some(ratio));
            moves.push((ratio, one));
        }
        // Stable: equal ones keep the order of the testbed's variables.
        moves.sort_by(|a, b| a.0.total_cmp(&b.0));
        planned.extend(moves.into_iter().map(|(_, one)| one));
        planned
    }

    fn planned(
        &self,
        configuration: Configuration,
        because: String,
        mechanism: Option<String>,
        expected_ratio: Option<f64>,
    ) -> Planned {
        let found = self.incumbent.policy.rules.len();
        let because = match found - configuration.policy.rules.len().min(found) {
            0 => because,
            n => format!(
                "{because}; NCCL chooses again where {n} of {found} rules would only hinder it"
            ),
        };
        let candidate = EnvironmentCandidate {
            environment: configuration.environment.clone(),
            because,
            mechanism,
            expected_ratio,
        };
        Planned {
            candidate,
            configuration,
        }
    }

    /// The catalogue's levels of a variable here.
    fn levels(&self, variable: &str) -> Vec<&'static str> {
        let cluster = &self.situation.cluster;
        let knob = knobs::find(variable);
        knob.map_or_else(Vec::new, |knob| {
            knob.candidates(cluster.nccl_version, Some(&Platform::of(cluster)))
        })
    }

    /// Whether a restart could set this, it would change something, and the guard has nothing against it.
    fn can_be_tried(&self, environment: &Environment, terms: &RestartTerms) -> bool {
        let version = self.situation.cluster.nccl_version;
        let is_new = |(name, value): (&String, &String)| {
            let default = knobs::find(name).map(|knob| knob.default_in(version));
            terms.variables.contains(&name.as_str())
                && terms.own.get(name).or(default) != Some(value.as_str())
        };
        environment.variables.iter().all(is_new)
            && self.guard.check_environment(environment, terms).is_ok()
    }

    /// An environment with the policy that was found, and what the simulator expects of it, as a ratio to the
    /// job as it came with that policy. Choices that NCCL's own are expected to beat there are left out.
    fn beside_policy(
        &self,
        environment: Environment,
        terms: &RestartTerms,
    ) -> (Configuration, Option<f64>) {
        let mut policy = self.incumbent.policy.clone();
        let mut expected = || {
            let expectation = self.expectation()?;
            let now_us = iteration_us(&expectation.iteration_in(&terms.own)?, &policy)?;
            let mut together = terms.own.clone();
            together.variables.extend(environment.variables.clone());
            let model = expectation.iteration_in(&together)?;
            let mut best_us = iteration_us(&model, &policy)?;
            for state in &self.situation.keys {
                let without = policy.with_choice(state.facts.key, None);
                let us = iteration_us(&model, &without)?;
                if without != policy && us < best_us {
                    (policy, best_us) = (without, us);
                }
            }
            Some(best_us / now_us)
        };
        let ratio = expected();
        let configuration = Configuration {
            environment,
            policy,
        };
        (configuration, ratio)
    }
}

fn iteration_us(model: &IterationModel, policy: &Policy) -> Option<f64> {
    Some(model.evaluate(&policy.compile().ok()?).iteration_us)
}

/// One variable set.
fn set(variable: &str, value: &str) -> Environment {
    Environment {
        variables: [(variable.to_owned(), value.to_owned())].into(),
    }
}
