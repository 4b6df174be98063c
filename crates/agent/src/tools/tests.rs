//! Every tool on a run that is under way.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ccl_core::{Caller, ClusterSpec, ContextSignature, TraceLine, WorkloadSpec, cluster_text};
use ccl_memory::Knowledge;
use ccl_sim::noise::{NoiseModel, Scenario};
use serde_json::{Value, json};

use super::{ToolError, Touches, all, find};
use crate::mind::llm::LlmMind;
use crate::remembered::Remembered;
use crate::testbed::SimulatedTestbed;
use crate::trace::Tracer;
use crate::tuner::{TuneOptions, Tuner};

/// Opens a run on phi2 and hands it to somebody.
pub(crate) fn session<T>(
    seed: u64,
    steer: impl FnOnce(&mut Tuner<'_>) -> T,
) -> (T, Vec<TraceLine>) {
    session_on("autoccl/phi2-2b.json", seed, steer)
}

/// The same on another workload.
fn session_on<T>(
    workload: &str,
    seed: u64,
    steer: impl FnOnce(&mut Tuner<'_>) -> T,
) -> (T, Vec<TraceLine>) {
    let cluster = ClusterSpec::parse(cluster_text("a40-pcie-8gpu").unwrap()).unwrap();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workload");
    let path = folder.join(workload);
    let workload = WorkloadSpec::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    // Without spikes, so that a slow iteration is somebody's doing.
    let noise = NoiseModel {
        spike_rate: 0.0,
        ..NoiseModel::typical(seed)
    };
    let mut testbed =
        SimulatedTestbed::new(&workload, &cluster, noise, Scenario::default()).unwrap();
    let (mut trace, mut nobody, no_time) = (Vec::new(), (), || Duration::ZERO);
    let knowledge = Knowledge::new(cluster.nccl_version, &[]).unwrap();
    let interrupted = AtomicBool::new(false);
    let mut tuner = Tuner::new(
        &mut testbed,
        &cluster,
        ContextSignature::of(&cluster, "phi2", 1, 8),
        Tracer::new(&mut trace, &mut nobody, &no_time),
        TuneOptions {
            seed,
            ..TuneOptions::default()
        },
        LlmMind::none(),
        &knowledge,
        Remembered::default(),
        &interrupted,
    );
    tuner.begin("session").unwrap();
    let result = steer(&mut tuner);
    drop(tuner);
    (result, trace)
}

fn call(tuner: &mut Tuner<'_>, name: &str, arguments: Value) -> Result<Value, ToolError> {
    let answer = tuner.call_tool(Caller::Client, Touches::Job, name, arguments);
    answer.unwrap()
}

fn hypothesis(choice: &Value) -> Value {
    json!({
        "key": "1", "mechanism": "m", "because": "b", "evidence": ["E1"], "choice": choice,
        "predicted_ratio": [0.5, 1.0], "risk": "r", "refuted_by": "s"
    })
}

#[test]
fn schemas_are_whole_and_say_what_is_meant() {
    for entry in all() {
        let name = entry.about.name;
        let plain = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(name.chars().all(plain), "{name}");
        assert!(entry.about.description.len() > 40, "{name}");
        for schema in [entry.arguments(), entry.answer()] {
            assert_eq!(schema["type"], "object", "{name}: {schema}");
            assert!(!schema.to_string().contains("$ref"), "{name}: {schema}");
        }
        for (argument, schema) in entry.arguments()["properties"]
            .as_object()
            .into_iter()
            .flatten()
        {
            assert!(
                schema["description"].is_string(),
                "{name}.{argument} says nothing"
            );
        }
    }
}

#[test]
fn a_person_tunes_a_job_by_hand() {
    let (summary, trace) = session(1, |tuner| {
        for name in [
            "describe_cluster",
            "describe_workload",
            "list_task_keys",
            "query_evidence",
            "recall_rules",
            "explain",
        ] {
            let answer = call(tuner, name, json!({})).unwrap();
            let schema = find(name).unwrap().answer();
            assert!(jsonschema::is_valid(&schema, &answer), "{name}: {answer}");
        }
        let found = call(tuner, "search_knowledge", json!({"query": "channels"})).unwrap();
        assert!(!found["passages"].as_array().unwrap().is_empty());
        let choice = json!({"algorithm": "Ring", "protocol": "Simple", "channels": 8});
        let of_key = json!({"key": 1, "choice": choice});
        let validated = call(tuner, "compile_and_validate", of_key.clone()).unwrap();
        assert_eq!(validated["passes"], true, "{validated}");
        let predicted = call(tuner, "predict", of_key.clone()).unwrap();
        assert!(predicted["ratio"][0].is_number(), "{predicted}");
        let probed = call(tuner, "probe", of_key).unwrap();
        assert!(probed["evidence"].is_string(), "{probed}");
        let table = call(
            tuner,
            "microbenchmark",
            json!({"key": "1", "choices": [choice]}),
        )
        .unwrap();
        assert_eq!(table["rows"].as_array().unwrap().len(), 2);

        let one = call(tuner, "propose_hypothesis", hypothesis(&choice)).unwrap();
        let found = call(tuner, "numeric_search", json!({"most": 3})).unwrap();
        let mut numbers = vec![one["proposal"].clone()];
        let others = found["proposals"].as_array().unwrap().iter();
        numbers.extend(others.map(|p| p["proposal"].clone()));
        numbers.dedup();
        call(tuner, "apply", json!({"proposals": numbers})).unwrap();
        let measured = call(tuner, "measure", json!({"iterations": 40})).unwrap();
        assert!(measured["iterations"].as_u64().unwrap() > 10);
        let told = call(tuner, "explain", json!({})).unwrap();
        let tried = told["tried"].as_array().unwrap();
        let kept = tried.iter().find(|t| t["outcome"] == "kept").unwrap();
        let wrong = json!({"candidate": kept["candidate"], "kind": "avoid"});
        assert!(call(tuner, "record_rule", wrong).is_err());
        let compared = call(tuner, "compare_with_baseline", json!({})).unwrap();
        assert_eq!(compared["verdict"], "faster", "{compared}");
        call(tuner, "stop", json!({"because": "good enough"})).unwrap();
        let more = call(tuner, "apply", json!({"proposals": [1]}));
        assert!(matches!(more, Err(ToolError::Refused(_))));
        tuner.finish().unwrap()
    });
    assert_eq!(summary.verdict, ccl_core::Verdict::Faster);
    let called = trace
        .iter()
        .filter(|l| matches!(l.event, ccl_core::TraceEvent::ToolCalled { .. }));
    assert!(called.count() >= 18);
}

#[test]
fn what_was_kept_goes_back_when_somebody_asks() {
    session(1, |tuner| {
        call(tuner, "numeric_search", json!({"most": 8})).unwrap();
        call(tuner, "apply", json!({"proposals": [1, 2, 3, 4, 5]})).unwrap();
        call(tuner, "measure", json!({"iterations": 30})).unwrap();
        let back = call(tuner, "roll_back", json!({})).unwrap();
        assert!(!back["keys"].as_array().unwrap().is_empty());
        let job = call(tuner, "describe_workload", json!({})).unwrap();
        assert_eq!(job["incumbent"], json!([]));
        let again = call(tuner, "compare_with_baseline", json!({})).unwrap();
        assert_eq!(again["verdict"], "no difference");
    });
}

#[test]
fn whatever_is_applied_together_all_of_it_is_accounted_for() {
    let ((), trace) = session_on("modern/llama3-8b-fsdp.json", 1, |tuner| {
        let keys = call(tuner, "list_task_keys", json!({})).unwrap();
        let keys = keys["keys"].as_array().unwrap();
        let hidden = |hidden: bool| {
            keys.iter()
                .filter(move |k| k["beside_computation"] == hidden)
        };
        // Two of one key that is judged by the iteration, and one that is judged by its calls.
        let wanted = [
            (hidden(true).next().unwrap(), 4),
            (hidden(true).next().unwrap(), 8),
            (hidden(false).next().unwrap(), 8),
        ];
        let mut numbers = Vec::new();
        for (key, channels) in wanted {
            let choice = json!({"algorithm": "Ring", "protocol": "Simple", "channels": channels});
            let mut proposed = hypothesis(&choice);
            proposed["key"] = key["key"].clone();
            let noted = call(tuner, "propose_hypothesis", proposed).unwrap();
            numbers.push(noted["proposal"].clone());
        }
        let begun = call(tuner, "apply", json!({"proposals": numbers})).unwrap();
        let count = |list: &str| begun[list].as_array().unwrap().len();
        assert_eq!(
            count("decided") + count("running") + count("refused"),
            3,
            "{begun}"
        );
    });
    // No iteration is taken for a comparison of two choices of one key.
    for line in &trace {
        if let ccl_core::TraceEvent::Decided { candidates, .. } = &line.event {
            let mut hidden: Vec<_> = candidates.iter().map(|c| c.key).collect();
            let all = hidden.len();
            hidden.dedup();
            assert_eq!(hidden.len(), all);
        }
    }
}

#[test]
fn nobody_does_more_than_he_may() {
    session(1, |tuner| {
        for entry in all() {
            for may in [
                Touches::Nothing,
                Touches::Notes,
                Touches::Machine,
                Touches::Memory,
            ] {
                let answer = tuner
                    .call_tool(Caller::Client, may, entry.about.name, json!({}))
                    .unwrap();
                let is_refused = matches!(answer, Err(ToolError::NotAllowed { .. }));
                assert_eq!(
                    is_refused,
                    entry.about.touches > may,
                    "{}",
                    entry.about.name
                );
            }
        }
    });
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    session(1, |tuner| {
        let mut say =
            |name: &str, arguments: Value| call(tuner, name, arguments).unwrap_err().to_string();
        let key = say(
            "predict",
            json!({"key": "9", "choice": {"algorithm": "Ring", "protocol": "LL"}}),
        );
        assert!(key.contains("there is no task key \"9\""), "{key}");
        let unit = json!({"algorithm": "Ring", "protocol": "LL", "chunk_bytes": "512K"});
        let unit = say("propose_hypothesis", hypothesis(&unit));
        assert!(unit.starts_with("choice.chunk_bytes: "), "{unit}");
        let mut uncited = hypothesis(&json!({"algorithm": "Ring", "protocol": "LL"}));
        uncited["evidence"] = json!(["E99"]);
        let uncited = say("propose_hypothesis", uncited);
        assert!(uncited.contains("no evidence E99"), "{uncited}");
        let illegal = hypothesis(&json!({"algorithm": "NVLSTree", "protocol": "Simple"}));
        assert!(say("propose_hypothesis", illegal.clone()).starts_with("refused: "));
        assert!(say("propose_hypothesis", illegal).contains("tried on"));
        let name = say("compare_with_base", json!({}));
        assert!(name.contains("compare_with_baseline"), "{name}");
    });
}
