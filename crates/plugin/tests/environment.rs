//! The environment plugin through its C interface. One test: the environment is the whole process's.

#![allow(clippy::unwrap_used, clippy::panic, clippy::undocumented_unsafe_blocks)]

use std::ffi::CStr;
use std::ptr::null;

use nccl_ccl_agent::environment::exports::{ncclEnvPlugin_v1 as V1, ncclEnvPlugin_v2 as V2};

fn get(name: &CStr) -> Option<String> {
    let value = unsafe { (V2.get_env)(name.as_ptr()) };
    let value = (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) });
    value.map(|v| v.to_str().unwrap().to_owned())
}

#[test]
fn the_jobs_own_environment_wins_and_the_file_fills_the_rest() {
    let path = std::env::temp_dir().join(format!("ccl-plugin-env-{}", std::process::id()));
    unsafe { std::env::set_var("NCCL_BUFFSIZE", "1048576") };
    // Before init, and with a file that cannot be read in full: the job's own and nothing else.
    assert_eq!(get(c"NCCL_BUFFSIZE").as_deref(), Some("1048576"));
    std::fs::write(&path, "NCCL_NTHREADS=256\nnonsense\n").unwrap();
    unsafe { std::env::set_var("CCL_AGENT_ENV_FILE", &path) };
    assert_eq!(unsafe { (V1.init)(2, 28, 7, null()) }, 0);
    assert_eq!(get(c"NCCL_NTHREADS"), None);

    std::fs::write(&path, "NCCL_NTHREADS=256\nNCCL_BUFFSIZE=8388608\n").unwrap();
    assert_eq!(unsafe { (V2.init)(2, 30, 7, null(), None) }, 0);
    assert_eq!(get(c"NCCL_NTHREADS").as_deref(), Some("256"));
    assert_eq!(
        get(c"NCCL_BUFFSIZE").as_deref(),
        Some("1048576"),
        "the job's own"
    );
    assert_eq!(get(c"NCCL_MIN_CTAS"), None);
    assert!(unsafe { (V2.get_env)(null()) }.is_null());
    // The same address again: NCCL keeps pointers.
    let address = || unsafe { (V2.get_env)(c"NCCL_NTHREADS".as_ptr()) };
    assert_eq!(address(), address());
    assert_eq!(unsafe { (V2.finalize)() }, 0);
    assert_eq!(
        get(c"NCCL_NTHREADS").as_deref(),
        Some("256"),
        "what NCCL holds stays valid"
    );
    std::fs::remove_file(path).unwrap();
}
