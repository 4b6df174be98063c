//! `ccl-agent knowledge training-set` on dry runs: rounds, a model's answers, what is taken out, what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use ccl_llm_fake::{Act, FakeServer, Seen, Wire};
use serde_json::{Value, json};

fn ccl_agent() -> Command {
    let mut command = Command::cargo_bin("ccl-agent").unwrap();
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    command.env("USER", "jane-doe");
    command
}

fn tune(artifacts: &Path, provider: &[&str]) {
    let mut command = ccl_agent();
    command
        .args([
            "tune",
            "--dry-run",
            "--workload",
            "workload/autoccl/phi2-2b.json",
        ])
        .args(["--cluster", "a40-pcie-8gpu", "--artifacts"])
        .arg(artifacts)
        .args(provider);
    command.assert().success();
}

fn training_set(artifacts: &Path) -> Command {
    let mut command = ccl_agent();
    command
        .args(["knowledge", "training-set", "--artifacts"])
        .arg(artifacts);
    command
}

fn lines(artifacts: &Path) -> (Vec<Value>, String) {
    let output = training_set(artifacts)
        .assert()
        .success()
        .get_output()
        .clone();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    (lines, String::from_utf8(output.stderr).unwrap())
}

fn only_run(artifacts: &Path) -> PathBuf {
    let folders = fs::read_dir(artifacts).unwrap().map(|e| e.unwrap().path());
    let mut runs = folders.filter(|f| f.join("run.json").exists());
    runs.next().unwrap()
}

#[test]
fn a_dry_run_becomes_lines_that_say_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    tune(folder.path(), &["--provider", "none"]);
    let (found, said) = lines(folder.path());
    assert!(!found.is_empty());
    let run = only_run(folder.path());
    let mut last = 0;
    for line in &found {
        assert_eq!(line["schema_version"], 1);
        assert_eq!(line["source"], "simulated");
        assert_eq!(line["run_id"], run.file_name().unwrap().to_str().unwrap());
        assert_eq!(line["situation"]["context"]["workload"], "phi2-2b");
        assert_eq!(line["decision"]["kind"], "round");
        assert!(line["nccl_version"].is_string() && line["outcome"]["run"]["verdict"].is_string());
        let sequence = line["sequence"].as_u64().unwrap();
        assert!(sequence > last);
        last = sequence;
    }
    assert!(said.contains("1 runs; taken out: nothing"), "{said}");
    // The same again, into a file.
    let out = folder.path().join("set.jsonl");
    training_set(folder.path())
        .arg("--run")
        .arg("phi2")
        .arg("--out")
        .arg(&out)
        .assert()
        .success();
    let written = fs::read_to_string(&out).unwrap();
    assert_eq!(written.lines().count(), found.len());

    // What belongs to a machine is taken out; a line that was being written is left out; one that was changed is not.
    let trace = run.join("trace.jsonl");
    let whole = fs::read_to_string(&trace).unwrap();
    let planted =
        r"read /home/jane-doe/job/topo.xml on jane-doe@node7 with api_key=hunter2 of jane-doe";
    let marked = whole.replacen(
        "\"statement\":\"",
        &format!("\"statement\":\"{planted}; "),
        1,
    );
    fs::write(&trace, format!("{marked}{{\"sequence\":99")).unwrap();
    let (clean, said) = lines(folder.path());
    assert_eq!(clean.len(), found.len());
    let text = serde_json::to_string(&clean).unwrap();
    for gone in ["jane-doe", "node7", "/home", "hunter2"] {
        assert!(!text.contains(gone), "{gone}");
    }
    assert_eq!(
        clean[0]["redacted"],
        json!({"address": 1, "key": 1, "name": 1, "path": 1})
    );
    assert!(said.contains("x path"), "{said}");
    fs::write(
        &trace,
        whole.replacen("\"event\":\"judged\"", "\"event\":\"guessed\"", 1),
    )
    .unwrap();
    let refused = training_set(folder.path())
        .assert()
        .code(2)
        .get_output()
        .clone();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        refused.stdout.is_empty() && said.contains("trace.jsonl: line"),
        "{said}"
    );

    let nothing = tempfile::tempdir().unwrap();
    training_set(nothing.path()).assert().code(2);
}

#[test]
fn a_models_answers_are_lines_with_what_it_was_sent() {
    let answer = |seen: &Seen| match seen.prompt().contains("rules of this run") {
        true => Act::json(&json!({"phrases": [], "generalisations": []})),
        false => Act::json(&json!({
            "decision": "try", "because": "half of it", "evidence": ["E1"], "variables": [],
            "hypotheses": [{
                "key": "1", "mechanism": "test", "because": "channels wait", "evidence": ["E1"],
                "choice": {"algorithm": "Ring", "protocol": "Simple", "channels": 4, "chunk_bytes": null},
                "predicted_ratio": [0.8, 1.0], "risk": "none", "refuted_by": "nothing"
            }]
        })),
    };
    let server = FakeServer::start(Wire::Ollama, answer);
    let folder = tempfile::tempdir().unwrap();
    let address = server.address();
    tune(
        folder.path(),
        &[
            "--provider",
            "ollama",
            "--model",
            "m",
            "--base-url",
            &address,
        ],
    );
    let (found, _) = lines(folder.path());
    let answered = found
        .iter()
        .find(|l| l["decision"]["kind"] == "answer")
        .unwrap();
    assert_eq!(answered["decision"]["model"], "m");
    assert_eq!(
        answered["decision"]["answer"]["hypotheses"][0]["because"],
        "channels wait"
    );
    assert_eq!(answered["outcome"]["followed"]["mind"], "llm");
    assert!(answered["outcome"]["candidates"][0]["outcome"].is_string());
    let prompt = answered["situation"]["prompt"].as_array().unwrap();
    assert!(
        prompt[1]["text"]
            .as_str()
            .unwrap()
            .contains("What holds them back")
    );
    assert!(!serde_json::to_string(&found).unwrap().contains(&address));
}
