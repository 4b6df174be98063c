use ccl_core::{
    Algorithm, Bottleneck, Choice, Collective, Hypothesis, Interval, Proposer, Protocol, Source,
};

use super::{Mind, RuleMind, realised_share};
use crate::situation::made_up::MadeUp;

fn starved() -> MadeUp {
    let two = Choice::new(Algorithm::Ring, Protocol::Simple)
        .with_channels(2)
        .with_chunk_bytes(1 << 20);
    MadeUp::new(
        "a40-pcie-8gpu",
        (8, 1),
        Collective::AllGather,
        64 << 20,
        two,
    )
    .held_back_by(Bottleneck::IntraNodeLink)
}

fn mind(made_up: &MadeUp) -> RuleMind {
    RuleMind::new(Some(made_up.expectation.clone()))
}

fn names(hypotheses: &[Hypothesis]) -> Vec<&str> {
    hypotheses.iter().map(|h| h.mechanism.as_str()).collect()
}

#[test]
fn only_mechanisms_that_speak_to_the_bottleneck_are_asked() {
    let links = starved();
    let asked = mind(&links).propose(&links.situation);
    assert!(names(&asked).contains(&"starved-link"));
    let latency = starved().held_back_by(Bottleneck::LatencyBound);
    let other = mind(&latency).propose(&latency.situation);
    assert!(!names(&other).contains(&"starved-link"));
    let straggler = starved().held_back_by(Bottleneck::Straggler);
    assert!(mind(&straggler).propose(&straggler.situation).is_empty());
    let broken = starved().held_back_by(Bottleneck::Fault);
    assert!(mind(&broken).propose(&broken.situation).is_empty());
    let unclear = starved().held_back_by(Bottleneck::Unclear);
    assert!(mind(&unclear).propose(&unclear.situation).len() >= asked.len());
}

#[test]
fn a_mechanism_that_keeps_failing_is_silent_there_and_heard_again_after_a_success() {
    let made_up = starved();
    let mut mind = mind(&made_up);
    let speaks =
        |mind: &RuleMind| names(&mind.propose(&made_up.situation)).contains(&"starved-link");
    for failures in 0..4 {
        assert!(speaks(&mind), "silent after {failures}");
        mind.score(&made_up.situation, made_up.key(), "starved-link", 0.0);
    }
    assert!(!speaks(&mind));
    // Elsewhere it is heard: another collective, another bottleneck.
    let elsewhere = starved().with(|k| k.facts.key.collective = Collective::ReduceScatter);
    assert!(names(&mind.propose(&elsewhere.situation)).contains(&"starved-link"));
    mind.score(&made_up.situation, made_up.key(), "starved-link", 1.0);
    assert!(speaks(&mind));
}

#[test]
fn what_was_remembered_counts_and_only_this_run_is_written() {
    let made_up = starved();
    let mut earlier = mind(&made_up);
    for _ in 0..4 {
        earlier.score(&made_up.situation, made_up.key(), "starved-link", 0.0);
    }
    let written = earlier.scores(Source::Simulated, "earlier");
    let mut later = mind(&made_up);
    later.remember(written);
    assert!(!names(&later.propose(&made_up.situation)).contains(&"starved-link"));
    assert!(later.scores(Source::Simulated, "later").is_empty());
}

#[test]
fn trust_orders_what_promises_as_much() {
    let made_up = starved();
    let mut mind = mind(&made_up);
    let before = mind.propose(&made_up.situation);
    let first = before.first().unwrap().clone();
    for _ in 0..2 {
        mind.score(&made_up.situation, made_up.key(), &first.mechanism, 0.0);
    }
    let after = mind.propose(&made_up.situation);
    let place = after.iter().position(|h| h.mechanism == first.mechanism);
    assert!(place.unwrap() > 0);
    let gains: Vec<f64> = after
        .iter()
        .map(|h| mind.expected_gain(&made_up.situation, Proposer::Rules, h))
        .collect();
    assert!(gains.windows(2).all(|w| w[0] >= w[1]), "{gains:?}");
}

#[test]
fn what_was_tried_is_never_proposed_again() {
    let made_up = starved();
    let mind = mind(&made_up);
    let all = mind.propose(&made_up.situation);
    let tried = made_up.with(|k| k.tried = all.iter().map(|h| h.choice).collect());
    assert!(mind.propose(&tried.situation).is_empty());
}

#[test]
fn the_model_narrows_a_prediction_and_never_widens_it() {
    let made_up = starved();
    let informed = mind(&made_up).propose(&made_up.situation);
    let alone = RuleMind::new(None).propose(&made_up.situation);
    let mut narrower = 0;
    for h in &alone {
        let same = informed
            .iter()
            .find(|i| i.mechanism == h.mechanism)
            .unwrap();
        let ([low, high], [l, r]) = (h.predicted_ratio, same.predicted_ratio);
        assert!(low <= l && l < r && r <= high, "{}", h.mechanism);
        narrower += u32::from((l, r) != (low, high));
    }
    assert!(
        narrower > 0,
        "the model says nothing about {:?}",
        names(&alone)
    );
    let hidden = made_up.beside_computation();
    let [h, a] = [mind(&hidden), RuleMind::new(None)].map(|m| m.propose(&hidden.situation));
    for one in &a {
        let same = h.iter().find(|i| i.mechanism == one.mechanism).unwrap();
        assert_eq!(one.predicted_ratio, same.predicted_ratio);
    }
}

#[test]
fn half_of_a_promise_is_half_a_success() {
    let exposed = starved();
    let measured = |median: f64, width: f64| Interval {
        median,
        ci95: [median - width, median + width],
    };
    let of = |made_up: &MadeUp, m| realised_share(made_up.key(), [0.7, 0.9], m);
    assert!((of(&exposed, measured(0.9, 0.01)) - 0.5).abs() < 1e-9);
    assert!((of(&exposed, measured(0.5, 0.01)) - 1.0).abs() < 1e-9);
    assert_eq!(
        of(&exposed, measured(0.9, 0.2)),
        0.0,
        "not beyond the noise"
    );
    assert_eq!(of(&exposed, measured(1.2, 0.01)), 0.0);
    // The key is half of the iteration: a tenth of that is a fifth of the call.
    let hidden = starved().beside_computation();
    assert!((of(&hidden, measured(0.9, 0.01)) - 1.0).abs() < 1e-9);
    // What promises nothing holds its promise by being faster.
    let faster = realised_share(exposed.key(), [0.9, 1.3], measured(0.98, 0.01));
    assert_eq!(faster, 1.0);
}
