//! The language model as a mind: a bounded conversation, turn by turn, that nobody waits for.
//!
//! It is shown the situation, may call tools that tell, and ends with one decision. Each turn is asked in a thread
//! of its own; the run looks from time to time whether an answer came, does what the tools are asked for, and asks
//! on. Nothing here knows what the tools do or whether the decision is carried out: that is the
//! [supervisor](crate::supervisor)'s business.

pub mod decision;
pub mod generalise;
pub mod pack;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use ccl_llm::{
    Exchange, Failure, Message, Parameters, Provider, Request, ToolCall, ToolChoice, ToolSpec,
    Usage,
};
use ccl_memory::fenced_text;
use serde_json::Value;

use crate::summary::{LlmUsage, LlmUse};

/// Most consultations of one search.
const MOST_CONSULTATIONS: u32 = 4;
/// Most turns of one consultation: the last one has to be the decision.
const MOST_TURNS: u32 = 6;
/// Most tools called in one turn; the others are answered with a refusal.
pub const MOST_CALLS: usize = 8;
/// Most characters of one tool's answer that go back to the model, and of all of one consultation: with what it is
/// shown they have to fit into a context of 16,384 tokens beside its thoughts.
const MOST_ANSWERED: usize = 6_000;
const MOST_ANSWERED_IN_ALL: usize = 16_000;
/// Most tokens of one turn, thoughts included.
const MOST_TOKENS: u32 = 4_096;
/// How often a waiting run looks whether it was interrupted.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Where an exchange is written down, by its number.
pub type Recorder<'a> = Box<dyn FnMut(u32, &Exchange) -> io::Result<()> + 'a>;

/// What came of listening.
#[derive(Debug)]
pub enum Heard {
    /// Nothing yet, or nobody was asked.
    Nothing,
    /// It is asked again, without its tools.
    Again,
    /// It wants tools called; all of them have to be answered.
    Calls(Vec<ToolCall>),
    /// Its decision, as JSON of the schema that was asked for.
    Decision(Value),
    /// There will be no decision, and why.
    Failed(String),
}

/// A language model and the books of what it was asked.
pub struct LlmMind<'a> {
    provider: Option<Arc<dyn Provider>>,
    record: Recorder<'a>,
    consultations: u32,
    failed: u32,
    exchanges: u32,
    usage: Option<Usage>,
    is_lost: bool,
    open: Option<Conversation>,
}

/// One consultation.
struct Conversation {
    request: Request,
    turns: u32,
    /// Characters of tools' answers so far.
    answered: usize,
    exchanges: Vec<u32>,
    answer: Option<mpsc::Receiver<Exchange>>,
}

impl<'a> LlmMind<'a> {
    /// A mind; without a provider it is never asked.
    pub fn new(provider: Option<Arc<dyn Provider>>, record: Recorder<'a>) -> Self {
        Self {
            provider,
            record,
            consultations: 0,
            failed: 0,
            exchanges: 0,
            usage: None,
            is_lost: false,
            open: None,
        }
    }

    /// Nobody to ask.
    pub fn none() -> Self {
        Self::new(None, Box::new(|_, _| Ok(())))
    }

    /// Whether another consultation makes sense: somebody to ask who answers, none open, some left.
    pub fn may_be_asked(&self) -> bool {
        self.may_have_last_word() && self.consultations < MOST_CONSULTATIONS
    }

    /// Whether it may be asked once more after the search: somebody who answers, and no consultation open.
    pub fn may_have_last_word(&self) -> bool {
        self.provider.is_some() && !self.is_lost && self.open.is_none()
    }

    /// Whether an answer is waited for.
    pub fn is_thinking(&self) -> bool {
        self.open.is_some()
    }

    /// Number of the consultation that is open, or was last.
    pub fn consultation(&self) -> u32 {
        self.consultations
    }

    /// Numbers of the exchanges of the open consultation.
    pub fn exchanges(&self) -> Vec<u32> {
        let open = self.open.as_ref();
        open.map_or_else(Vec::new, |open| open.exchanges.clone())
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
            calls: self.consultations,
            failed: self.failed,
            fallback_used: self.consultations == self.failed,
            exchanges: self.exchanges,
            usage: self.usage.map(|usage| LlmUsage {
                input_tokens: usage.input,
                output_tokens: usage.output,
                cost_usd: usage.cost_usd,
            }),
        }
    }

    /// Opens a consultation: what it is, what it is shown, the tools it may call, and the schema of its
    /// decision.
    pub fn consult(
        &mut self,
        purpose: &str,
        system: &str,
        situation: &str,
        tools: Vec<ToolSpec>,
        schema: Value,
    ) {
        self.consultations += 1;
        let parameters = Parameters {
            max_tokens: Some(MOST_TOKENS),
            temperature: Some(0.0),
            seed: Some(1),
            ..Parameters::default()
        };
        let mut request = Request::new(purpose, system, situation)
            .with_tools(tools)
            .with_schema(schema)
            .with_parameters(parameters);
        if request.tools.is_empty() {
            request.tool_choice = ToolChoice::None;
        }
        self.open = Some(Conversation {
            request,
            turns: 0,
            answered: 0,
            exchanges: Vec::new(),
            answer: None,
        });
        self.ask();
    }

    /// Sends the conversation as it stands.
    fn ask(&mut self) {
        let (Some(provider), Some(open)) = (self.provider.clone(), self.open.as_mut()) else {
            return;
        };
        open.turns += 1;
        if open.turns >= MOST_TURNS {
            open.request.tool_choice = ToolChoice::None;
        }
        let request = open.request.clone();
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new().name("llm".to_owned());
        // A thread that cannot be started hangs up at once, which is heard as a client that failed.
        let _ = thread.spawn(move || {
            // Nobody listens any more after the run has ended.
            let _ = sender.send(provider.ask(&request, None));
        });
        open.answer = Some(receiver);
    }

    /// Looks whether an answer came, and waits for one so long and no longer. An interrupt ends the waiting, not
    /// the request: its thread is left to its own time limits.
    ///
    /// # Errors
    /// An exchange that cannot be written down.
    pub fn listen(&mut self, patience: Duration, interrupted: &AtomicBool) -> io::Result<Heard> {
        let Some(receiver) = self.open.as_mut().and_then(|open| open.answer.take()) else {
            return Ok(Heard::Nothing);
        };
        let until = Instant::now() + patience;
        let exchange = loop {
            let left = until.saturating_duration_since(Instant::now());
            match receiver.recv_timeout(left.min(LOOK_EVERY)) {
                Ok(exchange) => break exchange,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    if left.is_zero() || interrupted.load(Ordering::Relaxed) {
                        if let Some(open) = &mut self.open {
                            open.answer = Some(receiver);
                        }
                        return Ok(Heard::Nothing);
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Ok(self.fail("the client failed".to_owned()));
                }
            }
        };
        self.exchanges += 1;
        (self.record)(self.exchanges, &exchange)?;
        if let Some(open) = &mut self.open {
            open.exchanges.push(self.exchanges);
        }
        self.take_in(exchange)
    }

    fn take_in(&mut self, exchange: Exchange) -> io::Result<Heard> {
        let Some(open) = &mut self.open else {
            return Ok(Heard::Nothing);
        };
        let reply = match exchange.answer {
            Ok(reply) => reply,
            Err(failure) if is_about_tools(&failure) && !open.request.tools.is_empty() => {
                // Many local models have no tools; what they are shown is enough to decide.
                open.request.tools.clear();
                self.ask();
                return Ok(Heard::Again);
            }
            Err(failure) => {
                self.is_lost = is_for_good(&failure);
                return Ok(self.fail(failure.to_string()));
            }
        };
        self.usage = Some(self.usage.map_or(reply.usage, |sum| sum.plus(reply.usage)));
        if !reply.calls.is_empty() && open.turns < MOST_TURNS {
            open.request.messages.push(reply.message());
            return Ok(Heard::Calls(reply.calls));
        }
        Ok(match reply.structured {
            Some(decision) => Heard::Decision(decision),
            None => self.fail("it came to no decision".to_owned()),
        })
    }

    /// Gives the answers of the tools that were called, in the order of the calls, and asks on.
    pub fn tell(&mut self, answers: Vec<(ToolCall, Result<Value, String>)>) {
        let Some(open) = &mut self.open else {
            return;
        };
        for (call, answer) in answers {
            let left = MOST_ANSWERED_IN_ALL.saturating_sub(open.answered);
            let message = match answer {
                // It repeats what others wrote.
                Ok(value) => {
                    let told =
                        fenced_text(&call.name, &cut(value.to_string(), left.min(MOST_ANSWERED)));
                    open.answered += told.len();
                    Message::result(&call, told)
                }
                Err(reason) => Message::error(&call, reason),
            };
            open.request.messages.push(message);
        }
        if open.answered >= MOST_ANSWERED_IN_ALL {
            open.turns = MOST_TURNS - 1;
        }
        if open.turns + 1 >= MOST_TURNS {
            open.request.messages.push(Message::user(
                "No more tools. Decide now, with JSON of the schema.",
            ));
        }
        self.ask();
    }

    /// It is not asked any more.
    pub fn lose(&mut self) {
        self.is_lost = true;
        self.failed += 1;
    }

    /// Closes the consultation with a decision that somebody will carry out.
    pub fn close(&mut self) {
        self.open = None;
    }

    /// Closes it without: why is the answer.
    pub fn fail(&mut self, reason: String) -> Heard {
        self.failed += 1;
        Heard::Failed(reason)
    }
}

/// Whether a model was refused because it has no tools: servers say so with a status of the 400s and in words of
/// their own (Ollama: 400, "does not support tools").
fn is_about_tools(failure: &Failure) -> bool {
    match failure {
        Failure::Refused {
            status, message, ..
        } => matches!(status, 400 | 404 | 422 | 501) && message.to_lowercase().contains("tool"),
        Failure::Unsupported { .. } => true,
        _ => false,
    }
}

/// Whether asking again would be in vain, or cost as much time once more.
fn is_for_good(failure: &Failure) -> bool {
    match failure {
        Failure::Refused { status, .. } => matches!(status, 401 | 403 | 404),
        Failure::Malformed { .. } | Failure::Truncated { .. } | Failure::TooLarge { .. } => false,
        _ => true,
    }
}

/// The beginning of an answer that is too long.
fn cut(text: String, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}... (cut; ask for less)", &text[..end]),
        None => text,
    }
}
