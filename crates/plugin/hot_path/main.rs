//! Runs one hot path of the shared object, loaded as NCCL loads it, for whoever counts.
//!
//!     hot_path LIBRARY PATH ROUNDS FOLDER [sealed]
//!
//! Prints how many calls of the interface it made. `sealed` lets the kernel kill the process at its first
//! system call after the set-up instead. Without arguments it says which paths there are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block
)]

#[allow(dead_code)] // others use the rest of it
mod paths;
mod seal;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;

use ccl_abi::nccl::profiler::ProfilerV6;
use ccl_abi::nccl::tuner::TunerV6;
use paths::{HotPath, Interfaces, MOST_ROUNDS};

unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// `RTLD_NOW`: all that the object needs is bound at once, as NCCL asks.
const NOW: c_int = 2;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (library, name, rounds, folder, is_sealed) = match &arguments[..] {
        [] => return println!("{}", paths::all().collect::<Vec<_>>().join("\n")),
        [library, name, rounds, folder] => (library, name, rounds, folder, false),
        [library, name, rounds, folder, sealed] if sealed == "sealed" => {
            (library, name, rounds, folder, true)
        }
        _ => panic!("hot_path LIBRARY PATH ROUNDS FOLDER [sealed]"),
    };
    let library = CString::new(library.as_str()).unwrap();
    let library = unsafe { dlopen(library.as_ptr(), NOW) };
    assert!(!library.is_null(), "no such library");
    let symbol = |name: &CStr| {
        let symbol = unsafe { dlsym(library, name.as_ptr()) };
        assert!(!symbol.is_null(), "{name:?} is not in it");
        symbol
    };
    let interfaces = unsafe {
        Interfaces {
            tuner: &*symbol(c"ncclTunerPlugin_v6").cast::<TunerV6>(),
            profiler: &*symbol(c"ncclProfiler_v6").cast::<ProfilerV6>(),
        }
    };
    let mut path = HotPath::open(name, interfaces, Path::new(folder));
    let mut rounds: u64 = rounds.parse().unwrap();
    let calls = rounds * path.calls;
    // What is only done the first time, as binding a function of the C library.
    path.run(1);
    if is_sealed {
        seal::no_more_system_calls();
    }
    while rounds > 0 {
        let some = rounds.min(MOST_ROUNDS);
        path.run(some);
        rounds -= some;
        if rounds > 0 {
            path.drain();
        }
    }
    if is_sealed {
        seal::end();
    }
    println!("{calls}");
}
