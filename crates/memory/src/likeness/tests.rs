use ccl_core::{Algorithm, Choice, Collective, CommShape, Fabric, Protocol, Source};
use proptest::prelude::*;

use super::*;
use crate::testing::context;
use crate::{Change, Generalisation, Reach, RuleKind, RuleRecord, VersionRange};

/// A place on one kind of machine, and a key of the job there.
#[derive(Clone, Debug, PartialEq)]
struct Place {
    context: ContextSignature,
    key: TaskKey,
}

fn place(
    nodes: u32,
    ranks_per_node: u32,
    gbits: u32,
    minor: u16,
    bucket: u8,
    collective: Collective,
) -> Place {
    let has_network = nodes > 1;
    let context = ContextSignature {
        network: has_network.then_some(Fabric::Infiniband),
        network_gbits: if has_network { gbits } else { 0 },
        nodes,
        ranks_per_node,
        nccl_version: NcclVersion::new(2, minor, 1),
        ..context()
    };
    let shape = CommShape::new(nodes * ranks_per_node, nodes);
    let key = TaskKey {
        shape,
        collective,
        bucket: SizeBucket(bucket),
    };
    Place { context, key }
}

fn rule(place: &Place) -> RuleRecord {
    let change = Change::Call {
        key: place.key,
        choice: Choice::new(Algorithm::Ring, Protocol::Simple),
        against: None,
    };
    let context = place.context.clone();
    RuleRecord::new(
        RuleKind::Positive,
        context,
        change,
        Source::Simulated,
        "run",
    )
}

fn weight(rule: &RuleRecord, here: &Place) -> Option<f64> {
    let there = Signature::of(rule);
    Likeness::of(&there, &here.context, Some(here.key)).map(|l| l.weight())
}

fn any_place() -> impl Strategy<Value = Place> {
    let collective = prop::sample::select(vec![Collective::AllReduce, Collective::AllGather]);
    let gbits = prop::sample::select(vec![100_u32, 200, 400]);
    (0_u32..5, 0_u32..4, gbits, 20_u16..30, 10_u8..20, collective).prop_map(
        |(nodes, ranks, gbits, minor, bucket, collective)| {
            place(1 << nodes, 1 << ranks, gbits, minor, bucket, collective)
        },
    )
}

proptest! {
    /// A weight is a share, whole exactly where nothing differs, and the same in both directions.
    #[test]
    fn a_weight_is_a_share(there in any_place(), here in any_place()) {
        let found = weight(&rule(&there), &here);
        prop_assert_eq!(found.is_some(), is_comparable(there.key, here.key));
        if let Some(share) = found {
            prop_assert!(share > 0.0 && share <= 1.0);
            prop_assert_eq!(share == 1.0, there == here);
            prop_assert!((weight(&rule(&here), &there).unwrap() - share).abs() < 1e-12);
        }
    }

    /// Reach takes away what sizes and nodes differ inside of it, and never adds a difference.
    #[test]
    fn inside_its_reach_neither_size_nor_nodes_count(there in any_place(), here in any_place(), up in 0_u8..4) {
        let plain = rule(&there);
        let bucket = there.key.bucket;
        let mut wide = plain.clone();
        let mut widened = Generalisation::new("m", "w");
        widened.reach = Reach {
            sizes: Some([bucket, SizeBucket(bucket.0 + up)]),
            nodes: Some([1, there.key.shape.nodes.max(here.key.shape.nodes)]),
        };
        wide.generalised = Some(widened);
        let (narrow, weighed) = (weight(&plain, &here), weight(&wide, &here));
        prop_assert_eq!(narrow.is_some(), weighed.is_some());
        if let (Some(narrow), Some(weighed)) = (narrow, weighed) {
            prop_assert!(weighed >= narrow);
            let signature = Signature::of(&wide);
            let words = Likeness::of(&signature, &here.context, Some(here.key)).unwrap().in_words();
            prop_assert!(words.iter().all(|w| !w.contains("nodes")));
            let is_inside = (bucket.0..=bucket.0 + up).contains(&here.key.bucket.0);
            prop_assert_eq!(is_inside, words.iter().all(|w| !w.contains("iB instead of") && !w.contains(" B instead of")));
        }
    }

    /// Further away in anything never weighs more.
    #[test]
    fn further_away_never_weighs_more(
        there in any_place(), which in 0..4, step in 1_u32..3, up in any::<bool>(),
    ) {
        let rule = rule(&there);
        let moved = |steps: u32| {
            let key = there.key;
            let (nodes, ranks) = (there.context.nodes, there.context.ranks_per_node);
            let (minor, bucket) = (there.context.nccl_version.minor, key.bucket.0);
            let (gbits, collective) = (there.context.network_gbits, key.collective);
            let by = |value: u32| if up { value << steps } else { (value >> steps).max(1) };
            let steps = u8::try_from(steps).unwrap();
            match which {
                0 => place(by(nodes), ranks, gbits, minor, bucket, collective),
                1 => place(nodes, by(ranks), gbits, minor, bucket, collective),
                2 if up => place(nodes, ranks, gbits, minor + u16::from(steps), bucket, collective),
                2 => place(nodes, ranks, gbits, minor - u16::from(steps), bucket, collective),
                _ if up => place(nodes, ranks, gbits, minor, bucket + steps, collective),
                _ => place(nodes, ranks, gbits, minor, bucket - steps, collective),
            }
        };
        let (near, far) = (weight(&rule, &moved(step)), weight(&rule, &moved(step + 1)));
        prop_assert!(far.unwrap_or(0.0) <= near.unwrap_or(0.0));
        prop_assert!(near.unwrap_or(0.0) <= 1.0);
    }
}

#[test]
fn what_differs_is_said() {
    let there = place(2, 8, 400, 26, 20, Collective::AllReduce);
    let mut here = place(4, 8, 400, 27, 19, Collective::AllReduce);
    here.context.workload = "another".to_owned();
    let rule = rule(&there);
    let words = |here: &Place| {
        let there = Signature::of(&rule);
        let likeness = Likeness::of(&there, &here.context, Some(here.key)).unwrap();
        likeness.in_words().join("; ")
    };
    assert_eq!(words(&there), "same GPU, links and network");
    assert_eq!(
        words(&here),
        "same GPU, links and network; 32 instead of 16 ranks; 4 instead of 2 nodes; \
         512 KiB instead of 1 MiB; NCCL 2.27.1 instead of 2.26.1; another workload"
    );
    here.context.network = Some(Fabric::Roce);
    assert!(words(&here).contains("network Roce instead of Infiniband"));
}

#[test]
fn a_rule_counts_whole_in_every_release_where_it_is_known_to_hold() {
    let there = place(1, 8, 0, 24, 20, Collective::AllReduce);
    let known = RuleRecord {
        versions: Some(VersionRange {
            from: NcclVersion::new(2, 22, 0),
            to: NcclVersion::new(2, 26, 1),
        }),
        ..rule(&there)
    };
    let at = |minor| weight(&known, &place(1, 8, 0, minor, 20, Collective::AllReduce)).unwrap();
    assert_eq!([22, 24, 26].map(at), [1.0; 3]);
    assert!(at(27) < 1.0 && at(28) < at(27) && at(20) < at(21));
}
