//! What came of a mechanism's predictions, and where: what its word is worth.
//!
//! Of every prediction the part that came true counts as a success and the rest as a failure, per
//! context; what was counted elsewhere speaks for related contexts with less weight. Trust is the
//! mean of a Beta distribution that starts at one success and one failure (Laplace's rule of
//! succession), and so the share of a predicted gain to be expected. Whether somebody is asked is the
//! agent's business.

use ccl_core::{Bottleneck, Collective, ContextSignature, Source};
use serde::{Deserialize, Serialize};

/// What another context's counts are worth here: the same machine and release at another scale or
/// with another workload.
const RELATED: f64 = 0.5;
/// What counts of another collective, or of another bottleneck, are worth.
const OTHER_CALL: f64 = 0.25;
/// What earlier counts are worth once a later run has added its own: old failures fade, so that a
/// mechanism is heard again, and a machine that changed is met anew.
const KEPT_PER_RUN: f64 = 0.8;

/// Where a mechanism spoke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreContext {
    /// Machine, release, scale, workload.
    pub place: ContextSignature,
    /// The collective.
    pub collective: Collective,
    /// What held it back.
    pub bottleneck: Bottleneck,
}

impl ScoreContext {
    /// What counts of `other` are worth here, 0..=1.
    fn weight(&self, other: &Self) -> f64 {
        let place = if self.place == other.place {
            1.0
        } else if self.place.is_related_to(&other.place) {
            RELATED
        } else {
            0.0
        };
        let same = (self.collective, self.bottleneck) == (other.collective, other.bottleneck);
        place * if same { 1.0 } else { OTHER_CALL }
    }
}

/// The predictions of one mechanism in one context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreRecord {
    /// The mechanism.
    pub mechanism: String,
    /// Where.
    pub context: ScoreContext,
    /// Predictions that came true, each by the part of its gain that was measured; fading.
    pub held: f64,
    /// What is missing of them to the number of predictions; fading.
    pub failed: f64,
    /// Where the measurements came from.
    pub source: Source,
    /// The run that last added to it.
    pub run_id: String,
}

impl ScoreRecord {
    /// Its name in a store.
    pub(crate) fn id(&self) -> String {
        let ScoreContext {
            place,
            collective,
            bottleneck,
        } = &self.context;
        let place = crate::place::in_words(place);
        format!("{}: {collective} {bottleneck}: {place}", self.mechanism)
    }

    /// The same, one run later.
    pub(crate) fn faded(mut self) -> Self {
        self.held *= KEPT_PER_RUN;
        self.failed *= KEPT_PER_RUN;
        self
    }
}

/// What one mechanism's predictions of this run came to in one context.
#[derive(Clone, Debug, PartialEq)]
struct Own {
    mechanism: String,
    context: ScoreContext,
    held: f64,
    failed: f64,
}

/// The scores a run knows: those remembered, and its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScoreBook {
    remembered: Vec<ScoreRecord>,
    own: Vec<Own>,
}

impl ScoreBook {
    /// A book that begins with what earlier runs left.
    pub fn new(remembered: Vec<ScoreRecord>) -> Self {
        Self {
            remembered,
            own: Vec::new(),
        }
    }

    /// What this run added, as records of this source and run.
    pub fn own(&self, source: Source, run_id: &str) -> Vec<ScoreRecord> {
        let own = self.own.iter().cloned();
        let record = |own: Own| ScoreRecord {
            mechanism: own.mechanism,
            context: own.context,
            held: own.held,
            failed: own.failed,
            source,
            run_id: run_id.to_owned(),
        };
        own.map(record).collect()
    }

    /// Adds one prediction: the share of its gain that came true, 0..=1.
    pub fn add(&mut self, mechanism: &str, context: &ScoreContext, realised: f64) {
        let (held, failed) = (realised, 1.0 - realised);
        let known = self
            .own
            .iter_mut()
            .find(|own| own.mechanism == mechanism && own.context == *context);
        match known {
            Some(own) => {
                own.held += held;
                own.failed += failed;
            }
            None => self.own.push(Own {
                mechanism: mechanism.to_owned(),
                context: context.clone(),
                held,
                failed,
            }),
        }
    }

    /// The share of a predicted gain that comes true here, as far as the past tells: one half
    /// without any.
    pub fn trust(&self, mechanism: &str, context: &ScoreContext) -> f64 {
        let remembered = self.remembered.iter();
        let remembered = remembered.map(|r| (&r.mechanism, &r.context, r.held, r.failed));
        let own = self.own.iter();
        let own = own.map(|o| (&o.mechanism, &o.context, o.held, o.failed));
        let (mut held, mut failed) = (1.0, 1.0);
        for (name, there, part, rest) in remembered.chain(own) {
            if name == mechanism {
                let weight = context.weight(there);
                held += weight * part;
                failed += weight * rest;
            }
        }
        held / (held + failed)
    }
}

#[cfg(test)]
mod tests {
    use ccl_core::{ClusterSpec, cluster_text};

    use super::*;

    fn context(cluster: &str, workload: &str) -> ScoreContext {
        let cluster = ClusterSpec::parse(cluster_text(cluster).unwrap()).unwrap();
        ScoreContext {
            place: ContextSignature::of(&cluster, workload, 1, 8),
            collective: Collective::AllReduce,
            bottleneck: Bottleneck::IntraNodeLink,
        }
    }

    fn book(realised: &[f64], context: &ScoreContext) -> ScoreBook {
        let mut book = ScoreBook::default();
        for &one in realised {
            book.add("pipeline-fill", context, one);
        }
        book
    }

    #[test]
    fn failures_count_most_where_they_happened() {
        let here = context("dgx-h100", "a");
        let failed = book(&[0.0; 4], &here);
        let trust = |at: &ScoreContext| failed.trust("pipeline-fill", at);
        let other_call = ScoreContext {
            collective: Collective::AllGather,
            ..here.clone()
        };
        let other_job = context("dgx-h100", "b");
        let elsewhere = context("dgx-a100", "a");
        assert!((trust(&here) - 1.0 / 6.0).abs() < 1e-12);
        assert!(trust(&here) < trust(&other_job));
        assert!(trust(&other_job) < trust(&other_call));
        assert!(trust(&other_call) < trust(&elsewhere));
        assert!((trust(&elsewhere) - 0.5).abs() < 1e-12);
        assert!((failed.trust("starved-link", &here) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn half_a_gain_is_half_a_success() {
        let here = context("dgx-h100", "a");
        let mixed = book(&[1.0, 0.0, 0.5, 0.5], &here);
        assert!((mixed.trust("pipeline-fill", &here) - 0.5).abs() < 1e-12);
        let own = mixed.own(Source::Simulated, "run");
        assert_eq!((own.len(), own[0].run_id.as_str()), (1, "run"));
        let again = ScoreBook::new(own);
        assert_eq!(
            again.trust("pipeline-fill", &here),
            mixed.trust("pipeline-fill", &here)
        );
    }
}
