//! The NCCL in this process, asked of itself.

use std::ffi::{c_char, c_int, c_void};
use std::str::FromStr;

/// A release of NCCL as `major * 10000 + minor * 100 + patch` (`NCCL_VERSION` of nccl.h, 2.9 on).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32);

impl FromStr for Version {
    type Err = ();

    /// Reads `2.27.3`, or `2.27` for its patch 0.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut code = 0;
        let mut parts = text.trim().split('.');
        for weight in [10_000, 100, 1] {
            let part: u32 = match parts.next() {
                Some(part) => part.parse().map_err(|_| ())?,
                None if weight == 1 => 0,
                None => return Err(()),
            };
            if part > 99 {
                return Err(());
            }
            code += weight * part;
        }
        if parts.next().is_some() {
            Err(())
        } else {
            Ok(Self(code))
        }
    }
}

unsafe extern "C" {
    /// From the C library, which std links already.
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// The version of the NCCL that is loaded here; `None` where none is visible, as in a program that
/// links NCCL statically.
pub fn loaded() -> Option<Version> {
    // SAFETY: the default handle (null) and a literal C string; dlsym reads both and keeps neither.
    let symbol = unsafe { dlsym(std::ptr::null_mut(), c"ncclGetVersion".as_ptr()) };
    if symbol.is_null() {
        return None;
    }
    // SAFETY: the symbol is NCCL's `ncclResult_t ncclGetVersion(int*)`, the same in every release.
    let get_version: unsafe extern "C" fn(*mut c_int) -> c_int =
        unsafe { std::mem::transmute(symbol) };
    let mut code: c_int = 0;
    // SAFETY: it writes one int to a place that is ours.
    let result = unsafe { get_version(&raw mut code) };
    (result == 0)
        .then(|| u32::try_from(code).ok().map(Version))
        .flatten()
}
