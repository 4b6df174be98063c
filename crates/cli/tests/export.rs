//! `ccl-agent export` as a user meets it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use assert_cmd::Command;

fn ccl_agent(args: &[&str], artifacts: &Path) -> Command {
    let mut command = Command::cargo_bin("ccl-agent").unwrap();
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    command.args(args).arg("--artifacts").arg(artifacts);
    command
}

fn tune(artifacts: &Path, seed: &str) -> String {
    let args = [
        "tune",
        "--workload",
        "workload/autoccl/phi2-2b.json",
        "--cluster",
        "a40-pcie-8gpu",
        "--dry-run",
        "--provider",
        "none",
        "--json",
        "--seed",
        seed,
    ];
    let output = ccl_agent(&args, artifacts)
        .assert()
        .success()
        .get_output()
        .clone();
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    summary["run_id"].as_str().unwrap().to_owned()
}

fn said(command: &mut Command) -> String {
    let output = command.assert().code(2).get_output().clone();
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_run_is_exported_by_the_beginning_of_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = folder.path();
    let run = tune(artifacts, "1");
    let export = |run: &str, format: &str| {
        ccl_agent(&["export", "--run", run, "--format", format], artifacts)
    };
    let output = export("phi2", "json")
        .assert()
        .success()
        .get_output()
        .clone();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!json["policy"].as_array().unwrap().is_empty());

    // What a form cannot hold is refused, with nothing written.
    let out = folder.path().join("policy.csv");
    let text = said(export(&run, "nccl-tuner-csv").arg("--out").arg(&out));
    assert!(
        text.contains("no column") && text.contains("json holds everything"),
        "{text}"
    );
    assert!(!out.exists());
    export(&run, "env")
        .arg("--out")
        .arg(&out)
        .assert()
        .success();
    assert!(
        std::fs::read_to_string(&out)
            .unwrap()
            .contains("per-call policy")
    );

    // Two runs that begin alike, none, and one that did not end.
    let other = tune(artifacts, "2");
    assert!(said(&mut export("phi2", "json")).contains("2 runs begin with"));
    assert!(said(&mut export("llama", "json")).contains("no run"));
    assert!(said(&mut export("", "json")).contains("no run"));
    assert!(said(&mut export(&run, "yaml")).contains("nccl-tuner-csv"));
    std::fs::remove_file(artifacts.join(&other).join("summary.json")).unwrap();
    assert!(said(&mut export(&other, "json")).contains("did not end"));
    assert!(
        said(&mut ccl_agent(
            &["export", "--run", "x", "--format", "env"],
            Path::new("/nowhere")
        ))
        .contains("cannot read /nowhere")
    );
}
