//! `ccl-agent sim validate --nccl-tables DIR`: the NCCL model against what NCCL itself computed.

use std::fmt::Write as _;
use std::path::Path;

use ccl_sim::nccl::tables::{Comparison, Tables, compare};

use crate::error::{CommandError, CommandResult};
use crate::output;

/// Differing rows shown to people.
const SHOWN: usize = 10;

/// Compares and prints.
///
/// # Errors
/// A table that is missing or cannot be read.
pub fn run(folder: &Path, json: bool) -> CommandResult {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).map_err(|e| {
            CommandError::bad_input(format!("cannot read {}: {e}", path.display())).help(
                "the folder needs topologies.csv, graphs.csv, model.csv, costs.csv and choices.csv",
            )
        })
    };
    let [topologies, graphs, model, costs, choices] = [
        read("topologies.csv")?,
        read("graphs.csv")?,
        read("model.csv")?,
        read("costs.csv")?,
        read("choices.csv")?,
    ];
    let comparison = compare(Tables {
        topologies: &topologies,
        graphs: &graphs,
        model: &model,
        costs: &costs,
        choices: &choices,
    })
    .map_err(|e| CommandError::bad_input(format!("{}: {e}", folder.display())))?;
    if json {
        output::json(&comparison)
    } else {
        output::text(summary(&comparison))
    }
}

fn summary(comparison: &Comparison) -> String {
    let Comparison {
        model,
        costs,
        choices,
        differences,
    } = comparison;
    let mut text = format!(
        "model    {} rows, largest relative error {:.1e}\n\
         costs    {} rows, {} within 1 %, largest relative error {:.1e}\n\
         choices  {} rows, equal in: algorithm and protocol {}, channels {}, threads {}, chunk {}",
        model.rows,
        model.max_rel_error,
        costs.rows,
        costs.within_1pct,
        costs.max_rel_error,
        choices.rows,
        choices.algorithm_protocol_equal,
        choices.channels_equal,
        choices.threads_equal,
        choices.chunk_equal,
    );
    for difference in differences.iter().take(SHOWN) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {difference}");
    }
    if differences.len() > SHOWN {
        let _ = write!(text, "\n  ... and {} more", differences.len() - SHOWN);
    }
    text
}
