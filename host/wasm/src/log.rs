//! Lines that guests write: cut, counted, and handed to the host's own log. Rates only; where lines go is the sink's matter.

use std::sync::Mutex;
use std::time::Instant;

use millstream_core::function::Prepared;
use millstream_core::task::TaskId;

use crate::limits::{Limits, cut};

/// How much a line matters, in the contract's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Every step.
    Trace,
    /// For whoever looks for a fault.
    Debug,
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warn,
    /// Something is wrong.
    Error,
}

impl LogLevel {
    /// Its name, as people write it.
    pub fn name(self) -> &'static str {
        match self {
            LogLevel::Trace => "trace",
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        }
    }
}

/// Which records a call was about, where it was about records: the first and the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The task.
    pub task: TaskId,
    /// Number of the input and offset of the first record.
    pub first: (u32, i64),
    /// As `first`, of the last.
    pub last: (u32, i64),
}

/// A line, as the sink gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// Who writes; `None` while a component is being checked.
    pub function: Option<Prepared>,
    /// Digest of the component.
    pub component: &'a str,
    /// The records of the call that wrote it.
    pub place: Option<Place>,
    /// How much it matters.
    pub level: LogLevel,
    /// The guest's text, cut to its limit. It may hold any character.
    pub message: &'a str,
    /// Lines that were dropped for being too many since the last one that was let through.
    pub dropped: u64,
}

/// Where lines go. Called on the thread that runs the function: quick, and without waiting.
pub trait LogSink: Send + Sync {
    /// Takes a line.
    fn line(&self, line: &LogLine<'_>);
}

impl<F: Fn(&LogLine<'_>) + Send + Sync> LogSink for F {
    fn line(&self, line: &LogLine<'_>) {
        self(line);
    }
}

/// What all instances of a function write through.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    since: Option<Instant>,
    lines: u32,
    dropped: u64,
    /// The last words before a trap, and when they were said last.
    words: Option<(String, Instant)>,
}

/// For how long the same last words before a trap are not logged again, seconds since they were said last: longer than the
/// record that traps takes to be found, with all the calls that this needs.
pub const WORDS_AGAIN_S: u64 = 10;

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// It may go on; so many were dropped before it.
    Yes { dropped: u64 },
    /// One of too many.
    No,
}

impl Gate {
    /// Whether a line may pass now, and the line cut to its limit.
    pub(crate) fn pass(&self, limits: &Limits, message: &mut String, now: Instant) -> Passed {
        cut(message, limits.log_line_bytes);
        let mut window = self.window.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if window.since.is_none_or(|since| now.duration_since(since).as_secs() >= 1) {
            window.since = Some(now);
            window.lines = 0;
        }
        if window.lines >= limits.log_lines_per_second {
            window.dropped += 1;
            return Passed::No;
        }
        window.lines += 1;
        Passed::Yes { dropped: std::mem::take(&mut window.dropped) }
    }

    /// Whether these last words before a trap were told a moment ago; notes that they are said now.
    pub(crate) fn is_told(&self, words: &str, now: Instant) -> bool {
        let mut window = self.window.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match &mut window.words {
            Some((told, at)) if told == words => {
                let last = std::mem::replace(at, now);
                now.duration_since(last).as_secs() < WORDS_AGAIN_S
            }
            other => {
                *other = Some((words.to_string(), now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn lines_are_cut_and_counted() {
        let limits = Limits { log_lines_per_second: 2, log_line_bytes: 16, ..Limits::default() };
        let gate = Gate::default();
        let start = Instant::now();
        let pass = |ms: u64| {
            let mut line = "0123456789abcdefgh".to_string();
            let passed = gate.pass(&limits, &mut line, start + Duration::from_millis(ms));
            assert_eq!(line, "0123456789abcdef…");
            passed
        };
        let none = Passed::Yes { dropped: 0 };
        assert_eq!([pass(0), pass(10), pass(20), pass(999)], [none, none, Passed::No, Passed::No]);
        assert_eq!([pass(1000), pass(1001), pass(1002)], [Passed::Yes { dropped: 2 }, none, Passed::No]);
    }

    #[test]
    fn last_words_are_told_once_in_a_while() {
        let gate = Gate::default();
        let start = Instant::now();
        let told = |words, s| gate.is_told(words, start + Duration::from_secs(s));
        assert_eq!([told("a", 0), told("a", 9), told("a", 18), told("a", 28)], [false, true, true, false]);
        assert_eq!([told("b", 29), told("a", 29)], [false; 2]);
    }
}
