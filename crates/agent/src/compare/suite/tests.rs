//! Suites as they are written, and what happens in them.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;

const GOOD: &str = "name = \"s\"\nmachine_spread = 0.1\n[[task]]\nname = \"t\"\n\
                    workload = \"autoccl/torch-demo\"\ncluster = \"rtx4090-pcie\"\n";

fn error(text: &str) -> String {
    Suite::parse(text, Path::new(".")).unwrap_err().to_string()
}

#[test]
fn the_builtin_suite_is_what_its_page_promises() {
    let suite = Suite::builtin().unwrap();
    let count = |of: &dyn Fn(&Task) -> bool| suite.tasks.iter().filter(|t| of(t)).count();
    assert!(suite.tasks.len() >= 14);
    assert!(count(&|t| t.drift.is_some()) >= 2);
    assert!(count(&|t| t.tenant.is_some()) >= 2);
    assert!(count(&|t| t.default_is_optimal) >= 2);
    assert!(count(&|t| t.workload.nodes > 1) >= 4);
    let clusters: BTreeSet<_> = suite.tasks.iter().map(|t| &t.cluster.name).collect();
    assert!(clusters.len() >= 6, "{clusters:?}");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    assert_eq!(Suite::parse(GOOD, Path::new(".")).unwrap().tasks.len(), 1);
    let twice = format!("{GOOD}{}", &GOOD[GOOD.find("[[").unwrap()..]);
    assert!(error(&twice).starts_with("line 7: task \"t\": two tasks"));
    let unknown = GOOD.replace("autoccl/torch-demo", "torch");
    assert!(error(&unknown).starts_with("line 3: task \"t\": workload: \"torch\" is neither"));
    assert!(error(&GOOD.replace("0.1", "7.0")).starts_with("line 2, column 18"));
    assert!(error(&GOOD.replace("cluster", "clutser")).starts_with("line 6"));
    assert!(error("name = \"s\"\nmachine_spread = 0.1\ntask = []\n").contains("no [[task]]"));
    let tenant = "tenant = { every_iterations = 5, lasts_iterations = 5, factor = 1.5 }\n";
    assert!(error(&format!("{GOOD}{tenant}")).contains("leaves before it comes again"));
}

#[test]
fn a_tenant_comes_and_goes() {
    let tenant = "tenant = { every_iterations = 10, lasts_iterations = 3, factor = 1.5 }\n";
    let suite = Suite::parse(&format!("{GOOD}{tenant}"), Path::new(".")).unwrap();
    let scenario = suite.tasks[0].scenario();
    let there: Vec<u64> = (0..35)
        .filter(|&i| scenario.fate(i) != ccl_sim::noise::Fate::Runs(1.0))
        .collect();
    assert_eq!(there, [10, 11, 12, 20, 21, 22, 30, 31, 32]);
}
