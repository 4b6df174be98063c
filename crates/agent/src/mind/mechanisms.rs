//! The mechanisms of the rule mind: named, sourced reasons why NCCL's choice may lose here.
//!
//! Each looks at one key and either has nothing to say or proposes one change with a predicted
//! interval and the observation that would refute it. They are data plus a pure function, so the
//! list can be shown, tested and scored one by one. Nothing here decides; a trial does.

mod channels;
mod chunk;
mod pairs;
mod view;

use ccl_core::{Choice, Hypothesis};

use crate::situation::{KeyState, Situation};
pub use view::View;

/// What a mechanism proposes for one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// What the key would run.
    pub choice: Choice,
    /// Why here, with figures.
    pub because: String,
    /// Predicted call time, candidate / incumbent: low and high end.
    pub ratio: [f64; 2],
}

/// One mechanism.
pub struct Mechanism {
    /// Its name, as it appears in hypotheses and rules.
    pub name: &'static str,
    /// What happens in the machine, one sentence.
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
    /// The mechanism's hypothesis for one key, if it has something to say.
    pub fn hypothesis(&self, situation: &Situation, key: &KeyState) -> Option<Hypothesis> {
        let view = View::new(situation, key)?;
        let Proposal {
            choice,
            because,
            ratio,
        } = (self.propose)(&view)?;
        Some(Hypothesis {
            mechanism: self.name.to_owned(),
            because,
            evidence: vec![key.evidence],
            key: key.facts.key,
            choice,
            predicted_ratio: ratio,
            risk: self.risk.to_owned(),
            refuted_by: self.refuted_by.to_owned(),
        })
    }
}

/// All mechanisms, in the order they are asked.
pub static MECHANISMS: [Mechanism; 14] = [
    channels::STARVED_LINK,
    channels::NIC_UNDERUSED,
    channels::SM_CONTENTION,
    channels::LAUNCH_OVERHEAD,
    chunk::PIPELINE_FILL,
    chunk::STAGING_CACHE,
    chunk::CHUNK_OVERHEAD,
    pairs::LATENCY_BOUND_RING,
    pairs::BANDWIDTH_BOUND_TREE,
    pairs::SWITCH_REDUCTION,
    pairs::SWITCH_STARTUP,
    pairs::LOW_LATENCY_PROTOCOL,
    pairs::LL128_MIDDLE,
    pairs::PARALLEL_TREES,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mechanism_is_named_once_and_sourced() {
        let mut names: Vec<_> = MECHANISMS.iter().map(|m| m.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), MECHANISMS.len());
        for m in &MECHANISMS {
            for text in [m.explains, m.source, m.risk, m.refuted_by] {
                assert!(text.len() > 10, "{}", m.name);
            }
        }
    }
}
