//! The parts of one run: its devices, the layout of its rows, a row.

use std::collections::{BTreeMap, BTreeSet};

use super::super::SweepError;
use super::super::table::shorten;
use super::BufferPlacement;
use crate::{Collective, CommShape};

/// A row starts with its size; everything else nccl-tests prints starts with `#` or a word.
pub(super) fn is_row(line: &str) -> bool {
    let mut tokens = line.split_whitespace();
    let number = |t: Option<&str>| t.is_some_and(|t| t.bytes().all(|b| b.is_ascii_digit()));
    number(tokens.next()) && number(tokens.next())
}

/// The collective of the program a line names.
pub(super) fn collective_in(line: &str) -> Option<Collective> {
    let end = line.find("_perf")?;
    let name = line[..end]
        .rsplit(|c: char| !(c.is_ascii_lowercase() || c == '_'))
        .next()?;
    name.parse().ok()
}

/// The devices a run lists: `#  Rank  0 Group  0 Pid 1 on host device  0 [0000:0f:00] NVIDIA H100`.
#[derive(Default)]
pub(super) struct Devices {
    /// Rank to (group, host, product).
    ranks: BTreeMap<u32, (u32, String, String)>,
}

impl Devices {
    pub(super) fn note(&mut self, line_number: u64, line: &str) -> Result<(), SweepError> {
        let Some(rest) = line.strip_prefix('#').map(str::trim_start) else {
            return Ok(());
        };
        let Some(rest) = rest.strip_prefix("Rank ") else {
            return Ok(());
        };
        let error = |expected: &str| SweepError {
            line: line_number,
            column: 1,
            expected: expected.to_owned(),
            found: format!("`{}`", shorten(line)),
        };
        let form = "`# Rank N [Group G] Pid P on HOST device D [BUS] PRODUCT`";
        let tokens: Vec<&str> = rest.split_whitespace().collect();
        let after = |word: &str| {
            let at = tokens.iter().position(|t| *t == word)?;
            tokens.get(at + 1).copied()
        };
        let rank: u32 = tokens
            .first()
            .and_then(|t| t.parse().ok())
            .ok_or_else(|| error(form))?;
        let group = after("Group").and_then(|g| g.parse().ok()).unwrap_or(0);
        let host = after("on").ok_or_else(|| error(form))?.to_owned();
        let product = rest
            .rsplit_once(']')
            .map_or("", |(_, p)| p.trim())
            .to_owned();
        if self.ranks.insert(rank, (group, host, product)).is_some() {
            return Err(error(
                "every rank once; a rank that comes twice means that the processes did not find \
                 each other (nccl-tests built without MPI)",
            ));
        }
        Ok(())
    }

    /// The shape of one communicator, and what must be said when there were several at once.
    pub(super) fn shape(&self) -> Result<(CommShape, Option<String>), (&'static str, String)> {
        let expected = "lines `# Rank ...` that list the devices before the rows";
        let mut groups: BTreeMap<u32, (u32, BTreeSet<&str>)> = BTreeMap::new();
        for (group, host, _) in self.ranks.values() {
            let entry = groups.entry(*group).or_default();
            entry.0 += 1;
            entry.1.insert(host);
        }
        let shapes: BTreeSet<_> = groups
            .values()
            .map(|(ranks, hosts)| (*ranks, u32::try_from(hosts.len()).unwrap_or(u32::MAX)))
            .collect();
        let mut shapes = shapes.into_iter();
        match (shapes.next(), shapes.next()) {
            (None, _) => Err((expected, "none".to_owned())),
            (Some(_), Some(_)) => Err((
                "groups of one shape",
                "groups of different shapes in one run".to_owned(),
            )),
            (Some((ranks, nodes)), None) => {
                let at_once =
                    (groups.len() > 1).then(|| format!("{} groups at once", groups.len()));
                Ok((CommShape::new(ranks, nodes), at_once))
            }
        }
    }

    /// The product, or all of them where they differ.
    pub(super) fn gpu(&self) -> String {
        let products: BTreeSet<_> = self.ranks.values().map(|(.., p)| p.as_str()).collect();
        products.into_iter().collect::<Vec<_>>().join(" + ")
    }
}

/// Where the columns of a row are, counted from the right: on the left, `redop` and `root` are
/// blank for some collectives in older versions.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    columns: usize,
    /// Columns from the right, out of place then in place.
    times_from_right: [usize; 2],
    /// `error` (a magnitude) in versions before 2.13, `#wrong` (a count) since.
    counts_wrong: bool,
    timestamp_tokens: usize,
}

/// What is used of a row.
pub(super) struct RunRow {
    pub bytes: u64,
    /// `None` when this placement was not measured.
    pub time_us: Option<f64>,
    /// The count (or magnitude) of wrong results, where there are any.
    pub wrong: Option<String>,
}

/// Largest relative error the magnitude column of old versions may show: half precision over
/// thousands of ranks stays below it.
const LARGEST_ROUNDING: f64 = 1e-2;

impl Layout {
    pub(super) fn of_header(line: &str) -> Option<Self> {
        let mut names: Vec<&str> = line.strip_prefix('#')?.split_whitespace().collect();
        if names.first() != Some(&"size") || !names.contains(&"busbw") {
            return None;
        }
        // A time stamp is printed as date and time of day: two tokens under one name.
        let timestamp_tokens = if names.last() == Some(&"timestamp") {
            names.pop();
            2
        } else {
            0
        };
        let mut times = (0..names.len()).filter(|&i| matches!(names[i], "time" | "cputime"));
        let (out_of_place, in_place) = (times.next()?, times.next()?);
        Some(Self {
            columns: names.len(),
            times_from_right: [names.len() - out_of_place, names.len() - in_place],
            counts_wrong: names.contains(&"#wrong"),
            timestamp_tokens,
        })
    }

    /// Reads a row: `time algbw busbw #wrong` for each placement.
    pub(super) fn read(
        self,
        line_number: u64,
        line: &str,
        placement: BufferPlacement,
    ) -> Result<RunRow, SweepError> {
        let mut tokens: Vec<&str> = line.split_whitespace().collect();
        tokens.truncate(tokens.len().saturating_sub(self.timestamp_tokens));
        let error = |token: &str, expected: &str| {
            let byte = line.find(token).unwrap_or(0);
            SweepError {
                line: line_number,
                column: u64::try_from(line[..byte].chars().count()).unwrap_or(0) + 1,
                expected: expected.to_owned(),
                found: format!("`{}`", shorten(token)),
            }
        };
        let bytes_token = tokens.first().copied().unwrap_or("");
        let bytes = bytes_token
            .parse()
            .map_err(|_| error(bytes_token, "a size in bytes"))?;
        // size, count and type are always there; so are the figures.
        let figures = self.times_from_right[0];
        let only_in_place = self.times_from_right[1];
        let labels = self.columns - figures;
        let complete = (3 + figures..=labels + figures).contains(&tokens.len());
        // Replayed traces leave the left half blank (writeBenchMarkLineNullBody).
        let half = tokens.len() == labels + only_in_place && !complete;
        if !complete && !half {
            return Err(error(
                line.trim(),
                "a whole row; a log line in its middle means that NCCL's log went to the same \
                 stream (set NCCL_DEBUG_FILE)",
            ));
        }
        let from_right = match placement {
            BufferPlacement::OutOfPlace if half => {
                return Ok(RunRow {
                    bytes,
                    time_us: None,
                    wrong: None,
                });
            }
            BufferPlacement::OutOfPlace => self.times_from_right[0],
            BufferPlacement::InPlace => self.times_from_right[1],
        };
        let at = tokens.len().saturating_sub(from_right);
        let token = |offset: usize| tokens.get(at + offset).copied().unwrap_or("");
        let time: f64 = token(0)
            .parse()
            .map_err(|_| error(token(0), "a time in microseconds"))?;
        let positive = time.is_finite() && time > 0.0;
        if !positive && bytes > 0 {
            return Err(error(token(0), "a time above 0 in microseconds"));
        }
        let wrong = match token(3) {
            "N/A" => None,
            text => {
                let value: f64 = text
                    .parse()
                    .map_err(|_| error(text, "a number of wrong results, or N/A"))?;
                let most = if self.counts_wrong {
                    0.0
                } else {
                    LARGEST_ROUNDING
                };
                // NaN is wrong too.
                let right = value.abs() <= most;
                (!right).then(|| text.to_owned())
            }
        };
        Ok(RunRow {
            bytes,
            time_us: positive.then_some(time),
            wrong,
        })
    }
}
