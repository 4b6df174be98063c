//! Recorded sweeps: what somebody measured earlier, as data that can be asked.
//!
//! A sweep answers only for the points it holds. Nothing is interpolated between algorithms,
//! protocols or sizes, and two times are compared only where [`Conditions`] are equal; what is
//! not there is [`NotMeasured`], with the reason. The readers below are pure functions over text:
//! opening files is the caller's business.

mod columns;
mod format;
mod measured;
mod nccl_tests;
mod table;
mod tuner_example;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use thiserror::Error;

use crate::{Algorithm, Choice, Collective, CommShape, Protocol, format_bytes};

pub use format::{SweepFormat, UnknownFormat, detect_format, read_sweep};
pub use measured::read_measured_csv;
pub use nccl_tests::{BufferPlacement, NcclTestsOptions, read_nccl_tests};
pub use tuner_example::read_tuner_example_csv;

/// What NCCL was told to do; `None` was left to NCCL. All `None` is untuned NCCL.
///
/// Unlike a [`Choice`], a sweep often pins less than a pair: `NCCL_ALGO=Ring` says nothing
/// about the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Asked {
    /// The algorithm named.
    pub algorithm: Option<Algorithm>,
    /// The protocol named.
    pub protocol: Option<Protocol>,
    /// The channel count named.
    pub channels: Option<u32>,
    /// The threads per channel named.
    pub threads: Option<u32>,
    /// The bytes per channel and pipeline step named.
    pub chunk_bytes: Option<u64>,
}

impl Asked {
    /// Untuned NCCL.
    pub const DEFAULT: Self = Self {
        algorithm: None,
        protocol: None,
        channels: None,
        threads: None,
        chunk_bytes: None,
    };

    /// Whether everything was left to NCCL.
    pub fn is_default(self) -> bool {
        self == Self::DEFAULT
    }

    /// How many things were pinned, 0 to 5.
    pub fn pinned(self) -> usize {
        usize::from(self.algorithm.is_some())
            + usize::from(self.protocol.is_some())
            + usize::from(self.channels.is_some())
            + usize::from(self.threads.is_some())
            + usize::from(self.chunk_bytes.is_some())
    }
}

impl From<Choice> for Asked {
    fn from(choice: Choice) -> Self {
        Self {
            algorithm: Some(choice.algorithm),
            protocol: Some(choice.protocol),
            channels: choice.channels,
            threads: choice.threads,
            chunk_bytes: choice.chunk_bytes,
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_default() {
            return f.write_str("default");
        }
        let mut parts = Vec::new();
        match (self.algorithm, self.protocol) {
            (Some(a), Some(p)) => parts.push(format!("{a}/{p}")),
            (Some(a), None) => parts.push(a.to_string()),
            (None, Some(p)) => parts.push(p.to_string()),
            (None, None) => {}
        }
        parts.extend(self.channels.map(|n| format!("{n}ch")));
        parts.extend(self.threads.map(|n| format!("{n}thr")));
        parts.extend(
            self.chunk_bytes
                .map(|n| format!("chunk {}", format_bytes(n))),
        );
        f.write_str(&parts.join(" "))
    }
}

/// Everything that must be equal before two times may be compared. Empty = not stated.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Conditions {
    /// GPU product (`B300`).
    pub gpu: String,
    /// GPUs per node; 0 = not stated.
    pub gpus_per_node: u32,
    /// Links inside a node, as the sweep words them.
    pub intra: String,
    /// Network between nodes, as the sweep words it.
    pub network: String,
    /// NCCL version as the sweep words it.
    pub nccl: String,
    /// Settings beyond the choice itself: process-level knobs, transport, placement.
    pub settings: String,
    /// Computation beside the collective.
    pub concurrent_compute: String,
    /// The data set, but only where machine or NCCL version is not stated: then nothing says
    /// that two data sets are of one machine, and they are not compared.
    pub only_within: String,
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gpu = if self.gpu.is_empty() {
            "unstated GPU"
        } else {
            &self.gpu
        };
        f.write_str(gpu)?;
        for part in [&self.intra, &self.network] {
            if !part.is_empty() && part != "none" {
                write!(f, ", {part}")?;
            }
        }
        if self.nccl.is_empty() {
            f.write_str(", NCCL version not stated")?;
        } else {
            write!(f, ", NCCL {}", self.nccl)?;
        }
        for part in [&self.settings, &self.concurrent_compute] {
            if !part.is_empty() {
                write!(f, ", {part}")?;
            }
        }
        if !self.only_within.is_empty() {
            write!(f, " ({})", self.only_within)?;
        }
        Ok(())
    }
}

/// Where a point stands: everything but what was asked of NCCL and how long it took.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Cell {
    /// What must be equal to compare.
    pub conditions: Conditions,
    /// The communicator's shape.
    pub shape: CommShape,
    /// The collective.
    pub collective: Collective,
    /// Size as nccl-tests counts it.
    pub bytes: u64,
}

/// One measured point.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepPoint {
    /// Where it stands.
    pub cell: Cell,
    /// What NCCL was told.
    pub asked: Asked,
    /// What NCCL's log says it ran, where the log was kept.
    pub ran: Option<(Algorithm, Protocol)>,
    /// Duration of the call, microseconds.
    pub time_us: f64,
    /// Bus bandwidth, GB/s (1e9 bytes per second), as nccl-tests defines it.
    pub busbw_gbs: f64,
    /// Name of the data set, or of the file.
    pub dataset: String,
    /// Who published it.
    pub source: String,
    /// Line in the text it was read from, from 1.
    pub line: u64,
}

/// Time in microseconds of a call with this bus bandwidth in GB/s; the definition of nccl-tests
/// (`doc/PERFORMANCE.md`): busbw = bytes / time x factor(collective, ranks).
pub fn time_from_busbw(collective: Collective, ranks: u32, bytes: u64, busbw_gbs: f64) -> f64 {
    #[allow(clippy::cast_precision_loss)] // sizes stay far below 2^53
    let bytes = bytes as f64;
    bytes * collective.bus_factor(ranks) / (busbw_gbs * 1e3)
}

/// Bus bandwidth in GB/s of a call that takes `time_us`; the reverse of [`time_from_busbw`].
pub fn busbw_from_time(collective: Collective, ranks: u32, bytes: u64, time_us: f64) -> f64 {
    time_from_busbw(collective, ranks, bytes, time_us)
}

/// Something in the text that is no error and no point: said, never swallowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Name of the data set, or of the file.
    pub dataset: String,
    /// Line in the text, from 1.
    pub line: u64,
    /// What is there and why it is not used.
    pub what: String,
}

/// Text that is not the sweep it claims to be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: expected {expected}, found {found}")]
pub struct SweepError {
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
    /// What would have been right.
    pub expected: String,
    /// What is there.
    pub found: String,
}

/// Why a sweep has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotMeasured {
    /// Nothing of this shape and collective.
    #[error("nothing was recorded for {collective} on {shape}")]
    ShapeOrCollective {
        /// The shape asked for.
        shape: CommShape,
        /// The collective asked for.
        collective: Collective,
    },
    /// The shape and collective are there, this size is not; sizes are not interpolated.
    #[error("{bytes} bytes was not recorded; nearest recorded sizes: {nearest}")]
    Size {
        /// The size asked for.
        bytes: u64,
        /// Neighbours, for people.
        nearest: String,
    },
    /// The size is there, but not with this choice.
    #[error("{asked} was not recorded at {bytes} bytes; recorded: {recorded}")]
    Choice {
        /// What was asked for.
        asked: Asked,
        /// The size asked for.
        bytes: u64,
        /// What is there instead.
        recorded: String,
    },
}

/// A set of points with exact lookups. Repeats of a point are kept as its samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sweep {
    points: BTreeMap<Cell, BTreeMap<Asked, Vec<SweepPoint>>>,
    findings: Vec<Finding>,
}

impl Sweep {
    /// A sweep of these points; the order within repeats is kept.
    pub fn new(points: impl IntoIterator<Item = SweepPoint>, findings: Vec<Finding>) -> Self {
        let mut sweep = Self {
            points: BTreeMap::new(),
            findings,
        };
        for point in points {
            let asked = sweep.points.entry(point.cell.clone()).or_default();
            asked.entry(point.asked).or_default().push(point);
        }
        sweep
    }

    /// Every point, ordered by cell, then by what was asked, repeats in the order of the text.
    pub fn points(&self) -> impl Iterator<Item = &SweepPoint> {
        self.points.values().flat_map(BTreeMap::values).flatten()
    }

    /// The cells, each with its points by what was asked.
    pub fn cells(&self) -> impl Iterator<Item = (&Cell, &BTreeMap<Asked, Vec<SweepPoint>>)> {
        self.points.iter()
    }

    /// What the reader set aside.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The points that `keep` accepts; findings stay.
    #[must_use]
    pub fn filtered(self, keep: impl Fn(&SweepPoint) -> bool) -> Self {
        let Self { points, findings } = self;
        let points = points.into_values().flat_map(BTreeMap::into_values);
        Self::new(points.flatten().filter(|p| keep(p)), findings)
    }

    /// The different conditions under which something was measured, in order.
    pub fn conditions(&self) -> Vec<&Conditions> {
        let mut all: Vec<_> = self.points.keys().map(|c| &c.conditions).collect();
        all.dedup();
        all
    }

    /// The samples of exactly this cell and request, microseconds, in the order of the text.
    ///
    /// # Errors
    /// [`NotMeasured`] when the point is not there.
    pub fn samples_us(&self, cell: &Cell, asked: Asked) -> Result<Vec<f64>, NotMeasured> {
        let of_key: BTreeMap<u64, _> = self
            .points
            .iter()
            .filter(|(c, _)| {
                c.conditions == cell.conditions
                    && c.shape == cell.shape
                    && c.collective == cell.collective
            })
            .map(|(c, points)| (c.bytes, points))
            .collect();
        if of_key.is_empty() {
            return Err(NotMeasured::ShapeOrCollective {
                shape: cell.shape,
                collective: cell.collective,
            });
        }
        let Some(points) = of_key.get(&cell.bytes) else {
            let below = of_key.range(..cell.bytes).next_back();
            let above = of_key.range(cell.bytes..).next();
            let nearest: Vec<_> = below
                .iter()
                .chain(&above)
                .map(|(b, _)| b.to_string())
                .collect();
            return Err(NotMeasured::Size {
                bytes: cell.bytes,
                nearest: nearest.join(", "),
            });
        };
        points
            .get(&asked)
            .map(|samples| samples.iter().map(|p| p.time_us).collect())
            .ok_or_else(|| NotMeasured::Choice {
                asked,
                bytes: cell.bytes,
                recorded: points
                    .keys()
                    .map(Asked::to_string)
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bus_bandwidth_and_time_are_each_others_reverse() {
        // 8 ranks, AllReduce: factor 7/4; 1 GiB at 100 GB/s.
        let time = time_from_busbw(Collective::AllReduce, 8, 1 << 30, 100.0);
        assert!((time - 18_790.481_92).abs() < 1e-4, "{time}");
        let back = busbw_from_time(Collective::AllReduce, 8, 1 << 30, time);
        assert!((back - 100.0).abs() < 1e-9);
    }

    #[test]
    fn a_request_reads_like_a_log_line() {
        let ring = Asked {
            algorithm: Some(Algorithm::Ring),
            channels: Some(4),
            ..Asked::DEFAULT
        };
        assert_eq!(ring.to_string(), "Ring 4ch");
        assert_eq!(Asked::DEFAULT.to_string(), "default");
    }
}
