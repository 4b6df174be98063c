//! From what the guard approved to entries of the decision logs, and to what each call of the iteration is to
//! run.

use std::collections::BTreeMap;

use ccl_abi::shared::job::CommunicatorName;
use ccl_core::{Choice, Configuration, TaskKey};

use super::facts::Learnt;
use super::observed::shape_of;
use crate::guard::Approved;
use crate::live::leases::{Dealt, deal, rules, segments};
use crate::live::pilot::{Followed, Segment};
use crate::testbed::TestbedError;

/// Entries of a log that are kept for switching whole configurations.
const KEPT_ENTRIES: u32 = 256;

/// What one call of an iteration is to run: nothing where NCCL chooses.
pub(super) type Orders = BTreeMap<(CommunicatorName, usize), Option<Choice>>;

/// Entries for all communicators, and what each call is to run.
pub(super) type Plan = (Vec<(CommunicatorName, Vec<Segment>)>, Orders);

/// The plan for an iteration, after which `settled` applies again: written beforehand, so that it does
/// whatever becomes of this process.
///
/// # Errors
/// Logs that ranks froze, and what cannot be written into a log.
pub(super) fn plan(
    learnt: &Learnt,
    approved: &Approved,
    settled: &Configuration,
    followed: &[Followed],
    number: u64,
) -> Result<Plan, TestbedError> {
    let failed = |reason: &str| TestbedError::NotFollowed {
        reason: reason.to_owned(),
    };
    let policy = &approved.configuration().policy;
    let mut entries = Vec::new();
    let mut orders = Orders::new();
    for (name, known) in &learnt.communicators {
        let of = followed.iter().find(|f| f.name == *name && !f.state.frozen);
        let of = of.ok_or_else(|| frozen(*name))?;
        let dealt = dealt(known.pattern.keys(), approved);
        let written = |policy| rules(policy, shape_of(*name));
        let (Some(base), Some(settled)) = (written(policy), written(&settled.policy)) else {
            return Err(failed("a rule of the policy cannot be written into a log"));
        };
        let at = |index: usize| known.call(number, index);
        let segments = segments(&base, &dealt, at);
        let mut segments = segments.ok_or(failed("a lease cannot be written into a log"))?;
        let end = known.call(number + 1, 0);
        segments.retain(|segment| segment.from < end);
        if segments.last().is_some_and(|last| last.rules != settled) {
            segments.push(Segment {
                from: end,
                rules: settled,
            });
        }
        let wanted = u32::try_from(segments.len()).unwrap_or(u32::MAX);
        let kept = if approved.leases().is_empty() {
            0
        } else {
            KEPT_ENTRIES
        };
        if of.entries_left.saturating_sub(kept) < wanted {
            return Err(failed("the log takes no more leases"));
        }
        for (index, key) in known.pattern.keys().iter().enumerate() {
            orders.insert((*name, index), policy.choice_for(*key));
        }
        for (choice, index) in leased(&dealt) {
            orders.insert((*name, index), Some(choice));
        }
        entries.push((*name, segments));
    }
    Ok((entries, orders))
}

/// Ranks that froze their log listen to nobody any more.
pub(super) fn frozen(name: CommunicatorName) -> TestbedError {
    TestbedError::Gone {
        reason: format!(
            "its ranks gave up waiting for this agent and froze {}",
            name.file()
        ),
    }
}

/// The calls of an iteration with these keys, dealt out by key.
pub(super) fn dealt(keys: &[TaskKey], approved: &Approved) -> Vec<Dealt> {
    let mut calls: BTreeMap<TaskKey, Vec<usize>> = BTreeMap::new();
    for (index, key) in keys.iter().enumerate() {
        calls.entry(*key).or_default().push(index);
    }
    let of_key = |(key, calls): (TaskKey, Vec<usize>)| {
        let leases: Vec<_> = approved.leases().iter().filter(|l| l.key == key).collect();
        deal(key, &calls, &leases)
    };
    calls.into_iter().map(of_key).collect()
}

fn leased(dealt: &[Dealt]) -> impl Iterator<Item = (Choice, usize)> {
    dealt
        .iter()
        .flat_map(|of_key| &of_key.leases)
        .flat_map(|(choice, blocks)| blocks.iter().flatten().map(|index| (*choice, *index)))
}
