//! A whole run with a language model, over the wire: every provider's format, tools, a decision, and the same run
//! again from what was recorded.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use ccl_llm_fake::{Act, FakeServer, Seen, Wire};
use serde_json::{Value, json};

const PROVIDERS: [(&str, Wire, &str); 5] = [
    ("ollama", Wire::Ollama, "OLLAMA_API_KEY"),
    ("openai", Wire::OpenAi, "OPENAI_API_KEY"),
    ("claude", Wire::Claude, "ANTHROPIC_API_KEY"),
    ("gemini", Wire::Gemini, "GEMINI_API_KEY"),
    ("fireworks", Wire::OpenAiCompatible, "FIREWORKS_API_KEY"),
];

fn tune(artifacts: &Path, more: &[&str]) -> (Value, PathBuf) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::cargo_bin("ccl-agent").unwrap();
    for (_, _, variable) in PROVIDERS {
        command.env(variable, "sk-test-0123456789");
    }
    for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(proxy).env_remove(proxy.to_lowercase());
    }
    let output = command
        .current_dir(root)
        .args(["tune", "--workload", "workload/autoccl/phi2-2b.json"])
        .args([
            "--cluster",
            "a40-pcie-8gpu",
            "--dry-run",
            "--json",
            "--artifacts",
        ])
        .arg(artifacts)
        .args(more)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let folder = artifacts.join(summary["run_id"].as_str().unwrap());
    (summary, folder)
}

/// Looks at the keys, then decides.
fn think(seen: &Seen) -> Act {
    match seen.results().is_empty() {
        true => Act::call("list_task_keys", json!({"most": 1})),
        false => Act::json(&json!({
            "decision": "try", "because": "the links are not full", "evidence": ["E1"], "variables": [],
            "hypotheses": [{
                "key": "1", "mechanism": "more-channels", "because": "2 of 64 channels", "evidence": ["E1"],
                "choice": {"algorithm": "Ring", "protocol": "Simple", "channels": 16, "chunk_bytes": null},
                "predicted_ratio": [0.7, 0.95], "risk": "none", "refuted_by": "calls as long as before"
            }]
        })),
    }
}

#[test]
fn every_provider_looks_decides_and_is_replayed() {
    for (provider, wire, _) in PROVIDERS {
        let server = FakeServer::start(wire, think);
        let artifacts = tempfile::tempdir().unwrap();
        let asked = [
            "--provider",
            provider,
            "--model",
            "m",
            "--base-url",
            &server.address(),
        ];
        let (summary, folder) = tune(artifacts.path(), &asked);
        let llm = &summary["llm"];
        assert_eq!(llm["fallback_used"], false, "{provider}: {llm}");
        assert!(llm["exchanges"].as_u64().unwrap() >= 2, "{provider}: {llm}");
        let trace = fs::read_to_string(folder.join("trace.jsonl")).unwrap();
        assert!(
            trace.contains("\"event\":\"tool_called\",\"by\":\"llm\""),
            "{provider}"
        );
        assert!(trace.contains("\"mind\":\"llm\""), "{provider}");
        assert!(trace.contains("\"proposer\":\"llm\""), "{provider}");
        let asked = server.requests().len();

        let recorded = folder.join("llm");
        let replay = [
            "--provider",
            provider,
            "--replay",
            recorded.to_str().unwrap(),
        ];
        let (again, second) = tune(artifacts.path(), &replay);
        assert_eq!(
            server.requests().len(),
            asked,
            "{provider}: it was asked again"
        );
        assert_eq!(again["speedup"], summary["speedup"], "{provider}");
        let decisions = |folder: &Path| fs::read_to_string(folder.join("decisions.jsonl")).unwrap();
        assert_eq!(decisions(&second), decisions(&folder), "{provider}");
    }
}
