//! `ccl-agent sim nccl-model`: what NCCL estimates for one call and what it would run.

use std::fmt::Write as _;

use ccl_core::{
    Algorithm, Choice, ClusterSpec, Collective, CommShape, Environment, Protocol, format_bytes,
    parse_bytes,
};
use ccl_sim::nccl::{Model, System};
use ccl_sim::{ProcessSettings, ResolvedChoice};
use clap::Args;
use serde::Serialize;

use crate::commands::cluster_argument;
use crate::error::{CommandError, CommandResult};
use crate::output;

/// Arguments of `ccl-agent sim nccl-model`.
#[derive(Args)]
pub struct NcclModelArgs {
    /// Catalogue name or TOML file of the cluster.
    #[arg(long, value_name = "NAME|FILE")]
    cluster: String,
    /// AllReduce, AllGather, ReduceScatter, Broadcast or Reduce.
    #[arg(long)]
    collective: Collective,
    /// Size of the call, such as 4096, 4K or 1M; for AllGather and ReduceScatter all ranks
    /// together.
    #[arg(long, value_parser = parse_bytes)]
    bytes: u64,
    /// Ranks of the communicator; without it every GPU of the nodes.
    #[arg(long)]
    ranks: Option<u32>,
    /// Nodes they live on; without it as few as hold the ranks.
    #[arg(long)]
    nodes: Option<u32>,
    /// Calls that NCCL aggregates in one group.
    #[arg(long, default_value_t = 1)]
    operations: u32,
    /// A variable of the process, such as NCCL_MAX_NCHANNELS=8; may be repeated.
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    environment: Vec<(String, String)>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

fn variable(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("{text:?} is not NAME=VALUE"))
}

#[derive(Serialize)]
struct Answer<'a> {
    cluster: &'a str,
    nccl_version: String,
    collective: Collective,
    bytes: u64,
    ranks: u32,
    nodes: u32,
    operations: u32,
    graphs: Vec<GraphLine>,
    channels: u32,
    nvls_channels: u32,
    costs: Vec<Cost>,
    choice: Chosen,
}

/// A channel graph, derived from the cluster's links.
#[derive(Serialize)]
struct GraphLine {
    graph: &'static str,
    channels: u32,
    intra_gbs: f32,
    inter_gbs: f32,
}

/// One possible entry of NCCL's table, and what NCCL would run it with.
#[derive(Serialize)]
struct Cost {
    algorithm: Algorithm,
    protocol: Protocol,
    cost_us: f32,
    latency_us: f32,
    bandwidth_gbs: f32,
    channels: u32,
    threads: u32,
    chunk_bytes: u64,
}

#[derive(Serialize)]
struct Chosen {
    algorithm: Algorithm,
    protocol: Protocol,
    channels: u32,
    threads: u32,
    chunk_bytes: u64,
}

impl From<ResolvedChoice> for Chosen {
    fn from(r: ResolvedChoice) -> Self {
        Self {
            algorithm: r.algorithm,
            protocol: r.protocol,
            channels: r.channels,
            threads: r.threads,
            chunk_bytes: r.chunk_bytes,
        }
    }
}

/// Computes and prints.
///
/// # Errors
/// An unknown cluster, a shape that does not fit it, a collective NCCL has no table for, a
/// variable the simulator does not model.
pub fn run(args: &NcclModelArgs) -> CommandResult {
    let cluster = cluster_argument::load(&args.cluster)?;
    let shape = shape(args.nodes, args.ranks, &cluster)?;
    if args.operations == 0 {
        return Err(CommandError::bad_input(
            "--operations is 0; expected 1 or more",
        ));
    }
    let environment = Environment {
        variables: args.environment.iter().cloned().collect(),
    };
    let settings = ProcessSettings::from_environment(&environment).map_err(|e| {
        let modelled = ProcessSettings::MODELLED.join(", ");
        CommandError::bad_input(e).help(format!("it models {modelled}"))
    })?;
    let system = System::derive(&cluster, shape, &settings);
    let model = Model::new(system, settings);
    let Some(choice) = model.choose_grouped(args.collective, args.bytes, args.operations) else {
        return Err(CommandError::bad_input(format!(
            "NCCL has no cost table for {} over {} rank(s)",
            args.collective, shape.ranks
        ))
        .help("ask for AllReduce, AllGather, ReduceScatter, Broadcast or Reduce over 2 or more"));
    };
    let answer = Answer {
        cluster: &cluster.name,
        nccl_version: cluster.nccl_version.to_string(),
        collective: args.collective,
        bytes: args.bytes,
        ranks: shape.ranks,
        nodes: shape.nodes,
        operations: args.operations,
        graphs: graphs(model.system()),
        channels: model.system().channels,
        nvls_channels: model.system().nvls_channels,
        costs: costs(&model, args),
        choice: choice.into(),
    };
    if args.json {
        output::json(&answer)
    } else {
        output::text(table(&answer))
    }
}

/// The communicator that ranks and nodes stand for on a cluster.
///
/// # Errors
/// One that does not fit.
pub(super) fn shape(
    nodes: Option<u32>,
    ranks: Option<u32>,
    cluster: &ClusterSpec,
) -> Result<CommShape, CommandError> {
    let per_node = cluster.gpus_per_node;
    let nodes = match (nodes, ranks) {
        (Some(nodes), _) => nodes,
        (None, Some(ranks)) => ranks.div_ceil(per_node),
        (None, None) => cluster.nodes,
    };
    let ranks = ranks.unwrap_or(nodes.saturating_mul(per_node));
    if nodes == 0 || ranks < nodes || ranks > nodes.saturating_mul(per_node) {
        return Err(CommandError::bad_input(format!(
            "{ranks} ranks on {nodes} nodes of {per_node} GPUs do not fit"
        ))
        .help("every node needs at least one rank, and every rank a GPU"));
    }
    if nodes > 1 && cluster.network.is_none() {
        return Err(CommandError::bad_input(format!(
            "{} has no network between nodes",
            cluster.name
        )));
    }
    Ok(CommShape::new(ranks, nodes))
}

fn graphs(system: &System) -> Vec<GraphLine> {
    [
        ("ring", Some(system.ring)),
        ("tree", Some(system.tree)),
        ("nvls", system.nvls),
    ]
    .into_iter()
    .filter_map(|(graph, found)| {
        found.map(|found| GraphLine {
            graph,
            channels: found.channels,
            intra_gbs: found.intra_gbs,
            inter_gbs: found.inter_gbs,
        })
    })
    .collect()
}

fn costs(model: &Model, args: &NcclModelArgs) -> Vec<Cost> {
    let table = model.cost_table(args.collective, args.bytes, args.operations);
    table
        .possible()
        .filter_map(|(algorithm, protocol)| {
            let cost_us = table.get(algorithm, protocol)?;
            let entry = model.entry(args.collective, algorithm, protocol);
            let run = model.resolve(
                Choice::new(algorithm, protocol),
                args.collective,
                args.bytes,
            );
            Some(Cost {
                algorithm,
                protocol,
                cost_us,
                latency_us: entry.latency_us,
                bandwidth_gbs: entry.bandwidth_gbs,
                channels: run.channels,
                threads: run.threads,
                chunk_bytes: run.chunk_bytes,
            })
        })
        .collect()
}

fn table(answer: &Answer<'_>) -> String {
    let mut text = format!(
        "{} {} over {} ranks on {} nodes of {}, NCCL {}\n\n\
         {:<14}{:<8}{:>12}{:>12}{:>10}{:>9}{:>8}  {}\n",
        answer.collective,
        format_bytes(answer.bytes),
        answer.ranks,
        answer.nodes,
        answer.cluster,
        answer.nccl_version,
        "algorithm",
        "proto",
        "cost us",
        "latency us",
        "GB/s",
        "channels",
        "threads",
        "chunk",
    );
    for cost in &answer.costs {
        let chosen =
            (cost.algorithm, cost.protocol) == (answer.choice.algorithm, answer.choice.protocol);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<14}{:<8}{:>12.2}{:>12.2}{:>10.2}{:>9}{:>8}  {}{}",
            cost.algorithm.to_string(),
            cost.protocol.to_string(),
            cost.cost_us,
            cost.latency_us,
            cost.bandwidth_gbs,
            cost.channels,
            cost.threads,
            format_bytes(cost.chunk_bytes),
            if chosen { "   <- NCCL's choice" } else { "" },
        );
    }
    let _ = write!(
        text,
        "\nCosts are NCCL's estimate, not a time that anybody measured."
    );
    text
}
