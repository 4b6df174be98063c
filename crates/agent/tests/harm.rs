//! What tuning does to the job, without the noise: over everything that ships and fits.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod common;

use ccl_agent::testbed::SimulatedTestbed;
use ccl_agent::tuner::TuneOptions;
use ccl_core::{CLUSTERS, TraceEvent};
use ccl_sim::noise::{NoiseModel, Scenario};
use common::watched::Watched;
use common::{WORKLOADS, With, cluster, tune, workload};

/// Seeds of each pair; more than one where somebody has the time (`HARM_SEEDS`).
fn seeds() -> u64 {
    std::env::var("HARM_SEEDS").map_or(1, |n| n.parse().unwrap())
}

#[test]
fn no_iteration_is_a_tenth_slower_and_tuning_costs_less_than_half_an_iteration() {
    let (mut regrets, mut worse) = (Vec::new(), Vec::new());
    let mut worst = (1.0, String::new());
    let mut distrusted = 0;
    for name in WORKLOADS {
        let spec = workload(name);
        for (on, _) in CLUSTERS {
            let on = cluster(on);
            for seed in 1..=seeds() {
                let noise = NoiseModel::typical(seed);
                let job = SimulatedTestbed::new(&spec, &on, noise, Scenario::default());
                let Ok(job) = job else { continue };
                let mut job = Watched::new(job);
                let options = TuneOptions {
                    seed,
                    ..TuneOptions::default()
                };
                let with = With {
                    options,
                    ..With::default()
                };
                let ran = tune(&mut job, &on, with);
                let summary = ran.summary();
                let label = format!("{name} on {} seed {seed}", on.name);
                eprintln!(
                    "{label}: worst {:.3}, regret {:.3} ({:.2} booked) in {} iterations, {} trials, \
                     {:?}, left at {:.3}",
                    job.worst(),
                    job.regret(),
                    summary.tuning_cost.regret_iterations,
                    summary.tuning_cost.iterations,
                    summary.trials,
                    summary.stopped_because,
                    job.last,
                );
                distrusted += ran
                    .trace
                    .iter()
                    .filter(|l| matches!(l.event, TraceEvent::RolledBack { .. }))
                    .count();
                regrets.push(job.regret());
                if job.last > 1.0 {
                    worse.push(label.clone());
                }
                if job.worst() > worst.0 {
                    worst = (job.worst(), label);
                }
            }
        }
    }
    regrets.sort_by(f64::total_cmp);
    let at = |share: usize| regrets[(regrets.len() - 1) * share / 100];
    eprintln!(
        "{} runs: regret {:.3} on the median, {:.3} at 90 %, {:.3} at most; the slowest iteration \
         {worst:?}; worse than untuned in the end: {worse:?}; distrusted {distrusted}",
        regrets.len(),
        at(50),
        at(90),
        at(100)
    );
    assert!(regrets.len() > 50, "{} pairs fit", regrets.len());
    assert!(worst.0 <= 1.10, "{worst:?}");
    assert!(at(50) <= 0.5, "{}", at(50));
    assert!(worse.is_empty(), "{worse:?}");
    // Nothing is wrong with this job, and nothing was found to be.
    assert!(distrusted * 50 <= regrets.len(), "{distrusted}");
}
