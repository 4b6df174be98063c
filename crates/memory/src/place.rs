//! Names of places: what must be the same before anything is carried over, and the whole of a context.

use ccl_core::ContextSignature;

/// The machine: GPU product and links inside a node. Nothing is ever recalled from another one, so stores may
/// select by it.
pub(crate) fn machine(context: &ContextSignature) -> String {
    format!("{} {:?}", context.gpu, context.intra)
}

/// A context, whole: two that differ in anything have different names.
pub(crate) fn in_words(context: &ContextSignature) -> String {
    let ContextSignature {
        network,
        network_gbits,
        nodes,
        ranks_per_node,
        nccl_version,
        workload,
        ..
    } = context;
    let network = network.map_or(String::new(), |n| format!(" {n:?} {network_gbits}G"));
    let machine = machine(context);
    format!("{machine}{network} {nodes}x{ranks_per_node} NCCL {nccl_version} {workload}")
}
