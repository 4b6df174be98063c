//! What a restart changes.

use ccl_core::{Algorithm, cluster_text};

use super::*;
use crate::guard::{Bounds, Guard};

#[test]
fn a_restart_changes_what_is_possible_and_what_runs_but_not_the_keys() {
    let cluster = ClusterSpec::parse(cluster_text("dgx-h100").unwrap()).unwrap();
    let text = include_str!("../../../../../workload/demo/allreduce-8gpu.json");
    let mut job = WorkloadSpec::parse(text).unwrap();
    job.env.insert("NCCL_NVLS_ENABLE".into(), "0".into());
    let quiet = NoiseModel::none();
    let mut testbed = SimulatedTestbed::new(&job, &cluster, quiet, Scenario::default()).unwrap();
    let offers_nvls = |testbed: &SimulatedTestbed| {
        let pairs = testbed.keys().iter().flat_map(|k| &k.legal.pairs);
        pairs.into_iter().any(|(a, _)| *a == Algorithm::Nvls)
    };
    let keys = |testbed: &SimulatedTestbed| -> Vec<(TaskKey, u64, u64)> {
        let keys = testbed.keys().iter();
        keys.map(|k| (k.key, k.bytes, k.calls)).collect()
    };
    let terms = testbed.restart_terms().unwrap();
    assert_eq!(terms.own.get("NCCL_NVLS_ENABLE"), Some("0"));
    let mut guard = Guard::new(Bounds::default(), testbed.keys()).with_restarts(9);
    let home = guard.approve_untuned();
    let slow_us = testbed.run_iteration(&home).unwrap().iteration_us;
    let before = keys(&testbed);
    assert!(!offers_nvls(&testbed));

    let set = |name: &str, value: &str| Environment {
        variables: [(name.to_owned(), value.to_owned())].into(),
    };
    let unknown = guard.approve_restart(&set("NCCL_IB_TC", "106"), &terms, false);
    let refused = testbed.restart(&unknown.unwrap()).unwrap_err();
    assert!(!refused.is_harm() && refused.to_string().contains("NCCL_IB_TC"));
    assert!(testbed.run_iteration(&home).is_ok(), "it runs on as it was");

    let switches = set("NCCL_NVLS_ENABLE", "2");
    let restart = guard.approve_restart(&switches, &terms, false).unwrap();
    assert_eq!(testbed.restart(&restart), Ok(RESTART_US));
    assert!(offers_nvls(&testbed));
    assert_eq!(keys(&testbed), before);
    assert!(matches!(
        testbed.run_iteration(&home),
        Err(TestbedError::NotMeasurable { .. })
    ));
    guard.runs_in(&switches, testbed.keys(), []);
    let there = guard.approve_untuned();
    let fast_us = testbed.run_iteration(&there).unwrap().iteration_us;
    assert!(fast_us < 0.9 * slow_us, "{fast_us} against {slow_us}");

    // A failure there leads back, whatever it takes.
    assert_eq!(testbed.recover(&home), Ok(RESTART_US));
    assert_eq!(testbed.run_iteration(&home).unwrap().iteration_us, slow_us);
}
