//! What is known of one collective on one rank, in as many words as a ring's slot has.

use super::seal::{lower, seal, upper};
use crate::nccl::common::{ALGORITHMS, COLLECTIVES, PROTOCOLS};

/// Words of a record, the seal included.
pub(super) const WORDS: usize = 15;

/// Where a duration comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Timing {
    /// The GPU's own timer: first channel's start to last channel's end.
    Device = 0,
    /// The host's clock over the kernel channels or the network work, as NCCL's proxy saw them.
    Proxy = 1,
    /// The host's clock over the enqueuing alone: says nothing about the collective's duration.
    Enqueue = 2,
}

/// Time that network transfers spent in each state, nanoseconds, summed over all transfers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// Sending waited for the GPU.
    pub send_gpu_ns: u64,
    /// Sending waited for the peer's credits.
    pub send_peer_ns: u64,
    /// Sending waited for the network.
    pub send_ns: u64,
    /// Receiving waited for the network or the peer.
    pub recv_ns: u64,
    /// Receiving waited for the flush.
    pub recv_flush_ns: u64,
    /// Receiving waited for the GPU.
    pub recv_gpu_ns: u64,
}

impl Waits {
    /// All of them, in the order of the fields.
    pub fn all(self) -> [u64; 6] {
        [
            self.send_gpu_ns,
            self.send_peer_ns,
            self.send_ns,
            self.recv_ns,
            self.recv_flush_ns,
            self.recv_gpu_ns,
        ]
    }
}

impl From<[u64; 6]> for Waits {
    fn from(all: [u64; 6]) -> Self {
        let [
            send_gpu_ns,
            send_peer_ns,
            send_ns,
            recv_ns,
            recv_flush_ns,
            recv_gpu_ns,
        ] = all;
        Self {
            send_gpu_ns,
            send_peer_ns,
            send_ns,
            recv_ns,
            recv_flush_ns,
            recv_gpu_ns,
        }
    }
}

/// One collective on one rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its communicator, a number in the ring's table.
    pub communicator: u32,
    /// How many of this collective came before on this communicator.
    pub sequence: u64,
    /// NCCL's id of the collective.
    pub collective: u8,
    /// NCCL's id of the algorithm that ran.
    pub algorithm: u8,
    /// NCCL's id of the protocol that ran.
    pub protocol: u8,
    /// Channels it ran on.
    pub channels: u8,
    /// Warps of a channel.
    pub warps: u8,
    /// Bytes of an element.
    pub element_bytes: u8,
    /// Where the duration comes from.
    pub timing: Timing,
    /// Whether all that was expected of it was seen.
    pub is_complete: bool,
    /// Elements, as the caller counts them.
    pub count: u64,
    /// When the host enqueued it, nanoseconds of the monotonic clock.
    pub enqueued_ns: u64,
    /// Its duration, nanoseconds.
    pub duration_ns: u64,
    /// Network transfers seen.
    pub transfers: u32,
    /// One collective in this many is recorded.
    pub sampled: u32,
    /// Bytes of the network transfers; 0 before v4, which is the first to say.
    pub transferred_bytes: u64,
    /// Where network time went.
    pub waits: Waits,
}

/// A record as it lies in memory.
pub type PackedRecord = [u64; WORDS];

impl Record {
    /// As words, sealed.
    #[inline]
    pub fn pack(&self) -> PackedRecord {
        let ids = u64::from_le_bytes([
            self.collective,
            self.algorithm,
            self.protocol,
            self.channels,
            self.warps,
            self.element_bytes,
            self.timing as u8,
            u8::from(self.is_complete),
        ]);
        let mut words = [0; WORDS];
        words[0] = u64::from(self.communicator);
        words[1] = ids;
        words[2] = self.sequence;
        words[3] = self.count;
        words[4] = self.enqueued_ns;
        words[5] = self.duration_ns;
        words[6] = u64::from(self.transfers) << 32 | u64::from(self.sampled);
        words[7] = self.transferred_bytes;
        words[8..14].copy_from_slice(&self.waits.all());
        words[14] = u64::from(check(&words));
        words
    }

    /// From words; `None` for what no writer of this version can have written.
    pub fn unpack(words: &PackedRecord) -> Option<Self> {
        let [
            collective,
            algorithm,
            protocol,
            channels,
            warps,
            element_bytes,
            timing,
            complete,
        ] = words[1].to_le_bytes();
        let timing = match timing {
            0 => Timing::Device,
            1 => Timing::Proxy,
            2 => Timing::Enqueue,
            _ => return None,
        };
        let waits: [u64; 6] = words[8..14].try_into().ok()?;
        let record = Self {
            communicator: u32::try_from(words[0]).ok()?,
            sequence: words[2],
            collective,
            algorithm,
            protocol,
            channels,
            warps,
            element_bytes,
            timing,
            is_complete: complete == 1,
            count: words[3],
            enqueued_ns: words[4],
            duration_ns: words[5],
            transfers: upper(words[6]),
            sampled: lower(words[6]),
            transferred_bytes: words[7],
            waits: Waits::from(waits),
        };
        let is_sane = words[14] == u64::from(check(words))
            && complete <= 1
            && usize::from(collective) < COLLECTIVES
            && usize::from(algorithm) < ALGORITHMS
            && usize::from(protocol) < PROTOCOLS
            && (1..=16).contains(&element_bytes);
        is_sane.then_some(record)
    }
}

/// A seal takes eight words; two of them cover the fourteen.
#[inline]
fn check(words: &PackedRecord) -> u32 {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, _] = *words;
    let first = seal([a, b, c, d, e, f, g]);
    seal([u64::from(first), h, i, j, k, l, m, n])
}
