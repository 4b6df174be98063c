//! The hot paths allocate nothing, and free nothing.

#![allow(clippy::unwrap_used, clippy::panic, clippy::undocumented_unsafe_blocks)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use nccl_ccl_agent::exports::ncclTunerPlugin_v6;
use nccl_ccl_agent::profiler::exports::ncclProfiler_v6;

#[allow(dead_code)] // others use the rest of it
#[path = "../hot_path/paths.rs"]
mod paths;
use paths::{HotPath, Interfaces, MOST_ROUNDS};

static TOUCHED: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, counting.
struct Counting;

// SAFETY: all of it is the system's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TOUCHED.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        TOUCHED.fetch_add(1, Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) };
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// One test: others' allocations would count as well.
#[test]
fn no_path_allocates_in_a_hundred_thousand_rounds() {
    let folder = std::env::temp_dir().join(format!("ccl-allocations-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let interfaces = Interfaces {
        tuner: &ncclTunerPlugin_v6,
        profiler: &ncclProfiler_v6,
    };
    let touched = |name: &str| {
        let mut path = HotPath::open(name, interfaces, &folder);
        let rounds = 100_000 / MOST_ROUNDS;
        let before = TOUCHED.load(Ordering::Relaxed);
        for _ in 0..rounds {
            path.run(MOST_ROUNDS);
            path.drain();
        }
        TOUCHED.load(Ordering::Relaxed) - before
    };
    for name in paths::all() {
        assert_eq!(touched(name), 0, "{name}");
    }
    assert!(touched(paths::MUTANTS[1]) >= 200_000);
    std::fs::remove_dir_all(folder).unwrap();
}
