//! The mechanisms of the rule mind: named, sourced reasons why NCCL's choice may lose here.
//!
//! Each looks at one key and either has nothing to say or proposes one change with a predicted
//! interval and the observation that would refute it. They are data plus a pure function, so the
//! list can be shown, tested and scored one by one. Nothing here decides; a trial does. What a process
//! reads once cannot be tried while it runs, so mechanisms about such variables give advice.

mod algorithms;
mod channels;
mod chunk;
mod overlap;
mod process;
mod protocols;
#[cfg(test)]
mod tests;
mod view;

use std::fmt::Write as _;

use ccl_core::{Advice, Bottleneck, Choice, Hypothesis, knobs};

use crate::expectation::Expectation;
use crate::situation::{KeyState, Situation};
pub use view::View;

/// How far the model's ratio of two times may be off, as a share: the ninth decile of its error on
/// the sweeps that vary the choice (doc/model-validation.md, `b300_algo` and `h200_b200_nvls`).
const RATIO_ERROR: f64 = 0.3;

/// What would be changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// What the key's calls run: can be tried in the running job.
    PerCall(Choice),
    /// A variable the process reads once: needs another start.
    Process {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
    },
}

/// What a mechanism proposes for one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// The change.
    pub change: Change,
    /// Why here, with figures.
    pub because: String,
    /// Predicted call time, candidate / incumbent: low and high end.
    pub ratio: [f64; 2],
}

impl Proposal {
    fn per_call(choice: Choice, because: String, ratio: [f64; 2]) -> Self {
        Self {
            change: Change::PerCall(choice),
            because,
            ratio,
        }
    }

    fn process(variable: &'static str, value: &str, because: String, ratio: [f64; 2]) -> Self {
        Self {
            change: Change::Process {
                variable,
                value: value.to_owned(),
            },
            because,
            ratio,
        }
    }
}

/// What a mechanism said.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// Something to try.
    Hypothesis(Hypothesis),
    /// Something to set before the next start.
    Advice(Advice),
}

/// One mechanism.
pub struct Mechanism {
    /// Its name, as it appears in hypotheses, rules and scores.
    pub name: &'static str,
    /// The bottlenecks it does something about: it is asked where one of them holds a key back, or
    /// nobody knows what does.
    pub speaks_to: &'static [Bottleneck],
    /// What happens in the machine.
    pub explains: &'static str,
    /// Where that is known from.
    pub source: &'static str,
    /// What could go wrong.
    pub risk: &'static str,
    /// The observation that would refute it.
    pub refuted_by: &'static str,
    /// Looks at one key.
    pub propose: fn(&View<'_>) -> Option<Proposal>,
}

impl Mechanism {
    /// What the mechanism has to say about one key, if anything. A variable that this NCCL does not
    /// have is not spoken of.
    pub fn say(
        &self,
        situation: &Situation,
        key: &KeyState,
        expectation: Option<&Expectation>,
    ) -> Option<Said> {
        let view = View::new(situation, key, expectation)?;
        let Proposal {
            change,
            because,
            ratio,
        } = (self.propose)(&view)?;
        let mechanism = self.name.to_owned();
        let seen = key.diagnosis.as_ref().map(|d| d.evidence.clone());
        let evidence = seen.unwrap_or_else(|| vec![key.evidence]);
        let (risk, refuted_by) = (self.risk.to_owned(), self.refuted_by.to_owned());
        let key = key.facts.key;
        Some(match change {
            Change::PerCall(choice) => Said::Hypothesis(Hypothesis {
                mechanism,
                because,
                evidence,
                key,
                choice,
                predicted_ratio: narrowed(&view, choice, ratio),
                risk,
                refuted_by,
            }),
            Change::Process { variable, value } => {
                let version = situation.cluster.nccl_version;
                knobs::find(variable).filter(|knob| knob.exists_in(version))?;
                Said::Advice(Advice {
                    mechanism,
                    because,
                    evidence,
                    key,
                    variable: variable.to_owned(),
                    value,
                    predicted_ratio: ratio,
                    risk,
                    refuted_by,
                })
            }
        })
    }
}

/// The part of a mechanism's interval that the model of the machine finds possible. Where the two
/// disagree the mechanism's stands: a trial decides, and its score. Beside computation the model of a
/// call alone says nothing.
fn narrowed(view: &View<'_>, choice: Choice, ratio: [f64; 2]) -> [f64; 2] {
    let facts = &view.key.facts;
    let expected = || {
        let expectation = view.expectation.filter(|_| !facts.overlapped)?;
        let now = expectation.call_us(facts, Some(view.running))?;
        Some(expectation.call_us(facts, Some(choice))? / now)
    };
    let Some(expected) = expected() else {
        return ratio;
    };
    let low = ratio[0].max(expected * (1.0 - RATIO_ERROR));
    let high = ratio[1].min(expected * (1.0 + RATIO_ERROR));
    if low < high { [low, high] } else { ratio }
}

/// All mechanisms, in the order they are asked.
pub static MECHANISMS: [Mechanism; 38] = [
    channels::STARVED_LINK,
    channels::NIC_UNDERUSED,
    channels::NIC_PARITY,
    channels::PROXY_QUEUE,
    channels::CHANNEL_OVERHEAD,
    overlap::SM_CONTENTION,
    overlap::SWITCH_FREES_SMS,
    overlap::FLAGS_COST_MEMORY,
    overlap::FEWER_LARGER_CHUNKS,
    chunk::PIPELINE_FILL,
    chunk::STAGING_CACHE,
    chunk::CHUNK_OVERHEAD,
    chunk::TREE_FILL,
    chunk::CHAIN_FILL,
    chunk::CHANNELS_AND_CHUNK,
    chunk::BANDWIDTH_DELAY,
    algorithms::LATENCY_BOUND_RING,
    algorithms::MANY_NODES_TREE,
    algorithms::BANDWIDTH_BOUND_TREE,
    algorithms::SWITCH_REDUCTION,
    algorithms::SWITCH_PER_NODE,
    algorithms::SWITCH_STARTUP,
    algorithms::PARALLEL_TREES,
    algorithms::FORCED_CHOICE,
    protocols::LOW_LATENCY_PROTOCOL,
    protocols::LL128_MIDDLE,
    protocols::LL_PAST_CROSSOVER,
    protocols::LL128_PAST_CROSSOVER,
    protocols::RENDEZVOUS_STEP,
    protocols::FINE_HANDOVER,
    process::CREDITS,
    process::ONE_QUEUE_PAIR,
    process::SWITCH_UNUSED,
    process::GPU_DIRECT_DISTANCE,
    process::FLUSH_BY_COPY,
    process::PEERS_ACROSS_ROOT,
    process::SOCKET_THREADS,
    process::PROXY_AFFINITY,
];

/// The reference page: every mechanism with what it claims and from where.
pub fn reference_page() -> String {
    let mut page = String::from(
        "# Mechanisms\n\n\
         Generated by `cargo test -p ccl-agent mechanisms` (`CCL_BLESS=1` writes it anew).\n\n\
         What the rule mind knows: reasons why NCCL's choice may lose, each with what it acts on, where \
         it is known from, what could go wrong, and what would refute it. A mechanism is asked where one \
         of its bottlenecks holds a key's calls back, or nobody knows what does; its predictions are held \
         against measurements, and one that keeps failing in a context is not asked there \
         ([017](../adr/017-hypotheses.md)). Those marked *advice* speak of variables a process reads once: \
         they are reported and never tried in a running job.\n",
    );
    for mechanism in &MECHANISMS {
        let words: Vec<&str> = mechanism.speaks_to.iter().map(|c| c.word()).collect();
        let is_advice = process::NAMES.contains(&mechanism.name);
        // Writing to a string cannot fail.
        let _ = write!(
            page,
            "\n## {}{}\n\n{}\n\n* acts on: {}\n* source: {}\n* risk: {}\n* refuted by: {}\n",
            mechanism.name,
            if is_advice { " *(advice)*" } else { "" },
            mechanism.explains,
            words.join(", "),
            mechanism.source,
            mechanism.risk,
            mechanism.refuted_by,
        );
    }
    page
}
