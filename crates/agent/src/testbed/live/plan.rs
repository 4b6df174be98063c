//! From what the guard approved to entries of the decision logs, and to what each call of the iteration is to
//! run.

use std::collections::BTreeMap;

use ccl_abi::shared::Rule;
use ccl_abi::shared::job::CommunicatorName;
use ccl_core::{Choice, TaskKey};

use super::facts::Learnt;
use super::observed::shape_of;
use crate::guard::Approved;
use crate::live::leases::{Dealt, deal, rules, segments};
use crate::live::pilot::{Followed, Segment};

/// Entries of a log that are kept for switching whole configurations.
const KEPT_ENTRIES: u32 = 256;

/// What one call of an iteration is to run: nothing where NCCL chooses.
pub(super) type Orders = BTreeMap<(CommunicatorName, usize), Option<Choice>>;

/// Entries for all communicators, and what each call is to run.
pub(super) type Plan = (Vec<(CommunicatorName, Vec<Segment>)>, Orders);

/// The plan for an iteration.
///
/// # Errors
/// Why it cannot be written into the logs.
pub(super) fn plan(
    learnt: &Learnt,
    approved: &Approved,
    followed: &[Followed],
    number: u64,
) -> Result<Plan, String> {
    let policy = &approved.configuration().policy;
    let mut entries = Vec::new();
    let mut orders = Orders::new();
    for (name, known) in &learnt.communicators {
        let of = followed.iter().find(|f| f.name == *name);
        let of = of.ok_or_else(|| format!("communicator {} is gone", name.file()))?;
        if of.state.frozen {
            return Err(format!(
                "ranks froze {}: the agent was too slow",
                name.file()
            ));
        }
        let dealt = dealt(known.pattern.keys(), approved);
        let base: Vec<Rule> = rules(policy, shape_of(*name))
            .ok_or("a rule of the policy cannot be written into a log")?;
        let at = |index: usize| known.call(number, index);
        let segments = segments(&base, &dealt, at).ok_or("a lease cannot be written into a log")?;
        let wanted = u32::try_from(segments.len()).unwrap_or(u32::MAX);
        let kept = if approved.leases().is_empty() {
            0
        } else {
            KEPT_ENTRIES
        };
        if of.entries_left.saturating_sub(kept) < wanted {
            return Err(format!("{} takes no more leases", name.file()));
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
