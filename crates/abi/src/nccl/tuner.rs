//! The tuner interface, v2 (NCCL 2.21) to v6 (2.30.3).
//!
//! Facts from `src/include/plugin/tuner/tuner_v2.h` to `tuner_v6.h`. Every function may be called
//! from several threads, for different communicators. The cost table is declared as `float**` and
//! is one contiguous `float[algorithms][protocols]`.

use std::ffi::{c_char, c_int, c_void};
use std::mem::{offset_of, size_of};

use super::common::{ALGORITHMS, Logger, NcclResult, PROTOCOLS};

/// Creates a context for one communicator: ranks, nodes, logger, context out. v2 to v4.
pub type InitV2 = unsafe extern "C" fn(
    ranks: usize,
    nodes: usize,
    logger: Option<Logger>,
    context: *mut *mut c_void,
) -> NcclResult;

/// Asks for algorithm, protocol and channels; what is not written stays NCCL's. v2.
pub type GetCollInfoV2 = unsafe extern "C" fn(
    context: *mut c_void,
    collective: c_int,
    bytes: usize,
    collnet_support: c_int,
    nvls_support: c_int,
    pipe_ops: c_int,
    algorithm: *mut c_int,
    protocol: *mut c_int,
    channels: *mut c_int,
) -> NcclResult;

/// The same through the cost table. v3.
pub type GetCollInfoV3 = unsafe extern "C" fn(
    context: *mut c_void,
    collective: c_int,
    bytes: usize,
    pipe_ops: c_int,
    cost_table: *mut *mut f32,
    algorithms: c_int,
    protocols: c_int,
    channels: *mut c_int,
) -> NcclResult;

/// The same, told whether the buffer can be registered. v4 to v6.
pub type GetCollInfoV4 = unsafe extern "C" fn(
    context: *mut c_void,
    collective: c_int,
    bytes: usize,
    pipe_ops: c_int,
    cost_table: *mut *mut f32,
    algorithms: c_int,
    protocols: c_int,
    registered: c_int,
    channels: *mut c_int,
) -> NcclResult;

/// Ends a communicator's context. All versions.
pub type Finalize = unsafe extern "C" fn(context: *mut c_void) -> NcclResult;

/// NVLink domains of a communicator. v5 and v6.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NvlDomainInfo {
    /// Number of NVLink domains.
    pub domains: c_int,
    /// Fewest ranks of a domain.
    pub min_ranks: c_int,
    /// Most ranks of a domain.
    pub max_ranks: c_int,
}

/// Kinds of hops: NVLink, PCI, network.
pub const HARDWARE_LINKS: usize = 3;
/// Generations: Volta, Ampere, Hopper, Blackwell.
pub const GENERATIONS: usize = 4;
/// Scales: one node, two, four and more.
pub const SCALES: usize = 3;

/// The constants of NCCL's cost model, which a tuner may change at init. v5 and v6.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constants {
    /// Base latencies, microseconds.
    pub base_latencies: [[f64; PROTOCOLS]; ALGORITHMS],
    /// Latencies of a hop, microseconds.
    pub hardware_latencies: [[[f64; PROTOCOLS]; ALGORITHMS]; HARDWARE_LINKS],
    /// Bandwidth cap of LL, GB/s.
    pub ll_max_bws: [[f64; SCALES]; GENERATIONS],
    /// Bandwidth cap of a channel: Ring with LL128.
    pub per_channel_max_ring_ll128_bws: [[f64; SCALES]; GENERATIONS],
    /// Bandwidth cap of a channel: Tree with LL128.
    pub per_channel_max_tree_ll128_bws: [[f64; SCALES]; GENERATIONS],
    /// Bandwidth cap of a channel: Tree.
    pub per_channel_max_tree_bws: [[f64; SCALES]; GENERATIONS],
    /// Bandwidth cap of a channel: NVLSTree.
    pub per_channel_max_nvls_tree_bws: [[f64; SCALES]; GENERATIONS],
}

/// Creates a context for one communicator, with its id. v5 and v6.
pub type InitV5 = unsafe extern "C" fn(
    context: *mut *mut c_void,
    comm_id: u64,
    ranks: usize,
    nodes: usize,
    logger: Option<Logger>,
    domains: *mut NvlDomainInfo,
    constants: *mut Constants,
) -> NcclResult;

/// Reads and changes the chunk size NCCL computed; NCCL clamps what it gets. v6.
pub type GetChunkSize = unsafe extern "C" fn(
    context: *mut c_void,
    collective: c_int,
    bytes: usize,
    algorithm: c_int,
    protocol: c_int,
    channels: c_int,
    chunk_bytes: *mut usize,
) -> NcclResult;

/// A name that outlives every caller, as a C string.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct Name(pub *const c_char);

// SAFETY: the pointer is only ever made from a `&'static CStr` by the plugin and never written to.
unsafe impl Sync for Name {}

macro_rules! tuner {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        pub struct $name {
            /// The tuner's name.
            pub name: Name,
            $(
                /// See the type.
                pub $field: $type,
            )*
        }
    };
}

tuner!(
    /// `ncclTuner_v2_t`, NCCL 2.21.
    TunerV2 { init: InitV2, get_coll_info: GetCollInfoV2, destroy: Finalize }
);
tuner!(
    /// `ncclTuner_v3_t`, NCCL 2.22.
    TunerV3 { init: InitV2, get_coll_info: GetCollInfoV3, destroy: Finalize }
);
tuner!(
    /// `ncclTuner_v4_t`, NCCL 2.24.
    TunerV4 { init: InitV2, get_coll_info: GetCollInfoV4, destroy: Finalize }
);
tuner!(
    /// `ncclTuner_v5_t`, NCCL 2.28.
    TunerV5 { init: InitV5, get_coll_info: GetCollInfoV4, finalize: Finalize }
);
tuner!(
    /// `ncclTuner_v6_t`, NCCL 2.30.3. `get_chunk_size` may be null.
    TunerV6 {
        init: InitV5,
        get_coll_info: GetCollInfoV4,
        finalize: Finalize,
        get_chunk_size: Option<GetChunkSize>,
    }
);

const POINTER: usize = size_of::<*const c_void>();
const _: () = assert!(size_of::<TunerV2>() == 4 * POINTER);
const _: () = assert!(size_of::<TunerV3>() == 4 * POINTER);
const _: () = assert!(size_of::<TunerV4>() == 4 * POINTER);
const _: () = assert!(size_of::<TunerV5>() == 4 * POINTER);
const _: () = assert!(size_of::<TunerV6>() == 5 * POINTER);
const _: () = assert!(offset_of!(TunerV2, get_coll_info) == 2 * POINTER);
const _: () = assert!(offset_of!(TunerV5, finalize) == 3 * POINTER);
const _: () = assert!(offset_of!(TunerV6, get_chunk_size) == 4 * POINTER);
const _: () = assert!(size_of::<NvlDomainInfo>() == 12);
const _: () = assert!(size_of::<Constants>() == 8 * (21 + 63 + 5 * 12));
const _: () = assert!(offset_of!(Constants, hardware_latencies) == 8 * 21);
const _: () = assert!(offset_of!(Constants, ll_max_bws) == 8 * (21 + 63));
const _: () = assert!(offset_of!(Constants, per_channel_max_nvls_tree_bws) == 8 * (21 + 63 + 48));
