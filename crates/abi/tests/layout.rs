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
use ccl_abi::nccl::profiler::{
    CollectiveV1, CollectiveV2, CollectiveV3, CollectiveV4, CollectiveV5, DescriptorV1,
    DescriptorV2, DescriptorV3, DescriptorV4, DescriptorV5, DescriptorV6, KernelChannelV4,
    ProfilerV1, ProfilerV2, ProfilerV3, ProfilerV4, ProfilerV5, ProfilerV6, ProxyOp,
};
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

/// The same for the profiler, whose versions differ in one union.
fn expected_of_profiler() -> Vec<(String, usize)> {
    const OF: usize = offset_of!(DescriptorV1, of);
    let sizes = [
        (size_of::<ProfilerV1>(), size_of::<DescriptorV1>()),
        (size_of::<ProfilerV2>(), size_of::<DescriptorV2>()),
        (size_of::<ProfilerV3>(), size_of::<DescriptorV3>()),
        (size_of::<ProfilerV4>(), size_of::<DescriptorV4>()),
        (size_of::<ProfilerV5>(), size_of::<DescriptorV5>()),
        (size_of::<ProfilerV6>(), size_of::<DescriptorV6>()),
    ];
    let mut all = Vec::new();
    for ((profiler, descriptor), version) in sizes.into_iter().zip(1..) {
        let name = format!("ncclProfilerEventDescr_v{version}_t");
        all.push((format!("sizeof(ncclProfiler_v{version}_t)"), profiler));
        all.push((format!("sizeof({name})"), descriptor));
        all.push((format!("offsetof({name}, rank)"), 16));
    }
    let mut member = |version: u32, member: &str, offset: usize| {
        let name = format!("ncclProfilerEventDescr_v{version}_t");
        all.push((format!("offsetof({name}, {member})"), OF + offset));
    };
    member(1, "coll.seqNumber", offset_of!(CollectiveV1, sequence));
    member(1, "coll.func", offset_of!(CollectiveV1, function));
    member(1, "coll.count", offset_of!(CollectiveV1, count));
    member(1, "coll.datatype", offset_of!(CollectiveV1, datatype));
    member(
        1,
        "coll.nMaxChannels",
        offset_of!(CollectiveV1, most_channels),
    );
    member(1, "coll.nWarps", offset_of!(CollectiveV1, warps));
    member(1, "coll.algo", offset_of!(CollectiveV1, algorithm));
    member(1, "coll.proto", offset_of!(CollectiveV1, protocol));
    member(2, "coll.commHash", offset_of!(CollectiveV2, comm_hash));
    member(2, "coll.count", offset_of!(CollectiveV2, count));
    member(2, "coll.datatype", offset_of!(CollectiveV2, datatype));
    member(
        2,
        "coll.nMaxChannels",
        offset_of!(CollectiveV2, most_channels),
    );
    member(2, "coll.proto", offset_of!(CollectiveV2, protocol));
    member(3, "coll.count", offset_of!(CollectiveV3, count));
    member(3, "coll.nWarps", offset_of!(CollectiveV3, warps));
    member(3, "coll.proto", offset_of!(CollectiveV3, protocol));
    for version in 4..=6 {
        member(version, "coll.func", offset_of!(CollectiveV4, function));
        member(version, "coll.count", offset_of!(CollectiveV4, count));
        member(
            version,
            "coll.nChannels",
            offset_of!(CollectiveV4, channels),
        );
        member(version, "coll.nWarps", offset_of!(CollectiveV4, warps));
        member(version, "coll.algo", offset_of!(CollectiveV4, algorithm));
        member(version, "coll.proto", offset_of!(CollectiveV4, protocol));
        member(version, "proxyOp.isSend", offset_of!(ProxyOp, is_send));
        member(
            version,
            "kernelCh.pTimer",
            offset_of!(KernelChannelV4, timer_ns),
        );
    }
    member(
        5,
        "coll.parentGroup",
        offset_of!(CollectiveV5, parent_group),
    );
    member(
        6,
        "coll.parentGroup",
        offset_of!(CollectiveV5, parent_group),
    );
    member(1, "proxyOp.pid", offset_of!(ProxyOp, pid));
    all
}

/// Everything, the tuner and the environment first.
fn all_expected() -> Vec<(String, usize)> {
    let first = expected().into_iter().map(|(c, rust)| (c.to_owned(), rust));
    first.chain(expected_of_profiler()).collect()
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
        "#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n\
         #include <sys/types.h>\n\
         typedef int ncclResult_t; typedef int ncclFunc_t; typedef pid_t ncclPid_t;\n\
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
    for version in 1..=6 {
        let _ = writeln!(
            program,
            "typedef int ncclProfilerEventState_v{version}_t;\n\
             #include \"../profiler/profiler_v{version}.h\""
        );
    }
    program.push_str("int main(void) {\n");
    for (expression, _) in all_expected() {
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
    let all = all_expected();
    assert_eq!(all.len(), seen.len());
    for ((expression, ours), theirs) in all.into_iter().zip(seen) {
        assert_eq!(ours, theirs, "{expression}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
