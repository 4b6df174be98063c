//! The layouts against NCCL's own headers, by a C compiler.
//!
//! `CCL_NCCL_SOURCE` names an unpacked NCCL source tree of 2.30.3 or later; without it, or without
//! `cc`, the test says that it was skipped. `doc/reference/abi-layout.md` says when it last ran.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

use std::fmt::Write as _;
use std::mem::{offset_of, size_of};
use std::path::PathBuf;
use std::process::Command;

use ccl_abi::nccl::env::{EnvV1, EnvV2};
use ccl_abi::nccl::tuner::{Constants, NvlDomainInfo, TunerV2, TunerV3, TunerV4, TunerV5, TunerV6};

/// Expression in C, value in Rust.
fn expected() -> Vec<(&'static str, usize)> {
    vec![
        ("sizeof(ncclEnv_v1_t)", size_of::<EnvV1>()),
        ("sizeof(ncclEnv_v2_t)", size_of::<EnvV2>()),
        ("offsetof(ncclEnv_v1_t, getEnv)", offset_of!(EnvV1, get_env)),
        (
            "offsetof(ncclEnv_v2_t, finalize)",
            offset_of!(EnvV2, finalize),
        ),
        ("sizeof(ncclTuner_v2_t)", size_of::<TunerV2>()),
        ("sizeof(ncclTuner_v3_t)", size_of::<TunerV3>()),
        ("sizeof(ncclTuner_v4_t)", size_of::<TunerV4>()),
        ("sizeof(ncclTuner_v5_t)", size_of::<TunerV5>()),
        ("sizeof(ncclTuner_v6_t)", size_of::<TunerV6>()),
        ("offsetof(ncclTuner_v2_t, init)", offset_of!(TunerV2, init)),
        (
            "offsetof(ncclTuner_v2_t, getCollInfo)",
            offset_of!(TunerV2, get_coll_info),
        ),
        (
            "offsetof(ncclTuner_v2_t, destroy)",
            offset_of!(TunerV2, destroy),
        ),
        (
            "offsetof(ncclTuner_v3_t, getCollInfo)",
            offset_of!(TunerV3, get_coll_info),
        ),
        (
            "offsetof(ncclTuner_v4_t, getCollInfo)",
            offset_of!(TunerV4, get_coll_info),
        ),
        ("offsetof(ncclTuner_v5_t, init)", offset_of!(TunerV5, init)),
        (
            "offsetof(ncclTuner_v5_t, getCollInfo)",
            offset_of!(TunerV5, get_coll_info),
        ),
        (
            "offsetof(ncclTuner_v5_t, finalize)",
            offset_of!(TunerV5, finalize),
        ),
        (
            "offsetof(ncclTuner_v6_t, finalize)",
            offset_of!(TunerV6, finalize),
        ),
        (
            "offsetof(ncclTuner_v6_t, getChunkSize)",
            offset_of!(TunerV6, get_chunk_size),
        ),
        ("sizeof(ncclNvlDomainInfo_v5_t)", size_of::<NvlDomainInfo>()),
        ("sizeof(ncclTunerConstants_v5_t)", size_of::<Constants>()),
        (
            "offsetof(ncclTunerConstants_v5_t, hwLatencies)",
            offset_of!(Constants, hardware_latencies),
        ),
        (
            "offsetof(ncclTunerConstants_v5_t, llMaxBws)",
            offset_of!(Constants, ll_max_bws),
        ),
        (
            "offsetof(ncclTunerConstants_v5_t, perChMaxRingLL128Bws)",
            offset_of!(Constants, per_channel_max_ring_ll128_bws),
        ),
        (
            "offsetof(ncclTunerConstants_v5_t, perChMaxTreeLL128Bws)",
            offset_of!(Constants, per_channel_max_tree_ll128_bws),
        ),
        (
            "offsetof(ncclTunerConstants_v5_t, perChMaxTreeBws)",
            offset_of!(Constants, per_channel_max_tree_bws),
        ),
        (
            "offsetof(ncclTunerConstants_v5_t, perChMaxNVLSTreeBws)",
            offset_of!(Constants, per_channel_max_nvls_tree_bws),
        ),
    ]
}

#[test]
fn layouts_are_those_of_nccls_headers() {
    let Some(source) = std::env::var_os("CCL_NCCL_SOURCE").map(PathBuf::from) else {
        eprintln!("skipped: CCL_NCCL_SOURCE names no NCCL source tree");
        return;
    };
    let include = source.join("src/include/plugin/tuner");
    assert!(
        include.join("tuner_v6.h").exists(),
        "{} has no tuner_v6.h",
        include.display()
    );
    // What the headers take from NCCL's others: a result, a function id, a logger.
    let mut program = String::from(
        "#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n\
         typedef int ncclResult_t; typedef int ncclFunc_t;\n\
         typedef void (*ncclDebugLogger_t)(int, unsigned long, const char*, int, const char*, ...);\n",
    );
    for version in 2..=6 {
        let _ = writeln!(program, "#include \"tuner_v{version}.h\"");
    }
    // The environment headers include nccl.h, of which they need the result alone.
    for version in 1..=2 {
        let header = source.join(format!("src/include/plugin/env/env_v{version}.h"));
        let text = std::fs::read_to_string(header).unwrap();
        program.push_str(&text.replace("#include \"nccl.h\"", ""));
    }
    program.push_str("int main(void) {\n");
    for (expression, _) in expected() {
        let _ = writeln!(program, "printf(\"%zu\\n\", (size_t){expression});");
    }
    program.push_str("return 0; }\n");
    let folder = std::env::temp_dir().join(format!("ccl-abi-layout-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (c, binary) = (folder.join("layout.c"), folder.join("layout"));
    std::fs::write(&c, program).unwrap();
    let compiled = Command::new("cc")
        .arg("-I")
        .arg(&include)
        .arg("-o")
        .arg(&binary)
        .arg(&c)
        .output();
    let Ok(compiled) = compiled else {
        eprintln!("skipped: no C compiler");
        return;
    };
    assert!(
        compiled.status.success(),
        "{}",
        String::from_utf8_lossy(&compiled.stderr)
    );
    let output = Command::new(&binary).output().unwrap();
    let seen: Vec<usize> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| line.parse().unwrap())
        .collect();
    for ((expression, ours), theirs) in expected().into_iter().zip(seen) {
        assert_eq!(ours, theirs, "{expression}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
