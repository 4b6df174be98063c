//! The environment interface, v1 (NCCL 2.28.7) and v2 (2.30.7).
//!
//! Facts from `src/include/plugin/env/env_v1.h` and `env_v2.h`. NCCL asks such a plugin instead of the
//! process environment; what it returns must stay valid until the same name is asked for again.

use std::ffi::c_char;
use std::mem::{offset_of, size_of};

use super::common::{Logger, NcclResult};
use super::tuner::Name;

/// Told the release of NCCL: major, minor, patch, suffix. v1.
pub type InitV1 =
    unsafe extern "C" fn(major: u8, minor: u8, patch: u8, suffix: *const c_char) -> NcclResult;
/// The same with a logger. v2.
pub type InitV2 = unsafe extern "C" fn(
    major: u8,
    minor: u8,
    patch: u8,
    suffix: *const c_char,
    logger: Option<Logger>,
) -> NcclResult;
/// Ends it.
pub type Finalize = unsafe extern "C" fn() -> NcclResult;
/// The value of a variable, or null.
pub type GetEnv = unsafe extern "C" fn(name: *const c_char) -> *const c_char;

/// `ncclEnv_v1_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EnvV1 {
    /// The plugin's name.
    pub name: Name,
    /// See the type.
    pub init: InitV1,
    /// See the type.
    pub finalize: Finalize,
    /// See the type.
    pub get_env: GetEnv,
}

/// `ncclEnv_v2_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EnvV2 {
    /// The plugin's name.
    pub name: Name,
    /// See the type.
    pub init: InitV2,
    /// See the type.
    pub finalize: Finalize,
    /// See the type.
    pub get_env: GetEnv,
}

const POINTER: usize = size_of::<*const c_char>();
const _: () = assert!(size_of::<EnvV1>() == 4 * POINTER);
const _: () = assert!(size_of::<EnvV2>() == 4 * POINTER);
const _: () = assert!(offset_of!(EnvV1, get_env) == 3 * POINTER);
const _: () = assert!(offset_of!(EnvV2, get_env) == 3 * POINTER);
