//! The tuner's five versions as one, for tests that put the same question to each.

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

use nccl_ccl_agent::exports::{
    ncclTunerPlugin_v2 as V2, ncclTunerPlugin_v3 as V3, ncclTunerPlugin_v4 as V4,
    ncclTunerPlugin_v5 as V5, ncclTunerPlugin_v6 as V6,
};

/// All of them.
pub const VERSIONS: [u32; 5] = [2, 3, 4, 5, 6];

/// `init`; v2 to v4 are not told the id.
pub fn init(version: u32, id: u64, ranks: usize, nodes: usize, context: *mut *mut c_void) {
    let result = unsafe {
        match version {
            2 => (V2.init)(ranks, nodes, None, context),
            3 => (V3.init)(ranks, nodes, None, context),
            4 => (V4.init)(ranks, nodes, None, context),
            5 => (V5.init)(context, id, ranks, nodes, None, null_mut(), null_mut()),
            _ => (V6.init)(context, id, ranks, nodes, None, null_mut(), null_mut()),
        }
    };
    assert_eq!(result, 0);
}

/// `finalize`, or `destroy` as it was called.
pub fn finalize(version: u32, context: *mut c_void) {
    let finalize = match version {
        2 => V2.destroy,
        3 => V3.destroy,
        4 => V4.destroy,
        5 => V5.finalize,
        _ => V6.finalize,
    };
    assert_eq!(unsafe { finalize(context) }, 0);
}

/// What is asked. Any pointer can be null.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    pub collective: c_int,
    pub bytes: usize,
    pub pipe_ops: c_int,
    /// v2 has flags and two places.
    pub collnet: c_int,
    pub nvls: c_int,
    pub pair: [*mut c_int; 2],
    /// From v3 on there is a table, with its two sizes.
    pub table: *mut f32,
    pub algorithms: c_int,
    pub protocols: c_int,
    /// From v4 on.
    pub registered: c_int,
    pub channels: *mut c_int,
}

/// `getCollInfo`.
pub fn ask(version: u32, context: *mut c_void, question: &Question) {
    let Question {
        collective,
        bytes,
        pipe_ops,
        collnet,
        nvls,
        pair: [algorithm, protocol],
        table,
        algorithms,
        protocols,
        registered,
        channels,
    } = *question;
    let table = table.cast();
    let newer = match version {
        4 => V4.get_coll_info,
        5 => V5.get_coll_info,
        _ => V6.get_coll_info,
    };
    let result = unsafe {
        match version {
            2 => (V2.get_coll_info)(
                context, collective, bytes, collnet, nvls, pipe_ops, algorithm, protocol, channels,
            ),
            3 => (V3.get_coll_info)(
                context, collective, bytes, pipe_ops, table, algorithms, protocols, channels,
            ),
            _ => newer(
                context, collective, bytes, pipe_ops, table, algorithms, protocols, registered,
                channels,
            ),
        }
    };
    assert_eq!(result, 0);
}
