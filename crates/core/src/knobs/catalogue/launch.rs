//! Kernel launch, ordering, CUDA graphs.

use super::prelude::*;

pub(super) const KNOBS: &[Knob] = &[
    Knob::new(
        "NCCL_ALLGATHERV_ENABLE",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Turns grouped broadcasts into one all-gather.")
    .default(&[(v(2, 29, 2), "1")])
    .search(&["0", "1"])
    .source("src/enqueue.cc"),
    Knob::new(
        "NCCL_CHECK_MODE",
        KnobClass::PerCommunicator,
        word(&["DEFAULT", "DEBUG_LOCAL", "DEBUG_GLOBAL"]),
    )
    .does("Which arguments are checked on each call.")
    .default(&[(v(2, 29, 7), "DEFAULT")])
    .outside("NCCL uses DEFAULT")
    .hazards(&["Anything but DEFAULT adds latency."])
    .with(&["NCCL_CHECK_POINTERS"])
    .source("src/init.cc")
    .documented(),
    Knob::new("NCCL_CHECK_POINTERS", KnobClass::PerProcess, Domain::Switch)
        .does("Checks pointers on each call; deprecated since 2.29.7.")
        .default(&[(v(2, 3, 5), "0")])
        .hazards(&["Adds latency to every call."])
        .superseded_by("NCCL_CHECK_MODE")
        .source("src/init.cc")
        .documented(),
    Knob::new(
        "NCCL_COMM_BLOCKING",
        KnobClass::PerCommunicator,
        Domain::Switch,
    )
    .does("Overrides whether calls block.")
    .default(&[(v(2, 14, 3), "0"), (v(2, 17, 1), "unset")])
    .automatic(UNDEFINED)
    .outside("NCCL ignores it")
    .hazards(&["0 makes calls return before they are done in programs that do not expect it."])
    .source("src/init.cc")
    .documented(),
    Knob::new(
        "NCCL_COMM_SHRINK_SHARE_RESOURCES",
        KnobClass::PerCommunicator,
        Domain::Switch,
    )
    .does("Children made by shrink share their parent's resources.")
    .default(&[(v(2, 27, 3), "unset")])
    .automatic(UNDEFINED)
    .source("src/init.cc"),
    Knob::new(
        "NCCL_COMM_SPLIT_SHARE_RESOURCES",
        KnobClass::PerCommunicator,
        Domain::Switch,
    )
    .does("Children made by split share their parent's resources.")
    .default(&[(v(2, 18, 1), "unset")])
    .automatic(UNDEFINED)
    .outside("NCCL uses 0")
    .source("src/init.cc"),
    Knob::new(
        "NCCL_CONNECT_ROUND_MAX_PEERS",
        KnobClass::PerProcess,
        integer(1, ANY),
    )
    .does("Peers connected in one round.")
    .default(&[(v(2, 19, 4), "128")])
    .source("src/transport.cc"),
    Knob::new(
        "NCCL_CREATE_THREAD_CONTEXT",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Gives the proxy thread a CUDA context of its own.")
    .default(&[(v(2, 13, 4), "0")])
    .removed_after(v(2, 30, 4))
    .source("src/proxy.cc"),
    Knob::new(
        "NCCL_GRAPH_HELPER_DISABLE",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Turns off the helper thread for graph resources.")
    .default(&[(v(2, 11, 4), "0")])
    .source("src/init.cc"),
    Knob::new(
        "NCCL_GRAPH_MIXING_SUPPORT",
        KnobClass::PerCommunicator,
        Domain::Switch,
    )
    .does("Allows captured and plain calls, or parallel graphs, at the same time.")
    .default(&[(v(2, 13, 4), "1")])
    .automatic(UNDEFINED)
    .outside("NCCL ignores it")
    .hazards(&["Off, mixing them is undefined."])
    .with(&["NCCL_GRAPH_STREAM_ORDERING"])
    .search(&["0", "1"])
    .source("src/init.cc")
    .documented(),
    Knob::new(
        "NCCL_GRAPH_STREAM_ORDERING",
        KnobClass::PerCommunicator,
        Domain::Switch,
    )
    .does("Keeps NCCL's kernels in order during graph capture.")
    .default(&[(v(2, 30, 7), "1")])
    .automatic(UNDEFINED)
    .outside("NCCL ignores it")
    .hazards(&["0 with graph mixing is not supported; the application must serialise."])
    .with(&["NCCL_GRAPH_MIXING_SUPPORT"])
    .source("src/enqueue.cc")
    .documented(),
    Knob::new(
        "NCCL_GROUP_CUDA_STREAM",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Launches groups through an internal stream.")
    .default(&[(v(2, 3, 5), "0")])
    .source("src/init.cc"),
    Knob::new(
        "NCCL_LAUNCH_MODE",
        KnobClass::PerProcess,
        word(&["PARALLEL", "GROUP"]),
    )
    .does("How kernels of several GPUs of one process are launched; GROUP is deprecated since 2.9.")
    .default(&[(v(2, 3, 5), "PARALLEL")])
    .hazards(&["GROUP may be removed."])
    .source("src/init.cc")
    .documented(),
    Knob::new(
        "NCCL_LAUNCH_ORDER_IMPLICIT",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Orders the operations of all communicators on a GPU by host program order.")
    .default(&[(v(2, 26, 2), "0")])
    .hazards(&["Before CUDA 12.3 operations are serialised."])
    .with(&["NCCL_LAUNCH_RACE_FATAL"])
    .source("src/enqueue.cc")
    .documented(),
    Knob::new(
        "NCCL_LAUNCH_RACE_FATAL",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Fails when host threads race under implicit order.")
    .default(&[(v(2, 26, 2), "1")])
    .with(&["NCCL_LAUNCH_ORDER_IMPLICIT"])
    .source("src/misc/strongstream.cc")
    .documented(),
    Knob::new("NCCL_MEM_SYNC_DOMAIN", KnobClass::PerProcess, integer(0, 1))
        .does(
            "Memory synchronisation domain of NCCL's kernels: 1 keeps them apart from computation.",
        )
        .default(&[(v(2, 16, 2), "1")])
        .on(&[Hopper])
        .search(&["0", "1"])
        .source("src/enqueue.cc")
        .documented(),
    Knob::new(
        "NCCL_MULTI_RANK_GPU_ENABLE",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Allows several ranks on one GPU (experimental).")
    .default(&[(v(2, 30, 3), "0")])
    .hazards(&["May exhaust the GPU and hang."])
    .with(&["NCCL_NVLS_ENABLE", "NCCL_MAX_CTAS"])
    .source("src/init.cc")
    .documented(),
    Knob::new("NCCL_NVTX_DISABLE", KnobClass::PerProcess, Domain::Switch)
        .does("Turns NVTX ranges off.")
        .default(&[(v(2, 28, 3), "0")])
        .source("src/init_nvtx.cc"),
    Knob::new(
        "NCCL_RUNTIME_CONNECT",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Connects peers at first use instead of at creation.")
    .default(&[(v(2, 22, 3), "1")])
    .hazards(&["The first call of each kind is slow: warm up before measuring."])
    .with(&["NCCL_CUMEM_ENABLE", "NCCL_NVB_PRECONNECT"])
    .source("src/init.cc")
    .documented(),
];
