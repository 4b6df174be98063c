//! `ccl-agent sim` as a user meets it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use assert_cmd::Command;
use serde_json::Value;

fn sim(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("ccl-agent").unwrap();
    command.arg("sim").args(args);
    command
}

fn stdout(args: &[&str]) -> String {
    let output = sim(args).assert().success().get_output().clone();
    String::from_utf8(output.stdout).unwrap()
}

fn refused(args: &[&str]) -> String {
    let output = sim(args).assert().code(2).get_output().clone();
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

const B300: [&str; 6] = [
    "--cluster",
    "hgx-b300",
    "--collective",
    "AllReduce",
    "--nodes",
    "1",
];

#[test]
fn a_simulated_sweep_can_be_read_back_and_fits_the_model() {
    let mut args = vec!["sweep", "--bytes", "1M..64M", "--csv"];
    args.extend(B300);
    let csv = stdout(&args);
    assert_eq!(csv.lines().count(), 8);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sweep.csv");
    std::fs::write(&file, &csv).unwrap();
    let json = stdout(&["validate", "--data", file.to_str().unwrap(), "--json"]);
    let found: Value = serde_json::from_str(&json).unwrap();
    let set = &found["datasets"][0];
    assert_eq!(
        (&set["points"], &set["not_covered"]),
        (&7.into(), &0.into())
    );
    // The same model, the same machine: nothing but the rounding of the CSV.
    assert!(set["median_abs_pct_error"].as_f64().unwrap() < 0.1, "{set}");
}

#[test]
fn a_choice_that_is_asked_for_is_what_runs() {
    let mut args = vec![
        "sweep",
        "--bytes",
        "8M",
        "--algorithm",
        "Ring",
        "--channels",
        "4",
        "--csv",
    ];
    args.extend(B300);
    let csv = stdout(&args);
    let row: Vec<&str> = csv.lines().nth(1).unwrap().split(',').collect();
    assert_eq!((row[10], row[12]), ("Ring", "4"));
}

#[test]
fn the_cost_table_names_nccls_choice() {
    let mut args = vec!["nccl-model", "--bytes", "64M", "--json"];
    args.extend(B300);
    let found: Value = serde_json::from_str(&stdout(&args)).unwrap();
    let costs = found["costs"].as_array().unwrap();
    let cheapest = costs
        .iter()
        .min_by(|a, b| {
            a["cost_us"]
                .as_f64()
                .unwrap()
                .total_cmp(&b["cost_us"].as_f64().unwrap())
        })
        .unwrap();
    assert_eq!(found["choice"]["algorithm"], cheapest["algorithm"]);
    assert_eq!(found["choice"]["protocol"], cheapest["protocol"]);
}

#[test]
fn pictures_are_drawn_and_bad_input_draws_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut args = vec!["sweep", "--bytes", "1M..64M", "--csv"];
    args.extend(B300);
    let data = folder.path().join("sweep.csv");
    std::fs::write(&data, stdout(&args)).unwrap();
    let plots = folder.path().join("plots");
    let (data, plots_arg) = (data.to_str().unwrap(), plots.to_str().unwrap());
    stdout(&["validate", "--data", data, "--plots", plots_arg]);
    let svg = std::fs::read_to_string(plots.join("simulated.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    assert_eq!(svg.matches("<circle").count(), 7);

    let broken = folder.path().join("broken.csv");
    std::fs::write(&broken, "gpu,nodes\nB300,1\n").unwrap();
    let nowhere = folder.path().join("nowhere");
    refused(&[
        "validate",
        "--data",
        broken.to_str().unwrap(),
        "--plots",
        nowhere.to_str().unwrap(),
    ]);
    assert!(!nowhere.exists());
}

#[test]
fn what_cannot_be_is_refused() {
    for (args, said) in [
        (vec!["validate", "--data", "nowhere.csv"], "nowhere.csv"),
        (
            vec!["validate", "--nccl-tables", "nowhere"],
            "topologies.csv",
        ),
        (vec!["sweep", "--bytes", "1G..1M"], "no range of sizes"),
        (vec!["sweep", "--bytes", "0"], "no range of sizes"),
        (
            vec!["sweep", "--bytes", "1M", "--algorithm", "PAT"],
            "no such algorithm",
        ),
        (
            vec!["sweep", "--bytes", "1M", "--channels", "65"],
            "1 to 64",
        ),
        (vec!["sweep", "--bytes", "1M", "--ranks", "9"], "do not fit"),
        (
            vec!["sweep", "--bytes", "1M", "--concurrent-compute", "2"],
            "0 to 1",
        ),
        (
            vec!["nccl-model", "--bytes", "1M", "--env", "NCCL_IB_TC=1"],
            "does not model",
        ),
    ] {
        let mut args = args;
        if args[0] != "validate" {
            args.extend(B300);
        }
        let text = refused(&args);
        assert!(text.contains(said), "{args:?}: {text}");
    }
}
