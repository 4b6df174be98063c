//! Allocation and registration of GPU and host memory.

use super::prelude::*;

pub(super) const KNOBS: &[Knob] = &[
    Knob::new("NCCL_CUMEM_ENABLE", KnobClass::PerProcess, Domain::Switch)
        .does("Allocates with CUDA's virtual-memory functions; unset: where supported.")
        .default(&[(v(2, 18, 1), "0"), (v(2, 19, 1), "unset")])
        .automatic(-2)
        .hazards(&["Off, NVLS, multi-node NVLink, windows and lazy connections are off as well."])
        .with(&[
            "NCCL_NVLS_ENABLE",
            "NCCL_MNNVL_ENABLE",
            "NCCL_WIN_ENABLE",
            "NCCL_RUNTIME_CONNECT",
            "NCCL_CUMEM_HOST_ENABLE",
        ])
        .source("src/misc/cudawrap.cc")
        .documented(),
    Knob::new(
        "NCCL_CUMEM_HOST_ENABLE",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Allocates host memory with them; unset: with driver 12.6 and newer.")
    .default(&[(v(2, 23, 4), "0"), (v(2, 24, 3), "unset")])
    .automatic(-1)
    .with(&["NCCL_CUMEM_ENABLE", "NCCL_SHM_DISABLE"])
    .source("src/misc/cudawrap.cc")
    .documented(),
    Knob::new(
        "NCCL_DISABLE_MEM_MANAGER",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Turns off NCCL's own memory manager.")
    .default(&[(v(2, 29, 7), "0")])
    .source("src/mem_manager.cc"),
    Knob::new(
        "NCCL_ELASTIC_BUFFER_REGISTER",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Registers elastic device-API buffers.")
    .default(&[(v(2, 30, 3), "1")])
    .source("src/dev_runtime.cc"),
    Knob::new("NCCL_GRAPH_REGISTER", KnobClass::PerProcess, Domain::Switch)
        .does("Registers buffers of calls captured in CUDA graphs.")
        .default(&[(v(2, 11, 4), "0"), (v(2, 19, 1), "1")])
        .hazards(&["Several GPUs per process with capture can deadlock."])
        .with(&["NCCL_LOCAL_REGISTER"])
        .search(&["0", "1"])
        .source("src/enqueue.cc")
        .documented(),
    Knob::new("NCCL_LOCAL_REGISTER", KnobClass::PerProcess, Domain::Switch)
        .does("Uses buffers the application registered (ncclCommRegister).")
        .default(&[(v(2, 19, 1), "1")])
        .with(&["NCCL_GRAPH_REGISTER", "NCCL_LEGACY_CUDA_REGISTER"])
        .search(&["0", "1"])
        .source("src/register/register.cc")
        .documented(),
    Knob::new(
        "NCCL_MLOPART_RDMA_ENABLE",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("RDMA registration on GPU partitions.")
    .default(&[(v(2, 30, 7), "0")])
    .source("src/register/coll_reg.cc"),
    Knob::new(
        "NCCL_MULTI_SEGMENT_REGISTER",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Registers buffers made of several physical segments.")
    .default(&[(v(2, 29, 2), "1")])
    .with(&["NCCL_LOCAL_REGISTER", "NCCL_CUMEM_ENABLE"])
    .source("src/transport/generic.cc"),
    Knob::new(
        "NCCL_SET_CPU_STACK_SIZE",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Gives NCCL's threads the stack limit of the process.")
    .default(&[(v(2, 28, 3), "1")])
    .source("src/init.cc"),
    Knob::new("NCCL_SET_STACK_SIZE", KnobClass::PerProcess, Domain::Switch)
        .does("Sets CUDA's stack size at load, against later reconfiguration.")
        .default(&[(v(2, 9, 6), "0")])
        .source("src/init.cc")
        .documented(),
    Knob::new(
        "NCCL_SHADOW_MEMPOOL_MAX_SIZE",
        KnobClass::PerProcess,
        bytes(0, i64::MAX),
    )
    .does("Limit of the shadow memory pool, in bytes.")
    .default(&[(v(2, 30, 7), "1073741824")])
    .source("src/allocator.cc"),
    Knob::new(
        "NCCL_SINGLE_PROC_MEM_REG_ENABLE",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Registers buffers when one process drives several GPUs.")
    .default(&[(v(2, 28, 3), "0")])
    .with(&["NCCL_LOCAL_REGISTER"])
    .source("src/group.cc"),
    Knob::new(
        "NCCL_SYM_REUSE_SYSMEM_HANDLES",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Reuses system-memory handles of symmetric windows.")
    .default(&[(v(2, 30, 4), "0")])
    .with(&["NCCL_WIN_ENABLE"])
    .source("src/dev_runtime.cc"),
    Knob::new("NCCL_WIN_ENABLE", KnobClass::PerProcess, Domain::Switch)
        .does("Symmetric memory windows.")
        .default(&[(v(2, 27, 3), "1")])
        .on(&[NvLink])
        .with(&["NCCL_CUMEM_ENABLE", "NCCL_WIN_STRIDE", "NCCL_SYM_KERNEL"])
        .source("src/init.cc")
        .documented(),
    Knob::new("NCCL_WIN_STRIDE", KnobClass::PerProcess, bytes(1, i64::MAX))
        .does(
            "Address space per rank of symmetric windows, in bytes; unset: the largest GPU memory.",
        )
        .default(&[(v(2, 27, 3), "unset")])
        .automatic(-1)
        .on(&[NvLink])
        .with(&["NCCL_WIN_ENABLE"])
        .source("src/dev_runtime.cc"),
];
