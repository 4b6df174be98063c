//! Validation from the knob catalogue: what this NCCL, on this platform, has a word for.
//!
//! A choice of a tuner has no variable of its own, but says what `NCCL_ALGO` and `NCCL_PROTO` would say;
//! what the catalogue calls an error there does not become right by being asked for per call.

use ccl_core::knobs::{CheckContext, Severity, check_environment};
use ccl_core::{Choice, Environment, TaskKey};

use super::Refusal;

/// Checks a choice.
pub(super) fn check_choice(
    key: TaskKey,
    choice: &Choice,
    context: &CheckContext,
) -> Result<(), Refusal> {
    let variables = [
        ("NCCL_ALGO", choice.algorithm.name()),
        ("NCCL_PROTO", choice.protocol.name()),
    ];
    let environment = Environment {
        variables: variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    };
    match first_error(&environment, context) {
        Some(reason) => Err(Refusal::Catalogue {
            what: format!("{choice} on {key}"),
            reason,
        }),
        None => Ok(()),
    }
}

/// Checks process-level variables.
pub(super) fn check_variables(
    environment: &Environment,
    context: &CheckContext,
) -> Result<(), Refusal> {
    match first_error(environment, context) {
        Some(reason) => Err(Refusal::Catalogue {
            what: "the environment".to_owned(),
            reason,
        }),
        None => Ok(()),
    }
}

/// Checks variables that would be set beside the job's own: what is wrong with the job's own alone is
/// not their fault.
pub(super) fn check_beside(
    own: &Environment,
    added: &Environment,
    context: &CheckContext,
) -> Result<(), Refusal> {
    let mut together = own.clone();
    together.variables.extend(added.variables.clone());
    let findings = check_environment(&together, context);
    let is_added = |name: &String| added.variables.contains_key(name);
    let error = findings.iter().find(|f| {
        f.severity == Severity::Error && (is_added(&f.variable) || f.related.iter().any(is_added))
    });
    match error {
        Some(error) => Err(Refusal::Catalogue {
            what: "the environment".to_owned(),
            reason: format!("{}: {}", error.variable, error.reason),
        }),
        None => Ok(()),
    }
}

fn first_error(environment: &Environment, context: &CheckContext) -> Option<String> {
    let findings = check_environment(environment, context);
    let error = findings.iter().find(|f| f.severity == Severity::Error)?;
    Some(format!("{}: {}", error.variable, error.reason))
}
