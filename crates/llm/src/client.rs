//! Asks one model of one provider: the request in the provider's words, sent within the limits, the
//! answer read, its JSON found, checked, and asked for once more where it does not fit.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::answer::{repair, structured};
use crate::budget::Account;
use crate::connection::{Connection, Limits};
use crate::exchange::{Delta, Sink};
use crate::http::Network;
use crate::parse::split_thinking;
use crate::price::Prices;
use crate::reading::{Streamed, Whole, reborrow};
use crate::schema::Check;
use crate::wire::Wire;
use crate::{
    AddressError, Attempt, Budget, Exchange, Failure, Key, Kind, Message, Pace, Provider, RealPace,
    Reply, Request, Spent,
};

/// What the ids of calls begin with that their provider gave none.
pub(crate) const OWN_CALL_ID: &str = "ccl_call_";

/// A model that can be asked.
pub struct Client {
    pub(crate) kind: Kind,
    pub(crate) model: String,
    pub(crate) connection: Connection,
    pub(crate) wire: Box<dyn Wire>,
    prices: Option<Prices>,
}

impl Client {
    /// A model of a provider, at its default address without another, with the default limits, no
    /// budget, and the list price where it is known. Nothing is sent.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn new(
        kind: Kind,
        model: impl Into<String>,
        address: Option<&str>,
        key: Option<Key>,
    ) -> Result<Self, AddressError> {
        let model = model.into();
        let wire = kind.wire();
        let url = kind.address(address)?;
        Ok(Self {
            connection: Connection {
                url,
                key,
                key_header: wire.key_header(),
                headers: wire.headers(),
                limits: Limits::default(),
                account: Account::default(),
                pace: Arc::new(RealPace::new(0)),
                transport: Box::new(Network),
                has_answered: AtomicBool::new(false),
            },
            wire,
            prices: Prices::of(kind.name(), &model),
            kind,
            model,
        })
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.connection.limits = limits;
        self
    }

    /// The same with a budget, of which nothing is spent yet.
    #[must_use]
    pub fn with_budget(mut self, budget: Budget) -> Self {
        self.connection.account = Account::new(budget);
        self
    }

    /// The same with prices the user knows.
    #[must_use]
    pub fn with_prices(mut self, prices: Prices) -> Self {
        self.prices = Some(prices);
        self
    }

    /// The same with another clock and chance.
    #[must_use]
    pub fn with_pace(mut self, pace: Arc<dyn Pace>) -> Self {
        self.connection.pace = pace;
        self
    }

    /// What was spent so far.
    pub fn spent(&self) -> Spent {
        self.connection.account.spent()
    }

    /// A failure where a key is needed and there is none.
    pub(crate) fn missing_key(&self) -> Option<Failure> {
        (self.kind.needs_key() && self.connection.key.is_none()).then(|| Failure::MissingKey {
            provider: self.kind.name().to_owned(),
            variable: self.kind.key_variables().join(" or "),
        })
    }

    fn answer(
        &self,
        request: &Request,
        mut sink: Sink<'_>,
        attempts: &mut Vec<Attempt>,
    ) -> Result<Reply, Failure> {
        if let Some(failure) = self.missing_key() {
            return Err(failure);
        }
        let began = self.connection.pace.now();
        let Some(schema) = &request.schema else {
            return self.round(request, began, reborrow(&mut sink), attempts);
        };
        let check = Check::new(schema).map_err(|reason| Failure::Malformed { reason })?;
        let first = self.round(request, began, reborrow(&mut sink), attempts)?;
        let (first, reason) = match structured(first, &check) {
            Ok(reply) => return Ok(reply),
            Err(misfit) => *misfit,
        };
        if let Some(sink) = reborrow(&mut sink) {
            sink(&Delta::Again);
        }
        let second = self.round(
            &repair(request, &first, &reason),
            began,
            reborrow(&mut sink),
            attempts,
        )?;
        let usage = first.usage.plus(second.usage);
        match structured(second, &check) {
            Ok(reply) => Ok(Reply { usage, ..reply }),
            Err(misfit) => Err(Failure::Malformed { reason: misfit.1 }),
        }
    }

    /// One question and its answer as the provider gives it.
    fn round(
        &self,
        request: &Request,
        began: Duration,
        sink: Sink<'_>,
        attempts: &mut Vec<Attempt>,
    ) -> Result<Reply, Failure> {
        let connection = &self.connection;
        let wire = self.wire.as_ref();
        let is_streamed = sink.is_some();
        let path = wire.path(&self.model, is_streamed);
        let body = wire.body(&self.model, request, is_streamed);
        let answer = match sink {
            Some(sink) => connection.send(
                &path,
                &body,
                began,
                attempts,
                &mut Streamed::new(wire, connection.key.as_ref(), sink),
            ),
            None => connection.send(&path, &body, began, attempts, &mut Whole(wire)),
        }?;
        let reply = wire.reply(&answer).map_err(|reason| {
            let failure = connection.protocol(&reason);
            if let Some(last) = attempts.last_mut() {
                last.failure = Some(failure.clone());
            }
            failure
        })?;
        let mut reply = self.without_key(reply);
        let chars = |attempt: &Attempt| {
            attempt.request.to_string().len() + attempt.response.as_ref().map_or(0, String::len)
        };
        connection
            .account
            .answered(&reply.usage, attempts.last().map_or(0, chars));
        reply.usage.cost_usd = self.prices.and_then(|prices| prices.cost(&reply.usage));
        let (thoughts, words) = split_thinking(&reply.text);
        if !thoughts.is_empty() || words.len() < reply.text.len() {
            let words = words.to_owned();
            reply.thinking.push_str(thoughts);
            reply.text = words;
        }
        name_calls(request, &mut reply);
        Ok(reply)
    }

    /// The key in pieces of a stream stands whole in what was put together from them.
    fn without_key(&self, reply: Reply) -> Reply {
        let Some(key) = &self.connection.key else {
            return reply;
        };
        let Ok(text) = serde_json::to_string(&reply) else {
            return reply;
        };
        let clean = key.scrub(&text);
        if clean == text {
            return reply;
        }
        // Keys and marks in their place are both inside strings, so that it stays the same JSON.
        serde_json::from_str(&clean).unwrap_or_default()
    }
}

impl Provider for Client {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn address(&self) -> &str {
        self.connection.address()
    }

    fn ask(&self, request: &Request, sink: Sink<'_>) -> Exchange {
        let asked_at = self.connection.pace.date().to_string();
        let mut attempts = Vec::new();
        let answer = self.answer(request, sink, &mut attempts);
        let mut exchange =
            Exchange::unsent(self.name(), &self.model, self.address(), request, answer);
        exchange.asked_at = asked_at;
        exchange.attempts = attempts;
        if let Some(key) = &self.connection.key {
            exchange.request = scrubbed(key, exchange.request);
        }
        exchange
    }
}

/// A question without the key, should it have found its way there.
fn scrubbed(key: &Key, request: Request) -> Request {
    let Ok(text) = serde_json::to_string(&request) else {
        return Request::default();
    };
    let clean = key.scrub(&text);
    if clean == text {
        return request;
    }
    serde_json::from_str(&clean).unwrap_or_default()
}

/// Gives calls ids where their provider gives none: the number of the turn and of the call.
fn name_calls(request: &Request, reply: &mut Reply) {
    let is_turn = |m: &&Message| matches!(m, Message::Assistant(_));
    let turn = request.messages.iter().filter(is_turn).count() + 1;
    for (number, call) in reply.calls.iter_mut().enumerate() {
        if call.id.is_empty() {
            call.id = format!("{OWN_CALL_ID}{turn}_{}", number + 1);
        }
    }
}

/// Nothing of this is sent or shown; it is what a person debugging sees.
impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("kind", &self.kind)
            .field("model", &self.model)
            .field("address", &self.connection.address())
            .finish_non_exhaustive()
    }
}
