use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::optimiser::Optimiser;
use crate::problem::ReferenceProblem;
use crate::pruning::{Ground, Pruning};
use crate::space::MixedSpace;
use crate::statistics::median;

static PROBLEM: LazyLock<ReferenceProblem> = LazyLock::new(ReferenceProblem::new);

/// Algorithm and protocol of the reference problem.
const IMPLEMENTATION: [usize; 2] = [0, 1];

fn space() -> MixedSpace {
    PROBLEM.space().clone()
}

fn auto_ccl(pretrain: usize, train: usize, seed: u64) -> AutoCcl {
    let steps = AutoCclSteps { pretrain, train };
    AutoCcl::new(space(), &IMPLEMENTATION, steps, seed)
}

/// Each method with the budget divided as its authors divide it, where they do.
fn all(seed: u64, evaluations: usize) -> Vec<(&'static str, Box<dyn Optimiser>)> {
    let pretrain = evaluations * 2 / 7;
    vec![
        ("random", Box::new(RandomSearch::new(space(), seed)) as _),
        (
            "AutoCCL",
            Box::new(auto_ccl(pretrain, evaluations - pretrain, seed)) as _,
        ),
        (
            "AFNFA",
            Box::new(Afnfa::new(space(), evaluations / 2, seed)) as _,
        ),
        ("TPE", Box::new(Tpe::new(space(), seed)) as _),
        ("SMAC", Box::new(Smac::new(space(), seed)) as _),
    ]
}

/// How far above the optimum a method ends in a part of the space, median over seeds.
fn end(part: &Pruning, evaluations: usize, method: impl Fn(u64) -> Box<dyn Optimiser>) -> f64 {
    let run = |seed: u64| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut search = method(seed);
        for _ in 0..evaluations {
            let point = search.ask();
            search.tell(&point, PROBLEM.measure_us(&part.whole(&point), &mut rng));
        }
        PROBLEM.above_optimum(&part.whole(&search.best().unwrap()))
    };
    let ends: Vec<f64> = (0..15).map(run).collect();
    median(&ends).unwrap()
}

#[test]
fn methods_for_any_space_beat_random_on_nine_parameters() {
    let whole = Pruning::new(space());
    let of = |method: usize| end(&whole, 70, move |seed| all(seed, 70).swap_remove(method).1);
    let random = of(0);
    for method in 2..5 {
        let (name, end) = (all(0, 70)[method].0, of(method));
        assert!(
            end < random,
            "{name} ends {end:.3} above, random {random:.3}"
        );
    }
}

/// On all nine parameters, with ten evaluations in each of seven subspaces, it does not beat random:
/// doc/adr/016-peers.md.
#[test]
fn auto_ccl_beats_random_on_the_parameters_it_was_made_for() {
    let mut own = Pruning::new(space());
    let ground = Ground::NoEffect {
        effect: 0.0,
        threshold: 0.0,
    };
    for parameter in 6..9 {
        let best = PROBLEM.optimum().0.level(parameter).unwrap();
        assert!(own.drop_parameter(parameter, best, ground, None));
    }
    let space = own.reduced();
    let random = end(&own, 100, |seed| {
        Box::new(RandomSearch::new(space.clone(), seed))
    });
    let steps = AutoCclSteps {
        pretrain: 28,
        train: 72,
    };
    let auto_ccl = end(&own, 100, |seed| {
        Box::new(AutoCcl::new(space.clone(), &IMPLEMENTATION, steps, seed))
    });
    assert!(
        auto_ccl < 0.5 * random,
        "{auto_ccl:.3} above, random {random:.3}"
    );
}

#[test]
fn auto_ccl_visits_every_implementation_and_no_point_twice() {
    let mut search = auto_ccl(14, 140, 3);
    let (mut implementations, mut seen) = (BTreeSet::new(), BTreeSet::new());
    loop {
        let point = search.ask();
        if seen.contains(&point) {
            break;
        }
        assert!(!search.is_over() || seen.len() < 154);
        implementations.insert((point.level(0), point.level(1)));
        search.tell(&point, PROBLEM.time_us(&point));
        seen.insert(point);
    }
    assert!(search.is_over(), "a point twice before the end");
    assert_eq!(implementations.len(), 7);
    // Over, it stays with what it found.
    assert_eq!(Some(search.ask()), search.best());
}

#[test]
fn auto_ccl_leaves_what_is_far_too_slow() {
    let mut search = auto_ccl(14, 140, 4);
    let mut slow = 0;
    for _ in 0..120 {
        let point = search.ask();
        let factor = if point.level(1) == Some(0) { 10.0 } else { 1.0 };
        slow += usize::from(factor > 1.0);
        search.tell(&point, factor * PROBLEM.time_us(&point));
    }
    // In each of the two subspaces two random points, and rounds of three until a tenth of twenty.
    assert!(
        slow <= 2 * (2 + 5),
        "{slow} evaluations of a hopeless protocol"
    );
}

#[test]
fn auto_ccl_takes_the_mean_of_the_fastest_repeats() {
    let mut search = auto_ccl(20, 50, 5);
    let (steady, spiky) = (space().point(&[0; 9]), space().point(&[0, 0, 1, 0]));
    for value in [1.0, 1.0, 1.0, 1.0] {
        search.tell(&steady, value);
    }
    for value in [0.9, 0.9, 0.9, 9.0] {
        search.tell(&spiky, value);
    }
    assert_eq!(search.best(), Some(spiky));
}

#[test]
fn a_search_that_only_saw_failures_goes_on_and_has_no_best() {
    for (name, mut search) in all(6, 40) {
        assert_eq!(search.best(), None, "{name}");
        for _ in 0..40 {
            let point = search.ask();
            assert!(space().contains(&point), "{name}");
            search.tell(&point, f64::INFINITY);
        }
        assert_eq!(search.best(), None, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]
    #[test]
    fn no_method_leaves_the_space_and_each_repeats_itself_from_its_seed(seed: u64, fail in 0_u16..6) {
        let (mut ones, mut twos) = (all(seed, 40), all(seed, 40));
        for ((name, one), (_, two)) in ones.iter_mut().zip(&mut twos) {
            for _ in 0..40 {
                let point = one.ask();
                prop_assert!(space().contains(&point), "{} asked {:?}", name, point);
                prop_assert_eq!(&point, &two.ask(), "{}", name);
                let failed = point.level(2) == Some(fail);
                let value = if failed { f64::INFINITY } else { PROBLEM.time_us(&point) };
                one.tell(&point, value);
                two.tell(&point, value);
            }
            prop_assert_eq!(one.best(), two.best());
        }
    }
}
