//! JSON Schemas of the files people write and of the trace they read, made from the types.
//!
//! For editors and for other people's tools. What relates two fields to each other (a time given
//! either way, a network where there are several nodes) is checked by the readers only.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value};

use crate::{ClusterSpec, TraceLine, WorkloadSpec};

/// What there is a schema of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaOf {
    /// A workload specification, JSON.
    Workload,
    /// A cluster specification, TOML.
    Cluster,
    /// One line of `trace.jsonl`.
    Trace,
}

impl SchemaOf {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Workload, Self::Cluster, Self::Trace];

    /// The word on the command line, also the name of its file in `doc/reference/schema/`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Workload => "workload",
            Self::Cluster => "cluster",
            Self::Trace => "trace",
        }
    }

    /// The schema (JSON Schema, draft 2020-12).
    pub fn schema(self) -> Value {
        match self {
            Self::Workload => schema_of::<WorkloadSpec>("A workload of ccl-agent"),
            Self::Cluster => schema_of::<ClusterSpec>("A cluster of ccl-agent"),
            Self::Trace => schema_of::<TraceLine>("A line of ccl-agent's trace"),
        }
    }
}

/// The schema of a type (JSON Schema, draft 2020-12): what a reader wants to see first, then the rest as
/// it is made.
pub fn schema_of<T: JsonSchema>(title: &str) -> Value {
    let mut schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>();
    let mut ordered = Map::new();
    ordered.extend(schema.remove("$schema").map(|s| ("$schema".to_owned(), s)));
    ordered.insert("title".to_owned(), title.into());
    ordered.extend(
        schema
            .remove("description")
            .map(|d| ("description".to_owned(), d)),
    );
    schema.remove("title");
    if let Value::Object(rest) = schema.into() {
        ordered.extend(rest);
    }
    Value::Object(ordered)
}
