//! The server: takes connections, each in a thread of its own, until it is dropped.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::wire::{Format, Wire};
use crate::{Act, Said, Script, Seen, check, embed, http};

/// How often a silent connection looks whether the server still lives.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A running server on a free port of this machine.
pub struct FakeServer {
    wire: Wire,
    shared: Arc<Shared>,
    port: u16,
    listening: Option<JoinHandle<()>>,
}

struct Shared {
    format: Box<dyn Format>,
    script: Script,
    seen: Mutex<Vec<Seen>>,
    violations: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl FakeServer {
    /// Starts a server.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start(wire: Wire, script: impl Into<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            format: wire.format(),
            script: script.into(),
            seen: Mutex::default(),
            violations: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let ours = Arc::clone(&shared);
        let listening = std::thread::spawn(move || listen(&listener, &ours));
        Self {
            wire,
            shared,
            port,
            listening: Some(listening),
        }
    }

    /// The base URL a client is given.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}{}", self.port, self.wire.base_path())
    }

    /// `127.0.0.1:PORT`.
    pub fn socket(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What came so far, the earliest first.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// What was wrong with it. Taken from here it does not fail the test any more.
    pub fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.violations.lock().unwrap())
    }
}

/// Fails the test when a request broke the protocol.
impl Drop for FakeServer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for connections.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(thread) = self.listening.take() {
            let _ = thread.join();
        }
        let violations = self.take_violations();
        if !violations.is_empty() && !std::thread::panicking() {
            panic!(
                "requests broke the protocol of {:?}: {violations:#?}",
                self.wire
            );
        }
    }
}

fn listen(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut open = Vec::new();
    for stream in listener.incoming() {
        if shared.is_over.load(Ordering::Relaxed) {
            break;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        // A client that goes away in the middle is a part of the tests.
        open.push(std::thread::spawn(move || drop(shared.serve(stream))));
    }
    for thread in open {
        let _ = thread.join();
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let Some(got) = http::read(&stream)? else {
            return Ok(());
        };
        let text = String::from_utf8_lossy(&got.body).into_owned();
        let mut seen = Seen {
            target: got.target,
            headers: got.headers,
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
            text,
            ..Seen::default()
        };
        if let Some(answer) = embed::answer(&seen.target, &seen.body) {
            self.seen.lock().unwrap().push(seen);
            return whole(&mut stream, 200, &[], &answer.to_string());
        }
        let mut wrong = self.format.read(&mut seen);
        wrong.extend(check::conversation(&seen));
        if wrong.is_empty() {
            match self.script.act(&seen) {
                Some(act) => {
                    self.seen.lock().unwrap().push(seen.clone());
                    return self.play(&mut stream, &seen, act);
                }
                None => wrong.push("one request more than the script has".to_owned()),
            }
        }
        let body = self.format.error(400, &wrong.join("; ")).to_string();
        self.seen.lock().unwrap().push(seen);
        self.violations.lock().unwrap().extend(wrong);
        whole(&mut stream, 400, &[], &body)
    }

    fn play(&self, stream: &mut TcpStream, seen: &Seen, act: Act) -> io::Result<()> {
        match act {
            Act::Say(said) => self.say(stream, seen, &said, Duration::ZERO),
            Act::Drip(said, pause) => self.say(stream, seen, &said, pause),
            Act::Status {
                status,
                retry_after,
            } => {
                let headers: Vec<_> = retry_after
                    .iter()
                    .map(|r| ("retry-after", r.as_str()))
                    .collect();
                let body = self.format.error(status, "as the script says");
                whole(stream, status, &headers, &body.to_string())
            }
            Act::Raw { status, body } => whole(stream, status, &[], &body),
            Act::Truncated(said) if seen.is_streamed => {
                let pieces = self.format.stream(seen, &said);
                self.pieces(stream, &pieces[..pieces.len() / 2], Duration::ZERO)
            }
            Act::Truncated(said) => {
                let body = self.format.whole(seen, &said).to_string();
                let length = body.len().to_string();
                http::head(
                    stream,
                    200,
                    "application/json",
                    &[("content-length", &length)],
                )?;
                stream.write_all(&body.as_bytes()[..body.len() / 2])
            }
            Act::Silence => {
                self.wait(Duration::MAX);
                Ok(())
            }
            Act::HangUp => Ok(()),
            Act::EchoKey => {
                let key = seen.key.clone().unwrap_or_default();
                let body = self.format.error(401, &format!("the key {key} is wrong"));
                whole(stream, 401, &[("x-echo", &key)], &body.to_string())
            }
        }
    }

    fn say(
        &self,
        stream: &mut TcpStream,
        seen: &Seen,
        said: &Said,
        pause: Duration,
    ) -> io::Result<()> {
        if seen.is_streamed {
            return self.pieces(stream, &self.format.stream(seen, said), pause);
        }
        let body = self.format.whole(seen, said).to_string();
        if pause.is_zero() {
            return whole(stream, 200, &[], &body);
        }
        // A few bytes at a time; JSON's white space in front makes it as slow as one likes.
        let pieces: Vec<String> = std::iter::repeat_n(" ".to_owned(), 1000)
            .chain([body])
            .collect();
        self.pieces(stream, &pieces, pause)
    }

    fn pieces(&self, stream: &mut TcpStream, pieces: &[String], pause: Duration) -> io::Result<()> {
        let kind = self.format.stream_type();
        http::head(stream, 200, kind, &[("transfer-encoding", "chunked")])?;
        for piece in pieces {
            http::chunk(stream, piece)?;
            if !self.wait(pause) {
                return Ok(());
            }
        }
        http::chunk(stream, "")
    }

    /// Waits, as long as the server lives; whether it still does.
    fn wait(&self, time: Duration) -> bool {
        let mut waited = Duration::ZERO;
        while waited < time {
            if self.is_over.load(Ordering::Relaxed) {
                return false;
            }
            std::thread::sleep(LOOK_EVERY);
            waited += LOOK_EVERY;
        }
        true
    }
}

fn whole(
    stream: &mut TcpStream,
    status: u16,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<()> {
    let length = body.len().to_string();
    let headers = [headers, &[("content-length", length.as_str())]].concat();
    http::head(stream, status, "application/json", &headers)?;
    stream.write_all(body.as_bytes())?;
    stream.flush()
}
