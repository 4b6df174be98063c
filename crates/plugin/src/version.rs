//! The NCCL in this process, asked of itself.

use std::ffi::{c_char, c_int, c_void};
use std::str::FromStr;

use crate::log::Log;

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

/// `Dl_info` of dlfcn.h.
#[repr(C)]
struct Place {
    file: *const c_char,
    base: *mut c_void,
    symbol: *const c_char,
    symbol_at: *mut c_void,
}

unsafe extern "C" {
    // From the C library, which std links already.
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dladdr(address: *const c_void, place: *mut Place) -> c_int;
    fn dlopen(file: *const c_char, flags: c_int) -> *mut c_void;
}

/// `RTLD_NOW | RTLD_NOLOAD` of Linux: what is loaded already, and nothing else.
const LOADED_ALREADY: c_int = 2 | 4;

/// The version of the NCCL that called: found through its logger, since frameworks load NCCL where a
/// search by name does not look. Without a logger that search is all there is. `None` where neither
/// finds it, as in a program that links NCCL statically and hides it.
pub fn loaded(log: Log) -> Option<Version> {
    let library = log.0.map_or(std::ptr::null_mut(), |logger| {
        library_of(logger as *const c_void)
    });
    // SAFETY: a library that is open, or the default handle (null), and a literal C string.
    let symbol = unsafe { dlsym(library, c"ncclGetVersion".as_ptr()) };
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

/// The library an address belongs to; null where that cannot be told. It stays open: it is NCCL's own.
fn library_of(address: *const c_void) -> *mut c_void {
    let mut place = Place {
        file: std::ptr::null(),
        base: std::ptr::null_mut(),
        symbol: std::ptr::null(),
        symbol_at: std::ptr::null_mut(),
    };
    // SAFETY: it reads the loader's tables and writes to a place that is ours.
    let found = unsafe { dladdr(address, &raw mut place) };
    if found == 0 || place.file.is_null() {
        return std::ptr::null_mut();
    }
    // SAFETY: a C string of the loader's.
    unsafe { dlopen(place.file, LOADED_ALREADY) }
}
