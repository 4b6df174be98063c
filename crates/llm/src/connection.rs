//! From a body to the body that comes back: attempts, waits and limits.
//!
//! What is tried again: no connection, a connection that breaks, 429 and 5xx. What is not: any other
//! status, since asking again would not help, and a time that is up, since all attempts share it.
//!
//! Nobody there is a case of its own. Until somebody at the address has answered once, connecting
//! has [`Limits::nobody`] in all, waits included; so that a run without a server loses that and no more.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Url;
use serde_json::Value;

use crate::budget::Account;
use crate::http::{Came, Post, Transport, Trouble};
use crate::wire::StreamError;
use crate::{Attempt, Failure, Key, Pace};

/// First wait before another attempt; each next one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Longest wait that is not the server's own wish.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Largest part of an error body that goes into a message.
const ERROR_CHARS: usize = 300;

/// How long and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until there is a connection.
    pub connect: Duration,
    /// For all attempts to connect, while nobody at the address has ever answered.
    pub nobody: Duration,
    /// Until the first byte of an answer's body. A model that is not streamed writes it when it is done.
    pub first_byte: Duration,
    /// For one question: all attempts, waits and the repair of the answer.
    pub whole: Duration,
    /// Attempts at one request.
    pub attempts: u32,
    /// Most bytes of an answer.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            // A run without a server may lose 3 s in all, and has some things to do around this.
            nobody: Duration::from_millis(2800),
            first_byte: Duration::from_secs(120),
            whole: Duration::from_secs(120),
            attempts: 4,
            answer_bytes: 4 << 20,
        }
    }
}

/// Reads an answer as it comes.
pub(crate) trait Read {
    /// Another attempt begins: what came so far is void.
    fn begin(&mut self);
    /// A piece of the body.
    fn piece(&mut self, bytes: &[u8]) -> Result<(), StreamError>;
    /// The end: the whole body as JSON.
    fn end(&mut self, body: &str) -> Result<Value, Unread>;
    /// The reason in an error body.
    fn error(&self, body: &Value) -> Option<String>;
}

/// Why a body that came cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It ends too early.
    Truncated(String),
    /// Something else.
    Stream(StreamError),
}

/// An address and what is known of it.
pub(crate) struct Connection {
    pub url: Url,
    pub key: Option<Key>,
    pub key_header: (&'static str, &'static str),
    pub headers: &'static [(&'static str, &'static str)],
    pub limits: Limits,
    pub account: Account,
    pub pace: Arc<dyn Pace>,
    pub transport: Box<dyn Transport>,
    pub has_answered: AtomicBool,
}

impl Connection {
    /// The address, as it is shown.
    pub(crate) fn address(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    pub(crate) fn scrub(&self, text: &str) -> String {
        self.key
            .as_ref()
            .map_or_else(|| text.to_owned(), |key| key.scrub(text))
    }

    /// Sends a body and reads the answer, as often as it makes sense until `began + limits.whole`.
    /// Every attempt is added to `attempts`.
    pub(crate) fn send(
        &self,
        path: &str,
        body: &Value,
        began: Duration,
        attempts: &mut Vec<Attempt>,
        read: &mut dyn Read,
    ) -> Result<Value, Failure> {
        let mut url = self.url.clone();
        let (path, query) = path
            .split_once('?')
            .map_or((path, None), |(p, q)| (p, Some(q)));
        url.set_path(&format!("{}{path}", self.url.path().trim_end_matches('/')));
        url.set_query(query);
        // A key that found its way into the question stays here.
        let sent = self.scrub(&body.to_string());
        for number in 1.. {
            let now = self.pace.now();
            let left = (began + self.limits.whole).saturating_sub(now);
            if left.is_zero() {
                return Err(self.late("its answer", self.limits.whole));
            }
            self.account.call()?;
            let (attempt, retry_after, answer) = self.once(&url, &sent, began, left, read);
            attempts.push(attempt);
            let failure = match answer {
                Ok(body) => return Ok(body),
                Err(failure) => failure,
            };
            if number >= self.limits.attempts || !is_passing(&failure) {
                return Err(failure);
            }
            let wait = retry_after
                .and_then(|text| asked_wait(&text, self.pace.as_ref()))
                .unwrap_or_else(|| self.own_wait(number));
            let end = if self.has_answered.load(Ordering::Relaxed) {
                began + self.limits.whole
            } else {
                began + self.limits.whole.min(self.limits.nobody)
            };
            // Rather the reason now than a wait with nothing behind it.
            if self.pace.now().saturating_add(wait) >= end {
                return Err(failure);
            }
            self.pace.sleep(wait);
            read.begin();
        }
        // The loop ends by returning.
        Err(self.late("its answer", self.limits.whole))
    }

    fn once(
        &self,
        url: &Url,
        sent: &str,
        began: Duration,
        left: Duration,
        read: &mut dyn Read,
    ) -> (Attempt, Option<String>, Result<Value, Failure>) {
        let start = self.pace.now();
        let mut connect = self.limits.connect;
        if !self.has_answered.load(Ordering::Relaxed) {
            connect = connect.min((began + self.limits.nobody).saturating_sub(start));
        }
        let post = Post {
            url,
            headers: self.headers,
            key: self
                .key
                .as_ref()
                .map(|key| (self.key_header.0, self.key_header.1, key)),
            body: sent,
            connect,
            first_byte: self.limits.first_byte,
            whole: left,
            most_bytes: self.limits.answer_bytes,
        };
        let mut first_byte = None;
        let mut broken = None;
        let came = self.transport.post(&post, &mut |status, bytes| {
            first_byte.get_or_insert_with(|| self.pace.now());
            if (200..300).contains(&status)
                && let Err(error) = read.piece(bytes)
            {
                broken = Some(error);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        if came.status.is_some() {
            self.has_answered.store(true, Ordering::Relaxed);
        }
        let text = self.scrub(&String::from_utf8_lossy(&came.body));
        let answer = self.judge(&came, &text, broken, read);
        let since = |from: Duration, to: Duration| millis(to.saturating_sub(from));
        let query = url.query().map(|q| format!("?{q}")).unwrap_or_default();
        let attempt = Attempt {
            at_ms: since(began, start),
            first_byte_ms: first_byte.map(|at| since(start, at)),
            total_ms: since(start, self.pace.now()),
            path: format!("{}{query}", url.path()),
            request: serde_json::from_str(sent).unwrap_or(Value::Null),
            status: came.status,
            response: came.status.map(|_| text),
            failure: answer.as_ref().err().cloned(),
        };
        (attempt, came.retry_after, answer)
    }

    fn judge(
        &self,
        came: &Came,
        text: &str,
        broken: Option<StreamError>,
        read: &mut dyn Read,
    ) -> Result<Value, Failure> {
        let address = || self.address().to_owned();
        if let Some(error) = broken {
            return Err(self.stream_failure(error));
        }
        let truncated = |reason: String| Failure::Truncated {
            address: address(),
            reason,
        };
        match (&came.trouble, came.status) {
            (Some(Trouble::TooLarge), _) => Err(Failure::TooLarge {
                address: address(),
                limit: self.limits.answer_bytes as u64,
            }),
            (Some(Trouble::Late(what, limit)), _) => Err(self.late(what, *limit)),
            (_, Some(status)) if !(200..300).contains(&status) => {
                let body: Option<Value> = serde_json::from_str(text).ok();
                let words = body.and_then(|body| read.error(&body));
                Err(self.refused(status, words.as_deref().unwrap_or(text)))
            }
            (Some(Trouble::Broken(reason)), _) => Err(truncated(reason.clone())),
            (Some(Trouble::NoConnection(reason)), _) => Err(Failure::Unreachable {
                address: address(),
                reason: self.scrub(reason),
            }),
            (None, _) => read.end(text).map_err(|unread| match unread {
                Unread::Truncated(reason) => truncated(reason),
                Unread::Stream(error) => self.stream_failure(error),
            }),
        }
    }

    fn stream_failure(&self, error: StreamError) -> Failure {
        match error {
            StreamError::Malformed(reason) => self.protocol(&reason),
            StreamError::Server { status, message } => self.refused(status, &message),
        }
    }

    pub(crate) fn protocol(&self, reason: &str) -> Failure {
        Failure::Protocol {
            address: self.address().to_owned(),
            reason: self.scrub(reason),
        }
    }

    fn refused(&self, status: u16, words: &str) -> Failure {
        Failure::Refused {
            address: self.address().to_owned(),
            status,
            message: self.scrub(words).chars().take(ERROR_CHARS).collect(),
        }
    }

    fn late(&self, waited_for: &str, limit: Duration) -> Failure {
        Failure::TimedOut {
            address: self.address().to_owned(),
            waited_for: waited_for.to_owned(),
            limit_ms: millis(limit),
        }
    }

    /// Twice as long each time, and between half of that and all of it.
    fn own_wait(&self, number: u32) -> Duration {
        let doubled = FIRST_WAIT.saturating_mul(1 << number.saturating_sub(1).min(16));
        doubled
            .min(LONGEST_WAIT)
            .mul_f64(0.5 + 0.5 * self.pace.chance())
    }
}

/// Whether another attempt may go better.
fn is_passing(failure: &Failure) -> bool {
    match failure {
        Failure::Unreachable { .. } | Failure::Truncated { .. } => true,
        Failure::Refused { status, .. } => *status == 429 || (500..600).contains(status),
        _ => false,
    }
}

/// `Retry-After`: seconds or a date (RFC 9110, 10.2.3).
fn asked_wait(text: &str, pace: &dyn Pace) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
    let wait = date.timestamp().duration_since(pace.date());
    Some(Duration::try_from(wait).unwrap_or(Duration::ZERO))
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
