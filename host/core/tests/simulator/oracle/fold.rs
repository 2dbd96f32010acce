//! The oracle's aggregates: groups, windows, whose time, what is late, what comes out.

use std::collections::BTreeMap;

use millstream_core::topology::spec::*;

use super::super::roles::{Mark, Running, mark};
use super::slice::Slices;
use super::{Item, NEVER, Row};

/// End of the window, which may lie behind the end of time, and start; window of the incoming key; key. Without a window
/// both are [`NEVER`].
pub type GroupKey = ((i128, i64), (i64, i64), Vec<u8>);

/// Without a window.
const NONE: (i128, i64) = (NEVER as i128, NEVER);

#[derive(Clone, Debug, Default)]
pub struct Group {
    pub state: Option<Vec<u8>>,
    pub count: u64,
    pub time: i64,
    /// There at the end of the last interval.
    pub was: bool,
    pub changed: bool,
    /// A session that is no more, since another has taken it in.
    pub gone: bool,
}

/// Upstream tasks of one aggregate.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// By topic and upstream task: stream time and whether it is idle.
    slots: BTreeMap<(String, u32), (i64, bool)>,
    /// The task's own inputs, where it has any.
    plain: Option<i64>,
    closing: Option<i64>,
}

impl Clock {
    pub fn new(topics: &[(String, u32)], plain: bool) -> Self {
        let slots = topics.iter().flat_map(|(t, n)| (0..*n).map(|u| ((t.clone(), u), (NEVER, false))));
        Self { slots: slots.collect(), plain: plain.then_some(NEVER), closing: None }
    }

    pub fn hear(&mut self, topic: &str, upstream: u32, time: Option<i64>, idle: bool) {
        if let Some(slot) = self.slots.get_mut(&(topic.to_string(), upstream)) {
            *slot = (slot.0.max(time.unwrap_or(NEVER)), idle);
            self.settle();
        }
    }

    fn settle(&mut self) {
        let awake = self.slots.values().filter(|s| !s.1).map(|s| s.0).chain(self.plain).min();
        let now = awake.or(self.slots.values().map(|s| s.0).max()).unwrap_or(NEVER);
        self.closing = Some(self.closing.map_or(now, |c| c.max(now)));
    }

    pub fn closing(&self) -> i64 {
        self.closing.unwrap_or(NEVER)
    }

    /// The stream time of a record's own task once it is in.
    pub fn own(&mut self, time: i64, row: Option<&Row>) -> i64 {
        match row.and_then(|r| r.upstream.map(|u| (r.topic.clone(), u.0))) {
            Some(slot) => self.slots.get(&slot).map_or(NEVER, |s| s.0),
            None => {
                let plain = self.plain.unwrap_or(NEVER).max(time);
                self.plain = Some(plain);
                self.settle();
                plain
            }
        }
    }
}

/// Why records leave, results, refusals of one step, in order.
#[derive(Debug)]
pub enum Event {
    Dropped(&'static str, Item),
    Refused(&'static str, Item),
    /// `finish` fails on this state.
    Broken(Item),
    Result(Item),
}

#[derive(Clone, Debug)]
pub struct FoldState {
    pub fold: Aggregate,
    pub by_window: bool,
    /// What finishes and merges.
    pub function: Option<Running>,
    /// What adds the record at hand.
    pub adder: Option<Running>,
    pub groups: BTreeMap<GroupKey, Group>,
    pub slices: Slices,
    observed: i64,
    pub clock: Option<Clock>,
    /// A session or a slice got a record beyond its grace.
    pub strayed: bool,
    /// Changes of a table come in, and so does the result.
    pub of_table: bool,
}

/// Whether a window with this end is open.
pub fn is_open(window: Window, end: i128, time: i64) -> bool {
    let now = i128::from(time) - i128::from(window.grace_ms);
    match window.form {
        _ if time == NEVER => true,
        WindowForm::Session { gap_ms } => end + i128::from(gap_ms) >= now,
        WindowForm::Sliding { .. } => end >= now,
        _ => end > now,
    }
}

/// End and start of the windows that hold a time, which are no sessions.
fn windows(window: Window, time: i64) -> Vec<(i128, i64)> {
    match window.form {
        WindowForm::Hopping { size_ms, advance_ms } => {
            let first = (time - (size_ms - 1).min(time)) / advance_ms;
            let starts = (first..=time / advance_ms).map(|k| k * advance_ms).filter(|s| time - s < size_ms);
            starts.map(|s| (i128::from(s) + i128::from(size_ms), s)).collect()
        }
        WindowForm::Cumulating { size_ms, step_ms } => {
            let start = time / size_ms * size_ms;
            let ends = (1..=size_ms / step_ms).map(|k| i128::from(start) + i128::from(k * step_ms));
            // Of those that would end behind the end of time there is one.
            let there = |end: &i128| i128::from(time) < *end && *end - i128::from(step_ms) <= i128::from(i64::MAX);
            ends.filter(there).map(|end| (end, start)).collect()
        }
        WindowForm::Calendar(calendar) => {
            let (starts, then_ms) = calendar.boundaries();
            let (mut start, mut next) = (0, starts.iter().copied().skip(1));
            loop {
                let end = match next.next() {
                    Some(end) => i128::from(end),
                    // Behind the last boundary.
                    None => {
                        start += (time - start) / then_ms * then_ms;
                        i128::from(start) + i128::from(then_ms)
                    }
                };
                if i128::from(time) < end {
                    return vec![(end, start)];
                }
                start = end as i64;
            }
        }
        WindowForm::Session { .. } | WindowForm::Sliding { .. } | WindowForm::Panes { .. } => Vec::new(),
    }
}

impl FoldState {
    pub fn new(fold: Aggregate, by_window: bool, clock: Option<Clock>) -> Self {
        Self {
            fold,
            by_window,
            function: None,
            adder: None,
            groups: BTreeMap::new(),
            slices: Slices::default(),
            observed: NEVER,
            clock,
            strayed: false,
            of_table: false,
        }
    }

    /// Whether a window is open.
    pub fn holds(&self) -> bool {
        self.fold.window.is_some() && !(self.groups.is_empty() && self.slices.is_empty())
    }

    /// Takes a record in.
    pub fn take(&mut self, item: Item, row: Option<&Row>) -> Vec<Event> {
        let (Some(key), Some(value)) = (item.rec.key.clone(), item.rec.value.clone()) else {
            return vec![Event::Dropped(if item.rec.key.is_none() { "null-key" } else { "null-value" }, item)];
        };
        let before = (self.observed, self.clock.clone());
        let (own, closing) = self.time(&item, row);
        if let Some(Window { form: WindowForm::Session { gap_ms }, .. }) = self.fold.window {
            let (events, refused) = self.join(gap_ms, item, &value, own, closing);
            if refused {
                (self.observed, self.clock) = before;
            }
            return events;
        }
        if self.sliced().is_some() {
            let (events, refused) = self.slice_in(item, &value, own, closing);
            if refused {
                (self.observed, self.clock) = before;
            }
            return events;
        }
        let windows: Vec<(i128, i64)> = match self.fold.window {
            None => vec![NONE],
            Some(w) => windows(w, item.rec.time).into_iter().filter(|x| is_open(w, x.0, own)).collect(),
        };
        let open: Vec<(i128, i64)> = match self.fold.window {
            None => windows.clone(),
            Some(w) => windows.iter().copied().filter(|x| is_open(w, x.0, closing)).collect(),
        };
        if open.is_empty() {
            return vec![Event::Dropped(if windows.is_empty() { "late" } else { "late-after-idle" }, item)];
        }
        let inner = if self.by_window { item.window.unwrap_or((NEVER, NEVER)) } else { (NEVER, NEVER) };
        let ids: Vec<GroupKey> = open.iter().map(|s| (*s, inner, key.clone())).collect();
        let (counted, refusal) = self.counted(&ids, &value);
        let mut events: Vec<Event> = refusal.map(|why| Event::Refused(why, item.clone())).into_iter().collect();
        if counted.is_empty() {
            // Refused altogether: it has not moved time.
            (self.observed, self.clock) = before;
            return events;
        }
        for id in &counted {
            let was = self.groups.get(id).is_some_and(|g| g.state.is_some());
            self.add(id, &value, item.rec.time, own);
            if let Fold::Scan { .. } = self.fold.fold {
                events.extend(self.scanned(id));
            } else if self.fold.emit == Emit::OnUpdate && self.fold.emit_every_update {
                events.extend(self.update(id, was));
            }
        }
        events
    }

    /// The window, if it is put together from slices.
    fn sliced(&self) -> Option<Window> {
        self.fold.window.filter(|w| matches!(w.form, WindowForm::Sliding { .. } | WindowForm::Panes { .. }))
    }

    /// Takes a change of a table in: what the row was goes, then what it is comes.
    pub fn change(&mut self, item: Item) -> Vec<Event> {
        self.observed = self.observed.max(item.rec.time);
        let inner = if self.by_window { item.window.unwrap_or((NEVER, NEVER)) } else { (NEVER, NEVER) };
        let id: GroupKey = (NONE, inner, item.rec.key.clone().expect("rows have keys"));
        let state = |fold: &Self| fold.groups.get(&id).and_then(|g| g.state.clone());
        let (was, mut touched, mut events) = (state(self).is_some(), false, Vec::new());
        if let (Some((value, time)), true) = (&item.old, was) {
            let old = super::Rec { value: Some(value.clone()), time: *time, headers: Vec::new(), ..item.rec.clone() };
            let refusal = self.function.and_then(|running| match mark(running.function, Some(value)) {
                Some(Mark::Trap | Mark::Bad) => Some("poisoned"),
                Some(Mark::Reject) => Some("rejected"),
                _ => None,
            });
            match refusal {
                Some(why) => events.push(Event::Refused(why, Item { rec: old, ..item.clone() })),
                None => {
                    let (running, own) = (self.function, self.observed);
                    let group = self.groups.get_mut(&id).expect("it is there");
                    match (running, &group.state) {
                        (Some(running), Some(state)) => group.state = running.take_out(state, value, own),
                        _ => group.count -= 1,
                    }
                    (group.time, group.changed, touched) = (group.time.max(item.rec.time), true, true);
                }
            }
        }
        if let Some(value) = item.rec.value.clone() {
            let (counted, refusal) = self.counted(std::slice::from_ref(&id), &value);
            events.extend(refusal.map(|why| Event::Refused(why, item.clone())));
            if !counted.is_empty() {
                let before = state(self).is_some();
                // Emptied by this change, the group is as old as it was.
                let time = if touched { item.rec.time.max(self.groups[&id].time) } else { item.rec.time };
                self.add(&id, &value, time, self.observed);
                touched |= before || state(self).is_some();
            }
        }
        if touched && self.fold.emit_every_update {
            events.extend(self.update(&id, was));
        }
        events
    }

    /// Own time and closing time once a record is in.
    fn time(&mut self, item: &Item, row: Option<&Row>) -> (i64, i64) {
        let Some(clock) = &mut self.clock else {
            self.observed = self.observed.max(item.rec.time);
            return (self.observed, self.observed);
        };
        let own = clock.own(item.rec.time, row);
        (own, clock.closing())
    }

    /// In which groups a record counts, and why it is refused in others.
    fn counted(&self, ids: &[GroupKey], value: &[u8]) -> (Vec<GroupKey>, Option<&'static str>) {
        let Some(running) = self.adder else { return (ids.to_vec(), None) };
        let reduce = matches!(self.fold.fold, Fold::Reduce { .. });
        // The first value of a reduce becomes the state without the function's having a say.
        let asked = |id: &&GroupKey| !reduce || self.groups.get(*id).is_some_and(|g| g.state.is_some());
        let asked_any = ids.iter().any(|id| asked(&id));
        match mark(running.function, Some(value)) {
            Some(Mark::Trap | Mark::Bad) if asked_any => (Vec::new(), Some("poisoned")),
            Some(Mark::Reject) if asked_any => {
                (ids.iter().filter(|id| !asked(id)).cloned().collect(), Some("rejected"))
            }
            _ => (ids.to_vec(), None),
        }
    }

    fn add(&mut self, id: &GroupKey, value: &[u8], time: i64, own: i64) {
        let reduce = matches!(self.fold.fold, Fold::Reduce { .. });
        let group = self.groups.entry(id.clone()).or_default();
        group.time = if group.state.is_some() { group.time.max(time) } else { time };
        group.changed = true;
        match (self.adder, &group.state) {
            (None, _) => {
                group.count += 1;
                group.state = Some(Vec::new());
            }
            (Some(_), None) if reduce => group.state = Some(value.to_vec()),
            (Some(running), state) => group.state = running.add(state.as_deref(), value, own),
        }
    }

    /// What a scan sends after a record: where the function says nothing, or the group is gone, nothing.
    fn scanned(&self, id: &GroupKey) -> Option<Event> {
        let (state, running) = (self.groups[id].state.as_ref()?, self.function?);
        let value = running.finish(state, self.start(id))?;
        Some(Event::Result(self.item(id, Some(value))))
    }

    /// The start that a function is told.
    fn start(&self, id: &GroupKey) -> Option<i64> {
        let start = if self.by_window { id.1.0 } else { id.0.1 };
        Some(start).filter(|s| self.by_window || *s != NEVER)
    }

    /// What comes out of a group that has changed. `was`: it was there before.
    fn update(&self, id: &GroupKey, was: bool) -> Option<Event> {
        match &self.groups[id].state {
            Some(_) => self.result(id),
            None => was.then(|| Event::Result(self.item(id, None))),
        }
    }

    pub fn result(&self, id: &GroupKey) -> Option<Event> {
        let group = &self.groups[id];
        let state = group.state.as_ref()?;
        let value = match (&self.fold.fold, self.function) {
            (Fold::Count(CountFormat::Text), _) => group.count.to_string().into_bytes(),
            (Fold::Count(CountFormat::Long), _) => group.count.to_be_bytes().to_vec(),
            (Fold::Aggregate { .. } | Fold::Cogroup { .. }, Some(running)) => {
                if running.breaks(state) {
                    return Some(Event::Broken(self.item(id, Some(state.clone()))));
                }
                match running.finish(state, self.start(id)) {
                    Some(value) => value,
                    None => return self.of_table.then(|| Event::Result(self.item(id, None))),
                }
            }
            _ => state.clone(),
        };
        Some(Event::Result(self.item(id, Some(value))))
    }

    pub fn item(&self, id: &GroupKey, value: Option<Vec<u8>>) -> Item {
        let window = match self.fold.window {
            Some(_) => Some((id.0.1, i64::try_from(id.0.0).unwrap_or(i64::MAX))),
            None => Some(id.1).filter(|w| w.0 != NEVER),
        };
        let rec = super::Rec { key: Some(id.2.clone()), value, time: self.groups[id].time, headers: Vec::new() };
        Item { rec, window, derived: true, old: None, behind: false }
    }

    /// Closing time now.
    pub fn closing(&self) -> i64 {
        self.clock.as_ref().map_or(self.observed, Clock::closing)
    }

    /// What closes by now; windows that only drop are forgotten at the end of an interval.
    pub fn close(&mut self) -> Vec<Event> {
        let (Some(window), Emit::OnClose) = (self.fold.window, self.fold.emit) else { return Vec::new() };
        let closing = self.closing();
        if let Some(window) = self.sliced() {
            let events = self.close_sliced(window, closing);
            self.forget_slices(window, closing);
            return events;
        }
        let closed: Vec<GroupKey> =
            self.groups.keys().filter(|id| !is_open(window, id.0.0, closing)).cloned().collect();
        let events = closed.iter().filter_map(|id| self.result(id)).collect();
        closed.iter().for_each(|id| drop(self.groups.remove(id)));
        events
    }

    /// The end of an interval: the last result of each group that has changed.
    pub fn end_interval(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        if let (Some(window), Emit::OnUpdate) = (self.sliced(), self.fold.emit) {
            events = self.end_interval_sliced(window, self.closing());
            self.forget_slices(window, self.closing());
            return events;
        }
        if self.fold.emit == Emit::OnUpdate && !self.fold.emit_every_update {
            let changed = self.groups.iter().filter(|(_, g)| g.changed);
            events.extend(changed.filter_map(|(id, g)| self.update(id, g.was)));
        }
        self.groups.retain(|_, g| !g.gone);
        for group in self.groups.values_mut() {
            (group.was, group.changed) = (group.state.is_some(), false);
        }
        let closing = self.closing();
        if let (Some(window), Emit::OnUpdate) = (self.fold.window, self.fold.emit) {
            self.groups.retain(|id, _| is_open(window, id.0.0, closing));
        }
        // A group that is gone is as if it had never been; a session is there without a state too.
        let session = self.fold.window.is_some_and(|w| matches!(w.form, WindowForm::Session { .. }));
        self.groups.retain(|_, g| session || g.state.is_some());
        events
    }
}
