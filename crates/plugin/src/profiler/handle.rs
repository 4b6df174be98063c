//! Handles: numbers that say what an event is and where it has its place.

/// What a handle stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A collective.
    Collective,
    /// Network work of one channel.
    ProxyOp,
    /// One transfer.
    Transfer,
    /// A kernel's channel.
    Kernel,
}

/// A handle taken apart. Never 0 as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    /// What it stands for.
    pub kind: Kind,
    /// Which communicator of this process.
    pub communicator: u16,
    /// Which place there: of a transfer its own, otherwise the collective's.
    pub place: u16,
    /// Whose turn the place was then.
    pub generation: u32,
}

/// Most communicators: twelve bits, as many as a ring can tell apart.
pub const MOST_COMMUNICATORS: u16 = 1 << 12;
const _: () = assert!(MOST_COMMUNICATORS as u32 == ccl_abi::shared::MOST_COMMUNICATORS);

impl Handle {
    /// As the number NCCL keeps: kind (4 bits), communicator (12), place (16), generation (32).
    pub fn number(self) -> u64 {
        let kind = 1 + self.kind as u64;
        kind << 60
            | u64::from(self.communicator % MOST_COMMUNICATORS) << 48
            | u64::from(self.place) << 32
            | u64::from(self.generation)
    }

    /// From such a number; `None` for what was never one.
    #[allow(clippy::cast_possible_truncation)] // shifted to size
    pub fn from_number(number: u64) -> Option<Self> {
        let kind = match number >> 60 {
            1 => Kind::Collective,
            2 => Kind::ProxyOp,
            3 => Kind::Transfer,
            4 => Kind::Kernel,
            _ => return None,
        };
        Some(Self {
            kind,
            communicator: (number >> 48) as u16 % MOST_COMMUNICATORS,
            place: (number >> 32) as u16,
            generation: number as u32,
        })
    }

    /// The same place as another kind.
    pub fn with(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }
}
