//! What a recall costs among 100,000 rules in one SQLite file: the lookup, the ranking, and reading what it takes.
//!
//! Wanted: below 50 ms. The rules are those of a team with four kinds of machines; a job with a dozen keys asks.
//! The last is the worst there is: every rule is about the asker's machine, and the job has keys of every size.

#![allow(clippy::unwrap_used)]

#[path = "../tests/common/mod.rs"]
mod common;

use ccl_core::{Source, TaskKey};
use ccl_memory::{Lessons, Memory, Query, RuleKind, RuleRecord, SqliteMemory};
use divan::Bencher;

use common::{TODAY, rng};

const RULES: usize = 100_000;

fn main() {
    divan::main();
}

/// Rules of different names: workloads differ.
fn rules(change: impl Fn(usize, &mut RuleRecord)) -> Vec<RuleRecord> {
    let mut rules = common::rules(RULES, 1);
    for (index, rule) in rules.iter_mut().enumerate() {
        rule.context.workload = format!("job {}", index % 997);
        change(index, rule);
    }
    rules
}

fn filled(rules: Vec<RuleRecord>) -> (tempfile::TempDir, SqliteMemory) {
    let folder = tempfile::tempdir().unwrap();
    let mut memory = SqliteMemory::open(&folder.path().join("memory.sqlite")).unwrap();
    let lessons = Lessons {
        rules,
        ..Lessons::of(Source::Measured, TODAY)
    };
    memory.learn(&lessons).unwrap();
    (folder, memory)
}

fn query(keys: usize) -> Query {
    let mut rng = rng(2);
    let context = loop {
        let context = common::context(&mut rng);
        if context.gpu == "H100" && context.nodes > 1 {
            break context;
        }
    };
    let keys: Vec<TaskKey> = (0..keys).map(|_| common::key(&context, &mut rng)).collect();
    Query {
        context,
        keys,
        today: TODAY,
        kind: Some(RuleKind::Positive),
        limit: 100,
    }
}

fn measure(bencher: Bencher, keys: usize, rules: Vec<RuleRecord>) {
    let (_folder, mut memory) = filled(rules);
    let query = query(keys);
    let found = memory.recall(Source::Measured, &query).unwrap();
    assert!(!found.is_empty());
    bencher.bench_local(|| memory.recall(Source::Measured, &query).unwrap());
}

/// A tool of the agent asks about one key.
#[divan::bench]
fn one_key_of_a_team(bencher: Bencher) {
    measure(bencher, 1, rules(|_, _| {}));
}

#[divan::bench]
fn twelve_keys_of_a_team(bencher: Bencher) {
    measure(bencher, 12, rules(|_, _| {}));
}

#[divan::bench]
fn one_key_where_all_are_of_one_machine(bencher: Bencher) {
    let here = query(1).context;
    let same = |_: usize, rule: &mut RuleRecord| {
        rule.context.gpu.clone_from(&here.gpu);
        rule.context.intra = here.intra;
    };
    measure(bencher, 1, rules(same));
}

#[divan::bench(sample_count = 10)]
fn every_size_where_all_are_of_one_machine(bencher: Bencher) {
    let here = query(1).context;
    let same = |_: usize, rule: &mut RuleRecord| {
        rule.context.gpu.clone_from(&here.gpu);
        rule.context.intra = here.intra;
    };
    measure(bencher, 54, rules(same));
}
