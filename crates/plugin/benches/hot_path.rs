//! What the hot paths cost in nanoseconds, through the shared object, loaded as NCCL loads it. A round
//! of the profiler's is several calls (`hot_path/paths.rs`).
//!
//! Wanted, as medians: 50 ns for `getCollInfo`, static and live; 100 ns for an event of the profiler's
//! and 300 ns for a collective, which is its own two events and its record.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::undocumented_unsafe_blocks
)]

use std::path::PathBuf;
use std::sync::OnceLock;

use ccl_abi::nccl::profiler::ProfilerV6;
use ccl_abi::nccl::tuner::TunerV6;
use divan::Bencher;
use divan::counter::ItemsCount;

#[allow(dead_code)] // others use the rest of it
#[path = "../hot_path/paths.rs"]
mod paths;
use paths::{HotPath, Interfaces};

static FOLDER: OnceLock<PathBuf> = OnceLock::new();
static LIBRARY: OnceLock<libloading::Library> = OnceLock::new();

fn main() {
    divan::main();
    if let Some(folder) = FOLDER.get() {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

fn open(name: &str) -> HotPath {
    let folder = FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("ccl-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    });
    // Built beside this program.
    let library = LIBRARY.get_or_init(|| {
        let bench = std::env::current_exe().unwrap();
        let path = bench.with_file_name("libnccl_ccl_agent.so");
        unsafe { libloading::Library::new(path) }.unwrap()
    });
    let (tuner, profiler) = (b"ncclTunerPlugin_v6\0", b"ncclProfiler_v6\0");
    let interfaces = unsafe {
        Interfaces {
            tuner: &**library.get::<*const TunerV6>(tuner).unwrap(),
            profiler: &**library.get::<*const ProfilerV6>(profiler).unwrap(),
        }
    };
    HotPath::open(name, interfaces, folder)
}

#[divan::bench(args = paths::TUNER, sample_size = 4000)]
fn tuner(bencher: Bencher<'_, '_>, name: &str) {
    let mut path = open(name);
    bencher.bench_local(|| path.run(1));
}

#[divan::bench(args = paths::PROFILER, sample_size = 4000)]
fn profiler(bencher: Bencher<'_, '_>, name: &str) {
    let path = std::cell::RefCell::new(open(name));
    let calls = path.borrow().calls;
    bencher
        .counter(ItemsCount::new(calls))
        // Before each sample, as an observer would.
        .with_inputs(|| path.borrow().drain())
        .bench_local_values(|()| path.borrow_mut().run(1));
}
