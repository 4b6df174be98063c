//! All that is known of a job at one moment: what `ccl-agent observe --json` prints.

use std::path::Path;

use ccl_abi::nccl::profiler::kind::{COLLECTIVE, KERNEL_CHANNEL, PROXY_OP, PROXY_STEP};
use ccl_abi::shared::Control;
use schemars::JsonSchema;
use serde::Serialize;

use super::rings::Rings;
use super::row::Row;
use super::table::Table;

/// How much of each collective the ranks record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// What NCCL chose, not how long it took.
    Collectives,
    /// And the kernels on the GPU.
    Kernels,
    /// And every network transfer.
    Transfers,
}

impl Depth {
    /// The kinds of events it takes.
    #[allow(clippy::cast_possible_truncation)] // the lowest bits
    pub const fn kinds(self) -> u32 {
        (match self {
            Self::Collectives => COLLECTIVE,
            Self::Kernels => COLLECTIVE | KERNEL_CHANNEL,
            Self::Transfers => COLLECTIVE | KERNEL_CHANNEL | PROXY_OP | PROXY_STEP,
        }) as u32
    }

    fn of(kinds: u32) -> Option<Self> {
        [Self::Collectives, Self::Kernels, Self::Transfers]
            .into_iter()
            .find(|depth| depth.kinds() == kinds)
    }
}

/// What the ranks are asked to record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Asked {
    /// How much of each collective; null for kinds of events that no depth has.
    pub depth: Option<Depth>,
    /// One collective in this many; 1 leaves it to the ranks, which record all while that costs little.
    pub sample: u32,
}

impl From<Control> for Asked {
    fn from(control: Control) -> Self {
        Self {
            depth: Depth::of(control.kinds),
            sample: control.one_in,
        }
    }
}

/// What is missing from the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Lost {
    /// Records that found a ring full: the observer came too late or was too slow.
    pub dropped: u64,
    /// Events that found too many open at once.
    pub crowded: u64,
    /// Events of collectives that were over.
    pub late: u64,
    /// Records that were none: a ring is damaged.
    pub damaged: u64,
    /// Records of rows beyond the most a table has.
    pub unlisted: u64,
    /// Records that have no bandwidth and so no line of the inspector's; 0 where it is not written.
    pub without_inspector_line: u64,
}

/// A file of the job directory that is not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NotRead {
    /// Its name.
    pub file: String,
    /// Why.
    pub why: String,
}

/// The state of a job.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Report {
    /// The job directory.
    pub job: String,
    /// When, microseconds since 1970.
    pub at_us: u64,
    /// Whether this is the last report.
    pub is_last: bool,
    /// Processes whose rings are read.
    pub processes: usize,
    /// Those of them that live.
    pub living: usize,
    /// Records read since the observer began, one per collective and rank.
    pub records: u64,
    /// What the ranks are asked to record; null without ranks, and where they differ.
    pub asked: Option<Asked>,
    /// What is missing.
    pub lost: Lost,
    /// Files that are not read.
    pub not_read: Vec<NotRead>,
    /// What was called and how it ran, what costs most first.
    pub rows: Vec<Row>,
}

impl Report {
    /// What rings and table say now.
    pub fn new(job: &Path, at_us: u64, is_last: bool, rings: &Rings, table: &Table) -> Self {
        let losses = rings.losses();
        let not_read = rings.refused().map(|(path, why)| NotRead {
            file: path
                .file_name()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            why: why.to_string(),
        });
        Self {
            job: job.display().to_string(),
            at_us,
            is_last,
            processes: rings.processes(),
            living: rings.living(),
            records: table.records(),
            asked: rings.asked().map(Asked::from),
            lost: Lost {
                dropped: losses.dropped,
                crowded: losses.crowded,
                late: losses.late,
                damaged: rings.damaged(),
                unlisted: table.unlisted(),
                without_inspector_line: 0,
            },
            not_read: not_read.collect(),
            rows: table.rows(),
        }
    }
}
