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
