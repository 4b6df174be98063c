//! A small suite from end to end.

use std::path::Path;
use std::time::Duration;

use super::*;

const SUITE: &str = r#"
name = "small"
machine_spread = 0.12
[[task]]
name = "torch-demo"
workload = "autoccl/torch-demo"
cluster = "a40-pcie-8gpu"
tenant = { every_iterations = 10, lasts_iterations = 3, factor = 1.4 }
[[task]]
name = "optimal"
workload = "suite/mostly-compute"
cluster = "dgx-b200"
default_is_optimal = true
"#;

fn run(methods: &[Method], budget: u32, seeds: u64, threads: usize) -> Report {
    let suite = Suite::parse(SUITE, Path::new(".")).unwrap();
    let options = CompareOptions {
        methods: methods.to_vec(),
        budget,
        seeds,
        threads,
        clock: &|| Duration::ZERO,
        progress: &|_, _| {},
    };
    compare(&suite, &options).unwrap()
}

#[test]
fn the_result_depends_on_the_seed_and_not_on_the_threads() {
    let methods = [Method::NcclDefault, Method::Random, Method::Ours];
    let json = |threads| serde_json::to_string(&run(&methods, 15, 2, threads)).unwrap();
    assert_eq!(json(1), json(3));
}

#[test]
fn nothing_done_is_nothing_risked_and_the_whole_budget_without_success() {
    let report = run(&[Method::NcclDefault], 10, 2, 1);
    let [gain, optimal] = report.results.as_slice() else {
        panic!("two tasks, one method");
    };
    for result in [gain, optimal] {
        assert_eq!(result.regret_iterations.median, 0.0);
        assert_eq!(result.worst_iteration_ratio, 1.0);
        assert_eq!((result.ends_worse, result.candidates), (0, 0.0));
    }
    assert_eq!(gain.evaluations_to_2pct.censored, 2);
    assert_eq!(gain.evaluations_to_2pct.median, 10.0);
    assert_eq!(optimal.evaluations_to_2pct.median, 0.0);
    assert!(report.tasks[0].oracle_gain.median > 0.02);
    assert!(report.tasks[1].oracle_gain.median < machine::NOTHING_TO_GAIN);
}

#[test]
fn every_method_runs_and_blind_ones_spend_exactly_the_budget() {
    let report = run(&Method::ALL, 14, 1, 2);
    assert_eq!(report.results.len(), 2 * Method::ALL.len());
    for result in &report.results {
        if !result.method.is_ours() {
            assert_eq!(result.iterations, 14.0, "{}", result.method);
        }
        assert_eq!(result.verdicts.is_some(), result.method.is_ours());
        assert!(result.end_over_oracle.median >= 1.0 - 1e-9, "{result:?}");
    }
    assert_eq!(report.convergence.len(), report.results.len());
    assert!(report.tasks[0].best_published.is_some());
}

#[test]
fn random_search_finds_what_there_is_given_time() {
    let report = run(&[Method::NcclDefault, Method::Random], 300, 3, 2);
    let [default, random, ..] = report.results.as_slice() else {
        panic!("two methods");
    };
    assert!(random.end_over_oracle.median < default.end_over_oracle.median);
    assert!(random.regret_iterations.median > 1.0);
    assert!(random.worst_iteration_ratio > 1.1);
}
