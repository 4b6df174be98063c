//! `ccl-agent sim sweep`: one collective over a range of sizes, in the columns of recorded sweeps.

use ccl_core::{
    Algorithm, Choice, Collective, CommShape, Environment, Protocol, busbw_from_time, format_bytes,
    parse_bytes,
};
use ccl_sim::hardware::Hardware;
use ccl_sim::nccl::{Model, System};
use ccl_sim::{CollectiveCall, ComputeLoad, Group, ProcessSettings, ResolvedChoice};
use clap::Args;

use super::nccl_model::shape;
use crate::commands::cluster_argument;
use crate::error::{CommandError, CommandResult};
use crate::output;
use crate::table::{Align, Table};

/// Arguments of `ccl-agent sim sweep`.
#[derive(Args)]
pub struct SweepArgs {
    /// Catalogue name or TOML file of the cluster.
    #[arg(long, value_name = "NAME|FILE")]
    cluster: String,
    /// AllReduce, AllGather, ReduceScatter, Broadcast, Reduce, AllToAll or SendRecv.
    #[arg(long)]
    collective: Collective,
    /// Sizes, such as 1M..1G; each is twice the one before.
    #[arg(long, value_parser = range)]
    bytes: (u64, u64),
    /// Ranks of the communicator; without it every GPU of the nodes.
    #[arg(long)]
    ranks: Option<u32>,
    /// Nodes they live on; without it as few as hold the ranks.
    #[arg(long)]
    nodes: Option<u32>,
    /// The algorithm; without it NCCL chooses.
    #[arg(long)]
    algorithm: Option<Algorithm>,
    /// The protocol; without it NCCL chooses.
    #[arg(long)]
    protocol: Option<Protocol>,
    /// Channels; without it NCCL chooses.
    #[arg(long)]
    channels: Option<u32>,
    /// Threads per channel; without it NCCL chooses.
    #[arg(long)]
    threads: Option<u32>,
    /// Chunk size; without it NCCL chooses.
    #[arg(long, value_parser = parse_bytes)]
    chunk: Option<u64>,
    /// Share of the GPU that computation beside the calls uses, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    concurrent_compute: f64,
    /// Print CSV in the columns of recorded sweeps.
    #[arg(long)]
    csv: bool,
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let size = |t: &str| parse_bytes(t).map_err(|e| e.to_string());
    let (from, to) = (size(from)?, size(to)?);
    if from == 0 || from > to {
        return Err(format!("{text:?} is no range of sizes; write 1M..1G"));
    }
    Ok((from, to))
}

struct Point {
    bytes: u64,
    choice: ResolvedChoice,
    time_us: f64,
    busbw_gbs: f64,
}

/// Simulates and prints.
///
/// # Errors
/// Bad input: a cluster, a shape or a choice that cannot be.
pub fn run(args: &SweepArgs) -> CommandResult {
    let cluster = cluster_argument::load(&args.cluster)?;
    let shape = shape(args.nodes, args.ranks, &cluster)?;
    if !(0.0..=1.0).contains(&args.concurrent_compute) {
        return Err(CommandError::bad_input(format!(
            "--concurrent-compute is {}; expected 0 to 1",
            args.concurrent_compute
        )));
    }
    let settings = ProcessSettings {
        // What is asked for explicitly is what runs.
        opened_channels: args.channels,
        ..ProcessSettings::from_environment(&Environment::default())
            .map_err(CommandError::bad_input)?
    };
    let model = Model::new(System::derive(&cluster, shape, &settings), settings.clone());
    let hardware = Hardware::new(&cluster, &settings);
    let load = ComputeLoad {
        sm_fraction: args.concurrent_compute,
        memory_fraction: 0.5 * args.concurrent_compute,
    };
    let mut points = Vec::new();
    let mut bytes = args.bytes.0;
    loop {
        let choice = choose(&model, args, bytes, shape)?;
        let group = Group::alone(shape);
        let call = CollectiveCall {
            collective: args.collective,
            bytes,
            group,
            choice,
        };
        let time_us = hardware.time(&call, load).time_us;
        let busbw_gbs = busbw_from_time(args.collective, shape.ranks, bytes, time_us);
        points.push(Point {
            bytes,
            choice,
            time_us,
            busbw_gbs,
        });
        bytes = bytes.saturating_mul(2);
        if bytes > args.bytes.1 {
            break;
        }
    }
    if args.csv {
        return output::text(csv(
            args,
            &cluster.nccl_version.to_string(),
            &cluster.gpu.model,
            cluster.gpus_per_node,
            shape,
            &points,
        ));
    }
    let mut table = Table::new([
        ("SIZE", Align::Right),
        ("TIME US", Align::Right),
        ("BUS GB/S", Align::Right),
        ("RUNS", Align::Left),
    ]);
    for p in &points {
        table.row([
            format_bytes(p.bytes),
            format!("{:.1}", p.time_us),
            format!("{:.2}", p.busbw_gbs),
            Choice::from(p.choice).to_string(),
        ]);
    }
    output::text(format!(
        "{} over {} ranks on {} nodes of {}, simulated\n\n{}",
        args.collective,
        shape.ranks,
        shape.nodes,
        cluster.name,
        table.render()
    ))
}

fn choose(
    model: &Model,
    args: &SweepArgs,
    bytes: u64,
    shape: CommShape,
) -> Result<ResolvedChoice, CommandError> {
    if !args.collective.is_tunable() {
        if args.algorithm.is_some() || args.protocol.is_some() || args.channels.is_some() {
            return Err(CommandError::bad_input(format!(
                "NCCL builds {} from send and receive; nothing can be chosen for it",
                args.collective
            )));
        }
        return Ok(ResolvedChoice::POINT_TO_POINT);
    }
    let table = model.cost_table(args.collective, bytes, 1);
    let best = table
        .possible()
        .filter(|(a, p)| {
            args.algorithm.is_none_or(|n| n == *a) && args.protocol.is_none_or(|n| n == *p)
        })
        .filter_map(|(a, p)| Some((table.get(a, p)?, a, p)))
        .min_by(|x, y| x.0.total_cmp(&y.0));
    let Some((_, algorithm, protocol)) = best else {
        return Err(CommandError::bad_input(format!(
            "NCCL offers no such algorithm and protocol for {} over {shape}",
            args.collective
        ))
        .help("ccl-agent sim nccl-model lists what it offers"));
    };
    let choice = Choice {
        channels: args.channels,
        threads: args.threads,
        chunk_bytes: args.chunk,
        ..Choice::new(algorithm, protocol)
    };
    choice
        .check(args.collective)
        .map_err(CommandError::bad_input)?;
    Ok(model.resolve(choice, args.collective, bytes))
}

fn csv(
    args: &SweepArgs,
    nccl: &str,
    gpu: &str,
    gpus_per_node: u32,
    shape: CommShape,
    points: &[Point],
) -> String {
    let mut text = String::from(
        "dataset,gpu,gpus_per_node,nodes,ranks,intra,network,nccl,collective,bytes,algorithm,\
         protocol,channels,threads,chunk_bytes,settings,concurrent_compute,time_us,busbw_gbs,source\n",
    );
    let load = if args.concurrent_compute > 0.0 {
        args.concurrent_compute.to_string()
    } else {
        String::new()
    };
    for p in points {
        let c = &p.choice;
        text.push_str(&format!(
            "simulated,{gpu},{gpus_per_node},{},{},,,{nccl},{},{},{},{},{},{},{},,{load},{:.3},{:.4},\
             simulated on {}\n",
            shape.nodes, shape.ranks, args.collective, p.bytes, c.algorithm, c.protocol,
            c.channels, c.threads, c.chunk_bytes, p.time_us, p.busbw_gbs, args.cluster
        ));
    }
    text
}
