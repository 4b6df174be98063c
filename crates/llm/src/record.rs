//! Exchanges as files, and a provider that answers from them.
//!
//! One indented JSON file an exchange, `0001.json` and so on, each written beside its place and
//! renamed into it. Read back and written again it is the same byte for byte.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::{Delta, Exchange, Failure, Provider, Request, Sink};

/// Writes exchanges into a folder, in the order they come.
#[derive(Debug)]
pub struct Recorder {
    folder: PathBuf,
    written: Mutex<u32>,
}

impl Recorder {
    /// A recorder for a folder, which is made with the first exchange.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            written: Mutex::new(0),
        }
    }

    /// Writes the next exchange, all of it or nothing; gives its file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, exchange: &Exchange) -> io::Result<PathBuf> {
        let mut written = self
            .written
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        fs::create_dir_all(&self.folder)?;
        let name = format!("{:04}.json", *written + 1);
        let target = self.folder.join(&name);
        let temporary = self.folder.join(format!(".{name}.part"));
        let mut text = serde_json::to_vec_pretty(exchange)?;
        text.push(b'\n');
        let result = File::create(&temporary)
            .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&temporary, &target));
        if let Err(error) = result {
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        *written += 1;
        Ok(target)
    }
}

/// Answers as it was answered before, as long as it is asked as it was asked before.
#[derive(Debug)]
pub struct Replayed {
    exchanges: Vec<Exchange>,
    next: Mutex<usize>,
}

impl Replayed {
    /// Replays these exchanges, the first one first.
    pub fn new(exchanges: Vec<Exchange>) -> Self {
        Self {
            exchanges,
            next: Mutex::new(0),
        }
    }

    /// Replays what a [`Recorder`] wrote into a folder.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be read or is no exchange.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let mut files: Vec<PathBuf> = fs::read_dir(folder)?
            .map(|entry| entry.map(|e| e.path()))
            .collect::<io::Result<_>>()?;
        files.retain(|file| file.extension().is_some_and(|e| e == "json"));
        files.sort();
        let exchanges = files
            .iter()
            .map(|file| {
                serde_json::from_slice(&fs::read(file)?).map_err(|error| {
                    let what = format!("{}: {error}", file.display());
                    io::Error::new(io::ErrorKind::InvalidData, what)
                })
            })
            .collect::<io::Result<_>>()?;
        Ok(Self::new(exchanges))
    }

    fn first(&self, of: fn(&Exchange) -> &str) -> &str {
        self.exchanges.first().map_or("none", of)
    }
}

impl Provider for Replayed {
    fn name(&self) -> &str {
        self.first(|e| &e.provider)
    }

    fn model(&self) -> &str {
        self.first(|e| &e.model)
    }

    fn address(&self) -> &str {
        self.first(|e| &e.address)
    }

    /// The recorded exchange, times included. The sink gets the whole text at once.
    fn ask(&self, request: &Request, sink: Sink<'_>) -> Exchange {
        let mut next = self
            .next
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let recorded = self.exchanges.get(*next);
        let reason = match recorded {
            None => Some(format!(
                "it has {} exchanges and no more",
                self.exchanges.len()
            )),
            Some(recorded) => difference(&recorded.request, request)
                .map(|what| format!("exchange {} asks otherwise: {what}", *next + 1)),
        };
        match (recorded, reason) {
            (Some(recorded), None) => {
                *next += 1;
                if let (Some(sink), Ok(reply)) = (sink, &recorded.answer) {
                    if !reply.thinking.is_empty() {
                        sink(&Delta::Thinking(reply.thinking.clone()));
                    }
                    sink(&Delta::Text(reply.text.clone()));
                }
                recorded.clone()
            }
            (_, reason) => Exchange::unsent(
                self.name(),
                self.model(),
                self.address(),
                request,
                Err(Failure::NotRecorded {
                    reason: reason.unwrap_or_default(),
                }),
            ),
        }
    }
}

/// The first part in which two requests differ.
fn difference(recorded: &Request, asked: &Request) -> Option<String> {
    let messages = recorded.messages.iter().zip(&asked.messages);
    if let Some(number) = messages.clone().position(|(a, b)| a != b) {
        return Some(format!("message {}", number + 1));
    }
    [
        (
            "the number of messages",
            recorded.messages.len() != asked.messages.len(),
        ),
        ("purpose", recorded.purpose != asked.purpose),
        ("tools", recorded.tools != asked.tools),
        ("tool choice", recorded.tool_choice != asked.tool_choice),
        ("schema", recorded.schema != asked.schema),
        ("parameters", recorded.parameters != asked.parameters),
    ]
    .into_iter()
    .find_map(|(what, differs)| differs.then(|| what.to_owned()))
}
