//! The tuner through its C interfaces, driven as NCCL's source drives it.
//!
//! One test, because the environment belongs to the whole process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::undocumented_unsafe_blocks
)]

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulong, c_void};
use std::path::Path;
use std::ptr::null_mut;
use std::sync::Mutex;

use ccl_abi::nccl::common::Logger;
use nccl_ccl_agent::exports::{
    ncclTunerPlugin_v2 as V2, ncclTunerPlugin_v3 as V3, ncclTunerPlugin_v4 as V4,
    ncclTunerPlugin_v5 as V5, ncclTunerPlugin_v6 as V6,
};

const BROADCAST: c_int = 0;
const ALL_GATHER: c_int = 2;
const ALL_REDUCE: c_int = 4;
const RING: usize = 1;

static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The variable part is one pointer here, and pointers travel alike in both conventions on the
/// platforms this test runs on.
unsafe extern "C" fn logger(
    _level: c_uint,
    _flags: c_ulong,
    _file: *const c_char,
    _line: c_int,
    format: *const c_char,
    text: *const c_char,
) {
    unsafe {
        assert_eq!(CStr::from_ptr(format), c"%s");
        SAID.lock()
            .unwrap()
            .push(CStr::from_ptr(text).to_str().unwrap().to_owned());
    }
}

fn log() -> Option<Logger> {
    let plain: unsafe extern "C" fn(
        c_uint,
        c_ulong,
        *const c_char,
        c_int,
        *const c_char,
        *const c_char,
    ) = logger;
    #[allow(clippy::missing_transmute_annotations)] // from the type above
    Some(unsafe { std::mem::transmute::<_, Logger>(plain) })
}

fn said(words: &str) -> bool {
    SAID.lock()
        .unwrap()
        .drain(..)
        .any(|line| line.contains(words))
}

/// A table as NCCL fills it for one node: everything possible but CollNet, NVLSTree and PAT.
fn table() -> [[f32; 3]; 7] {
    let mut table = [[10.0; 3]; 7];
    for impossible in [2, 3, 5, 6] {
        table[impossible] = [-1.0; 3];
    }
    table[4] = [-1.0, -1.0, 5.0];
    table
}

struct Comm(*mut c_void);

impl Comm {
    fn v6(ranks: usize, nodes: usize) -> Self {
        let mut context = null_mut();
        let result =
            unsafe { (V6.init)(&mut context, 7, ranks, nodes, log(), null_mut(), null_mut()) };
        assert_eq!(result, 0);
        Self(context)
    }

    fn ask(
        &self,
        collective: c_int,
        bytes: usize,
        pipe_ops: c_int,
        table: &mut [[f32; 3]; 7],
    ) -> c_int {
        let mut channels = 0;
        let cells = table.as_mut_ptr().cast();
        let result = unsafe {
            (V6.get_coll_info)(
                self.0,
                collective,
                bytes,
                pipe_ops,
                cells,
                7,
                3,
                0,
                &mut channels,
            )
        };
        assert_eq!(result, 0);
        channels
    }
}

impl Drop for Comm {
    fn drop(&mut self) {
        assert_eq!(unsafe { (V6.finalize)(self.0) }, 0);
    }
}

fn policy(name: &str, text: &str) {
    let path = std::env::temp_dir().join(format!("ccl-plugin-{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    unsafe { std::env::set_var("CCL_AGENT_POLICY", &path) };
}

#[test]
fn it_does_what_the_policy_says_and_nothing_else() {
    // Without a policy: nothing is touched, and one line says so.
    let comm = Comm::v6(8, 1);
    let mut cells = table();
    assert_eq!(comm.ask(ALL_REDUCE, 1 << 20, 1, &mut cells), 0);
    assert_eq!(cells, table());
    assert!(said("off, NCCL chooses: no policy"));
    drop(comm);

    // The file of NVIDIA's manner, through NVIDIA's variable.
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/nvidia_style.csv");
    unsafe { std::env::set_var("NCCL_TUNER_CONFIG_FILE", &file) };
    let comm = Comm::v6(16, 2);
    let mut cells = table();
    assert_eq!(comm.ask(ALL_REDUCE, 2 << 20, 1, &mut cells), 8);
    assert_eq!(
        cells[RING],
        [10.0, 10.0, 0.0],
        "the second rule, since four operations are another"
    );
    // -1 channels and calls that no rule matches keep NCCL's count; NVIDIA's example writes 1.
    let mut cells = table();
    assert_eq!(comm.ask(ALL_REDUCE, 2 << 20, 4, &mut cells), 0);
    assert_eq!(cells[RING], [10.0, 0.0, 10.0]);
    let mut cells = table();
    assert_eq!(comm.ask(ALL_REDUCE, 100, 1, &mut cells), 0);
    assert_eq!(cells, table());
    assert_eq!(comm.ask(ALL_GATHER, 5, 1, &mut cells), 4);
    // A rule for registered buffers alone is not used, and said so once.
    assert!(said(
        "line 2 is not used: it depends on buffer registration"
    ));
    drop(comm);

    // What NCCL marks impossible is never written, and reported once, at the end.
    let comm = Comm::v6(8, 1);
    let mut cells = table();
    cells[0] = [-1.0; 3];
    let before = cells;
    for _ in 0..3 {
        assert_eq!(comm.ask(BROADCAST, 100, 1, &mut cells), 0);
    }
    assert_eq!(cells, before);
    SAID.lock().unwrap().clear();
    drop(comm);
    assert!(said("the rule of line 7 asked 3 times"));

    // The superset: chunk size and communicator.
    policy(
        "superset",
        "#! ccl-agent 1\nallreduce,0,99999999,ring,simple,4,1,8,-1,-1,65536,7\n\
         allreduce,0,99999999,tree,ll,-1,1,8,-1,-1,-1,8\n",
    );
    let comm = Comm::v6(8, 1);
    let mut chunk: usize = 1 << 20;
    let ask = |algorithm: c_int, chunk: &mut usize| unsafe {
        (V6.get_chunk_size.unwrap())(comm.0, ALL_REDUCE, 1 << 20, algorithm, 2, 4, chunk)
    };
    assert_eq!((ask(0, &mut chunk), chunk), (0, 1 << 20));
    assert_eq!((ask(1, &mut chunk), chunk), (0, 65536));
    drop(comm);

    // A guard for a release that is not here, and here there is none at all.
    policy(
        "guard",
        "#! ccl-agent 1\n#! nccl 2.27.0..2.30.7\nallreduce,0,9,ring,simple,4,1,8\n",
    );
    let comm = Comm::v6(8, 1);
    assert!(said("is not for this NCCL (unknown)"));
    drop(comm);

    // One bad line, and nothing of the file is used.
    policy(
        "broken",
        "allreduce,0,99999999,ring,simple,4,1,8\nallreduce,0,9,rnig,simple,4,1,8\n",
    );
    let comm = Comm::v6(8, 1);
    let mut cells = table();
    assert_eq!(comm.ask(ALL_REDUCE, 1 << 20, 1, &mut cells), 0);
    assert_eq!(cells, table());
    assert!(said("line 2: \"rnig\" is no algorithm"));
    drop(comm);

    older_interfaces();
    misuse();
}

fn older_interfaces() {
    policy(
        "older",
        "allreduce,0,99999999,nvls,simple,4,1,8\nallreduce,0,99999999,ring,ll,2,1,8\n",
    );
    let mut context = null_mut();
    assert_eq!(unsafe { (V2.init)(8, 1, log(), &mut context) }, 0);
    let ask = |nvls: c_int| {
        let (mut algorithm, mut protocol, mut channels) = (-1, -1, 0);
        let result = unsafe {
            (V2.get_coll_info)(
                context,
                ALL_REDUCE,
                1 << 20,
                0,
                nvls,
                1,
                &mut algorithm,
                &mut protocol,
                &mut channels,
            )
        };
        (result, algorithm, protocol, channels)
    };
    assert_eq!(ask(1), (0, 4, 2, 4));
    assert_eq!(
        ask(0),
        (0, 1, 0, 2),
        "the next rule where NVLS is not there"
    );
    assert_eq!(unsafe { (V2.destroy)(context) }, 0);

    // NCCL 2.22 has six algorithms.
    let mut context = null_mut();
    assert_eq!(unsafe { (V3.init)(8, 1, log(), &mut context) }, 0);
    let mut cells = [[10.0f32; 3]; 6];
    let mut channels = 0;
    let table = cells.as_mut_ptr().cast();
    let result =
        unsafe { (V3.get_coll_info)(context, ALL_REDUCE, 1 << 20, 1, table, 6, 3, &mut channels) };
    assert_eq!((result, channels, cells[4]), (0, 4, [10.0, 10.0, 0.0]));
    assert_eq!(unsafe { (V3.destroy)(context) }, 0);

    // Registration changes nothing.
    let mut context = null_mut();
    assert_eq!(unsafe { (V4.init)(8, 1, log(), &mut context) }, 0);
    let answers = [0, 1].map(|registered| {
        let mut cells = [[10.0f32; 3]; 7];
        let mut channels = 0;
        let table = cells.as_mut_ptr().cast();
        let result = unsafe {
            (V4.get_coll_info)(
                context,
                ALL_REDUCE,
                1 << 20,
                1,
                table,
                7,
                3,
                registered,
                &mut channels,
            )
        };
        (result, channels, cells)
    });
    assert_eq!(answers[0], answers[1]);
    assert_eq!(unsafe { (V4.destroy)(context) }, 0);
}

/// What no NCCL does, and what must not take a job down all the same.
fn misuse() {
    let nowhere = null_mut();
    unsafe {
        assert_eq!(
            (V5.init)(null_mut(), 1, 8, 1, None, null_mut(), null_mut()),
            0
        );
        assert_eq!((V2.init)(8, 1, None, null_mut()), 0);
        assert_eq!((V6.finalize)(null_mut()), 0);
        let mut context = null_mut();
        assert_eq!(
            (V5.init)(&mut context, 1, 8, 1, None, null_mut(), null_mut()),
            0
        );
        let mut channels = 0;
        let mut cells = [[10.0f32; 3]; 7];
        let table = cells.as_mut_ptr().cast();
        for (context, collective, table, algorithms, protocols) in [
            (null_mut(), ALL_REDUCE, table, 7, 3),
            (context, -1, table, 7, 3),
            (context, 99, table, 7, 3),
            (context, ALL_REDUCE, nowhere, 7, 3),
            (context, ALL_REDUCE, table, 0, 3),
            (context, ALL_REDUCE, table, 7, 0),
            (context, ALL_REDUCE, table, -1, 3),
            (context, ALL_REDUCE, table, c_int::MAX, c_int::MAX),
        ] {
            let result = (V5.get_coll_info)(
                context,
                collective,
                1 << 20,
                1,
                table,
                algorithms,
                protocols,
                0,
                &mut channels,
            );
            assert_eq!((result, channels), (0, 0));
        }
        assert_eq!(cells, [[10.0; 3]; 7]);
        // A table without a single possible entry, and one of nonsense.
        for cost in [-1.0, f32::NAN, f32::NEG_INFINITY] {
            let mut cells = [[cost; 3]; 7];
            let table = cells.as_mut_ptr().cast();
            let ask = (V5.get_coll_info)(context, ALL_REDUCE, 1, 1, table, 7, 3, 0, &mut channels);
            assert_eq!((ask, channels), (0, 0));
            assert!(
                cells
                    .iter()
                    .flatten()
                    .all(|c| c.to_bits() == cost.to_bits())
            );
        }
        // No place for the channels.
        let table = cells.as_mut_ptr().cast();
        assert_eq!(
            (V5.get_coll_info)(context, ALL_REDUCE, 1, 1, table, 7, 3, 0, null_mut()),
            0
        );
        assert_eq!((V5.finalize)(context), 0);
        // Once more, and calls on what is gone, also when its place is another's by now.
        let mut other = null_mut();
        (V5.init)(&mut other, 1, 8, 1, None, null_mut(), null_mut());
        for gone in [context, std::ptr::dangling_mut(), usize::MAX as *mut c_void] {
            assert_eq!((V5.finalize)(gone), 0);
            let table = cells.as_mut_ptr().cast();
            let ask = (V5.get_coll_info)(gone, ALL_REDUCE, 1, 1, table, 7, 3, 0, &mut channels);
            assert_eq!((ask, channels), (0, 0));
        }
        assert_eq!((V5.finalize)(other), 0);
    }
}
