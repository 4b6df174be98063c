//! `ccl-agent mcp`: spoken to by hand, and by a client that is not ours.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

fn server(artifacts: &Path, more: &[&str]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let workload = root.join("workload/autoccl/phi2-2b.json");
    let mut command: Vec<String> = [
        env!("CARGO_BIN_EXE_ccl-agent"),
        "mcp",
        "--dry-run",
        "--cluster",
        "a40-pcie-8gpu",
        "--workload",
        workload.to_str().unwrap(),
        "--artifacts",
        artifacts.to_str().unwrap(),
    ]
    .map(str::to_owned)
    .into();
    command.extend(more.iter().map(|m| (*m).to_owned()));
    command
}

#[test]
fn stdout_holds_nothing_but_the_protocol_and_the_run_ends_with_the_client() {
    let artifacts = tempfile::tempdir().unwrap();
    let command = server(artifacts.path(), &[]);
    let mut child = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut ask = |id: u32, method: &str, params: Value| -> Value {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        writeln!(stdin, "{request}").unwrap();
        let answer: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(answer["id"], id, "{answer}");
        answer
    };
    let client = json!({"name": "test", "version": "1"});
    let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client});
    let greeting = ask(1, "initialize", hello);
    assert_eq!(greeting["result"]["serverInfo"]["name"], "ccl-agent");
    let tools = ask(2, "tools/list", json!({}));
    let names: Vec<&str> = tools["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"explain") && !names.contains(&"apply") && !names.contains(&"probe"));
    let call = json!({"name": "describe_workload", "arguments": {}});
    let job = ask(3, "tools/call", call);
    assert_eq!(job["result"]["structuredContent"]["incumbent"], json!([]));
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("the client has left") && said.contains("simulated"),
        "{said}"
    );
    let runs = std::fs::read_dir(artifacts.path()).unwrap();
    let run = runs
        .map(|r| r.unwrap().path())
        .find(|p| p.join("summary.json").exists());
    let trace = std::fs::read_to_string(run.unwrap().join("trace.jsonl")).unwrap();
    assert!(trace.contains("\"event\":\"tool_called\",\"by\":\"client\""));
}

/// The Python that `make test` put a client into.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os("CCL_MCP_PYTHON").map(PathBuf::from);
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/mcp-client/bin/python");
    named.or(Some(made)).filter(|python| python.exists())
}

#[test]
fn an_independent_client_looks_and_where_it_may_tunes() {
    let Some(python) = python() else {
        eprintln!(
            "skipped: no MCP client; `make mcp-client` installs one, or CCL_MCP_PYTHON names a Python with it"
        );
        return;
    };
    for (allowed, more) in [("looks", &[][..]), ("allowed", &["--allow-apply"][..])] {
        let artifacts = tempfile::tempdir().unwrap();
        let output = Command::new(&python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mcp_client.py"))
            .arg(allowed)
            .args(server(artifacts.path(), more))
            .output()
            .unwrap();
        let (out, err) = (output.stdout, output.stderr);
        let (out, err) = (String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
        assert_eq!(out.trim(), "done", "{err}");
    }
}
