//! Variables of NCCL before 2.6 that scripts still carry.

use super::prelude::*;

pub(super) const KNOBS: &[Knob] = &[
    Knob::new("NCCL_CHECKS_DISABLE", KnobClass::PerProcess, Domain::Switch)
        .does("Turned argument checks off; deprecated in 2.2.12.")
        .default(&[(v(2, 0, 5), "0")])
        .removed_after(v(2, 2, 13))
        .superseded_by("NCCL_CHECK_POINTERS")
        .source("NCCL user guide, Environment Variables")
        .documented(),
    Knob::new(
        "NCCL_GRAPH",
        KnobClass::PerProcess,
        Domain::Text("rings of ranks"),
    )
    .does("Explicit graphs.")
    .default(&[(v(2, 5, 6), "unset")])
    .removed_after(v(2, 5, 7))
    .superseded_by("NCCL_GRAPH_FILE")
    .source("src/graph/search.cc"),
    Knob::new("NCCL_LL_THRESHOLD", KnobClass::PerProcess, bytes(0, ANY))
        .does("Largest size for LL.")
        .default(&[(v(2, 3, 5), "unset")])
        .removed_after(v(2, 4, 8))
        .automatic(-2)
        .hazards(&["Ignored since 2.5."])
        .superseded_by("NCCL_PROTO")
        .source("src/init.cc")
        .documented(),
    Knob::new(
        "NCCL_RINGS",
        KnobClass::PerProcess,
        Domain::Text("rings of ranks"),
    )
    .does("Explicit rings.")
    .default(&[(v(2, 3, 5), "unset")])
    .removed_after(v(2, 4, 8))
    .superseded_by("NCCL_GRAPH_FILE")
    .source("src/misc/rings.cc"),
    Knob::new(
        "NCCL_SINGLE_RING_THRESHOLD",
        KnobClass::PerProcess,
        bytes(0, ANY),
    )
    .does("Largest size with one ring.")
    .default(&[(v(2, 1, 0), "262144")])
    .removed_after(v(2, 2, 13))
    .superseded_by("NCCL_MAX_CTAS")
    .source("NCCL user guide, Environment Variables")
    .documented(),
    Knob::new(
        "NCCL_THREAD_THRESHOLD",
        KnobClass::PerProcess,
        bytes(0, ANY),
    )
    .does("Bytes per thread.")
    .default(&[(v(2, 3, 5), "unset")])
    .removed_after(v(2, 4, 8))
    .automatic(-2)
    .superseded_by("NCCL_THREAD_THRESHOLDS")
    .source("src/init.cc"),
    Knob::new("NCCL_TREE_THRESHOLD", KnobClass::PerProcess, bytes(0, ANY))
        .does("Largest size for Tree.")
        .default(&[(v(2, 4, 2), "unset")])
        .removed_after(v(2, 4, 8))
        .automatic(-2)
        .hazards(&["Ignored since 2.5."])
        .superseded_by("NCCL_ALGO")
        .source("src/init.cc")
        .documented(),
];
