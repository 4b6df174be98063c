//! Events in one form, whatever version NCCL speaks.

use std::ffi::c_int;

use ccl_abi::nccl::common::{ALGORITHMS, COLLECTIVES, PROTOCOLS};
use ccl_abi::nccl::profiler::{
    CollectiveV4, DescriptorV1, DescriptorV2, DescriptorV3, DescriptorV4, DescriptorV5,
    DescriptorV6, kind,
};

use super::names;

/// An event that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A collective is enqueued.
    Collective(Collective),
    /// A proxy takes up network work of a collective of process `pid`.
    ProxyOp {
        /// Handle of the collective.
        parent: u64,
        /// Whose collective.
        pid: c_int,
    },
    /// One transfer of it.
    Transfer {
        /// Handle of the network work.
        parent: u64,
    },
    /// A kernel's channel began on the GPU.
    Kernel {
        /// Handle of the collective.
        parent: u64,
        /// The GPU's timer, where the version tells it.
        timer_ns: Option<u64>,
    },
    /// Nothing that is recorded.
    Other,
}

/// What is said of a collective when it is enqueued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collective {
    /// The communicator's id, where it comes with the event (v1 to v3).
    pub comm_id: Option<u64>,
    /// This rank.
    pub rank: u32,
    /// How many of this collective came before.
    pub sequence: u64,
    /// NCCL's id of the collective.
    pub collective: u8,
    /// NCCL's id of the algorithm.
    pub algorithm: u8,
    /// NCCL's id of the protocol.
    pub protocol: u8,
    /// Channels: those it uses from v4 on, the most it may use before.
    pub channels: u8,
    /// Warps of a channel.
    pub warps: u8,
    /// Bytes of an element.
    pub element_bytes: u8,
    /// Elements, as the caller counts them.
    pub count: u64,
}

/// What is seen of an event before the rest of its descriptor is read. Most end here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glance {
    /// The collective with this sequence number.
    Collective(u64),
    /// A part of what was recorded, perhaps.
    Part,
    /// Nothing that is recorded: a kind nobody asks for, which NCCL begins for its children's sake, or a
    /// part of what was not recorded.
    Nothing,
}

/// A descriptor that can be read.
pub trait Describe {
    /// What is worth knowing first.
    ///
    /// # Safety
    /// NCCL made it: the member that the kind names is the one that is set.
    unsafe fn glance(&self) -> Glance;

    /// The event it describes.
    ///
    /// # Safety
    /// NCCL made it: the member that the kind names is the one that is set, and its strings are C
    /// strings.
    unsafe fn event(&self) -> Event;
}

const COLLECTIVE_V1: u8 = 1 << 1;
const PROXY_OP_V1: u8 = 1 << 3;
const PROXY_STEP_V1: u8 = 1 << 4;
const KERNEL_V3: u8 = 1 << 6;

/// The sequence number is only asked for where it is set.
fn glance(kind: u64, parent: u64, sequence: impl FnOnce() -> u64) -> Glance {
    match kind {
        kind::COLLECTIVE => Glance::Collective(sequence()),
        kind::PROXY_OP | kind::PROXY_STEP | kind::KERNEL_CHANNEL if parent != 0 => Glance::Part,
        _ => Glance::Nothing,
    }
}

fn rank(rank: c_int) -> u32 {
    u32::try_from(rank).unwrap_or(0)
}

impl Describe for DescriptorV1 {
    unsafe fn glance(&self) -> Glance {
        // SAFETY: where this is asked for, the kind says that the member is set.
        glance(self.kind.into(), self.parent as u64, || unsafe {
            self.of.collective.sequence
        })
    }

    unsafe fn event(&self) -> Event {
        let parent = self.parent as u64;
        match self.kind {
            COLLECTIVE_V1 => {
                // SAFETY: the kind says that this member is set.
                let c = unsafe { self.of.collective };
                let known = usize::from(c.function) < COLLECTIVES
                    && usize::from(c.algorithm) < ALGORITHMS
                    && usize::from(c.protocol) < PROTOCOLS;
                let element_bytes = names::element_bytes_of(c.datatype).filter(|_| known);
                let Some(element_bytes) = element_bytes else {
                    return Event::Other;
                };
                Event::Collective(Collective {
                    comm_id: Some(c.comm_hash),
                    rank: rank(self.rank),
                    sequence: c.sequence,
                    collective: c.function,
                    algorithm: c.algorithm,
                    protocol: c.protocol,
                    channels: c.most_channels,
                    warps: c.warps,
                    element_bytes,
                    count: c.count as u64,
                })
            }
            PROXY_OP_V1 => {
                // SAFETY: the kind says that this member is set.
                let pid = unsafe { self.of.proxy_op.pid };
                Event::ProxyOp { parent, pid }
            }
            PROXY_STEP_V1 => Event::Transfer { parent },
            _ => Event::Other,
        }
    }
}

/// v2 and v3 differ in one member that is not read.
macro_rules! named_communicator {
    ($descriptor:ty, $kernel:pat => $event:expr) => {
        impl Describe for $descriptor {
            unsafe fn glance(&self) -> Glance {
                // SAFETY: where this is asked for, the kind says that the member is set.
                glance(self.kind.into(), self.parent as u64, || unsafe {
                    self.of.collective.sequence
                })
            }

            unsafe fn event(&self) -> Event {
                let parent = self.parent as u64;
                match self.kind {
                    COLLECTIVE_V1 => {
                        // SAFETY: the kind says that this member is set.
                        let c = unsafe { self.of.collective };
                        // SAFETY: NCCL's own strings.
                        let words = unsafe {
                            (
                                names::collective(c.function),
                                names::algorithm(c.algorithm),
                                names::protocol(c.protocol),
                                names::element_bytes(c.datatype),
                            )
                        };
                        let (Some(collective), Some(algorithm), Some(protocol), Some(bytes)) =
                            words
                        else {
                            return Event::Other;
                        };
                        Event::Collective(Collective {
                            comm_id: Some(c.comm_hash),
                            rank: rank(self.rank),
                            sequence: c.sequence,
                            collective,
                            algorithm,
                            protocol,
                            channels: c.most_channels,
                            warps: c.warps,
                            element_bytes: bytes,
                            count: c.count as u64,
                        })
                    }
                    PROXY_OP_V1 => {
                        // SAFETY: the kind says that this member is set.
                        let pid = unsafe { self.of.proxy_op.pid };
                        Event::ProxyOp { parent, pid }
                    }
                    PROXY_STEP_V1 => Event::Transfer { parent },
                    $kernel => $event(parent),
                    _ => Event::Other,
                }
            }
        }
    };
}

// v2 knows no kernel events; 0 is no event of any version.
named_communicator!(DescriptorV2, 0 => |_| Event::Other);
named_communicator!(DescriptorV3, KERNEL_V3 => |parent| Event::Kernel { parent, timer_ns: None });

/// From v4 on.
///
/// # Safety
/// The strings are C strings.
unsafe fn collective_v4(c: &CollectiveV4, rank: u32) -> Event {
    // SAFETY: as the caller says.
    let words = unsafe {
        (
            names::collective(c.function),
            names::algorithm(c.algorithm),
            names::protocol(c.protocol),
            names::element_bytes(c.datatype),
        )
    };
    let (Some(collective), Some(algorithm), Some(protocol), Some(element_bytes)) = words else {
        return Event::Other;
    };
    Event::Collective(Collective {
        comm_id: None,
        rank,
        sequence: c.sequence,
        collective,
        algorithm,
        protocol,
        channels: c.channels,
        warps: c.warps,
        element_bytes,
        count: c.count as u64,
    })
}

macro_rules! from_v4_on {
    ($descriptor:ty, $collective:ident => $v4:expr) => {
        impl Describe for $descriptor {
            #[allow(clippy::useless_conversion)] // v4 has a byte where v5 has a word
            unsafe fn glance(&self) -> Glance {
                glance(self.kind.into(), self.parent as u64, || {
                    // SAFETY: where this is asked for, the kind says that the member is set.
                    let $collective = unsafe { &self.of.collective };
                    let of_v4: &CollectiveV4 = $v4;
                    of_v4.sequence
                })
            }

            unsafe fn event(&self) -> Event {
                let parent = self.parent as u64;
                #[allow(clippy::useless_conversion)] // v4 has a byte where v5 has a word
                match u64::from(self.kind) {
                    kind::COLLECTIVE => {
                        // SAFETY: the kind says that this member is set.
                        let $collective = unsafe { &self.of.collective };
                        // SAFETY: NCCL's own strings.
                        unsafe { collective_v4($v4, rank(self.rank)) }
                    }
                    kind::PROXY_OP => {
                        // SAFETY: the kind says that this member is set.
                        let pid = unsafe { self.of.proxy_op.pid };
                        Event::ProxyOp { parent, pid }
                    }
                    kind::PROXY_STEP => Event::Transfer { parent },
                    kind::KERNEL_CHANNEL => {
                        // SAFETY: the kind says that this member is set.
                        let timer_ns = Some(unsafe { self.of.kernel.timer_ns });
                        Event::Kernel { parent, timer_ns }
                    }
                    _ => Event::Other,
                }
            }
        }
    };
}

from_v4_on!(DescriptorV4, collective => collective);
from_v4_on!(DescriptorV5, collective => &collective.v4);
from_v4_on!(DescriptorV6, collective => &collective.v4);
