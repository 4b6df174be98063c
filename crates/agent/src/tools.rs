//! Everything that can be done in a run, by name: one registry for the minds, for a person in a chat and for
//! other programs.
//!
//! A tool has a schema for its arguments and its answer, says what calling it costs, and what it may touch.
//! Whoever calls it says who it is and what it may do; a tool that does more is refused before it begins. No
//! tool is a way around the guard: what runs in the job is approved there, whoever asked for it.
//!
//! Every call is an event of the trace. What a language model may not call is not shown to it, and a name that
//! is not in the registry is an answer, never an action.

mod act;
mod arguments;
mod describe;
mod evidence;
mod knowledge;
mod predict;
mod probe;
mod propose;
mod rules;
#[cfg(test)]
pub(crate) mod tests;

use ccl_core::{Caller, TraceEvent};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use crate::tuner::{RunError, Tuner};

pub(crate) use arguments::{Cited, KeyName, read, rests_on, same_words, shortened};
pub(crate) use evidence::Ended;
pub(crate) use propose::{Stated, propose, ratio, words};

/// What a call costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cost {
    /// Nothing that anybody would notice.
    Nothing,
    /// Calls outside the job, which keep its GPUs from it for a moment; bounded by the run's options.
    OutsideTheJob,
    /// Iterations of the job.
    Iterations,
}

/// What a call may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Touches {
    /// Nothing: it tells what is known.
    Nothing,
    /// The notes of the run: a proposal is written down, and nothing happens to the job.
    Notes,
    /// The machine beside the job, with choices that the guard lets through.
    Machine,
    /// What later runs will remember.
    Memory,
    /// The job, through the guard.
    Job,
}

/// What a tool says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub name: &'static str,
    /// What it does, for whoever decides whether to call it.
    pub description: &'static str,
    /// What a call costs.
    pub cost: Cost,
    /// What a call may touch.
    pub touches: Touches,
}

/// One tool.
trait Tool {
    /// What it is called with.
    type Arguments: DeserializeOwned + JsonSchema;
    /// What it answers.
    type Answer: Serialize + JsonSchema;
    /// What it says of itself.
    const ABOUT: About;

    /// Does it.
    fn run(
        tuner: &mut Tuner<'_>,
        by: Caller,
        arguments: Self::Arguments,
    ) -> Result<Self::Answer, ToolError>;
}

/// Why a tool did not do what was asked.
#[derive(Debug, Error)]
pub enum ToolError {
    /// No tool of this name.
    #[error("there is no tool {name:?}; the nearest is {nearest}")]
    Unknown {
        /// The name.
        name: String,
        /// The tool whose name is most like it.
        nearest: &'static str,
    },
    /// The caller may not do that.
    #[error("{tool} touches more than this caller may")]
    NotAllowed {
        /// The tool.
        tool: &'static str,
    },
    /// Arguments that do not fit the schema, or name what is not there.
    #[error("{0}")]
    Arguments(String),
    /// The guard, the bounds of the run, or what was measured speak against it.
    #[error("refused: {0}")]
    Refused(String),
    /// The run cannot go on.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// A tool as it stands in the registry.
pub struct Entry {
    /// What it says of itself.
    pub about: About,
    arguments: fn() -> Value,
    answer: fn() -> Value,
    call: fn(&mut Tuner<'_>, Caller, Value) -> Result<Value, ToolError>,
}

impl Entry {
    const fn of<T: Tool>() -> Self {
        Self {
            about: T::ABOUT,
            arguments: schema_of::<T::Arguments>,
            answer: schema_of_answer::<T::Answer>,
            call: call::<T>,
        }
    }

    /// JSON Schema of the arguments.
    pub fn arguments(&self) -> Value {
        (self.arguments)()
    }

    /// JSON Schema of the answer.
    pub fn answer(&self) -> Value {
        (self.answer)()
    }
}

/// All tools, in the order in which one would learn of a run.
pub fn all() -> &'static [Entry] {
    static REGISTRY: [Entry; 20] = [
        Entry::of::<describe::DescribeCluster>(),
        Entry::of::<describe::DescribeWorkload>(),
        Entry::of::<describe::ListTaskKeys>(),
        Entry::of::<evidence::QueryEvidence>(),
        Entry::of::<knowledge::SearchKnowledge>(),
        Entry::of::<knowledge::GetCard>(),
        Entry::of::<rules::RecallRules>(),
        Entry::of::<predict::Predict>(),
        Entry::of::<predict::CompileAndValidate>(),
        Entry::of::<evidence::Explain>(),
        Entry::of::<probe::Probe>(),
        Entry::of::<probe::Microbenchmark>(),
        Entry::of::<propose::ProposeHypothesis>(),
        Entry::of::<propose::NumericSearch>(),
        Entry::of::<act::Apply>(),
        Entry::of::<act::Measure>(),
        Entry::of::<act::CompareWithBaseline>(),
        Entry::of::<act::RollBack>(),
        Entry::of::<rules::RecordRule>(),
        Entry::of::<act::Stop>(),
    ];
    &REGISTRY
}

/// The tool of this name.
///
/// # Errors
/// There is none.
pub fn find(name: &str) -> Result<&'static Entry, ToolError> {
    let found = all().iter().find(|entry| entry.about.name == name);
    found.ok_or_else(|| ToolError::Unknown {
        name: shortened(name),
        nearest: nearest(name),
    })
}

fn nearest(name: &str) -> &'static str {
    let likeness = |entry: &Entry| strsim::jaro_winkler(entry.about.name, name);
    all()
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
        .map_or("", |entry| entry.about.name)
}

impl Tuner<'_> {
    /// Calls a tool by its name, on behalf of somebody who may touch so much and no more. Whatever comes of
    /// it is written to the trace.
    ///
    /// # Errors
    /// The outer error ends the run; the inner one is the tool's answer.
    pub fn call_tool(
        &mut self,
        by: Caller,
        may_touch: Touches,
        name: &str,
        arguments: Value,
    ) -> Result<Result<Value, ToolError>, RunError> {
        let given = arguments.clone();
        let answer = find(name).and_then(|entry| {
            if entry.about.touches > may_touch {
                let tool = entry.about.name;
                return Err(ToolError::NotAllowed { tool });
            }
            (entry.call)(self, by, arguments)
        });
        let answer = match answer {
            Err(ToolError::Run(error)) => return Err(error),
            other => other,
        };
        let told = match &answer {
            Ok(value) => value.clone(),
            Err(error) => Value::String(error.to_string()),
        };
        self.emit(TraceEvent::ToolCalled {
            by,
            tool: shortened(name),
            arguments: arguments::bounded(given),
            answer: told,
            done: answer.is_ok(),
        })?;
        Ok(answer)
    }
}

fn call<T: Tool>(tuner: &mut Tuner<'_>, by: Caller, arguments: Value) -> Result<Value, ToolError> {
    let arguments = read(arguments)?;
    let answer = T::run(tuner, by, arguments)?;
    serde_json::to_value(answer).map_err(|error| ToolError::Refused(error.to_string()))
}

/// The schema of what is read as a type, whole: no provider follows references into another part of it.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    whole::<T>(SchemaSettings::draft2020_12().for_deserialize())
}

/// The same of what is written.
fn schema_of_answer<T: JsonSchema>() -> Value {
    whole::<T>(SchemaSettings::draft2020_12().for_serialize())
}

fn whole<T: JsonSchema>(mut settings: SchemaSettings) -> Value {
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    SchemaGenerator::from(settings)
        .into_root_schema_for::<T>()
        .to_value()
}
