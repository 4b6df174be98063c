//! One curve of a sweep: every choice against the default, size by size.
//!
//! Says what is faster at a size and whether its neighbours agree; does not make windows.

use std::collections::BTreeMap;

use ccl_core::{Asked, Choice, Protocol, SweepPoint};

use super::{CurveKey, FitOptions, PairBasis, ProtocolModel, Speedup, Untouched, Why};
use crate::median;

/// The points of a key by size, each by what was asked.
pub(super) type Cells<'a> = BTreeMap<u64, &'a BTreeMap<Asked, Vec<SweepPoint>>>;

/// What was measured of one choice at one size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// Median time, microseconds.
    pub time_us: f64,
    /// Against the default.
    pub speedup: Speedup,
    /// The choice as a row can say it, if one can.
    pub choice: Option<(Choice, PairBasis)>,
}

/// The sizes at which the default was measured, and what else was measured there.
pub(super) struct Curve {
    pub key: CurveKey,
    /// Ascending.
    pub sizes: Vec<u64>,
    /// Median time of the default at each size, microseconds.
    pub default_us: Vec<f64>,
    /// Each choice at each size.
    pub choices: BTreeMap<Asked, Vec<Option<Measured>>>,
    least_gain: f64,
    widest_step: u64,
}

impl Curve {
    /// The curve, or why there is nothing to compare.
    pub fn new(
        key: CurveKey,
        cells: &Cells<'_>,
        options: &FitOptions,
        protocol: ProtocolModel<'_>,
    ) -> Result<Self, Box<Untouched>> {
        let mut curve = Self {
            key,
            sizes: Vec::new(),
            default_us: Vec::new(),
            choices: BTreeMap::new(),
            least_gain: options.least_gain,
            widest_step: options.widest_step,
        };
        let others = |points: &BTreeMap<Asked, _>| points.keys().any(|a| !a.is_default());
        let has_default = cells.values().any(|p| p.contains_key(&Asked::DEFAULT));
        let why = if !curve.key.collective.is_tunable() {
            Some(Why::NotTunable)
        } else if !has_default {
            Some(Why::NoDefault)
        } else if !cells.values().any(|p| others(p)) {
            Some(Why::OnlyDefault)
        } else {
            None
        };
        if let Some(why) = why {
            return Err(Box::new(Untouched {
                min_bytes: cells.keys().next().copied().unwrap_or(0),
                max_bytes: cells.keys().next_back().copied().unwrap_or(0),
                sizes: cells.len(),
                key: curve.key,
                why,
                best: None,
            }));
        }
        for (&bytes, points) in cells {
            let Some(default) = points.get(&Asked::DEFAULT).map(|p| times(p)) else {
                continue;
            };
            let Some(default_us) = median(&default) else {
                continue;
            };
            let index = curve.sizes.len();
            curve.sizes.push(bytes);
            curve.default_us.push(default_us);
            for (&asked, points) in points.iter().filter(|(a, _)| !a.is_default()) {
                let choice_us = times(points);
                let speedup =
                    Speedup::of(&default, &choice_us, curve.key.shape.nodes, &options.floor);
                if let (Some(time_us), Some(speedup)) = (median(&choice_us), speedup) {
                    let row = curve.choices.entry(asked).or_default();
                    row.resize(index, None);
                    row.push(Some(Measured {
                        time_us,
                        speedup,
                        choice: row_choice(&curve.key, asked, bytes, points, protocol),
                    }));
                }
            }
        }
        let sizes = curve.sizes.len();
        for row in curve.choices.values_mut() {
            row.resize(sizes, None);
        }
        Ok(curve)
    }

    /// What was measured of this choice at this index.
    pub fn at(&self, asked: Asked, index: usize) -> Option<&Measured> {
        self.choices.get(&asked)?.get(index)?.as_ref()
    }

    /// Whether the sizes at `index` and the one above are near enough to be neighbours.
    pub fn joined(&self, index: usize) -> bool {
        match (self.sizes.get(index), self.sizes.get(index + 1)) {
            (Some(low), Some(high)) => *high <= low.saturating_mul(self.widest_step),
            _ => false,
        }
    }

    /// Why this choice is no candidate at this index; `None` when it is one, or not measured.
    pub fn objection(&self, asked: Asked, index: usize) -> Option<Why> {
        let here = self.at(asked, index)?;
        if here.speedup.median <= 1.0 {
            Some(Why::DefaultIsFastest)
        } else if !here.speedup.beats(self.least_gain) {
            Some(Why::WithinNoise)
        } else if !self.supported(asked, index, here.speedup) {
            Some(Why::NeighboursContradict)
        } else if here.choice.is_none() {
            Some(Why::NoRow)
        } else {
            None
        }
    }

    /// Whether a neighbouring size gains too. Times are smooth in size but for NCCL's own switches,
    /// so a gain at one size whose neighbours show less than half of it is more likely one
    /// wrong point (of the choice or of the default) than a mechanism. Without neighbours there
    /// is nothing to contradict.
    fn supported(&self, asked: Asked, index: usize, here: Speedup) -> bool {
        let below = index.checked_sub(1).filter(|&i| self.joined(i));
        let above = Some(index + 1).filter(|_| self.joined(index));
        let mut neighbours = [below, above]
            .into_iter()
            .flatten()
            .filter_map(|i| self.at(asked, i))
            .peekable();
        neighbours.peek().is_none()
            || neighbours.any(|m| {
                m.speedup.beats(self.least_gain) || m.speedup.median.ln() >= 0.5 * here.median.ln()
            })
    }
}

fn times(points: &[SweepPoint]) -> Vec<f64> {
    points.iter().map(|p| p.time_us).collect()
}

/// The choice as a row of the tuner table says it. Threads and chunk have no column, and a row
/// needs a pair: as named, else as logged, else as the caller's model of NCCL would complete it.
fn row_choice(
    key: &CurveKey,
    asked: Asked,
    bytes: u64,
    points: &[SweepPoint],
    protocol: ProtocolModel<'_>,
) -> Option<(Choice, PairBasis)> {
    if asked.threads.is_some() || asked.chunk_bytes.is_some() {
        return None;
    }
    // What ran is what was measured, also where NCCL did not follow the request.
    let (algorithm, protocol, basis) = if points.iter().any(|p| p.ran.is_some()) {
        let ran = points.first()?.ran;
        let (algorithm, protocol) = ran.filter(|_| points.iter().all(|p| p.ran == ran))?;
        (algorithm, protocol, PairBasis::Log)
    } else {
        let algorithm = asked.algorithm?;
        match asked.protocol {
            Some(protocol) => (algorithm, protocol, PairBasis::Asked),
            None if !algorithm.speaks(Protocol::Ll) => {
                (algorithm, Protocol::Simple, PairBasis::OnlyOne)
            }
            None => (
                algorithm,
                protocol(key, algorithm, bytes)?,
                PairBasis::Model,
            ),
        }
    };
    let choice = Choice {
        channels: asked.channels,
        ..Choice::new(algorithm, protocol)
    };
    choice.check(key.collective).ok()?;
    Some((choice, basis))
}
