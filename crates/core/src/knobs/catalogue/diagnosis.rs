//! Logs, dumps and profiling: no performance to gain, some to lose.

use super::prelude::*;

pub(super) const KNOBS: &[Knob] = &[
    Knob::new(
        "NCCL_DEBUG",
        KnobClass::PerProcess,
        word(&["VERSION", "WARN", "INFO", "ABORT", "TRACE"]),
    )
    .does("Log level.")
    .default(&[(v(2, 3, 5), "unset")])
    .outside("NCCL logs nothing")
    .hazards(&["INFO and TRACE write from every rank; TRACE needs a build with tracing."])
    .with(&["NCCL_DEBUG_SUBSYS", "NCCL_DEBUG_FILE"])
    .source("src/debug.cc")
    .documented(),
    Knob::new(
        "NCCL_DEBUG_FILE",
        KnobClass::PerProcess,
        Domain::Text("path; %h host, %p process"),
    )
    .does("Log file.")
    .default(&[(v(2, 3, 5), "unset")])
    .hazards(&["Overwritten; one name for all ranks mixes or loses lines; ~ is not expanded."])
    .with(&["NCCL_DEBUG"])
    .source("src/debug.cc")
    .documented(),
    Knob::new(
        "NCCL_DEBUG_SUBSYS",
        KnobClass::PerProcess,
        words(
            ',',
            &[
                "INIT",
                "COLL",
                "P2P",
                "SHM",
                "NET",
                "GRAPH",
                "TUNING",
                "ENV",
                "ALLOC",
                "ALLOC_HOST",
                "CALL",
                "PROXY",
                "NVLS",
                "BOOTSTRAP",
                "REG",
                "PROFILE",
                "RAS",
                "DESTROY",
                "ALL",
            ],
        ),
    )
    .does("What NCCL_DEBUG=INFO logs.")
    .default(&[(v(2, 3, 5), "INIT,BOOTSTRAP,ENV")])
    .hazards(&["COLL logs a line per call."])
    .with(&["NCCL_DEBUG"])
    .source("src/debug.cc")
    .documented(),
    Knob::new(
        "NCCL_DEBUG_TIMESTAMP_FORMAT",
        KnobClass::PerProcess,
        Domain::Text("strftime format"),
    )
    .does("Time stamp of log lines.")
    .default(&[(v(2, 26, 2), "[%F %T] ")])
    .with(&["NCCL_DEBUG_TIMESTAMP_LEVELS"])
    .source("src/debug.cc")
    .documented(),
    Knob::new(
        "NCCL_DEBUG_TIMESTAMP_LEVELS",
        KnobClass::PerProcess,
        words(',', &["VERSION", "WARN", "INFO", "ABORT", "TRACE", "ALL"]),
    )
    .does("Levels with a time stamp.")
    .default(&[(v(2, 26, 2), "WARN")])
    .with(&["NCCL_DEBUG_TIMESTAMP_FORMAT"])
    .source("src/debug.cc")
    .documented(),
    Knob::new(
        "NCCL_GRAPH_DUMP_FILE",
        KnobClass::PerProcess,
        Domain::Text("path"),
    )
    .does("Writes the rings and trees found.")
    .default(&[(v(2, 6, 4), "unset")])
    .with(&["NCCL_GRAPH_DUMP_FILE_RANK"])
    .source("src/graph/search.cc"),
    Knob::new(
        "NCCL_GRAPH_DUMP_FILE_RANK",
        KnobClass::PerProcess,
        integer(0, ANY),
    )
    .does("Which rank writes them.")
    .default(&[(v(2, 6, 4), "0")])
    .with(&["NCCL_GRAPH_DUMP_FILE"])
    .source("src/init.cc"),
    Knob::new(
        "NCCL_NO_CACHE",
        KnobClass::PerProcess,
        Domain::Text("names of variables, or ALL"),
    )
    .does("Variables that are read again at each use.")
    .default(&[(v(2, 29, 7), "unset")])
    .source("src/param/param.cc"),
    Knob::new("NCCL_PARAM_DUMP_ALL", KnobClass::PerProcess, Domain::Switch)
        .does("Prints all parameters.")
        .default(&[(v(2, 30, 3), "0")])
        .source("src/param/param.cc"),
    Knob::new(
        "NCCL_PROFILER_PLUGIN",
        KnobClass::PerProcess,
        Domain::Text("library path, name, suffix or none"),
    )
    .does("Profiler plugin to load.")
    .default(&[(v(2, 23, 4), "unset")])
    .source("src/plugin/profiler.cc")
    .documented(),
    Knob::new(
        "NCCL_PROXY_DUMP_SIGNAL",
        KnobClass::PerProcess,
        integer(1, 64),
    )
    .does("Signal on which the proxy prints its state.")
    .default(&[(v(2, 14, 3), "unset")])
    .automatic(-1)
    .hazards(&["Replaces the application's handler of that signal."])
    .source("src/proxy.cc"),
    Knob::new(
        "NCCL_PROXY_PROFILE",
        KnobClass::PerProcess,
        Domain::Text("path"),
    )
    .does("Profile of the proxy.")
    .default(&[(v(2, 12, 7), "unset")])
    .removed_after(v(2, 22, 3))
    .superseded_by("NCCL_PROFILER_PLUGIN")
    .source("src/misc/profiler.cc"),
    Knob::new(
        "NCCL_REPORT_CONNECT_PROGRESS",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Logs the progress of connecting.")
    .default(&[(v(2, 19, 4), "0")])
    .source("src/transport.cc"),
    Knob::new(
        "NCCL_RMA_PROXY_DUMP_SIGNAL",
        KnobClass::PerProcess,
        integer(1, 64),
    )
    .does("The same for the proxy of remote memory access.")
    .default(&[(v(2, 29, 2), "unset")])
    .automatic(-1)
    .hazards(&["Replaces the application's handler of that signal."])
    .source("src/rma/rma_proxy.cc"),
    Knob::new(
        "NCCL_SET_THREAD_NAME",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Names NCCL's CPU threads.")
    .default(&[(v(2, 12, 7), "0")])
    .source("src/debug.cc")
    .documented(),
    Knob::new(
        "NCCL_TOPO_DUMP_FILE",
        KnobClass::PerProcess,
        Domain::Text("path"),
    )
    .does("Writes the detected topology.")
    .default(&[(v(2, 6, 4), "unset")])
    .with(&["NCCL_TOPO_DUMP_FILE_RANK"])
    .source("src/init.cc")
    .documented(),
    Knob::new(
        "NCCL_TOPO_DUMP_FILE_RANK",
        KnobClass::PerProcess,
        integer(0, ANY),
    )
    .does("Which rank writes it.")
    .default(&[(v(2, 6, 4), "0")])
    .with(&["NCCL_TOPO_DUMP_FILE"])
    .source("src/graph/topo.cc"),
    Knob::new(
        "NCCL_WARN_ENABLE_DEBUG_INFO",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Raises the level to INFO after a warning.")
    .default(&[(v(2, 19, 4), "0")])
    .with(&["NCCL_DEBUG"])
    .source("src/debug.cc"),
];
