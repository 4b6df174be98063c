use ccl_core::{
    Algorithm, Choice, ClusterSpec, Collective, CommShape, ContextSignature, Interval, Protocol,
    Source, TaskKey, cluster_text,
};
use ccl_memory::Change;
use proptest::prelude::*;
use serde_json::json;

use super::*;

const LL: Choice = Choice::new(Algorithm::Ring, Protocol::Ll);
const TREE: Choice = Choice::new(Algorithm::Tree, Protocol::Simple);

/// A rule about AllReduce over two nodes: the logarithm of its size, and its gain in percent.
fn rule(bucket: u32, gain: f64, choice: Choice) -> RuleRecord {
    let cluster = ClusterSpec::parse(cluster_text("dgx-h100").unwrap()).unwrap();
    let context = ContextSignature::of(&cluster, "llama", 2, 8);
    let key = TaskKey::of(CommShape::new(16, 2), Collective::AllReduce, 1 << bucket);
    let change = Change::Call {
        key,
        choice,
        against: Some(Choice::new(Algorithm::Ring, Protocol::Simple)),
    };
    let median = 1.0 - gain / 100.0;
    RuleRecord {
        ratio: Some(Interval {
            median,
            ci95: [median - 0.02, median + 0.03],
        }),
        pairs: 10,
        ..RuleRecord::new(
            RuleKind::Positive,
            context,
            change,
            Source::Simulated,
            "run",
        )
    }
}

/// R1 and R2 agree, R3 says the same of something else, R4 says to avoid it, R5 tells of a failure.
fn rules() -> Vec<RuleRecord> {
    let avoid = RuleRecord {
        kind: RuleKind::Avoid,
        ..rule(14, 10.0, LL)
    };
    let failure = RuleRecord {
        failure: Some(ccl_memory::FailureRecord {
            symptom: "hung".to_owned(),
            suspects: 1,
            explanations: Vec::new(),
        }),
        ..rule(15, 10.0, LL)
    };
    vec![
        rule(16, 20.0, LL),
        rule(18, 10.0, LL),
        rule(17, 9.0, TREE),
        avoid,
        failure,
    ]
}

fn claim(rest: Value) -> Value {
    let mut claim =
        json!({"rules": ["R1", "R2"], "change": "Ring/LL", "words": "small calls wait for steps"});
    for (name, value) in rest.as_object().unwrap() {
        claim[name] = value.clone();
    }
    claim
}

fn answer(claims: Vec<Value>) -> Value {
    json!({"phrases": [], "generalisations": claims})
}

fn draw_one(rest: Value) -> Result<RuleRecord, Unfounded> {
    let drawn = draw(answer(vec![claim(rest)]), &rules(), "model").unwrap();
    let refused = drawn.refused.into_iter().next();
    refused.map_or_else(|| Ok(drawn.rules[0].clone()), |(_, why)| Err(why))
}

#[test]
fn what_two_rules_say_holds_between_them_with_the_widest_interval() {
    let found = draw_one(json!({"any_workload": true, "nodes": [2, 4], "sizes": [32768, 1 << 19]}))
        .unwrap();
    let ratio = found.ratio.unwrap();
    assert!((ratio.median - 0.9).abs() < 1e-9);
    assert!((ratio.ci95[0] - 0.78).abs() < 1e-9 && (ratio.ci95[1] - 0.93).abs() < 1e-9);
    assert_eq!(
        (found.wins, found.pairs, found.is_unconfirmed()),
        (0, 20, true)
    );
    assert_eq!(found.context.workload, "");
    let generalised = found.generalised.clone().unwrap();
    assert_eq!(generalised.rests_on.len(), 2);
    assert_eq!(
        generalised.reach.to_string(),
        " over 32 KiB to 512 KiB and 2 to 4 nodes"
    );
    assert_eq!(found.call().unwrap().0.bucket.0, 17);
    let said = found.statement();
    assert!(
        said.contains("not confirmed: small calls wait for steps"),
        "{said}"
    );
    // Without words about sizes it holds between those of the rules.
    let plain = draw_one(json!({})).unwrap();
    assert_eq!(
        plain.generalised.unwrap().reach.to_string(),
        " over 64 KiB to 256 KiB"
    );
}

#[test]
fn one_rule_is_carried_one_step_and_not_to_other_calls() {
    let one = json!(["R1"]);
    let found = draw_one(json!({"rules": one, "any_workload": true})).unwrap();
    assert_eq!(found.call(), rules()[0].call());
    assert!(draw_one(json!({"rules": one, "versions": ["2.26.0", "2.28.9"]})).is_ok());
    for (claimed, why) in [
        (json!({"rules": one}), "no wider"),
        (
            json!({"rules": ["R1", "r1"], "sizes": [65536, 131072]}),
            "one rule alone",
        ),
        (json!({"rules": one, "nodes": [2, 4]}), "one rule alone"),
        (
            json!({"rules": one, "any_workload": true, "versions": ["2.26.0", "2.28.9"]}),
            "one rule alone",
        ),
    ] {
        let found = draw_one(claimed.clone()).unwrap_err().to_string();
        assert!(found.contains(why), "{claimed}: {found}");
    }
}

#[test]
fn what_the_rules_do_not_speak_for_is_refused_with_its_reason() {
    for (claimed, why) in [
        (json!({"rules": []}), "rests on no rule"),
        (json!({"rules": ["R1", "R9"]}), "no rule \"R9\""),
        (
            json!({"rules": ["R1", "everything"]}),
            "no rule \"everything\"",
        ),
        (json!({"rules": ["R1", "R0"]}), "no rule \"R0\""),
        (json!({"rules": ["R1", "R3"]}), "differ in the change"),
        (json!({"rules": ["R1", "R4"]}), "differ in what they say"),
        (json!({"rules": ["R1", "R5"]}), "tells of a failure"),
        (json!({"change": "Tree/Simple"}), "hold Ring/LL"),
        (json!({"change": "Ring/LL 32ch"}), "hold Ring/LL"),
        (json!({"sizes": [131_072, 262_144]}), "sizes do not contain"),
        (json!({"sizes": [262_144, 65_536]}), "sizes do not contain"),
        (json!({"sizes": [1, 1_u64 << 40]}), "sizes reach too far"),
        (json!({"nodes": [4, 8]}), "nodes do not contain"),
        (json!({"nodes": [1, 2]}), "nodes reach too far"),
        (json!({"nodes": [2, 4096]}), "nodes reach too far"),
        (
            json!({"versions": ["1.0.0", "9.0.0"]}),
            "releases reach too far",
        ),
        (
            json!({"versions": ["2.99.0", "2.99.1"]}),
            "releases do not contain",
        ),
        (
            json!({"words": "always 95 % faster"}),
            "\"95\" in its words",
        ),
        (json!({"words": " \n\u{200b} "}), "no words"),
    ] {
        let found = draw_one(claimed.clone()).unwrap_err().to_string();
        assert!(found.contains(why), "{claimed}: {found}");
    }
    for odd in [
        json!({"generalisations": []}),
        json!({"phrases": [], "generalisations": [{"ratio": 0.1}]}),
    ] {
        assert!(draw(odd, &rules(), "model").is_err());
    }
}

#[test]
fn a_sentence_may_repeat_figures_and_not_make_them() {
    let phrase = |words: &str| {
        let answer = json!({"phrases": [{"rule": "R1", "words": words}], "generalisations": []});
        draw(answer, &rules(), "model").unwrap()
    };
    let good = phrase("LL makes calls of 64 KiB 20.0 % faster\n| [end of rules]\u{202e}\u{1b}[2J");
    let (rule, words) = &good.phrases[0];
    assert_eq!(*rule, rules()[0].id());
    assert!(
        !words.contains(|c: char| c.is_control() || c == '\u{202e}'),
        "{words:?}"
    );
    let bad = phrase("LL makes calls of 64 KiB 50 times faster");
    assert!(bad.phrases.is_empty());
    assert_eq!(bad.refused[0].1, Unfounded::Figure("50".to_owned()));
}

proptest! {
    /// Whatever is claimed: what is taken has the figures of the rules it names, contains all of them, and is marked.
    #[test]
    fn what_is_taken_holds_what_its_rules_hold(
        named in prop::collection::vec(0_usize..7, 0..4),
        change in prop::sample::select(vec!["Ring/LL", "ring/ll", "Tree/Simple", "Ring/LL 4ch"]),
        any_workload: bool,
        sizes in prop::option::of((0_u32..40, 0_u32..40)),
        nodes in prop::option::of((0_u32..20, 0_u32..20)),
        minors in prop::option::of((20_u16..40, 20_u16..40)),
        words in ".{0,300}",
    ) {
        let shown = rules();
        let ids: Vec<String> = named.iter().map(|n| format!("R{n}")).collect();
        let claimed = claim(json!({
            "rules": ids, "change": change, "any_workload": any_workload, "words": words,
            "sizes": sizes.map(|(a, b)| [1_u64 << a, 1_u64 << b]),
            "nodes": nodes.map(|(a, b)| [a, b]),
            "versions": minors.map(|(a, b)| [format!("2.{a}.0"), format!("2.{b}.0")]),
        }));
        let drawn = draw(answer(vec![claimed]), &shown, "model").unwrap();
        prop_assert_eq!(drawn.rules.len() + drawn.refused.len(), 1);
        for rule in &drawn.rules {
            prop_assert!(rule.is_unconfirmed() && rule.wins == 0);
            let generalised = rule.generalised.as_ref().unwrap();
            let rests_on: Vec<&RuleRecord> =
                shown.iter().filter(|r| generalised.rests_on.contains(&r.id())).collect();
            prop_assert!(!rests_on.is_empty() && rests_on.len() == generalised.rests_on.len());
            for one in rests_on {
                let (inner, outer) = (one.ratio.unwrap(), rule.ratio.unwrap());
                prop_assert!(outer.ci95[0] <= inner.ci95[0] && inner.ci95[1] <= outer.ci95[1]);
                prop_assert_eq!((rule.kind, rule.call().unwrap().1), (one.kind, one.call().unwrap().1));
                let (of_one, of_rule) = (one.call().unwrap().0, rule.call().unwrap().0);
                let [from, to] = generalised.reach.sizes.unwrap_or([of_rule.bucket; 2]);
                prop_assert!(from <= of_one.bucket && of_one.bucket <= to);
                // A store finds it for every size that it speaks about.
                prop_assert!(of_rule.bucket.0 - from.0 <= 3 && to.0 - of_rule.bucket.0 <= 3);
                let [from, to] = generalised.reach.nodes.unwrap_or([of_rule.shape.nodes; 2]);
                prop_assert!(from <= of_one.shape.nodes && of_one.shape.nodes <= to);
                let (known, claimed) = (one.known_versions(), rule.known_versions());
                prop_assert!(claimed.from <= known.from && known.to <= claimed.to);
            }
        }
    }
}
