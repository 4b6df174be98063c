//! What an event is, in the words of each interface version.
//!
//! Only the members this project reads are named; the rest of each union is room of the right size,
//! so that the size of the whole is NCCL's. Strings are NCCL's own and live as long as it does.

use std::ffi::{c_char, c_int, c_void};
use std::mem::{offset_of, size_of};

/// `coll` of v1: what later versions say in words is a number here.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CollectiveV1 {
    /// The communicator's name.
    pub name: *const c_char,
    /// The communicator's id; 0 where a newer NCCL speaks v1.
    pub comm_hash: u64,
    /// How many of this collective came before on this communicator.
    pub sequence: u64,
    /// NCCL's id of the collective.
    pub function: u8,
    /// Send buffer.
    pub send: *const c_void,
    /// Receive buffer.
    pub receive: *mut c_void,
    /// Elements, as the caller counts them.
    pub count: usize,
    /// Root rank.
    pub root: c_int,
    /// `ncclDataType_t`.
    pub datatype: u8,
    /// `ncclRedOp_t`.
    pub operation: u32,
    /// Bytes moved.
    pub traffic_bytes: usize,
    /// Most channels it may use.
    pub most_channels: u8,
    /// Warps of a channel.
    pub warps: u8,
    /// NCCL's id of the algorithm.
    pub algorithm: u8,
    /// NCCL's id of the protocol.
    pub protocol: u8,
    /// Whether it is CollNet.
    pub is_collnet: c_int,
    /// Whether it is NVLS.
    pub is_nvls: c_int,
}

/// `coll` of v2.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CollectiveV2 {
    /// The communicator's name.
    pub name: *const c_char,
    /// The communicator's id; 0 where a newer NCCL speaks v2.
    pub comm_hash: u64,
    /// How many of this collective came before on this communicator.
    pub sequence: u64,
    /// Name of the collective, as `AllReduce`.
    pub function: *const c_char,
    /// Send buffer.
    pub send: *const c_void,
    /// Receive buffer.
    pub receive: *mut c_void,
    /// Elements, as the caller counts them.
    pub count: usize,
    /// Root rank.
    pub root: c_int,
    /// Name of the type, as `ncclFloat32`.
    pub datatype: *const c_char,
    /// Bytes moved.
    pub traffic_bytes: usize,
    /// Most channels it may use.
    pub most_channels: u8,
    /// Warps of a channel.
    pub warps: u8,
    /// Name of the algorithm, as `RING`.
    pub algorithm: *const c_char,
    /// Name of the protocol, as `SIMPLE`.
    pub protocol: *const c_char,
}

/// `coll` of v3: v2 without the traffic.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CollectiveV3 {
    /// The communicator's name.
    pub name: *const c_char,
    /// The communicator's id; 0 where a newer NCCL speaks v3.
    pub comm_hash: u64,
    /// How many of this collective came before on this communicator.
    pub sequence: u64,
    /// Name of the collective, as `AllReduce`.
    pub function: *const c_char,
    /// Send buffer.
    pub send: *const c_void,
    /// Receive buffer.
    pub receive: *mut c_void,
    /// Elements, as the caller counts them.
    pub count: usize,
    /// Root rank.
    pub root: c_int,
    /// Name of the type, as `ncclFloat32`.
    pub datatype: *const c_char,
    /// Most channels it may use.
    pub most_channels: u8,
    /// Warps of a channel.
    pub warps: u8,
    /// Name of the algorithm, as `RING`.
    pub algorithm: *const c_char,
    /// Name of the protocol, as `SIMPLE`.
    pub protocol: *const c_char,
}

/// `coll` of v4: the communicator is known from init.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CollectiveV4 {
    /// How many of this collective came before on this communicator.
    pub sequence: u64,
    /// Name of the collective, as `AllReduce`.
    pub function: *const c_char,
    /// Send buffer.
    pub send: *const c_void,
    /// Receive buffer.
    pub receive: *mut c_void,
    /// Elements, as the caller counts them.
    pub count: usize,
    /// Root rank.
    pub root: c_int,
    /// Name of the type, as `ncclFloat32`.
    pub datatype: *const c_char,
    /// Channels it uses.
    pub channels: u8,
    /// Warps of a channel.
    pub warps: u8,
    /// Name of the algorithm, as `RING`.
    pub algorithm: *const c_char,
    /// Name of the protocol, as `SIMPLE`.
    pub protocol: *const c_char,
}

/// `coll` of v5 and v6.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CollectiveV5 {
    /// What v4 says.
    pub v4: CollectiveV4,
    /// The group event of v4.
    pub parent_group: *mut c_void,
}

/// `proxyOp`, the same in all versions.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ProxyOp {
    /// The process whose collective it serves: with PXN it can be another one, and then the
    /// parent means nothing here.
    pub pid: c_int,
    /// Channel.
    pub channel: u8,
    /// The other rank.
    pub peer: c_int,
    /// Transfers.
    pub steps: c_int,
    /// Bytes of a transfer, at most.
    pub chunk_bytes: c_int,
    /// Whether it sends.
    pub is_send: c_int,
}

/// `proxyStep`, the same in all versions.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ProxyStep {
    /// Number of the transfer.
    pub step: c_int,
}

/// `kernelCh` of v3.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct KernelChannelV3 {
    /// Channel.
    pub channel: u8,
}

/// `kernelCh` from v4 on.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct KernelChannelV4 {
    /// Channel.
    pub channel: u8,
    /// The GPU's global timer at its start, nanoseconds.
    pub timer_ns: u64,
}

/// `ncclProfilerEventStateArgs_vN_t`: what this project reads of it.
#[repr(C)]
#[derive(Clone, Copy)]
pub union StateArguments {
    /// Bytes of a transfer, for the states of a proxy step. From v4 on.
    pub transfer_bytes: usize,
    /// The GPU's global timer, nanoseconds, for the end of a kernel channel. From v4 on.
    pub timer_ns: u64,
    /// v1 to v3 have room for two words.
    pub room: [u64; 2],
}

impl std::fmt::Debug for StateArguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StateArguments")
    }
}

macro_rules! descriptor {
    ($(#[$doc:meta])* $name:ident, $union:ident, $kind:ty, $words:literal, {
        $($member:ident: $type:ty),* $(,)?
    }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub struct $name {
            /// Kind of event, one bit.
            pub kind: $kind,
            /// Handle of the parent.
            pub parent: *mut c_void,
            /// Rank that caused it.
            pub rank: c_int,
            /// What the kind says.
            pub of: $union,
        }

        /// The members by kind.
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub union $union {
            $(
                /// See the type.
                pub $member: $type,
            )*
            /// The size of NCCL's largest member, in words.
            pub room: [u64; $words],
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).field("kind", &self.kind).finish_non_exhaustive()
            }
        }

        const _: () = assert!(offset_of!($name, parent) == 8);
        const _: () = assert!(offset_of!($name, rank) == 16);
        const _: () = assert!(offset_of!($name, of) == 24);
        const _: () = assert!(size_of::<$name>() == 24 + 8 * $words);
    };
}

descriptor!(
    /// `ncclProfilerEventDescr_v1_t`.
    DescriptorV1, MembersV1, u8, 12,
    { collective: CollectiveV1, proxy_op: ProxyOp, proxy_step: ProxyStep }
);
descriptor!(
    /// `ncclProfilerEventDescr_v2_t`.
    DescriptorV2, MembersV2, u8, 13,
    { collective: CollectiveV2, proxy_op: ProxyOp, proxy_step: ProxyStep }
);
descriptor!(
    /// `ncclProfilerEventDescr_v3_t`.
    DescriptorV3, MembersV3, u8, 12,
    { collective: CollectiveV3, proxy_op: ProxyOp, proxy_step: ProxyStep, kernel: KernelChannelV3 }
);
descriptor!(
    /// `ncclProfilerEventDescr_v4_t`.
    DescriptorV4, MembersV4, u8, 10,
    { collective: CollectiveV4, proxy_op: ProxyOp, proxy_step: ProxyStep, kernel: KernelChannelV4 }
);
descriptor!(
    /// `ncclProfilerEventDescr_v5_t`.
    DescriptorV5, MembersV5, u64, 11,
    { collective: CollectiveV5, proxy_op: ProxyOp, proxy_step: ProxyStep, kernel: KernelChannelV4 }
);
descriptor!(
    /// `ncclProfilerEventDescr_v6_t`.
    DescriptorV6, MembersV6, u64, 11,
    { collective: CollectiveV5, proxy_op: ProxyOp, proxy_step: ProxyStep, kernel: KernelChannelV4 }
);

const _: () = assert!(size_of::<ProxyOp>() == 24);
const _: () = assert!(size_of::<StateArguments>() == 16);
