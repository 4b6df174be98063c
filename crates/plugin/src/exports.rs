//! The symbols NCCL looks for. Each function checks what it was given, catches what might unwind,
//! and answers success: an error from a tuner would end the communicator, and leaving the outputs
//! alone already means "as NCCL likes it".

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use ccl_abi::nccl::common::{Logger, NcclResult, SUCCESS};
use ccl_abi::nccl::tuner::{
    Constants, Name, NvlDomainInfo, TunerV2, TunerV3, TunerV4, TunerV5, TunerV6,
};

use crate::chain::{InitArguments, TableCall};
use crate::context;
use crate::init::start;
use crate::kernels::{LL128, Support};
use crate::tuner::CostTable;

/// What NCCL logs.
pub(crate) const NAME: Name = Name(c"ccl-agent".as_ptr());

/// NCCL 2.21.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ncclTunerPlugin_v2: TunerV2 = TunerV2 {
    name: NAME,
    init: init_v2,
    get_coll_info: get_coll_info_v2,
    destroy: finalize,
};

/// NCCL 2.22 and 2.23.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ncclTunerPlugin_v3: TunerV3 = TunerV3 {
    name: NAME,
    init: init_v3,
    get_coll_info: get_coll_info_v3,
    destroy: finalize,
};

/// NCCL 2.24 to 2.27.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ncclTunerPlugin_v4: TunerV4 = TunerV4 {
    name: NAME,
    init: init_v4,
    get_coll_info: get_coll_info_v4,
    destroy: finalize,
};

/// NCCL 2.28 and 2.29.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ncclTunerPlugin_v5: TunerV5 = TunerV5 {
    name: NAME,
    init: init_v5,
    get_coll_info: get_coll_info_v4,
    finalize,
};

/// NCCL 2.30.3 and later.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ncclTunerPlugin_v6: TunerV6 = TunerV6 {
    name: NAME,
    init: init_v6,
    get_coll_info: get_coll_info_v4,
    finalize,
    get_chunk_size: Some(get_chunk_size),
};

/// Nothing unwinds into C.
pub(crate) fn harmless(what: impl FnOnce()) -> NcclResult {
    // A panic leaves the outputs as they are; there is nobody to tell on this path.
    let _ = catch_unwind(AssertUnwindSafe(what));
    SUCCESS
}

/// The init of v2 to v4, which differ only in what NCCL calls afterwards.
unsafe fn init_older(
    version: u8,
    ranks: usize,
    nodes: usize,
    logger: Option<Logger>,
    context: *mut *mut c_void,
) -> NcclResult {
    let arguments = InitArguments {
        version,
        comm_id: 0,
        ranks,
        nodes,
        logger,
        domains: std::ptr::null_mut(),
        constants: std::ptr::null_mut(),
    };
    // SAFETY: NCCL's own arguments.
    harmless(|| unsafe { start(context, None, arguments) })
}

macro_rules! init_older {
    ($($name:ident: $version:literal),*) => {
        $(unsafe extern "C" fn $name(
            ranks: usize,
            nodes: usize,
            logger: Option<Logger>,
            context: *mut *mut c_void,
        ) -> NcclResult {
            // SAFETY: NCCL's own arguments.
            unsafe { init_older($version, ranks, nodes, logger, context) }
        })*
    };
}

init_older!(init_v2: 2, init_v3: 3, init_v4: 4);

macro_rules! init_with_id {
    ($($name:ident: $version:literal),*) => {
        $(unsafe extern "C" fn $name(
            context: *mut *mut c_void,
            comm_id: u64,
            ranks: usize,
            nodes: usize,
            logger: Option<Logger>,
            domains: *mut NvlDomainInfo,
            constants: *mut Constants,
        ) -> NcclResult {
            let version = $version;
            let arguments = InitArguments {
                version,
                comm_id,
                ranks,
                nodes,
                logger,
                domains,
                constants,
            };
            // SAFETY: NCCL's own arguments.
            harmless(|| unsafe { start(context, Some(comm_id), arguments) })
        })*
    };
}

init_with_id!(init_v5: 5, init_v6: 6);

unsafe extern "C" fn get_coll_info_v2(
    context: *mut c_void,
    collective: c_int,
    bytes: usize,
    collnet_support: c_int,
    nvls_support: c_int,
    pipe_ops: c_int,
    algorithm: *mut c_int,
    protocol: *mut c_int,
    channels: *mut c_int,
) -> NcclResult {
    harmless(|| {
        // SAFETY: NCCL ends a communicator after the last call on it.
        let Some(tuner) = (unsafe { context::get(context) }) else {
            return;
        };
        if algorithm.is_null() || protocol.is_null() {
            return;
        }
        if let Some(vendor) = tuner.vendor() {
            // SAFETY: NCCL's own arguments.
            unsafe {
                vendor.ask_v2(
                    collective,
                    bytes,
                    collnet_support,
                    nvls_support,
                    pipe_ops,
                    algorithm,
                    protocol,
                    channels,
                );
            }
        }
        let Ok(collective) = usize::try_from(collective) else {
            return;
        };
        let support = Support {
            collnet: collnet_support != 0,
            nvls: nvls_support != 0,
            is_one_node: tuner.is_one_node(),
        };
        // Nothing says where LL128 is safe, and where it is not it corrupts data: a policy file that
        // names it is its author's word, an agent has none.
        let is_live = tuner.is_live();
        let can = |a: usize, p: usize| support.can(collective, a, p) && !(is_live && p == LL128);
        let Some(chosen) = tuner.decide(collective, bytes as u64, pipe_ops, can) else {
            return;
        };
        // SAFETY: NCCL passes places for one int each; null was turned away.
        unsafe {
            *algorithm = c_int::from(chosen.algorithm);
            *protocol = c_int::from(chosen.protocol);
        }
        write_channels(channels, chosen.channels);
    })
}

/// NCCL's count stays where the rule names none.
fn write_channels(channels: *mut c_int, wanted: u8) {
    if wanted > 0 && !channels.is_null() {
        // SAFETY: NCCL passes a place for one int; null was turned away.
        unsafe { *channels = c_int::from(wanted) };
    }
}

unsafe extern "C" fn get_coll_info_v3(
    context: *mut c_void,
    collective: c_int,
    bytes: usize,
    pipe_ops: c_int,
    cost_table: *mut *mut f32,
    algorithms: c_int,
    protocols: c_int,
    channels: *mut c_int,
) -> NcclResult {
    // SAFETY: the same contract, for a caller that does not say whether buffers are registered.
    unsafe {
        get_coll_info_v4(
            context, collective, bytes, pipe_ops, cost_table, algorithms, protocols, 0, channels,
        )
    }
}

unsafe extern "C" fn get_coll_info_v4(
    context: *mut c_void,
    collective: c_int,
    bytes: usize,
    pipe_ops: c_int,
    cost_table: *mut *mut f32,
    algorithms: c_int,
    protocols: c_int,
    // Can differ between ranks, so nothing of ours depends on it.
    registered: c_int,
    channels: *mut c_int,
) -> NcclResult {
    let call = TableCall {
        collective,
        bytes,
        pipe_ops,
        cost_table,
        algorithms,
        protocols,
        registered,
        channels,
    };
    // SAFETY: NCCL's own arguments.
    harmless(|| unsafe { answer(context, call) })
}

/// The vendor's tuner first, then our table.
///
/// # Safety
/// The arguments are NCCL's own.
unsafe fn answer(context: *mut c_void, call: TableCall) {
    // SAFETY: NCCL ends a communicator after the last call on it.
    let Some(tuner) = (unsafe { context::get(context) }) else {
        return;
    };
    let Some((cells, protocols)) = CostTable::cells(call.algorithms, call.protocols) else {
        return;
    };
    if call.cost_table.is_null() {
        return;
    }
    let asked = tuner.vendor().map(|vendor| {
        // SAFETY: as above.
        unsafe { vendor.ask(call) }
    });
    // SAFETY: declared float**, it is one contiguous float[algorithms][protocols] that NCCL owns
    // and lends for this call.
    let cells = unsafe { std::slice::from_raw_parts_mut(call.cost_table.cast::<f32>(), cells) };
    let mut table = CostTable::new(cells, protocols);
    if let Some((algorithm, protocol)) = asked.flatten()
        && let (Ok(algorithm), Ok(protocol)) =
            (usize::try_from(algorithm), usize::try_from(protocol))
    {
        table.prefer(algorithm, protocol);
    }
    let Ok(collective) = usize::try_from(call.collective) else {
        return;
    };
    let can = |a: usize, p: usize| table.can(a, p);
    let Some(chosen) = tuner.decide(collective, call.bytes as u64, call.pipe_ops, can) else {
        return;
    };
    if tuner.vendor().is_some() {
        table.outbid();
    }
    table.prefer(usize::from(chosen.algorithm), usize::from(chosen.protocol));
    write_channels(call.channels, chosen.channels);
}

unsafe extern "C" fn get_chunk_size(
    context: *mut c_void,
    collective: c_int,
    bytes: usize,
    algorithm: c_int,
    protocol: c_int,
    channels: c_int,
    chunk_bytes: *mut usize,
) -> NcclResult {
    harmless(|| {
        // SAFETY: NCCL ends a communicator after the last call on it.
        let Some(tuner) = (unsafe { context::get(context) }) else {
            return;
        };
        if let Some(vendor) = tuner.vendor() {
            // SAFETY: NCCL's own arguments.
            unsafe {
                vendor.ask_chunk_size(
                    collective,
                    bytes,
                    algorithm,
                    protocol,
                    channels,
                    chunk_bytes,
                );
            }
        }
        let pair = (usize::try_from(algorithm), usize::try_from(protocol));
        let (Ok(collective), (Ok(algorithm), Ok(protocol))) = (usize::try_from(collective), pair)
        else {
            return;
        };
        let wanted = tuner.chunk_bytes(collective, bytes as u64, algorithm, protocol);
        let Some(wanted) = wanted.and_then(|n| usize::try_from(n).ok()) else {
            return;
        };
        if !chunk_bytes.is_null() {
            // SAFETY: NCCL passes a place for one size_t; null was turned away.
            unsafe { *chunk_bytes = wanted };
        }
    })
}

unsafe extern "C" fn finalize(context: *mut c_void) -> NcclResult {
    harmless(|| {
        if let Some(tuner) = context::close(context) {
            tuner.report();
        }
    })
}
