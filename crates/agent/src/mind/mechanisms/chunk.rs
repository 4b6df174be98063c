//! How large a chunk: small enough to fill the pipeline and stay in caches, large enough that
//! the cost of each step does not count.

use ccl_core::{Algorithm, Protocol, format_bytes};

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
        Some(Proposal {
            choice: view.running_as_rule().with_chunk_bytes(to),
            because: format!(
                "only {chunks} chunks of {} per channel and step: the pipeline of {} ranks never \
                 fills; {} gives more of them",
                format_bytes(now),
                view.ranks(),
                format_bytes(to)
            ),
            ratio: [0.7, 1.02],
        })
    },
};

pub(super) const STAGING_CACHE: Mechanism = Mechanism {
    name: "staging-cache",
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
        Some(Proposal {
            choice: choice.with_chunk_bytes(to),
            because: format!(
                "chunks of {} go through host memory; {} over {} channels stay in cache",
                format_bytes(now),
                format_bytes(to),
                choice.channels.or(view.running.channels).unwrap_or(1)
            ),
            ratio: [0.7, 1.0],
        })
    },
};

pub(super) const CHUNK_OVERHEAD: Mechanism = Mechanism {
    name: "chunk-overhead",
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
        Some(Proposal {
            choice: view.running_as_rule().with_chunk_bytes(to),
            because: format!(
                "{} chunks of {} per channel and step",
                view.bytes_per_channel_and_rank() / now.max(1),
                format_bytes(now)
            ),
            ratio: [0.8, 1.05],
        })
    },
};
