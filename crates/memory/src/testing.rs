//! A place and a key for this crate's own tests.

use ccl_core::{ClusterSpec, Collective, CommShape, ContextSignature, TaskKey, cluster_text};

pub(crate) fn context() -> ContextSignature {
    let cluster = ClusterSpec::parse(cluster_text("a40-pcie-8gpu").unwrap()).unwrap();
    ContextSignature::of(&cluster, "phi2-2b", 1, 8)
}

pub(crate) fn key() -> TaskKey {
    TaskKey::of(CommShape::new(8, 1), Collective::AllGather, 80 << 20)
}
