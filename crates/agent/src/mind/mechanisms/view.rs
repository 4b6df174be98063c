//! One key seen through the questions the mechanisms ask.

use ccl_core::{
    Algorithm, Choice, ClusterSpec, Collective, Fabric, IntraLink, NetworkSpec, Protocol,
};

use crate::expectation::Expectation;
use crate::situation::{KeyState, Situation};
use crate::testbed::Signals;

/// A key whose running choice is known, with the machine it runs on.
pub struct View<'a> {
    /// The machine.
    pub cluster: &'a ClusterSpec,
    /// The key.
    pub key: &'a KeyState,
    /// What runs now.
    pub running: Choice,
    /// What the machine should do, where anybody may know.
    pub expectation: Option<&'a Expectation>,
}

impl<'a> View<'a> {
    /// `None` where the testbed cannot tell what runs: a mechanism would be guessing.
    pub fn new(
        situation: &'a Situation,
        key: &'a KeyState,
        expectation: Option<&'a Expectation>,
    ) -> Option<Self> {
        Some(Self {
            cluster: &situation.cluster,
            key,
            running: key.running()?,
            expectation,
        })
    }

    /// What the key's calls showed besides their time.
    pub fn signals(&self) -> &Signals {
        &self.key.signals
    }

    /// The collective.
    pub fn collective(&self) -> Collective {
        self.key.facts.key.collective
    }

    /// Bytes of one call.
    pub fn bytes(&self) -> u64 {
        self.key.facts.bytes
    }

    /// Ranks of the communicator.
    pub fn ranks(&self) -> u32 {
        self.key.facts.key.shape.ranks
    }

    /// Nodes of the communicator.
    pub fn nodes(&self) -> u32 {
        self.key.facts.key.shape.nodes
    }

    /// The network, if the communicator uses it.
    pub fn network(&self) -> Option<&'a NetworkSpec> {
        let network = self.cluster.network.as_ref();
        network.filter(|_| self.crosses_nodes())
    }

    /// The network, if the communicator uses one of these fabrics.
    pub fn network_over(&self, fabrics: &[Fabric]) -> Option<&'a NetworkSpec> {
        self.network().filter(|n| fabrics.contains(&n.fabric))
    }

    /// Bus bandwidth over what the machine should reach with the same choice; `None` where nobody
    /// may know that, or computation runs beside the call.
    pub fn reached_share(&self) -> Option<f64> {
        if self.key.facts.overlapped {
            return None;
        }
        let choice = self.key.observed.choice;
        let expected = self.expectation?.call_us(&self.key.facts, Some(choice?))?;
        Some(expected / self.key.observed.call_us)
    }

    /// Whether the communicator spans nodes.
    pub fn crosses_nodes(&self) -> bool {
        self.key.facts.key.shape.nodes > 1
    }

    /// Whether the pair is possible here.
    pub fn offers(&self, algorithm: Algorithm, protocol: Protocol) -> bool {
        self.key.facts.legal.pairs.contains(&(algorithm, protocol))
    }

    /// Whether GPUs of a node talk over PCIe, at least in part.
    pub fn uses_pcie(&self) -> bool {
        matches!(
            self.cluster.intra.link,
            IntraLink::Pcie | IntraLink::NvLinkPairs
        )
    }

    /// The largest settable channel count that is not above `wanted`, if it differs from what
    /// runs now.
    pub fn channels_at_most(&self, wanted: u32) -> Option<u32> {
        let found = self
            .key
            .facts
            .legal
            .channels
            .iter()
            .copied()
            .filter(|&n| n <= wanted)
            .max()?;
        (Some(found) != self.running.channels).then_some(found)
    }

    /// The settable chunk size nearest to `wanted` (as a ratio), if it differs from what runs.
    pub fn chunk_near(&self, wanted: u64) -> Option<u64> {
        #[allow(clippy::cast_precision_loss)] // a ratio of sizes
        let distance = |n: u64| (n as f64 / wanted.max(1) as f64).ln().abs();
        let sizes = self.key.facts.legal.chunk_bytes.iter().copied();
        let found = sizes.min_by(|&a, &b| distance(a).total_cmp(&distance(b)))?;
        (Some(found) != self.running.chunk_bytes).then_some(found)
    }

    /// What runs now, spelled out for a change of one part: threads are never set per call.
    pub fn running_as_rule(&self) -> Choice {
        let legal = &self.key.facts.legal;
        let keep = |settable: bool| {
            if settable {
                self.running.channels
            } else {
                None
            }
        };
        Choice {
            threads: None,
            channels: keep(!legal.channels.is_empty()).filter(|n| legal.channels.contains(n)),
            chunk_bytes: self
                .running
                .chunk_bytes
                .filter(|n| legal.chunk_bytes.contains(n)),
            ..self.running
        }
    }

    /// Bytes that one channel moves per step of a ring: the pipeline's length in chunks is this
    /// over the chunk size.
    pub fn bytes_per_channel_and_rank(&self) -> u64 {
        let channels = u64::from(self.running.channels.unwrap_or(1).max(1));
        self.bytes() / channels / u64::from(self.ranks().max(1))
    }

    /// The pair with everything else left to NCCL, if it is possible and not what runs.
    pub fn pair(&self, algorithm: Algorithm, protocol: Protocol) -> Option<Choice> {
        let differs = (self.running.algorithm, self.running.protocol) != (algorithm, protocol);
        (differs && self.offers(algorithm, protocol)).then(|| Choice::new(algorithm, protocol))
    }
}
