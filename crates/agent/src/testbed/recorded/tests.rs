//! What was measured stands in for the machine, and nothing else does.

use ccl_core::{Algorithm, Cell, Collective, CommShape, Protocol, read_measured_csv};

use super::*;
use crate::guard::{Bounds, Guard, Lease};

/// Published points of 8xB300 (eunomia-bpf/nccl-eBPF), AllReduce of 8 MiB.
const SWEEP: &str = "dataset,gpu,gpus_per_node,nodes,ranks,intra,network,nccl,collective,bytes,algorithm,protocol,channels,threads,chunk_bytes,settings,concurrent_compute,time_us,busbw_gbs,source\n\
    x,B300,8,1,8,NVLink5,none,2.29.7,AllReduce,8388608,default,,,,,,,,300.0,x\n\
    x,B300,8,1,8,NVLink5,none,2.29.7,AllReduce,8388608,Ring,Simple,,,,,,,400.0,x\n";

fn testbed() -> RecordedTestbed {
    let sweep = read_measured_csv(SWEEP).unwrap();
    let key = TaskKey::of(CommShape::new(8, 1), Collective::AllReduce, 8 << 20);
    let version = NcclVersion::new(2, 29, 7);
    RecordedTestbed::new(
        &sweep,
        "b300",
        version,
        &[(key, 8 << 20, 4)],
        10.0,
        &|_, _| None,
        1,
    )
    .unwrap()
}

#[test]
fn only_what_is_on_record_can_be_tried() {
    let mut testbed = testbed();
    let key = testbed.keys()[0].key;
    let guard = Guard::new(Bounds::default(), testbed.keys());
    let ring = Choice::new(Algorithm::Ring, Protocol::Simple);
    let tree = Choice::new(Algorithm::Tree, Protocol::Simple);
    assert!(guard.approve_probe(key, Some(tree)).is_err());
    let untuned = guard.approve_probe(key, None).unwrap();
    let times = testbed.probe(&untuned, 3).unwrap();
    assert!(
        times.iter().all(|t| (t - times[0]).abs() < 1e-12),
        "no made-up noise"
    );
    let leases = [Lease {
        key,
        choice: ring,
        calls: 1,
    }];
    // One of four calls is more than a lease may take, but a lease has at least one.
    let mixed = guard
        .approve_with_leases(&Default::default(), &leases)
        .unwrap();
    let with = testbed.run_iteration(&mixed).unwrap();
    let without = testbed.run_iteration(&guard.approve_untuned()).unwrap();
    let saved = without.iteration_us - with.iteration_us;
    assert!(
        (saved - times[0] / 4.0).abs() < 1e-6,
        "a quarter less on one of four calls"
    );
    assert!(testbed.describe().resolution > 0.0);
}

#[test]
fn a_size_between_two_recorded_ones_is_not_made_up() {
    let sweep = read_measured_csv(SWEEP).unwrap();
    let key = TaskKey::of(CommShape::new(8, 1), Collective::AllReduce, 9 << 20);
    let version = NcclVersion::new(2, 29, 7);
    let none = |_: &Cell, _: Algorithm| None;
    let result = RecordedTestbed::new(&sweep, "b300", version, &[(key, 9 << 20, 1)], 0.0, &none, 1);
    assert!(matches!(
        result,
        Err(RecordedError::NotMeasured(NotMeasured::Size { .. }))
    ));
}
