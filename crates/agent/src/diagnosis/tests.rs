use ccl_core::{Algorithm, Bottleneck, Choice, Collective, Protocol};

use super::{classify, fault};
use crate::situation::made_up::MadeUp;
use crate::testbed::{LateRank, Signals};

const NODE: (u32, u32) = (8, 1);
const TWO_NODES: (u32, u32) = (16, 2);

fn ring(protocol: Protocol, channels: u32) -> Choice {
    Choice::new(Algorithm::Ring, protocol).with_channels(channels)
}

fn class(made_up: &MadeUp) -> Bottleneck {
    let with = Some(&made_up.expectation);
    classify(&made_up.situation, made_up.key(), with).class
}

fn h100(bytes: u64) -> MadeUp {
    MadeUp::untuned("dgx-h100", NODE, Collective::AllReduce, bytes)
}

#[test]
fn every_class_is_recognised_where_it_belongs() {
    let late = Signals {
        wait_for_ranks: Some(0.5),
        late_rank: Some(LateRank {
            rank: 3,
            wait_share: 0.5,
        }),
        ..Signals::default()
    };
    let skewed = Signals {
        wait_for_ranks: Some(0.5),
        ..Signals::default()
    };
    let between = || MadeUp::untuned("dgx-h100", TWO_NODES, Collective::AllReduce, 256 << 20);
    let one_channel = ring(Protocol::Simple, 1);
    let all_reduce = Collective::AllReduce;
    let cases = [
        (Bottleneck::LatencyBound, h100(32 << 10)),
        (Bottleneck::IntraNodeLink, h100(256 << 20)),
        (Bottleneck::Network, between()),
        (Bottleneck::Network, between().waiting("recv", 0.7)),
        (
            Bottleneck::IntraNodeLink,
            between().waiting("send-gpu", 0.7),
        ),
        (Bottleneck::ProxyCpu, between().waiting("recv-flush", 0.6)),
        (
            Bottleneck::SmContention,
            h100(256 << 20).beside_computation(),
        ),
        (Bottleneck::Straggler, h100(256 << 20).signals(late)),
        (Bottleneck::Skew, h100(256 << 20).signals(skewed)),
        (
            Bottleneck::Misconfiguration,
            MadeUp::new("dgx-h100", NODE, all_reduce, 256 << 20, one_channel),
        ),
        (Bottleneck::Fault, h100(256 << 20).reaching(0.2)),
        (
            Bottleneck::Unclear,
            h100(256 << 20).with(|k| k.observed.choice = None),
        ),
    ];
    for (expected, made_up) in &cases {
        assert_eq!(class(made_up), *expected);
    }
    for class in Bottleneck::ALL {
        assert!(
            cases.iter().any(|(c, _)| *c == class),
            "{class} is not tried"
        );
    }
}

#[test]
fn what_nobody_knows_is_not_claimed() {
    let made_up = h100(256 << 20).reaching(0.2);
    let without = classify(&made_up.situation, made_up.key(), None);
    assert_eq!(without.class, Bottleneck::Unclear);
    assert!(without.figures.is_empty() && without.confidence == 0.0);
}

#[test]
fn a_claim_names_its_figure_and_grows_surer_away_from_the_limit() {
    let diagnosis = |share: f64| {
        let made_up = h100(256 << 20).reaching(share);
        classify(
            &made_up.situation,
            made_up.key(),
            Some(&made_up.expectation),
        )
    };
    let (barely, plainly) = (diagnosis(0.39), diagnosis(0.1));
    assert_eq!(
        (barely.class, plainly.class),
        (Bottleneck::Fault, Bottleneck::Fault)
    );
    assert!(0.5 < barely.confidence && barely.confidence < plainly.confidence);
    assert!((plainly.figures[0].value - 0.1).abs() < 1e-9);
    assert!(plainly.also.contains(&Bottleneck::IntraNodeLink));
}

#[test]
fn small_and_hidden_calls_break_no_machine() {
    let job = |made_up: MadeUp| fault::of_job(&made_up.situation, &made_up.expectation);
    assert!(job(h100(256 << 20).reaching(0.2)).is_some());
    assert!(job(h100(256 << 20).reaching(0.5)).is_none());
    assert!(job(h100(64 << 10).reaching(0.2)).is_none(), "small");
    // Computation may take half of the bandwidth, and then it is still no fault.
    let beside = |share| h100(256 << 20).beside_computation().reaching(share);
    assert!(job(beside(0.25)).is_none());
    assert!(job(beside(0.15)).is_some());
}

#[test]
fn a_bad_choice_is_no_fault_and_an_unknown_one_excuses_much() {
    let one_channel = ring(Protocol::Simple, 1);
    let forced = MadeUp::new(
        "dgx-h100",
        NODE,
        Collective::AllReduce,
        256 << 20,
        one_channel,
    );
    let own = h100(256 << 20);
    let slower = forced.key().observed.call_us / own.key().observed.call_us;
    assert!(slower > 5.0, "{slower}");
    assert!(fault::of_job(&forced.situation, &forced.expectation).is_none());
    let unknown = own.reaching(0.2).with(|k| k.observed.choice = None);
    assert!(fault::of_job(&unknown.situation, &unknown.expectation).is_none());
}

#[test]
fn a_broken_network_is_not_outweighed_by_whole_nodes() {
    let mut made_up = MadeUp::untuned("dgx-h100", TWO_NODES, Collective::AllReduce, 256 << 20);
    let inside = h100(256 << 20).with(|k| k.facts.calls = 10_000);
    let keys = [made_up.key().facts.clone(), inside.key().facts.clone()];
    let expectation = crate::expectation::Expectation::new(&made_up.situation.cluster, &keys);
    made_up.situation.keys.push(inside.key().clone());
    assert!(fault::of_job(&made_up.situation, &expectation).is_none());
    made_up.situation.keys[0].observed.call_us *= 5.0;
    let found = fault::of_job(&made_up.situation, &expectation).unwrap();
    assert!(found.because.contains("between nodes"), "{}", found.because);
    assert!(found.checks.len() >= 5 && found.checks[0].contains("NET/"));
}
