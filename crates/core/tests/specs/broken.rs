//! Specifications to break, and what must be said about each break.

use super::Case;

/// A workload to break: each case replaces a part of it.
pub const WORKLOAD: &str = r#"{
  "name": "é", "nodes": 2,
  "gpus_per_node": 8,
  "traffic": {
    "reference_gpus": 16,
    "phases": [
      {"name": "one", "compute": {"ms": 1.5}, "calls": []},
      {"name": "two", "compute": {"tflop": 3.0, "utilization": 0.4, "sm_fraction": 0.5},
       "calls": [
         {"collective": "AllReduce", "bytes": 4096, "placement": "all", "count": 2, "overlap": "exposed"},
         {"collective": "AllGather", "bytes": 8192, "group_size": 4, "placement": "packed", "count": 3, "overlap": "overlapped"}
       ]}
    ]
  }
}
"#;

pub const WORKLOAD_CASES: &[Case] = &[
    (
        "\"é\"",
        "\"a/b\"",
        2,
        11,
        &["name is \"a/b\"", "without slashes"],
    ),
    (
        "\"nodes\": 2",
        "\"nodes\": 0",
        2,
        25,
        &["nodes is 0", "1 to 1000000"],
    ),
    (
        "\"nodes\": 2",
        "\"nodes\": 4000000000",
        2,
        25,
        &["1 to 1000000"],
    ),
    (
        "\"nodes\": 2",
        "\"nodes\": \"2\"",
        2,
        25,
        &["nodes", "expected u32"],
    ),
    (
        "\"nodes\": 2",
        "\"nods\": 2",
        2,
        24,
        &["unknown field `nods`", "`nodes`"],
    ),
    (
        "\"gpus_per_node\": 8,",
        "",
        1,
        1,
        &["missing field `gpus_per_node`"],
    ),
    (
        "16",
        "0",
        5,
        23,
        &["traffic.reference_gpus is 0", "1 or more"],
    ),
    (
        "{\"ms\": 1.5}",
        "{}",
        7,
        34,
        &["traffic.phases[0].compute", "either ms, or tflop"],
    ),
    (
        "1.5",
        "-1.5",
        7,
        41,
        &["traffic.phases[0].compute.ms is -1.5", "0 to 1000000000"],
    ),
    (
        "\"utilization\": 0.4, ",
        "",
        8,
        34,
        &["phases[1].compute", "either ms, or tflop"],
    ),
    (
        "0.4",
        "1.4",
        8,
        64,
        &["utilization is 1.4", "above 0, to 1"],
    ),
    ("0.5", "50", 8, 84, &["sm_fraction is 50", "0 to 1"]),
    (
        "8192",
        "0",
        11,
        47,
        &["traffic.phases[1].calls[1].bytes is 0", "1 to 2^50"],
    ),
    (
        "\"count\": 3",
        "\"count\": -3",
        11,
        102,
        &["calls[1].count is -3", "above 0"],
    ),
    (
        "\"group_size\": 4, ",
        "",
        11,
        66,
        &["group_size beside packed"],
    ),
    (
        "\"AllGather\"",
        "\"AllGathers\"",
        11,
        25,
        &["AllGathers", "AllGather"],
    ),
    (
        "\"overlapped\"",
        "\"hidden\"",
        11,
        116,
        &["unknown variant `hidden`", "`exposed`"],
    ),
    ("    ]\n", "\n", 14, 3, &["expected"]),
];

/// A cluster to break in the same way.
pub const CLUSTER: &str = r#"name = "é"
nodes = 4
gpus_per_node = 8
nccl_version = "2.27.3"
gpu = { model = "H100", compute_capability = 90, sms = 132, memory_gbs = 3350.0, bf16_tflops = 989.0 }
cpu = { vendor = "intel", sockets = 2 }

[intra]
link = "nv-switch"
nvlink_gbs = 450.0

[pcie]
generation = 5
lanes = 16
peer_to_peer = true

[network]
fabric = "infiniband"
nics_per_node = 8
nic_gbits = 400.0
latency_us = 1.5
gpu_direct = true

[hardware]
launch_us = 4.5
channel_gbs = [1.0, 2.0, 3.0]
"#;

pub const CLUSTER_CASES: &[Case] = &[
    (
        "nodes = 4",
        "nodes = 0",
        2,
        9,
        &["nodes is 0", "1 to 1000000"],
    ),
    ("nodes = 4", "nodes = -4", 2, 9, &["-4", "u32"]),
    ("nodes = 4", "nodes = 4 4", 2, 9, &["expected"]),
    (
        "nodes = 4",
        "node = 4",
        2,
        1,
        &["unknown field `node`", "`nodes`"],
    ),
    (
        "\"2.27.3\"",
        "\"new\"",
        4,
        16,
        &["not an NCCL version", "write 2.30.7"],
    ),
    ("sms = 132", "sms = 0", 5, 56, &["gpu.sms is 0", "above 0"]),
    (
        "989.0",
        "nan",
        5,
        96,
        &["gpu.bf16_tflops is NaN", "above 0"],
    ),
    (
        "\"nv-switch\"",
        "\"switch\"",
        9,
        8,
        &["unknown variant `switch`", "`nv-switch`"],
    ),
    (
        "450.0",
        "-1.0",
        10,
        14,
        &["intra.nvlink_gbs is -1", "0 or more"],
    ),
    (
        "generation = 5",
        "generation = 9",
        13,
        14,
        &["pcie.generation is 9", "3 to 6"],
    ),
    (
        "nic_gbits = 400.0",
        "nic_gbits = inf",
        20,
        13,
        &["network.nic_gbits is inf", "above 0"],
    ),
    (
        "latency_us = 1.5",
        "latency_us = -1.5",
        21,
        14,
        &["network.latency_us is -1.5"],
    ),
    (
        "4.5",
        "-4.5",
        25,
        13,
        &["hardware.launch_us is -4.5", "0 or more"],
    ),
    (
        "2.0, 3.0",
        "0.0, 3.0",
        26,
        15,
        &["hardware.channel_gbs is 0", "above 0"],
    ),
    ("lanes = 16\n", "", 12, 1, &["missing field `lanes`"]),
];
