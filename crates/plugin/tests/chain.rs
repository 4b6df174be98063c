//! A vendor's tuner before ours, other constants for NCCL's model, and who a communicator is where the
//! interface does not say. One test, because the environment belongs to the whole process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::undocumented_unsafe_blocks
)]

use std::ffi::{c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr::null_mut;
use std::sync::atomic::AtomicU64;

use ccl_abi::nccl::tuner::Constants;
use ccl_abi::shared::job::{CommunicatorName, communicator_words, parts};
use ccl_abi::shared::{Mapping, Roll, Rule, State, Writer};
use nccl_ccl_agent::exports::{
    ncclTunerPlugin_v2 as V2, ncclTunerPlugin_v3 as V3, ncclTunerPlugin_v4 as V4,
    ncclTunerPlugin_v5 as V5, ncclTunerPlugin_v6 as V6,
};
use nccl_ccl_agent::profiler::exports::ncclProfiler_v4 as Profiler;

const ALL_REDUCE: c_int = 4;
const ALL_GATHER: c_int = 2;

fn vendor() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let found = test
        .ancestors()
        .map(|folder| folder.join("examples/libvendor_tuner.so"))
        .find(|path| path.exists());
    found.expect("build the example vendor_tuner first, as `cargo test` does")
}

fn set(name: &str, value: &Path) {
    unsafe { std::env::set_var(name, value) };
}

fn unset(names: &[&str]) {
    for name in names {
        unsafe { std::env::remove_var(name) };
    }
}

/// The pair that is cheapest after the call, and the channels, with the vendor's table untouched
/// elsewhere.
type Answer = (Option<(usize, usize)>, c_int);

fn table_answer(ask: impl Fn(*mut *mut f32, *mut c_int) -> u32) -> Answer {
    let mut cells = [[10.0f32; 3]; 7];
    cells[4] = [-1.0; 3];
    let mut channels = 0;
    assert_eq!(ask(cells.as_mut_ptr().cast(), &raw mut channels), 0);
    let cheap: Vec<usize> = (0..21).filter(|n| cells[n / 3][n % 3] == 0.0).collect();
    assert_eq!(cells[4], [-1.0; 3]);
    // The last that was made cheap is ours; NCCL takes the first of equals, so there must be one.
    let pair = match cheap[..] {
        [] => None,
        [one] => Some((one / 3, one % 3)),
        _ => Some((usize::MAX, cheap.len())),
    };
    (pair, channels)
}

fn v6(context: *mut c_void, collective: c_int) -> Answer {
    table_answer(|table, channels| unsafe {
        (V6.get_coll_info)(context, collective, 1 << 20, 1, table, 7, 3, 1, channels)
    })
}

fn init_v6(comm_id: u64, ranks: usize, constants: *mut Constants) -> *mut c_void {
    let mut context = null_mut();
    let result = unsafe {
        (V6.init)(
            &raw mut context,
            comm_id,
            ranks,
            1,
            None,
            null_mut(),
            constants,
        )
    };
    assert_eq!(result, 0);
    context
}

#[test]
fn chained_tuners_constants_and_identities() {
    let folder = std::env::temp_dir().join(format!("ccl-chain-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    vendor_first_then_ours(&folder);
    constants_at_init(&folder);
    who_a_communicator_is(&folder);
    std::fs::remove_dir_all(folder).unwrap();
}

fn vendor_first_then_ours(folder: &Path) {
    let policy = folder.join("policy.csv");
    std::fs::write(
        &policy,
        "#! ccl-agent 1\nallreduce,0,99999999,ring,ll,7,1,8,-1,-1,4096\n",
    )
    .unwrap();
    set("CCL_AGENT_POLICY", &policy);
    set("CCL_AGENT_CHAIN_TUNER", &vendor());

    // v6: the vendor's v6, told whether the buffer is registered.
    let context = init_v6(5, 8, null_mut());
    assert_eq!(v6(context, ALL_GATHER), (Some((0, 2)), 16));
    assert_eq!(v6(context, ALL_REDUCE), (Some((1, 0)), 7));
    let chunk = |collective, algorithm, protocol| {
        let mut bytes = 1usize;
        let ask = V6.get_chunk_size.unwrap();
        let place = &raw mut bytes;
        let result = unsafe { ask(context, collective, 1 << 20, algorithm, protocol, 4, place) };
        assert_eq!(result, 0);
        bytes
    };
    assert_eq!(
        (chunk(ALL_GATHER, 0, 2), chunk(ALL_REDUCE, 1, 0)),
        (77, 4096)
    );
    assert_eq!(unsafe { (V6.finalize)(context) }, 0);

    // v5: its v4, the newest there is up to that.
    let mut context = null_mut();
    let init = unsafe { (V5.init)(&raw mut context, 5, 8, 1, None, null_mut(), null_mut()) };
    let v5 = table_answer(|table, channels| unsafe {
        (V5.get_coll_info)(context, ALL_GATHER, 1 << 20, 1, table, 7, 3, 0, channels)
    });
    assert_eq!((init, v5), (0, (Some((0, 2)), 4)));
    assert_eq!(unsafe { (V5.finalize)(context) }, 0);

    // v3: its v2, whose pair goes into the table.
    let mut context = null_mut();
    let init = unsafe { (V3.init)(8, 1, None, &raw mut context) };
    let v3 = |collective| {
        table_answer(|table, channels| unsafe {
            (V3.get_coll_info)(context, collective, 1 << 20, 1, table, 7, 3, channels)
        })
    };
    assert_eq!((init, v3(ALL_GATHER)), (0, (Some((0, 2)), 2)));
    assert_eq!(v3(ALL_REDUCE), (Some((1, 0)), 7));
    assert_eq!(unsafe { (V3.destroy)(context) }, 0);

    let mut context = null_mut();
    let init = unsafe { (V2.init)(8, 1, None, &raw mut context) };
    let v2 = |collective| {
        let (mut algorithm, mut protocol, mut channels) = (-1, -1, 0);
        let places = (&raw mut algorithm, &raw mut protocol, &raw mut channels);
        let result = unsafe {
            (V2.get_coll_info)(
                context,
                collective,
                1 << 20,
                0,
                0,
                1,
                places.0,
                places.1,
                places.2,
            )
        };
        (result, algorithm, protocol, channels)
    };
    assert_eq!(init, 0);
    assert_eq!(
        (v2(ALL_GATHER), v2(ALL_REDUCE)),
        ((0, 0, 2, 2), (0, 1, 0, 7))
    );
    assert_eq!(unsafe { (V2.destroy)(context) }, 0);

    // One that cannot be made or loaded: ours alone.
    let alone = |ranks| {
        let context = init_v6(5, ranks, null_mut());
        let answer = v6(context, ALL_GATHER);
        assert_eq!(unsafe { (V6.finalize)(context) }, 0);
        answer
    };
    assert_eq!(alone(13), (None, 0));
    set("CCL_AGENT_CHAIN_TUNER", Path::new("/nowhere/libnothing.so"));
    assert_eq!(alone(8), (None, 0));
    unset(&["CCL_AGENT_CHAIN_TUNER", "CCL_AGENT_POLICY"]);
}

fn constants_at_init(folder: &Path) {
    let file = folder.join("constants");
    std::fs::write(&file, "base_latency tree ll 4\n").unwrap();
    set("CCL_AGENT_MODEL_CONSTANTS", &file);
    set("CCL_AGENT_CHAIN_TUNER", &vendor());
    // SAFETY: numbers.
    let mut constants: Constants = unsafe { std::mem::zeroed() };
    let context = init_v6(5, 8, &raw mut constants);
    // Ours first, then the vendor added the id it was told.
    assert_eq!(constants.base_latencies[0][0], 9.0);
    assert_eq!(unsafe { (V6.finalize)(context) }, 0);
    unset(&["CCL_AGENT_CHAIN_TUNER"]);

    std::fs::write(&file, "base_latency tree ll 4\nbase_latency tree ll128 x\n").unwrap();
    let mut constants: Constants = unsafe { std::mem::zeroed() };
    let context = init_v6(5, 8, &raw mut constants);
    assert_eq!(constants.base_latencies[0][0], 0.0);
    assert_eq!(unsafe { (V6.finalize)(context) }, 0);
    unset(&["CCL_AGENT_MODEL_CONSTANTS"]);
}

/// Makes the log of a communicator say "Ring/LL on 3 channels, for ever".
fn order(job: &Path, name: CommunicatorName) -> Mapping {
    let words = communicator_words().unwrap();
    let mapping = Mapping::open(&job.join(name.file()), words).unwrap();
    let (log, _) = parts(mapping.words()).unwrap();
    let _ = ccl_abi::shared::initialise(log, ccl_abi::shared::job::GEOMETRY, 1, 1);
    let rule = Rule {
        collective: 4,
        min_bytes: 0,
        max_bytes: u64::MAX,
        algorithm: 1,
        protocol: 0,
        channels: 3,
        chunk_bytes: 0,
    };
    let writer = Writer::new(log).unwrap();
    writer.append(0, &[rule], State::FOR_EVER).unwrap();
    mapping
}

fn who_a_communicator_is(folder: &Path) {
    let job = folder.join("job");
    std::fs::create_dir_all(&job).unwrap();
    set("CCL_AGENT_JOB", &job);
    set("CCL_AGENT_MODE", Path::new("live"));
    let v4 = |ranks: usize| {
        let mut context = null_mut();
        let init = unsafe { (V4.init)(ranks, 1, None, &raw mut context) };
        let answer = table_answer(|table, channels| unsafe {
            (V4.get_coll_info)(context, ALL_REDUCE, 1 << 20, 1, table, 7, 3, 0, channels)
        });
        assert_eq!((init, unsafe { (V4.destroy)(context) }), (0, 0));
        answer
    };
    // Nobody says who it is: NCCL's own.
    assert_eq!(v4(8), (None, 0));

    // NCCL 2.27: the profiler heard the id on this thread.
    let heard = CommunicatorName {
        id: 0xabc,
        ranks: 8,
        nodes: 1,
    };
    let mapping = order(&job, heard);
    let (mut context, mut mask) = (null_mut(), 0);
    let name = c"comm".as_ptr();
    unsafe { (Profiler.init)(&raw mut context, &raw mut mask, name, 0xabc, 1, 8, 0, None) };
    assert_eq!(v4(8), (Some((1, 0)), 3));
    unsafe { (Profiler.finalize)(context) };
    let roll = parts(mapping.words()).unwrap().1;
    let present: Vec<_> = Roll::<AtomicU64>::open(roll).unwrap().present().collect();
    assert_eq!((present.len(), present[0].calls), (1, 1));
    assert!(present[0].has_left);
    // The test's table has no NVLS.
    assert_eq!(present[0].impossible[4], Some(0b111 << 12));
    assert_eq!(v4(8), (None, 0), "it was for one init only");

    // The order was confirmed: the number of the init on this thread.
    set("CCL_AGENT_INIT_ORDER", Path::new("thread"));
    let in_thread = std::thread::scope(|scope| {
        let rank = scope.spawn(|| {
            order(&job, CommunicatorName::of_ordinal(0, 16, 1));
            // The first is one that another log is for: frozen after a wait, and NCCL's own.
            (v4(8), v4(16))
        });
        rank.join().unwrap()
    });
    assert_eq!(in_thread, ((None, 0), (Some((1, 0)), 3)));
    unset(&["CCL_AGENT_JOB", "CCL_AGENT_MODE", "CCL_AGENT_INIT_ORDER"]);
}
