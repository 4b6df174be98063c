//! The NCCL model against everything that NCCL's own host code computed and chose.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

use std::path::PathBuf;

use ccl_sim::nccl::tables::{Tables, compare};

fn recorded() -> Option<PathBuf> {
    let root = std::env::var_os("CCL_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let folder = root.join("nccl/costs");
    folder.join("graphs.csv").exists().then_some(folder)
}

#[test]
fn the_model_matches_what_nccl_recorded() {
    let Some(folder) = recorded() else {
        eprintln!(
            "skipped: no recorded NCCL tables (set CCL_SHARED to a folder that has nccl/costs)"
        );
        return;
    };
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let [topologies, graphs, model, costs, choices] =
        ["topologies", "graphs", "model", "costs", "choices"].map(|n| read(&format!("{n}.csv")));
    let tables = Tables {
        topologies: &topologies,
        graphs: &graphs,
        model: &model,
        costs: &costs,
        choices: &choices,
    };
    let found = compare(tables).unwrap();
    for line in found.differences.iter().take(60) {
        eprintln!("{line}");
    }
    eprintln!(
        "{found:?}",
        found = (found.model, found.costs, found.choices)
    );
    assert!(found.model.max_rel_error <= 1e-4);
    assert!(found.costs.max_rel_error <= 1e-4);
    assert_eq!(found.choices.algorithm_protocol_equal, found.choices.rows);
    let share = |n: u32| f64::from(n) / f64::from(found.choices.rows);
    assert!(share(found.choices.channels_equal) >= 0.99);
    assert!(share(found.choices.threads_equal) >= 0.99);
    assert!(share(found.choices.chunk_equal) >= 0.98);
}
