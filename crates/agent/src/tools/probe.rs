//! Calls timed outside the job: bounded by what the run's options let them cost, and by the guard.

use ccl_core::{Caller, Choice, Source, TaskKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::arguments::{KeyName, Wanted};
use super::describe::rounded;
use super::{About, Cost, Tool, ToolError, Touches};
use crate::tuner::Tuner;

/// Most choices of one micro-benchmark.
const MOST_CHOICES: usize = 16;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OneCall {
    /// The task key.
    key: KeyName,
    /// What the call runs; null for what NCCL runs by itself.
    #[serde(default)]
    choice: Option<Wanted>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Timed {
    /// What ran.
    choice: String,
    /// Median time of one call outside the job, microseconds; null where it was not timed.
    call_us: Option<f64>,
    /// Why it was not timed.
    refused: Option<String>,
}

/// Times a choice; what it costs is booked, and a choice that was timed before costs nothing.
fn time(tuner: &mut Tuner<'_>, key: TaskKey, choice: Option<Choice>) -> Timed {
    let named = choice.map_or("NCCL's own".to_owned(), |c| c.to_string());
    let refused = choice.and_then(|c| tuner.guard.check_choice(key, &c).err());
    let call_us = match refused {
        Some(_) => None,
        None => tuner.probe_us(key, choice),
    };
    let why_not = || match call_us {
        Some(_) => None,
        None => {
            Some("what calls outside the job may cost is spent, or there is no figure".to_owned())
        }
    };
    Timed {
        choice: named,
        call_us: call_us.map(rounded),
        refused: refused.map(|r| r.to_string()).or_else(why_not),
    }
}

pub(super) struct Probe;

#[derive(Serialize, JsonSchema)]
pub(super) struct Probed {
    #[serde(flatten)]
    timed: Timed,
    /// Where the figure comes from.
    source: Source,
    /// The evidence it became; null where nothing was timed.
    evidence: Option<String>,
    /// What calls outside the job have cost so far, iterations.
    spent_iterations: f64,
}

impl Tool for Probe {
    type Arguments = OneCall;
    type Answer = Probed;
    const ABOUT: About = About {
        name: "probe",
        description: "Times calls of one task key with one choice outside the job, without computation beside \
                      them. It costs the job a moment, out of a small budget.",
        cost: Cost::OutsideTheJob,
        touches: Touches::Machine,
    };

    fn run(tuner: &mut Tuner<'_>, _: Caller, call: OneCall) -> Result<Probed, ToolError> {
        let key = call.key.find(&tuner.situation)?.facts.key;
        let timed = time(tuner, key, call.choice.map(Wanted::choice));
        let evidence = match timed.call_us {
            Some(us) => {
                let seen = format!("{key} outside the job: {us} us with {}", timed.choice);
                Some(tuner.observe(Some(key), seen)?.to_string())
            }
            None => None,
        };
        Ok(Probed {
            timed,
            source: tuner.testbed.describe().source,
            evidence,
            spent_iterations: rounded(tuner.probing_iterations()),
        })
    }
}

pub(super) struct Microbenchmark;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Several {
    /// The task key.
    key: KeyName,
    /// The choices, at most 16; what NCCL runs by itself is always timed beside them.
    choices: Vec<Wanted>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Table {
    /// NCCL's own choice first, then the others as they were asked for.
    rows: Vec<Timed>,
    /// Where the figures come from.
    source: Source,
    /// The evidence they became; null where nothing was timed.
    evidence: Option<String>,
    /// What calls outside the job have cost so far, iterations.
    spent_iterations: f64,
}

impl Tool for Microbenchmark {
    type Arguments = Several;
    type Answer = Table;
    const ABOUT: About = About {
        name: "microbenchmark",
        description: "Times several choices of one task key outside the job, beside NCCL's own, out of the same \
                      budget as probe. Calls alone say nothing of calls beside computation.",
        cost: Cost::OutsideTheJob,
        touches: Touches::Machine,
    };

    fn run(tuner: &mut Tuner<'_>, _: Caller, of: Several) -> Result<Table, ToolError> {
        let key = of.key.find(&tuner.situation)?.facts.key;
        if of.choices.len() > MOST_CHOICES {
            let count = of.choices.len();
            let reason = format!("choices: {count} of them; at most {MOST_CHOICES}");
            return Err(ToolError::Arguments(reason));
        }
        let mut rows = vec![time(tuner, key, None)];
        for wanted in of.choices {
            rows.push(time(tuner, key, Some(wanted.choice())));
        }
        let figures: Vec<String> = rows
            .iter()
            .filter_map(|row| Some(format!("{} {} us", row.choice, row.call_us?)))
            .collect();
        let evidence = match figures.is_empty() {
            true => None,
            false => {
                let seen = format!("{key} outside the job: {}", figures.join(", "));
                Some(tuner.observe(Some(key), seen)?.to_string())
            }
        };
        Ok(Table {
            rows,
            source: tuner.testbed.describe().source,
            evidence,
            spent_iterations: rounded(tuner.probing_iterations()),
        })
    }
}
