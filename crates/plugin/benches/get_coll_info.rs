//! What a call pays: `getCollInfo` through the C interface, with a policy of 40 rules, and live from a
//! log of ten entries with eight rules each.
//!
//! Wanted: a median of at most 50 ns.

#![allow(clippy::unwrap_used, clippy::undocumented_unsafe_blocks)]

use std::fmt::Write as _;
use std::ptr::null_mut;

use ccl_abi::shared::job::{CommunicatorName, communicator_words, parts};
use ccl_abi::shared::{Mapping, Rule, State, Writer};
use divan::Bencher;
use nccl_ccl_agent::exports::ncclTunerPlugin_v6 as V6;

const NAME: CommunicatorName = CommunicatorName {
    id: 1,
    ranks: 64,
    nodes: 8,
};

fn main() {
    divan::main();
}

/// Rules for a communicator of 64 ranks on 8 nodes, by powers of two; some need an algorithm that is
/// not there.
fn policy() -> String {
    let mut text = String::new();
    for collective in ["allreduce", "allgather"] {
        for log in 10..30u32 {
            let (from, to) = (1u64 << log, (2u64 << log) - 1);
            let algorithm = if log % 5 == 0 { "nvls" } else { "ring" };
            let _ = writeln!(text, "{collective},{from},{to},{algorithm},simple,8,8,64");
        }
    }
    text
}

#[divan::bench(args = [1 << 12, 1 << 20, 1 << 29, 1])]
fn get_coll_info(bencher: Bencher<'_, '_>, bytes: usize) {
    let path = std::env::temp_dir().join(format!("ccl-plugin-bench-{}.csv", std::process::id()));
    std::fs::write(&path, policy()).unwrap();
    unsafe { std::env::set_var("CCL_AGENT_POLICY", &path) };
    let mut context = null_mut();
    unsafe { (V6.init)(&raw mut context, 1, 64, 8, None, null_mut(), null_mut()) };
    let mut cells = [[10.0f32; 3]; 7];
    cells[4] = [-1.0; 3];
    bencher.bench_local(|| {
        let mut channels = 0;
        let table = cells.as_mut_ptr().cast();
        unsafe { (V6.get_coll_info)(context, 4, bytes, 1, table, 7, 3, 0, &raw mut channels) };
        channels
    });
    unsafe { (V6.finalize)(context) };
    std::fs::remove_file(path).unwrap();
}

#[divan::bench(sample_size = 10_000)]
fn get_coll_info_live(bencher: Bencher<'_, '_>) {
    let job = std::env::temp_dir().join(format!("ccl-plugin-bench-{}", std::process::id()));
    std::fs::create_dir_all(&job).unwrap();
    unsafe {
        std::env::set_var("CCL_AGENT_MODE", "live");
        std::env::set_var("CCL_AGENT_JOB", &job);
    }
    let mut context = null_mut();
    unsafe { (V6.init)(&raw mut context, 1, 64, 8, None, null_mut(), null_mut()) };
    let path = job.join(NAME.file());
    let mapping = Mapping::open(&path, communicator_words().unwrap()).unwrap();
    let writer = Writer::new(parts(mapping.words()).unwrap().0).unwrap();
    let rules: Vec<Rule> = (20..28u32)
        .map(|log| Rule {
            collective: 4,
            min_bytes: 1 << log,
            max_bytes: (2 << log) - 1,
            algorithm: 1,
            protocol: 2,
            channels: 8,
            chunk_bytes: 0,
        })
        .collect();
    for from in 0..10 {
        writer.append(from, &rules, from + 1).unwrap();
    }
    writer.extend(State::FOR_EVER).unwrap();
    let mut cells = [[10.0f32; 3]; 7];
    bencher.bench_local(|| {
        let mut channels = 0;
        let table = cells.as_mut_ptr().cast();
        unsafe { (V6.get_coll_info)(context, 4, 1 << 24, 1, table, 7, 3, 0, &raw mut channels) };
        channels
    });
    unsafe {
        (V6.finalize)(context);
        std::env::remove_var("CCL_AGENT_MODE");
    }
    std::fs::remove_dir_all(job).unwrap();
}
