//! The naive fold: lists, loops and the rules of one side. It shares nothing with the engine.

use std::collections::BTreeSet;

use crate::calendars;
use crate::case::{Case, Fold, Outcome, Record, Side, Window};
use crate::sliding::Sliding;

/// What comes out, in order, and which rules that differ were touched.
pub type Folded<D> = (Vec<Outcome>, BTreeSet<D>);

/// Whose rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    Ours,
    Kafka,
}

/// A rule that differs, touched by a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// Windowed aggregates of Kafka Streams count null values, and these move its stream time.
    NullValueCounts,
    /// A session of Kafka Streams that is closed and still in its store is merged again, and comes out again.
    ClosedSessionMerged,
    /// A record within a session writes a tombstone under the bounds that stay, without the cache.
    TombstoneOfTheSameSession,
    /// A record that no open sliding window holds when it comes is forgotten.
    RecordForgotten,
    /// A sliding window that begins behind a record before the difference, and ends with the next, is made twice, and comes out
    /// twice without the cache.
    WindowMadeTwice,
    /// Each input of a cogroup has a stream time of its own, so that what is late by the other's counts, and a result on close may
    /// come again.
    TimeOfEachInput,
}

impl Difference {
    /// Those of a group of one input.
    pub const GROUPS: [Difference; 5] = [
        Difference::NullValueCounts,
        Difference::ClosedSessionMerged,
        Difference::TombstoneOfTheSameSession,
        Difference::RecordForgotten,
        Difference::WindowMadeTwice,
    ];
}

/// A group of a window, or a session.
#[derive(Clone, Debug)]
struct Group {
    key: String,
    /// End and start.
    window: Option<(i64, i64)>,
    /// `None`: nothing was folded but nulls.
    text: Option<String>,
    count: u64,
    time: i64,
    /// It came out.
    told: bool,
}

pub struct World<'c> {
    pub case: &'c Case,
    pub rules: Rules,
    groups: Vec<Group>,
    pub sliding: Sliding,
    /// Stream time, as it is for the record at hand.
    pub time: i64,
    /// That of each input; where they have one for all, that of the first.
    times: [i64; 2],
    own_times: bool,
    /// The largest time of an update: by it results on close come out.
    told: i64,
    pub out: Vec<Outcome>,
    pub touched: BTreeSet<Difference>,
}

/// What comes out, in order, and which rules that differ were touched.
pub fn run(case: &Case, rules: Rules) -> Folded<Difference> {
    let records = || case.records.iter().enumerate();
    let (out, touched) = World::of(case, rules, false).fold(records());
    if rules == Rules::Ours || !case.cogroup {
        return (out, touched);
    }
    let (own, mut more) = World::of(case, rules, true).fold(records());
    // What is closed by the one and not by the other may differ from ours where it does not differ from each other.
    if own != out || more != touched {
        more.insert(Difference::TimeOfEachInput);
    }
    (own, more)
}

fn joined(all: Option<String>, value: Option<&str>) -> Option<String> {
    match (all, value) {
        (Some(all), Some(value)) => Some(format!("{all},{value}")),
        (all, value) => all.or(value.map(str::to_string)),
    }
}

fn number(value: &str) -> i64 {
    let json: serde_json::Value = serde_json::from_str(value).expect("JSON");
    json["n"].as_i64().expect("a number")
}

impl<'c> World<'c> {
    /// `own_times`: each input has its own stream time.
    pub fn of(case: &'c Case, rules: Rules, own_times: bool) -> Self {
        let (groups, sliding, out, touched) = Default::default();
        let (time, times, told) = (i64::MIN, [i64::MIN; 2], i64::MIN);
        Self { case, rules, groups, sliding, time, times, own_times, told, out, touched }
    }

    /// Takes records in, each with the number of what set it off.
    fn fold<'r>(mut self, records: impl Iterator<Item = (usize, &'r Record)>) -> Folded<Difference> {
        records.for_each(|(by, record)| self.take(by, record));
        (self.out, self.touched)
    }

    fn take(&mut self, by: usize, record: &Record) {
        self.record(by, record);
        if self.case.on_close {
            self.close(by);
        }
    }

    /// The same with times, and perhaps without some of the records: `moves`, all of them move time.
    pub fn fold_items(mut self, items: &[(usize, Option<Record>, i64)], moves: bool) -> Folded<Difference> {
        for (by, record, time) in items {
            if moves {
                self.times[0] = self.times[0].max(*time);
                self.time = self.times[0];
            }
            match record {
                Some(record) => self.take(*by, record),
                None if self.case.on_close => self.close(*by),
                None => {}
            }
        }
        (self.out, self.touched)
    }
}

impl World<'_> {
    /// A state with a record more.
    pub fn added(&self, all: Option<String>, record: &Record) -> Option<String> {
        let Some(value) = record.value.as_deref() else { return all };
        let before = || all.as_deref().map(|all| all.parse::<i64>().expect("a number"));
        match self.case.fold {
            Fold::Scan => Some((before().unwrap_or(0) + number(value)).to_string()),
            Fold::Mixed if record.side == Side::Left => Some((before().unwrap_or(0) + number(value)).to_string()),
            Fold::Mixed => Some(before().map_or(number(value), |all| all.max(number(value))).to_string()),
            Fold::Count | Fold::Reduce | Fold::Aggregate => joined(all, Some(value)),
        }
    }

    /// Two states as one, the earlier on the left.
    fn merged(&self, left: Option<String>, right: Option<&str>) -> Option<String> {
        match (left, right) {
            (Some(left), Some(right)) if self.case.fold == Fold::Mixed => {
                Some((left.parse::<i64>().expect("a number") + right.parse::<i64>().expect("a number")).to_string())
            }
            (left, right) => joined(left, right),
        }
    }

    /// Every window that ends at or before this is closed; of sessions every one that ends before it.
    fn closed(&self) -> i64 {
        let gap = if let Window::Session { gap } = self.case.window { gap } else { 0 };
        self.time.saturating_sub(self.case.grace + gap)
    }

    fn record(&mut self, by: usize, record: &Record) {
        let Some(key) = &record.key else { return };
        if record.value.is_none() {
            let drops = matches!(self.case.window, Window::None | Window::Sliding { .. });
            if self.rules == Rules::Ours || drops {
                return;
            }
            self.touched.insert(Difference::NullValueCounts);
        }
        let time = &mut self.times[if self.own_times { record.side as usize } else { 0 }];
        *time = record.time.max(*time);
        self.time = *time;
        match self.case.window {
            Window::None => self.add(by, key, None, record),
            Window::Hopping { size, advance } | Window::Panes { size, advance } => {
                let first = (record.time - size + 1).max(0);
                for start in (first..=record.time).filter(|s| s % advance == 0) {
                    if start + size > self.closed() {
                        self.add(by, key, Some((start + size, start)), record);
                    }
                }
            }
            Window::Calendar { unit, zone } => {
                let window = calendars::window(unit, zone, record.time);
                if window.0 > self.closed() {
                    self.add(by, key, Some(window), record);
                }
            }
            Window::Session { gap } => self.join(by, key, gap, record),
            Window::Sliding { difference } => self.slide(by, key, difference, record),
        }
    }

    fn add(&mut self, by: usize, key: &str, window: Option<(i64, i64)>, record: &Record) {
        let found = self.groups.iter().position(|g| g.key == key && g.window == window);
        let at = found.unwrap_or_else(|| {
            let time = record.time;
            self.groups.push(Group { key: key.to_string(), window, text: None, count: 0, time, told: false });
            self.groups.len() - 1
        });
        let text = self.groups[at].text.take();
        let text = self.added(text, record);
        let group = &mut self.groups[at];
        group.count += 1;
        group.text = text;
        group.time = group.time.max(record.time);
        let group = group.clone();
        self.update(by, &group);
        self.forget_empty();
    }

    /// A group that has come to nothing is not there. Only null values, which have no part here, bring that about.
    fn forget_empty(&mut self) {
        if self.case.fold != Fold::Count {
            self.groups.retain(|g| g.text.is_some());
        }
    }

    fn join(&mut self, by: usize, key: &str, gap: i64, record: &Record) {
        let (t, closed) = (record.time, self.closed());
        let touches = |g: &Group| {
            let (end, start) = g.window.expect("a session has bounds");
            g.key == key && start - gap <= t && t <= end + gap
        };
        let is_closed = |g: &Group| g.window.expect("a session has bounds").0 < closed;
        let mut touched: Vec<Group> = self.groups.iter().filter(|g| touches(g)).cloned().collect();
        touched.sort_by_key(|g| g.window);
        if touched.iter().any(is_closed) {
            match self.rules {
                Rules::Ours => touched.retain(|g| !is_closed(g)),
                Rules::Kafka => drop(self.touched.insert(Difference::ClosedSessionMerged)),
            }
        }
        let bounds = |g: &Group| g.window.expect("a session has bounds");
        let end = touched.iter().map(|g| bounds(g).0).fold(t, i64::max);
        let start = touched.iter().map(|g| bounds(g).1).fold(t, i64::min);
        if end < closed {
            return;
        }
        let window = Some((end, start));
        let (mut text, mut count) = (None, 1);
        for group in &touched {
            text = self.merged(text, group.text.as_deref());
            count += group.count;
        }
        for group in &touched {
            let is_same = group.window == window;
            // Of a session of one moment, at this moment, nothing is removed.
            if self.rules == Rules::Kafka && (end, start) != (t, t) && is_same {
                self.touched.insert(Difference::TombstoneOfTheSameSession);
            } else if is_same {
                continue;
            }
            self.tombstone(by, group);
        }
        self.groups.retain(|g| !touched.iter().any(|old| old.key == g.key && old.window == g.window));
        let text = self.added(text, record);
        let group = Group { key: key.to_string(), window, text, count, time: end, told: false };
        self.groups.push(group.clone());
        self.update(by, &group);
        self.forget_empty();
    }

    /// A value as the case's fold shows it.
    pub fn shown(&self, text: Option<String>, count: u64) -> Option<String> {
        if self.case.fold == Fold::Count { Some(count.to_string()) } else { text }
    }

    fn value(&self, group: &Group) -> Option<String> {
        self.shown(group.text.clone(), group.count)
    }

    fn update(&mut self, by: usize, group: &Group) {
        self.told = self.told.max(group.time);
        if self.own_times {
            // Changed behind its close, it comes out once more.
            let is = |g: &&mut Group| g.key == group.key && g.window == group.window;
            self.groups.iter_mut().find(is).expect("it is there").told = false;
        }
        if !self.case.on_close {
            let value = self.value(group);
            self.out.push(Outcome { by, window: group.window, key: group.key.clone(), value, time: group.time });
        }
    }

    fn tombstone(&mut self, by: usize, group: &Group) {
        if !self.case.on_close {
            let (window, key) = (group.window, group.key.clone());
            self.out.push(Outcome { by, window, key, value: None, time: group.time });
        }
    }

    fn close(&mut self, by: usize) {
        if let Window::Sliding { difference } = self.case.window {
            return self.close_sliding(by, difference);
        }
        let closed = if self.own_times { self.told.saturating_sub(self.case.grace) } else { self.closed() };
        let is_session = matches!(self.case.window, Window::Session { .. });
        let is_closed =
            |g: &Group| g.window.is_some_and(|(end, _)| if is_session { end < closed } else { end <= closed });
        let mut ending: Vec<Group> = self.groups.iter().filter(|g| is_closed(g) && !g.told).cloned().collect();
        self.groups.iter_mut().filter(|g| is_closed(g)).for_each(|g| g.told = true);
        ending.sort_by(|a, b| (a.window, &a.key).cmp(&(b.window, &b.key)));
        for group in ending {
            let value = self.value(&group);
            if value.is_some() {
                self.out.push(Outcome { by, window: group.window, key: group.key, value, time: group.time });
            }
        }
    }
}
