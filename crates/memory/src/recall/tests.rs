use ccl_core::{Algorithm, Choice, Protocol, SizeBucket, Source};
use jiff::civil::date;
use proptest::prelude::*;

use super::*;
use crate::Generalisation;
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
fn a_generalisation_is_worth_less_until_a_run_comes_to_it() {
    let of_a_run = candidate(1);
    let mut guess = candidate(2);
    guess.rule.wins = 0;
    guess.rule.generalised = Some(Generalisation::new("a model", "everywhere"));
    let found = recall(&[guess.clone(), of_a_run.clone()]);
    assert_eq!(found[0].rule, of_a_run.rule);
    assert!(found[1].score <= 0.5 * found[0].score);
    assert!(found[1].expected_share() < 1.0);
    assert!(found[1].reasons.contains("not confirmed"));
    assert!(
        found[1]
            .rule
            .statement()
            .contains("not confirmed: everywhere")
    );

    // Refuted once it is no reason to try anything; confirmed it is a rule like others.
    let share = |wins, losses, confirmed| {
        let mut judged = guess.clone();
        (judged.rule.wins, judged.rule.losses) = (wins, losses);
        judged.rule.generalised.as_mut().unwrap().confirmed = confirmed;
        recall(&[judged])[0].expected_share()
    };
    assert!(share(0, 0, false) >= 0.5 && share(0, 1, false) < 0.5);
    assert!(share(1, 0, true) >= 1.0);
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
