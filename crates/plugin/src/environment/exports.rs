//! The two environment symbols.

use std::ffi::c_char;
use std::panic::catch_unwind;

use ccl_abi::nccl::common::{Logger, NcclResult, SUCCESS};
use ccl_abi::nccl::env::{EnvV1, EnvV2};

use super::{get, start};
use crate::exports::{NAME, harmless};
use crate::log::Log;

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
    harmless(|| start(Log(None)))
}

unsafe extern "C" fn init_env_v2(
    _major: u8,
    _minor: u8,
    _patch: u8,
    _suffix: *const c_char,
    logger: Option<Logger>,
) -> NcclResult {
    harmless(|| start(Log(logger)))
}

/// NCCL may still hold values, so they stay.
unsafe extern "C" fn finalize_env() -> NcclResult {
    SUCCESS
}

unsafe extern "C" fn get_env(name: *const c_char) -> *const c_char {
    // SAFETY: NCCL passes the name of a variable.
    catch_unwind(|| unsafe { get(name) }).unwrap_or(std::ptr::null())
}
