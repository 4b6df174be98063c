//! InfiniBand and RoCE verbs.

use super::prelude::*;

pub(super) const KNOBS: &[Knob] = &[
    Knob::new(
        "NCCL_IBVERBS_LIB",
        KnobClass::PerProcess,
        Domain::Text("library path or name"),
    )
    .does("Verbs library to load.")
    .default(&[(v(2, 30, 3), "unset")])
    .on(&[Infiniband, Roce])
    .source("src/misc/ibvsymbols.cc"),
    Knob::new(
        "NCCL_IB_ADAPTIVE_ROUTING",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Adaptive routing; unset: on for InfiniBand, off for RoCE.")
    .default(&[(v(2, 16, 2), "unset")])
    .automatic(-2)
    .on(&[Infiniband, Roce])
    .hazards(&["Needs a service level with adaptive routing in the fabric."])
    .with(&["NCCL_IB_AR_THRESHOLD", "NCCL_IB_SL", "NCCL_IB_OOO_RQ"])
    .search(&["0", "1"])
    .source("src/transport/net_ib/init.cc")
    .documented(),
    Knob::new(
        "NCCL_IB_ADDR_FAMILY",
        KnobClass::PerProcess,
        exact_word(&["AF_INET", "AF_INET6"]),
    )
    .does("Address family of the GID NCCL looks for.")
    .default(&[(v(2, 21, 5), "AF_INET")])
    .on(&[Roce])
    .outside("NCCL silently uses AF_INET")
    .with(&["NCCL_IB_GID_INDEX"])
    .source("src/transport/net_ib/connect.cc")
    .documented(),
    Knob::new(
        "NCCL_IB_ADDR_RANGE",
        KnobClass::PerProcess,
        Domain::Text("CIDR such as 10.0.0.0/8"),
    )
    .does("Addresses of the GID NCCL looks for.")
    .default(&[(v(2, 21, 5), "unset")])
    .on(&[Roce])
    .outside("without a / it is ignored")
    .with(&["NCCL_IB_GID_INDEX", "NCCL_IB_ADDR_FAMILY"])
    .source("src/transport/net_ib/connect.cc")
    .documented(),
    Knob::new(
        "NCCL_IB_AR_THRESHOLD",
        KnobClass::PerProcess,
        bytes(0, 2_147_483_647),
    )
    .does(
        "Bytes above which data travels in a message of its own that adaptive routing may reorder.",
    )
    .default(&[(v(2, 6, 4), "8192")])
    .automatic(-2)
    .on(&[Infiniband, Roce])
    .with(&[
        "NCCL_IB_ADAPTIVE_ROUTING",
        "NCCL_BUFFSIZE",
        "NCCL_IB_OOO_RQ",
    ])
    .search(&["0", "8192", "65536"])
    .source("src/transport/net_ib/p2p.cc")
    .documented(),
    Knob::new(
        "NCCL_IB_CUDA_SUPPORT",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Forced GPU Direct RDMA on or off.")
    .default(&[(v(2, 3, 5), "unset")])
    .removed_after(v(2, 3, 7))
    .automatic(-2)
    .on(&[Infiniband, Roce])
    .superseded_by("NCCL_NET_GDR_LEVEL")
    .source("src/transport/net_ib.cu")
    .documented(),
    Knob::new("NCCL_IB_DATA_DIRECT", KnobClass::PerProcess, integer(0, 2))
        .does("Direct data path NIC to GPU on Grace: 0 off, 1 data-direct NIC, 2 both.")
        .default(&[(v(2, 27, 3), "1")])
        .on(&[Infiniband, Arm])
        .source("src/transport/net_ib/init.cc"),
    Knob::new(
        "NCCL_IB_DEVICE_PCI_ORDER",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Orders NICs by PCI address, the same on every node.")
    .default(&[(v(2, 29, 7), "1")])
    .on(&[Infiniband, Roce])
    .hazards(&["0 can pair NICs of different rails."])
    .source("src/transport/net_ib/init.cc"),
    Knob::new("NCCL_IB_DISABLE", KnobClass::PerProcess, Domain::Switch)
        .does("Forbids InfiniBand and RoCE verbs; NCCL falls back to TCP.")
        .default(&[(v(2, 3, 5), "0")])
        .on(&[Infiniband, Roce])
        .hazards(&["Costs most of the bandwidth on an InfiniBand or RoCE cluster."])
        .with(&["NCCL_NET", "NCCL_IB_HCA"])
        .source("src/transport/net_ib/init.cc")
        .documented(),
    Knob::new("NCCL_IB_ECE_ENABLE", KnobClass::PerProcess, Domain::Switch)
        .does("Passes enhanced connection establishment options to the NIC.")
        .default(&[(v(2, 23, 4), "1")])
        .on(&[Infiniband, Roce])
        .hazards(&["A fabric whose ECE is configured wrongly gets slow."])
        .search(&["0", "1"])
        .source("src/transport/net_ib/connect.cc")
        .documented(),
    Knob::new("NCCL_IB_FIFO_TC", KnobClass::PerProcess, integer(0, 255))
        .does("Traffic class of control messages; unset: that of NCCL_IB_TC.")
        .default(&[(v(2, 22, 3), "0"), (v(2, 24, 3), "unset")])
        .automatic(-1)
        .on(&[Roce])
        .with(&["NCCL_IB_TC"])
        .source("src/transport/net_ib/connect.cc")
        .documented(),
    Knob::new("NCCL_IB_GDR_LEVEL", KnobClass::PerProcess, integer(0, 4))
        .does("Name of NCCL_NET_GDR_LEVEL before 2.4.")
        .default(&[(v(2, 3, 5), "unset")])
        .removed_after(v(2, 3, 7))
        .automatic(-2)
        .on(&[Infiniband, Roce])
        .superseded_by("NCCL_NET_GDR_LEVEL")
        .source("src/transport/net_ib.cu"),
    Knob::new("NCCL_IB_GID_INDEX", KnobClass::PerProcess, integer(0, ANY))
        .does("GID index in RoCE; unset: NCCL looks for one.")
        .default(&[(v(2, 3, 5), "0"), (v(2, 21, 5), "unset")])
        .automatic(-1)
        .on(&[Roce])
        .hazards(&[
            "The right index differs between hosts and drivers; a wrong one fails or uses RoCE v1.",
        ])
        .with(&[
            "NCCL_IB_ADDR_FAMILY",
            "NCCL_IB_ADDR_RANGE",
            "NCCL_IB_ROCE_VERSION_NUM",
        ])
        .source("src/transport/net_ib/connect.cc")
        .documented(),
    Knob::new(
        "NCCL_IB_HCA",
        KnobClass::PerProcess,
        Domain::Text("NIC names with optional port: [^][=]mlx5_0:1,mlx5_1"),
    )
    .does("NICs to use; a name is a prefix unless the list starts with =.")
    .default(&[(v(2, 3, 5), "unset")])
    .on(&[Infiniband, Roce])
    .hazards(&["Without = mlx5_1 also matches mlx5_10 to mlx5_19."])
    .with(&["NCCL_NET_MERGE_LEVEL", "NCCL_IB_DISABLE"])
    .source("src/transport/net_ib/init.cc")
    .documented(),
    Knob::new("NCCL_IB_MERGE_NICS", KnobClass::PerProcess, Domain::Switch)
        .does("Merges the ports of a dual-port NIC into one.")
        .default(&[(v(2, 20, 3), "1")])
        .on(&[Infiniband, Roce])
        .with(&["NCCL_NET_MERGE_LEVEL", "NCCL_NET_FORCE_MERGE"])
        .search(&["0", "1"])
        .source("src/transport/net_ib/init.cc")
        .documented(),
    Knob::new("NCCL_IB_MERGE_VFS", KnobClass::PerProcess, Domain::Switch)
        .does("Treats virtual functions of one NIC as one.")
        .default(&[(v(2, 18, 1), "1")])
        .on(&[Infiniband, Roce])
        .source("src/transport/net_ib/init.cc"),
    Knob::new(
        "NCCL_IB_MQP_RETRY_ALL",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Retries a queue-pair change on every error, not only on time-outs.")
    .default(&[(v(2, 24, 3), "0")])
    .on(&[Infiniband, Roce])
    .with(&["NCCL_IB_MQP_RETRY_CNT"])
    .source("src/misc/ibvwrap.cc"),
    Knob::new(
        "NCCL_IB_MQP_RETRY_CNT",
        KnobClass::PerProcess,
        integer(0, ANY),
    )
    .does("Retries of a queue-pair change.")
    .default(&[(v(2, 24, 3), "34")])
    .on(&[Infiniband, Roce])
    .with(&["NCCL_IB_MQP_RETRY_SLEEP_MSEC"])
    .source("src/misc/ibvwrap.cc"),
    Knob::new(
        "NCCL_IB_MQP_RETRY_SLEEP_MSEC",
        KnobClass::PerProcess,
        integer(0, ANY),
    )
    .does("Milliseconds between those retries.")
    .default(&[(v(2, 24, 3), "100")])
    .on(&[Infiniband, Roce])
    .with(&["NCCL_IB_MQP_RETRY_CNT"])
    .source("src/misc/ibvwrap.cc"),
    Knob::new("NCCL_IB_OOO_RQ", KnobClass::PerProcess, Domain::Switch)
        .does("Lets receive work requests complete out of order.")
        .default(&[(v(2, 30, 3), "0")])
        .on(&[Infiniband, Roce])
        .hazards(&["Overrides matching, pre-posting and the adaptive-routing threshold."])
        .with(&[
            "NCCL_IB_RECEIVER_SIDE_MATCHING_SCHEME",
            "NCCL_IB_PREPOST_RECEIVE_WORK_REQUESTS",
            "NCCL_IB_AR_THRESHOLD",
        ])
        .search(&["0", "1"])
        .source("src/transport/net_ib/init.cc")
        .documented(),
    Knob::new(
        "NCCL_IB_PCI_RELAXED_ORDERING",
        KnobClass::PerProcess,
        integer(0, 2),
    )
    .does("PCIe relaxed ordering: 0 off, 1 on or fail, 2 where available.")
    .default(&[(v(2, 12, 7), "2")])
    .on(&[Infiniband, Roce])
    .search(&["0", "2"])
    .source("src/transport/net_ib/init.cc")
    .documented(),
    Knob::new("NCCL_IB_PKEY", KnobClass::PerProcess, integer(0, 65_535))
        .does("Index into the port's partition-key table (not the key).")
        .default(&[(v(2, 8, 3), "0")])
        .on(&[Infiniband])
        .hazards(&["It is an index: a key such as 0x8001 fails."])
        .source("src/transport/net_ib/connect.cc"),
    Knob::new(
        "NCCL_IB_PREPOST_RECEIVE_WORK_REQUESTS",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Posts receive work requests ahead.")
    .default(&[(v(2, 29, 7), "0"), (v(2, 30, 3), "unset")])
    .automatic(-2)
    .on(&[Infiniband, Roce])
    .with(&["NCCL_IB_OOO_RQ", "NCCL_IB_RESILIENCY_PORT_FAILOVER"])
    .source("src/transport/net_ib/common.cc"),
    Knob::new(
        "NCCL_IB_QPS_PER_CONNECTION",
        KnobClass::PerProcess,
        integer(1, 128),
    )
    .does("Queue pairs per connection: more give path entropy on multi-level fabrics.")
    .default(&[(v(2, 10, 3), "1")])
    .on(&[Infiniband, Roce])
    .with(&["NCCL_IB_SPLIT_DATA_ON_QPS"])
    .search(&["1", "2", "4", "8"])
    .source("src/transport/net_ib/connect.cc")
    .documented(),
    Knob::new(
        "NCCL_IB_QUERY_PORT_SPEED",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Asks the driver for the port's effective speed.")
    .default(&[(v(2, 30, 7), "1")])
    .on(&[Infiniband, Roce])
    .source("src/misc/ibvwrap.cc"),
    Knob::new(
        "NCCL_IB_RECEIVER_SIDE_MATCHING_SCHEME",
        KnobClass::PerProcess,
        integer(0, 1),
    )
    .does("How receives are matched: 0 by index, 1 by id.")
    .default(&[(v(2, 29, 7), "0"), (v(2, 30, 3), "unset")])
    .automatic(-2)
    .on(&[Infiniband, Roce])
    .with(&["NCCL_IB_OOO_RQ", "NCCL_IB_RESILIENCY_PORT_FAILOVER"])
    .source("src/transport/net_ib/p2p.cc"),
    Knob::new("NCCL_IB_RETRY_CNT", KnobClass::PerProcess, integer(0, 7))
        .does("Verbs retries before an error.")
        .default(&[(v(2, 3, 5), "7")])
        .on(&[Infiniband, Roce])
        .outside("the field has three bits")
        .with(&["NCCL_IB_TIMEOUT"])
        .source("src/transport/net_ib/connect.cc")
        .documented(),
    Knob::new(
        "NCCL_IB_RETURN_ASYNC_EVENTS",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Stops on fatal asynchronous verbs events.")
    .default(&[(v(2, 23, 4), "1")])
    .on(&[Infiniband, Roce])
    .source("src/transport/net_ib/common.cc")
    .documented(),
    Knob::new(
        "NCCL_IB_ROCE_VERSION_NUM",
        KnobClass::PerProcess,
        integer(1, 2),
    )
    .does("RoCE version of the GID NCCL looks for.")
    .default(&[(v(2, 21, 5), "2")])
    .on(&[Roce])
    .with(&["NCCL_IB_GID_INDEX"])
    .source("src/transport/net_ib/connect.cc")
    .documented(),
    Knob::new(
        "NCCL_IB_ROUTABLE_FLID_GID_INDEX",
        KnobClass::PerProcess,
        integer(0, ANY),
    )
    .does("GID index that may hold a routable FLID.")
    .default(&[(v(2, 22, 3), "1")])
    .on(&[Infiniband])
    .source("src/transport/net_ib/connect.cc"),
    Knob::new("NCCL_IB_SL", KnobClass::PerProcess, integer(0, 15))
        .does("InfiniBand service level.")
        .default(&[(v(2, 3, 5), "0")])
        .automatic(-1)
        .on(&[Infiniband, Roce])
        .with(&["NCCL_IB_TC", "NCCL_IB_ADAPTIVE_ROUTING"])
        .source("src/transport/net_ib/connect.cc")
        .documented(),
    Knob::new(
        "NCCL_IB_SPLIT_DATA_ON_QPS",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("1 splits each message over all queue pairs, 0 sends them in turn.")
    .default(&[(v(2, 18, 1), "1"), (v(2, 20, 3), "0")])
    .on(&[Infiniband, Roce])
    .hazards(&["1 costs latency with many queue pairs."])
    .with(&["NCCL_IB_QPS_PER_CONNECTION"])
    .search(&["0", "1"])
    .source("src/transport/net_ib/common.cc")
    .documented(),
    Knob::new(
        "NCCL_IB_SUBNET_AWARE_ROUTING",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Connects NICs of one subnet on fabrics with several.")
    .default(&[(v(2, 30, 7), "0")])
    .on(&[Roce])
    .with(&["NCCL_IB_SUBNET_PREFIX_LEN"])
    .source("src/transport/net_ib/connect.cc"),
    Knob::new(
        "NCCL_IB_SUBNET_PREFIX_LEN",
        KnobClass::PerProcess,
        integer(0, 128),
    )
    .does("Prefix bits that make a subnet.")
    .default(&[(v(2, 30, 7), "24")])
    .on(&[Roce])
    .with(&["NCCL_IB_SUBNET_AWARE_ROUTING"])
    .source("src/transport/net_ib/connect.cc"),
    Knob::new("NCCL_IB_TC", KnobClass::PerProcess, integer(0, 255))
        .does("Traffic class (on RoCE DSCP x 4).")
        .default(&[(v(2, 3, 5), "0")])
        .automatic(-1)
        .on(&[Infiniband, Roce])
        .hazards(&["On RoCE it must match the lossless class of the switches."])
        .with(&["NCCL_IB_FIFO_TC", "NCCL_IB_SL"])
        .source("src/transport/net_ib/connect.cc")
        .documented(),
    Knob::new("NCCL_IB_TIMEOUT", KnobClass::PerProcess, integer(1, 31))
        .does("Verbs timeout: 4.096 us x 2^value.")
        .default(&[(v(2, 3, 5), "14"), (v(2, 14, 3), "18"), (v(2, 23, 4), "20")])
        .on(&[Infiniband, Roce])
        .outside("0, and 32 and above, mean no timeout at all: a lost peer hangs the job")
        .hazards(&["Too short fails on congested large fabrics (completion error 12)."])
        .with(&["NCCL_IB_RETRY_CNT"])
        .source("src/transport/net_ib/connect.cc")
        .documented(),
    Knob::new("NCCL_IB_USE_INLINE", KnobClass::PerProcess, Domain::Switch)
        .does("Sends control messages inline.")
        .default(&[(v(2, 8, 3), "0")])
        .on(&[Infiniband, Roce])
        .search(&["0", "1"])
        .source("src/transport/net_ib/connect.cc"),
    Knob::new(
        "NCCL_IB_WARN_RAIL_LOCAL",
        KnobClass::PerProcess,
        Domain::Switch,
    )
    .does("Warns when a connection leaves its rail.")
    .default(&[(v(2, 24, 3), "0")])
    .on(&[Infiniband, Roce])
    .source("src/transport/net_ib/connect.cc"),
];
