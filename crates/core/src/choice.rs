//! What NCCL can be told for one collective call.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Algorithm, Collective, Protocol};

/// One way to run a collective. What is `None` is left to NCCL.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Choice {
    /// The walk over the ranks.
    pub algorithm: Algorithm,
    /// The signalling.
    pub protocol: Protocol,
    /// Channels (thread blocks), 1 and up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<u32>,
    /// Threads per channel: a multiple of 32 in 64..=640 (`NCCL_MAX_NTHREADS`). Not settable per
    /// call through any tuner interface; a communicator-level knob.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// Bytes a channel moves per pipeline step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk_bytes: Option<u64>,
}

/// Why a choice cannot be run by any NCCL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChoiceError {
    /// No kernel of this algorithm for this collective.
    #[error("{algorithm} does not serve {collective}")]
    NotServed {
        /// The algorithm asked for.
        algorithm: Algorithm,
        /// The collective asked for.
        collective: Collective,
    },
    /// No kernel for this pair.
    #[error("{algorithm} runs with Simple only, not {protocol}")]
    NoSuchPair {
        /// The algorithm asked for.
        algorithm: Algorithm,
        /// The protocol asked for.
        protocol: Protocol,
    },
    /// Channel count out of 1..=64 (`MAXCHANNELS` of NCCL).
    #[error("{0} channels: NCCL has 1 to 64")]
    Channels(u32),
    /// Thread count NCCL would refuse.
    #[error("{0} threads: a multiple of 32 from 64 to 640")]
    Threads(u32),
    /// A chunk no buffer can hold.
    #[error("a chunk of {0} bytes: NCCL needs 16 bytes to 64 MiB")]
    Chunk(u64),
}

impl Choice {
    /// A pair with everything else left to NCCL.
    pub const fn new(algorithm: Algorithm, protocol: Protocol) -> Self {
        Self {
            algorithm,
            protocol,
            channels: None,
            threads: None,
            chunk_bytes: None,
        }
    }

    /// Whether algorithm and protocol are the same.
    pub fn is_same_pair(&self, other: &Self) -> bool {
        (self.algorithm, self.protocol) == (other.algorithm, other.protocol)
    }

    /// How far channels and chunk are from another choice's, in factors of two together; what either leaves to
    /// NCCL is taken to be what `own` says, and a neighbour of anything where that says nothing.
    pub fn levels_from(&self, other: &Self, own: Option<Self>) -> u32 {
        let apart = |a: Option<u64>, b: Option<u64>, own: Option<u64>| match (a.or(own), b.or(own))
        {
            (Some(a), Some(b)) => a.max(1).ilog2().abs_diff(b.max(1).ilog2()),
            (a, b) => u32::from(a != b),
        };
        let channels = |c: &Self| c.channels.map(u64::from);
        apart(
            channels(self),
            channels(other),
            own.as_ref().and_then(channels),
        ) + apart(
            self.chunk_bytes,
            other.chunk_bytes,
            own.and_then(|c| c.chunk_bytes),
        )
    }

    /// The same with a channel count.
    pub const fn with_channels(mut self, channels: u32) -> Self {
        self.channels = Some(channels);
        self
    }

    /// The same with a thread count.
    pub const fn with_threads(mut self, threads: u32) -> Self {
        self.threads = Some(threads);
        self
    }

    /// The same with a chunk size.
    pub const fn with_chunk_bytes(mut self, chunk_bytes: u64) -> Self {
        self.chunk_bytes = Some(chunk_bytes);
        self
    }

    /// Checks what holds on every machine: kernels that exist, counts NCCL accepts.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self, collective: Collective) -> Result<(), ChoiceError> {
        let Self {
            algorithm,
            protocol,
            ..
        } = *self;
        if !algorithm.serves(collective) {
            return Err(ChoiceError::NotServed {
                algorithm,
                collective,
            });
        }
        if !algorithm.speaks(protocol) {
            return Err(ChoiceError::NoSuchPair {
                algorithm,
                protocol,
            });
        }
        if let Some(n) = self.channels.filter(|n| !(1..=64).contains(n)) {
            return Err(ChoiceError::Channels(n));
        }
        if let Some(n) = self
            .threads
            .filter(|n| n % 32 != 0 || !(64..=640).contains(n))
        {
            return Err(ChoiceError::Threads(n));
        }
        if let Some(n) = self.chunk_bytes.filter(|n| !(16..=64 << 20).contains(n)) {
            return Err(ChoiceError::Chunk(n));
        }
        Ok(())
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.algorithm, self.protocol)?;
        if let Some(n) = self.channels {
            write!(f, " {n}ch")?;
        }
        if let Some(n) = self.threads {
            write!(f, " {n}thr")?;
        }
        if let Some(n) = self.chunk_bytes {
            write!(f, " chunk {}", crate::format_bytes(n))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_choices_say_why() {
        let check = |c: Choice, coll| c.check(coll).unwrap_err().to_string();
        let nvls = Choice::new(Algorithm::Nvls, Protocol::Ll);
        assert_eq!(
            check(nvls, Collective::AllReduce),
            "NVLS runs with Simple only, not LL"
        );
        let tree = Choice::new(Algorithm::Tree, Protocol::Ll);
        assert_eq!(
            check(tree, Collective::AllGather),
            "Tree does not serve AllGather"
        );
        let ring = Choice::new(Algorithm::Ring, Protocol::Simple);
        assert!(check(ring.with_threads(100), Collective::AllReduce).starts_with("100 threads"));
        assert!(check(ring.with_channels(65), Collective::AllReduce).contains("1 to 64"));
        assert_eq!(ring.with_threads(96).check(Collective::AllReduce), Ok(()));
    }

    #[test]
    fn a_choice_reads_like_a_log_line() {
        let c = Choice::new(Algorithm::Ring, Protocol::Ll128)
            .with_channels(8)
            .with_chunk_bytes(64 << 10);
        assert_eq!(c.to_string(), "Ring/LL128 8ch chunk 64 KiB");
    }
}
