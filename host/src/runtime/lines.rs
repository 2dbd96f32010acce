//! Log lines of functions, the last ones of each, for whoever asks. They are in the host's own log as well, and nothing here waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream_core::function::Prepared;
use millstream_wasm::{LogLevel, LogLine, LogSink, Place};

use super::functions::log_line;
use super::worker::wall_ms;

/// Lines kept of each version of a function.
pub const LINES_KEPT: usize = 1_000;

/// Bytes of their texts kept of each version of a function.
pub const LINE_BYTES_KEPT: usize = 1 << 20;

/// A line that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub sequence: u64,
    /// When it was written, milliseconds since 1970.
    pub time: i64,
    /// Who wrote it.
    pub function: Prepared,
    /// Digest of the component.
    pub component: String,
    /// How much it matters.
    pub level: LogLevel,
    /// The text.
    pub message: String,
    /// Lines dropped before it.
    pub dropped: u64,
    /// The records that it is about.
    pub place: Option<Place>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Lines {
    kept: Mutex<Kept>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct Kept {
    last: u64,
    /// By who wrote them.
    of: BTreeMap<u32, Of>,
}

#[derive(Debug, Default)]
struct Of {
    lines: VecDeque<Line>,
    bytes: usize,
    /// Those that are not kept any more, the last of them.
    lost: VecDeque<u64>,
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line.
    fn keep(&self, line: &LogLine<'_>, time: i64) {
        // Of a component that is being checked it is in the host's log alone.
        let Some(function) = line.function else { return };
        let mut kept = self.lock();
        kept.last += 1;
        let sequence = kept.last;
        let of = kept.of.entry(function.0).or_default();
        of.bytes += line.message.len();
        of.lines.push_back(Line {
            sequence,
            time,
            function,
            component: line.component.to_string(),
            level: line.level,
            message: line.message.to_string(),
            dropped: line.dropped,
            place: line.place,
        });
        while of.lines.len() > LINES_KEPT || of.bytes > LINE_BYTES_KEPT {
            let Some(old) = of.lines.pop_front() else { break };
            of.bytes -= old.message.len();
            of.lost.push_back(old.sequence);
            if of.lost.len() > LINES_KEPT {
                of.lost.pop_front();
            }
        }
        drop(kept);
        self.came.notify_all();
    }

    /// Lines that `wanted` takes, the oldest first: behind `after` the first of them, without it the last. `limit` of them at the most.
    pub fn read(&self, after: Option<u64>, limit: usize, wanted: impl Fn(&Line) -> bool) -> Read {
        let kept = self.lock();
        let from = after.unwrap_or(0);
        let there = kept.of.values().flat_map(|of| &of.lines).filter(|line| line.sequence > from && wanted(line));
        let mut lines: Vec<Line> = there.cloned().collect();
        lines.sort_by_key(|line| line.sequence);
        let next = match after {
            Some(_) if lines.len() > limit => {
                lines.truncate(limit);
                lines.last().map_or(from, |line| line.sequence)
            }
            _ => kept.last,
        };
        let lines = lines.split_off(lines.len().saturating_sub(limit));
        let lost = |of: &Of| of.lost.iter().filter(|gone| **gone > from).count() as u64;
        Read { lost: after.map_or(0, |_| kept.of.values().map(lost).sum()), lines, next }
    }

    /// Waits until there is a line behind `after`, or the time is over.
    pub fn wait(&self, after: u64, longest: Duration) {
        let kept = self.lock();
        let waited = self.came.wait_timeout_while(kept, longest, |kept| kept.last <= after);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl LogSink for Lines {
    fn line(&self, line: &LogLine<'_>) {
        log_line(line);
        self.keep(line, wall_ms());
    }
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// The lines.
    pub lines: Vec<Line>,
    /// Where to go on.
    pub next: u64,
    /// Lines behind the place of which somebody asked that are not kept any more, as far as that is known.
    pub lost: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(lines: &Lines, function: u32, message: &str) {
        let function = Some(Prepared(function));
        let (component, level) = ("d", LogLevel::Info);
        lines.keep(&LogLine { function, component, place: None, level, message, dropped: 0 }, 7);
    }

    fn texts(read: &Read) -> Vec<&str> {
        read.lines.iter().map(|line| line.message.as_str()).collect()
    }

    #[test]
    fn the_newest_are_told_and_then_what_comes_behind() {
        let lines = Lines::default();
        for (function, text) in [(0, "a"), (1, "b"), (0, "c"), (1, "d")] {
            say(&lines, function, text);
        }
        let newest = lines.read(None, 2, |_| true);
        assert_eq!((texts(&newest), newest.next), (vec!["c", "d"], 4));
        let mine = lines.read(None, 9, |line| line.function == Prepared(0));
        assert_eq!((texts(&mine), mine.next), (vec!["a", "c"], 4));
        say(&lines, 0, "e");
        let more = lines.read(Some(mine.next), 9, |_| true);
        assert_eq!((texts(&more), more.next), (vec!["e"], 5));
        // In parts, with nothing left out.
        let first = lines.read(Some(0), 3, |_| true);
        assert_eq!((texts(&first), first.next), (vec!["a", "b", "c"], 3));
        assert_eq!(texts(&lines.read(Some(first.next), 3, |_| true)), ["d", "e"]);
        assert_eq!(lines.read(Some(5), 3, |_| true), Read { next: 5, ..Read::default() });
    }

    #[test]
    fn a_noisy_function_pushes_out_its_own_lines_alone() {
        let lines = Lines::default();
        say(&lines, 1, "quiet");
        (0..LINES_KEPT + 5).for_each(|n| say(&lines, 0, &n.to_string()));
        let all = lines.read(Some(0), usize::MAX, |_| true);
        assert_eq!((all.lines.len(), all.lost), (LINES_KEPT + 1, 5));
        assert_eq!(texts(&all)[..2], ["quiet", "5"]);
        assert_eq!(lines.read(Some(4), 1, |_| true).lost, 2, "those behind the place alone");
        let large = "x".repeat(LINE_BYTES_KEPT / 2);
        (0..3).for_each(|_| say(&lines, 2, &large));
        assert_eq!(lines.read(None, usize::MAX, |line| line.function == Prepared(2)).lines.len(), 2);
    }

    #[test]
    fn who_checks_a_component_leaves_no_lines() {
        let lines = Lines::default();
        let line =
            LogLine { function: None, component: "d", place: None, level: LogLevel::Error, message: "m", dropped: 0 };
        lines.keep(&line, 7);
        assert_eq!(lines.read(None, 9, |_| true), Read::default());
    }

    #[test]
    fn who_waits_is_told() {
        let lines = std::sync::Arc::new(Lines::default());
        let writer = lines.clone();
        let thread = std::thread::spawn(move || say(&writer, 0, "a"));
        lines.wait(0, Duration::from_secs(60));
        thread.join().unwrap();
        assert_eq!(texts(&lines.read(Some(0), 9, |_| true)), ["a"]);
        lines.wait(1, Duration::from_millis(1));
    }
}
