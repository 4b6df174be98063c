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

#[path = "specs/broken.rs"]
mod broken;
use broken::{CLUSTER, CLUSTER_CASES, WORKLOAD, WORKLOAD_CASES};

/// What is replaced, by what, the line and column of the complaint, and words of it. The place is
/// that of the value, or of what should hold it.
type Case<'a> = (&'a str, &'a str, usize, usize, &'a [&'a str]);

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
    complaints(WORKLOAD, WORKLOAD_CASES, said);
}

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
