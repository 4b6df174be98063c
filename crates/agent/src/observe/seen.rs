//! One collective on one rank, in the words of the domain.

use ccl_abi::shared::{Membership, Record};
use ccl_core::{Algorithm, Choice, Collective, Protocol};

/// One collective on one rank.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The process.
    pub pid: u32,
    /// The communicator and this rank in it. `None` for a communicator that was closed and whose place
    /// another had taken before its records were read.
    pub member: Option<Membership>,
    /// What was called.
    pub collective: Collective,
    /// What ran.
    pub choice: Choice,
    /// When it was enqueued, microseconds since 1970.
    pub enqueued_us: u64,
    /// Everything else.
    pub record: Record,
    /// Whether the duration comes from a simulation.
    pub is_simulated: bool,
}

impl Seen {
    /// A record in words; `None` for numbers that no NCCL has.
    pub fn of(
        record: Record,
        member: Option<Membership>,
        pid: u32,
        wall_minus_monotonic_ns: u64,
        is_simulated: bool,
    ) -> Option<Self> {
        let is = |id: u8| move |other: u32| other == u32::from(id);
        let collective = Collective::ALL
            .into_iter()
            .find(|c| c.nccl_id().is_some_and(is(record.collective)))?;
        let algorithm = Algorithm::ALL
            .into_iter()
            .find(|a| is(record.algorithm)(a.nccl_id()))?;
        let protocol = Protocol::ALL
            .into_iter()
            .find(|p| is(record.protocol)(p.nccl_id()))?;
        let some = |n: u8| (n > 0).then_some(u32::from(n));
        let choice = Choice {
            channels: some(record.channels),
            threads: some(record.warps).map(|warps| warps * 32),
            ..Choice::new(algorithm, protocol)
        };
        Some(Self {
            pid,
            member,
            collective,
            choice,
            // The monotonic clock starts at 0, so the sum of two honest values fits.
            enqueued_us: record.enqueued_ns.wrapping_add(wall_minus_monotonic_ns) / 1000,
            record,
            is_simulated,
        })
    }

    /// Bytes that the caller counts: of AllGather what a rank gives, of ReduceScatter what it gets.
    pub fn message_bytes(&self) -> u64 {
        let element = u64::from(self.record.element_bytes);
        self.record.count.saturating_mul(element)
    }

    /// Bytes as nccl-tests and the tuner interface count them: of the larger of the two buffers. Where
    /// the number of ranks is unknown, those of the message.
    pub fn bytes(&self) -> u64 {
        let ranks = u64::from(self.ranks().unwrap_or(1));
        match self.collective {
            Collective::AllGather | Collective::ReduceScatter => {
                self.message_bytes().saturating_mul(ranks)
            }
            _ => self.message_bytes(),
        }
    }

    /// Ranks of the communicator; `None` where nobody says (NCCL before 2.27).
    pub fn ranks(&self) -> Option<u32> {
        self.member.map(|m| m.ranks).filter(|n| *n > 0)
    }
}
