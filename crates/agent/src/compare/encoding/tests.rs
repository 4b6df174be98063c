//! Points, policies and objects, one for the other.

use std::collections::BTreeSet;

use ccl_sim::noise::{NoiseModel, Scenario};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

use super::*;
use crate::compare::suite::Suite;
use crate::oracle::space_of;
use crate::testbed::{SimulatedTestbed, Testbed};

fn testbed(task: usize) -> SimulatedTestbed {
    let task = Suite::builtin().unwrap().tasks.swap_remove(task);
    let none = NoiseModel::none();
    SimulatedTestbed::new(&task.workload, &task.cluster, none, Scenario::default()).unwrap()
}

#[test]
fn the_space_of_a_key_is_that_of_the_oracle() {
    let testbed = testbed(3);
    for facts in testbed.keys().iter().filter(|k| k.is_tunable()) {
        let encoding = Encoding::per_key(&testbed, std::slice::from_ref(facts));
        let points = encoding.space().points(10_000);
        let found: BTreeSet<Option<Choice>> = points
            .iter()
            .map(|p| encoding.policy(p).choice_for(facts.key))
            .collect();
        assert_eq!(found.len(), points.len());
        let own = testbed.untuned_choice(facts.key).unwrap();
        let expected: BTreeSet<Option<Choice>> = space_of(facts)
            .points()
            .into_iter()
            .map(|c| (c != Choice::new(own.algorithm, own.protocol)).then_some(c))
            .collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn the_default_is_a_point_and_its_policy_is_empty() {
    for task in 0..Suite::builtin().unwrap().tasks.len() {
        let testbed = testbed(task);
        let keys: Vec<KeyFacts> = testbed
            .keys()
            .iter()
            .filter(|k| k.is_tunable())
            .cloned()
            .collect();
        for encoding in [
            Encoding::per_key(&testbed, &keys),
            Encoding::one_for_all(&testbed, &keys),
        ] {
            assert!(encoding.space().contains(encoding.default_point()));
            assert_eq!(encoding.policy(encoding.default_point()), Policy::default());
            assert_eq!(
                encoding.point(&Map::new()).unwrap(),
                *encoding.default_point()
            );
        }
    }
}

#[test]
fn what_is_not_in_the_space_is_refused_by_name() {
    let testbed = testbed(3);
    let facts = testbed.keys().iter().find(|k| k.is_tunable()).unwrap();
    let encoding = Encoding::per_key(&testbed, std::slice::from_ref(facts));
    let point = |value: Value| encoding.point(value.as_object().unwrap());
    let unknown = point(json!({ "speed": 3 })).unwrap_err().to_string();
    assert_eq!(unknown, "no parameter \"speed\" in the space");
    let name = format!("{}/channels", facts.key);
    let wrong = point(json!({ name.clone(): 3 })).unwrap_err().to_string();
    assert!(
        wrong.starts_with(&format!("{name}: 3 is not one of 1")),
        "{wrong}"
    );
    assert_eq!(
        point(json!({ name.clone(): 8 })),
        point(json!({ name: 8.0 }))
    );
}

proptest! {
    #[test]
    fn every_point_comes_back_from_its_object_and_can_run(seed: u64) {
        let testbed = testbed(3);
        let keys: Vec<KeyFacts> =
            testbed.keys().iter().filter(|k| k.is_tunable()).cloned().collect();
        for encoding in [
            Encoding::per_key(&testbed, &keys),
            Encoding::one_for_all(&testbed, &keys),
        ] {
            let point = encoding.space().sample(&mut ChaCha8Rng::seed_from_u64(seed));
            prop_assert_eq!(encoding.point(&encoding.object(&point)), Ok(point.clone()));
            prop_assert!(encoding.policy(&point).compile().is_ok());
        }
    }
}
