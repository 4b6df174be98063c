//! Cuts a stream of bytes into events, wherever the pieces end.
//!
//! Server-sent events as the WHATWG HTML standard writes them (9.2.6, without `id` and `retry`,
//! which only matter to a client that resumes), or one JSON text a line (Ollama).

/// How a stream is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Server-sent events.
    Events,
    /// Every line is one.
    Lines,
}

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Its name; empty without one.
    pub name: String,
    /// Its data.
    pub data: String,
}

/// Cuts as bytes come.
#[derive(Debug)]
pub(crate) struct Cutter {
    framing: Framing,
    line: Vec<u8>,
    frame: Frame,
}

impl Cutter {
    pub(crate) fn new(framing: Framing) -> Self {
        Self {
            framing,
            line: Vec::new(),
            frame: Frame::default(),
        }
    }

    /// The events that these bytes complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        for &byte in bytes {
            if byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                let line = String::from_utf8_lossy(&line);
                frames.extend(self.end_of_line(line.trim_end_matches('\r')));
            } else {
                self.line.push(byte);
            }
        }
        frames
    }

    /// The event that the end of the stream completes: a last line without its end counts, since
    /// what is incomplete is no JSON.
    pub(crate) fn finish(&mut self) -> Option<Frame> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        self.end_of_line(line.trim_end_matches('\r'))
            .or_else(|| self.dispatch())
    }

    fn end_of_line(&mut self, line: &str) -> Option<Frame> {
        match self.framing {
            Framing::Lines if line.trim().is_empty() => None,
            Framing::Lines => Some(Frame {
                name: String::new(),
                data: line.to_owned(),
            }),
            Framing::Events if line.is_empty() => self.dispatch(),
            Framing::Events => {
                let (field, value) = line.split_once(':').unwrap_or((line, ""));
                let value = value.strip_prefix(' ').unwrap_or(value);
                match field {
                    "event" => value.clone_into(&mut self.frame.name),
                    "data" => {
                        if !self.frame.data.is_empty() {
                            self.frame.data.push('\n');
                        }
                        self.frame.data.push_str(value);
                    }
                    // A comment, which keeps the connection alive, or a field that is not used.
                    _ => {}
                }
                None
            }
        }
    }

    fn dispatch(&mut self) -> Option<Frame> {
        let frame = std::mem::take(&mut self.frame);
        (!frame.data.is_empty()).then_some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_wherever_the_pieces_end() {
        let text = ": hello\r\n\r\nevent: a\ndata: {\"x\":\ndata: \"\u{e4}\"}\n\ndata:[DONE]";
        let whole = [("a", "{\"x\":\n\"\u{e4}\"}"), ("", "[DONE]")];
        for size in 1..text.len() {
            let mut cutter = Cutter::new(Framing::Events);
            let mut frames: Vec<Frame> = text
                .as_bytes()
                .chunks(size)
                .flat_map(|piece| cutter.push(piece))
                .collect();
            frames.extend(cutter.finish());
            let seen: Vec<_> = frames
                .iter()
                .map(|f| (f.name.as_str(), f.data.as_str()))
                .collect();
            assert_eq!(seen, whole, "pieces of {size}");
        }
    }
}
