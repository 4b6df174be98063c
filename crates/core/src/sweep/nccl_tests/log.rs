//! What NCCL and the shell say around a run: variables, version, what ran.

use std::collections::BTreeMap;

use super::super::table::shorten;
use super::super::{Asked, SweepError, SweepPoint};
use crate::{Algorithm, Collective, Protocol};

/// `NAME=value` words and NCCL's `NAME set by environment to value`, names that start with
/// `NCCL_` only. Variables that say where the log goes or how the test runs say nothing of speed.
pub(super) fn variables_in(line: &str) -> impl Iterator<Item = (&str, &str)> {
    const SILENT: [&str; 4] = [
        "NCCL_DEBUG",
        "NCCL_DEBUG_SUBSYS",
        "NCCL_DEBUG_FILE",
        "NCCL_VERSION",
    ];
    let is_name = |name: &str| {
        name.len() > "NCCL_".len()
            && name.starts_with("NCCL_")
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let by_log = line
        .split_once(" set by environment to ")
        .and_then(|(before, value)| {
            let name = before.split_whitespace().next_back()?;
            Some((name, value.trim().trim_end_matches('.')))
        });
    let words = line.split_whitespace().filter_map(|word| {
        let (name, value) = word.trim_matches(['"', '\'']).split_once('=')?;
        Some((name, value.trim_matches(['"', '\'', ';', ','])))
    });
    by_log
        .into_iter()
        .chain(words)
        .filter(move |(name, value)| is_name(name) && !value.is_empty() && !SILENT.contains(name))
}

/// The variables of a run: those that are the choice, and the others.
#[derive(Default)]
pub(super) struct Variables {
    asked: Asked,
    min_channels: Option<u32>,
    max_channels: Option<u32>,
    others: BTreeMap<String, String>,
}

impl Variables {
    /// Takes one variable. An algorithm or protocol list (`Ring,Tree`, `^NVLS`) pins nothing
    /// and stays a setting.
    pub(super) fn set(
        &mut self,
        line_number: u64,
        line: &str,
        name: &str,
        value: &str,
    ) -> Result<(), SweepError> {
        let error = |expected: String| {
            let byte = line.find(value).unwrap_or(0);
            SweepError {
                line: line_number,
                column: u64::try_from(line[..byte].chars().count()).unwrap_or(0) + 1,
                expected,
                found: format!("`{}`", shorten(value)),
            }
        };
        let is_list = value.contains([',', '^', ':', ';']);
        let count = || {
            value
                .parse::<u32>()
                .map_err(|_| error(format!("a count for {name}")))
        };
        match name {
            "NCCL_ALGO" if !is_list => {
                self.asked.algorithm = Some(value.parse().map_err(|e| error(format!("{e}")))?);
            }
            "NCCL_PROTO" if !is_list => {
                self.asked.protocol = Some(value.parse().map_err(|e| error(format!("{e}")))?);
            }
            "NCCL_MIN_NCHANNELS" | "NCCL_MIN_CTAS" => self.min_channels = Some(count()?),
            "NCCL_MAX_NCHANNELS" | "NCCL_MAX_CTAS" => self.max_channels = Some(count()?),
            "NCCL_NTHREADS" => self.asked.threads = Some(count()?),
            _ => {
                self.others.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(())
    }

    /// What NCCL was told. A channel count is pinned by equal bounds only.
    pub(super) fn asked(&self) -> Asked {
        Asked {
            channels: self.max_channels.filter(|_| self.channels_are_pinned()),
            ..self.asked
        }
    }

    fn channels_are_pinned(&self) -> bool {
        self.min_channels == self.max_channels
    }

    /// The variables that are not the choice, in the order of their names.
    pub(super) fn beyond_choice(&self) -> impl Iterator<Item = String> {
        let bound = |name: &str, value: Option<u32>| {
            value
                .filter(|_| !self.channels_are_pinned())
                .map(|n| format!("{name}={n}"))
        };
        let bounds = [
            bound("NCCL_MAX_NCHANNELS", self.max_channels),
            bound("NCCL_MIN_NCHANNELS", self.min_channels),
        ];
        let others = self
            .others
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        others
            .chain(bounds.into_iter().flatten())
            .collect::<Vec<_>>()
            .into_iter()
    }
}

/// `NCCL version 2.27.7+cuda12.8`, or `nccl-library=23007` of newer nccl-tests
/// (major * 10000 + minor * 100 + patch, `NCCL_VERSION` of nccl.h).
pub(super) fn version_in(line: &str) -> Option<String> {
    if let Some((_, rest)) = line.split_once("NCCL version ") {
        let text = rest.split_whitespace().next()?;
        return text
            .parse::<crate::NcclVersion>()
            .ok()
            .map(|v| v.to_string());
    }
    let (_, rest) = line.split_once("nccl-library=")?;
    let code: u32 = rest.split_whitespace().next()?.parse().ok()?;
    (code >= 20_000).then(|| format!("{}.{}.{}", code / 10_000, code / 100 % 100, code % 100))
}

/// What NCCL's log says it ran, by collective and by the bytes the log counts. `None` where
/// the log names two things for one size: then it says nothing about a point.
#[derive(Default)]
pub(super) struct Ran {
    by_call: BTreeMap<(Collective, u64), Option<(Algorithm, Protocol)>>,
}

impl Ran {
    /// Reads `AllReduce: 1048576 Bytes -> Algo RING proto SIMPLE channel{Lo..Hi}={0..31}`
    /// (`src/enqueue.cc`, NCCL 2.24 and later; earlier versions do not name the collective and
    /// are not read).
    pub(super) fn note(&mut self, line: &str) {
        let Some((before, after)) = line.split_once(" Bytes -> Algo ") else {
            return;
        };
        let mut words = before.rsplit(' ');
        let bytes = words.next().and_then(|b| b.parse::<u64>().ok());
        let collective = words
            .next()
            .and_then(|c| c.trim_end_matches(':').parse().ok());
        let mut words = after.split_whitespace();
        let algorithm = words.next().and_then(|a| a.parse().ok());
        let protocol = words.nth(1).and_then(|p| p.parse().ok());
        if let (Some(bytes), Some(collective), Some(algorithm), Some(protocol)) =
            (bytes, collective, algorithm, protocol)
        {
            let ran = Some((algorithm, protocol));
            let known = self.by_call.entry((collective, bytes)).or_insert(ran);
            if *known != ran {
                *known = None;
            }
        }
    }
}

/// Gives the points of a run what the log says of them. The log counts one rank's part of an
/// AllGather or ReduceScatter, nccl-tests all of them together.
pub(super) fn attach(points: &mut [SweepPoint], ran: &Ran) {
    for point in points {
        let cell = &point.cell;
        let parts = match cell.collective {
            Collective::AllGather | Collective::ReduceScatter => u64::from(cell.shape.ranks),
            _ => 1,
        };
        let key = (cell.collective, cell.bytes / parts);
        point.ran = ran.by_call.get(&key).copied().flatten();
    }
}
