//! What an instance says: lines of the contract's `log`, and what goes to WASI's standard output and error, put together to
//! lines. The last words before a trap explain it. Where lines go, and how many may pass, is `log`'s matter.

use std::time::Instant;

use crate::limits::{LAST_WORDS_BYTES_MAX, cut};
use crate::log::{LogLevel, LogLine, Passed};
use crate::store::Data;

/// Standard output or error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Its lines are [`LogLevel::Info`].
    Out,
    /// Its lines are [`LogLevel::Warn`].
    Err,
}

/// What an instance has begun to say in this call.
#[derive(Debug, Default)]
pub(crate) struct Voice {
    out: Vec<u8>,
    err: Vec<u8>,
    /// The last line, when it is an error, or the last lines of standard error: held back until it is known whether a trap
    /// follows, which they then explain.
    held: Vec<(LogLevel, String)>,
}

impl Data {
    /// A line for the host's log.
    pub(crate) fn log(&mut self, level: LogLevel, mut message: String) {
        // No more is held than is let through.
        cut(&mut message, self.shared.limits.log_line_bytes);
        self.pass();
        if level == LogLevel::Error {
            self.voice.held.push((level, message));
        } else {
            self.emit(level, message);
        }
    }

    /// Bytes for a stream; each line that ends is one for the log.
    pub(crate) fn print(&mut self, stream: Stream, bytes: &[u8]) {
        let bytes_max = self.shared.limits.log_line_bytes;
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            let line = match stream {
                Stream::Out => &mut self.voice.out,
                Stream::Err => &mut self.voice.err,
            };
            match piece.strip_suffix(b"\n") {
                None => join(line, piece, bytes_max),
                Some(piece) => {
                    join(line, piece, bytes_max);
                    let line = text(line);
                    self.line(stream, line);
                }
            }
        }
    }

    fn line(&mut self, stream: Stream, line: String) {
        match stream {
            Stream::Out => {
                self.pass();
                self.emit(LogLevel::Info, line);
            }
            Stream::Err => {
                let held = &self.voice.held;
                let others = held.first().is_some_and(|(level, _)| *level != LogLevel::Warn);
                let bytes: usize = held.iter().map(|(_, line)| line.len()).sum();
                if others || bytes > LAST_WORDS_BYTES_MAX {
                    self.pass();
                }
                self.voice.held.push((LogLevel::Warn, line));
            }
        }
    }

    /// Lets what is held go on.
    fn pass(&mut self) {
        for (level, line) in std::mem::take(&mut self.voice.held) {
            self.emit(level, line);
        }
    }

    /// The end of a call: lines end with it. Gives its last words when it trapped; those of one trap are logged once, however
    /// often the call is made again to find whose fault it is.
    pub(crate) fn hush(&mut self, trapped: bool) -> Option<String> {
        if !self.voice.out.is_empty() {
            let line = text(&mut self.voice.out);
            self.emit(LogLevel::Info, line);
        }
        if !self.voice.err.is_empty() {
            let line = text(&mut self.voice.err);
            self.line(Stream::Err, line);
        }
        if self.voice.held.is_empty() {
            return None;
        }
        let words = if trapped { words(&self.voice.held) } else { String::new() };
        if words.is_empty() {
            self.pass();
            return None;
        }
        if self.shared.gate.is_told(&words, Instant::now()) {
            self.voice.held.clear();
        } else {
            self.pass();
        }
        Some(words)
    }

    fn emit(&self, level: LogLevel, mut message: String) {
        let shared = &self.shared;
        let passed = shared.gate.pass(&shared.limits, &mut message, Instant::now());
        shared.counters.log(passed == Passed::No);
        if let Passed::Yes { dropped } = passed {
            let (component, place) = (&shared.component, self.place);
            shared.sink.line(&LogLine { function: shared.number, component, place, level, message: &message, dropped });
        }
    }
}

/// Adds to a line no more than tells that it is too long.
fn join(line: &mut Vec<u8>, piece: &[u8], bytes_max: usize) {
    /// The longest character: a place to cut is found before it.
    const CHARACTER_BYTES: usize = 4;
    let room = (bytes_max + CHARACTER_BYTES).saturating_sub(line.len());
    line.extend_from_slice(&piece[..piece.len().min(room)]);
}

/// The line as text; another begins.
fn text(line: &mut Vec<u8>) -> String {
    let text = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
    line.clear();
    text
}

/// All in one line.
fn words(held: &[(LogLevel, String)]) -> String {
    let lines = held.iter().flat_map(|(_, text)| text.lines()).map(str::trim).filter(|line| !line.is_empty());
    let mut words = lines.collect::<Vec<_>>().join(" ");
    cut(&mut words, LAST_WORDS_BYTES_MAX);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_bounded_however_it_comes() {
        let mut line = Vec::new();
        for _ in 0..100 {
            join(&mut line, "ä".as_bytes(), 16);
        }
        assert_eq!(line.len(), 20);
        let mut whole = text(&mut line);
        assert!(line.is_empty() && cut(&mut whole, 16));
        assert_eq!(whole, "ääääääää…");
        assert_eq!(text(&mut b"windows\r".to_vec()), "windows");
        assert_eq!(text(&mut b"\xff".to_vec()), "\u{fffd}");
    }

    #[test]
    fn last_words_are_one_line() {
        let held = |text: &str| (LogLevel::Warn, text.to_string());
        assert_eq!(
            words(&[held(""), held("panicked at a.rs:1:2:\n  no\n"), held("note")]),
            "panicked at a.rs:1:2: no note"
        );
        assert_eq!(words(&[held(" "), held("\n")]), "");
        assert_eq!(words(&[held(&"x".repeat(2 * LAST_WORDS_BYTES_MAX))]).len(), LAST_WORDS_BYTES_MAX + "…".len());
    }
}
