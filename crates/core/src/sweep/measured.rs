//! The schema of published measurements: one row per point, machine facts in every row.

use super::columns::{named, shape, time_and_bandwidth};
use super::table::{Row, Table};
use super::{Asked, Cell, Conditions, Finding, Sweep, SweepError, SweepPoint};
use crate::Collective;

/// Columns that must be there; the others may be missing and then count as empty.
pub(super) const REQUIRED: [&str; 7] = [
    "gpu",
    "nodes",
    "ranks",
    "collective",
    "bytes",
    "algorithm",
    "busbw_gbs",
];

/// Reads the schema `dataset, gpu, gpus_per_node, nodes, ranks, intra, network, nccl, collective,
/// bytes, algorithm, protocol, channels, threads, chunk_bytes, settings, concurrent_compute,
/// time_us, busbw_gbs, source`; empty = not stated, algorithm `default` = NCCL's own choice.
///
/// Rows that state too little to be used (no node count, no algorithm) become findings.
///
/// # Errors
/// The first row that cannot be read, with line and column.
pub fn read_measured_csv(text: &str) -> Result<Sweep, SweepError> {
    let table = Table::read(text, &REQUIRED)?;
    let mut points = Vec::new();
    let mut findings = Vec::new();
    for row in table.rows() {
        let row = row?;
        match point(&row)? {
            Ok(point) => points.push(point),
            Err(what) => findings.push(Finding {
                dataset: row.text("dataset").to_owned(),
                line: row.line,
                what,
            }),
        }
    }
    Ok(Sweep::new(points, findings))
}

/// A point, or why the row states too little for one.
fn point(row: &Row<'_>) -> Result<Result<SweepPoint, String>, SweepError> {
    let collective: Collective = named(row, "collective")?;
    let bytes: u64 = row.required("bytes", "a size in bytes")?;
    let count = "a count of 1 and up, or nothing";
    let asked = Asked {
        algorithm: match row.text("algorithm") {
            "default" | "" => None,
            _ => Some(named(row, "algorithm")?),
        },
        protocol: match row.text("protocol") {
            "" => None,
            _ => Some(named(row, "protocol")?),
        },
        channels: row.optional("channels", count)?,
        threads: row.optional("threads", count)?,
        chunk_bytes: row.optional("chunk_bytes", "a size in bytes, or nothing")?,
    };
    let time_us = row.quantity("time_us", "a time above 0 in microseconds, or nothing")?;
    let busbw = row.optional::<f64>("busbw_gbs", "a bandwidth in GB/s, or nothing")?;
    if busbw.is_some_and(|b| !b.is_finite() || b < 0.0) {
        return Err(row.error("busbw_gbs", "a bandwidth of 0 and up in GB/s, or nothing"));
    }
    if row.text("nodes").is_empty() || row.text("ranks").is_empty() {
        return Ok(Err(
            "ranks or nodes not stated: the shape is unknown".to_owned()
        ));
    }
    let shape = shape(row, "ranks", "nodes")?;
    if row.text("algorithm").is_empty() {
        return Ok(Err("algorithm not stated, not even as `default`".to_owned()));
    }
    if bytes == 0 {
        return Ok(Err("0 bytes: nothing to choose".to_owned()));
    }
    // A bandwidth printed as 0.00 says nothing; with a time beside it, the time is used.
    let busbw = busbw.filter(|b| *b > 0.0);
    let Some((time_us, busbw_gbs)) =
        time_and_bandwidth(collective, shape.ranks, bytes, time_us, busbw)
    else {
        return Ok(Err("neither a time nor a bandwidth above 0".to_owned()));
    };
    let dataset = row.text("dataset").to_owned();
    let conditions = Conditions {
        gpu: row.text("gpu").to_owned(),
        gpus_per_node: row.optional("gpus_per_node", count)?.unwrap_or(0),
        intra: row.text("intra").to_owned(),
        network: row.text("network").to_owned(),
        nccl: known(row.text("nccl")),
        settings: settings_beyond(row.text("settings"), &asked),
        concurrent_compute: match row.text("concurrent_compute") {
            "none" => String::new(),
            other => other.to_owned(),
        },
        only_within: String::new(),
    };
    Ok(Ok(SweepPoint {
        cell: Cell {
            conditions: closed_off(conditions, &dataset),
            shape,
            collective,
            bytes,
        },
        asked,
        ran: None,
        time_us,
        busbw_gbs,
        dataset,
        source: row.text("source").to_owned(),
        line: row.line,
    }))
}

fn known(text: &str) -> String {
    if text == "unknown" {
        String::new()
    } else {
        text.to_owned()
    }
}

/// Conditions that name neither GPU nor NCCL version hold within their data set only.
pub(super) fn closed_off(mut conditions: Conditions, dataset: &str) -> Conditions {
    if conditions.gpu.is_empty() || conditions.nccl.is_empty() {
        dataset.clone_into(&mut conditions.only_within);
    }
    conditions
}

/// The settings that are not the choice itself: `NCCL_ALGO=Ring` beside algorithm Ring says the
/// same thing twice, and so does the bare word `default` beside the default.
fn settings_beyond(settings: &str, asked: &Asked) -> String {
    let says_the_choice = |word: &str| match word.split_once('=') {
        Some(("NCCL_ALGO", value)) => value.parse().ok() == asked.algorithm,
        Some(("NCCL_PROTO", value)) => value.parse().ok() == asked.protocol,
        _ => word == "default" && asked.is_default(),
    };
    // Prose (commas, several words) is kept whole: it is compared, not understood.
    if settings.split_whitespace().all(says_the_choice) {
        String::new()
    } else {
        settings.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Algorithm;

    const HEADER: &str = "dataset,gpu,gpus_per_node,nodes,ranks,intra,network,nccl,collective,bytes,algorithm,\
         protocol,channels,threads,chunk_bytes,settings,concurrent_compute,time_us,busbw_gbs,source";

    fn read(rows: &str) -> Result<Sweep, SweepError> {
        read_measured_csv(&format!("{HEADER}\n{rows}\n"))
    }

    #[test]
    fn a_named_algorithm_and_its_variable_are_one_statement() {
        let sweep = read(
            "d,B300,8,1,8,NVSwitch,none,2.29.7,AllReduce,4194304,default,,,,,,,,133.5,s\n\
             d,B300,8,1,8,NVSwitch,none,2.29.7,AllReduce,4194304,Ring,,,,,NCCL_ALGO=Ring,,,148.1,s\n\
             d,B300,8,1,8,NVSwitch,none,2.29.7,AllReduce,4194304,Ring,,,,,NCCL_NVLS_ENABLE=0,none,,148.1,s",
        )
        .unwrap();
        let settings: Vec<_> = sweep.conditions().iter().map(|c| &c.settings[..]).collect();
        assert_eq!(settings, ["", "NCCL_NVLS_ENABLE=0"]);
        let ring = sweep
            .points()
            .find(|p| p.asked.algorithm == Some(Algorithm::Ring));
        // 4 MiB x 7/4 / 148.1 GB/s
        assert!((ring.unwrap().time_us - 49.561_32).abs() < 1e-4);
    }

    #[test]
    fn what_states_too_little_is_said_not_used() {
        let sweep = read(
            "d,8xH100,,1,8,,,,ReduceScatter,134217728,,,,,,,,,311.34,s\n\
             d,8xH100,,,8,,,,ReduceScatter,134217728,Ring,,,,,,,,311.34,s\n\
             d,8xH100,8,1,8,,,,AllReduce,8,default,,,,,,,,0.00,s",
        )
        .unwrap();
        assert_eq!(sweep.points().count(), 0);
        let lines: Vec<_> = sweep.findings().iter().map(|f| f.line).collect();
        assert_eq!(lines, [2, 3, 4]);
    }

    #[test]
    fn errors_point_at_the_field() {
        let error =
            read("d,B300,8,1,8,a,none,2.29.7,AllReduce,4194304,Rings,,,,,,,,133.5,s").unwrap_err();
        assert_eq!((error.line, error.column), (2, 46));
        assert!(error.expected.contains("known: Tree, Ring"), "{error}");
        let error =
            read("d,B300,8,1,8,a,none,2.29.7,AllReduce,4194304,Ring,,,,,,,,x,s").unwrap_err();
        assert_eq!((error.line, error.column), (2, 58));
        let error = read("d,B300,8,-1,8,a,none,2.29.7,AllReduce,4,Ring,,,,,,,,1,s").unwrap_err();
        assert_eq!(error.column, 10);
        let error = read("d,B300").unwrap_err();
        assert!(error.expected.contains("20 fields"), "{error}");
        let error = read_measured_csv("gpu,nodes\n").unwrap_err();
        assert_eq!(error.line, 1);
        assert!(read_measured_csv("").is_err());
    }
}
