//! The oracle's sessions: a record takes in every session of its key that is not closed and not further away than the gap.

use millstream_core::topology::spec::*;

use super::super::roles::{Mark, mark};
use super::fold::{Event, FoldState, Group, GroupKey, is_open};
use super::{Item, NEVER};

impl FoldState {
    /// Takes a record in, and says whether it was refused.
    pub fn join(&mut self, gap: i64, item: Item, value: &[u8], own: i64, closing: i64) -> (Vec<Event>, bool) {
        let (key, time) = (item.rec.key.clone().unwrap_or_default(), item.rec.time);
        let window = self.fold.window.expect("sessions have one");
        self.strayed |= own != NEVER && i128::from(time) < i128::from(own) - i128::from(window.grace_ms);
        let near = |a: i128, b: i128| a - b <= i128::from(gap);
        let touches = |id: &GroupKey| {
            let (end, start) = id.0;
            id.2 == key && is_open(window, end, closing) && near(time.into(), end) && near(start.into(), time.into())
        };
        // Earlier sessions end earlier.
        let touched: Vec<GroupKey> =
            self.groups.iter().filter(|(id, g)| !g.gone && touches(id)).map(|(id, _)| id.clone()).collect();
        for (now, reason) in [(own, "late"), (closing, "late-after-idle")] {
            if touched.is_empty() && !is_open(window, time.into(), now) {
                return (vec![Event::Dropped(reason, item)], false);
            }
        }
        let end = touched.iter().map(|id| id.0.0).fold(i128::from(time), i128::max);
        let start = touched.iter().map(|id| id.0.1).fold(time, i64::min);
        let (mut count, mut state): (u64, Option<Vec<u8>>) = (0, None);
        for group in touched.iter().map(|id| &self.groups[id]) {
            count += group.count;
            state = match (state, &group.state, self.function) {
                (Some(left), Some(right), Some(running)) => Some(running.merge(&left, right)),
                (left, right, _) => left.or(right.clone()),
            };
        }
        if let Some(why) = self.refuses(value, state.is_some()) {
            return (vec![Event::Refused(why, item)], true);
        }
        let state = match (self.adder, state) {
            (None, _) => Some(Vec::new()),
            (Some(_), None) if matches!(self.fold.fold, Fold::Reduce { .. }) => Some(value.to_vec()),
            (Some(running), state) => running.add(state.as_deref(), value, own),
        };
        let id: GroupKey = ((end, start), (NEVER, NEVER), key);
        let mut events = Vec::new();
        let every = self.fold.emit == Emit::OnUpdate && self.fold.emit_every_update;
        let was_there = self.groups.get(&id).is_some_and(|g| !g.gone && g.state.is_some());
        for old in touched.iter().filter(|old| **old != id) {
            if every && self.groups[old].state.is_some() {
                events.push(Event::Result(self.item(old, None)));
            }
            let group = self.groups.get_mut(old).expect("it was found");
            (group.gone, group.changed, group.state) = (true, true, None);
        }
        let was = self.groups.get(&id).is_some_and(|g| g.was);
        let group = Group { state, count: count + 1, time: end as i64, was, changed: true, gone: false };
        self.groups.insert(id.clone(), group);
        if every {
            match self.groups[&id].state {
                Some(_) => events.extend(self.result(&id)),
                None if was_there => events.push(Event::Result(self.item(&id, None))),
                None => {}
            }
        }
        (events, false)
    }

    /// Why a record is refused; the first value of a reduce becomes the state without the function's having a say.
    pub fn refuses(&self, value: &[u8], has_state: bool) -> Option<&'static str> {
        let running = self.adder?;
        if matches!(self.fold.fold, Fold::Reduce { .. }) && !has_state {
            return None;
        }
        match mark(running.function, Some(value))? {
            Mark::Trap | Mark::Bad => Some("poisoned"),
            Mark::Reject => Some("rejected"),
            Mark::Slow | Mark::Remove => None,
        }
    }
}
