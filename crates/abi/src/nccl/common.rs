//! What all plugin interfaces share: result codes, the logger, the numbers of things.
//!
//! Facts from NCCL's `src/include/nccl_common.h` and `src/include/plugin/nccl_tuner.h`, unchanged
//! from 2.21 to 2.30 unless said otherwise.

use std::ffi::{c_char, c_int, c_uint, c_ulong};

/// `ncclResult_t`.
pub type NcclResult = c_uint;
/// It worked.
pub const SUCCESS: NcclResult = 0;
/// A system call failed.
pub const SYSTEM_ERROR: NcclResult = 2;
/// An internal check failed; from a tuner it means that NCCL keeps its own choice.
pub const INTERNAL_ERROR: NcclResult = 3;

/// `ncclDebugLogLevel`: warnings are always printed.
pub const LOG_WARN: c_uint = 2;
/// `ncclDebugLogLevel`: printed with `NCCL_DEBUG=INFO`.
pub const LOG_INFO: c_uint = 3;
/// `ncclDebugLogSubSys`: the tuning subsystem.
pub const SUBSYSTEM_TUNING: c_ulong = 0x40;

/// `ncclDebugLogger_t`: level, subsystem, file, line, format and its arguments.
pub type Logger = unsafe extern "C" fn(
    level: c_uint,
    flags: c_ulong,
    file: *const c_char,
    line: c_int,
    format: *const c_char,
    ...
);

/// Algorithms of the cost table: Tree, Ring, CollNetDirect, CollNetChain, NVLS, NVLSTree, PAT. PAT
/// came with 2.23; before it the table has six.
pub const ALGORITHMS: usize = 7;
/// Protocols of the cost table: LL, LL128, Simple.
pub const PROTOCOLS: usize = 3;
/// Collectives a tuner is asked about: Broadcast, Reduce, AllGather, ReduceScatter, AllReduce.
pub const COLLECTIVES: usize = 5;
/// An entry of the cost table that cannot be run.
pub const IGNORE: f32 = -1.0;
