//! The oracle's windows that are put together from slices: it keeps every slice for as long as a window may need it, and makes the
//! windows of a key from its records by their definition, over and over.

use std::collections::{BTreeMap, BTreeSet};

use millstream_core::topology::spec::*;

use super::fold::{Event, FoldState, Group, GroupKey, is_open};
use super::{Item, NEVER};

#[derive(Clone, Debug)]
pub struct Slice {
    state: Option<Vec<u8>>,
    count: u64,
    time: i64,
}

/// Slices of a key by their first timestamp.
type Of = BTreeMap<i64, Slice>;

#[derive(Clone, Debug, Default)]
pub struct Slices {
    of: BTreeMap<Vec<u8>, Of>,
    /// Windows that have changed: end, start, key.
    changed: BTreeSet<GroupKey>,
    /// Closing time up to which windows are done with.
    done: Option<i64>,
}

impl Slices {
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }
}

/// First and last timestamp of a window by its name, which is end and start.
fn span(window: Window, (end, start): (i128, i64)) -> (i128, i128) {
    let last = if matches!(window.form, WindowForm::Sliding { .. }) { end } else { end - 1 };
    (start.into(), last)
}

fn holds(window: Window, name: (i128, i64), t: i64) -> bool {
    let (first, last) = span(window, name);
    (first..=last).contains(&i128::from(t))
}

/// End and start of every window of a key that has slices at these times.
fn windows<'t>(window: Window, times: impl Iterator<Item = &'t i64> + Clone) -> BTreeSet<(i128, i64)> {
    let any = |name: (i128, i64)| times.clone().any(|t| holds(window, name, *t));
    let mut out = BTreeSet::new();
    for t in times.clone().copied() {
        match window.form {
            WindowForm::Sliding { difference_ms: d } => {
                let end = t.max(d);
                out.insert((i128::from(end), end - d));
                let behind = (i128::from(t) + 1 + i128::from(d), t.saturating_add(1));
                if behind.0 <= i128::from(i64::MAX) && any(behind) {
                    out.insert(behind);
                }
            }
            WindowForm::Panes { size_ms, advance_ms } => {
                for start in (0..=t / advance_ms).rev().map(|k| k * advance_ms).take_while(|start| t - start < size_ms)
                {
                    out.insert((i128::from(start) + i128::from(size_ms), start));
                }
            }
            _ => unreachable!("the windows of other forms have no slices"),
        }
    }
    out
}

/// End and start of the first and the last window that can hold a time, whether one is there or not.
fn reach(window: Window, t: i64) -> [(i128, i64); 2] {
    match window.form {
        WindowForm::Sliding { difference_ms: d } => {
            let (first, last) = (i128::from(t.max(d)), i128::from(t) + i128::from(d));
            [(first, t.max(d) - d), (last, t)]
        }
        _ => {
            let all = windows(window, [t].iter());
            [*all.first().expect("every time is in one"), *all.last().expect("every time is in one")]
        }
    }
}

/// The slice that a time falls into.
fn slice(window: Window, t: i64) -> i64 {
    match window.form {
        WindowForm::Panes { size_ms, advance_ms } => {
            let unit = (1..=advance_ms).rev().find(|u| size_ms % u == 0 && advance_ms % u == 0);
            t / unit.expect("one divides all") * unit.expect("one divides all")
        }
        _ => t,
    }
}

impl FoldState {
    /// Takes a record in, and says whether it was refused.
    pub fn slice_in(&mut self, item: Item, value: &[u8], own: i64, closing: i64) -> (Vec<Event>, bool) {
        let window = self.fold.window.expect("slices have one");
        let (key, time) = (item.rec.key.clone().unwrap_or_default(), item.rec.time);
        self.strayed |= own != NEVER && i128::from(time) < i128::from(own) - i128::from(window.grace_ms);
        let [first, last] = reach(window, time);
        for (now, reason) in [(own, "late"), (closing, "late-after-idle")] {
            if !is_open(window, last.0, now) {
                // It may have found something closed all the same.
                let mut events = self.settle(window, first, closing);
                events.push(Event::Dropped(reason, item));
                return (events, false);
            }
        }
        let at = slice(window, time);
        let before = self.slices.of.get(&key).cloned().unwrap_or_default();
        let held = before.get(&at).and_then(|s| s.state.clone());
        if let Some(why) = self.refuses(value, held.is_some()) {
            let mut events = self.settle(window, first, closing);
            events.push(Event::Refused(why, item));
            return (events, true);
        }
        let mut events = self.settle(window, first, closing);
        let state = match (self.adder, &held) {
            (None, _) => Some(Vec::new()),
            (Some(_), None) if matches!(self.fold.fold, Fold::Reduce { .. }) => Some(value.to_vec()),
            (Some(running), held) => running.add(held.as_deref(), value, own),
        };
        let old = before.get(&at);
        let newest = old.map_or(time, |old| old.time.max(time));
        let time = if state.is_some() { newest } else { at };
        let count = 1 + old.map_or(0, |old| old.count);
        self.slices.of.entry(key.clone()).or_default().insert(at, Slice { state, count, time });
        if self.fold.emit == Emit::OnUpdate {
            let earlier = windows(window, before.keys());
            let now = windows(window, self.slices.of[&key].keys());
            let changed = now.into_iter().filter(|w| holds(window, *w, at) || !earlier.contains(w));
            for name in changed.filter(|w| is_open(window, w.0, closing)) {
                let id = (name, (NEVER, NEVER), key.clone());
                if self.fold.emit_every_update {
                    events.extend(self.window_result(window, &id));
                } else {
                    self.slices.changed.insert(id);
                }
            }
        }
        (events, false)
    }

    /// Results of what is closed by now, if a record could be in the first of its windows and that has closed since.
    fn settle(&mut self, window: Window, first: (i128, i64), closing: i64) -> Vec<Event> {
        let moved = self.slices.done.is_none_or(|done| closing > done);
        if is_open(window, first.0, closing) || !moved {
            return Vec::new();
        }
        self.close_sliced(window, closing)
    }

    /// Results of all windows that have closed by now.
    pub fn close_sliced(&mut self, window: Window, closing: i64) -> Vec<Event> {
        let due: Vec<GroupKey> = if self.fold.emit == Emit::OnClose {
            let done = self.slices.done.unwrap_or(NEVER);
            let all = self.slices.of.iter().flat_map(|(key, of)| {
                windows(window, of.keys()).into_iter().map(|name| (name, (NEVER, NEVER), key.clone()))
            });
            let closed = |id: &GroupKey| is_open(window, id.0.0, done) && !is_open(window, id.0.0, closing);
            all.filter(closed).collect::<BTreeSet<_>>().into_iter().collect()
        } else {
            self.slices.changed.iter().filter(|id| !is_open(window, id.0.0, closing)).cloned().collect()
        };
        self.slices.changed.retain(|id| !due.contains(id));
        self.slices.done = Some(self.slices.done.map_or(closing, |done| done.max(closing)));
        due.iter().filter_map(|id| self.window_result(window, id)).collect()
    }

    /// The end of an interval: what has changed and did not come out yet.
    pub fn end_interval_sliced(&mut self, window: Window, closing: i64) -> Vec<Event> {
        let changed = std::mem::take(&mut self.slices.changed);
        let events = changed.iter().filter_map(|id| self.window_result(window, id)).collect();
        self.slices.done = Some(self.slices.done.map_or(closing, |done| done.max(closing)));
        events
    }

    /// Forgets slices that no window needs any more.
    pub fn forget_slices(&mut self, window: Window, closing: i64) {
        for of in self.slices.of.values_mut() {
            of.retain(|t, _| match window.form {
                // Behind it one begins that closes later than all that hold it.
                WindowForm::Sliding { .. } => is_open(window, reach(window, *t)[1].0 + 1, closing),
                _ => is_open(window, reach(window, *t)[1].0, closing),
            });
        }
        self.slices.of.retain(|_, of| !of.is_empty());
    }

    fn window_result(&mut self, window: Window, id: &GroupKey) -> Option<Event> {
        let of = &self.slices.of[&id.2];
        let inside: Vec<(&i64, &Slice)> = of.iter().filter(|(t, _)| holds(window, id.0, **t)).collect();
        let count = inside.iter().map(|(_, s)| s.count).sum();
        let time = inside.last().map_or(0, |(_, s)| s.time);
        let states: Vec<(i64, Vec<u8>)> = inside.iter().filter_map(|(t, s)| Some((**t, s.state.clone()?))).collect();
        let all: Vec<i64> = inside.iter().map(|(t, _)| **t).collect();
        let state = self.merged(&states, &all);
        let there = state.is_some();
        self.groups.insert(id.clone(), Group { state, count, time, ..Group::default() });
        let event = match there {
            true => self.result(id),
            false => (self.fold.emit == Emit::OnUpdate).then(|| Event::Result(self.item(id, None))),
        };
        self.groups.remove(id);
        event
    }

    /// States merged in the order that is promised: cut in two at the highest bit in which the first and the last slice differ.
    fn merged(&self, states: &[(i64, Vec<u8>)], all: &[i64]) -> Option<Vec<u8>> {
        let (first, last) = (*all.first()?, *all.last()?);
        if first == last {
            return states.iter().find(|s| s.0 == first).map(|s| s.1.clone());
        }
        let mut bit = 1i64 << 62;
        while first & bit == last & bit {
            bit >>= 1;
        }
        let (zeros, ones): (Vec<i64>, Vec<i64>) = all.iter().partition(|t| **t & bit == 0);
        match (self.merged(states, &zeros), self.merged(states, &ones), self.function) {
            (Some(left), Some(right), Some(running)) => Some(running.merge(&left, &right)),
            (left, right, _) => left.or(right),
        }
    }
}
