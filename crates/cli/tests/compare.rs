//! `ccl-agent compare` and `ccl-agent objective` as a user and an optimiser meet them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::{Value, json};

const SUITE: &str = r#"
name = "small"
machine_spread = 0.12
[[task]]
name = "torch-demo"
workload = "autoccl/torch-demo"
cluster = "a40-pcie-8gpu"
[[task]]
name = "optimal"
workload = "suite/mostly-compute"
cluster = "dgx-b200"
default_is_optimal = true
"#;

fn ccl_agent(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("ccl-agent").unwrap();
    command.args(args);
    command
}

fn stdout(command: &mut Command) -> String {
    let output = command.assert().success().get_output().clone();
    String::from_utf8(output.stdout).unwrap()
}

fn refused(args: &[&str]) -> String {
    let output = ccl_agent(args).assert().code(2).get_output().clone();
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

fn torch_demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workload/autoccl/torch-demo.json")
}

fn objective(more: &[&str], lines: &str) -> Vec<Value> {
    let workload = torch_demo();
    let mut command = ccl_agent(&["objective", "--cluster", "a40-pcie-8gpu", "--workload"]);
    command.arg(workload).args(more).write_stdin(lines);
    let lines = stdout(&mut command);
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_comparison_is_one_object_of_the_contract_and_the_same_again() {
    let folder = tempfile::tempdir().unwrap();
    let suite = folder.path().join("small.toml");
    std::fs::write(&suite, SUITE).unwrap();
    let page = folder.path().join("compare.md");
    let run = |threads: &str| -> Value {
        let mut command = ccl_agent(&["compare", "--methods", "random,autoccl,ours", "--json"]);
        command.args(["--budget", "12", "--seeds", "2", "--threads", threads]);
        command
            .arg("--suite")
            .arg(&suite)
            .arg("--markdown")
            .arg(&page);
        let mut found: Value = serde_json::from_str(&stdout(&mut command)).unwrap();
        let timing = found.as_object_mut().unwrap().remove("timing").unwrap();
        assert_eq!(timing.as_array().unwrap().len(), 3);
        found
    };
    let found = run("1");
    assert_eq!(found, run("2"));
    assert_eq!(found["suite"], "small");
    assert_eq!((&found["budget"], &found["seeds"]), (&json!(12), &json!(2)));
    assert_eq!(found["methods"], json!(["random", "autoccl", "ours"]));
    let tasks = found["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 2);
    assert!(tasks[0]["oracle_gain"]["median"].as_f64().unwrap() > 0.05);
    assert!(tasks[1]["oracle_gain"]["median"].as_f64().unwrap() < 0.005);
    let results = found["results"].as_array().unwrap();
    assert_eq!(results.len(), 6);
    for result in results {
        for what in ["evaluations_to_5pct", "evaluations_to_2pct"] {
            let evaluations = &result[what];
            let [low, high] = [0, 1].map(|end| evaluations["ci95"][end].as_f64().unwrap());
            let median = evaluations["median"].as_f64().unwrap();
            assert!(low <= median && median <= high, "{result}");
            assert!(evaluations["censored"].as_u64().unwrap() <= 2);
        }
        assert!(result["worst_iteration_ratio"].as_f64().unwrap() >= 1.0);
    }
    assert_eq!(found["overall"].as_array().unwrap().len(), 3);
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(text.contains("| ours |") && text.contains("## What is compared"));
    for picture in ["compare-convergence.svg", "compare-regret.svg"] {
        let svg = std::fs::read_to_string(folder.path().join("figures").join(picture)).unwrap();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{picture}");
    }
}

#[test]
fn the_spread_of_the_machines_is_the_suites_or_what_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let suite = folder.path().join("small.toml");
    std::fs::write(&suite, SUITE).unwrap();
    let compare = |more: &[&str]| {
        let mut command = ccl_agent(&["compare", "--methods", "nccl-default", "--budget", "3"]);
        command.args(["--seeds", "5", "--task", "torch", "--suite"]);
        stdout(command.arg(&suite).args(more))
    };
    // Widest interval of the oracle's gains over five machines.
    let found = |more: &[&str]| -> (Value, f64) {
        let found: Value = serde_json::from_str(&compare(&[more, &["--json"]].concat())).unwrap();
        let gain = &found["tasks"][0]["oracle_gain"];
        let [low, high] = [0, 1].map(|end| gain["ci95"][end].as_f64().unwrap());
        (found["machine_spread"].clone(), high - low)
    };
    let (none, of_none) = found(&["--machine-spread", "0"]);
    let (own, of_own) = found(&[]);
    let (wide, of_wide) = found(&["--machine-spread", "0.5"]);
    assert_eq!((none, own, wide), (json!(0.0), json!(0.12), json!(0.5)));
    assert!(of_none < 1e-12, "{of_none}");
    assert!(of_own > 0.0 && of_own < of_wide, "{of_own} {of_wide}");
    assert!(compare(&["--machine-spread", "0.5"]).contains("machine spread 0.5\n"));
    for wrong in ["1.5", "-0.1", "NaN"] {
        let asked = format!("--machine-spread={wrong}");
        let refused = refused(&["compare", &asked]);
        let message = format!("--machine-spread {wrong}: expected 0 to 1");
        assert!(refused.contains(&message), "{refused}");
    }
}

#[test]
fn what_cannot_be_compared_is_refused_with_advice() {
    let unknown = refused(&["compare", "--methods", "ours,magic"]);
    assert!(unknown.contains("unknown method \"magic\"") && unknown.contains("nccl-default"));
    assert!(refused(&["compare", "--suite", "other"]).contains("unknown suite \"other\""));
    assert!(refused(&["compare", "--suite", "no/such.toml"]).contains("cannot read no/such.toml"));
    assert!(refused(&["compare", "--task", "nothing"]).contains("phi2-2b, a40-pcie"));
    let folder = tempfile::tempdir().unwrap();
    let suite = folder.path().join("bad.toml");
    std::fs::write(&suite, SUITE.replace("a40-pcie-8gpu", "a41")).unwrap();
    let wrong = refused(&["compare", "--suite", suite.to_str().unwrap()]);
    assert!(
        wrong.contains("line 4: task \"torch-demo\": cluster: \"a41\""),
        "{wrong}"
    );
    std::fs::write(
        &suite,
        SUITE.replace(
            "cluster = \"dgx-b200\"",
            "cluster = \"dgx-b200\"\nnodes = 99",
        ),
    )
    .unwrap();
    let large = refused(&["compare", "--suite", suite.to_str().unwrap()]);
    assert!(large.contains("99 nodes"), "{large}");
}

#[test]
fn an_objective_prints_its_space_and_answers_line_by_line() {
    let first = &objective(&["--noise", "off", "--oracle"], "")[0];
    let parameters = first["space"]["parameters"].as_array().unwrap();
    let default = &first["space"]["default"];
    let asked: String = [
        json!({ "configuration": {} }),
        json!({ "configuration": default }),
        json!({ "configuration": { "AllReduce 16 MiB 8r1n/pair": "Ring/Magic" } }),
        json!({ "configuration": { "speed": 1 } }),
        json!({ "configurations": {} }),
        json!({ "configuration": { "AllReduce 16 MiB 8r1n/channels": 8 } }),
    ]
    .iter()
    .map(|line| format!("{line}\n"))
    .collect();
    let answers = objective(&["--noise", "off"], &format!("{asked}not JSON\n\n"));
    assert_eq!(answers.len(), 8);
    assert!(answers[0].get("oracle_ms").is_none() && parameters.len() >= 4);
    assert_eq!(answers[1], answers[2]);
    let ms = |answer: &Value| answer["iteration_ms"].as_f64().unwrap();
    assert!((ms(&answers[1]) - first["default_ms"].as_f64().unwrap()).abs() < 1e-9);
    assert!(ms(&answers[6]) >= first["oracle_ms"].as_f64().unwrap());
    for (answer, what) in [
        (3, "is not one of"),
        (4, "no parameter"),
        (5, "expected"),
        (7, "no JSON"),
    ] {
        let error = answers[answer]["error"].as_str().unwrap();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn noise_is_the_seeds_and_a_spread_makes_another_machine() {
    let twice = "{\"configuration\":{}}\n{\"configuration\":{}}\n";
    let times = |more: &[&str]| -> Vec<f64> {
        let answers = objective(more, twice);
        let times = answers[1..]
            .iter()
            .map(|a| a["iteration_ms"].as_f64().unwrap());
        times.collect()
    };
    assert_eq!(times(&["--seed", "3"]), times(&["--seed", "3"]));
    assert_ne!(times(&["--seed", "3"]), times(&["--seed", "4"]));
    let quiet = times(&["--noise", "off"]);
    assert_eq!(quiet[0], quiet[1]);
    assert_ne!(
        quiet,
        times(&["--noise", "off", "--machine-spread", "0.12"])
    );
    let wrong = refused(&[
        "objective",
        "--cluster",
        "a40-pcie-8gpu",
        "--machine-spread",
        "7",
        "--workload",
        torch_demo().to_str().unwrap(),
    ]);
    assert!(wrong.contains("--machine-spread 7"));
}
