//! Bad specifications as a user meets them, and `ccl-agent schema`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn ccl_agent(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("ccl-agent").unwrap();
    command.current_dir(root()).args(arguments);
    command
}

/// What a command that must fail as bad input says, without the wrapping of the report.
fn refused(arguments: &[&str]) -> String {
    let output = ccl_agent(arguments).assert().code(2).get_output().clone();
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    let words = said.split_whitespace().filter(|w| *w != "│");
    words.collect::<Vec<_>>().join(" ")
}

/// Writes a file into a new folder and gives its path, which has no blanks.
fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    path.into_os_string().into_string().unwrap()
}

#[test]
fn a_bad_workload_is_shown_with_file_line_column_and_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let good = fs::read_to_string(root().join("workload/autoccl/phi2-2b.json")).unwrap();
    let artifacts = folder.path().join("runs");
    let said = |text: &str| {
        let path = file(&folder, "w.json", text);
        let run = [
            "tune",
            "--dry-run",
            "--cluster",
            "a40-pcie-8gpu",
            "--provider",
            "none",
        ];
        let run = [
            &run[..],
            &[
                "--workload",
                &path,
                "--artifacts",
                artifacts.to_str().unwrap(),
            ],
        ];
        let said = refused(&run.concat());
        assert!(said.contains("w.json"), "{said}");
        said
    };
    let lines: Vec<&str> = good.lines().collect();
    let at = lines.iter().position(|l| l.contains("\"nodes\"")).unwrap();
    let column = lines[at].find(':').unwrap() + 3;
    let broken = format!(
        "{}\n  \"nodes\": 0,\n{}",
        lines[..at].join("\n"),
        lines[at + 1..].join("\n")
    );
    let place = format!(
        "line {}, column {}: nodes is 0; expected 1 to",
        at + 1,
        column
    );
    assert!(said(&broken).contains(&place), "{}", said(&broken));
    assert!(said("{\n \"name\": \n").contains("line"), "{}", said("{\n"));
    assert!(said("").contains("line 1, column 1"), "{}", said(""));
    assert!(
        said("[]").contains("expected a JSON object"),
        "{}",
        said("[]")
    );
    assert!(!artifacts.exists(), "something was written");
}

#[test]
fn a_bad_cluster_is_shown_with_file_line_column_and_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let good = fs::read_to_string(root().join("cluster/dgx-h100.toml")).unwrap();
    let said = |text: &str| {
        let path = file(&folder, "c.toml", text);
        let said = refused(&["knobs", "list", "--platform", &path]);
        assert!(said.contains("c.toml"), "{said}");
        said
    };
    let broken = good.replace("generation = 5", "generation = 2");
    let line = broken.lines().position(|l| l == "generation = 2").unwrap() + 1;
    let place = format!("line {line}, column 14: pcie.generation is 2; expected 3 to 6");
    assert!(said(&broken).contains(&place), "{}", said(&broken));
    let broken = good.replace("gpus_per_node", "gpu_per_node");
    assert!(
        said(&broken).contains("unknown field `gpu_per_node`"),
        "{}",
        said(&broken)
    );
    assert!(
        said("").contains("line 1, column 1: missing field"),
        "{}",
        said("")
    );
    assert!(refused(&["knobs", "list", "--platform", "missing.toml"]).contains("cannot read"));
}

#[test]
fn the_schemas_are_printed_as_committed() {
    let printed = |arguments: &[&str]| {
        let output = ccl_agent(&[&["schema"], arguments].concat())
            .assert()
            .success()
            .get_output()
            .clone();
        String::from_utf8(output.stdout).unwrap()
    };
    let all: Value = serde_json::from_str(&printed(&[])).unwrap();
    let names = ["workload", "cluster", "trace", "observe"];
    assert_eq!(all.as_object().unwrap().keys().collect::<Vec<_>>(), names);
    for name in names {
        let committed =
            fs::read_to_string(root().join(format!("doc/reference/schema/{name}.json"))).unwrap();
        assert!(
            printed(&[name]) == committed,
            "doc/reference/schema/{name}.json is stale: ccl-agent schema {name} > doc/reference/schema/{name}.json"
        );
        let schema: Value = serde_json::from_str(&committed).unwrap();
        assert_eq!(schema, all[name]);
        assert_eq!(
            schema["$schema"],
            "https://json-schema.org/draft/2020-12/schema"
        );
    }
    refused(&["schema", "knobs"]);
}
