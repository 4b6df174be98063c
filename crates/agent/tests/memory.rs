//! What memory is worth in places that are not quite the one where it was made: it may do no harm there.

#![allow(clippy::unwrap_used)]

mod common;

use ccl_agent::remembered::Remembered;
use ccl_agent::testbed::SimulatedTestbed;
use ccl_agent::tuner::TuneOptions;
use ccl_core::{ClusterSpec, Source, TraceEvent, Verdict, WorkloadSpec};
use ccl_memory::{Change, Lessons, Memory, RuleRecord, SqliteMemory};
use ccl_sim::noise::{NoiseModel, Scenario};
use common::{Ran, With, cluster, restarts, tune, workload};
use jiff::civil::date;

const SEEDS: u64 = 8;
/// Share of what could be gained that the noise of a run makes of no account.
const NOISE: f64 = 0.05;

type Job = (WorkloadSpec, ClusterSpec);

/// Data-parallel AllReduce over so many nodes of eight GPUs, which NCCL's own choices run badly.
fn job(nodes: u32) -> Job {
    let mut job = workload("autoccl/vgg19.json");
    let mut on = cluster("a40-pcie-8gpu");
    job.nodes = nodes;
    on.nodes = nodes;
    (job, on)
}

fn run((job, on): &Job, seed: u64, earlier: Option<&Ran>) -> Ran {
    let noise = NoiseModel::typical(seed);
    let mut testbed = SimulatedTestbed::new(job, on, noise, Scenario::default()).unwrap();
    let with = With {
        options: TuneOptions {
            seed,
            oracle: true,
            ..TuneOptions::default()
        },
        remembered: earlier.map_or_else(Vec::new, |e| e.learnt.clone()),
        surrogates: earlier.map_or_else(Vec::new, |e| e.measured.clone()),
        ..With::default()
    };
    tune(&mut testbed, on, with)
}

fn captured(ran: &Ran) -> f64 {
    ran.summary().oracle.unwrap().captured
}

/// Whether a rule of another place was recalled.
fn was_heard(ran: &Ran) -> bool {
    ran.trace.iter().any(|line| match &line.event {
        TraceEvent::Retrieved { rules, .. } => rules.iter().any(|r| r.contains("positive")),
        _ => false,
    })
}

fn does_no_harm(earlier: &Job, later: &Job) {
    let mut heard = 0;
    for seed in 1..=SEEDS {
        let first = run(earlier, seed, None);
        let cold = run(later, 100 + seed, None);
        let warm = run(later, 100 + seed, Some(&first));
        heard += u32::from(was_heard(&warm));
        let (cold, warm) = (captured(&cold), captured(&warm));
        assert!(warm > cold - NOISE, "seed {seed}: {warm} instead of {cold}");
    }
    assert!(heard > 0, "nothing was remembered");
}

#[test]
fn rules_of_16_gpus_do_no_harm_on_32() {
    does_no_harm(&job(2), &job(4));
}

#[test]
fn rules_of_one_release_do_no_harm_in_the_next() {
    let (workload, mut on) = job(2);
    on.nccl_version.minor += 1;
    does_no_harm(&job(2), &(workload, on));
}

#[test]
fn a_variable_that_helped_is_tried_first_in_the_next_run() {
    let mut job = workload("demo/allreduce-8gpu.json");
    job.env.insert("NCCL_NVLS_ENABLE".into(), "0".into());
    let on = cluster("dgx-h100");
    let run = |seed: u64, remembered: Vec<RuleRecord>| {
        let noise = NoiseModel::typical(seed);
        let mut testbed = SimulatedTestbed::new(&job, &on, noise, Scenario::default()).unwrap();
        let with = With {
            remembered,
            ..restarts::with(&job, &on, &testbed, restarts::options(seed, 7))
        };
        tune(&mut testbed, &on, with)
    };
    let first = run(1, Vec::new());
    let of_variable = |rule: &&RuleRecord| rule.call().is_none();
    let rule = first.learnt.iter().find(of_variable).unwrap();
    assert_eq!(
        rule.change,
        Change::Variable {
            name: "NCCL_NVLS_ENABLE".to_owned(),
            value: "2".to_owned(),
            against: Some("0".to_owned()),
        }
    );
    let proposed_by = |ran: &Ran| {
        let chosen = ran.trace.iter().find_map(|line| match &line.event {
            TraceEvent::EnvironmentsChosen { candidates, .. } => candidates.first().cloned(),
            _ => None,
        });
        chosen.and_then(|c| c.mechanism)
    };
    assert_ne!(proposed_by(&first).as_deref(), Some("remembered"));
    let second = run(2, first.learnt.clone());
    assert_eq!(proposed_by(&second).as_deref(), Some("remembered"));
    assert_eq!(second.summary().verdict, Verdict::Faster);
}

#[test]
fn what_was_simulated_is_a_labelled_guess_in_a_measured_run_for_a_year() {
    let (workload, on) = job(2);
    let ran = run(&(workload, on.clone()), 1, None);
    assert!(!ran.learnt.is_empty());
    let today = date(2026, 11, 25);
    let mut memory = SqliteMemory::in_memory().unwrap();
    let mut rules = ran.learnt.clone();
    for rule in &mut rules {
        rule.expires = Some(date(2027, 11, 25));
    }
    let lessons = Lessons {
        rules,
        ..Lessons::of(Source::Simulated, today)
    };
    memory.learn(&lessons).unwrap();
    let context = ran.learnt[0].context.clone();
    let keys: Vec<_> = ran
        .learnt
        .iter()
        .filter_map(|r| Some(r.call()?.0))
        .collect();
    let mut recall = |source, today| {
        let keys = keys.iter().copied();
        Remembered::recall(&mut memory, source, &context, keys, today).unwrap()
    };
    let measured = recall(Source::Measured, today);
    assert!(measured.rules.is_empty() && measured.failures.is_empty());
    assert!(!measured.priors.is_empty());
    assert!(
        measured
            .priors
            .iter()
            .all(|p| p.statement.contains("simulated"))
    );
    let simulated = recall(Source::Simulated, today);
    assert!(!simulated.rules.is_empty() && simulated.priors.is_empty());
    let later = recall(Source::Simulated, date(2027, 11, 26));
    assert!(later.rules.is_empty() && later.failures.is_empty());
}
