//! The policy file: what it means, and that nothing in it can do harm.

#![allow(clippy::unwrap_used, clippy::panic)]

use ccl_core::{
    Algorithm, Choice, Collective, CommShape, Policy, Protocol, Rule as CoreRule, write_policy_csv,
    write_tuner_csv,
};
use nccl_ccl_agent::policy::{Rule, Table, parse};
use proptest::prelude::*;

#[test]
fn what_would_be_misread_is_refused_with_its_line() {
    for (line, words) in [
        ("allreduce,0,9,ring,simple,4,1", "7 columns"),
        ("allreduce,0,9,ring,simple,4,1,8,-1,-1,5", "11 columns"),
        ("all_reduce,0,9,ring,simple,4,1,8", "no collective"),
        ("AllReduce,0,9,ring,simple,4,1,8", "no collective"),
        ("allreduce,9,0,ring,simple,4,1,8", "above the largest"),
        ("allreduce,x,9,ring,simple,4,1,8", "no smallest size"),
        ("allreduce,0,9,rnig,simple,4,1,8", "no algorithm"),
        ("allreduce,0,9,ring,simple2,4,1,8", "no protocol"),
        ("allreduce,0,9,ring,simple,65,1,8", "1 to 64"),
        ("allreduce,0,9,ring,simple,-2,1,8", "not -1"),
        ("allreduce,0,9,ring,simple,4,1,eight", "count of ranks"),
        ("allreduce,0,9,ring,,4,1,8", "no protocol"),
    ] {
        let error = parse(&format!("# a comment\n\n{line}\n")).unwrap_err();
        assert_eq!(error.line, 3, "{line}");
        assert!(error.what.contains(words), "{line}: {}", error.what);
    }
}

#[test]
fn the_superset_is_only_read_where_it_is_announced() {
    let row = "allreduce,0,9,ring,simple,4,1,8,-1,-1,65536,7";
    assert!(parse(row).is_err());
    let parsed = parse(&format!("#! ccl-agent 1\n#! nccl 2.27.0..2.30.7\n{row}\n")).unwrap();
    assert_eq!(
        (parsed.rules[0].chunk_bytes, parsed.rules[0].comm_id),
        (Some(65536), Some(7))
    );
    assert_eq!(
        parsed.releases.map(|(a, b)| (a.0, b.0)),
        Some((22700, 23007))
    );
    for bad in ["#! nccl 2.27", "#! nccl a..b", "#! chunks on"] {
        assert_eq!(
            parse(&format!("#! ccl-agent 1\n{bad}\n")).unwrap_err().line,
            2,
            "{bad}"
        );
    }
    // Without the announcement these are comments.
    assert!(parse("#! nccl nonsense\n").unwrap().releases.is_none());
}

fn rule() -> impl Strategy<Value = Rule> {
    let some = |n: u64| prop_oneof![Just(None), (1..=n).prop_map(Some)];
    (
        (0u8..5, 0u64..200, 0u64..200, 0u8..7, 0u8..3),
        (
            prop_oneof![Just(None), (1u8..=64).prop_map(Some)],
            some(2),
            some(2),
        ),
        (
            prop_oneof![Just(None), (1i32..3).prop_map(Some)],
            some(2),
            0u32..9,
        ),
    )
        .prop_map(
            |(
                (collective, a, b, algorithm, protocol),
                (channels, nodes, ranks),
                (pipe_ops, comm_id, line),
            )| {
                Rule {
                    collective,
                    min_bytes: a.min(b),
                    max_bytes: if b == 199 { u64::MAX } else { a.max(b) },
                    algorithm,
                    protocol,
                    channels,
                    nodes,
                    ranks,
                    pipe_ops,
                    chunk_bytes: None,
                    comm_id,
                    line,
                }
            },
        )
}

proptest! {
    /// The compiled table gives what reading the file from its top gives.
    #[test]
    fn the_table_is_the_file(rules in prop::collection::vec(rule(), 0..20), bytes in 0u64..220) {
        let (ranks, nodes, id) = (2, 1, Some(1));
        let table = Table::compile(&rules, ranks, nodes, id).unwrap();
        for collective in 0..6usize {
            let found: Vec<u32> = table.lookup(collective, bytes).iter().map(|e| e.rule).collect();
            let expected: Vec<u32> = (0u32..)
                .zip(&rules)
                .filter(|(_, r)| {
                    usize::from(r.collective) == collective
                        && (r.min_bytes..=r.max_bytes).contains(&bytes)
                        && r.ranks.is_none_or(|n| n == ranks)
                        && r.nodes.is_none_or(|n| n == nodes)
                        && r.comm_id.is_none_or(|n| Some(n) == id)
                })
                .map(|(number, _)| number)
                .collect();
            prop_assert_eq!(found, expected);
        }
    }

    /// No text takes it down.
    #[test]
    fn any_text_is_read_or_refused(text in "(#! ccl-agent 1\n)?([a-z0-9_,#! .-]{0,60}\n){0,6}") {
        if let Ok(parsed) = parse(&text) {
            let table = Table::compile(&parsed.rules, 8, 1, None).unwrap();
            for collective in 0..7 {
                for bytes in [0, 1, u64::MAX] {
                    for entry in table.lookup(collective, bytes) {
                        prop_assert!(entry.algorithm < 7 && entry.protocol < 3 && entry.channels <= 64);
                    }
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&String::from_utf8_lossy(&bytes));
    }
}

/// As many rules as a file can hold, side by side and one in another: the first are used, the others
/// would take more memory than there is.
#[test]
fn a_huge_file_is_compiled_or_refused_and_never_takes_the_process_down() {
    let file = |row: &dyn Fn(u64) -> (u64, u64)| {
        let rows = (0..100_000).map(row);
        let lines = rows.map(|(from, to)| format!("allreduce,{from},{to},ring,simple,8,1,8\n"));
        let parsed = parse(&lines.collect::<String>()).unwrap();
        Table::compile(&parsed.rules, 8, 1, None)
    };
    let table = file(&|n| (n * 10, n * 10 + 9)).unwrap();
    assert_eq!(table.lookup(4, 999_999)[0].rule, 99_999);
    assert_eq!(file(&|n| (n, 1_000_000 - n)), None);
}

/// What the agent writes, the plugin reads the same way.
#[test]
fn the_agents_csv_means_the_same_here() {
    let shape = CommShape::new(8, 1);
    let choice = Choice::new(Algorithm::Ring, Protocol::Ll128).with_channels(16);
    let rules = [Collective::AllReduce, Collective::AllGather].map(|collective| CoreRule {
        shape,
        collective,
        min_bytes: 4096,
        max_bytes: 8191,
        choice,
    });
    let policy = Policy {
        rules: rules.to_vec(),
    };
    let text = write_tuner_csv(&policy, &["a note".to_owned()]).unwrap();
    let parsed = parse(&text).unwrap();
    assert!(parsed.skipped.is_empty());
    let table = Table::compile(&parsed.rules, 8, 1, None).unwrap();
    for collective in [2, 4] {
        let entry = table.lookup(collective, 5000)[0];
        assert_eq!(
            (entry.algorithm, entry.protocol, entry.channels),
            (1, 1, 16)
        );
        assert!(table.lookup(collective, 8192).is_empty());
    }
    assert!(
        Table::compile(&parsed.rules, 16, 2, None)
            .unwrap()
            .is_empty(),
        "carried to another scale"
    );

    let chunked = rules.map(|r| CoreRule {
        choice: r.choice.with_chunk_bytes(65536),
        ..r
    });
    let policy = Policy {
        rules: chunked.to_vec(),
    };
    let parsed = parse(&write_policy_csv(&policy, &["a note".to_owned()]).unwrap()).unwrap();
    let table = Table::compile(&parsed.rules, 8, 1, Some(5)).unwrap();
    assert_eq!(table.lookup(4, 5000)[0].chunk_bytes, 65536);
}
