//! Which algorithm and protocol NCCL may choose, and the figures its cost model works with.

use super::prelude::*;

pub(super) const KNOBS: &[Knob] = &[
    Knob::new("NCCL_ALGO", KnobClass::PerCall, Domain::Algorithms)
        .does("Restricts the algorithms NCCL may choose, for all functions or per function.")
        .default(&[(v(2, 5, 6), "unset")])
        .hazards(&["One list for the whole job overrides the choice at every size; published slow-downs reach 0.79x.", "From 2.24 an unknown name fails communicator creation, and nothing falls back to Ring: a function whose algorithms are all excluded fails."])
        .with(&["NCCL_PROTO", "NCCL_NVLS_ENABLE", "NCCL_COLLNET_ENABLE", "NCCL_PAT_ENABLE", "NCCL_TUNER_PLUGIN", "NCCL_CTA_POLICY"])
        .source("src/enqueue.cc")
        .documented(),
    Knob::new("NCCL_COLLNET_ENABLE", KnobClass::PerCommunicator, Domain::Switch)
        .does("Enables in-network reduction through a CollNet plugin (SHARP).")
        .default(&[(v(2, 6, 4), "0"), (v(2, 27, 3), "unset")])
        .automatic(UNDEFINED)
        .on(&[Infiniband, Roce])
        .outside("NCCL sets it to 0")
        .with(&["NCCL_COLLNET_NODE_THRESHOLD", "NCCL_ALGO", "NCCL_IGNORE_COLLNET_MISMATCH", "NCCL_NET_PLUGIN"])
        .search(&["0", "1"])
        .source("src/init.cc")
        .documented(),
    Knob::new("NCCL_COLLNET_NODE_THRESHOLD", KnobClass::PerProcess, integer(1, ANY))
        .does("Fewest nodes for which CollNet is used.")
        .default(&[(v(2, 9, 9), "2")])
        .on(&[Infiniband, Roce])
        .with(&["NCCL_COLLNET_ENABLE"])
        .source("src/init.cc")
        .documented(),
    Knob::new("NCCL_CTA_POLICY", KnobClass::PerCommunicator, words('|', &["DEFAULT", "EFFICIENCY", "ZERO", "0", "1", "2"]))
        .does("Trade of GPU blocks against speed: EFFICIENCY and ZERO free SMs where buffers are registered.")
        .default(&[(v(2, 27, 3), "unset")])
        .hazards(&["EFFICIENCY has no effect while a tuner plugin, NCCL_ALGO or NCCL_PROTO is set. Before 2.29 only the integers 0, 1, 2 are understood."])
        .with(&["NCCL_ALGO", "NCCL_PROTO", "NCCL_TUNER_PLUGIN", "NCCL_MAX_CTAS"])
        .search(&["0", "1", "2"])
        .source("src/init.cc")
        .documented(),
    Knob::new("NCCL_LL128_C2C", KnobClass::PerProcess, Domain::Switch)
        .does("Lets LL128 cross C2C and PXN paths on Hopper and newer.")
        .default(&[(v(2, 27, 3), "1")])
        .on(&[Hopper])
        .with(&["NCCL_PROTO", "NCCL_PXN_C2C"])
        .search(&["0", "1"])
        .source("src/graph/tuning.cc"),
    Knob::new("NCCL_NET_OVERHEAD", KnobClass::PerProcess, integer(0, ANY))
        .does("Network post overhead in the cost model, in nanoseconds; unset: 1000, on AMD x86 2000.")
        .default(&[(v(2, 18, 1), "unset")])
        .automatic(-2)
        .hazards(&["Changes NCCL's choices on every rank that sets it: set it on all ranks alike."])
        .search(&["500", "1000", "2000", "4000"])
        .source("src/graph/tuning.cc"),
    Knob::new("NCCL_PAT_ENABLE", KnobClass::PerProcess, integer(0, 2))
        .does("Whether PAT may serve AllGather and ReduceScatter: 0 never, 1 always, 2 with one rank per node.")
        .default(&[(v(2, 23, 4), "2")])
        .outside("any other value than 2 is taken as on")
        .hazards(&["1 also enables PAT where NCCL considers it unsupported (more than one rank per node)."])
        .with(&["NCCL_ALGO"])
        .search(&["0", "2"])
        .source("src/graph/tuning.cc"),
    Knob::new("NCCL_PROTO", KnobClass::PerCall, Domain::Protocols)
        .does("Restricts the protocols NCCL may choose, for all functions or per function.")
        .default(&[(v(2, 5, 6), "unset")])
        .hazards(&["LL128 named, or left in by excluding another protocol (^LL), skips the check that the platform can run it: silent data corruption where it cannot.", "One list for the whole job overrides the choice at every size."])
        .with(&["NCCL_ALGO", "NCCL_LL128_C2C", "NCCL_TUNER_PLUGIN", "NCCL_CTA_POLICY"])
        .source("src/enqueue.cc")
        .documented(),
    Knob::new("NCCL_SYM_KERNEL", KnobClass::PerProcess, Domain::Text("the exact name of one symmetric kernel, or ^ for all"))
        .does("Restricts symmetric-memory collectives to one kernel.")
        .default(&[(v(2, 27, 3), "unset")])
        .hazards(&["An unknown name disables every symmetric kernel."])
        .with(&["NCCL_WIN_ENABLE", "NCCL_SYM_CTAS"])
        .source("src/sym_kernels.cc"),
    Knob::new("NCCL_THREAD_THRESHOLDS", KnobClass::PerCommunicator, Domain::Text("up to six integers separated by blanks: Tree LL, LL128, Simple, then Ring"))
        .does("Bytes per thread below which channels and threads are cut for small sizes.")
        .default(&[(v(2, 5, 6), "unset")])
        .hazards(&["Undocumented; a negative or missing number keeps that default."])
        .with(&["NCCL_NTHREADS", "NCCL_LL128_NTHREADS"])
        .source("src/graph/tuning.cc"),
    Knob::new("NCCL_TUNER_PLUGIN", KnobClass::PerProcess, Domain::Text("library path, name, suffix or none"))
        .does("Tuner plugin to load: it may choose algorithm, protocol, channels (and from 2.30.3 chunk) per call.")
        .default(&[(v(2, 19, 1), "unset")])
        .hazards(&["Only one tuner loads; a vendor's network plugin may bring its own or set this variable itself."])
        .with(&["NCCL_NET_PLUGIN", "NCCL_ALGO", "NCCL_PROTO", "NCCL_CTA_POLICY"])
        .source("src/plugin/tuner.cc")
        .documented(),
];
