//! The naive fold's sliding windows: by their definition here, and there as Kafka Streams finds them in its store, which holds a
//! state for each window and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use crate::case::{Outcome, Record};
use crate::fold::{Difference, Rules, World};

/// What both sides remember.
#[derive(Default)]
pub struct Sliding {
    /// Here: key, time, number of the record, value.
    records: Vec<(String, i64, usize, String)>,
    /// There: by key and start.
    store: BTreeMap<(String, i64), State>,
    /// Windows that end before this have come out.
    told_before: i64,
}

/// The state of a window there.
#[derive(Clone, Debug, Default)]
struct State {
    text: Option<String>,
    count: u64,
    /// The largest timestamp.
    time: i64,
}

/// End and start of every window that records at these times have.
fn windows(times: &BTreeSet<i64>, d: i64) -> BTreeSet<(i64, i64)> {
    let ends = times.iter().map(|t| (*t).max(d));
    let behind = times.iter().map(|t| t + 1 + d).filter(|end| times.range(end - d..=*end).next().is_some());
    ends.chain(behind).map(|end| (end, end - d)).collect()
}

impl World<'_> {
    fn times(&self, key: &str) -> BTreeSet<i64> {
        self.sliding.records.iter().filter(|r| r.0 == key).map(|r| r.1).collect()
    }

    /// Everything that closes before this is closed.
    fn closed_before(&self) -> i64 {
        self.time.saturating_sub(self.case.grace)
    }

    pub fn slide(&mut self, by: usize, key: &str, d: i64, record: &Record) {
        let (t, closed) = (record.time, self.closed_before());
        if t + d < closed {
            return;
        }
        if t.max(d) < closed {
            self.touched.insert(Difference::RecordForgotten);
        }
        if self.rules == Rules::Kafka {
            if t < d {
                self.early(by, key, d, record)
            } else {
                self.reverse(by, key, d, record)
            }
            return;
        }
        let before = windows(&self.times(key), d);
        self.sliding.records.push((key.to_string(), t, by, record.value.clone().unwrap_or_default()));
        if self.case.on_close {
            return;
        }
        for (end, start) in windows(&self.times(key), d) {
            let changes = (start..=end).contains(&t) || !before.contains(&(end, start));
            if changes && end >= closed {
                self.tell_sliding(by, key, (end, start));
            }
        }
    }

    fn tell_sliding(&mut self, by: usize, key: &str, (end, start): (i64, i64)) {
        let inside = |r: &&(String, i64, usize, String)| r.0 == key && (start..=end).contains(&r.1);
        let mut inside: Vec<_> = self.sliding.records.iter().filter(inside).collect();
        inside.sort_by_key(|r| (r.1, r.2));
        let text: Vec<&str> = inside.iter().map(|r| r.3.as_str()).collect();
        let time = inside.last().map_or(0, |r| r.1);
        let value = self.shown(Some(text.join(",")), inside.len() as u64);
        self.out.push(Outcome { by, window: Some((end, start)), key: key.to_string(), value, time });
    }

    pub fn close_sliding(&mut self, by: usize, d: i64) {
        let (from, to) = (self.sliding.told_before, self.closed_before());
        if to <= from {
            return;
        }
        self.sliding.told_before = to;
        let is_due = |end: i64| (from..to).contains(&end);
        if self.rules == Rules::Kafka {
            let due: Vec<_> = self.sliding.store.iter().filter(|((_, start), _)| is_due(start + d)).collect();
            let told: Vec<Outcome> =
                due.into_iter().map(|((key, start), s)| self.outcome(by, key, *start, d, s)).collect();
            self.out.extend(told);
            return;
        }
        let keys: BTreeSet<String> = self.sliding.records.iter().map(|r| r.0.clone()).collect();
        let all = keys.iter().flat_map(|key| windows(&self.times(key), d).into_iter().map(move |w| (w, key)));
        let due: BTreeSet<((i64, i64), &String)> = all.filter(|(window, _)| is_due(window.0)).collect();
        due.into_iter().for_each(|(window, key)| self.tell_sliding(by, key, window));
    }

    fn outcome(&self, by: usize, key: &str, start: i64, d: i64, state: &State) -> Outcome {
        let value = self.shown(state.text.clone(), state.count);
        Outcome { by, window: Some((start + d, start)), key: key.to_string(), value, time: state.time }
    }

    /// A record joins the state of a window that is not closed.
    fn change(&mut self, by: usize, key: &str, (start, d): (i64, i64), state: Option<State>, record: &Record) {
        if start + d < self.closed_before() {
            return;
        }
        let held = state.unwrap_or(State { time: record.time, ..State::default() });
        let text = self.added(held.text, record);
        let state = State { text, count: held.count + 1, time: held.time.max(record.time) };
        self.put(by, key, (start, d), state);
    }

    fn put(&mut self, by: usize, key: &str, (start, d): (i64, i64), state: State) {
        if !self.case.on_close {
            let outcome = self.outcome(by, key, start, d, &state);
            self.out.push(outcome);
        }
        self.sliding.store.insert((key.to_string(), start), state);
    }

    /// A record whose window would begin below 0.
    fn early(&mut self, by: usize, key: &str, d: i64, record: &Record) {
        let t = record.time;
        let range = (key.to_string(), 0)..=(key.to_string(), t + 1);
        let there: Vec<(i64, State)> = self.sliding.store.range(range).map(|((_, s), w)| (*s, w.clone())).collect();
        let combined = there.iter().find(|(start, _)| *start == 0).map(|w| w.1.clone());
        let previous = combined.as_ref().map(|c| c.time).filter(|time| *time < t);
        let mut right = None;
        for (start, state) in there.iter().filter(|(start, _)| (1..=t).contains(start)) {
            right = Some(state.clone());
            self.change(by, key, (*start, d), Some(state.clone()), record);
        }
        let right = right.or_else(|| combined.clone().filter(|c| c.time > t));
        let is_there = |start: i64| there.iter().any(|w| w.0 == start);
        if let Some(right) = right.filter(|r| r.time > t && !is_there(t + 1)) {
            self.put(by, key, (t + 1, d), right);
        }
        if let Some(start) = previous.map(|p| p + 1).filter(|start| !is_there(*start)) {
            self.change(by, key, (start, d), None, record);
        }
        self.change(by, key, (0, d), combined, record);
    }

    fn reverse(&mut self, by: usize, key: &str, d: i64, record: &Record) {
        let t = record.time;
        let range = (key.to_string(), (t - 2 * d).max(0))..=(key.to_string(), t + 1);
        let there: Vec<(i64, State)> = self.sliding.store.range(range).map(|((_, s), w)| (*s, w.clone())).collect();
        let (mut starts, mut right, mut left, mut previous) = (BTreeSet::new(), None, None, None);
        let (mut left_there, mut right_there) = (false, false);
        for (start, state) in there.into_iter().rev() {
            starts.insert(start);
            let (end, newest) = (start + d, state.time);
            if start == t + 1 {
                right_there = true;
            } else if end >= t {
                left_there |= end == t;
                if end > t && right.is_none() {
                    right = Some(state.clone());
                }
                self.change(by, key, (start, d), Some(state), record);
                match end == t {
                    true if newest < t => previous = Some(newest),
                    true => return,
                    false => {}
                }
            } else {
                (previous, left) = (Some(newest), Some(state));
                break;
            }
        }
        if let Some(start) = previous.map(|p| p + 1).filter(|s| !starts.contains(s) && s + d >= t) {
            self.change(by, key, (start, d), None, record);
            if start == t - d && !self.case.on_close {
                self.touched.insert(Difference::WindowMadeTwice);
            }
        }
        if !left_there {
            let holds = previous.is_some_and(|p| t - d <= p);
            let state = left.filter(|_| holds).map(|s: State| State { time: t, ..s });
            self.change(by, key, (t - d, d), state, record);
        }
        if let Some(right) = right.filter(|r: &State| r.time > t && !right_there) {
            self.put(by, key, (t + 1, d), right);
        }
    }
}
