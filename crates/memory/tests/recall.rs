//! Whether engineers' questions find a passage that answers them: recall at 5, without embeddings,
//! over `questions.toml`. Printed with `--nocapture`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use ccl_core::knobs::NEWEST_KNOWN;
use ccl_memory::Knowledge;
use serde::Deserialize;

const AMONG: usize = 5;
const LEAST_RECALL: f64 = 0.9;
const LEAST_QUESTIONS: usize = 60;

#[derive(Deserialize)]
struct Questions {
    question: Vec<Question>,
}

#[derive(Deserialize)]
struct Question {
    half: Half,
    ask: String,
    answers: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Half {
    Tune,
    HeldOut,
}

#[test]
fn questions_find_their_answers() {
    let questions: Questions = toml::from_str(include_str!("questions.toml")).unwrap();
    let questions = questions.question;
    assert!(questions.len() >= LEAST_QUESTIONS);
    let knowledge = Knowledge::new(NEWEST_KNOWN, &[]).unwrap();
    let mut recalls = Vec::new();
    for half in [Half::Tune, Half::HeldOut] {
        let (mut asked, mut found) = (0.0, 0.0);
        for question in questions.iter().filter(|q| q.half == half) {
            for id in &question.answers {
                assert!(knowledge.passage(id).is_some(), "there is no passage {id}");
            }
            let shown = knowledge.search(&question.ask, AMONG).unwrap();
            let shown: Vec<&str> = shown.hits.iter().map(|h| h.passage.id.as_str()).collect();
            asked += 1.0;
            if question
                .answers
                .iter()
                .any(|id| shown.contains(&id.as_str()))
            {
                found += 1.0;
            } else if half == Half::Tune {
                // Those of the other half stay unseen, so that nobody tunes on them.
                println!("missed: {}\n    {shown:?}", question.ask);
            }
        }
        let recall: f64 = found / asked;
        println!("{half:?}: recall at {AMONG} is {recall:.3} of {asked} questions");
        recalls.push(recall);
    }
    assert!(recalls.iter().all(|r| *r >= LEAST_RECALL), "{recalls:?}");
}
