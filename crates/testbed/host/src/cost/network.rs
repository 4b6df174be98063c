//! How much a collective gives the network proxies to do, by the arithmetic of NCCL's `enqueue.cc`
//! (`calcCollChunking` of 2.30; 2.21 has the same numbers in `computeColl`).
//!
//! Between nodes each channel is taken up by one rank of a node, which sends on it and receives on it.
//! Which one depends on the rings; here it goes round.

use ccl_core::{Algorithm, Collective, CommShape, Protocol};

use crate::launches::Operation;

/// Network work of a channel, in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Transfers.
    pub transfers: u32,
    /// Of them under way at once.
    pub depth: u32,
    /// Bytes of each, at most.
    pub bytes: u64,
}

/// What each channel of `operation` sends and receives between nodes; `None` on one node.
pub fn of_channel(operation: &Operation, shape: CommShape) -> Option<Work> {
    if shape.nodes < 2 {
        return None;
    }
    let ranks = u64::from(shape.ranks);
    let is_ring = operation.algorithm == Algorithm::Ring;
    let (steps, chunks) = match operation.collective {
        Collective::AllReduce if is_ring => (2 * (ranks - 1), ranks),
        Collective::AllGather | Collective::ReduceScatter if is_ring => (ranks - 1, ranks),
        _ => (1, 1),
    };
    // A chunk goes in two slices where a ring cuts it: NCCL_STEPS is 8, chunkSteps 4, sliceSteps 2.
    let is_sliced = is_ring && chunks > 1 && operation.protocol == Protocol::Simple;
    let (slices, depth) = if is_sliced { (2, 4) } else { (1, 8) };
    let chunk_bytes = operation.chunk_bytes.max(1);
    let a_loop = u64::from(operation.channels.max(1)) * chunks * chunk_bytes;
    let loops = operation.bytes.div_ceil(a_loop);
    Some(Work {
        transfers: u32::try_from(steps * loops * slices).unwrap_or(u32::MAX),
        depth,
        bytes: chunk_bytes / slices,
    })
}

/// Whether this rank takes up a channel between nodes.
pub fn takes_up(rank: u32, shape: CommShape, channel: u32) -> bool {
    let local = shape.ranks_per_node().max(1);
    rank % local == channel % local
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn operation(algorithm: Algorithm, bytes: u64) -> Operation {
        Operation {
            collective: Collective::AllReduce,
            bytes,
            algorithm,
            protocol: Protocol::Simple,
            channels: 2,
            threads: 512,
            chunk_bytes: 1 << 19,
        }
    }

    #[test]
    fn a_ring_passes_every_chunk_round_twice_in_slices_and_a_tree_once() {
        let shape = CommShape::new(16, 2);
        // Two loops of 2 channels x 16 chunks x 512 KiB.
        let ring = of_channel(&operation(Algorithm::Ring, 32 << 20), shape).unwrap();
        assert_eq!(
            (ring.transfers, ring.depth, ring.bytes),
            (2 * 30 * 2, 4, 1 << 18)
        );
        let tree = of_channel(&operation(Algorithm::Tree, 32 << 20), shape).unwrap();
        assert_eq!((tree.transfers, tree.depth), (32, 8));
        let one_node = CommShape::new(8, 1);
        assert_eq!(
            of_channel(&operation(Algorithm::Ring, 1 << 20), one_node),
            None
        );
    }

    #[test]
    fn every_channel_has_one_rank_on_each_node() {
        let shape = CommShape::new(16, 2);
        for channel in 0..24 {
            let takers = (0..16).filter(|rank| takes_up(*rank, shape, channel));
            assert_eq!(takers.count(), 2);
        }
    }
}
