//! `ccl-agent schema`: the JSON Schema of a file people write, or of the trace.

use ccl_core::SchemaOf;
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
}

impl From<SchemaArg> for SchemaOf {
    fn from(of: SchemaArg) -> Self {
        match of {
            SchemaArg::Workload => Self::Workload,
            SchemaArg::Cluster => Self::Cluster,
            SchemaArg::Trace => Self::Trace,
        }
    }
}

/// Prints the schema.
///
/// # Errors
/// Stdout that cannot be written.
pub fn run(args: &SchemaArgs) -> CommandResult {
    match args.of {
        Some(of) => output::json(&SchemaOf::from(of).schema()),
        None => {
            let all: Map<String, Value> = SchemaOf::ALL
                .into_iter()
                .map(|of| (of.word().to_owned(), of.schema()))
                .collect();
            output::json(&all)
        }
    }
}
