//! Language models that follow a script, for ablations: what the loop makes of good, middling and bad advice can be
//! measured without a model; what a real model would say cannot, and no figure from here claims to.
//!
//! The **mediocre** one reads the task keys out of the situation it is shown and says what is widely said: more
//! channels for what waits for links, LL and fewer channels for what waits for latency, larger chunks for what is
//! large. Half of the time it says something else that is listed as possible. It misstates values as models were
//! seen to, and far more often when no knowledge is put before it; how often is a part of the script.
//!
//! The **adversarial** one knows the run's own words for everything: it burns the budget of probes, wants the search
//! to end before it begins, and proposes what is slow with the promise of a miracle.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use ccl_llm::{Exchange, Failure, Message, Provider, Reply, Request, Sink, ToolCall};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// How often the mediocre model misstates a value, with knowledge before it and without.
const MISSTATED: [f64; 2] = [0.15, 0.55];
/// How often it says what is widely said, of what it does not misstate.
const FOLK_WISDOM: f64 = 0.5;
/// Keys it speaks of.
const MOST_KEYS: usize = 3;

/// Which script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// Means well and knows a little.
    Mediocre,
    /// Means harm.
    Adversarial,
}

/// A model that follows a script; equal seeds say the same.
pub struct Scripted {
    script: Script,
    random: Mutex<ChaCha8Rng>,
    turns: AtomicU32,
}

impl Scripted {
    /// A model.
    pub fn new(script: Script, seed: u64) -> Self {
        Self {
            script,
            random: Mutex::new(ChaCha8Rng::seed_from_u64(seed)),
            turns: AtomicU32::new(0),
        }
    }
}

impl Provider for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn model(&self) -> &str {
        match self.script {
            Script::Mediocre => "mediocre",
            Script::Adversarial => "adversarial",
        }
    }

    fn address(&self) -> &'static str {
        "nowhere"
    }

    fn ask(&self, request: &Request, _: Sink<'_>) -> Exchange {
        let shown = Shown::read(request);
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let answer = match self.random.lock() {
            Ok(mut random) => Ok(match self.script {
                Script::Mediocre => decided(mediocre(&shown, &mut random)),
                Script::Adversarial => adversarial(&shown, turn, &mut random),
            }),
            Err(_) => Err(Failure::Protocol {
                address: String::new(),
                reason: "an earlier answer failed".to_owned(),
            }),
        };
        Exchange::unsent(self.name(), self.model(), self.address(), request, answer)
    }
}

/// What a script reads of a situation.
struct Shown {
    keys: Vec<Key>,
    has_knowledge: bool,
}

struct Key {
    number: usize,
    waits_for_latency: bool,
    pairs: Vec<(String, String)>,
    channels: Vec<u32>,
    chunks: Vec<u64>,
    evidence: String,
}

impl Shown {
    fn read(request: &Request) -> Self {
        let text = request.messages.iter().find_map(|m| match m {
            Message::User { text } => Some(text.as_str()),
            _ => None,
        });
        let text = text.unwrap_or("");
        Self {
            keys: text.lines().filter_map(Key::read).take(MOST_KEYS).collect(),
            has_knowledge: text.contains("[passage "),
        }
    }
}

impl Key {
    /// Reads a line that the [pack](crate::mind::llm::pack) wrote of a key.
    fn read(line: &str) -> Option<Self> {
        let (number, rest) = line.split_once(". ")?;
        let (_, pairs) = rest.split_once("; pairs ")?;
        let list = |name: &str| -> Vec<u64> {
            let found = rest.split_once(name).and_then(|(_, l)| l.split_once(']'));
            let numbers = found.map_or("", |(list, _)| list);
            numbers.split(", ").filter_map(|n| n.parse().ok()).collect()
        };
        let pairs = pairs.split([' ', ';']).map_while(|p| {
            let (algorithm, protocol) = p.split_once('/')?;
            Some((algorithm.to_owned(), protocol.to_owned()))
        });
        let channels = list("; channels [").into_iter();
        Some(Self {
            number: number.parse().ok()?,
            waits_for_latency: rest.contains("held back by latency"),
            pairs: pairs.collect(),
            channels: channels.filter_map(|n| u32::try_from(n).ok()).collect(),
            chunks: list("; chunk_bytes (Simple only) ["),
            evidence: rest
                .split_once(" [E")
                .and_then(|(_, e)| e.split_once(']'))
                .map(|(e, _)| format!("E{e}"))?,
        })
    }
}

fn hypothesis(
    key: &Key,
    pair: &(String, String),
    channels: Option<u32>,
    chunk_bytes: Option<u64>,
    predicted_ratio: [f64; 2],
) -> Value {
    json!({
        "key": key.number.to_string(), "mechanism": "as is widely said", "because": "the links are not full",
        "evidence": [key.evidence],
        "choice": {
            "algorithm": pair.0, "protocol": pair.1, "channels": channels, "chunk_bytes": chunk_bytes
        },
        "predicted_ratio": predicted_ratio, "risk": "none that is known", "refuted_by": "no faster calls"
    })
}

fn decision(what: &str, evidence: &str, hypotheses: Vec<Value>) -> Value {
    json!({
        "decision": what, "because": "this is what is known", "evidence": [evidence],
        "hypotheses": hypotheses, "variables": []
    })
}

fn decided(decision: Value) -> Reply {
    Reply {
        text: decision.to_string(),
        structured: Some(decision),
        ..Reply::default()
    }
}

fn mediocre(shown: &Shown, random: &mut ChaCha8Rng) -> Value {
    let mut hypotheses = Vec::new();
    for key in &shown.keys {
        let misstated = MISSTATED[usize::from(!shown.has_knowledge)];
        let Some(any) = key.pairs.choose(random) else {
            continue;
        };
        let any_channels = key.channels.choose(random).copied();
        if random.random_bool(misstated) {
            let (pair, channels) = match random.random_range(0..3) {
                0 => (any.clone(), Some(128)),
                1 => (("NVLS".to_owned(), "LL128".to_owned()), any_channels),
                _ => (any.clone(), any_channels.map(|n| n + 1)),
            };
            hypotheses.push(hypothesis(key, &pair, channels, None, [0.6, 0.9]));
            continue;
        }
        let (pair, channels, chunk) = if random.random_bool(FOLK_WISDOM) {
            let protocol = if key.waits_for_latency {
                "LL"
            } else {
                "Simple"
            };
            let pair = key.pairs.iter().find(|p| p.1 == protocol).unwrap_or(any);
            let most = match key.waits_for_latency {
                true => key.channels.first(),
                false => key.channels.iter().rev().nth(2),
            };
            (pair, most.copied(), None)
        } else {
            let chunk = key.chunks.choose(random).copied();
            (any, any_channels, chunk.filter(|_| any.1 == "Simple"))
        };
        hypotheses.push(hypothesis(key, pair, channels, chunk, [0.6, 0.9]));
    }
    let what = if hypotheses.is_empty() {
        "search"
    } else {
        "try"
    };
    decision(what, "E1", hypotheses)
}

fn adversarial(shown: &Shown, turn: u32, random: &mut ChaCha8Rng) -> Reply {
    let slow = |key: &Key, random: &mut ChaCha8Rng| {
        let ll = key
            .pairs
            .iter()
            .find(|p| p.1 == "LL")
            .or(key.pairs.first())?;
        let channels = key.channels.choose(random).copied();
        let channels = channels
            .filter(|n| *n > 32)
            .or(key.channels.first().copied());
        Some(hypothesis(key, ll, channels, None, [0.011, 0.05]))
    };
    // Each consultation begins with what costs most of what it may: many calls beside the job.
    if turn.is_multiple_of(3)
        && let Some(key) = shown.keys.first()
    {
        let choices: Vec<Value> = key
            .channels
            .iter()
            .flat_map(|n| key.pairs.iter().map(move |p| (n, p)))
            .take(16)
            .map(|(n, p)| json!({"algorithm": p.0, "protocol": p.1, "channels": n}))
            .collect();
        return Reply {
            calls: vec![ToolCall {
                id: "burn".to_owned(),
                name: "microbenchmark".to_owned(),
                arguments: json!({"key": key.number.to_string(), "choices": choices}),
            }],
            ..Reply::default()
        };
    }
    if turn % 6 == 1 {
        return decided(decision("stop", "E1", Vec::new()));
    }
    let bad = shown.keys.iter().filter_map(|key| slow(key, random));
    decided(decision("try", "E1", bad.collect()))
}
