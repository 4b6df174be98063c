//! `ccl-agent knowledge export` and `import`: memories moved between files, and filled by several at a time.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use assert_cmd::Command;

fn ccl_agent() -> Command {
    let mut command = Command::cargo_bin("ccl-agent").unwrap();
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    command
}

fn knowledge(words: &[&str], memory: &Path) -> Command {
    let mut command = ccl_agent();
    command.arg("knowledge").args(words);
    command.arg("--memory").arg(memory);
    command
}

fn export(memory: &Path) -> String {
    let mut command = knowledge(&["export"], memory);
    let output = command.assert().success().get_output().clone();
    String::from_utf8(output.stdout).unwrap()
}

/// What a run leaves in memory, as lines.
fn lines(folder: &Path, seed: &str) -> String {
    let mut command = ccl_agent();
    command
        .args(["tune", "--dry-run", "--provider", "none", "--seed", seed])
        .args(["--workload", "workload/autoccl/phi2-2b.json"])
        .args(["--cluster", "a40-pcie-8gpu", "--artifacts"])
        .arg(folder.join(seed));
    command.assert().success();
    export(&folder.join(seed).join("memory"))
}

#[test]
fn a_memory_moves_whole_and_several_can_fill_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let seeds = ["1", "2", "3", "4"];
    let exports = seeds.map(|seed| lines(folder.path(), seed));
    for kind in ["run", "trial", "evidence", "rule", "score", "surrogate"] {
        let begins = format!("{{\"type\":\"{kind}\",");
        assert!(exports[0].lines().any(|l| l.starts_with(&begins)), "{kind}");
    }
    let whole = folder.path().join("whole.sqlite");
    let file = folder.path().join("1.jsonl");
    let to_file = ["export", "--out", file.to_str().unwrap()];
    knowledge(&to_file, &folder.path().join("1/memory"))
        .assert()
        .success();
    assert_eq!(fs::read_to_string(&file).unwrap(), exports[0]);
    let import = ["import", file.to_str().unwrap()];
    for added in [exports[0].lines().count(), 0] {
        let output = knowledge(&import, &whole).assert().success();
        let said = String::from_utf8(output.get_output().stdout.clone()).unwrap();
        assert!(
            said.starts_with(&format!("{added} records added")),
            "{said}"
        );
        assert_eq!(export(&whole), exports[0]);
    }

    // Processes that begin with no file at all: what belongs to one run is all there afterwards.
    let shared = folder.path().join("shared/memory.sqlite");
    std::thread::scope(|scope| {
        for (seed, lines) in seeds.iter().zip(&exports) {
            let (shared, folder) = (&shared, folder.path());
            scope.spawn(move || {
                let file = folder.join(format!("{seed}.jsonl"));
                fs::write(&file, lines).unwrap();
                knowledge(&["import", file.to_str().unwrap()], shared)
                    .assert()
                    .success();
            });
        }
    });
    let all = export(&shared);
    for kind in ["run", "trial", "evidence"] {
        let begins = format!("{{\"type\":\"{kind}\",");
        let of_kind = |text: &str| {
            let lines = text.lines().filter(|l| l.starts_with(&begins));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let mut expected: Vec<String> = exports.iter().flat_map(|e| of_kind(e)).collect();
        let mut found = of_kind(&all);
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "{kind}");
    }
}

#[test]
fn a_bad_line_is_named_and_nothing_is_imported() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lines.jsonl");
    let page = |id: &str| {
        format!(
            "{{\"type\":\"document\",\"record\":{{\"name\":\"{id}\",\"title\":\"\",\"body\":\"\",\"origin\":\"\"}}}}\n"
        )
    };
    let memory = folder.path().join("memory.sqlite");
    fs::write(&file, page("first")).unwrap();
    let import = ["import", file.to_str().unwrap()];
    knowledge(&import, &memory).assert().success();
    let before = export(&memory);
    for (bad, expected) in [
        ("{\"type\":\"document\"", "EOF"),
        (
            "{\"type\":\"opinion\",\"record\":{}}",
            "unknown variant `opinion`",
        ),
        (
            "{\"type\":\"document\",\"record\":{\"name\":\"x\"}}",
            "missing field",
        ),
    ] {
        fs::write(
            &file,
            format!("{}\n{bad}\n{}", page("second"), page("third")),
        )
        .unwrap();
        let output = knowledge(&import, &memory).assert().code(2);
        let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        let said: Vec<&str> = said.split_whitespace().filter(|w| *w != "│").collect();
        let said = said.join(" ");
        assert!(said.contains("lines.jsonl:3:"), "{said}");
        assert!(said.contains(expected), "{said}");
        assert_eq!(export(&memory), before);
    }
    let nowhere = folder.path().join("nowhere.sqlite");
    knowledge(&["export"], &nowhere).assert().code(2);
    assert!(!nowhere.exists());
}
