//! Rules as a team gathers them over the years, drawn from a seed.

#![allow(dead_code, clippy::unwrap_used)] // every file uses its part

use ccl_core::{
    Algorithm, Choice, Collective, CommShape, ContextSignature, Fabric, Interval, IntraLink,
    NcclVersion, Protocol, SizeBucket, Source, TaskKey,
};
use ccl_memory::{
    Change, FailureRecord, Generalisation, Query, RuleKind, RuleRecord, VersionRange,
};
use jiff::civil::{Date, date};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub const TODAY: Date = date(2026, 6, 1);

pub fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn one_of<T: Clone>(rng: &mut impl Rng, from: &[T]) -> T {
    from[rng.random_range(0..from.len())].clone()
}

/// A place in a team with some clusters.
pub fn context(rng: &mut impl Rng) -> ContextSignature {
    let (gpu, intra) = one_of(
        rng,
        &[
            ("A40", IntraLink::Pcie),
            ("A100", IntraLink::NvSwitch),
            ("H100", IntraLink::NvSwitch),
            ("H100", IntraLink::NvLinkPairs),
        ],
    );
    let nodes = one_of(rng, &[1, 2, 4, 8]);
    let network = (nodes > 1).then(|| one_of(rng, &[Fabric::Infiniband, Fabric::Roce]));
    ContextSignature {
        gpu: gpu.to_owned(),
        intra,
        network,
        network_gbits: network.map_or(0, |_| one_of(rng, &[400, 1600, 3200])),
        nodes,
        ranks_per_node: one_of(rng, &[4, 8]),
        nccl_version: NcclVersion::new(2, one_of(rng, &[24, 26, 27]), one_of(rng, &[2, 3])),
        workload: one_of(rng, &["llama", "phi", "vgg", ""]).to_owned(),
    }
}

pub fn key(context: &ContextSignature, rng: &mut impl Rng) -> TaskKey {
    let nodes = one_of(rng, &[1, context.nodes]);
    TaskKey {
        shape: CommShape::new(nodes * context.ranks_per_node, nodes),
        collective: one_of(
            rng,
            &[
                Collective::AllReduce,
                Collective::AllGather,
                Collective::ReduceScatter,
            ],
        ),
        bucket: SizeBucket(rng.random_range(12..30)),
    }
}

fn choice(rng: &mut impl Rng) -> Choice {
    let algorithm = one_of(rng, &[Algorithm::Ring, Algorithm::Tree]);
    let protocol = one_of(rng, &[Protocol::Simple, Protocol::Ll, Protocol::Ll128]);
    let channels = one_of(rng, &[2, 4, 8, 16]);
    Choice::new(algorithm, protocol).with_channels(channels)
}

/// One rule; of all sorts.
pub fn rule(source: Source, rng: &mut impl Rng) -> RuleRecord {
    let context = context(rng);
    let kind = one_of(rng, &[RuleKind::Positive, RuleKind::Avoid]);
    let is_call = rng.random_range(0..10) > 0;
    let change = if is_call {
        Change::Call {
            key: key(&context, rng),
            choice: choice(rng),
            against: (rng.random_range(0..2) == 0).then(|| choice(rng)),
        }
    } else {
        Change::Variable {
            name: one_of(rng, &["NCCL_NVLS_ENABLE", "NCCL_BUFFSIZE"]).to_owned(),
            value: one_of(rng, &["0", "1", "8388608"]).to_owned(),
            against: None,
        }
    };
    let median: f64 = match kind {
        RuleKind::Positive => rng.random_range(0.5..0.99),
        RuleKind::Avoid => rng.random_range(1.02..2.0),
    };
    let is_failure = is_call && kind == RuleKind::Avoid && rng.random_range(0..10) == 0;
    let from = NcclVersion::new(2, 22, 1);
    let is_general = rng.random_range(0..20) == 0;
    let day = |rng: &mut dyn Rng| date(2026, rng.random_range(3..9), 15);
    RuleRecord {
        ratio: Some(Interval {
            median,
            ci95: [0.98 * median, 1.02 * median],
        }),
        pairs: rng.random_range(4..40),
        failure: is_failure.then(|| FailureRecord {
            symptom: "the job hung".to_owned(),
            suspects: 1,
            explanations: Vec::new(),
        }),
        wins: rng.random_range(0..4),
        losses: rng.random_range(0..3),
        versions: (rng.random_range(0..5) == 0).then_some(VersionRange {
            from,
            to: context.nccl_version,
        }),
        expires: (rng.random_range(0..4) == 0).then(|| day(rng)),
        generalised: is_general.then(|| Generalisation {
            confirmed: rng.random_range(0..2) == 0,
            ..Generalisation::new("a person", "so it is everywhere")
        }),
        ..RuleRecord::new(kind, context, change, source, "run")
    }
}

/// Rules, of which every tenth says the opposite of the one before it.
pub fn rules(count: usize, seed: u64) -> Vec<RuleRecord> {
    let mut rng = rng(seed);
    let mut rules: Vec<RuleRecord> = Vec::new();
    while rules.len() < count {
        let mut next = rule(Source::Measured, &mut rng);
        if let Some(last) = rules.last().filter(|_| rules.len() % 10 == 9) {
            next.kind = match last.kind {
                RuleKind::Positive => RuleKind::Avoid,
                RuleKind::Avoid => RuleKind::Positive,
            };
            next.context = last.context.clone();
            next.change = last.change.clone();
            next.failure = None;
        }
        rules.push(next);
    }
    rules
}

/// What a job with some keys asks.
pub fn query(limit: usize, rng: &mut impl Rng) -> Query {
    let context = context(rng);
    let keys = (0..rng.random_range(0..12))
        .map(|_| key(&context, rng))
        .collect();
    Query {
        context,
        keys,
        today: TODAY,
        kind: one_of(rng, &[None, Some(RuleKind::Positive)]),
        limit,
    }
}
