//! What the figures of a row show about its time, in sentences. Each says the figures it rests on;
//! where none shows anything, that is what is said.

use ccl_core::format_bytes;

use super::row::{Clock, Row};

/// A share of network time that is worth a sentence.
const NOTABLE_SHARE: f64 = 0.4;
/// How many times the median the slowest hundredth must take.
const NOTABLE_TAIL: f64 = 3.0;
/// Bandwidth another row must have reached, times this one's.
const NOTABLE_BANDWIDTH: f64 = 1.5;

/// What is to be said about a row, given all of them.
pub(super) fn of(row: &Row, all: &[Row]) -> Vec<String> {
    let said = [late(row), waits(row), channels(row, all), tail(row)];
    let said: Vec<String> = said.into_iter().flatten().collect();
    if said.is_empty() {
        vec![nothing(row)]
    } else {
        said
    }
}

fn late(row: &Row) -> Option<String> {
    let late = row.late_rank.as_ref()?;
    Some(format!(
        "rank {} of communicator {} (process {}) comes late: the typical rank here is inside for {} us \
         longer than its {} us",
        late.rank,
        late.communicator,
        late.pid,
        microseconds(late.others_wait_us),
        microseconds(late.median_us),
    ))
}

fn waits(row: &Row) -> Option<String> {
    let [(word, share), ..] = row.waits?.by_size();
    let what = match word {
        "send-gpu" => "senders wait for the GPU to fill buffers",
        "send-peer" => "senders wait for the peer to take more",
        "send" => "the network is sending",
        "recv" => "receivers wait for the network or the peer (they look the same from here)",
        "recv-flush" => "receivers wait for the flush into the GPU's memory",
        _ => "receivers wait for the GPU to empty buffers",
    };
    (share >= NOTABLE_SHARE).then(|| {
        let percent = 100.0 * share;
        format!("in {percent:.0} % of the time of its network transfers {what}")
    })
}

/// Another row that is no larger and still had more bandwidth on more channels, between as many ranks.
fn channels(row: &Row, all: &[Row]) -> Option<String> {
    let (here, channels, _) = (row.busbw_gbs?, row.choice.channels?, row.ranks?);
    let is_comparable = |other: &&Row| {
        (other.ranks, other.nodes, other.clock, other.source)
            == (row.ranks, row.nodes, row.clock, row.source)
            && other.max_bytes <= row.max_bytes
            && other.choice.channels > Some(channels)
    };
    let best = all.iter().filter(is_comparable).max_by(|a, b| {
        let bandwidth = |row: &Row| row.busbw_gbs.unwrap_or(0.0);
        bandwidth(a).total_cmp(&bandwidth(b))
    })?;
    let there = best.busbw_gbs.filter(|b| *b >= NOTABLE_BANDWIDTH * here)?;
    Some(format!(
        "bus bandwidth is {here:.1} GB/s on {channels} channel{}; {} of {} between as many ranks reaches \
         {there:.1} GB/s with {}",
        if channels == 1 { "" } else { "s" },
        best.collective,
        format_bytes(best.max_bytes),
        best.choice,
    ))
}

fn tail(row: &Row) -> Option<String> {
    let (median, p99) = (row.median_us?, row.p99_us?);
    (median > 0.0 && p99 >= NOTABLE_TAIL * median).then(|| {
        format!(
            "one call in a hundred takes {} us or more, {:.1} times the median",
            microseconds(p99),
            p99 / median
        )
    })
}

fn nothing(row: &Row) -> String {
    if row.clock == Clock::None {
        return match row.incomplete {
            0 => {
                "only the enqueuing was seen, so there is nothing to say about its time".to_owned()
            }
            n => format!("no duration: {n} records were incomplete"),
        };
    }
    let ranks = match row.ranks_seen {
        1 => "one rank was seen, so none can be late".to_owned(),
        n => format!("none of {n} ranks seen comes late"),
    };
    let waits = match (row.transfers, row.waits) {
        (0, None) => "no network transfers were seen".to_owned(),
        (transfers, None) => format!("{transfers} network transfers told no waits"),
        (_, Some(waits)) => {
            let [(word, share), ..] = waits.by_size();
            format!(
                "no wait of its transfers stands out (most: {word}, {:.0} %)",
                100.0 * share
            )
        }
    };
    format!("nothing seen says why it takes that long: {ranks}; {waits}")
}

/// A time with as many digits as one reads.
pub fn microseconds(us: f64) -> String {
    match us {
        us if us < 10.0 => format!("{us:.2}"),
        us if us < 1000.0 => format!("{us:.1}"),
        us => format!("{us:.0}"),
    }
}
