//! `ccl-agent tune` as a user meets it: results, artifacts, and every kind of bad input.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn ccl_agent() -> Command {
    let mut command = Command::cargo_bin("ccl-agent").unwrap();
    // A port where nobody listens: no test depends on a model server being there or not.
    command
        .current_dir(root())
        .env("OLLAMA_HOST", "127.0.0.1:9");
    command
}

fn tune(workload: &str, artifacts: &Path) -> Command {
    let mut command = ccl_agent();
    command.args(["tune", "--workload", workload, "--cluster", "a40-pcie-8gpu"]);
    command.arg("--artifacts").arg(artifacts);
    command
}

/// Runs what must fail as bad input; gives what it said. Nothing may lie in the folder then.
fn refused(command: &mut Command, artifacts: &Path) -> String {
    let output = command.assert().code(2).get_output().clone();
    assert!(output.stdout.is_empty(), "a result on stdout");
    let left = fs::read_dir(artifacts).map_or(0, Iterator::count);
    assert_eq!(left, 0, "something was written");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("panicked"), "{said}");
    // Undo the wrapping of the report.
    said.split_whitespace()
        .filter(|w| *w != "│")
        .collect::<Vec<_>>()
        .join(" ")
}

const PHI2: &str = "workload/autoccl/phi2-2b.json";

#[test]
fn a_run_gives_the_contract_and_a_complete_folder() {
    let artifacts = tempfile::tempdir().unwrap();
    let run = || {
        let output = tune(PHI2, artifacts.path())
            .args(["--dry-run", "--oracle", "--json", "--seed", "3"])
            .assert()
            .success()
            .get_output()
            .clone();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let (first, second) = (run(), run());
    assert_eq!(first["source"], "simulated");
    assert_eq!(first["verdict"], "faster");
    assert!(first["speedup"]["ci95"][0].as_f64().unwrap() > 1.0);
    assert!(first["oracle"]["captured"].as_f64().unwrap() >= 0.8);
    assert_eq!(first["llm"]["provider"], "ollama");
    assert_eq!(first["llm"]["model"], "deepseek-r1:8b");
    assert_eq!(
        (&first["llm"]["calls"], &first["llm"]["failed"]),
        (&1.into(), &1.into())
    );
    for key in [
        "run_id",
        "workload",
        "cluster",
        "nccl_version",
        "seed",
        "baseline",
        "best",
        "trials",
        "refused",
        "rolled_back",
        "tuning_cost",
        "lanes",
        "warm_start",
        "stopped_because",
    ] {
        assert!(!first[key].is_null(), "no {key}");
    }

    let folder = |summary: &Value| artifacts.path().join(summary["run_id"].as_str().unwrap());
    let read = |summary: &Value, name: &str| fs::read(folder(summary).join(name)).unwrap();
    for name in [
        "run.json",
        "workload.json",
        "cluster.toml",
        "memory.json",
        "trace.jsonl",
        "decisions.jsonl",
        "refused.jsonl",
        "llm/0001.json",
        "best/configuration.json",
        "summary.json",
    ] {
        assert!(folder(&first).join(name).exists(), "no {name}");
    }
    assert_eq!(
        read(&first, "decisions.jsonl"),
        read(&second, "decisions.jsonl")
    );
    assert_eq!(
        read(&first, "workload.json"),
        fs::read(root().join(PHI2)).unwrap()
    );
    let summary: Value = serde_json::from_slice(&read(&first, "summary.json")).unwrap();
    assert_eq!(summary, first);
    let exchange: Value = serde_json::from_slice(&read(&first, "llm/0001.json")).unwrap();
    assert!(
        exchange["request"]["messages"][1]["text"]
            .as_str()
            .unwrap()
            .contains("AllGather")
    );
    for line in String::from_utf8(read(&first, "trace.jsonl"))
        .unwrap()
        .lines()
    {
        serde_json::from_str::<ccl_core::TraceLine>(line).unwrap();
    }
    let memory = artifacts.path().join("memory/memory.sqlite");
    assert!(memory.exists());
}

#[test]
fn variables_that_help_are_tried_where_restarts_are_allowed_and_written_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(root().join("workload/demo/allreduce-8gpu.json")).unwrap();
    let mut job: Value = serde_json::from_str(&text).unwrap();
    job["env"]["NCCL_NVLS_ENABLE"] = "0".into();
    let workload = folder.path().join("job.json");
    fs::write(&workload, job.to_string()).unwrap();
    let artifacts = folder.path().join("artifacts");
    let mut command = ccl_agent();
    command
        .args(["tune", "--dry-run", "--json", "--provider", "none"])
        .args(["--cluster", "dgx-h100", "--restarts", "7", "--workload"])
        .arg(&workload)
        .arg("--artifacts")
        .arg(&artifacts);
    let output = command.assert().success().get_output().clone();
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["verdict"], "faster");
    let best = &summary["best"]["configuration"];
    assert_eq!(best["environment"]["NCCL_NVLS_ENABLE"], "2");
    let restarts = summary["tuning_cost"]["restarts"].as_u64().unwrap();
    assert!((5..=7).contains(&restarts), "{restarts}");
    let run = artifacts.join(summary["run_id"].as_str().unwrap());
    let file = fs::read_to_string(run.join("best/variables.env")).unwrap();
    assert!(file.ends_with("NCCL_NVLS_ENABLE=2\n"), "{file}");
    // The policy beside it can be used as well.
    assert!(run.join("best/policy.csv").exists());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("started again with NCCL_NVLS_ENABLE=2"),
        "{said}"
    );
}

#[test]
fn restarts_are_refused_where_nobody_can_make_them() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = folder.path().join("artifacts");
    let sweep = folder.path().join("sweep.csv");
    let sizes = (22..=28).map(|log2| 1_u64 << log2);
    let rows = sizes.flat_map(|bytes| {
        ["default,,300.0", "Ring,Simple,400.0"]
            .map(|ran| format!("B300,8,1,8,AllReduce,{bytes},{ran}\n"))
    });
    let header = "gpu,gpus_per_node,nodes,ranks,collective,bytes,algorithm,protocol,busbw_gbs\n";
    fs::write(&sweep, header.to_owned() + &rows.collect::<String>()).unwrap();
    let mut command = ccl_agent();
    command
        .args(["tune", "--testbed", "recorded", "--restarts", "5"])
        .args(["--workload", "workload/demo/allreduce-8gpu.json"])
        .args(["--cluster", "hgx-b300", "--data"])
        .arg(&sweep)
        .arg("--artifacts")
        .arg(&artifacts);
    let said = refused(&mut command, &artifacts);
    assert!(
        said.contains("the recorded testbed cannot start the job again"),
        "{said}"
    );
}

#[test]
fn a_run_with_memory_starts_from_what_was_learnt() {
    let artifacts = tempfile::tempdir().unwrap();
    let memory = artifacts.path().join("memory");
    tune(PHI2, artifacts.path())
        .args(["--dry-run", "--json"])
        .assert()
        .success();
    let output = tune(PHI2, artifacts.path())
        .args(["--dry-run", "--json", "--seed", "2", "--memory"])
        .arg(&memory)
        .assert()
        .success()
        .get_output()
        .clone();
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(summary["warm_start"]["rules"].as_u64().unwrap() >= 1);
    assert_eq!(summary["warm_start"]["surrogate"], true);
    let run = artifacts.path().join(summary["run_id"].as_str().unwrap());
    let heard: Value = serde_json::from_slice(&fs::read(run.join("memory.json")).unwrap()).unwrap();
    for name in ["rules", "scores", "surrogates"] {
        assert!(!heard[name].as_array().unwrap().is_empty(), "{name}");
    }
}

/// One call of every size of the demo, recorded on a machine that is a hundred times too slow.
#[test]
fn a_broken_machine_is_diagnosed_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut sweep = "dataset,gpu,gpus_per_node,nodes,ranks,intra,network,nccl,collective,bytes,algorithm,\
                     protocol,channels,threads,chunk_bytes,settings,concurrent_compute,time_us,busbw_gbs,\
                     source\n"
        .to_owned();
    for shift in 22..=28 {
        let bytes: u64 = 1 << shift;
        for algorithm in ["default", "Ring"] {
            sweep.push_str(&format!(
                "x,B300,8,1,8,NVLink5,none,2.29.7,AllReduce,{bytes},{algorithm},,,,,,,{},,x\n",
                bytes / 1000
            ));
        }
    }
    let data = folder.path().join("sweep.csv");
    fs::write(&data, sweep).unwrap();
    let artifacts = folder.path().join("artifacts");
    let mut command = ccl_agent();
    command.args(["tune", "--workload", "workload/demo/allreduce-8gpu.json"]);
    command.args([
        "--testbed",
        "recorded",
        "--cluster",
        "hgx-b300",
        "--provider",
        "none",
    ]);
    command
        .arg("--data")
        .arg(&data)
        .arg("--artifacts")
        .arg(&artifacts);
    let output = command.arg("--json").assert().code(4).get_output().clone();
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["stopped_because"], "sla");
    assert_eq!(summary["verdict"], "no difference");
    assert_eq!(summary["trials"], 0);
    assert_eq!(summary["diagnosis"]["class"], "fault");
    let run = artifacts.join(summary["run_id"].as_str().unwrap());
    let written: Value =
        serde_json::from_slice(&fs::read(run.join("summary.json")).unwrap()).unwrap();
    assert_eq!(written, summary);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("1. peer-to-peer is off"), "{said}");
    assert!(said.contains("nothing was changed"), "{said}");
}

#[test]
fn bad_workloads_say_where_and_what() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = folder.path().join("artifacts");
    let good: Value = serde_json::from_slice(&fs::read(root().join(PHI2)).unwrap()).unwrap();
    let changed = |key: &str, value: Value| {
        let mut spec = good.clone();
        spec[key] = value;
        serde_json::to_string_pretty(&spec).unwrap()
    };
    let cases = [
        ("{\"name\": ", "line 1, column"),
        ("[]", "line 1, column"),
        (&changed("metadata", Value::Null), "metadata"),
        (&changed("nodes", (-4).into()), "nodes"),
        (&changed("nodes", 0.into()), "nodes"),
        (&changed("traffic", Value::Null), "traffic"),
        ("", "line 1, column"),
        (&changed("name", "x".repeat(300).into()), "name"),
        (
            &changed("env", serde_json::json!({"NCCL_IB_TC": "1"})),
            "does not model NCCL_IB_TC",
        ),
        (
            &changed(
                "traffic",
                serde_json::json!({"reference_gpus": 8, "phases": []}),
            ),
            "no collective",
        ),
    ];
    for (text, expected) in cases {
        let file = folder.path().join("workload.json");
        fs::write(&file, text).unwrap();
        let said = refused(
            tune(file.to_str().unwrap(), &artifacts).arg("--dry-run"),
            &artifacts,
        );
        assert!(said.contains("workload.json"), "{said}");
        assert!(said.contains(expected), "{text:.30}: {said}");
    }
    let said = refused(
        tune("nowhere.json", &artifacts).arg("--dry-run"),
        &artifacts,
    );
    assert!(
        said.contains("nowhere.json") && said.contains("No such file"),
        "{said}"
    );
}

#[test]
fn nothing_is_simulated_silently() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = folder.path().join("artifacts");
    let said = refused(&mut tune(PHI2, &artifacts), &artifacts);
    assert!(said.contains("command is empty"), "{said}");
    assert!(
        said.contains("give the workload a command") && said.contains("--dry-run"),
        "{said}"
    );
    for testbed in ["bench", "job"] {
        let said = refused(
            tune(PHI2, &artifacts).args(["--testbed", testbed]),
            &artifacts,
        );
        assert!(said.contains("not built yet"), "{said}");
    }
}

#[test]
fn bad_arguments_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = folder.path().join("artifacts");
    for (extra, expected) in [
        (["--testbed", "magic"], "magic"),
        (["--provider", "magic"], "magic"),
        (["--budget", "-1"], "-1"),
        (["--seed", "x"], "x"),
        (["--testbed", "recorded"], "--data"),
    ] {
        let said = refused(
            tune(PHI2, &artifacts).arg("--dry-run").args(extra),
            &artifacts,
        );
        assert!(said.contains(expected), "{extra:?}: {said}");
    }
    let mut unknown = ccl_agent();
    unknown.args([
        "tune",
        "--workload",
        PHI2,
        "--dry-run",
        "--cluster",
        "a40-pci",
    ]);
    let said = refused(unknown.arg("--artifacts").arg(&artifacts), &artifacts);
    assert!(
        said.contains("unknown cluster") && said.contains("a40-pcie-8gpu"),
        "{said}"
    );
    let mut none = ccl_agent();
    none.args(["tune", "--workload", PHI2, "--dry-run"]);
    let said = refused(none.arg("--artifacts").arg(&artifacts), &artifacts);
    assert!(said.contains("--cluster"), "{said}");
}

#[test]
fn an_artifacts_folder_that_cannot_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let said = refused(
        tune(PHI2, &file).arg("--dry-run"),
        &folder.path().join("none"),
    );
    assert!(said.contains("cannot write to"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "in the way");
}

#[test]
fn a_memory_that_cannot_be_opened_is_an_error_and_is_not_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = folder.path().join("artifacts");
    let file = folder.path().join("memory.sqlite");
    fs::write(&file, "no database, and longer than nothing").unwrap();
    let path = folder.path().to_str().unwrap();
    for (named, expected) in [
        (path, "file is not a database"),
        (
            "postgres://me:secret@127.0.0.1:1/team",
            "postgres://me@127.0.0.1:1/team",
        ),
        (
            "postgres://me:secret@127.0.0.1:1/team?sslmode=require",
            "connecting to server",
        ),
        ("mysql://me:secret@host/team", "mysql://..."),
    ] {
        let mut command = tune(PHI2, &artifacts);
        command.args(["--dry-run", "--memory", named]);
        let said = refused(&mut command, &artifacts);
        assert!(said.contains(expected), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
    let left = fs::read_to_string(&file).unwrap();
    assert_eq!(left, "no database, and longer than nothing");
}
