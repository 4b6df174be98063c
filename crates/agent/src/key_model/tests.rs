use ccl_core::{Algorithm, Protocol};

use super::*;

fn space() -> Space {
    Space {
        pairs: vec![
            (Algorithm::Ring, Protocol::Ll),
            (Algorithm::Ring, Protocol::Simple),
        ],
        channels: vec![1, 2, 4, 8],
        chunk_bytes: Vec::new(),
        only: None,
    }
}

fn simple(channels: u32) -> Choice {
    Choice::new(Algorithm::Ring, Protocol::Simple).with_channels(channels)
}

/// The simulator holds eight channels for best, and LL for bad.
fn model() -> KeyModel {
    model_with(&[])
}

fn model_with(elsewhere: &[Elsewhere]) -> KeyModel {
    let figure = |c: &Choice| match (c.protocol, c.channels) {
        (Protocol::Simple, Some(8)) => -0.4,
        (Protocol::Simple, _) => 0.0,
        _ => 0.7,
    };
    let figures = CheapFigures {
        name: "the simulator".to_owned(),
        figures: space().points().iter().map(|c| (*c, figure(c))).collect(),
        misses: 1.0,
    };
    KeyModel::new(space(), Some(simple(2)), vec![figures], elsewhere, 1)
}

#[test]
fn only_what_is_below_zero_is_an_improvement() {
    let of = |mean: f64, deviation: f64| {
        saving(Posterior {
            mean: -mean,
            variance: deviation * deviation,
        })
    };
    // Surely 0.2, surely nothing, and half of a normal value.
    assert!((of(0.2, 1e-6) - 0.2).abs() < 1e-6);
    assert!(of(-0.3, 0.01) < 1e-12);
    let half = 0.05 / std::f64::consts::TAU.sqrt();
    assert!((of(0.0, 0.05) - half).abs() < 1e-9);
}

#[test]
fn what_the_simulator_holds_for_best_is_suggested_first() {
    let suggested = model().suggest(3, 9.0, &|_| true);
    assert_eq!(suggested.len(), 3);
    assert_eq!(suggested[0].choice, simple(8));
    assert!(suggested[0].because.contains("the simulator"));
}

#[test]
fn a_choice_that_failed_is_not_suggested_again() {
    let mut model = model();
    model.observe(simple(8), f64::INFINITY, 0.0);
    let suggested = model.suggest(20, 9.0, &|_| true);
    assert!(suggested.iter().all(|s| s.choice != simple(8)));
}

#[test]
fn trials_are_told_beside_what_ran_during_them() {
    let mut model = model();
    model.observe(simple(8), -0.4, 1e-4);
    model.observe(simple(4), -0.1, 1e-4);
    model.adopt(simple(8));
    // Beside the new incumbent itself there is nothing to save, and four channels are slower.
    assert!(model.belief(&simple(8)).unwrap().mean.abs() < 1e-9);
    let slower = model.belief(&simple(4)).unwrap().mean;
    assert!((slower - 0.3).abs() < 0.1, "{slower}");
    // What is found beside it from now on is that much faster again.
    model.observe(simple(1), -0.1, 1e-4);
    let told = model.observations.last().unwrap().log_ratio;
    assert!((told - -0.5).abs() < 0.05, "{told}");
    model.give_back();
    assert!(model.belief(&simple(8)).unwrap().mean < -0.3);
}

#[test]
fn where_nothing_is_known_the_descent_explains_its_steps() {
    let mut model = KeyModel::new(space(), Some(simple(2)), Vec::new(), &[], 1);
    assert_eq!(model.belief(&simple(8)), None);
    let suggested = model.suggest(4, 9.0, &|_| true);
    assert!(!suggested.is_empty());
    assert!(suggested.iter().all(|s| !s.because.contains("Gaussian")));
}

#[test]
fn what_is_known_of_a_choice_beside_one_incumbent_is_known_once() {
    let (mut again, mut once) = (model(), model());
    again.observe(simple(4), -0.3, 1e-2);
    again.observe(simple(4), -0.1, 1e-4);
    once.observe(simple(4), -0.1, 1e-4);
    assert_eq!(again.observations.len(), 1);
    let [again_mean, once_mean] = [&again, &once].map(|m| m.belief(&simple(4)).unwrap().mean);
    assert!(once_mean < -0.03, "{once_mean}");
    assert!(
        (again_mean - once_mean).abs() < 0.02,
        "{again_mean} {once_mean}"
    );
    // Beside another incumbent it is another observation, and both count.
    again.adopt(simple(8));
    again.observe(simple(4), 0.3, 1e-4);
    assert_eq!(again.observations.len(), 2);
}

#[test]
fn all_ways_to_write_what_runs_are_what_runs() {
    let model = model();
    let pair = Choice::new(Algorithm::Ring, Protocol::Simple);
    for same in [simple(2), pair] {
        let belief = model.belief(&same).unwrap();
        assert!(belief.mean.abs() < 0.01 && belief.variance.sqrt() < 0.03);
    }
}

#[test]
fn by_its_neighbours_a_choice_at_most_doubles_with_every_level() {
    let mut model = KeyModel::new(space(), Some(simple(2)), Vec::new(), &[], 1);
    let ratio = |model: &KeyModel, c: &Choice| model.worst(c).exp();
    assert!((ratio(&model, &simple(2)) - 1.0).abs() < 1e-9);
    assert!((ratio(&model, &simple(1)) - 2.0).abs() < 1e-9);
    assert!((ratio(&model, &simple(8)) - 4.0).abs() < 1e-9);
    let other = Choice::new(Algorithm::Ring, Protocol::Ll).with_channels(2);
    assert!((ratio(&model, &other) - 10.0).abs() < 1e-9);
    // What was seen closer by counts.
    model.observe(simple(4), 0.8_f64.ln(), 1e-4);
    assert!((ratio(&model, &simple(8)) - 1.6).abs() < 1e-9);
}

#[test]
fn what_could_do_harm_with_its_first_call_is_not_suggested() {
    let mut model = model();
    let most = 0.01;
    let suggested = model.suggest(20, most, &|_| true);
    assert!(!suggested.is_empty());
    let feared = |c: &Choice| upper(model.belief(c).unwrap()) > most;
    assert!(!suggested.iter().any(|s| feared(&s.choice)));
}

/// A key of which the simulator says that channels matter, chunk does not, and LL is hopeless.
fn screened() -> KeyModel {
    let space = Space {
        chunk_bytes: vec![1 << 16, 1 << 20],
        ..space()
    };
    let figure = |c: &Choice| match (c.protocol, c.channels) {
        (Protocol::Simple, Some(n)) => -0.1 * f64::from(n.ilog2()),
        (Protocol::Simple, None) => -0.1,
        _ => 1.5,
    };
    let figures = CheapFigures {
        name: "the simulator".to_owned(),
        figures: space.points().iter().map(|c| (*c, figure(c))).collect(),
        misses: 1.0,
    };
    let runs = simple(2).with_chunk_bytes(1 << 20);
    KeyModel::new(space, Some(runs), vec![figures], &[], 1)
}

#[test]
fn what_does_nothing_and_what_is_hopeless_is_left_out_and_comes_back_with_the_sources_credit_gone()
{
    let mut model = screened();
    let (heard, changes) = model.screen().unwrap();
    assert!(
        heard.contains("the simulator") && heard.contains("chunk"),
        "{heard}"
    );
    let left_out: Vec<&str> = changes.iter().map(|c| c.what.as_str()).collect();
    assert!(left_out.contains(&"LL"), "{left_out:?}");
    assert!(
        left_out.iter().any(|w| w.starts_with("all chunk but")),
        "{left_out:?}"
    );
    assert!(
        !left_out.iter().any(|w| w.contains("all channels")),
        "{left_out:?}"
    );
    let ll = Choice::new(Algorithm::Ring, Protocol::Ll);
    let suggested = model.suggest(50, 9.0, &|_| true);
    assert!(
        suggested
            .iter()
            .all(|s| s.choice.protocol == Protocol::Simple)
    );
    assert!(!model.is_left(&ll) && model.is_left(&simple(8)));
    // The machine says the opposite of what the simulator said.
    for (channels, log) in [(8, 0.9), (4, 0.6), (1, -0.7)] {
        model.observe(simple(channels), log, 1e-4);
    }
    assert_eq!(model.source(), None);
    let back = model.review();
    assert!(back.iter().all(|c| c.is_back) && !back.is_empty());
    assert!(model.is_left(&ll));
}

#[test]
fn what_the_trials_say_does_not_matter_is_left_out_until_something_else_runs() {
    let mut model = KeyModel::new(
        Space {
            chunk_bytes: vec![1 << 16, 1 << 18, 1 << 20],
            ..space()
        },
        Some(simple(2)),
        Vec::new(),
        &[],
        1,
    );
    for channels in [1, 2, 4, 8] {
        for chunk in [16, 18, 20] {
            for (protocol, extra) in [(Protocol::Simple, 0.0), (Protocol::Ll, 0.5)] {
                let log = extra - 0.2 * f64::from(u32::ilog2(channels));
                let choice = Choice::new(Algorithm::Ring, protocol).with_channels(channels);
                let choice = match protocol {
                    Protocol::Simple => choice.with_chunk_bytes(1 << chunk),
                    _ => choice,
                };
                model.observe(choice, log, 1e-6);
            }
        }
    }
    assert!(model.observations.len() < 24);
    assert!(model.review().is_empty(), "too few trials to say so");
    for channels in [1, 2, 4, 8] {
        let choice = Choice::new(Algorithm::Ring, Protocol::Simple).with_channels(channels);
        model.observe(choice, -0.2 * f64::from(u32::ilog2(channels)), 1e-6);
        for chunk in [16, 20] {
            let choice =
                Choice::new(Algorithm::Ring, Protocol::Simple).with_chunk_bytes(1 << chunk);
            model.observe(choice, -0.2, 1e-6);
        }
    }
    assert!(model.observations.len() >= 20);
}

/// The simulator's model with an earlier run on top that holds four channels for best and eight for worst.
fn misled() -> KeyModel {
    let earlier = Elsewhere {
        name: "an earlier run".to_owned(),
        observations: vec![(simple(8), 0.4, 0.01), (simple(4), -0.3, 0.01)],
        is_remembered: true,
    };
    model_with(&[earlier])
}

#[test]
fn an_earlier_run_is_believed_first_and_dropped_as_soon_as_trials_say_otherwise() {
    let mut model = misled();
    assert_eq!(model.source(), Some("the simulator with an earlier run"));
    assert_eq!(model.suggest(1, 9.0, &|_| true)[0].choice, simple(4));
    model.observe(simple(4), 0.0, 1e-4);
    model.observe(simple(8), -0.4, 1e-4);
    assert_eq!(model.source(), Some("the simulator"));
    assert!(model.has_remembered() && !model.forget_earlier_runs());
}

#[test]
fn no_measurement_is_judged_by_an_earlier_run_and_none_of_its_figures_is_one() {
    let model = misled();
    let plain = self::model();
    let [own, with] = [model.own_belief(&simple(8)), model.belief(&simple(8))].map(Option::unwrap);
    assert_eq!(own.mean, plain.belief(&simple(8)).unwrap().mean);
    assert!(with.mean > own.mean);
    // The guard hears the worse of the two, and what is remembered is no measurement of this run.
    assert!(model.feared(&simple(8)).unwrap() >= upper(own));
    assert!(model.feared(&simple(4)).unwrap() >= upper(model.own_belief(&simple(4)).unwrap()));
    assert!(model.measured().is_empty());
    assert_eq!(misled().worst(&simple(4)), plain.worst(&simple(4)));
}

#[test]
fn once_it_is_forgotten_all_is_as_without_it() {
    let mut model = misled();
    assert!(model.forget_earlier_runs());
    assert_eq!(model.source(), Some("the simulator"));
    assert_eq!(model.suggest(1, 9.0, &|_| true)[0].choice, simple(8));
}
