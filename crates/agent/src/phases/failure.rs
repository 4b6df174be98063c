//! What happens when the job comes to harm: it goes back at once, and what may have caused it is never
//! tried again.
//!
//! The first failure leads back to what the job had kept, the second to NCCL's own choices, and there the
//! search ends. Where nothing was on trial, what was kept has to go at once, but no later run is told: it
//! ran well for a while, and machines fail by themselves.

use ccl_core::{Choice, Configuration, RolledBackTo, SuspectChoice, TaskKey, TraceEvent};
use ccl_memory::{Change, FailureRecord, RuleKind, RuleRecord};

use crate::guard::{Approved, Blame, Failure, Suspect};
use crate::testbed::TestbedError;
use crate::tuner::{RunError, Tuner};

impl Tuner<'_> {
    /// The job failed or hung in an iteration: brings it back, files the suspects, and gives the error
    /// as the trial's answer.
    ///
    /// # Errors
    /// A job that is no more, or that fails again and again with NCCL's own choices.
    pub(crate) fn roll_back(
        &mut self,
        approved: &Approved,
        error: TestbedError,
    ) -> Result<TestbedError, RunError> {
        let environment = &approved.configuration().environment;
        if !environment.variables.is_empty() {
            return self.roll_back_environment(environment, error);
        }
        let failure = self.guard.fail(approved, &error.to_string());
        let is_gone = matches!(error, TestbedError::Gone { .. });
        let to = match failure.blame {
            _ if is_gone => RolledBackTo::Nothing,
            Blame::Kept => RolledBackTo::Defaults,
            Blame::Candidates if self.guard.is_over() => RolledBackTo::Defaults,
            Blame::Candidates | Blame::Environment => RolledBackTo::Kept,
        };
        if to == RolledBackTo::Defaults {
            self.give_back_to_nccl();
        }
        let mut lost_us = match error {
            TestbedError::Hung { waited_s } => 1e6 * waited_s,
            _ => 0.0,
        };
        if !is_gone {
            let target = match to {
                RolledBackTo::Kept => self.approved_incumbent()?,
                _ => self.guard.approve_untuned(),
            };
            lost_us += self.testbed.recover(&target)?;
        }
        let lost_iterations = self.guard.book_lost(lost_us);
        let event = TraceEvent::RolledBack {
            to,
            configuration: self.incumbent.clone(),
            suspects: failure.suspects.iter().map(written).collect(),
            reason: in_words(&failure, &error),
            lost_iterations,
        };
        self.emit(event)?;
        if failure.blame == Blame::Candidates {
            self.file_failure(&failure.suspects, &error.to_string());
        }
        if is_gone {
            // Nobody will distil anything any more.
            self.learnt = self.failed.clone();
            return Err(error.into());
        }
        if self.guard.is_job_lost() {
            return Err(error.into());
        }
        Ok(error)
    }

    /// Something took so much longer than anybody could expect that there is more behind it than a slow
    /// choice: it is not tried again, nor what is like it.
    pub(super) fn distrust(
        &mut self,
        blamed: &[(TaskKey, Choice)],
        symptom: &str,
    ) -> Result<(), RunError> {
        let suspects = self.guard.suspect(blamed, symptom);
        let event = TraceEvent::RolledBack {
            to: RolledBackTo::Kept,
            configuration: self.incumbent.clone(),
            suspects: suspects.iter().map(written).collect(),
            reason: symptom.to_owned(),
            lost_iterations: 0.0,
        };
        self.emit(event)?;
        self.file_failure(&suspects, symptom);
        Ok(())
    }

    /// From now on the job runs NCCL's own choices.
    pub(super) fn give_back_to_nccl(&mut self) {
        self.incumbent = Configuration::default();
        for model in self.models.values_mut() {
            model.give_back();
        }
        for key in &mut self.situation.keys {
            key.incumbent = None;
        }
    }

    /// Rules for later runs: not to try this.
    fn file_failure(&mut self, suspects: &[Suspect], symptom: &str) {
        let count = u32::try_from(suspects.len()).unwrap_or(u32::MAX);
        let source = self.testbed.describe().source;
        for suspect in suspects {
            let against = self
                .situation
                .key(suspect.key)
                .and_then(crate::situation::KeyState::running);
            let change = Change::Call {
                key: suspect.key,
                choice: suspect.choice,
                against,
            };
            let context = self.situation.context.clone();
            self.failed.push(RuleRecord {
                failure: Some(FailureRecord {
                    symptom: symptom.to_owned(),
                    suspects: count,
                    explanations: suspect.explanations.clone(),
                }),
                ..RuleRecord::new(RuleKind::Avoid, context, change, source, &self.run_id)
            });
        }
    }

    /// Whether this is among what failed.
    pub(super) fn is_suspect(&self, key: TaskKey, choice: &Choice) -> bool {
        self.failed
            .iter()
            .any(|rule| rule.call() == Some((key, *choice)))
    }
}

fn written(suspect: &Suspect) -> SuspectChoice {
    SuspectChoice {
        key: suspect.key,
        choice: suspect.choice,
        refused: suspect.explanations.clone(),
    }
}

fn in_words(failure: &Failure, error: &TestbedError) -> String {
    let who = match (failure.blame, failure.suspects.len()) {
        (Blame::Environment, _) => "NCCL's own choices ran: it is the environment".to_owned(),
        (Blame::Kept, n) => format!(
            "nothing was on trial: the environment, or one of the {n} choices that were kept"
        ),
        (Blame::Candidates, 1) => "one choice was on trial".to_owned(),
        (Blame::Candidates, n) => format!("{n} choices were on trial, each is suspect"),
    };
    match failure.count {
        0 => format!("{error}; {who}"),
        n => format!("{error}; {who}; failure {n} of this run"),
    }
}
