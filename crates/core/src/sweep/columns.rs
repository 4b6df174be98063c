//! What the tables have in common: names, and times with their bandwidth.

use super::table::Row;
use super::{SweepError, busbw_from_time, time_from_busbw};
use crate::{Collective, CommShape};

/// Columns that name one of a fixed set, with the set in the message.
pub(super) fn named<T: std::str::FromStr<Err: std::fmt::Display>>(
    row: &Row<'_>,
    column: &str,
) -> Result<T, SweepError> {
    row.text(column)
        .parse()
        .map_err(|error: T::Err| row.error(column, format!("a known name ({error})")))
}

/// A shape; `ranks` and `nodes` must be there and fit together.
pub(super) fn shape(row: &Row<'_>, ranks: &str, nodes: &str) -> Result<CommShape, SweepError> {
    let count = "a count of 1 and up";
    let shape = CommShape::new(row.required(ranks, count)?, row.required(nodes, count)?);
    if shape.nodes == 0 {
        return Err(row.error(nodes, count));
    }
    if shape.ranks < shape.nodes {
        return Err(row.error(ranks, "at least one rank per node"));
    }
    Ok(shape)
}

/// Time and bus bandwidth from whichever is stated. Time wins where both are: bandwidths are
/// printed with fewer digits.
pub(super) fn time_and_bandwidth(
    collective: Collective,
    ranks: u32,
    bytes: u64,
    time_us: Option<f64>,
    busbw_gbs: Option<f64>,
) -> Option<(f64, f64)> {
    let time_us = match (time_us, busbw_gbs) {
        (Some(time), _) => time,
        (None, Some(busbw)) => time_from_busbw(collective, ranks, bytes, busbw),
        (None, None) => return None,
    };
    let busbw = busbw_gbs.unwrap_or_else(|| busbw_from_time(collective, ranks, bytes, time_us));
    (time_us.is_finite() && time_us > 0.0).then_some((time_us, busbw))
}
