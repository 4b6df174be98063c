//! A fake language-model server for tests. It speaks the wire format of one provider, does what a
//! script says, and holds every request against that provider's protocol.
//!
//! It is written from the providers' documentation and shares no code with the clients it tests, so
//! that the two can disagree. It knows no model: a script is a list of [`Act`]s, or a function of the
//! request where a "model" is to answer what it is asked.
//!
//! A request that breaks the protocol is answered 400, and when the server is dropped the test that
//! sent it fails.
//!
//! ```
//! use ccl_llm_fake::{Act, FakeServer, Wire};
//! let server = FakeServer::start(Wire::Ollama, vec![Act::text("hello")]);
//! // ... ask at server.address() ...
//! assert!(server.requests().is_empty());
//! ```

// What this crate finds out, it says by failing the test.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)]

mod check;
mod embed;
mod http;
mod script;
mod seen;
mod server;
mod wire;

pub use script::{Act, Said, Script};
pub use seen::{Seen, Spoken};
pub use server::FakeServer;
pub use wire::Wire;
