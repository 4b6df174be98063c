//! From a recorded sweep to tuner rules: the sizes at which a choice beats NCCL's default by more
//! than the noise.
//!
//! Times are compared only where everything but the choice is equal, a rule holds for exactly the
//! communicator shape it was measured on, and a window never reaches beyond its outermost
//! measured sizes: where the next choice takes over between two of them is not known. Nothing here
//! measures, reads files or knows how NCCL chooses; what a protocol is where nobody recorded it
//! is asked of the caller.

mod curve;
mod noise;
mod rows;
mod windows;

use std::collections::BTreeMap;

use ccl_core::{
    Algorithm, Asked, Choice, Collective, CommShape, Conditions, Policy, Protocol, Rule, Sweep,
};
use serde::Serialize;
use thiserror::Error;

use curve::Curve;
pub use noise::{NoiseBasis, NoiseFloor, Speedup};

/// What must be equal for two times to be compared, but for the size.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct CurveKey {
    /// Machine, NCCL version and settings.
    pub conditions: Conditions,
    /// The communicator's shape.
    pub shape: CommShape,
    /// The collective.
    pub collective: Collective,
}

/// Limits of a fit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FitOptions {
    /// What may be noise where there are too few repeats to tell.
    pub floor: NoiseFloor,
    /// Smallest gain worth a rule, as a share (0.01 = 1 %), however sure it is: repeats inside one
    /// process do not show what differs from one process to the next.
    pub least_gain: f64,
    /// Sizes further apart than this factor are no neighbours: nobody looked at what lies between.
    pub widest_step: u64,
}

impl Default for FitOptions {
    /// A floor from recorded repeats, 1 % and steps of up to 4, the coarsest step that published
    /// sweeps take in the sizes they are about.
    fn default() -> Self {
        Self {
            floor: NoiseFloor::default(),
            least_gain: 0.01,
            widest_step: 4,
        }
    }
}

/// How it is known which pair of algorithm and protocol a recorded choice was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PairBasis {
    /// The sweep named both.
    Asked,
    /// NCCL's log of the run says so.
    Log,
    /// The algorithm has one protocol only.
    OnlyOne,
    /// The sweep named the algorithm; the caller's model of NCCL says which protocol it takes.
    Model,
}

/// One size inside a window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FittedPoint {
    /// Size in bytes, as nccl-tests counts it.
    pub bytes: u64,
    /// Median time of the default, microseconds.
    pub default_us: f64,
    /// Median time of the choice, microseconds.
    pub choice_us: f64,
    /// Default time / choice time.
    pub speedup: Speedup,
}

/// One row of the tuner table: part of a window, or all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FittedRow {
    /// Smallest size, inclusive.
    pub min_bytes: u64,
    /// Largest size, inclusive.
    pub max_bytes: u64,
    /// What to run.
    pub choice: Choice,
    /// How the pair is known.
    pub basis: PairBasis,
}

/// Neighbouring measured sizes at which one choice beats the default.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Window {
    /// Where it holds.
    pub key: CurveKey,
    /// What was asked of NCCL.
    pub asked: Asked,
    /// Geometric mean of the speedups of its points, with the mean of their intervals.
    pub speedup: Speedup,
    /// Every measured size in it, ascending; the first and the last are its bounds.
    pub points: Vec<FittedPoint>,
    /// The rows that say it, ascending, without overlap.
    pub rows: Vec<FittedRow>,
}

impl Window {
    /// Smallest and largest size, in bytes, both measured.
    pub fn range(&self) -> (u64, u64) {
        let bytes = |p: Option<&FittedPoint>| p.map_or(0, |p| p.bytes);
        (bytes(self.points.first()), bytes(self.points.last()))
    }
}

/// Why sizes were left to NCCL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// NCCL asks no tuner about this collective.
    NotTunable,
    /// Nothing was measured with everything left to NCCL, under the same conditions.
    NoDefault,
    /// Nothing but the default was measured.
    OnlyDefault,
    /// The default is at least as fast as everything else.
    DefaultIsFastest,
    /// Something is faster, by no more than the noise or the smallest gain worth a rule.
    WithinNoise,
    /// Something is faster at this size and not at its neighbours: an outlier.
    NeighboursContradict,
    /// Something is faster that the tuner table has no words for.
    NoRow,
}

/// Neighbouring sizes that were left alone for one reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Untouched {
    /// Where.
    pub key: CurveKey,
    /// Smallest size, in bytes.
    pub min_bytes: u64,
    /// Largest size, in bytes.
    pub max_bytes: u64,
    /// How many measured sizes.
    pub sizes: usize,
    /// Why.
    pub why: Why,
    /// The best that was measured beside the default, and its speedup where it was largest.
    pub best: Option<(Asked, Speedup)>,
}

/// What a sweep says.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Fit {
    /// Where to leave the default, ordered by key, then by size.
    pub windows: Vec<Window>,
    /// Where to stay with it, and why, in the same order.
    pub untouched: Vec<Untouched>,
}

/// Why a fit is no policy.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum FitError {
    /// A policy names neither machine nor settings, so it can hold for one only.
    #[error("{} different machines or settings gained something, and one table holds for one", .0.len())]
    Several(Vec<Conditions>),
}

impl Fit {
    /// The rules of all windows.
    ///
    /// # Errors
    /// When windows come from different machines, NCCL versions or settings.
    pub fn policy(&self) -> Result<Policy, FitError> {
        let mut conditions: Vec<_> = self.windows.iter().map(|w| &w.key.conditions).collect();
        conditions.dedup();
        if conditions.len() > 1 {
            return Err(FitError::Several(conditions.into_iter().cloned().collect()));
        }
        let rules = self.windows.iter().flat_map(|window| {
            window.rows.iter().map(|row| Rule {
                shape: window.key.shape,
                collective: window.key.collective,
                min_bytes: row.min_bytes,
                max_bytes: row.max_bytes,
                choice: row.choice,
            })
        });
        Ok(Policy {
            rules: rules.collect(),
        })
    }
}

/// Which protocol NCCL takes at a size when only the algorithm is named; `None` if unknown.
pub type ProtocolModel<'a> = &'a dyn Fn(&CurveKey, Algorithm, u64) -> Option<Protocol>;

/// Finds the windows of a sweep.
pub fn fit(sweep: &Sweep, options: &FitOptions, protocol: ProtocolModel<'_>) -> Fit {
    let mut cells: BTreeMap<CurveKey, curve::Cells<'_>> = BTreeMap::new();
    for (cell, points) in sweep.cells() {
        let key = CurveKey {
            conditions: cell.conditions.clone(),
            shape: cell.shape,
            collective: cell.collective,
        };
        cells.entry(key).or_default().insert(cell.bytes, points);
    }
    let mut found = Fit::default();
    for (key, cells) in cells {
        match Curve::new(key, &cells, options, protocol) {
            Ok(curve) => windows::find(&curve, options, protocol, &mut found),
            Err(untouched) => found.untouched.push(*untouched),
        }
    }
    found
}

#[cfg(test)]
mod tests;
