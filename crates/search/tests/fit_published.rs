//! The published 8xB300 sweep: Ring from 4 MiB to 128 MiB, and 256 MiB up left alone.
//!
//! `data/b300_allreduce.csv` holds the rows of the data sets `b300_algo` and `b300_channels`,
//! published in eunomia-bpf/nccl-eBPF, `docs/eval-plan-b300.md`; the column `source` repeats it.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use ccl_core::{Algorithm, Asked, Collective, CommShape, Protocol, Sweep, read_measured_csv};
use ccl_search::fit::{CurveKey, Fit, FitOptions, Why, fit};

const MIB: u64 = 1 << 20;

fn b300() -> Sweep {
    read_measured_csv(include_str!("data/b300_allreduce.csv")).unwrap()
}

/// Simple everywhere: which protocol it is does not matter here.
fn simple(_: &CurveKey, _: Algorithm, _: u64) -> Option<Protocol> {
    Some(Protocol::Simple)
}

fn check(found: &Fit) {
    assert_eq!(found.windows.len(), 1, "{:#?}", found.windows);
    let window = &found.windows[0];
    assert_eq!(window.range(), (4 * MIB, 128 * MIB));
    let ring = Asked {
        algorithm: Some(Algorithm::Ring),
        ..Asked::DEFAULT
    };
    assert_eq!(window.asked, ring);
    assert_eq!(window.points.len(), 6);
    assert_eq!(window.key.collective, Collective::AllReduce);
    assert_eq!(window.key.shape, CommShape::new(8, 1));
    // 148.1 / 133.5 GB/s at 4 MiB.
    assert!((window.points[0].speedup.median - 1.109_4).abs() < 1e-3);
    let left: Vec<_> = found
        .untouched
        .iter()
        .map(|u| (u.min_bytes / MIB, u.max_bytes / MIB, u.why))
        .collect();
    assert_eq!(
        left,
        [(1, 1, Why::WithinNoise), (256, 8192, Why::DefaultIsFastest)]
    );
}

#[test]
fn ring_from_4_to_128_mib_and_the_rest_left_alone() {
    check(&fit(&b300(), &FitOptions::default(), &simple));
}

#[test]
fn the_channel_sweep_beside_it_changes_nothing() {
    let only = b300().filtered(|p| p.dataset == "b300_algo");
    check(&fit(&only, &FitOptions::default(), &simple));
    // On its own it has no default, so it says nothing.
    let only = b300().filtered(|p| p.dataset == "b300_channels");
    let found = fit(&only, &FitOptions::default(), &simple);
    assert!(found.windows.is_empty());
    assert_eq!(found.untouched[0].why, Why::NoDefault);
}
