//! Runs that may start the job again.

use ccl_agent::expectation::Expectation;
use ccl_agent::testbed::Testbed;
use ccl_agent::tuner::TuneOptions;
use ccl_core::{ClusterSpec, WorkloadSpec};

use super::With;

/// What a start takes in the simulator, microseconds.
pub const PRICE_US: f64 = 120e6;

/// A run that knows the workload.
pub fn with(
    job: &WorkloadSpec,
    on: &ClusterSpec,
    testbed: &dyn Testbed,
    options: TuneOptions,
) -> With {
    let expectation = Expectation::new(on, testbed.keys()).with_workload(job, on);
    With {
        options,
        expectation: Some(expectation),
        ..With::default()
    }
}

pub fn options(seed: u64, restarts: u32) -> TuneOptions {
    TuneOptions {
        seed,
        restarts,
        ..TuneOptions::default()
    }
}
