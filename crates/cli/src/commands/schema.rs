//! `ccl-agent schema`: the JSON Schema of a file people write, or of what other people's tools read.

use ccl_agent::observe::report::Report;
use ccl_core::{SchemaOf, schema_of};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use crate::error::CommandResult;
use crate::output;

/// Arguments of `ccl-agent schema`.
#[derive(Args)]
pub struct SchemaArgs {
    /// Of what; without it, one object with all of them by name.
    of: Option<SchemaArg>,
}

#[derive(Clone, Copy, ValueEnum)]
enum SchemaArg {
    /// A workload specification (JSON).
    Workload,
    /// A cluster specification (TOML).
    Cluster,
    /// One line of trace.jsonl.
    Trace,
    /// What observe --json prints.
    Observe,
}

fn of_observe() -> Value {
    schema_of::<Report>("What ccl-agent observe --json prints")
}

/// Prints the schema.
///
/// # Errors
/// Stdout that cannot be written.
pub fn run(args: &SchemaArgs) -> CommandResult {
    match args.of {
        Some(SchemaArg::Workload) => output::json(&SchemaOf::Workload.schema()),
        Some(SchemaArg::Cluster) => output::json(&SchemaOf::Cluster.schema()),
        Some(SchemaArg::Trace) => output::json(&SchemaOf::Trace.schema()),
        Some(SchemaArg::Observe) => output::json(&of_observe()),
        None => {
            let all: Map<String, Value> = SchemaOf::ALL
                .into_iter()
                .map(|of| (of.word().to_owned(), of.schema()))
                .chain([("observe".to_owned(), of_observe())])
                .collect();
            output::json(&all)
        }
    }
}
