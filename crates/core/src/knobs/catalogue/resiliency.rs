//! Port failover and recovery of the verbs transport.

use super::prelude::*;

pub(super) const KNOBS: &[Knob] = &[
    Knob::new(
        "NCCL_IB_RESILIENCY_PORT_FAILOVER",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Moves traffic to the remaining ports when one fails.")
    .default(&[(v(2, 29, 7), "0")])
    .on(&[Infiniband, Roce])
    .hazards(&["Adds bookkeeping to every message."])
    .with(&[
        "NCCL_IB_PREPOST_RECEIVE_WORK_REQUESTS",
        "NCCL_IB_RECEIVER_SIDE_MATCHING_SCHEME",
        "NCCL_IB_RESILIENCY_PORT_RECOVERY",
    ])
    .source("src/transport/net_ib/p2p_resiliency.cc"),
    Knob::new(
        "NCCL_IB_RESILIENCY_PORT_FAILOVER_MAX_ATTEMPTS",
        KnobClass::PerProcess,
        integer(0, ANY),
    )
    .does("Failovers per connection.")
    .default(&[(v(2, 29, 7), "1")])
    .on(&[Infiniband, Roce])
    .with(&["NCCL_IB_RESILIENCY_PORT_FAILOVER"])
    .source("src/transport/net_ib/p2p_resiliency.cc"),
    Knob::new(
        "NCCL_IB_RESILIENCY_PORT_FAILOVER_PROBE_DELAY",
        KnobClass::PerProcess,
        integer(0, ANY),
    )
    .does("Milliseconds before the first probe after a failure.")
    .default(&[(v(2, 29, 7), "10")])
    .on(&[Infiniband, Roce])
    .with(&["NCCL_IB_RESILIENCY_PORT_FAILOVER"])
    .source("src/transport/net_ib/p2p_resiliency.cc"),
    Knob::new(
        "NCCL_IB_RESILIENCY_PORT_RECOVERY",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Brings a failed port back into use.")
    .default(&[(v(2, 30, 3), "0")])
    .on(&[Infiniband, Roce])
    .with(&["NCCL_IB_RESILIENCY_PORT_FAILOVER"])
    .source("src/transport/net_ib/p2p_resiliency_recovery.cc"),
    Knob::new(
        "NCCL_IB_RESILIENCY_PORT_RECOVERY_ACK_TIMEOUT",
        KnobClass::PerProcess,
        integer(0, ANY),
    )
    .does("Milliseconds to wait for the peer's acknowledgement.")
    .default(&[(v(2, 30, 3), "5000")])
    .on(&[Infiniband, Roce])
    .with(&["NCCL_IB_RESILIENCY_PORT_RECOVERY"])
    .source("src/transport/net_ib/p2p_resiliency_recovery.cc"),
    Knob::new(
        "NCCL_IB_RESILIENCY_PORT_RECOVERY_ALIVE_MSG_BATCH_INTERVAL",
        KnobClass::PerProcess,
        integer(0, ANY),
    )
    .does("Interval between batches of liveness messages.")
    .default(&[(v(2, 30, 3), "500")])
    .on(&[Infiniband, Roce])
    .with(&["NCCL_IB_RESILIENCY_PORT_RECOVERY"])
    .source("src/transport/net_ib/p2p_resiliency_recovery.cc"),
    Knob::new(
        "NCCL_IB_RESILIENCY_PORT_RECOVERY_ALIVE_MSG_BATCH_SIZE",
        KnobClass::PerProcess,
        integer(0, ANY),
    )
    .does("Liveness messages per batch.")
    .default(&[(v(2, 30, 3), "5")])
    .on(&[Infiniband, Roce])
    .with(&["NCCL_IB_RESILIENCY_PORT_RECOVERY"])
    .source("src/transport/net_ib/p2p_resiliency_recovery.cc"),
    Knob::new(
        "NCCL_IB_RESILIENCY_PORT_RECOVERY_ALIVE_MSG_SEQUENCE_SIZE",
        KnobClass::PerProcess,
        integer(0, ANY),
    )
    .does("Liveness messages in a row that prove a port alive.")
    .default(&[(v(2, 30, 3), "5")])
    .on(&[Infiniband, Roce])
    .with(&["NCCL_IB_RESILIENCY_PORT_RECOVERY"])
    .source("src/transport/net_ib/p2p_resiliency_recovery.cc"),
    Knob::new(
        "NCCL_IB_RESILIENCY_PORT_RECOVERY_ALIVE_MSG_TIMEOUT",
        KnobClass::PerProcess,
        integer(0, ANY),
    )
    .does("Time after which liveness counts as lost.")
    .default(&[(v(2, 30, 3), "4000")])
    .on(&[Infiniband, Roce])
    .with(&["NCCL_IB_RESILIENCY_PORT_RECOVERY"])
    .source("src/transport/net_ib/p2p_resiliency_recovery.cc"),
    Knob::new(
        "NCCL_IB_RESILIENCY_PORT_RECOVERY_ATTEMPTS_MAX",
        KnobClass::PerProcess,
        integer(0, ANY),
    )
    .does("Recoveries tried per port.")
    .default(&[(v(2, 30, 3), "5")])
    .on(&[Infiniband, Roce])
    .with(&["NCCL_IB_RESILIENCY_PORT_RECOVERY"])
    .source("src/transport/net_ib/p2p_resiliency_recovery.cc"),
    Knob::new(
        "NCCL_IB_RESILIENCY_PORT_RECOVERY_START_DELAY",
        KnobClass::PerProcess,
        integer(0, ANY),
    )
    .does("Milliseconds before recovery starts.")
    .default(&[(v(2, 30, 3), "200")])
    .on(&[Infiniband, Roce])
    .with(&["NCCL_IB_RESILIENCY_PORT_RECOVERY"])
    .source("src/transport/net_ib/p2p_resiliency_recovery.cc"),
];
