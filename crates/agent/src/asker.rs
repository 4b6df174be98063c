//! Asks a language model for hypotheses: writes the question, checks the answer.
//!
//! The model sees what the rule mind sees, in words. Its answer is candidates like any others;
//! what cannot be read is a failed call with a reason, and the rule mind acts. Nothing here waits
//! for a model longer than the provider's own limits.

use std::fmt::Write as _;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use ccl_core::{Algorithm, Choice, EvidenceId, Hypothesis, Protocol, format_bytes};
use ccl_llm::{Exchange, Parameters, Provider, Request};
use ccl_memory::Card;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::situation::Situation;
use crate::summary::LlmUse;

/// Most calls of one run.
const MOST_CALLS: u32 = 4;
/// Most hypotheses taken from one answer.
const MOST_HYPOTHESES: usize = 6;
/// Most pieces of evidence put into a question, the newest.
const MOST_EVIDENCE: usize = 40;

/// How often a waiting run looks whether it was interrupted.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Where an exchange is written down, by the number of its call.
pub type Recorder<'a> = Box<dyn FnMut(u32, &Exchange) -> io::Result<()> + 'a>;

/// Asks a provider and keeps the books.
pub struct Asker<'a> {
    provider: Option<Arc<dyn Provider>>,
    record: Recorder<'a>,
    calls: u32,
    failed: u32,
}

/// What the model is asked to answer.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct Answer {
    /// The hypotheses, the most promising first.
    hypotheses: Vec<Proposed>,
}

/// One hypothesis in the model's answer.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
struct Proposed {
    /// Number of the task key, as listed in the question.
    key: usize,
    /// What happens in the machine, as a short name.
    mechanism: String,
    /// Why it helps here, one sentence with figures.
    because: String,
    /// Numbers of the evidence it rests on.
    evidence: Vec<u32>,
    /// The algorithm to run.
    algorithm: Algorithm,
    /// The protocol to run.
    protocol: Protocol,
    /// Channels; null leaves them to NCCL.
    channels: Option<u32>,
    /// Chunk size in bytes; null leaves it to NCCL.
    chunk_bytes: Option<u64>,
    /// Predicted call time over the present one: low and high end.
    predicted_ratio: [f64; 2],
    /// What could go wrong.
    risk: String,
    /// The observation that would refute it.
    refuted_by: String,
}

impl<'a> Asker<'a> {
    /// An asker; without a provider it never asks.
    pub fn new(provider: Option<Arc<dyn Provider>>, record: Recorder<'a>) -> Self {
        Self {
            provider,
            record,
            calls: 0,
            failed: 0,
        }
    }

    /// Whether another call makes sense: somebody to ask, no failure so far, calls left.
    pub fn may_ask(&self) -> bool {
        self.provider.is_some() && self.failed == 0 && self.calls < MOST_CALLS
    }

    /// Number of the next call.
    pub fn next_call(&self) -> u32 {
        self.calls + 1
    }

    /// Provider and model.
    pub fn names(&self) -> (String, String) {
        self.provider.as_ref().map_or_else(
            || ("none".to_owned(), "none".to_owned()),
            |p| (p.name().to_owned(), p.model().to_owned()),
        )
    }

    /// What the summary says of it.
    pub fn used(&self) -> LlmUse {
        let (provider, model) = self.names();
        LlmUse {
            provider,
            model,
            calls: self.calls,
            failed: self.failed,
            fallback_used: self.calls == self.failed,
        }
    }

    /// Asks for hypotheses. The inner error is the reason for no answer, in words. An interrupt ends
    /// the waiting, not the request: the thread that waits for the model is left to its time-out.
    ///
    /// # Errors
    /// When the exchange cannot be written down.
    pub fn ask(
        &mut self,
        situation: &Situation,
        cards: &[&Card],
        interrupted: &AtomicBool,
    ) -> io::Result<Result<Vec<Hypothesis>, String>> {
        let Some(provider) = self.provider.clone() else {
            return Ok(Err("no provider".to_owned()));
        };
        let request = question(situation, cards);
        let (answer, waiting) = mpsc::channel();
        std::thread::Builder::new()
            .name("llm".to_owned())
            .spawn(move || {
                // Nobody waits any more after an interrupt.
                let _ = answer.send(provider.ask(&request, None));
            })?;
        let exchange = loop {
            match waiting.recv_timeout(LOOK_EVERY) {
                Ok(exchange) => break Ok(exchange),
                Err(mpsc::RecvTimeoutError::Timeout) if !interrupted.load(Ordering::Relaxed) => {}
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    break Err("interrupted while waiting for the answer");
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break Err("the client failed"),
            }
        };
        self.calls += 1;
        let exchange = match exchange {
            Ok(exchange) => exchange,
            Err(reason) => {
                self.failed += 1;
                return Ok(Err(reason.to_owned()));
            }
        };
        (self.record)(self.calls, &exchange)?;
        let answer = exchange
            .answer
            .map_err(|failure| failure.to_string())
            .and_then(|reply| reply.structured.ok_or("there is no answer".to_owned()))
            .and_then(|json| {
                serde_json::from_value::<Answer>(json)
                    .map_err(|error| format!("the answer does not fit the schema: {error}"))
            })
            .and_then(|answer| hypotheses(situation, answer));
        self.failed += u32::from(answer.is_err());
        Ok(answer)
    }
}

fn hypotheses(situation: &Situation, answer: Answer) -> Result<Vec<Hypothesis>, String> {
    let known = |n: &u32| situation.evidence.iter().any(|e| e.id == EvidenceId(*n));
    let mut found = Vec::new();
    for p in answer.hypotheses.into_iter().take(MOST_HYPOTHESES) {
        let key = p
            .key
            .checked_sub(1)
            .and_then(|index| situation.keys.get(index))
            .ok_or_else(|| format!("there is no task key {}", p.key))?;
        let [low, high] = p.predicted_ratio;
        if !(low.is_finite() && high.is_finite() && 0.0 < low && low <= high) {
            return Err(format!("{low} to {high} is no predicted ratio"));
        }
        if let Some(unknown) = p.evidence.iter().find(|n| !known(n)) {
            return Err(format!("there is no evidence E{unknown}"));
        }
        found.push(Hypothesis {
            mechanism: p.mechanism,
            because: p.because,
            evidence: p.evidence.into_iter().map(EvidenceId).collect(),
            key: key.facts.key,
            choice: Choice {
                channels: p.channels,
                chunk_bytes: p.chunk_bytes,
                ..Choice::new(p.algorithm, p.protocol)
            },
            predicted_ratio: p.predicted_ratio,
            risk: p.risk,
            refuted_by: p.refuted_by,
        });
    }
    Ok(found)
}

fn question(situation: &Situation, cards: &[&Card]) -> Request {
    let cluster = &situation.cluster;
    let context = &situation.context;
    let mut user = format!(
        "Machine: {} nodes of {} x {}, {:?} inside a node, {}, NCCL {}.\nJob: {} on {} nodes with \
         {} ranks each.\n\nTask keys (number, what runs now, what is possible):\n",
        cluster.nodes,
        cluster.gpus_per_node,
        cluster.gpu.model,
        cluster.intra.link,
        cluster
            .network
            .as_ref()
            .map_or("no network".to_owned(), |n| format!(
                "{} x {} Gbit/s {:?}",
                n.nics_per_node, n.nic_gbits, n.fabric
            )),
        cluster.nccl_version,
        context.workload,
        context.nodes,
        context.ranks_per_node,
    );
    for (index, key) in situation.keys.iter().enumerate() {
        let pairs: Vec<_> = key
            .facts
            .legal
            .pairs
            .iter()
            .map(|(a, p)| format!("{a}/{p}"))
            .collect();
        let chunks: Vec<_> = key
            .facts
            .legal
            .chunk_bytes
            .iter()
            .map(|n| n.to_string())
            .collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            user,
            "{}. {} of {} on {}, {} calls, {:.1} % of the iteration, {:.0} us a call, held back by: \
             {}, runs {}; pairs {}; channels {:?}; chunk bytes (Simple only) {}",
            index + 1,
            key.facts.key.collective,
            format_bytes(key.facts.bytes),
            key.facts.key.shape,
            key.facts.calls,
            100.0 * key.observed.share,
            key.observed.call_us,
            key.bottleneck(),
            key.running()
                .map_or("unknown".to_owned(), |c| c.to_string()),
            pairs.join(" "),
            key.facts.legal.channels,
            chunks.join(" "),
        );
    }
    user.push_str("\nEvidence:\n");
    let skip = situation.evidence.len().saturating_sub(MOST_EVIDENCE);
    for evidence in situation.evidence.iter().skip(skip) {
        let _ = writeln!(
            user,
            "{} ({}): {}",
            evidence.id, evidence.source, evidence.statement
        );
    }
    let tried: Vec<String> = situation
        .keys
        .iter()
        .flat_map(|k| {
            k.tried
                .iter()
                .map(move |c| format!("{c} on {}", k.facts.key))
        })
        .collect();
    if !tried.is_empty() {
        let _ = writeln!(user, "\nAlready tried, do not repeat: {}", tried.join("; "));
    }
    if !cards.is_empty() {
        user.push_str("\nKnown about NCCL's variables:\n");
        for card in cards {
            let _ = writeln!(user, "{}", card.body);
        }
    }
    let system = "You tune NCCL collectives. From the evidence propose changes of algorithm, \
                  protocol, channels or chunk that should make a call faster, each with its \
                  mechanism, the evidence it rests on, and the observation that would refute it. \
                  Use only what is listed as possible. Answer with JSON of the given schema and \
                  nothing else; an empty list is an honest answer.";
    Request::new("hypotheses", system, user)
        .with_schema(schemars::schema_for!(Answer).to_value())
        .with_parameters(Parameters {
            temperature: Some(0.0),
            seed: Some(1),
            ..Parameters::default()
        })
}
