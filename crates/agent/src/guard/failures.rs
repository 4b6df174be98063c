//! What ran well, what failed, and what nobody may try again.
//!
//! An iteration that fails makes suspects of everything that was on trial in it; if nothing was, of what
//! the job had kept; if it ran NCCL's own choices, of the environment. What is new about a suspect, and
//! could so explain the failure, is refused from then on ([`ChoicePattern::new_about`]): as long as nothing
//! that the culprit matches ran well before, nothing that it matches is tried again.

use std::collections::BTreeSet;

use ccl_core::{Choice, ChoicePattern, ContextSignature, TaskKey};
use ccl_memory::RuleRecord;

use super::Approved;

/// Who may have caused a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// What was on trial.
    Candidates,
    /// What the job had kept, or whatever is behind a failure by chance: nothing was on trial.
    Kept,
    /// Not a choice: NCCL's own ran.
    Environment,
}

/// Something that may have caused a failure.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspect {
    /// The key.
    pub key: TaskKey,
    /// The choice.
    pub choice: Choice,
    /// What about it may be the reason: nothing that one of these matches may run. Empty where all of it ran
    /// well before: then nothing but itself can be meant.
    pub explanations: Vec<ChoicePattern>,
}

/// A failure as the guard sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// Who may have caused it.
    pub blame: Blame,
    /// All that may have.
    pub suspects: Vec<Suspect>,
    /// Failures of this run so far that a choice may have caused.
    pub count: u32,
}

/// What may not run, and why.
#[derive(Clone, Debug, PartialEq)]
struct Forbidden {
    itself: (TaskKey, Choice),
    explanations: Vec<ChoicePattern>,
    why: String,
}

/// The record of one run.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures {
    ran: BTreeSet<(TaskKey, Choice)>,
    forbidden: Vec<Forbidden>,
    pub(super) count: u32,
    pub(super) environment_in_a_row: u32,
}

impl Failures {
    /// Takes over what failed in earlier runs in contexts like this one.
    pub(super) fn remember(&mut self, rules: &[RuleRecord], context: &ContextSignature) {
        for rule in rules.iter().filter(|r| r.context.is_related_to(context)) {
            let (Some(failure), Some(itself)) = (&rule.failure, rule.call()) else {
                continue;
            };
            let why = format!("{} (run {})", rule.statement(), rule.run_id);
            self.forbidden.push(Forbidden {
                itself,
                explanations: failure.explanations.clone(),
                why,
            });
        }
    }

    /// These choices ran without failing.
    pub(super) fn ran_well(&mut self, choices: impl IntoIterator<Item = (TaskKey, Choice)>) {
        self.environment_in_a_row = 0;
        self.ran.extend(choices);
    }

    pub(super) fn has_run(&self, key: TaskKey, choice: &Choice) -> bool {
        self.ran.contains(&(key, *choice))
    }

    /// Everything that ran without failing.
    pub(super) fn all_that_ran(&self) -> impl Iterator<Item = &(TaskKey, Choice)> {
        self.ran.iter()
    }

    /// Files a failure of an iteration in which this ran.
    pub(super) fn file(&mut self, approved: &Approved, symptom: &str) -> Failure {
        let on_trial: Vec<(TaskKey, Choice)> = approved.on_trial().collect();
        let kept: Vec<(TaskKey, Choice)> = approved.kept().collect();
        let (blame, blamed) = match (on_trial.is_empty(), kept.is_empty()) {
            (false, _) => (Blame::Candidates, on_trial),
            (true, false) => (Blame::Kept, kept),
            (true, true) => (Blame::Environment, Vec::new()),
        };
        match blame {
            Blame::Environment => self.environment_in_a_row += 1,
            Blame::Candidates | Blame::Kept => self.count += 1,
        }
        if blame == Blame::Kept {
            // It ran for a while, and more than itself is not suspect.
            let suspects = self.accuse(&blamed, symptom);
            self.ran.retain(|ran| !blamed.contains(ran));
            return Failure {
                blame,
                suspects,
                count: self.count,
            };
        }
        let suspects = self.suspect(&blamed, symptom);
        Failure {
            blame,
            suspects,
            count: self.count,
        }
    }

    /// Nothing that could explain what these did is tried again. That some of them ran well before is no
    /// excuse any more.
    pub(super) fn suspect(&mut self, blamed: &[(TaskKey, Choice)], symptom: &str) -> Vec<Suspect> {
        self.ran.retain(|ran| !blamed.contains(ran));
        self.accuse(blamed, symptom)
    }

    fn accuse(&mut self, blamed: &[(TaskKey, Choice)], symptom: &str) -> Vec<Suspect> {
        let mut suspects = Vec::new();
        for &(key, choice) in blamed {
            let is_known = |p: &ChoicePattern| self.ran.iter().any(|(k, c)| p.matches(*k, c));
            let explanations = ChoicePattern::new_about(key, &choice, is_known);
            suspects.push(Suspect {
                key,
                choice,
                explanations,
            });
        }
        let sureness = match blamed.len() {
            1 => "alone".to_owned(),
            n => format!("one of {n} suspects"),
        };
        for suspect in &suspects {
            let (key, choice) = (suspect.key, suspect.choice);
            self.forbidden.push(Forbidden {
                itself: (key, choice),
                explanations: suspect.explanations.clone(),
                why: format!("{choice} on {key}, {sureness}: {symptom}"),
            });
        }
        suspects
    }

    /// Why this may not run, if it may not: what it has in common with a suspect, and what that is
    /// suspected of.
    pub(super) fn forbids(&self, key: TaskKey, choice: &Choice) -> Option<(String, &str)> {
        self.forbidden.iter().find_map(|f| {
            if f.itself == (key, *choice) {
                return Some(("it".to_owned(), f.why.as_str()));
            }
            let found = f.explanations.iter().find(|p| p.matches(key, choice))?;
            Some((found.to_string(), f.why.as_str()))
        })
    }
}
