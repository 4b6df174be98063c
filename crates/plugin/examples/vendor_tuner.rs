//! A vendor's tuner, for the tests of chain mode: it exports v2, v4 and v6, orders Tree/Simple with as
//! many channels as its version has, and refuses communicators of 13 ranks.

#![allow(
    clippy::undocumented_unsafe_blocks,
    clippy::missing_safety_doc,
    missing_docs
)]

use std::ffi::{c_int, c_void};

use ccl_abi::nccl::common::{INTERNAL_ERROR, Logger, NcclResult, SUCCESS};
use ccl_abi::nccl::tuner::{Constants, Name, NvlDomainInfo, TunerV2, TunerV4, TunerV6};

const NAME: Name = Name(c"Vendor".as_ptr());
const SIMPLE: usize = 2;

#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ncclTunerPlugin_v2: TunerV2 = TunerV2 {
    name: NAME,
    init: init_v2,
    get_coll_info: answer_v2,
    destroy: end,
};
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ncclTunerPlugin_v4: TunerV4 = TunerV4 {
    name: NAME,
    init: init_v2,
    get_coll_info: answer::<4>,
    destroy: end,
};
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ncclTunerPlugin_v6: TunerV6 = TunerV6 {
    name: NAME,
    init: init_v6,
    get_coll_info: answer::<6>,
    finalize: end,
    get_chunk_size: Some(chunk),
};

unsafe extern "C" fn init_v2(
    ranks: usize,
    _nodes: usize,
    _logger: Option<Logger>,
    context: *mut *mut c_void,
) -> NcclResult {
    if ranks == 13 {
        return INTERNAL_ERROR;
    }
    unsafe { *context = Box::into_raw(Box::new(ranks)).cast() };
    SUCCESS
}

unsafe extern "C" fn init_v6(
    context: *mut *mut c_void,
    comm_id: u64,
    ranks: usize,
    nodes: usize,
    logger: Option<Logger>,
    _domains: *mut NvlDomainInfo,
    constants: *mut Constants,
) -> NcclResult {
    if let Some(constants) = unsafe { constants.as_mut() } {
        // What the id is, and what the constant was when the vendor was asked.
        constants.base_latencies[0][0] += comm_id as f64;
    }
    unsafe { init_v2(ranks, nodes, logger, context) }
}

unsafe extern "C" fn answer_v2(
    _context: *mut c_void,
    _collective: c_int,
    _bytes: usize,
    _collnet: c_int,
    _nvls: c_int,
    _pipe_ops: c_int,
    algorithm: *mut c_int,
    protocol: *mut c_int,
    channels: *mut c_int,
) -> NcclResult {
    unsafe {
        *algorithm = 0;
        *protocol = SIMPLE as c_int;
        *channels = 2;
    }
    SUCCESS
}

unsafe extern "C" fn answer<const VERSION: c_int>(
    _context: *mut c_void,
    _collective: c_int,
    _bytes: usize,
    _pipe_ops: c_int,
    cost_table: *mut *mut f32,
    _algorithms: c_int,
    _protocols: c_int,
    registered: c_int,
    channels: *mut c_int,
) -> NcclResult {
    unsafe {
        *cost_table.cast::<f32>().add(SIMPLE) = 0.0;
        *channels = VERSION + 10 * registered;
    }
    SUCCESS
}

unsafe extern "C" fn chunk(
    _context: *mut c_void,
    _collective: c_int,
    _bytes: usize,
    _algorithm: c_int,
    _protocol: c_int,
    _channels: c_int,
    chunk_bytes: *mut usize,
) -> NcclResult {
    unsafe { *chunk_bytes = 77 };
    SUCCESS
}

unsafe extern "C" fn end(context: *mut c_void) -> NcclResult {
    drop(unsafe { Box::from_raw(context.cast::<usize>()) });
    SUCCESS
}
