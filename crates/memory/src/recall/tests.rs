use ccl_core::{Algorithm, Choice, Protocol, SizeBucket, Source};
use jiff::civil::date;
use proptest::prelude::*;

use super::*;
use crate::testing::{context, key};

const TODAY: Date = date(2026, 6, 1);

fn candidate(channels: u32) -> Candidate {
    let change = Change::Call {
        key: key(),
        choice: Choice::new(Algorithm::Ring, Protocol::Simple).with_channels(channels),
        against: None,
    };
    let rule = RuleRecord::new(
        RuleKind::Positive,
        context(),
        change,
        Source::Simulated,
        "run",
    );
    Candidate { rule, opposed: 0 }
}

fn recall(candidates: &[Candidate]) -> Vec<Recalled> {
    let query = Query {
        context: context(),
        keys: vec![key()],
        today: TODAY,
        kind: None,
        limit: 10,
    };
    rank(&query, candidates)
}

#[test]
fn what_expired_is_forgotten_the_day_after() {
    let until = |day| {
        let mut candidate = candidate(1);
        candidate.rule.expires = Some(day);
        recall(&[candidate]).len()
    };
    assert_eq!(until(TODAY), 1);
    assert_eq!(until(date(2026, 5, 31)), 0);
}

#[test]
fn runs_decide_and_names_break_ties() {
    let mut proven = candidate(4);
    proven.rule.wins = 5;
    let mut doubted = candidate(1);
    doubted.rule.losses = 2;
    let mut disputed = candidate(3);
    disputed.opposed = 2;
    let plain = [candidate(9), candidate(2)];
    let all = [
        plain[0].clone(),
        doubted.clone(),
        disputed,
        plain[1].clone(),
        proven,
    ];
    let recalled = recall(&all);
    let channels: Vec<u32> = recalled
        .iter()
        .filter_map(|r| r.rule.call()?.1.channels)
        .collect();
    assert_eq!(channels, [4, 2, 9, 1, 3]);
    let reversed: Vec<Candidate> = all.iter().rev().cloned().collect();
    assert_eq!(recall(&reversed), recalled);
    assert!(
        recalled[3]
            .reasons
            .ends_with("weight 1.00; 1 run came to it, 2 runs found otherwise: confidence 0.40")
    );
    // Whatever its rank, a rule that nobody contradicts is expected whole where nothing differs.
    assert_eq!(recalled[0].expected_share(), 1.0);
    assert_eq!(recalled[1].expected_share(), 1.0);
    assert!(recalled[4].expected_share() < 1.0);
}

proptest! {
    /// The windows hold every bucket in which a rule may rank, once, and no other.
    #[test]
    fn windows_are_what_keys_can_use(buckets in prop::collection::vec(0_u8..64, 0..12)) {
        let keys: Vec<TaskKey> = buckets
            .iter()
            .map(|&bucket| TaskKey { bucket: SizeBucket(bucket), ..key() })
            .collect();
        let windows = windows(&keys);
        for bucket in 0_u8..=66 {
            let near = buckets.iter().any(|b| b.abs_diff(bucket) <= MOST_BUCKETS);
            let holding = windows.iter().filter(|(_, w)| w.contains(&bucket)).count();
            prop_assert_eq!(holding, usize::from(near));
        }
    }
}
