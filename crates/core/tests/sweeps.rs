//! The readers of recorded sweeps, on whole files and on arbitrary text.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

use ccl_core::{
    Algorithm, Asked, BufferPlacement, Choice, Collective, CommShape, NcclTestsOptions,
    NotMeasured, Policy, Protocol, Rule, SweepFormat, detect_format, policy_of_rows,
    read_nccl_tests, read_sweep, read_tuner_csv, read_tuner_example_csv, write_tuner_csv,
};
use proptest::prelude::*;

const TWO_RUNS: &str = include_str!("data/nccl_tests_two_runs.txt");
const OLD_WITH_LOG: &str = include_str!("data/nccl_tests_old_with_log.txt");

#[test]
fn two_runs_in_one_file_keep_their_own_choice() {
    let sweep = read_nccl_tests(TWO_RUNS, "two.txt", &NcclTestsOptions::default()).unwrap();
    let points: Vec<_> = sweep
        .points()
        .map(|p| (p.cell.bytes >> 20, p.asked.to_string(), p.time_us))
        .collect();
    assert_eq!(
        points,
        [
            (4, "default".to_owned(), 101.0),
            (8, "default".to_owned(), 180.0),
            (16, "default".to_owned(), 330.0),
            (4, "Ring/LL128 8ch".to_owned(), 90.0),
            (16, "Ring/LL128 8ch".to_owned(), 300.0),
        ]
    );
    let cell = &sweep.points().next().unwrap().cell;
    assert_eq!(cell.shape, CommShape::new(4, 2));
    assert_eq!(cell.collective, Collective::AllReduce);
    assert_eq!(cell.conditions.gpu, "NVIDIA H100 80GB HBM3");
    assert_eq!(cell.conditions.nccl, "2.30.7");
    // The second run sets a variable that is no part of a choice: another condition.
    let settings: Vec<_> = sweep.conditions().iter().map(|c| &c.settings[..]).collect();
    assert_eq!(settings, ["", "NCCL_BUFFSIZE=8388608"]);
    let said: Vec<_> = sweep.findings().iter().map(|f| f.line).collect();
    assert_eq!(said, [16, 40]);
    assert!(sweep.findings()[1].what.contains("3 wrong results"));
}

#[test]
fn the_printed_bandwidth_agrees_with_the_derived_one() {
    let sweep = read_nccl_tests(TWO_RUNS, "two.txt", &NcclTestsOptions::default()).unwrap();
    let printed = [62.29, 69.91, 76.26, 69.91, 83.89];
    for (point, printed) in sweep.points().zip(printed) {
        assert!((point.busbw_gbs - printed).abs() < 0.01, "{point:?}");
    }
}

#[test]
fn in_place_is_another_condition() {
    let options = NcclTestsOptions {
        placement: BufferPlacement::InPlace,
        ..NcclTestsOptions::default()
    };
    let sweep = read_nccl_tests(TWO_RUNS, "two.txt", &options).unwrap();
    let times: Vec<_> = sweep.points().map(|p| p.time_us).collect();
    assert_eq!(times, [91.0, 162.0, 301.0, 103.0, 181.5, 331.0]);
    assert_eq!(sweep.conditions()[1].settings, "in place");
}

#[test]
fn the_log_tells_what_ran_where_it_is_unambiguous() {
    let sweep = read_nccl_tests(OLD_WITH_LOG, "old.txt", &NcclTestsOptions::default()).unwrap();
    let points: Vec<_> = sweep.points().collect();
    assert_eq!(points[0].cell.collective, Collective::AllGather);
    assert_eq!(points[0].cell.shape, CommShape::new(4, 1));
    assert_eq!(points[0].cell.conditions.nccl, "2.27.7");
    assert_eq!(points[0].asked.to_string(), "Ring");
    // The log counts one rank's 256 KiB of the 1 MiB.
    assert_eq!(points[0].ran, Some((Algorithm::Ring, Protocol::Ll128)));
    assert_eq!(points[1].ran, None);
    assert!((points[0].busbw_gbs - 19.66).abs() < 0.01);
}

#[test]
fn a_choice_beside_the_file_may_not_contradict_it() {
    let tree = Choice::new(Algorithm::Tree, Protocol::Simple);
    let options = NcclTestsOptions {
        asked: Some(Asked::from(tree)),
        ..NcclTestsOptions::default()
    };
    let error = read_nccl_tests(TWO_RUNS, "two.txt", &options).unwrap_err();
    assert!(error.found.contains("Ring/LL128 8ch"), "{error}");
    let first_run = TWO_RUNS.split("# NCCL_ALGO").next().unwrap();
    let sweep = read_nccl_tests(first_run, "one.txt", &options).unwrap();
    assert!(sweep.points().all(|p| p.asked == Asked::from(tree)));
}

#[test]
fn broken_output_is_an_error_with_its_place() {
    let read = |text: &str| read_nccl_tests(text, "x", &NcclTestsOptions::default()).unwrap_err();
    let torn = TWO_RUNS.replace(
        "-1   180.00   46.60",
        "-1node-a:1:2 [0] NCCL INFO AllReduce: 8388608 Bytes",
    );
    let error = read(&torn);
    assert_eq!(error.line, 18);
    assert!(error.expected.contains("NCCL_DEBUG_FILE"), "{error}");
    let error = read(&TWO_RUNS.replace("  180.00", "   wrong"));
    assert_eq!((error.line, error.column), (18, 57));
    let error = read(&TWO_RUNS.replace("Rank  1", "Rank  0"));
    assert!(error.expected.contains("without MPI"), "{error}");
    let error = read(
        &TWO_RUNS
            .replace("# Collective", "#")
            .replace("all_reduce_perf", "x"),
    );
    assert!(error.expected.contains("program's name"), "{error}");
    assert!(
        read("# nThread 1 nGpus 1 minBytes 8\n")
            .expected
            .contains("at least one row")
    );
}

#[test]
fn nothing_is_answered_that_was_not_recorded() {
    let sweep = read_nccl_tests(TWO_RUNS, "two.txt", &NcclTestsOptions::default()).unwrap();
    let mut cell = sweep.points().next().unwrap().cell.clone();
    assert_eq!(sweep.samples_us(&cell, Asked::DEFAULT), Ok(vec![101.0]));
    let ring = Asked::from(Choice::new(Algorithm::Ring, Protocol::Ll128));
    let error = sweep.samples_us(&cell, ring).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Ring/LL128 was not recorded at 4194304 bytes; recorded: default"
    );
    cell.bytes = 6 << 20;
    let error = sweep.samples_us(&cell, Asked::DEFAULT).unwrap_err();
    assert!(error.to_string().ends_with("4194304, 8388608"), "{error}");
    cell.shape = CommShape::new(8, 4);
    let error = sweep.samples_us(&cell, Asked::DEFAULT).unwrap_err();
    assert!(matches!(error, NotMeasured::ShapeOrCollective { .. }));
}

#[test]
fn repeats_are_the_samples_of_a_point() {
    let first_run = TWO_RUNS.split("# NCCL_ALGO").next().unwrap();
    let twice = format!("{first_run}{}", first_run.replace("101.00", "102.00"));
    let sweep = read_nccl_tests(&twice, "twice.txt", &NcclTestsOptions::default()).unwrap();
    let cell = sweep.points().next().unwrap().cell.clone();
    assert_eq!(
        sweep.samples_us(&cell, Asked::DEFAULT),
        Ok(vec![101.0, 102.0])
    );
}

/// Lines that look like the real thing, in any order and cut anywhere.
fn nearly_a_sweep() -> impl Strategy<Value = String> {
    let seeds: Vec<&str> = TWO_RUNS
        .lines()
        .chain(OLD_WITH_LOG.lines())
        .chain([
            "dataset,gpu,nodes,ranks,collective,bytes,algorithm,busbw_gbs",
            "d,B300,1,8,AllReduce,4194304,Ring,148.1",
            "collective,size_bytes,algorithm,protocol,channels,nodes,ranks,latency_us",
            "allreduce,1024,ring,ll,4,1,8,12.1",
            "\"a,\u{fc}\"\",",
            "\u{feff}",
        ])
        .collect();
    let line = (proptest::sample::select(seeds), 0usize..140, any::<bool>()).prop_map(
        |(line, cut, whole)| {
            let cut = if whole { line.len() } else { cut };
            line.chars().take(cut).collect::<String>()
        },
    );
    proptest::collection::vec(prop_oneof![4 => line, 1 => ".{0,40}"], 0..30)
        .prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn no_text_makes_a_reader_panic(text in nearly_a_sweep()) {
        let options = NcclTestsOptions::default();
        let _ = detect_format(&text);
        for format in SweepFormat::ALL {
            if let Ok(sweep) = read_sweep(&text, format, "x", &options) {
                for point in sweep.points() {
                    prop_assert!(point.time_us.is_finite() && point.time_us > 0.0);
                    prop_assert!(point.cell.bytes > 0);
                }
            }
        }
        let _ = read_tuner_csv(&text);
    }

    #[test]
    fn a_policy_survives_the_csv(seeds in proptest::collection::vec(
        (0usize..5, 1u32..4, 1u32..64, 0usize..6, 0usize..3, proptest::option::of(1u32..65), 0u64..1 << 40),
        0..12,
    )) {
        let mut policy = Policy::default();
        for (collective, nodes, ranks, algorithm, protocol, channels, bytes) in seeds {
            let collective = Collective::ALL[collective];
            let algorithms = collective.algorithms();
            let algorithm = algorithms[algorithm % algorithms.len()];
            let protocol = if algorithm.speaks(Protocol::ALL[protocol]) {
                Protocol::ALL[protocol]
            } else {
                Protocol::Simple
            };
            let rule = Rule {
                shape: CommShape::new(nodes * ranks, nodes),
                collective,
                min_bytes: bytes,
                max_bytes: bytes + 7,
                choice: Choice { channels, ..Choice::new(algorithm, protocol) },
            };
            let mut longer = policy.clone();
            longer.rules.push(rule);
            if longer.compile().is_ok() {
                policy = longer;
            }
        }
        policy.rules.sort_by_key(|r| (r.shape, r.collective, r.min_bytes));
        let text = write_tuner_csv(&policy, &["a note".to_owned()]).unwrap();
        let rows = read_tuner_csv(&text).unwrap();
        prop_assert!(rows.iter().all(|r| r.pipe_ops.is_none() && r.registered.is_none()));
        prop_assert_eq!(policy_of_rows(&rows).unwrap(), policy);
    }
}

#[test]
fn without_a_default_nvidias_example_still_reads() {
    // The first rows in the form of NVIDIA's sample, with invented figures.
    let text = "collective,size_bytes,algorithm,protocol,channels,nodes,ranks,pipeOps,regBuff,\
                cost_metric,bandwidth_gbps,latency_us\n\
                allreduce,1024,tree,simple,2,1,8,-1,-1,0.1,40.0,12.0\n\
                allreduce,1024,ring,simple,4,1,8,-1,-1,0.1,50.0,11.0\n";
    assert_eq!(detect_format(text), Ok(SweepFormat::TunerExampleCsv));
    let sweep = read_tuner_example_csv(text, "sample.csv").unwrap();
    assert_eq!(sweep.points().count(), 2);
    assert_eq!(sweep.conditions()[0].only_within, "sample.csv");
}
