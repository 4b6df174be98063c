//! How large a chunk: small enough to fill the pipeline and stay in caches, large enough that
//! the cost of each step does not count.

use ccl_core::{Algorithm, Bottleneck, Collective, Protocol, format_bytes};

use super::{Mechanism, Proposal, View};

/// Chunk of the Simple protocol that keeps `steps` chunks per channel and ring step.
fn chunk_for_steps(view: &View<'_>, steps: u64) -> Option<(u64, u64)> {
    let now = view.running.chunk_bytes?;
    if view.running.protocol != Protocol::Simple {
        return None;
    }
    let to = view.chunk_near((view.bytes_per_channel_and_rank() / steps).max(16 << 10))?;
    Some((now, to))
}

pub(super) const PIPELINE_FILL: Mechanism = Mechanism {
    name: "pipeline-fill",
    speaks_to: &[
        Bottleneck::IntraNodeLink,
        Bottleneck::Network,
        Bottleneck::SmContention,
    ],
    explains: "A ring or tree is a pipeline of chunks: until the first chunk has gone round, most \
               ranks wait. Few large chunks mean that the pipeline is never full.",
    source: "AutoCCL (NSDI 2025) table 4: chunk 2 MiB to 108 KiB; NCCL src/enqueue.cc \
             calcCollChunking shrinks chunks by depth for the same reason",
    risk: "more synchronisation per byte",
    refuted_by: "call time does not fall when the chunk shrinks",
    propose: |view| {
        let (now, to) = chunk_for_steps(view, 8).filter(|(now, to)| to < now)?;
        let chunks = view.bytes_per_channel_and_rank() / now.max(1);
        if chunks >= 8 {
            return None;
        }
        let choice = view.running_as_rule().with_chunk_bytes(to);
        let because = format!(
            "only {chunks} chunks of {} per channel and step: the pipeline of {} ranks never \
                 fills; {} gives more of them",
            format_bytes(now),
            view.ranks(),
            format_bytes(to)
        );
        Some(Proposal::per_call(choice, because, [0.7, 1.02]))
    },
};

pub(super) const STAGING_CACHE: Mechanism = Mechanism {
    name: "staging-cache",
    speaks_to: &[Bottleneck::IntraNodeLink, Bottleneck::SmContention],
    explains: "Without direct access between GPUs every chunk goes through host memory; chunks \
               that stay in the last-level cache avoid a round trip to DRAM.",
    source: "AutoCCL (NSDI 2025) table 3: on PCIe A40s a 32 KiB chunk with 8 channels beats 2 MiB",
    risk: "more synchronisation per byte; with too few channels much slower (table 3, CP1)",
    refuted_by: "call time does not fall when the chunk shrinks with enough channels",
    propose: |view| {
        if !view.uses_pcie() || view.running.protocol != Protocol::Simple {
            return None;
        }
        let now = view.running.chunk_bytes.filter(|n| *n > 128 << 10)?;
        let to = view.chunk_near(64 << 10)?;
        let channels = view.channels_at_most(view.running.channels.unwrap_or(1).max(8));
        let rule = view.running_as_rule();
        let choice = match channels {
            Some(n) => rule.with_channels(n),
            None => rule,
        };
        let because = format!(
            "chunks of {} go through host memory; {} over {} channels stay in cache",
            format_bytes(now),
            format_bytes(to),
            choice.channels.or(view.running.channels).unwrap_or(1)
        );
        let choice = choice.with_chunk_bytes(to);
        Some(Proposal::per_call(choice, because, [0.7, 1.0]))
    },
};

pub(super) const CHUNK_OVERHEAD: Mechanism = Mechanism {
    name: "chunk-overhead",
    speaks_to: &[
        Bottleneck::IntraNodeLink,
        Bottleneck::Network,
        Bottleneck::ProxyCpu,
    ],
    explains: "Every chunk costs a flag, a fence and, between nodes, a proxy step; many small \
               chunks spend the time on those.",
    source: "NCCL src/proxy.cc (one progress step per chunk); AutoCCL table 3, CP1: 14.2 against \
             31.0 GB/s with 32 KiB chunks on two channels",
    risk: "the pipeline takes longer to fill",
    refuted_by: "call time does not fall when the chunk grows",
    propose: |view| {
        let (now, to) = chunk_for_steps(view, 32).filter(|(now, to)| to > now)?;
        let ring = view.running.algorithm == Algorithm::Ring;
        if !ring || view.bytes_per_channel_and_rank() / now.max(1) < 64 {
            return None;
        }
        let choice = view.running_as_rule().with_chunk_bytes(to);
        let because = format!(
            "{} chunks of {} per channel and step",
            view.bytes_per_channel_and_rank() / now.max(1),
            format_bytes(now)
        );
        Some(Proposal::per_call(choice, because, [0.8, 1.05]))
    },
};

pub(super) const TREE_FILL: Mechanism = Mechanism {
    name: "tree-fill",
    speaks_to: &[Bottleneck::IntraNodeLink, Bottleneck::Network],
    explains: "The root of a tree sees nothing until every hop of the way up has moved one chunk, and the \
               leaves wait as long again: deep trees want chunks that are small beside the message.",
    source: "NCCL src/enqueue.cc (calcCollChunking halves a tree's chunk while there are fewer than a few \
             per channel)",
    risk: "more synchronisation per byte",
    refuted_by: "call time does not fall when the chunk shrinks",
    propose: |view| {
        let tree = matches!(
            view.running.algorithm,
            Algorithm::Tree | Algorithm::NvlsTree
        );
        let now = view.running.chunk_bytes?;
        if !tree || view.running.protocol != Protocol::Simple {
            return None;
        }
        let hops = u64::from(
            view.ranks() / view.nodes().max(1) + view.nodes().next_power_of_two().ilog2(),
        );
        let of_channel = view.bytes() / u64::from(view.running.channels.unwrap_or(1).max(1));
        if of_channel / now.max(1) >= 4 * hops {
            return None;
        }
        let to = view
            .chunk_near((of_channel / (4 * hops)).max(16 << 10))
            .filter(|to| *to < now)?;
        let because = format!(
            "{} of {} per channel for {hops} hops up and as many down; {} fills sooner",
            of_channel / now.max(1),
            format_bytes(now),
            format_bytes(to)
        );
        let choice = view.running_as_rule().with_chunk_bytes(to);
        Some(Proposal::per_call(choice, because, [0.75, 1.05]))
    },
};

pub(super) const CHAIN_FILL: Mechanism = Mechanism {
    name: "chain-fill",
    speaks_to: &[Bottleneck::IntraNodeLink, Bottleneck::Network],
    explains: "Broadcast and Reduce run a chain: the last rank waits for the first chunk to pass all \
               others, so what a chunk takes counts once for every rank.",
    source: "NCCL src/enqueue.cc (pattern PipelineFrom and PipelineTo)",
    risk: "more synchronisation per byte",
    refuted_by: "call time does not fall when the chunk shrinks",
    propose: |view| {
        let chain = matches!(
            view.collective(),
            Collective::Broadcast | Collective::Reduce
        );
        let now = view.running.chunk_bytes?;
        if !chain || view.running.protocol != Protocol::Simple {
            return None;
        }
        let of_channel = view.bytes() / u64::from(view.running.channels.unwrap_or(1).max(1));
        let ranks = u64::from(view.ranks());
        // Where the chain is a tenth of the chunks or more.
        if of_channel / now.max(1) > 10 * ranks {
            return None;
        }
        let to = view
            .chunk_near((of_channel / (10 * ranks)).max(16 << 10))
            .filter(|to| *to < now)?;
        let because = format!(
            "{} chunks of {} per channel pass {} ranks in a row; {} passes sooner",
            of_channel / now.max(1),
            format_bytes(now),
            ranks,
            format_bytes(to)
        );
        let choice = view.running_as_rule().with_chunk_bytes(to);
        Some(Proposal::per_call(choice, because, [0.6, 1.05]))
    },
};

pub(super) const CHANNELS_AND_CHUNK: Mechanism = Mechanism {
    name: "channels-and-chunk",
    speaks_to: &[Bottleneck::IntraNodeLink, Bottleneck::Network],
    explains: "Channels times chunk are the bytes in flight: twice the channels with half the chunk keep \
               them, fill the pipeline sooner, and share the synchronisation among more thread blocks. \
               Either change alone moves the product and may lose.",
    source: "AutoCCL (NSDI 2025) table 3: 32 KiB chunks win with 8 channels and lose with 2; section 4, \
             joint search",
    risk: "takes SMs from computation that runs beside it",
    refuted_by: "call time does not fall when both change together",
    propose: |view| {
        let now = view.running.channels.filter(|n| *n <= 16)?;
        let chunk = view.running.chunk_bytes.filter(|n| *n > 64 << 10)?;
        if view.running.protocol != Protocol::Simple || view.bytes() < 4 << 20 {
            return None;
        }
        let channels = view.channels_at_most(2 * now).filter(|n| *n > now)?;
        let smaller = view.chunk_near(chunk / 2).filter(|n| *n < chunk)?;
        let because = format!(
            "{now} channels with chunks of {}: as many bytes in flight with {channels} and {}",
            format_bytes(chunk),
            format_bytes(smaller)
        );
        let choice = view
            .running_as_rule()
            .with_channels(channels)
            .with_chunk_bytes(smaller);
        Some(Proposal::per_call(choice, because, [0.75, 1.05]))
    },
};

pub(super) const BANDWIDTH_DELAY: Mechanism = Mechanism {
    name: "bandwidth-delay",
    speaks_to: &[Bottleneck::Network],
    explains: "What a channel has in flight over the network must cover bandwidth times delay; NCCL keeps \
               a few chunks per channel in flight, and small ones leave the wire empty between them.",
    source: "Little's law; NCCL src/include/device.h (8 steps per buffer) and src/transport/net.cc",
    risk: "the pipeline takes longer to fill",
    refuted_by: "call time does not fall when the chunk grows",
    propose: |view| {
        let network = view.network()?;
        let (channels, now) = (view.running.channels?, view.running.chunk_bytes?);
        if view.running.protocol != Protocol::Simple || view.bytes() < 16 << 20 {
            return None;
        }
        // There and back; half of the eight steps can be on the wire while the others are filled.
        let delay_us = 2.0 * network.latency_us;
        let product_bytes = view.cluster.node_network_gbs() * 1e3 * delay_us;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // far below 2^53
        let needed = (product_bytes / f64::from(channels) / 4.0) as u64;
        if now >= needed {
            return None;
        }
        let to = view.chunk_near(needed).filter(|to| *to > now)?;
        let because = format!(
            "{channels} channels with chunks of {} cannot cover {:.0} GB/s over {delay_us:.0} us there \
             and back; {} can",
            format_bytes(now),
            view.cluster.node_network_gbs(),
            format_bytes(to)
        );
        let choice = view.running_as_rule().with_chunk_bytes(to);
        Some(Proposal::per_call(choice, because, [0.7, 1.05]))
    },
};
