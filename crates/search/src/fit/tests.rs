//! What holds for every sweep, then the single decisions.

use ccl_core::{Cell, SweepPoint};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

const RING: Asked = Asked {
    algorithm: Some(Algorithm::Ring),
    protocol: Some(Protocol::Simple),
    ..Asked::DEFAULT
};
const TREE: Asked = Asked {
    algorithm: Some(Algorithm::Tree),
    protocol: Some(Protocol::Simple),
    ..Asked::DEFAULT
};
const MIB: u64 = 1 << 20;

fn point(shape: CommShape, bytes: u64, asked: Asked, time_us: f64) -> SweepPoint {
    SweepPoint {
        cell: Cell {
            conditions: Conditions::default(),
            shape,
            collective: Collective::AllReduce,
            bytes,
        },
        asked,
        ran: None,
        time_us,
        busbw_gbs: 1.0,
        dataset: "d".to_owned(),
        source: "s".to_owned(),
        line: 1,
    }
}

/// 8 ranks on one node; the default takes 1000 us everywhere, `times` are those of the choices
/// from 1 MiB up in factors of two.
fn sweep(choices: &[(Asked, &[f64])]) -> Sweep {
    let shape = CommShape::new(8, 1);
    let mut points = Vec::new();
    for (asked, times) in choices {
        for (step, time) in times.iter().enumerate() {
            points.push(point(shape, MIB << step, *asked, *time));
        }
    }
    let longest = choices.iter().map(|(_, t)| t.len()).max().unwrap_or(0);
    points.extend((0..longest).map(|s| point(shape, MIB << s, Asked::DEFAULT, 1000.0)));
    Sweep::new(points, Vec::new())
}

fn nobody_knows(_: &CurveKey, _: Algorithm, _: u64) -> Option<Protocol> {
    None
}

fn fitted(sweep: &Sweep) -> Fit {
    fit(sweep, &FitOptions::default(), &nobody_knows)
}

fn ranges(fit: &Fit) -> Vec<(Asked, u64, u64)> {
    let of = |w: &Window| (w.asked, w.range().0 / MIB, w.range().1 / MIB);
    fit.windows.iter().map(of).collect()
}

fn reasons(fit: &Fit) -> Vec<(Why, u64, u64)> {
    let of = |u: &Untouched| (u.why, u.min_bytes / MIB, u.max_bytes / MIB);
    fit.untouched.iter().map(of).collect()
}

/// Random points: few sizes and choices, so that they meet, with repeats, gaps and two shapes.
fn points() -> impl Strategy<Value = Vec<SweepPoint>> {
    let asked = prop_oneof![
        3 => Just(Asked::DEFAULT),
        2 => Just(RING),
        2 => Just(TREE),
        1 => Just(Asked { channels: Some(8), ..RING }),
        1 => Just(Asked { threads: Some(512), ..RING }),
        2 => Just(Asked { protocol: None, ..RING }),
    ];
    let one = (asked, 0u32..9, 0.5f64..2.0, 1u32..3, 10f64..10_000.0).prop_map(
        |(asked, step, factor, nodes, scale)| {
            // Most times near 1000 us, some anywhere.
            let time = if scale < 9_000.0 {
                1000.0 * factor
            } else {
                scale
            };
            point(CommShape::new(8, nodes), MIB << step, asked, time)
        },
    );
    prop::collection::vec(one, 0..150)
}

proptest! {
    /// The promise of the table: wherever a rule applies and the default was measured, the
    /// rule's choice was measured too, and was faster.
    #[test]
    fn no_window_holds_a_size_where_the_default_is_as_fast(points in points()) {
        let sweep = Sweep::new(points, Vec::new());
        let takes = |_: &CurveKey, _: Algorithm, bytes: u64| {
            Some(if bytes < 5 * MIB { Protocol::Ll } else { Protocol::Simple })
        };
        let found = fit(&sweep, &FitOptions::default(), &takes);
        for window in &found.windows {
            let (min, max) = window.range();
            for (cell, _) in sweep.cells() {
                if cell.shape != window.key.shape || cell.bytes < min || cell.bytes > max {
                    continue;
                }
                let Ok(default) = sweep.samples_us(cell, Asked::DEFAULT) else { continue };
                let choice = sweep.samples_us(cell, window.asked).unwrap();
                prop_assert!(crate::median(&choice).unwrap() < crate::median(&default).unwrap());
            }
            for row in &window.rows {
                prop_assert!(min <= row.min_bytes && row.max_bytes <= max);
            }
            // Both bounds are inside a row, and every measured size is in exactly one.
            for point in &window.points {
                let rows = window.rows.iter();
                let covering = rows.filter(|r| (r.min_bytes..=r.max_bytes).contains(&point.bytes));
                prop_assert_eq!(covering.count(), 1);
            }
        }
        // The rules fit together.
        prop_assert!(found.policy().unwrap().compile().is_ok());
    }

    /// Every size with a default is in one window or in one range left alone.
    #[test]
    fn every_size_is_accounted_for(points in points()) {
        let sweep = Sweep::new(points, Vec::new());
        let found = fitted(&sweep);
        for (cell, asked) in sweep.cells() {
            if !asked.contains_key(&Asked::DEFAULT) {
                continue;
            }
            let here = |key: &CurveKey, min: u64, max: u64| {
                key.shape == cell.shape && (min..=max).contains(&cell.bytes)
            };
            let used = found.windows.iter().filter(|w| here(&w.key, w.range().0, w.range().1));
            let left = found.untouched.iter().filter(|u| here(&u.key, u.min_bytes, u.max_bytes));
            prop_assert_eq!(used.count() + left.count(), 1);
        }
    }
}

/// Nothing differs, so whatever is found is false. The bound of 5 % is that of the intervals.
#[test]
fn pure_noise_makes_no_windows() {
    for repeats in [1, 8] {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut false_windows = 0;
        for _ in 0..200 {
            let mut points = Vec::new();
            for step in 0..10 {
                for asked in [Asked::DEFAULT, RING, TREE] {
                    for _ in 0..repeats {
                        // A standard deviation of 1 %: twelve uniform values.
                        let normal: f64 =
                            (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
                        let time = 1000.0 * (1.0 + 0.01 * normal);
                        points.push(point(CommShape::new(8, 1), MIB << step, asked, time));
                    }
                }
            }
            let found = fitted(&Sweep::new(points, Vec::new()));
            false_windows += usize::from(!found.windows.is_empty());
        }
        assert!(
            false_windows <= 10,
            "{false_windows} of 200, {repeats} repeats"
        );
    }
}

#[test]
fn neighbouring_sizes_make_one_window_and_its_bounds_are_measured() {
    let found = fitted(&sweep(&[(
        RING,
        &[1100.0, 900.0, 850.0, 940.0, 990.0, 1050.0],
    )]));
    assert_eq!(ranges(&found), [(RING, 2, 8)]);
    assert_eq!(
        reasons(&found),
        [
            (Why::DefaultIsFastest, 1, 1),
            (Why::WithinNoise, 16, 16),
            (Why::DefaultIsFastest, 32, 32)
        ]
    );
    let policy = found.policy().unwrap();
    assert_eq!(policy.rules.len(), 1);
    assert_eq!(
        policy.rules[0].choice,
        Choice::new(Algorithm::Ring, Protocol::Simple)
    );
}

#[test]
fn an_outlier_makes_no_window_and_the_next_best_takes_its_size() {
    let found = fitted(&sweep(&[(RING, &[1050.0, 1050.0, 500.0, 1050.0])]));
    assert_eq!(ranges(&found), []);
    assert!(reasons(&found).contains(&(Why::NeighboursContradict, 4, 4)));
    // Neighbours that gain a little are not what 50 % looks like either.
    let found = fitted(&sweep(&[(RING, &[995.0, 990.0, 500.0, 990.0])]));
    assert_eq!(ranges(&found), []);
    // A default that is wrong at one size makes every choice look good there.
    let mut points: Vec<_> = sweep(&[(RING, &[1010.0; 5])]).points().cloned().collect();
    for point in &mut points {
        if point.asked.is_default() && point.cell.bytes == 4 * MIB {
            point.time_us = 1500.0;
        }
    }
    assert_eq!(ranges(&fitted(&Sweep::new(points, Vec::new()))), []);
    let found = fitted(&sweep(&[
        (RING, &[900.0, 900.0, 900.0, 900.0]),
        (TREE, &[1100.0, 1100.0, 500.0, 1100.0]),
    ]));
    assert_eq!(ranges(&found), [(RING, 1, 8)]);
}

#[test]
fn near_equals_make_one_window_not_many() {
    let found = fitted(&sweep(&[
        (RING, &[900.0, 910.0, 900.0, 905.0]),
        (TREE, &[910.0, 900.0, 905.0, 900.0]),
    ]));
    assert_eq!(found.windows.len(), 1);
    assert_eq!(found.windows[0].points.len(), 4);
    // Of equals the one that pins less.
    let eight = Asked {
        channels: Some(8),
        ..RING
    };
    let found = fitted(&sweep(&[(RING, &[900.0, 900.0]), (eight, &[895.0, 899.0])]));
    assert_eq!(ranges(&found), [(RING, 1, 2)]);
}

#[test]
fn a_gap_in_the_sizes_or_a_missing_choice_ends_a_window() {
    let shape = CommShape::new(8, 1);
    let mut points = Vec::new();
    for bytes in [MIB, 2 * MIB, 64 * MIB, 128 * MIB] {
        points.push(point(shape, bytes, Asked::DEFAULT, 1000.0));
        points.push(point(shape, bytes, RING, 900.0));
    }
    let found = fitted(&Sweep::new(points.clone(), Vec::new()));
    assert_eq!(ranges(&found), [(RING, 1, 2), (RING, 64, 128)]);
    points.push(point(shape, 8 * MIB, Asked::DEFAULT, 1000.0));
    points.push(point(shape, 32 * MIB, Asked::DEFAULT, 1000.0));
    let found = fitted(&Sweep::new(points, Vec::new()));
    assert_eq!(ranges(&found), [(RING, 1, 2), (RING, 64, 128)]);
}

#[test]
fn nothing_is_carried_to_another_scale_or_machine() {
    let mut points: Vec<_> = sweep(&[(RING, &[900.0, 900.0])])
        .points()
        .cloned()
        .collect();
    let sixteen = CommShape::new(16, 2);
    points.push(point(sixteen, MIB, Asked::DEFAULT, 1000.0));
    points.push(point(sixteen, MIB, RING, 1000.0));
    let found = fitted(&Sweep::new(points.clone(), Vec::new()));
    let rules = found.policy().unwrap().rules;
    assert!(rules.iter().all(|r| r.shape == CommShape::new(8, 1)));
    // The same points from another GPU: two machines do not fit into one table.
    for mut point in points.clone() {
        point.cell.conditions.gpu = "B300".to_owned();
        points.push(point);
    }
    let found = fitted(&Sweep::new(points, Vec::new()));
    assert!(matches!(found.policy(), Err(FitError::Several(c)) if c.len() == 2));
}

#[test]
fn settings_differ_so_times_are_not_compared() {
    let mut points: Vec<_> = sweep(&[(RING, &[900.0, 900.0])])
        .points()
        .cloned()
        .collect();
    for point in &mut points {
        if !point.asked.is_default() {
            point.cell.conditions.settings = "NCCL_BUFFSIZE=8388608".to_owned();
        }
    }
    let found = fitted(&Sweep::new(points, Vec::new()));
    assert_eq!(ranges(&found), []);
    let whys: Vec<_> = found.untouched.iter().map(|u| u.why).collect();
    assert_eq!(whys, [Why::OnlyDefault, Why::NoDefault]);
}

#[test]
fn what_has_no_row_is_said() {
    let threads = Asked {
        threads: Some(512),
        ..RING
    };
    let found = fitted(&sweep(&[(threads, &[900.0, 900.0])]));
    assert_eq!(reasons(&found), [(Why::NoRow, 1, 2)]);
    let named = Asked {
        protocol: None,
        ..RING
    };
    let found = fitted(&sweep(&[(named, &[900.0, 900.0])]));
    assert_eq!(
        reasons(&found),
        [(Why::NoRow, 1, 2)],
        "nobody knows the protocol"
    );
}

#[test]
fn a_model_says_where_the_protocol_changes_and_a_log_does_not() {
    let named = Asked {
        protocol: None,
        ..RING
    };
    let data = sweep(&[(named, &[900.0; 4])]);
    let takes = |_: &CurveKey, _: Algorithm, bytes: u64| {
        Some(match bytes {
            0..3_000_000 => Protocol::Ll,
            3_000_000..3_500_000 => Protocol::Ll128,
            _ => Protocol::Simple,
        })
    };
    let found = fit(&data, &FitOptions::default(), &takes);
    let rows: Vec<_> = found.windows[0]
        .rows
        .iter()
        .map(|r| (r.choice.protocol, r.min_bytes, r.max_bytes))
        .collect();
    assert_eq!(
        rows,
        [
            (Protocol::Ll, MIB, 2_999_999),
            (Protocol::Ll128, 3_000_000, 3_499_999),
            (Protocol::Simple, 3_500_000, 8 * MIB),
        ]
    );
    let mut logged: Vec<_> = data.points().cloned().collect();
    for point in &mut logged {
        let protocol = takes(&found.windows[0].key, Algorithm::Ring, point.cell.bytes).unwrap();
        point.ran = Some((Algorithm::Ring, protocol));
    }
    let found = fit(
        &Sweep::new(logged, Vec::new()),
        &FitOptions::default(),
        &nobody_knows,
    );
    let rows: Vec<_> = found.windows[0]
        .rows
        .iter()
        .map(|r| (r.choice.protocol, r.min_bytes, r.max_bytes, r.basis))
        .collect();
    assert_eq!(
        rows,
        [
            (Protocol::Ll, MIB, 2 * MIB, PairBasis::Log),
            (Protocol::Simple, 4 * MIB, 8 * MIB, PairBasis::Log),
        ]
    );
}
