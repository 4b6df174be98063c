//! Holds the model against what NCCL's own host code computed and chose.
//!
//! The tables are CSV with `#` comments: `topologies.csv` and `graphs.csv` go in, `model.csv`,
//! `costs.csv` and `choices.csv` are compared. Text in, figures out; files are the caller's.

use std::collections::BTreeMap;
use std::str::FromStr;

use ccl_core::{Algorithm, Collective, Protocol};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::model::Model;
use super::system::{CpuArchitecture, Graph, HostVendor, PathType, Pattern, System};
use crate::ProcessSettings;

/// The five files as text.
#[derive(Clone, Copy, Debug)]
pub struct Tables<'a> {
    /// `topologies.csv`
    pub topologies: &'a str,
    /// `graphs.csv`
    pub graphs: &'a str,
    /// `model.csv`
    pub model: &'a str,
    /// `costs.csv`
    pub costs: &'a str,
    /// `choices.csv`
    pub choices: &'a str,
}

/// A table that cannot be read.
#[derive(Debug, Error)]
pub enum TableError {
    /// Not CSV, or a column is missing.
    #[error("{file}: {source}")]
    Csv {
        /// The file.
        file: &'static str,
        /// What the reader said, with line and column.
        source: csv::Error,
    },
    /// A value that is none of the known ones.
    #[error("{file}, {place}: {value:?} is not {expected}")]
    Value {
        /// The file.
        file: &'static str,
        /// Which row.
        place: String,
        /// The value.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
}

/// How far the model is from the recorded tables.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Latency and bandwidth.
    pub model: ModelFigures,
    /// The cost table.
    pub costs: CostFigures,
    /// The choices.
    pub choices: ChoiceFigures,
    /// The first rows that differ, for people.
    #[serde(skip)]
    pub differences: Vec<String>,
}

/// Latency and bandwidth against `model.csv`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ModelFigures {
    /// Rows compared.
    pub rows: u32,
    /// Largest relative error of a latency or a bandwidth.
    pub max_rel_error: f64,
}

/// Costs against `costs.csv`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CostFigures {
    /// Rows compared.
    pub rows: u32,
    /// Rows off by less than 1 %.
    pub within_1pct: u32,
    /// Largest relative error; a wrong "cannot" counts as 1.
    pub max_rel_error: f64,
}

/// Choices against `choices.csv`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ChoiceFigures {
    /// Rows compared.
    pub rows: u32,
    /// Rows with the same algorithm and protocol.
    pub algorithm_protocol_equal: u32,
    /// Rows with the same number of channels.
    pub channels_equal: u32,
    /// Rows with the same number of warps.
    pub threads_equal: u32,
    /// Rows with the same chunk on every channel.
    pub chunk_equal: u32,
}

#[derive(Deserialize)]
struct TopologyRow {
    topology: String,
    nodes: u32,
    ranks: u32,
    nvls_available: u32,
}

#[derive(Deserialize)]
#[allow(non_snake_case)] // the columns' names
struct GraphRow {
    topology: String,
    nccl_version: String,
    graph: String,
    pattern: u32,
    nChannels: u32,
    bwIntra: f32,
    bwInter: f32,
    typeIntra: String,
    typeInter: String,
    sameChannels: u32,
    latencyInter: f32,
    comm_nChannels: u32,
    comm_nvlsChannels: u32,
    maxTreePattern: u32,
    minCompCap: u32,
    cpuArch: u32,
    cpuVendor: u32,
    sys_maxBw: f32,
}

#[derive(Deserialize)]
struct ModelRow {
    topology: String,
    nccl_version: String,
    collective: String,
    algorithm: String,
    protocol: String,
    latency_exact: f64,
    bandwidth_exact: f64,
}

#[derive(Deserialize)]
#[allow(non_snake_case)] // the columns' names
struct CostRow {
    topology: String,
    nccl_version: String,
    collective: String,
    bytes: u64,
    numPipeOps: u32,
    algorithm: String,
    protocol: String,
    cost_us: f64,
}

#[derive(Deserialize)]
#[allow(non_snake_case)] // the columns' names
struct ChoiceRow {
    topology: String,
    nccl_version: String,
    collective: String,
    bytes: u64,
    algorithm: String,
    protocol: String,
    nChannels: u32,
    nWarps: u32,
    chunk_bytes_lo_mid_hi: String,
}

fn rows<T: for<'de> Deserialize<'de>>(
    file: &'static str,
    text: &str,
) -> Result<Vec<T>, TableError> {
    csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .from_reader(text.as_bytes())
        .deserialize()
        .collect::<Result<_, _>>()
        .map_err(|source| TableError::Csv { file, source })
}

fn named<T: FromStr>(
    file: &'static str,
    place: &str,
    value: &str,
    expected: &'static str,
) -> Result<T, TableError> {
    value.parse().map_err(|_| TableError::Value {
        file,
        place: place.to_owned(),
        value: value.to_owned(),
        expected,
    })
}

/// Builds the system of every (topology, version) from the two input tables.
///
/// # Errors
/// A table that cannot be read, a value nobody knows, a topology without its graphs.
pub fn systems(
    topologies: &str,
    graphs: &str,
) -> Result<BTreeMap<(String, String), System>, TableError> {
    const FILE: &str = "graphs.csv";
    let topologies: Vec<TopologyRow> = rows("topologies.csv", topologies)?;
    let mut by_key: BTreeMap<(String, String), Vec<GraphRow>> = BTreeMap::new();
    for row in rows::<GraphRow>(FILE, graphs)? {
        by_key
            .entry((row.topology.clone(), row.nccl_version.clone()))
            .or_default()
            .push(row);
    }
    let mut systems = BTreeMap::new();
    for ((name, version), graph_rows) in by_key {
        let place = format!("{name} {version}");
        let missing = |what: &str, expected| TableError::Value {
            file: FILE,
            place: place.clone(),
            value: what.to_owned(),
            expected,
        };
        let topology = topologies
            .iter()
            .find(|t| t.topology == name)
            .ok_or_else(|| missing(&name, "in topologies.csv"))?;
        let find = |kind: &str| {
            graph_rows
                .iter()
                .find(|r| r.graph.eq_ignore_ascii_case(kind))
        };
        let graph = |row: &GraphRow| {
            let path = |n: &str| PathType::from_name(n).ok_or_else(|| missing(n, "a path type"));
            Ok::<_, TableError>(Graph {
                pattern: pattern(row.pattern).ok_or_else(|| missing("pattern", "a pattern"))?,
                channels: row.nChannels,
                intra_gbs: row.bwIntra,
                inter_gbs: row.bwInter,
                inter_latency_us: row.latencyInter,
                intra_path: path(&row.typeIntra)?,
                inter_path: path(&row.typeInter)?,
                same_channels: row.sameChannels != 0,
            })
        };
        let ring_row = find("ring").ok_or_else(|| missing("ring", "there"))?;
        let tree_row = find("tree").ok_or_else(|| missing("tree", "there"))?;
        let nvls = find("nvls")
            .filter(|_| topology.nvls_available != 0)
            .map(graph)
            .transpose()?;
        let system = System {
            version: named(FILE, &place, &version, "an NCCL version")?,
            ranks: topology.ranks,
            nodes: topology.nodes,
            compute_capability: ring_row.minCompCap,
            cpu_architecture: match ring_row.cpuArch {
                2 => CpuArchitecture::Power,
                3 => CpuArchitecture::Arm,
                4 => CpuArchitecture::Mixed,
                _ => CpuArchitecture::X86,
            },
            cpu_vendor: match ring_row.cpuVendor {
                1 => HostVendor::Intel,
                2 => HostVendor::Amd,
                3 => HostVendor::Zhaoxin,
                4 => HostVendor::Mixed,
                _ => HostVendor::Undefined,
            },
            // The search's limit between nodes is the path from a GPU to its NIC.
            nic_gbs: if topology.nodes > 1 {
                ring_row.sys_maxBw
            } else {
                0.0
            },
            tree: graph(tree_row)?,
            ring: graph(ring_row)?,
            nvls,
            channels: ring_row.comm_nChannels,
            nvls_channels: ring_row.comm_nvlsChannels,
            worst_tree: pattern(ring_row.maxTreePattern)
                .ok_or_else(|| missing("maxTreePattern", "a pattern"))?,
        };
        systems.insert((name, version), system);
    }
    Ok(systems)
}

fn pattern(number: u32) -> Option<Pattern> {
    Pattern::from_number(number)
}

/// Compares everything.
///
/// # Errors
/// As [`systems`].
pub fn compare(tables: Tables<'_>) -> Result<Comparison, TableError> {
    let models: BTreeMap<_, _> = systems(tables.topologies, tables.graphs)?
        .into_iter()
        .map(|(key, system)| (key, Model::new(system, ProcessSettings::default())))
        .collect();
    let find = |file: &'static str, topology: &str, version: &str| {
        models
            .get(&(topology.to_owned(), version.to_owned()))
            .ok_or_else(|| TableError::Value {
                file,
                place: format!("{topology} {version}"),
                value: topology.to_owned(),
                expected: "in graphs.csv with that version",
            })
    };
    let mut comparison = Comparison {
        model: ModelFigures::default(),
        costs: CostFigures::default(),
        choices: ChoiceFigures::default(),
        differences: Vec::new(),
    };
    let mut differ = |text: String| {
        if comparison.differences.len() < 200 {
            comparison.differences.push(text);
        }
    };

    for row in rows::<ModelRow>("model.csv", tables.model)? {
        let model = find("model.csv", &row.topology, &row.nccl_version)?;
        let (collective, algorithm, protocol) = triple(
            "model.csv",
            &row.topology,
            &row.collective,
            &row.algorithm,
            &row.protocol,
        )?;
        let entry = model.entry(collective, algorithm, protocol);
        comparison.model.rows += 1;
        let bandwidth = relative(f64::from(entry.bandwidth_gbs), row.bandwidth_exact);
        let latency = relative(f64::from(entry.latency_us), row.latency_exact);
        let error = bandwidth.max(latency);
        comparison.model.max_rel_error = comparison.model.max_rel_error.max(error);
        if error > 1e-4 {
            differ(format!(
                "model {} {} {collective} {algorithm} {protocol}: latency {} not {}, bandwidth {} not {}",
                row.topology,
                row.nccl_version,
                entry.latency_us,
                row.latency_exact,
                entry.bandwidth_gbs,
                row.bandwidth_exact
            ));
        }
    }

    for row in rows::<CostRow>("costs.csv", tables.costs)? {
        let model = find("costs.csv", &row.topology, &row.nccl_version)?;
        let (collective, algorithm, protocol) = triple(
            "costs.csv",
            &row.topology,
            &row.collective,
            &row.algorithm,
            &row.protocol,
        )?;
        let cost = model.cost_us(collective, algorithm, protocol, row.bytes, row.numPipeOps);
        let error = match cost {
            None if row.cost_us < 0.0 => 0.0,
            Some(cost) if row.cost_us >= 0.0 => relative(f64::from(cost), row.cost_us),
            _ => 1.0,
        };
        comparison.costs.rows += 1;
        comparison.costs.within_1pct += u32::from(error < 0.01);
        comparison.costs.max_rel_error = comparison.costs.max_rel_error.max(error);
        if error > 1e-4 {
            differ(format!(
                "cost {} {} {collective} {} bytes x{} {algorithm} {protocol}: {cost:?} not {}",
                row.topology, row.nccl_version, row.bytes, row.numPipeOps, row.cost_us
            ));
        }
    }

    for row in rows::<ChoiceRow>("choices.csv", tables.choices)? {
        let model = find("choices.csv", &row.topology, &row.nccl_version)?;
        let (collective, algorithm, protocol) = triple(
            "choices.csv",
            &row.topology,
            &row.collective,
            &row.algorithm,
            &row.protocol,
        )?;
        let figures = &mut comparison.choices;
        figures.rows += 1;
        let Some(chosen) = model.choose(collective, row.bytes) else {
            differ(format!(
                "choice {} {collective} {}: none",
                row.topology, row.bytes
            ));
            continue;
        };
        let pair = (chosen.algorithm, chosen.protocol) == (algorithm, protocol);
        let channels = chosen.channels == row.nChannels;
        let threads = chosen.threads == 32 * row.nWarps;
        let (asked, _) = model.own_channels_and_threads(algorithm, protocol, row.bytes);
        let spread = model.spread(algorithm, protocol, collective, row.bytes, asked);
        let chunk = |count: u64| {
            if count == 0 {
                0
            } else {
                model.chunk_of_channel(algorithm, protocol, collective, count, None)
            }
        };
        let chunks = format!(
            "{}/{}/{}",
            chunk(spread.low),
            chunk(spread.middle),
            chunk(spread.high)
        );
        let chunk_equal = chunks == row.chunk_bytes_lo_mid_hi;
        figures.algorithm_protocol_equal += u32::from(pair);
        figures.channels_equal += u32::from(channels);
        figures.threads_equal += u32::from(threads);
        figures.chunk_equal += u32::from(chunk_equal);
        if !(pair && channels && threads && chunk_equal) {
            differ(format!(
                "choice {} {} {collective} {} bytes: {}/{} {}ch {} threads {chunks}, not {}/{} {}ch {} threads {}",
                row.topology,
                row.nccl_version,
                row.bytes,
                chosen.algorithm,
                chosen.protocol,
                chosen.channels,
                chosen.threads,
                row.algorithm,
                row.protocol,
                row.nChannels,
                32 * row.nWarps,
                row.chunk_bytes_lo_mid_hi
            ));
        }
    }
    Ok(comparison)
}

fn triple(
    file: &'static str,
    place: &str,
    collective: &str,
    algorithm: &str,
    protocol: &str,
) -> Result<(Collective, Algorithm, Protocol), TableError> {
    Ok((
        named(file, place, collective, "a collective")?,
        named(file, place, algorithm, "an algorithm")?,
        named(file, place, protocol, "a protocol")?,
    ))
}

/// Error relative to what was recorded; a wrong zero counts as 1.
fn relative(ours: f64, recorded: f64) -> f64 {
    if recorded == 0.0 {
        f64::from(u8::from(ours != 0.0))
    } else {
        ((ours - recorded) / recorded).abs()
    }
}
