//! Specifications of workloads and clusters: everything that ships can be read, everything wrong is
//! shown with its place, and the JSON Schemas are those of the types.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use ccl_core::{CLUSTERS, ClusterSpec, Collective, SchemaOf, WorkloadSpec};
use proptest::prelude::*;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files with this ending in a folder and those below, sorted.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn every_workload_that_ships_can_be_read() {
    let files = files("workload", "json");
    assert!(files.len() >= 9, "{}", files.len());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let spec = WorkloadSpec::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        assert_eq!(file.file_stem().unwrap().to_str(), Some(spec.name.as_str()));
        // Either it can run or it can be simulated.
        assert!(
            !spec.command.is_empty() || spec.traffic.is_some(),
            "{}",
            spec.name
        );
        let again = WorkloadSpec::parse(&serde_json::to_string(&spec).unwrap()).unwrap();
        assert_eq!(again, spec);
    }
}

#[test]
fn every_cluster_file_is_in_the_catalogue() {
    let files = files("cluster", "toml");
    let names: Vec<&str> = CLUSTERS.iter().map(|(name, _)| *name).collect();
    assert!(names.len() >= 14 && names.is_sorted());
    let stems: Vec<_> = files
        .iter()
        .map(|f| f.file_stem().unwrap().to_str().unwrap())
        .collect();
    let mut sorted = stems.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, names);
    for (name, text) in CLUSTERS {
        let file = root().join(format!("cluster/{name}.toml"));
        assert_eq!(fs::read_to_string(file).unwrap(), text, "{name}");
        let spec = ClusterSpec::parse(text).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(spec.name, name);
        let again = ClusterSpec::parse(&toml::to_string(&spec).unwrap()).unwrap();
        assert_eq!(again, spec, "{name}");
    }
}

/// What is replaced, by what, the line and column of the complaint, and words of it. The place is
/// that of the value, or of what should hold it.
type Case<'a> = (&'a str, &'a str, usize, usize, &'a [&'a str]);

/// A workload to break: each case replaces a part of it.
const WORKLOAD: &str = r#"{
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

const WORKLOADS: &[Case] = &[
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
        &["traffic.phases[0].compute.ms is -1.5", "0 or more"],
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
        &["traffic.phases[1].calls[1].bytes is 0", "1 or more"],
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

/// Breaks a text in every way and holds the complaints against the table.
fn complaints(good_text: &str, cases: &[Case], parse: impl Fn(&str) -> Option<String>) {
    assert_eq!(parse(good_text), None);
    let mut wrong = Vec::new();
    for (good, bad, line, column, words) in cases {
        assert!(good_text.contains(good), "{good}");
        let said = parse(&good_text.replacen(good, bad, 1)).unwrap_or_default();
        let place = format!("line {line}, column {column}: ");
        if !said.starts_with(&place) || !words.iter().all(|word| said.contains(word)) {
            wrong.push(format!("{bad}: {said}, not {place}{words:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_bad_workload_says_where_and_what_was_expected() {
    let said = |text: &str| WorkloadSpec::parse(text).err().map(|e| e.to_string());
    complaints(WORKLOAD, WORKLOADS, said);
}

/// A cluster to break in the same way.
const CLUSTER: &str = r#"name = "é"
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

const CLUSTER_CASES: &[Case] = &[
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

#[test]
fn a_bad_cluster_says_where_and_what_was_expected() {
    let said = |text: &str| ClusterSpec::parse(text).err().map(|e| e.to_string());
    complaints(CLUSTER, CLUSTER_CASES, said);
    let start = CLUSTER.find("[network]").unwrap();
    let end = CLUSTER.find("[hardware]").unwrap();
    let alone = format!("{}{}", &CLUSTER[..start], &CLUSTER[end..]);
    let said = ClusterSpec::parse(&alone).unwrap_err().to_string();
    assert!(said.contains("expected a [network] section"), "{said}");
    ClusterSpec::parse(&alone.replace("nodes = 4", "nodes = 1")).unwrap();
}

/// Line and column of an error message, from its words.
fn place(message: &str) -> Option<(usize, usize)> {
    let (line, rest) = message.strip_prefix("line ")?.split_once(", column ")?;
    let (column, _) = rest.split_once(": ")?;
    Some((line.parse().ok()?, column.parse().ok()?))
}

proptest! {
    /// Whatever part is lost, doubled or overwritten: no panic, and a place inside the text.
    #[test]
    fn a_damaged_specification_is_read_or_refused_with_a_place(
        start in 0.0..1.0, length in 0_usize..40, put in "[0-9a-zé{}\\[\\],:\"=.\\\\ -]{0,6}",
    ) {
        let damaged = |text: &str| {
            let letters: Vec<char> = text.chars().collect();
            let from = (start * letters.len() as f64) as usize;
            let to = (from + length).min(letters.len());
            let kept = |part: &[char]| part.iter().collect::<String>();
            format!("{}{put}{}", kept(&letters[..from]), kept(&letters[to..]))
        };
        let (workload, cluster) = (damaged(WORKLOAD), damaged(CLUSTER));
        let errors = [
            (&workload, WorkloadSpec::parse(&workload).err().map(|e| e.to_string())),
            (&cluster, ClusterSpec::parse(&cluster).err().map(|e| e.to_string())),
        ];
        for (text, message) in errors {
            let Some(message) = message else { continue };
            let (line, column) = place(&message).expect(&message);
            let width = text.split('\n').nth(line - 1).expect(&message).chars().count();
            prop_assert!((1..=width + 1).contains(&column), "{} of {}", message, width);
        }
    }
}

#[test]
fn the_committed_schemas_are_those_of_the_types() {
    for of in SchemaOf::ALL {
        let word = of.word();
        let file = root().join(format!("doc/reference/schema/{word}.json"));
        let committed: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        assert!(
            committed == of.schema(),
            "{} is stale: ccl-agent schema {word} > doc/reference/schema/{word}.json",
            file.display()
        );
    }
}

/// That the schema speaks the names that the reader accepts, for the enum that people type most.
#[test]
fn the_schema_has_the_collectives_as_they_are_read() {
    let schema = SchemaOf::Workload.schema().to_string();
    for collective in Collective::ALL {
        assert!(
            schema.contains(&format!("{:?}", collective.name())),
            "{}",
            collective.name()
        );
    }
    for closed in ["WorkloadSpec", "TrafficCall"] {
        let value = SchemaOf::Workload.schema();
        let part = value["$defs"].get(closed).unwrap_or(&value);
        assert_eq!(part["additionalProperties"], false, "{closed}");
    }
}
