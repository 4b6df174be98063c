//! The performance CSV of NVIDIA's tuner example (`plugins/tuner/example/scripts` of NCCL,
//! earlier `ext-tuner/example/scripts`): one row per (collective, size, choice, shape).

use super::columns::{named, shape, time_and_bandwidth};
use super::table::{Row, Table};
use super::{Asked, Cell, Conditions, Finding, Sweep, SweepError, SweepPoint};
use crate::Collective;

pub(super) const REQUIRED: [&str; 7] = [
    "collective",
    "size_bytes",
    "algorithm",
    "protocol",
    "channels",
    "nodes",
    "ranks",
];

/// Reads `collective,size_bytes,algorithm,protocol,channels,nodes,ranks,pipeOps,regBuff` and at
/// least one of `latency_us`, `bandwidth_gbps`. `dataset` names the file in reports.
///
/// `latency_us` is used where it is there. `bandwidth_gbps` is GB/s by NVIDIA's documentation,
/// which does not say whose bandwidth; it is taken as algorithm bandwidth (bytes / time), which no
/// comparison within one size depends on. `cost_metric` has no unit and is not used. As an
/// extension the algorithm may be `default`: NVIDIA's script has no notion of a baseline, and
/// without one nothing can be said to be better than it.
///
/// Rows that no NCCL can run, that name any (`-1`) shape, or that hold only for some `pipeOps`
/// or `regBuff` become findings.
///
/// # Errors
/// The first row that cannot be read, with line and column.
pub fn read_tuner_example_csv(text: &str, dataset: &str) -> Result<Sweep, SweepError> {
    let table = Table::read(text, &REQUIRED)?;
    if !table.has("latency_us") && !table.has("bandwidth_gbps") {
        return Err(SweepError {
            line: 1,
            column: 1,
            expected: "a column `latency_us` or `bandwidth_gbps`".to_owned(),
            found: "neither".to_owned(),
        });
    }
    let mut points = Vec::new();
    let mut findings = Vec::new();
    for row in table.rows() {
        let row = row?;
        match point(&row, dataset)? {
            Ok(point) => points.push(point),
            Err(what) => findings.push(Finding {
                dataset: dataset.to_owned(),
                line: row.line,
                what,
            }),
        }
    }
    Ok(Sweep::new(points, findings))
}

fn point(row: &Row<'_>, dataset: &str) -> Result<Result<SweepPoint, String>, SweepError> {
    let collective: Collective = named(row, "collective")?;
    let bytes: u64 = row.required("size_bytes", "a size in bytes")?;
    let asked = Asked {
        algorithm: match row.text("algorithm") {
            "default" => None,
            _ => Some(named(row, "algorithm")?),
        },
        protocol: match row.text("protocol") {
            "" | "-1" | "default" => None,
            _ => Some(named(row, "protocol")?),
        },
        channels: match row.text("channels") {
            "-1" => None,
            _ => Some(row.required("channels", "a count of 1 and up, or -1")?),
        },
        ..Asked::DEFAULT
    };
    let time_us = row.quantity("latency_us", "a time above 0 in microseconds, or nothing")?;
    let algbw = row.quantity("bandwidth_gbps", "a bandwidth above 0 in GB/s, or nothing")?;
    for (column, value) in ["pipeOps", "regBuff"].map(|c| (c, row.text(c))) {
        if !matches!(value, "" | "-1") {
            return Ok(Err(format!(
                "holds only for {column} = {value}; a rule may depend on shape, collective and size alone"
            )));
        }
    }
    if row.text("nodes") == "-1" || row.text("ranks") == "-1" {
        return Ok(Err(
            "the shape is `any`: a time belongs to one shape".to_owned()
        ));
    }
    let shape = shape(row, "ranks", "nodes")?;
    if let (Some(algorithm), Some(protocol)) = (asked.algorithm, asked.protocol) {
        let choice = crate::Choice {
            channels: asked.channels,
            ..crate::Choice::new(algorithm, protocol)
        };
        if let Err(reason) = choice.check(collective) {
            return Ok(Err(format!("no NCCL can have run this: {reason}")));
        }
    }
    let busbw = algbw.map(|b| b * collective.bus_factor(shape.ranks));
    let Some((time_us, busbw_gbs)) =
        time_and_bandwidth(collective, shape.ranks, bytes, time_us, busbw)
    else {
        return Ok(Err(
            "neither latency_us nor bandwidth_gbps is stated".to_owned()
        ));
    };
    Ok(Ok(SweepPoint {
        cell: Cell {
            conditions: super::measured::closed_off(Conditions::default(), dataset),
            shape,
            collective,
            bytes,
        },
        asked,
        ran: None,
        time_us,
        busbw_gbs,
        dataset: dataset.to_owned(),
        source: dataset.to_owned(),
        line: row.line,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "collective,size_bytes,algorithm,protocol,channels,nodes,ranks,pipeOps,regBuff,\
         cost_metric,bandwidth_gbps,latency_us";

    fn read(rows: &str) -> Result<Sweep, SweepError> {
        read_tuner_example_csv(&format!("{HEADER}\n{rows}\n"), "perf.csv")
    }

    #[test]
    fn latency_is_the_time_and_impossible_rows_are_said() {
        let sweep = read(
            "allreduce,1024,ring,ll,4,1,8,-1,-1,0.14,48.7,12.1\n\
             broadcast,1024,tree,simple,2,1,8,-1,-1,0.08,89.4,8.2\n\
             allreduce,1024,ring,ll,4,-1,-1,-1,-1,0.14,48.7,12.1\n\
             allreduce,1024,ring,ll,4,1,8,-1,1,0.14,48.7,12.1\n\
             allreduce,1024,default,-1,-1,1,8,-1,-1,,,13.0",
        )
        .unwrap();
        let times: Vec<_> = sweep
            .points()
            .map(|p| (p.asked.to_string(), p.time_us))
            .collect();
        assert_eq!(
            times,
            [
                ("default".to_owned(), 13.0),
                ("Ring/LL 4ch".to_owned(), 12.1)
            ]
        );
        let lines: Vec<_> = sweep.findings().iter().map(|f| f.line).collect();
        assert_eq!(lines, [3, 4, 5]);
        assert!(
            sweep.findings()[0]
                .what
                .contains("Tree does not serve Broadcast")
        );
    }

    #[test]
    fn errors_point_at_the_field() {
        let error = read("allreduce,1K,ring,ll,4,1,8,-1,-1,0.14,48.7,12.1").unwrap_err();
        assert_eq!((error.line, error.column), (2, 11));
        let error = read("allreduce,1024,ring,ll,4,1,8,-1,-1,0.14,48.7,-1").unwrap_err();
        assert_eq!((error.line, error.column), (2, 46));
    }
}
