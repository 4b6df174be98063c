//! Language models on the command line: every provider, keys that are nowhere, proxies, bad input.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use ccl_llm_fake::{Act, FakeServer, Seen, Wire};
use serde_json::{Value, json};

/// What no byte that is written may hold.
const SECRET: &str = "sk-planted-0123456789";

/// The providers with a key, the variable it comes from, and the format they speak.
const KEYED: [(&str, &str, Wire); 6] = [
    ("openai", "OPENAI_API_KEY", Wire::OpenAi),
    ("claude", "ANTHROPIC_API_KEY", Wire::Claude),
    ("gemini", "GEMINI_API_KEY", Wire::Gemini),
    ("gemini", "GOOGLE_API_KEY", Wire::Gemini),
    ("fireworks", "FIREWORKS_API_KEY", Wire::OpenAiCompatible),
    (
        "openai-compatible",
        "CCL_AGENT_LLM_API_KEY",
        Wire::OpenAiCompatible,
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A short run without any key or proxy from outside.
fn tune(artifacts: &Path) -> Command {
    let mut command = Command::cargo_bin("ccl-agent").unwrap();
    command.current_dir(root());
    for (_, variable, _) in KEYED {
        command.env_remove(variable);
    }
    for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(proxy).env_remove(proxy.to_lowercase());
    }
    command
        .env("OLLAMA_HOST", "127.0.0.1:9")
        .args(["tune", "--workload", "workload/autoccl/phi2-2b.json"])
        .args(["--cluster", "a40-pcie-8gpu", "--dry-run", "--json"])
        .args(["--budget", "3", "--model", "some-model", "--artifacts"])
        .arg(artifacts);
    command
}

fn summary(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Everything below a folder.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    all
}

/// A model that says the key, in answers that are taken.
fn indiscreet(seen: &Seen) -> Act {
    let key = seen.key.clone().unwrap_or_default();
    if seen.prompt().contains("[rules of this run") {
        let words = format!("I know {key}");
        return Act::json(&json!({
            "phrases": [{"rule": "R1", "words": words}], "generalisations": []
        }));
    }
    Act::json(&json!({
        "decision": "try", "because": format!("I know {key}"), "evidence": ["E1"], "variables": [],
        "hypotheses": [{
            "key": "1", "mechanism": key, "because": format!("I know {key}"), "evidence": ["E1"],
            "choice": {
                "algorithm": "Ring", "protocol": "Simple", "channels": 4, "chunk_bytes": null
            },
            "predicted_ratio": [0.8, 0.9], "risk": key, "refuted_by": key,
        }]
    }))
}

#[test]
fn a_planted_key_is_in_no_artifact() {
    let echo: fn(&Seen) -> Act = |_| Act::EchoKey;
    for (provider, variable, wire) in KEYED {
        for (model, from_file) in [(indiscreet as fn(&Seen) -> Act, false), (echo, true)] {
            let folder = tempfile::tempdir().unwrap();
            let artifacts = folder.path().join("artifacts");
            let server = FakeServer::start(wire, model);
            let mut command = tune(&artifacts);
            command.args(["--provider", provider, "--base-url", &server.address()]);
            if from_file {
                let file = folder.path().join("key");
                fs::write(&file, format!("{SECRET}\n")).unwrap();
                command.arg("--key-file").arg(&file);
            } else {
                command.env(variable, SECRET);
            }
            let output = command.assert().success().get_output().clone();
            let seen = server.requests();
            assert!(!seen.is_empty(), "{provider} was not asked");
            assert_eq!(seen[0].key.as_deref(), Some(SECRET), "{provider}");
            let said = summary(&output);
            assert_eq!(said["llm"]["provider"], provider);
            assert_eq!(said["llm"]["failed"], u32::from(from_file), "{provider}");
            let mut written = files(&artifacts);
            written.push(("stdout".into(), output.stdout));
            written.push(("stderr".into(), output.stderr));
            let mut marked = 0;
            for (path, bytes) in written {
                let text = String::from_utf8_lossy(&bytes);
                assert!(!text.contains(SECRET), "{provider}: {}", path.display());
                marked += usize::from(text.contains("[key]"));
            }
            // The exchange, and where the model was believed the trace as well.
            assert!(marked > usize::from(!from_file), "{provider}: {marked}");
        }
    }
}

#[test]
fn a_missing_key_is_said_and_the_run_goes_on() {
    for (provider, variable, wire) in KEYED {
        if provider == "openai-compatible" {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let server = FakeServer::start(wire, indiscreet);
        let output = tune(&folder.path().join("artifacts"))
            .args(["--provider", provider, "--base-url", &server.address()])
            .assert()
            .success()
            .get_output()
            .clone();
        let llm = summary(&output)["llm"].clone();
        assert_eq!((&llm["calls"], &llm["failed"]), (&json!(1), &json!(1)));
        assert!(server.requests().is_empty(), "{provider}");
        let said: Vec<u8> = files(folder.path()).into_iter().flat_map(|f| f.1).collect();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("needs a key"), "{provider}");
        assert!(said.contains(variable), "{provider}");
    }
}

#[test]
fn a_proxy_is_asked_for_what_is_elsewhere_and_for_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = folder.path().join("artifacts");
    let proxy = FakeServer::start(Wire::OpenAiCompatible, indiscreet);
    let asked = |base: &str, no_proxy: &str| {
        let output = tune(&artifacts)
            .args(["--provider", "openai-compatible", "--base-url", base])
            .env("HTTP_PROXY", format!("http://{}", proxy.socket()))
            .env("NO_PROXY", no_proxy)
            .assert()
            .success()
            .get_output()
            .clone();
        summary(&output)["llm"]["failed"].clone()
    };
    assert_eq!(asked("http://models.invalid/v1", ""), 0);
    let targets = |server: &FakeServer| -> Vec<String> {
        server
            .requests()
            .into_iter()
            .map(|seen| seen.target)
            .collect()
    };
    let through_proxy = targets(&proxy);
    assert!(!through_proxy.is_empty());
    for target in &through_proxy {
        assert_eq!(target, "http://models.invalid/v1/chat/completions");
    }
    assert_eq!(asked("http://models.invalid/v1", "models.invalid"), 1);
    let here = FakeServer::start(Wire::OpenAiCompatible, indiscreet);
    assert_eq!(asked(&here.address(), ""), 0);
    assert!(!targets(&here).is_empty());
    assert_eq!(targets(&proxy), through_proxy);
}

#[test]
fn a_key_file_that_others_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    fs::write(&file, SECRET).unwrap();
    for (mode, warned) in [(0o600, false), (0o644, true)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let output = tune(&folder.path().join("artifacts"))
            .args(["--provider", "ollama", "--key-file"])
            .arg(&file)
            .assert()
            .success()
            .get_output()
            .clone();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said.contains("chmod 600"), warned, "{said}");
        assert!(!said.contains(SECRET));
    }
}

#[test]
fn bad_input_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = folder.path().join("artifacts");
    let empty = folder.path().join("empty");
    fs::write(&empty, "\n").unwrap();
    let empty = empty.to_str().unwrap();
    for (arguments, expected) in [
        (vec!["--provider", "openai-compatible"], "--base-url"),
        (
            vec![
                "--provider",
                "openai",
                "--base-url",
                "https://me:hunter2@h/v1",
            ],
            "--base-url: the base URL is no http or https address",
        ),
        (
            vec![
                "--provider",
                "gemini",
                "--base-url",
                "https://h/?key=hunter2",
            ],
            "query",
        ),
        (
            vec!["--provider", "claude", "--key-file", "/no/such"],
            "/no/such",
        ),
        (
            vec!["--provider", "claude", "--key-file", empty],
            "visible ASCII",
        ),
        (vec!["--llm-timeout", "0"], "--llm-timeout"),
    ] {
        let output = tune(&artifacts)
            .args(&arguments)
            .assert()
            .code(2)
            .get_output()
            .clone();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(expected), "{arguments:?}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
        assert!(
            output.stdout.is_empty() && !artifacts.exists(),
            "{arguments:?}"
        );
    }
    // A short key in the environment is a mistake as well.
    let output = tune(&artifacts)
        .args(["--provider", "openai"])
        .env("OPENAI_API_KEY", "abc")
        .assert()
        .code(2)
        .get_output()
        .clone();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("OPENAI_API_KEY"), "{said}");
    // Without a model, where none is known.
    let mut command = Command::cargo_bin("ccl-agent").unwrap();
    command
        .current_dir(root())
        .args([
            "tune",
            "--workload",
            "workload/autoccl/phi2-2b.json",
            "--cluster",
            "a40-pcie-8gpu",
            "--dry-run",
        ])
        .args([
            "--provider",
            "openai-compatible",
            "--base-url",
            "http://127.0.0.1:9/v1",
        ]);
    let output = command.assert().code(2).get_output().clone();
    assert!(String::from_utf8_lossy(&output.stderr).contains("which model"));
}
