//! Which rules cannot both be right: found when rules are filed, among those of the same context about the same
//! key or variable.

use crate::RuleRecord;

/// Two rules that cannot both be right, by name, the smaller first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contradiction {
    /// The one.
    pub one: String,
    /// The other.
    pub other: String,
}

/// What both must share before they can contradict each other: the context, and what is changed. The source is
/// shared by everything that is compared.
pub(crate) fn subject(rule: &RuleRecord) -> String {
    let place = crate::place::in_words(&rule.context);
    format!("{place}: {}", rule.change.subject())
}

/// Whether two rules with the same subject cannot both be right.
///
/// They say the opposite of one value: one that it is better, the other that it is worse, than the same, or than
/// something unknown; or that the job fails with it. Or they order the same two values differently.
pub(crate) fn contradicts(a: &RuleRecord, b: &RuleRecord) -> bool {
    let (of_a, of_b) = (Claim::of(a), Claim::of(b));
    if of_a.value == of_b.value {
        let is_failure = a.failure.is_some() || b.failure.is_some();
        let same_rival = match (&of_a.against, &of_b.against) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        return a.kind != b.kind && (is_failure || same_rival);
    }
    // "X before Y" against "Y before X", or "X behind Y" against "Y behind X".
    a.kind == b.kind
        && of_a.against.as_ref() == Some(&of_b.value)
        && of_b.against.as_ref() == Some(&of_a.value)
}

struct Claim {
    value: String,
    against: Option<String>,
}

impl Claim {
    fn of(rule: &RuleRecord) -> Self {
        Self {
            value: rule.change.value(),
            against: rule.change.against(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ccl_core::{Algorithm, Choice, Protocol, Source};

    use super::*;
    use crate::testing::{context, key};
    use crate::{Change, RuleKind};

    const RING: Choice = Choice::new(Algorithm::Ring, Protocol::Simple);
    const TREE: Choice = Choice::new(Algorithm::Tree, Protocol::Simple);
    const LL: Choice = Choice::new(Algorithm::Ring, Protocol::Ll);

    fn rule(kind: RuleKind, choice: Choice, against: Option<Choice>) -> RuleRecord {
        let key = key();
        let change = Change::Call {
            key,
            choice,
            against,
        };
        RuleRecord::new(kind, context(), change, Source::Simulated, "run")
    }

    #[test]
    fn only_what_cannot_both_be_right_is_a_contradiction() {
        use RuleKind::{Avoid, Positive};
        let failed = |choice| RuleRecord {
            failure: Some(crate::FailureRecord {
                symptom: "hung".to_owned(),
                suspects: 1,
                explanations: Vec::new(),
            }),
            ..rule(Avoid, choice, Some(TREE))
        };
        let better = rule(Positive, RING, Some(TREE));
        for (other, expected) in [
            (rule(Positive, RING, Some(TREE)), false),
            (rule(Avoid, RING, Some(TREE)), true),
            (rule(Avoid, RING, None), true),
            // Better than one and worse than another: both can be.
            (rule(Avoid, RING, Some(LL)), false),
            (failed(RING), true),
            (failed(LL), false),
            (rule(Positive, TREE, Some(RING)), true),
            // The same order, said twice.
            (rule(Avoid, TREE, Some(RING)), false),
            (rule(Positive, TREE, Some(LL)), false),
        ] {
            assert_eq!(contradicts(&better, &other), expected, "{}", other.id());
            assert_eq!(contradicts(&other, &better), expected, "{}", other.id());
        }
    }
}
