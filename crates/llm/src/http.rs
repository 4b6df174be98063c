//! One POST over HTTP: the bytes that come back, as they come, within hard limits.
//!
//! Every call has its own little runtime and connection. Calls are few and long, so nothing is gained
//! by keeping them; and a name server that never answers cannot hold anybody up when it is over.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderValue, RETRY_AFTER};
use reqwest::{Client, Url, redirect};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::time::{Instant, timeout_at};

use crate::Key;

/// What is sent.
pub(crate) struct Post<'a> {
    pub url: &'a Url,
    pub headers: &'a [(&'static str, &'static str)],
    /// Header, what stands before the key, the key.
    pub key: Option<(&'static str, &'static str, &'a Key)>,
    pub body: &'a str,
    /// Until there is a connection.
    pub connect: Duration,
    /// Until the first byte of the answer.
    pub first_byte: Duration,
    /// Until its last.
    pub whole: Duration,
    /// Most bytes of an answer.
    pub most_bytes: usize,
}

/// What came back, up to where it ended.
#[derive(Debug, Default)]
pub(crate) struct Came {
    pub status: Option<u16>,
    pub retry_after: Option<String>,
    pub body: Vec<u8>,
    pub trouble: Option<Trouble>,
}

/// What went wrong below HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No connection, or none that lasted until an answer.
    NoConnection(String),
    /// The time was up, while waiting for this, for so long.
    Late(&'static str, Duration),
    /// The connection broke in the middle of the answer.
    Broken(String),
    /// More came than is taken.
    TooLarge,
}

/// Sends, and hands over each piece of the body with the status; `Break` ends it.
pub(crate) trait Transport: Send + Sync {
    fn post(&self, post: &Post<'_>, piece: &mut dyn FnMut(u16, &[u8]) -> ControlFlow<()>) -> Came;
}

/// The network.
pub(crate) struct Network;

impl Transport for Network {
    fn post(&self, post: &Post<'_>, piece: &mut dyn FnMut(u16, &[u8]) -> ControlFlow<()>) -> Came {
        let mut came = Came::default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build();
        let trouble = match runtime {
            Ok(runtime) => {
                let trouble = runtime.block_on(exchange(post, &mut came, piece)).err();
                // Does not wait for a name that is still being looked up.
                runtime.shutdown_background();
                trouble
            }
            Err(error) => Some(Trouble::NoConnection(error.to_string())),
        };
        came.trouble = trouble;
        came
    }
}

async fn exchange(
    post: &Post<'_>,
    came: &mut Came,
    piece: &mut dyn FnMut(u16, &[u8]) -> ControlFlow<()>,
) -> Result<(), Trouble> {
    let began = Instant::now();
    let until_end = began + post.whole;
    let until_first = (began + post.first_byte).min(until_end);
    let late_first = if post.first_byte < post.whole {
        Trouble::Late("its first byte", post.first_byte)
    } else {
        Trouble::Late("its answer", post.whole)
    };

    let request = client(post).and_then(|client| {
        let mut request = client
            .post(post.url.clone())
            .header("content-type", "application/json")
            .body(post.body.to_owned());
        for (name, value) in post.headers {
            request = request.header(*name, *value);
        }
        if let Some((name, before, key)) = post.key {
            let mut value = HeaderValue::try_from(format!("{before}{}", key.reveal()))
                .map_err(|_| "the key does not fit into a header".to_owned())?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        Ok(request)
    });
    let request = request.map_err(Trouble::NoConnection)?;
    let mut response = match timeout_at(until_first, request.send()).await {
        Err(_) => return Err(late_first),
        Ok(Err(error)) if error.is_timeout() => {
            let limit = post.connect.as_millis();
            let reason = format!("no connection within {limit} ms");
            return Err(Trouble::NoConnection(reason));
        }
        Ok(Err(error)) => return Err(Trouble::NoConnection(innermost(&error))),
        Ok(Ok(response)) => response,
    };
    let status = response.status().as_u16();
    came.status = Some(status);
    came.retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    loop {
        let (until, late) = if came.body.is_empty() {
            (until_first, late_first.clone())
        } else {
            (until_end, Trouble::Late("its answer", post.whole))
        };
        let bytes = match timeout_at(until, response.chunk()).await {
            Err(_) => return Err(late),
            Ok(Err(error)) => return Err(Trouble::Broken(innermost(&error))),
            Ok(Ok(None)) => return Ok(()),
            Ok(Ok(Some(bytes))) => bytes,
        };
        let room = post.most_bytes.saturating_sub(came.body.len());
        let taken = bytes.get(..room).unwrap_or(&bytes);
        came.body.extend_from_slice(taken);
        if taken.len() < bytes.len() {
            return Err(Trouble::TooLarge);
        }
        if piece(status, taken).is_break() {
            return Ok(());
        }
    }
}

/// A client for one address. A redirect is an answer and not followed: it would carry the key
/// elsewhere. What is on this machine is not asked through a proxy.
fn client(post: &Post<'_>) -> Result<Client, String> {
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls(post.url.scheme() == "https")?)
        .user_agent(concat!("ccl-agent/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .connect_timeout(post.connect);
    if is_loopback(post.url) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| innermost(&error))
}

/// TLS with the certificates this machine trusts. Where none is needed none is loaded: a machine
/// without any can still ask a server beside it.
fn tls(is_needed: bool) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = if is_needed {
        builder
            .with_platform_verifier()
            .map_err(|error| error.to_string())?
    } else {
        builder.with_root_certificates(RootCertStore::empty())
    };
    Ok(builder.with_no_client_auth())
}

/// Whether the address is this machine's own.
pub(crate) fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let bare = host.trim_matches(['[', ']']);
        host == "localhost"
            || host.ends_with(".localhost")
            || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

/// The last cause of an error: `connection refused` and not three layers around it.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
