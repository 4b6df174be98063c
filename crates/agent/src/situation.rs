//! What a mind sees before it decides: the job, the machine, the evidence, what was tried.
//!
//! Plain data, built by the loop; a mind reads it and answers, and touches nothing else.

use ccl_core::{
    Algorithm, Bottleneck, Choice, ClusterSpec, ContextSignature, Diagnosis, Evidence, EvidenceId,
    KeyObservation, Protocol, TaskKey,
};

use crate::testbed::{KeyFacts, Signals};

/// One key with everything known about it.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyState {
    /// What the testbed says of it.
    pub facts: KeyFacts,
    /// How it was observed under untuned NCCL.
    pub observed: KeyObservation,
    /// The evidence that observation became.
    pub evidence: EvidenceId,
    /// What its calls showed besides their time.
    pub signals: Signals,
    /// What holds them back, once the baseline was measured.
    pub diagnosis: Option<Diagnosis>,
    /// What it runs now if it is no longer NCCL's own choice.
    pub incumbent: Option<Choice>,
    /// Pairs that the probes outside the job spoke against.
    pub hopeless: Vec<(Algorithm, Protocol)>,
    /// Candidates that were tried or refused, in order; none is proposed again.
    pub tried: Vec<Choice>,
}

impl KeyState {
    /// A key as it was met: nothing found, nothing tried.
    pub fn new(
        facts: KeyFacts,
        observed: KeyObservation,
        evidence: EvidenceId,
        signals: Signals,
    ) -> Self {
        Self {
            facts,
            observed,
            evidence,
            signals,
            diagnosis: None,
            incumbent: None,
            hopeless: Vec::new(),
            tried: Vec::new(),
        }
    }

    /// What the key runs now, as far as the testbed can tell.
    pub fn running(&self) -> Option<Choice> {
        self.incumbent.or(self.observed.choice)
    }

    /// A ratio of call times as a ratio of what the key's trials compare: the call, or the iteration
    /// where computation runs beside it.
    pub fn in_metric(&self, call_ratio: f64) -> f64 {
        if self.facts.overlapped {
            1.0 - self.observed.share * (1.0 - call_ratio)
        } else {
            call_ratio
        }
    }

    /// What holds its calls back, as far as anybody knows.
    pub fn bottleneck(&self) -> Bottleneck {
        self.diagnosis
            .as_ref()
            .map_or(Bottleneck::Unclear, |d| d.class)
    }

    /// Whether one of these holds its calls back, or nobody knows what does.
    pub fn may_be_held_back_by(&self, classes: &[Bottleneck]) -> bool {
        self.bottleneck() == Bottleneck::Unclear
            || self
                .diagnosis
                .as_ref()
                .is_some_and(|d| d.is_one_of(classes))
    }

    /// Whether this choice is legal here, not hopeless, and was not tried yet.
    pub fn is_open(&self, choice: &Choice) -> bool {
        self.facts.legal.allows(choice)
            && !self.hopeless.contains(&(choice.algorithm, choice.protocol))
            && !self.tried.contains(choice)
    }
}

/// The whole situation.
#[derive(Clone, Debug, PartialEq)]
pub struct Situation {
    /// The machine.
    pub cluster: ClusterSpec,
    /// Where this is: what a rule learnt here is filed under.
    pub context: ContextSignature,
    /// The keys, largest share first.
    pub keys: Vec<KeyState>,
    /// Everything seen so far.
    pub evidence: Vec<Evidence>,
}

impl Situation {
    /// The state of one key.
    pub fn key(&self, key: TaskKey) -> Option<&KeyState> {
        self.keys.iter().find(|k| k.facts.key == key)
    }
}

#[cfg(test)]
pub(crate) mod made_up;
