//! What NCCL 2.21 can run at all. From v3 on the cost table says it; v2 passes two flags, and NCCL runs
//! what a v2 tuner answers without a look: asked for a kernel that does not exist it fails or hangs.
//!
//! Facts from `topoGetAlgoInfo` of `src/enqueue.cc` and `ncclTopoTuneModel` of `src/graph/tuning.cc`,
//! 2.21.5.

use ccl_abi::nccl::common::PROTOCOLS;

const BROADCAST: usize = 0;
const REDUCE: usize = 1;
const ALL_GATHER: usize = 2;
const REDUCE_SCATTER: usize = 3;
const ALL_REDUCE: usize = 4;

const TREE: usize = 0;
const RING: usize = 1;
const COLLNET_DIRECT: usize = 2;
const COLLNET_CHAIN: usize = 3;
const NVLS: usize = 4;
const NVLS_TREE: usize = 5;

/// NCCL's id of the protocol that not every machine can run.
pub const LL128: usize = 1;
const SIMPLE: usize = 2;

/// What a v2 call says of the hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support {
    /// In-network reduction works for this call.
    pub collnet: bool,
    /// NVLink SHARP works for this call.
    pub nvls: bool,
    /// All ranks are on one node.
    pub is_one_node: bool,
}

impl Support {
    /// Whether there is a kernel for this, and the hardware for it as far as the flags tell. Where
    /// LL128 is safe they do not tell.
    pub fn can(self, collective: usize, algorithm: usize, protocol: usize) -> bool {
        let Self {
            collnet,
            nvls,
            is_one_node,
        } = self;
        let gathers = matches!(collective, ALL_GATHER | REDUCE_SCATTER);
        let reduces = collective == ALL_REDUCE;
        let serves = match algorithm {
            RING => matches!(collective, BROADCAST | REDUCE) || gathers || reduces,
            TREE => reduces,
            COLLNET_DIRECT => collnet && (gathers || reduces),
            COLLNET_CHAIN => collnet && reduces,
            NVLS => nvls && ((gathers && is_one_node) || (reduces && (is_one_node || collnet))),
            NVLS_TREE => nvls && reduces && !is_one_node,
            _ => false,
        };
        serves && protocol < PROTOCOLS && (matches!(algorithm, TREE | RING) || protocol == SIMPLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_a_kernel() {
        let all = Support {
            collnet: true,
            nvls: true,
            is_one_node: true,
        };
        let none = Support {
            collnet: false,
            nvls: false,
            ..all
        };
        let runs = |support: Support, collective| -> Vec<(usize, usize)> {
            let pairs = (0..8).flat_map(|a| (0..4).map(move |p| (a, p)));
            pairs
                .filter(|(a, p)| support.can(collective, *a, *p))
                .collect()
        };
        let ring = [(RING, 0), (RING, 1), (RING, 2)];
        for collective in [BROADCAST, REDUCE, ALL_GATHER, REDUCE_SCATTER] {
            assert_eq!(runs(none, collective), ring, "{collective}");
        }
        let tree_and_ring = [[(TREE, 0), (TREE, 1), (TREE, 2)], ring].concat();
        assert_eq!(runs(none, ALL_REDUCE), tree_and_ring);
        let more = [ring.to_vec(), vec![(COLLNET_DIRECT, 2), (NVLS, 2)]].concat();
        assert_eq!(runs(all, ALL_GATHER), more);
        let nodes = Support {
            is_one_node: false,
            ..all
        };
        assert!(nodes.can(ALL_REDUCE, NVLS_TREE, SIMPLE) && !nodes.can(ALL_GATHER, NVLS, SIMPLE));
        assert!(!all.can(ALL_REDUCE, NVLS_TREE, SIMPLE));
        assert!(runs(all, 5).is_empty(), "no collective of a tuner's");
    }
}
