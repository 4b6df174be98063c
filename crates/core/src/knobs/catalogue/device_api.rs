//! Symmetric kernels, GPU-initiated networking (GIN) and remote memory access.

use super::prelude::*;

pub(super) const KNOBS: &[Knob] = &[
    Knob::new("NCCL_DEV_API_JIT", KnobClass::PerProcess, Domain::Switch)
        .does("Device API compiled at run time.")
        .default(&[(v(2, 30, 7), "0")])
        .source("src/gin/gin_host.cc"),
    Knob::new(
        "NCCL_GDAKI_USE_RELIABLE_DB",
        KnobClass::PerProcess,
        integer(0, ANY),
    )
    .does("Reliable doorbells.")
    .default(&[(v(2, 29, 7), "0")])
    .on(&[Infiniband, Roce])
    .source("src/transport/net_ib/gdaki/gin_host_gdaki.cc"),
    Knob::new(
        "NCCL_GIN_COUNTER_POOL_SIZE",
        KnobClass::PerProcess,
        integer(1, ANY),
    )
    .does("Counters per communicator.")
    .default(&[(v(2, 28, 7), "65536"), (v(2, 29, 7), "524288")])
    .removed_after(v(2, 29, 7))
    .on(&[Infiniband, Roce])
    .source("src/gin/gin_host.cc"),
    Knob::new("NCCL_GIN_ENABLE", KnobClass::PerProcess, Domain::Switch)
        .does("GPU-initiated networking.")
        .default(&[(v(2, 28, 7), "1")])
        .on(&[Infiniband, Roce])
        .with(&["NCCL_GIN_TYPE"])
        .source("src/gin/gin_host.cc"),
    Knob::new(
        "NCCL_GIN_ERROR_QUERY_SEC",
        KnobClass::PerProcess,
        integer(1, ANY),
    )
    .does("Seconds between error queries.")
    .default(&[(v(2, 28, 7), "10")])
    .on(&[Infiniband, Roce])
    .source("src/transport/net_ib/gdaki/gin_host_gdaki.cc"),
    Knob::new(
        "NCCL_GIN_EXCLUSIVE_CONTEXTS",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Contexts are not shared.")
    .default(&[(v(2, 29, 7), "unset")])
    .removed_after(v(2, 29, 7))
    .automatic(-1)
    .on(&[Infiniband, Roce])
    .source("src/dev_runtime.cc"),
    Knob::new(
        "NCCL_GIN_GDAKI_MAX_DEST_RD_ATOMIC",
        KnobClass::PerProcess,
        integer(0, ANY),
    )
    .does("Outstanding reads and atomics a queue pair accepts.")
    .default(&[(v(2, 30, 3), "unset")])
    .automatic(-2)
    .on(&[Infiniband, Roce])
    .source("src/transport/net_ib/gdaki/gin_host_gdaki.cc"),
    Knob::new(
        "NCCL_GIN_GDAKI_MAX_QP_RD_ATOMIC",
        KnobClass::PerProcess,
        integer(0, ANY),
    )
    .does("Outstanding reads and atomics a queue pair issues.")
    .default(&[(v(2, 30, 3), "unset")])
    .automatic(-2)
    .on(&[Infiniband, Roce])
    .source("src/transport/net_ib/gdaki/gin_host_gdaki.cc"),
    Knob::new(
        "NCCL_GIN_GDAKI_NIC_HANDLER",
        KnobClass::PerProcess,
        integer(0, ANY),
    )
    .does("Who rings the NIC's doorbell.")
    .default(&[(v(2, 28, 7), "0")])
    .on(&[Infiniband, Roce])
    .source("src/transport/net_ib/gdaki/gin_host_gdaki.cc"),
    Knob::new(
        "NCCL_GIN_GDAKI_QP_DEPTH",
        KnobClass::PerProcess,
        integer(1, ANY),
    )
    .does("Depth of device queue pairs.")
    .default(&[(v(2, 28, 7), "128")])
    .on(&[Infiniband, Roce])
    .source("src/transport/net_ib/gdaki/gin_host_gdaki.cc"),
    Knob::new("NCCL_GIN_IB_TC", KnobClass::PerProcess, integer(0, 255))
        .does("Traffic class of GIN; unset: NCCL_IB_TC.")
        .default(&[(v(2, 30, 7), "unset")])
        .automatic(-1)
        .on(&[Infiniband, Roce])
        .with(&["NCCL_IB_TC"])
        .source("src/transport/net_ib/gin.cc"),
    Knob::new(
        "NCCL_GIN_NCONNECTIONS",
        KnobClass::PerProcess,
        integer(1, ANY),
    )
    .does("Connections per communicator.")
    .default(&[(v(2, 29, 7), "unset")])
    .automatic(-2)
    .on(&[Infiniband, Roce])
    .with(&["NCCL_GIN_ENABLE"])
    .source("src/gin/gin_host.cc"),
    Knob::new("NCCL_GIN_NCONTEXTS", KnobClass::PerProcess, integer(1, ANY))
        .does("Contexts per communicator.")
        .default(&[(v(2, 28, 7), "unset")])
        .removed_after(v(2, 29, 7))
        .automatic(-1)
        .on(&[Infiniband, Roce])
        .with(&["NCCL_GIN_NCONNECTIONS"])
        .source("src/gin/gin_host.cc"),
    Knob::new(
        "NCCL_GIN_PLUGIN",
        KnobClass::PerProcess,
        Domain::Text("library path, name, suffix or none"),
    )
    .does("GIN plugin to load.")
    .default(&[(v(2, 29, 7), "unset")])
    .on(&[Infiniband, Roce])
    .with(&["NCCL_GIN_ENABLE"])
    .source("src/plugin/gin.cc"),
    Knob::new(
        "NCCL_GIN_PLUGIN_REF_COUNT",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Unloads it with the last communicator.")
    .default(&[(v(2, 29, 7), "0")])
    .with(&["NCCL_GIN_PLUGIN"])
    .source("src/plugin/gin.cc"),
    Knob::new(
        "NCCL_GIN_PROXY_QUEUE_SIZE",
        KnobClass::PerProcess,
        integer(1, ANY),
    )
    .does("Queue of the GIN proxy.")
    .default(&[(v(2, 28, 7), "unset")])
    .automatic(-1)
    .on(&[Infiniband, Roce])
    .source("src/gin/gin_host_proxy.cc"),
    Knob::new(
        "NCCL_GIN_SIGNAL_POOL_SIZE",
        KnobClass::PerProcess,
        integer(1, ANY),
    )
    .does("Signals per communicator.")
    .default(&[(v(2, 28, 7), "65536"), (v(2, 29, 7), "524288")])
    .removed_after(v(2, 29, 7))
    .on(&[Infiniband, Roce])
    .source("src/gin/gin_host.cc"),
    Knob::new("NCCL_GIN_TYPE", KnobClass::PerProcess, integer(0, ANY))
        .does("Kind of GIN; unset: the best there is.")
        .default(&[(v(2, 28, 7), "unset")])
        .automatic(-1)
        .on(&[Infiniband, Roce])
        .with(&["NCCL_GIN_ENABLE"])
        .source("src/transport/net_ib/gin.cc"),
    Knob::new(
        "NCCL_NUM_RMA_CTX",
        KnobClass::PerCommunicator,
        integer(0, ANY),
    )
    .does("Contexts for remote memory access; 0 turns it off.")
    .default(&[(v(2, 29, 2), "unset")])
    .automatic(UNDEFINED)
    .source("src/init.cc"),
    Knob::new("NCCL_RMA_DISABLE", KnobClass::PerProcess, Domain::Switch)
        .does("Turns remote memory access off.")
        .default(&[(v(2, 30, 7), "0")])
        .source("src/dev_runtime.cc"),
    Knob::new(
        "NCCL_RMA_PLUGIN",
        KnobClass::PerProcess,
        Domain::Text("library path, name, suffix or none"),
    )
    .does("Plugin for remote memory access.")
    .default(&[(v(2, 30, 7), "unset")])
    .source("src/plugin/rma.cc"),
    Knob::new(
        "NCCL_RMA_PLUGIN_REF_COUNT",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Unloads it with the last communicator.")
    .default(&[(v(2, 30, 7), "0")])
    .with(&["NCCL_RMA_PLUGIN"])
    .source("src/plugin/rma.cc"),
    Knob::new(
        "NCCL_RMA_PROXY_QUEUE_SIZE",
        KnobClass::PerProcess,
        integer(1, ANY),
    )
    .does("Queue of its proxy.")
    .default(&[(v(2, 29, 2), "unset")])
    .automatic(-1)
    .source("src/rma/rma_proxy.cc"),
    Knob::new(
        "NCCL_SYM_CE_THRESHOLD",
        KnobClass::PerProcess,
        bytes(0, i64::MAX),
    )
    .does("Elements above which a symmetric AllGather uses copy engines.")
    .default(&[(v(2, 29, 2), "8388608")])
    .on(&[NvLink, Blackwell])
    .with(&["NCCL_CTA_POLICY"])
    .source("src/enqueue.cc"),
    Knob::new("NCCL_SYM_CTAS", KnobClass::PerProcess, integer(0, 64))
        .does("CTAs of symmetric kernels; 0: NCCL chooses.")
        .default(&[(v(2, 27, 3), "0")])
        .on(&[NvLink])
        .outside("above 64 NCCL uses 64")
        .with(&["NCCL_MAX_CTAS", "NCCL_WIN_ENABLE"])
        .search(&["0", "4", "8", "16", "32"])
        .source("src/sym_kernels.cc"),
    Knob::new(
        "NCCL_SYM_GIN_KERNELS_ENABLE",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Symmetric kernels that use GIN across nodes.")
    .default(&[(v(2, 29, 7), "1")])
    .on(&[Infiniband, Roce])
    .with(&["NCCL_GIN_ENABLE"])
    .source("src/sym_kernels.cc")
    .documented(),
    Knob::new(
        "NCCL_SYM_NOWIN_ENABLE",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Symmetric kernels without windows.")
    .default(&[(v(2, 29, 2), "0")])
    .on(&[NvLink])
    .with(&["NCCL_WIN_ENABLE"])
    .source("src/scheduler/symmetric_sched.cc"),
    Knob::new(
        "NCCL_SYM_RS_GIN_CHUNK_SIZE",
        KnobClass::PerProcess,
        bytes(1, i64::MAX),
    )
    .does("Chunk of symmetric ReduceScatter over GIN.")
    .default(&[(v(2, 30, 7), "unset")])
    .automatic(-1)
    .on(&[Infiniband, Roce])
    .with(&["NCCL_SYM_GIN_KERNELS_ENABLE"])
    .source("src/sym_kernels.cc"),
    Knob::new("NCCL_SYM_TMA_ENABLE", KnobClass::PerProcess, Domain::Switch)
        .does("Symmetric kernels with the tensor memory accelerator.")
        .default(&[(v(2, 30, 3), "0")])
        .on(&[Hopper])
        .search(&["0", "1"])
        .source("src/sym_kernels.cc"),
];
