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

use std::path::Path;

use ccl_abi::nccl::profiler::ProfilerV6;
use ccl_abi::nccl::tuner::TunerV6;
use paths::{HotPath, Interfaces, MOST_ROUNDS};

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
    let library = unsafe { libloading::Library::new(library) }.unwrap();
    let library: &'static libloading::Library = Box::leak(Box::new(library));
    let interfaces = unsafe {
        Interfaces {
            tuner: &**library
                .get::<*const TunerV6>(b"ncclTunerPlugin_v6\0")
                .unwrap(),
            profiler: &**library
                .get::<*const ProfilerV6>(b"ncclProfiler_v6\0")
                .unwrap(),
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
