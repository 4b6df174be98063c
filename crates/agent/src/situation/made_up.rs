//! Situations made up for tests: one key on a cluster of the catalogue, as healthy as the model has
//! it unless told otherwise.

use ccl_core::{
    Algorithm, Bottleneck, Choice, ClusterSpec, Collective, CommShape, ContextSignature, Diagnosis,
    EvidenceId, KeyObservation, Protocol, TaskKey, cluster_text,
};

use super::{KeyState, Situation};
use crate::diagnosis::classify;
use crate::expectation::Expectation;
use crate::observe::row::WaitShares;
use crate::testbed::{KeyFacts, LegalChoices, Signals};

/// Half of the iteration, unless told otherwise.
const SHARE: f64 = 0.5;

/// One key in its situation.
#[derive(Clone, Debug)]
pub(crate) struct MadeUp {
    pub(crate) situation: Situation,
    pub(crate) expectation: Expectation,
}

/// Network waits with one share as given and the others equal.
fn waits(word: &str, share: f64) -> WaitShares {
    let of = |name: &str| {
        if name == word {
            share
        } else {
            (1.0 - share) / 5.0
        }
    };
    WaitShares {
        send_gpu: of("send-gpu"),
        send_peer: of("send-peer"),
        send: of("send"),
        recv: of("recv"),
        recv_flush: of("recv-flush"),
        recv_gpu: of("recv-gpu"),
    }
}

impl MadeUp {
    /// A key that runs `running`, everything the collective can do being possible.
    pub(crate) fn new(
        cluster: &str,
        (ranks, nodes): (u32, u32),
        collective: Collective,
        bytes: u64,
        running: Choice,
    ) -> Self {
        let cluster = ClusterSpec::parse(cluster_text(cluster).unwrap()).unwrap();
        let shape = CommShape::new(ranks, nodes);
        let pairs = Algorithm::ALL
            .into_iter()
            .flat_map(|a| Protocol::ALL.map(|p| (a, p)))
            .filter(|(a, p)| a.serves(collective) && a.speaks(*p))
            .collect();
        let facts = KeyFacts {
            key: TaskKey::of(shape, collective, bytes),
            bytes,
            calls: 100,
            overlapped: false,
            legal: LegalChoices {
                pairs,
                channels: vec![1, 2, 4, 8, 16, 32, 64],
                chunk_bytes: (15..=21).map(|k| 1 << k).collect(),
                only: None,
            },
        };
        let expectation = Expectation::new(&cluster, std::slice::from_ref(&facts));
        let observed = KeyObservation {
            key: facts.key,
            calls: facts.calls,
            bytes,
            call_us: expectation.call_us(&facts, Some(running)).unwrap(),
            bus_gbs: 1.0,
            share: SHARE,
            overlapped: false,
            choice: Some(running),
        };
        let context = ContextSignature::of(&cluster, "made-up", nodes, shape.ranks_per_node());
        let key = KeyState::new(facts, observed, EvidenceId(1), Signals::default());
        let situation = Situation {
            cluster,
            context,
            keys: vec![key],
            evidence: Vec::new(),
        };
        Self {
            situation,
            expectation,
        }
    }

    /// The same with what NCCL would choose by itself.
    pub(crate) fn untuned(
        cluster: &str,
        shape: (u32, u32),
        collective: Collective,
        bytes: u64,
    ) -> Self {
        let any = Choice::new(Algorithm::Ring, Protocol::Simple);
        let first = Self::new(cluster, shape, collective, bytes, any);
        let own = first.expectation.own_choice(&first.key().facts).unwrap();
        Self::new(cluster, shape, collective, bytes, own)
    }

    pub(crate) fn key(&self) -> &KeyState {
        &self.situation.keys[0]
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut KeyState)) -> Self {
        change(&mut self.situation.keys[0]);
        self
    }

    pub(crate) fn on(mut self, change: impl FnOnce(&mut ClusterSpec)) -> Self {
        change(&mut self.situation.cluster);
        self
    }

    /// Computation runs beside the calls.
    pub(crate) fn beside_computation(self) -> Self {
        self.with(|k| {
            k.facts.overlapped = true;
            k.observed.overlapped = true;
        })
    }

    /// The calls reach this share of what the machine should do.
    pub(crate) fn reaching(self, share: f64) -> Self {
        self.with(|k| k.observed.call_us /= share)
    }

    pub(crate) fn signals(self, signals: Signals) -> Self {
        self.with(|k| k.signals = signals)
    }

    pub(crate) fn waiting(self, word: &str, share: f64) -> Self {
        let network_waits = Some(waits(word, share));
        self.signals(Signals {
            network_waits,
            ..Signals::default()
        })
    }

    /// With the class that the figures give.
    pub(crate) fn classified(mut self) -> Self {
        let diagnosis = classify(&self.situation, self.key(), Some(&self.expectation));
        self.situation.keys[0].diagnosis = Some(diagnosis);
        self
    }

    /// With a class whatever the figures are.
    pub(crate) fn held_back_by(self, class: Bottleneck) -> Self {
        self.with(|k| {
            k.diagnosis = Some(Diagnosis {
                key: Some(k.facts.key),
                class,
                also: Vec::new(),
                because: String::new(),
                figures: Vec::new(),
                evidence: vec![k.evidence],
                confidence: 1.0,
                checks: Vec::new(),
            });
        })
    }
}
