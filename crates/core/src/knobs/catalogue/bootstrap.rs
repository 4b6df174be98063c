//! Finding the other ranks, topology input, RAS.

use super::prelude::*;

pub(super) const KNOBS: &[Knob] = &[
    Knob::new(
        "NCCL_COMM_ID",
        KnobClass::PerProcess,
        Domain::Text("address:port of the root"),
    )
    .does("Address of the bootstrap root instead of a generated id.")
    .default(&[(v(2, 3, 5), "unset")])
    .with(&["NCCL_SOCKET_IFNAME"])
    .source("src/bootstrap.cc"),
    Knob::new(
        "NCCL_CONF_FILE",
        KnobClass::PerProcess,
        Domain::Text("path"),
    )
    .does("Configuration file instead of ~/.nccl.conf.")
    .default(&[(v(2, 23, 4), "unset")])
    .hazards(&["Read from the process environment only; ~ is not expanded."])
    .source("src/misc/param.cc")
    .documented(),
    Knob::new(
        "NCCL_CUDA_PATH",
        KnobClass::PerProcess,
        Domain::Text("path"),
    )
    .does("Where libcuda was looked for.")
    .default(&[(v(2, 13, 4), "unset")])
    .removed_after(v(2, 20, 5))
    .source("src/misc/cudawrap.cc"),
    Knob::new(
        "NCCL_ENABLE_VERSION_CHECK",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Fails when device code was built for another NCCL.")
    .default(&[(v(2, 29, 2), "1")])
    .source("src/dev_runtime.cc"),
    Knob::new(
        "NCCL_ENV_PLUGIN",
        KnobClass::PerProcess,
        Domain::Text("library path, name, suffix or none"),
    )
    .does("Plugin that answers for environment variables.")
    .default(&[(v(2, 28, 7), "unset")])
    .hazards(&["Its answers replace the environment."])
    .source("src/plugin/env.cc")
    .documented(),
    Knob::new(
        "NCCL_GRAPH_FILE",
        KnobClass::PerProcess,
        Domain::Text("path"),
    )
    .does("Rings and trees to use instead of searching.")
    .default(&[(v(2, 6, 4), "unset")])
    .hazards(&["A file for another shape of communicator fails."])
    .with(&["NCCL_TOPO_FILE"])
    .source("src/graph/search.cc"),
    Knob::new(
        "NCCL_HOSTID",
        KnobClass::PerProcess,
        Domain::Text("any text"),
    )
    .does("Name that tells nodes apart; ranks with one name count as one node.")
    .default(&[(v(2, 5, 6), "unset")])
    .hazards(&["Wrong names make NCCL use shared memory across hosts, or the network inside one."])
    .source("src/misc/utils.cc"),
    Knob::new("NCCL_OOB_NET_ENABLE", KnobClass::PerProcess, Domain::Switch)
        .does("Uses the network plugin instead of sockets for the initial exchange.")
        .default(&[(v(2, 23, 4), "0")])
        .with(&["NCCL_OOB_NET_IFNAME"])
        .source("src/bootstrap.cc")
        .documented(),
    Knob::new(
        "NCCL_OOB_NET_IFNAME",
        KnobClass::PerProcess,
        Domain::Text("interface or NIC names"),
    )
    .does("Interface for that exchange.")
    .default(&[(v(2, 23, 4), "unset")])
    .with(&["NCCL_OOB_NET_ENABLE"])
    .source("src/bootstrap.cc")
    .documented(),
    Knob::new(
        "NCCL_RAS_ADDR",
        KnobClass::PerProcess,
        Domain::Text("host:port"),
    )
    .does("Where that service listens.")
    .default(&[(v(2, 24, 3), "localhost:28028")])
    .hazards(&["An external address opens the service to the network."])
    .with(&["NCCL_RAS_ENABLE"])
    .source("src/ras/client_support.cc")
    .documented(),
    Knob::new("NCCL_RAS_ENABLE", KnobClass::PerProcess, Domain::Switch)
        .does("Health service of the job.")
        .default(&[(v(2, 24, 3), "1")])
        .with(&["NCCL_RAS_ADDR"])
        .source("src/bootstrap.cc")
        .documented(),
    Knob::new(
        "NCCL_RAS_TIMEOUT_FACTOR",
        KnobClass::PerProcess,
        integer(1, ANY),
    )
    .does("Multiplies the service's time-outs.")
    .default(&[(v(2, 24, 3), "1")])
    .with(&["NCCL_RAS_ENABLE"])
    .source("src/ras/ras.cc")
    .documented(),
    Knob::new(
        "NCCL_TOPO_FILE",
        KnobClass::PerProcess,
        Domain::Text("path"),
    )
    .does("Topology read before detection.")
    .default(&[(v(2, 6, 4), "unset")])
    .hazards(&["A file of another machine leads to wrong paths and choices."])
    .with(&["NCCL_GRAPH_FILE"])
    .source("src/graph/topo.cc")
    .documented(),
    Knob::new(
        "NCCL_TOPO_SPLIT_MLOPART",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Shows GPU partitions as GPUs of their own.")
    .default(&[(v(2, 30, 7), "1")])
    .source("src/graph/topo.cc"),
    Knob::new(
        "NCCL_UID_STAGGER_RATE",
        KnobClass::PerProcess,
        integer(1, ANY),
    )
    .does("Messages per second to the root when ranks stagger.")
    .default(&[(v(2, 23, 4), "7000")])
    .with(&["NCCL_UID_STAGGER_THRESHOLD"])
    .source("src/bootstrap.cc")
    .documented(),
    Knob::new(
        "NCCL_UID_STAGGER_THRESHOLD",
        KnobClass::PerProcess,
        integer(1, ANY),
    )
    .does("Ranks per unique id above which they stagger.")
    .default(&[(v(2, 23, 4), "256")])
    .with(&["NCCL_UID_STAGGER_RATE"])
    .source("src/bootstrap.cc")
    .documented(),
];
