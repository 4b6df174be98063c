//! The symbols NCCL looks for. Each function checks what it was given, catches what might unwind,
//! and answers success: an error from a tuner would end the communicator, and leaving the outputs
//! alone already means "as NCCL likes it".

use std::ffi::{c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use ccl_abi::nccl::common::{Logger, NcclResult, SUCCESS};
use ccl_abi::nccl::env::{EnvV1, EnvV2};
use ccl_abi::nccl::tuner::{
    Constants, Name, NvlDomainInfo, TunerV2, TunerV3, TunerV4, TunerV5, TunerV6,
};

use crate::context;
use crate::environment;
use crate::log::Log;
use crate::mode::Mode;
use crate::tuner::{Communicator, CostTable, Tuner, supported_v2};

const NAME: Name = Name(c"ccl-agent".as_ptr());

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
    init: init_v2,
    get_coll_info: get_coll_info_v3,
    destroy: finalize,
};

/// NCCL 2.24 to 2.27.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ncclTunerPlugin_v4: TunerV4 = TunerV4 {
    name: NAME,
    init: init_v2,
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
    init: init_v5,
    get_coll_info: get_coll_info_v4,
    finalize,
    get_chunk_size: Some(get_chunk_size),
};

/// NCCL 2.28.7 to 2.30.4.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ncclEnvPlugin_v1: EnvV1 = EnvV1 {
    name: NAME,
    init: init_env_v1,
    finalize: finalize_env,
    get_env,
};

/// NCCL 2.30.7 and later.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ncclEnvPlugin_v2: EnvV2 = EnvV2 {
    name: NAME,
    init: init_env_v2,
    finalize: finalize_env,
    get_env,
};

unsafe extern "C" fn init_env_v1(
    _major: u8,
    _minor: u8,
    _patch: u8,
    _suffix: *const c_char,
) -> NcclResult {
    harmless(|| environment::start(Log(None)))
}

unsafe extern "C" fn init_env_v2(
    _major: u8,
    _minor: u8,
    _patch: u8,
    _suffix: *const c_char,
    logger: Option<Logger>,
) -> NcclResult {
    harmless(|| environment::start(Log(logger)))
}

/// NCCL may still hold values, so they stay.
unsafe extern "C" fn finalize_env() -> NcclResult {
    SUCCESS
}

unsafe extern "C" fn get_env(name: *const c_char) -> *const c_char {
    // SAFETY: NCCL passes the name of a variable.
    catch_unwind(|| unsafe { environment::get(name) }).unwrap_or(std::ptr::null())
}

/// Nothing unwinds into C.
fn harmless(what: impl FnOnce()) -> NcclResult {
    // A panic leaves the outputs as they are; there is nobody to tell on this path.
    let _ = catch_unwind(AssertUnwindSafe(what));
    SUCCESS
}

fn start(context: *mut *mut c_void, communicator: Communicator, logger: Option<Logger>) {
    if context.is_null() {
        return;
    }
    let mode = Mode::from(|name| std::env::var(name).ok());
    let tuner = Box::new(Tuner::new(&mode, communicator, Log(logger)));
    let opened = context::open(tuner).unwrap_or(std::ptr::null_mut());
    // SAFETY: NCCL passes a place for one pointer; null was turned away above.
    unsafe { *context = opened };
}

unsafe extern "C" fn init_v2(
    ranks: usize,
    nodes: usize,
    logger: Option<Logger>,
    context: *mut *mut c_void,
) -> NcclResult {
    harmless(|| {
        let communicator = Communicator {
            ranks: ranks as u64,
            nodes: nodes as u64,
            id: None,
        };
        start(context, communicator, logger);
    })
}

unsafe extern "C" fn init_v5(
    context: *mut *mut c_void,
    comm_id: u64,
    ranks: usize,
    nodes: usize,
    logger: Option<Logger>,
    _domains: *mut NvlDomainInfo,
    _constants: *mut Constants,
) -> NcclResult {
    harmless(|| {
        let id = Some(comm_id);
        start(
            context,
            Communicator {
                ranks: ranks as u64,
                nodes: nodes as u64,
                id,
            },
            logger,
        );
    })
}

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
        let Ok(collective) = usize::try_from(collective) else {
            return;
        };
        if algorithm.is_null() || protocol.is_null() {
            return;
        }
        let can = |a: usize, _: usize| supported_v2(a, collnet_support != 0, nvls_support != 0);
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
    harmless(|| {
        // SAFETY: NCCL ends a communicator after the last call on it.
        let Some(tuner) = (unsafe { context::get(context) }) else {
            return;
        };
        let sizes = (usize::try_from(algorithms), usize::try_from(protocols));
        let (Ok(collective), (Ok(algorithms), Ok(protocols))) =
            (usize::try_from(collective), sizes)
        else {
            return;
        };
        if cost_table.is_null() || algorithms > 64 || protocols > 64 {
            return;
        }
        // SAFETY: declared float**, it is one contiguous float[algorithms][protocols] that NCCL
        // owns and lends for this call.
        let cells = unsafe {
            std::slice::from_raw_parts_mut(cost_table.cast::<f32>(), algorithms * protocols)
        };
        let Some(mut table) = CostTable::new(cells, algorithms, protocols) else {
            return;
        };
        let can = |a: usize, p: usize| table.can(a, p);
        let Some(chosen) = tuner.decide(collective, bytes as u64, pipe_ops, can) else {
            return;
        };
        table.prefer(usize::from(chosen.algorithm), usize::from(chosen.protocol));
        write_channels(channels, chosen.channels);
    })
}

unsafe extern "C" fn get_coll_info_v4(
    context: *mut c_void,
    collective: c_int,
    bytes: usize,
    pipe_ops: c_int,
    cost_table: *mut *mut f32,
    algorithms: c_int,
    protocols: c_int,
    // Can differ between ranks, so nothing may depend on it.
    _registered: c_int,
    channels: *mut c_int,
) -> NcclResult {
    // SAFETY: the same contract with one argument less.
    unsafe {
        get_coll_info_v3(
            context, collective, bytes, pipe_ops, cost_table, algorithms, protocols, channels,
        )
    }
}

unsafe extern "C" fn get_chunk_size(
    context: *mut c_void,
    collective: c_int,
    bytes: usize,
    algorithm: c_int,
    protocol: c_int,
    _channels: c_int,
    chunk_bytes: *mut usize,
) -> NcclResult {
    harmless(|| {
        // SAFETY: NCCL ends a communicator after the last call on it.
        let Some(tuner) = (unsafe { context::get(context) }) else {
            return;
        };
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
