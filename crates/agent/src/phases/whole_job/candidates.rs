//! Which environments are worth a restart: what was advised, and single moves that the simulator likes.
//!
//! A move changes one variable that the testbed can restart with to one of the catalogue's levels, beside what
//! the job sets itself. Advice comes first and needs no opinion of the simulator: it rests on what was
//! seen of this machine. Of a variable that nobody advised only the best level goes in. Where the
//! simulator does not know the workload, or may not be asked, there are no moves.

use std::collections::BTreeSet;

use ccl_core::knobs::{self, Platform};
use ccl_core::{Environment, EnvironmentCandidate};

use crate::testbed::RestartTerms;
use crate::tuner::Tuner;

/// A move that is expected to save less, as a share of the iteration, is not worth a restart.
const LEAST_SAVING: f64 = 0.005;

impl Tuner<'_> {
    /// Environments worth a restart, the most promising first.
    pub(super) fn environments(&self, terms: &RestartTerms) -> Vec<EnvironmentCandidate> {
        let mut advised: Vec<EnvironmentCandidate> = Vec::new();
        let mut settled: BTreeSet<String> = BTreeSet::new();
        for advice in self.rule_mind.advise(&self.situation) {
            let environment = set(&advice.variable, &advice.value);
            if !self.can_be_tried(&environment, terms) {
                continue;
            }
            settled.insert(advice.variable);
            advised.push(EnvironmentCandidate {
                expected_ratio: self.expected_ratio(&environment, terms),
                environment,
                because: advice.because,
                mechanism: Some(advice.mechanism),
            });
        }
        let mut moves: Vec<(f64, EnvironmentCandidate)> = Vec::new();
        let variables = terms.variables.iter().filter(|v| !settled.contains(**v));
        for variable in variables {
            let best = self
                .levels(variable)
                .into_iter()
                .map(|value| set(variable, value))
                .filter(|environment| self.can_be_tried(environment, terms))
                .filter_map(|e| Some((self.expected_ratio(&e, terms)?, e)))
                .min_by(|a, b| a.0.total_cmp(&b.0));
            let Some((ratio, environment)) = best.filter(|(r, _)| *r <= 1.0 - LEAST_SAVING) else {
                continue;
            };
            let because = format!("the simulator expects {ratio:.3} of the iteration time");
            let candidate = EnvironmentCandidate {
                environment,
                because,
                mechanism: None,
                expected_ratio: Some(ratio),
            };
            moves.push((ratio, candidate));
        }
        // Stable: equal ones keep the order of the testbed's variables.
        moves.sort_by(|a, b| a.0.total_cmp(&b.0));
        advised.extend(moves.into_iter().map(|(_, candidate)| candidate));
        advised
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

    /// What the simulator expects of an environment with the policy that was found, as a ratio to the job as
    /// it came with the same policy.
    fn expected_ratio(&self, environment: &Environment, terms: &RestartTerms) -> Option<f64> {
        let expectation = self.expectation()?;
        let policy = &self.incumbent.policy;
        let mut together = terms.own.clone();
        together.variables.extend(environment.variables.clone());
        let with_us = expectation.iteration_us_in(&together, policy)?;
        Some(with_us / expectation.iteration_us_in(&terms.own, policy)?)
    }
}

/// One variable set.
fn set(variable: &str, value: &str) -> Environment {
    Environment {
        variables: [(variable.to_owned(), value.to_owned())].into(),
    }
}
