//! What a run of ours may do to a job at most, over the builtin suite: on machines that are not what they
//! are said to be, with drift and tenants, and where nothing is to be gained.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use ccl_agent::compare::method::Method;
use ccl_agent::compare::suite::Suite;
use ccl_agent::compare::{CompareOptions, compare};

const BUDGET: u32 = 60;
const SEEDS: u64 = 2;

#[test]
fn no_run_over_the_builtin_suite_does_harm_and_most_are_worth_it() {
    let suite = Suite::builtin().unwrap();
    let options = CompareOptions {
        methods: vec![Method::Ours],
        budget: BUDGET,
        seeds: SEEDS,
        threads: 2,
        clock: &|| Duration::ZERO,
        progress: &|_, _| {},
    };
    let report = compare(&suite, &options).unwrap();
    let [ours] = report.overall.as_slice() else {
        panic!("one method");
    };
    let runs = u32::try_from(suite.tasks.len()).unwrap() * u32::try_from(SEEDS).unwrap();
    assert_eq!(ours.runs, runs);
    assert_eq!(ours.ends_worse, 0);
    assert!(ours.worst_iteration_ratio <= 1.10, "{ours:?}");
    assert!(ours.regret_iterations.median <= 0.5, "{ours:?}");
    let mut optimal = 0;
    for (task, result) in report.tasks.iter().zip(&report.results) {
        let verdicts = result.verdicts.unwrap();
        assert_eq!(verdicts.slower, 0, "{}", task.name);
        if task.default_is_optimal {
            optimal += 1;
            assert_eq!(verdicts.no_difference, result.runs, "{}", task.name);
        }
    }
    assert_eq!(optimal, 2);
    // None of this by doing nothing.
    assert!(
        ours.evaluations_to_2pct <= f64::from(BUDGET) / 3.0,
        "{ours:?}"
    );
}
