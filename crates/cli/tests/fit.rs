//! `ccl-agent fit` as a user runs it.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use ccl_core::{Algorithm, CommShape, policy_of_rows, read_tuner_csv};

const HEADER: &str = "dataset,gpu,nodes,ranks,nccl,collective,bytes,algorithm,protocol,busbw_gbs\n";

fn b300() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../search/tests/data/b300_allreduce.csv")
}

fn fit(arguments: &[&str]) -> std::process::Output {
    Command::cargo_bin("ccl-agent")
        .unwrap()
        .arg("fit")
        .args(arguments)
        .output()
        .unwrap()
}

/// Runs on this text; expects exit 2, nothing on stdout, no table, and these words on stderr.
fn refused(data: &str, more: &[&str], words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let sweep = folder.path().join("sweep.csv");
    fs::write(&sweep, data).unwrap();
    let out = folder.path().join("policy.csv");
    let mut arguments = vec![
        "--data",
        sweep.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ];
    arguments.extend(more);
    let output = fit(&arguments);
    // Errors are wrapped to the terminal.
    let stderr = String::from_utf8(output.stderr).unwrap();
    let stderr = stderr.replace('│', " ");
    let stderr: Vec<_> = stderr.split_whitespace().collect();
    let stderr = stderr.join(" ");
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(output.stdout.is_empty());
    for word in words {
        assert!(stderr.contains(word), "{word:?} is not in: {stderr}");
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "something was left: {left:?}");
}

#[test]
fn the_published_sweep_becomes_a_table_nccl_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("policy.csv");
    fs::write(&out, "an older table\n").unwrap();
    let data = b300();
    let arguments = [
        "--data",
        data.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        "--json",
    ];
    let output = fit(&arguments);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = fs::read_to_string(&out).unwrap();
    let policy = policy_of_rows(&read_tuner_csv(&text).unwrap()).unwrap();
    let table = policy.compile().unwrap();
    let shape = CommShape::new(8, 1);
    let chosen = |bytes| table.lookup(shape, ccl_core::Collective::AllReduce, bytes);
    for mib in [4, 5, 7, 16, 48, 49, 64, 100, 128] {
        let choice = chosen(mib << 20).unwrap_or_else(|| panic!("{mib} MiB"));
        assert_eq!((choice.algorithm, choice.channels), (Algorithm::Ring, None));
    }
    for bytes in [1 << 20, (4 << 20) - 1, (128 << 20) + 1, 256 << 20, 8 << 30] {
        assert_eq!(chosen(bytes), None, "{bytes}");
    }
    assert!(policy.rules.iter().all(|r| r.shape == shape));
    // The protocol was not recorded: the table says whose guess it is.
    assert!(text.contains("hgx-b300"), "{text}");

    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let windows = report["windows"].as_array().unwrap();
    assert_eq!(windows.len(), 1);
    assert_eq!(windows[0]["asked"]["algorithm"], "Ring");
    assert_eq!(windows[0]["points"][0]["bytes"], 4 << 20);
    assert_eq!(windows[0]["rows"][0]["basis"], "model");
    assert_eq!(report["protocol_models"][0], "hgx-b300 (NCCL 2.29.7)");

    // The same again, byte for byte.
    let again = fit(&arguments);
    assert_eq!(
        (again.stdout, fs::read_to_string(&out).unwrap()),
        (output.stdout, text)
    );
}

#[test]
fn the_tables_for_people_say_what_was_left_alone_and_why() {
    let output = fit(&["--data", b300().to_str().unwrap()]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for words in [
        "4 MiB..128 MiB",
        "256 MiB..8 GiB",
        "the default is fastest",
        "Nothing was written",
    ] {
        assert!(text.contains(words), "{words:?} is not in:\n{text}");
    }
    assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
}

#[test]
fn two_nccl_tests_logs_are_one_sweep() {
    let folder = tempfile::tempdir().unwrap();
    let log = |name: &str, algorithm: &str, times: [f64; 2]| {
        let mut text = format!(
            "{algorithm}\n# Collective test starting: all_reduce_perf\n\
             # nThread 1 nGpus 2 minBytes 1048576 maxBytes 2097152 step: 2(factor) warmup iters: 1 \
             iters: 20 agg iters: 1 validation: 1 graph: 0\n#\n# Using devices\n\
             #  Rank  0 Group  0 Pid 100 on node1 device  0 [0000:19:00] NVIDIA H200\n\
             #  Rank  1 Group  0 Pid 100 on node1 device  1 [0000:3b:00] NVIDIA H200\n#\n\
             #       size         count      type   redop    root     time   algbw   busbw  #wrong     \
             time   algbw   busbw  #wrong\n"
        );
        for (bytes, time) in [(1_048_576, times[0]), (2_097_152, times[1])] {
            text += &format!(
                "     {bytes}        262144     float     sum      -1   {time:.2}    1.00    1.00       0    \
                 {time:.2}    1.00    1.00       0\n"
            );
        }
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let default = log("default.log", "# untouched", [100.0, 200.0]);
    let ring = log(
        "ring.log",
        "NCCL_ALGO=Ring NCCL_PROTO=Simple",
        [70.0, 140.0],
    );
    let out = folder.path().join("policy.csv");
    let paths = [&default, &ring, &out].map(|p| p.to_str().unwrap());
    let output = fit(&["--data", paths[0], "--data", paths[1], "--out", paths[2]]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let rows = read_tuner_csv(&fs::read_to_string(&out).unwrap()).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0].min_bytes, rows[0].max_bytes),
        (1_048_576, 2_097_152)
    );
    assert_eq!((rows[0].ranks, rows[0].nodes), (Some(2), Some(1)));
}

#[test]
fn nvidias_performance_csv_is_read_too() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("perf.csv");
    let out = folder.path().join("policy.csv");
    let mut text =
        "collective,size_bytes,algorithm,protocol,channels,nodes,ranks,latency_us\n".to_owned();
    for bytes in [1024, 2048, 4096] {
        text += &format!("allreduce,{bytes},default,-1,-1,1,8,200\n");
        text += &format!("allreduce,{bytes},tree,ll,4,1,8,150\n");
    }
    fs::write(&data, text).unwrap();
    let output = fit(&[
        "--data",
        data.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let table = fs::read_to_string(&out).unwrap();
    assert!(
        table.ends_with("\nallreduce,1024,4096,tree,ll,4,1,8,-1,-1\n"),
        "{table}"
    );
}

#[test]
fn a_sweep_without_gains_writes_a_table_without_rows() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("policy.csv");
    let data = b300();
    let output = fit(&[
        "--data",
        data.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        "--noise-floor",
        "50",
    ]);
    assert!(output.status.success());
    assert_eq!(
        read_tuner_csv(&fs::read_to_string(&out).unwrap()).unwrap(),
        []
    );
}

#[test]
fn bad_input_is_refused_with_its_place_and_leaves_nothing() {
    let row = "d,B300,1,8,2.29.7,AllReduce,1024,default,,10\n";
    refused(
        "hello\n",
        &[],
        &["line 1, column 1", "no known kind of sweep", "--format"],
    );
    refused("", &[], &["no known kind of sweep"]);
    refused(HEADER, &[], &["no row can be used"]);
    refused(
        &format!("{HEADER}{row}d,B300,1,8,2.29.7,AllReduce,1024,Rings,,10\n"),
        &[],
        &["sweep.csv: line 3, column 34", "expected", "Rings"],
    );
    refused(
        &format!("{HEADER}d,B300,-1,8,2.29.7,AllReduce,1024,Ring,,10\n"),
        &[],
        &["line 2, column 8"],
    );
    refused(
        &format!("{HEADER}{row}"),
        &["--dataset", "other"],
        &["\"other\"", "the data has: d"],
    );
    refused(
        &format!("{HEADER}{row}"),
        &["--format", "csv"],
        &["measured-csv"],
    );
    refused(
        &format!("{HEADER}{row}"),
        &["--format", "nccl-tests"],
        &["at least one row"],
    );
    refused(
        &format!("{HEADER}{row}"),
        &["--cluster", "nowhere"],
        &["unknown cluster"],
    );
    refused(
        &format!("{HEADER}{row}"),
        &["--noise-floor", "NaN"],
        &["0 to below 100"],
    );
    refused(
        &format!("{HEADER}{row}"),
        &["--data", "/no/such/file"],
        &["cannot read /no/such/file"],
    );
}

#[test]
fn gains_on_two_machines_make_no_table() {
    let mut text = HEADER.to_owned();
    for gpu in ["B300", "H200"] {
        for bytes in [1 << 24, 1 << 25] {
            text += &format!("{gpu}-data,{gpu},1,8,2.29.7,AllReduce,{bytes},default,,100\n");
            text += &format!("{gpu}-data,{gpu},1,8,2.29.7,AllReduce,{bytes},Ring,Simple,120\n");
        }
    }
    refused(
        &text,
        &[],
        &["2 different machines", "B300", "H200", "--dataset"],
    );
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("both.csv");
    fs::write(&data, text).unwrap();
    let output = fit(&["--data", data.to_str().unwrap(), "--dataset", "H200-data"]);
    assert!(output.status.success());
}

#[test]
fn a_table_that_cannot_be_written_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("sweep.csv");
    let before = fs::read(b300()).unwrap();
    fs::write(&data, &before).unwrap();
    let missing = folder.path().join("missing/policy.csv");
    for out in [data.as_path(), missing.as_path(), folder.path()] {
        let output = fit(&[
            "--data",
            data.to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
        ]);
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write"));
    }
    assert_eq!(fs::read(&data).unwrap(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
