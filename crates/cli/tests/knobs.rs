//! `ccl-agent knobs` as a user meets it. The files that `check` is shown lie in `tests/knobs/`;
//! the whole of what it says about each is kept in `tests/snapshots/`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

fn knobs(arguments: &[&str]) -> Output {
    let mut command = Command::cargo_bin("ccl-agent").unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/knobs");
    for forces_colour in ["CLICOLOR_FORCE", "FORCE_COLOR"] {
        command.env_remove(forces_colour);
    }
    command.current_dir(folder).arg("knobs").args(arguments);
    command.output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// What must fail as bad input: nothing on stdout; gives what it said.
fn refused(arguments: &[&str]) -> String {
    let output = knobs(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    assert_eq!(stdout(&output), "", "{arguments:?}");
    stderr(&output).to_owned()
}

/// Every example: the arguments, the exit code, and the rules it is there for.
const EXAMPLES: &[(&str, &[&str], i32, &[&str])] = &[
    (
        "unknown_name",
        &["unknown-name.env"],
        2,
        &["unknown-name", "foreign-name"],
    ),
    ("wrong_type", &["wrong-type.env"], 2, &["wrong-type"]),
    ("out_of_range", &["out-of-range.env"], 2, &["out-of-range"]),
    (
        "versions_2_18",
        &["versions.env", "--nccl-version", "2.18.3"],
        2,
        &["not-yet", "removed"],
    ),
    (
        "versions_2_30",
        &["versions.env", "--nccl-version", "2.30.7"],
        2,
        &["removed"],
    ),
    ("versions_not_stated", &["versions.env"], 0, &["removed"]),
    ("superseded", &["superseded.env"], 0, &["superseded"]),
    // The replacement came with 2.17: advice to use it would be wrong here.
    (
        "superseded_later",
        &["superseded.env", "--nccl-version", "2.16.5"],
        0,
        &[],
    ),
    (
        "meaningless_on_cluster",
        &["meaningless.env", "--platform", "a40-pcie-8gpu"],
        0,
        &["meaningless"],
    ),
    (
        "meaningless_on_words",
        &["meaningless.env", "--platform", "nvlink,tcp"],
        0,
        &["meaningless"],
    ),
    ("meaningless_unknown_platform", &["meaningless.env"], 0, &[]),
    ("ll128", &["hazard-ll128.env"], 0, &["hazard", "pinned"]),
    (
        "ll128_on_pcie",
        &["hazard-ll128.env", "--platform", "pcie"],
        2,
        &["hazard"],
    ),
    ("pinned", &["pinned.env"], 0, &["pinned"]),
    ("level_number", &["level-number.env"], 0, &["hazard"]),
    ("hazards", &["hazards.env"], 0, &["hazard", "duplicate"]),
    ("combinations", &["combinations.env"], 2, &["combination"]),
    (
        "shell",
        &["shell.sh"],
        2,
        &["syntax", "not-checked", "empty"],
    ),
    ("docker", &["docker.env"], 2, &["syntax", "quotes"]),
    (
        "nccl_conf",
        &["nccl.conf"],
        2,
        &["syntax", "quotes", "duplicate"],
    ),
    ("clean_shell", &["clean.env"], 0, &[]),
    ("clean_nccl_conf", &["clean.conf"], 0, &[]),
    ("clean_docker", &["clean.docker.env"], 0, &[]),
];

#[test]
fn every_example_has_its_findings_and_exit_code() {
    for (name, arguments, code, rules) in EXAMPLES {
        let arguments = [&["check"], *arguments].concat();
        let output = knobs(&arguments);
        assert_eq!(output.status.code(), Some(*code), "{name}");
        insta::assert_snapshot!(*name, stdout(&output));
        for rule in *rules {
            assert!(
                stdout(&output).contains(&format!("[{rule}]")),
                "{name}: no {rule}"
            );
        }
        if rules.is_empty() {
            assert!(
                stdout(&output).starts_with("0 errors, 0 warnings, 0 notes"),
                "{name}"
            );
        }
        // Stderr says only that it failed, and only then.
        assert_eq!(
            stderr(&output).is_empty(),
            *code == 0,
            "{name}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn every_rule_and_every_file_is_in_an_example() {
    let shown: BTreeSet<&str> = EXAMPLES.iter().flat_map(|e| e.3).copied().collect();
    let rules = [
        "combination",
        "duplicate",
        "empty",
        "foreign-name",
        "hazard",
        "meaningless",
        "not-checked",
        "not-yet",
        "out-of-range",
        "pinned",
        "quotes",
        "removed",
        "superseded",
        "syntax",
        "unknown-name",
        "wrong-type",
    ];
    assert_eq!(shown, BTreeSet::from(rules));
    let used: BTreeSet<String> = EXAMPLES.iter().map(|e| e.1[0].to_owned()).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/knobs");
    let there: BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(used, there);
}

#[test]
fn json_and_text_say_the_same() {
    for (name, arguments, code, _) in EXAMPLES {
        let arguments = [&["check"], *arguments].concat();
        let text = knobs(&arguments);
        let output = knobs(&[&arguments[..], &["--json"]].concat());
        assert_eq!(output.status.code(), Some(*code), "{name}");
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        let file = arguments[1];
        let heads: Vec<String> = json["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| {
                for key in ["reason", "fix", "variable"] {
                    assert!(f[key].is_string(), "{name}: {key}");
                }
                let word = |key: &str| f[key].as_str().unwrap().to_owned();
                let (line, column) = (&f["line"], &f["column"]);
                format!(
                    "{file}:{line}:{column}: {}[{}]",
                    word("severity"),
                    word("rule")
                )
            })
            .collect();
        let printed: Vec<&str> = stdout(&text)
            .lines()
            .filter(|l| l.starts_with(&format!("{file}:")))
            .collect();
        assert_eq!(heads, printed, "{name}");
        let counts = ["errors", "warnings", "notes"].map(|k| json[k].as_u64().unwrap());
        assert_eq!(counts.iter().sum::<u64>(), heads.len() as u64, "{name}");
        assert_eq!(counts[0] > 0, *code == 2, "{name}");
    }
}

#[test]
fn the_syntax_can_be_stated_whatever_the_file_is_called() {
    let said = |syntax| knobs(&["check", "docker.env", "--syntax", syntax, "--json"]);
    let shell: Value = serde_json::from_slice(&said("shell").stdout).unwrap();
    assert_eq!(shell["syntax"], "shell");
    let text = shell.to_string();
    assert!(!text.contains("makes the quotes part"), "{text}");
    let conf: Value = serde_json::from_slice(&said("nccl-conf").stdout).unwrap();
    assert!(conf.to_string().contains("nccl.conf makes the quotes part"));
}

#[test]
fn what_is_no_file_of_settings_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let check = |path: &str| refused(&["check", path]);
    let missing = folder.path().join("missing.env");
    assert!(check(missing.to_str().unwrap()).contains("cannot read"));
    assert!(check(folder.path().to_str().unwrap()).contains("is a folder"));
    let binary = check(&file("binary.env", b"NCCL_DEBUG=WARN\nA\xff\x00"));
    assert!(binary.contains(":2:2: byte 0xff is no text"), "{binary}");
    let zero = check(&file("zero.env", b"NCCL_DEBUG=WARN\0"));
    assert!(zero.contains(":1:16: byte 0x00 is no text"), "{zero}");
    let huge = check(&file("huge.env", &vec![b'#'; (4 << 20) + 1]));
    assert!(huge.contains("too many"), "{huge}");
    // One byte less is checked.
    let most = knobs(&["check", &file("most.env", &vec![b'#'; 4 << 20])]);
    assert_eq!(most.status.code(), Some(0));
    // An empty file sets nothing, which is no error.
    assert_eq!(
        knobs(&["check", &file("empty.env", b"")]).status.code(),
        Some(0)
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_without_an_end_is_read_up_to_the_limit() {
    assert!(refused(&["check", "/dev/zero"]).contains("too many"));
}

#[test]
fn secrets_are_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.env");
    let secret = "hf_Ab3dEfGh1jKlMn0pQrSt";
    fs::write(
        &path,
        format!("HF_TOKEN={secret}\nNCCL_DEBUG={secret}\nNCCL_NTHREADS={secret}\n"),
    )
    .unwrap();
    let path = path.to_str().unwrap();
    for arguments in [&["check", path][..], &["check", path, "--json"]] {
        let output = knobs(arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(!stdout(&output).contains(secret) && !stderr(&output).contains(secret));
    }
}

#[test]
fn one_knob_is_shown_whole() {
    let output = knobs(&["show", "NCCL_BUFFSIZE"]);
    assert!(output.status.success());
    insta::assert_snapshot!("show_buffsize", stdout(&output));
    // In any case, with or without the prefix.
    assert_eq!(knobs(&["show", "buffsize"]).stdout, output.stdout);
    let here = knobs(&["show", "nvls-enable", "--platform", "pcie"]);
    assert!(stdout(&here).contains("here: it means something with NVLink switches only"));
    let said = refused(&["show", "NCCL_BUFSIZE"]);
    assert!(said.contains("the nearest is NCCL_BUFFSIZE"), "{said}");
}

fn listed(arguments: &[&str]) -> Vec<String> {
    let output = knobs(&[&["list", "--json"], arguments].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let knobs = json["knobs"].as_array().unwrap();
    knobs
        .iter()
        .map(|k| k["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_list_follows_version_platform_class_and_use() {
    let all = listed(&[]);
    assert!(all.len() >= 100 && all.is_sorted());
    let table = knobs(&["list"]);
    assert!(stdout(&table).contains(&format!("{} knobs", all.len())));
    let has = |list: &[String], name: &str| list.iter().any(|n| n == name);
    let old = listed(&["--nccl-version", "2.18.3"]);
    assert!(has(&all, "NCCL_CTA_POLICY") && !has(&old, "NCCL_CTA_POLICY"));
    assert!(has(&all, "NCCL_LL_THRESHOLD") && !has(&old, "NCCL_LL_THRESHOLD"));
    let pcie = listed(&["--platform", "a40-pcie-8gpu"]);
    assert!(!has(&pcie, "NCCL_NVLS_ENABLE") && has(&pcie, "NCCL_IB_HCA"));
    let classes =
        ["per-call", "per-communicator", "per-process"].map(|c| listed(&["--class", c]).len());
    assert_eq!(classes.iter().sum::<usize>(), all.len(), "{classes:?}");
    let tunable = listed(&["--tunable"]);
    assert!(has(&tunable, "NCCL_BUFFSIZE") && !has(&tunable, "NCCL_DEBUG"));
}

#[test]
fn bad_usage_says_what_would_be_right() {
    let said = refused(&["list", "--platform", "pcie,nvlink"]);
    assert!(said.contains("exclude each other"), "{said}");
    let said = refused(&["check", "clean.env", "--platform", "dgx-h1000"]);
    assert!(
        said.contains("dgx-h1000") && said.contains("dgx-h100,"),
        "{said}"
    );
    let said = refused(&["check", "clean.env", "--nccl-version", "two"]);
    assert!(said.contains("write 2.30.7 or 2.18.3-1"), "{said}");
    refused(&["check"]);
}

#[test]
fn the_reference_page_is_what_the_command_prints() {
    let output = knobs(&["list", "--markdown"]);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../doc/reference/knobs.md");
    assert!(
        stdout(&output) == fs::read_to_string(page).unwrap(),
        "doc/reference/knobs.md is stale: ccl-agent knobs list --markdown > doc/reference/knobs.md"
    );
}
