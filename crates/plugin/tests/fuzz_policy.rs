//! The policy file, and that of variables, with anything in it: files that are mostly right, then cut, spliced and flipped.
//!
//! A file is read or refused; one that is read holds nothing out of range, and the compiled table
//! says what reading the file from its top says.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

use std::fmt::Write as _;

use nccl_ccl_agent::environment;
use nccl_ccl_agent::policy::{Rule, Table, parse};

#[path = "../../abi/tests/fuzz/random.rs"]
mod random;
use random::{Random, cases};

const COLLECTIVES: [&str; 6] = [
    "broadcast",
    "reduce",
    "allgather",
    "reducescatter",
    "allreduce",
    "AllReduce",
];
const ALGORITHMS: [&str; 8] = [
    "tree",
    "ring",
    "collnet_direct",
    "collnet_chain",
    "nvls",
    "nvls_tree",
    "pat",
    "rnig",
];
const PROTOCOLS: [&str; 4] = ["ll", "ll128", "simple", "LL"];
/// What stands between and inside things, and what parsers stumble over.
const PIECES: [&str; 24] = [
    ",",
    ",,",
    "\n",
    "\r\n",
    "\r",
    " ",
    "\t",
    "#",
    "#!",
    "#! ccl-agent 1\n",
    "#! nccl 2.27..2.30.7\n",
    "#! nccl 2.30.7..2.27\n",
    "#! nccl 99.99.99..100.0.0\n",
    "-1",
    "-",
    "+",
    "0",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775809",
    "1e3",
    "0x10",
    "\0",
    "\u{feff}é",
];

/// Nearly always one that a parser takes; the last of the list is not.
fn mostly<'a>(random: &mut Random, all: &[&'a str]) -> &'a str {
    match random.one_in(300) {
        true => all[all.len() - 1],
        false => all[random.index(all.len() - 1)],
    }
}

fn size(random: &mut Random) -> u64 {
    match random.one_in(8) {
        true => random.number(),
        false => random.below(12),
    }
}

fn file(random: &mut Random) -> String {
    let mut text = String::new();
    let superset = random.one_in(2);
    if superset {
        text.push_str("#! ccl-agent 1\n");
        if random.one_in(4) {
            let mut part = || random.below(101);
            let _ = writeln!(text, "#! nccl 2.{}.{}..2.{}", part(), part(), part());
        }
    }
    for _ in 0..random.below(8) {
        let (a, b) = (size(random), size(random));
        let _ = write!(
            text,
            "{},{},{},{},{}",
            mostly(random, &COLLECTIVES),
            a.min(b),
            a.max(b),
            mostly(random, &ALGORITHMS),
            mostly(random, &PROTOCOLS),
        );
        let most = if superset { 7 } else { 5 };
        for column in 0..3 + random.below(most - 2) {
            let value = match (column, random.below(100)) {
                (_, 0) => random.number().to_string(),
                (4, 1..=90) | (_, 1..=60) => "-1".to_owned(),
                (0, _) => random.of(&[0, 1, 2, 32, 63, 64, 64, 65]).to_string(),
                (5, 61..=70) => random.of(&[0, 64 << 20, (64 << 20) + 1]).to_string(),
                (5, _) => (1 + random.below(1 << 20)).to_string(),
                _ => random.below(3).to_string(),
            };
            let _ = write!(text, ",{value}");
        }
        text.push_str(random.of(&["\n", "\n", "\n", "\r\n", " \n", "\n\n# a note\n"]));
    }
    text
}

/// Bytes, not characters: what is no UTF-8 becomes what a lossy reader makes of it.
fn damage(text: String, random: &mut Random) -> String {
    let mut bytes = text.into_bytes();
    for _ in 0..random.below(6).saturating_sub(2) {
        let at = random.index(bytes.len() + 1);
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 => bytes.truncate(at),
            2 if at < bytes.len() => {
                bytes.remove(at);
            }
            3 => {
                let from = random.index(bytes.len() + 1).min(at);
                let copy = bytes[from..at].to_vec();
                let to = random.index(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            _ => {
                let piece = random.of(&PIECES);
                bytes.splice(at..at, piece.bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn is_in_range(rule: &Rule, lines: usize) -> bool {
    rule.collective < 5
        && rule.algorithm < 7
        && rule.protocol < 3
        && rule.channels.is_none_or(|n| (1..=64).contains(&n))
        && rule.chunk_bytes.is_none_or(|n| (1..=64 << 20).contains(&n))
        && rule.min_bytes <= rule.max_bytes
        && (1..=lines).contains(&(rule.line as usize))
}

#[test]
fn any_file_is_read_or_refused_and_means_what_it_says() {
    let (mut accepted, mut looked_up) = (0u64, 0u64);
    let count = cases(|random| {
        let whole = file(random);
        let text = damage(whole, random);
        let lines = text.lines().count();
        let parsed = match parse(&text) {
            Ok(parsed) => parsed,
            Err(error) => {
                assert!(error.line as usize <= lines, "{error}");
                return;
            }
        };
        accepted += u64::from(!parsed.rules.is_empty());
        for rule in &parsed.rules {
            assert!(is_in_range(rule, lines), "{rule:?}");
        }
        let (ranks, nodes, id) = (random.below(3), random.below(3), Some(random.below(3)));
        let table = Table::compile(&parsed.rules, ranks, nodes, id).unwrap();
        for _ in 0..4 {
            let (mut collective, mut bytes) = (random.index(7), random.number());
            if !parsed.rules.is_empty() {
                let rule = &parsed.rules[random.index(parsed.rules.len())];
                collective = usize::from(rule.collective);
                bytes = match random.below(4) {
                    0 => rule.min_bytes,
                    1 => rule.max_bytes,
                    2 => rule.max_bytes.wrapping_add(1),
                    _ => random.below(12),
                };
            }
            let matches = |rule: &Rule| {
                usize::from(rule.collective) == collective
                    && (rule.min_bytes..=rule.max_bytes).contains(&bytes)
                    && rule.ranks.is_none_or(|n| n == ranks)
                    && rule.nodes.is_none_or(|n| n == nodes)
                    && rule.comm_id.is_none_or(|n| Some(n) == id)
            };
            let expected = (0u32..)
                .zip(&parsed.rules)
                .filter(|(_, rule)| matches(rule));
            let mut found = table.lookup(collective, bytes).iter();
            for (number, rule) in expected {
                let entry = found.next().unwrap();
                looked_up += 1;
                assert_eq!(
                    (entry.rule, entry.algorithm, entry.protocol),
                    (number, rule.algorithm, rule.protocol)
                );
                assert_eq!(entry.channels, rule.channels.unwrap_or(0));
                assert_eq!(entry.chunk_bytes, rule.chunk_bytes.unwrap_or(0));
                assert_eq!(entry.pipe_ops, rule.pipe_ops.unwrap_or(-1));
            }
            assert!(found.next().is_none());
        }
    });
    eprintln!("{count} files: {accepted} with rules were accepted, {looked_up} rules found");
    if count >= 1000 {
        assert!(accepted > count / 4 && looked_up > count / 2);
    }
}

#[test]
fn any_file_of_variables_is_read_or_refused() {
    let mut accepted = 0u64;
    let count = cases(|random| {
        let mut text = String::new();
        for _ in 0..random.below(5) {
            let names = [
                "NCCL_BUFFSIZE",
                "NCCL_IB_HCA",
                "NCCL_ALGO",
                "NCCL_X9",
                "PATH",
            ];
            let values = ["1", "", "=mlx5_0:1,mlx5_1", "Ring,Tree", "a b"];
            let _ = writeln!(text, "{}={}", mostly(random, &names), random.of(&values));
        }
        let text = damage(text, random);
        let Ok(variables) = environment::parse(&text) else {
            return;
        };
        accepted += u64::from(!variables.is_empty());
        for (at, (name, _)) in variables.iter().enumerate() {
            assert!(name.to_bytes().starts_with(b"NCCL_"));
            assert!(variables[..at].iter().all(|(other, _)| other != name));
        }
    });
    eprintln!("{count} files: {accepted} with variables were accepted");
    if count >= 1000 {
        assert!(accepted > count / 5);
    }
}
