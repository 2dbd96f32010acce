//! Windows that are put together from slices (see [`crate::slicing`]): records are folded into the slices of their keys, as
//! sessions are folded, and a window is merged of its slices when its result comes out.
//!
//! A slice may be in windows that are open and in some that are closed, so a batch ends before a record that could be in a window
//! which has closed since it began: that window's result goes out first.

pub(crate) mod merge;

use alloc::string::ToString;
use alloc::vec::Vec;

use super::Cx;
use super::aggregate::{Grouped, Step, ground};
use super::clock::Walk;
use super::finish::{self, Leaving, Results};
use super::session::plan::Cut;
use super::session::{Kept, Place, take_in};
use crate::error::Verdict;
use crate::flow::{Flow, NO_ROW};
use crate::record::Timestamp;
use crate::slicing::Slicing;
use crate::state::sessions::{Fresh, Sessions};
use crate::state::slices::{Slices, Window};

impl Grouped for Slices {
    fn take<W: Walk>(cx: &mut Cx<'_, '_>, step: &mut Step<'_, Self>, flow: &Flow, walk: W) -> Result<Flow, Verdict> {
        let (slicing, mut results) = (slicing(step)?, Results::default());
        let passed = take_in(cx, step, slicing, flow, walk, &mut results)?;
        if step.on_close() {
            let cut = Cut { closing: passed.closing, steps: passed.steps, row: NO_ROW };
            Self::settle(cx, step, slicing, &cut, &mut results)?;
            step.times.closed = step.times.closed.max(cut.closing);
            let needless = slicing.needed_from(step.times.closed);
            step.store.drop_before(ground(cx, step.aggregate.store), Some(needless))?;
        }
        Ok(results.flow(cx.empty))
    }

    fn flush(cx: &mut Cx<'_, '_>, step: &mut Step<'_, Self>) -> Result<Flow, Verdict> {
        let (slicing, mut results) = (slicing(step)?, Results::default());
        if step.on_close() {
            let ground = ground(cx, step.aggregate.store);
            let due = step.store.take_due(ground, None)?;
            put_out(cx, step, slicing, &due, |_| NO_ROW, &mut results)?;
            step.store.drop_before(ground, None)?;
        }
        Ok(results.flow(cx.empty))
    }

    fn end_interval(cx: &mut Cx<'_, '_>, step: &mut Step<'_, Self>) -> Result<Flow, Verdict> {
        let (slicing, mut results) = (slicing(step)?, Results::default());
        if !step.on_close() {
            let noted = step.store.take_noted(None);
            put_out(cx, step, slicing, &noted, |_| NO_ROW, &mut results)?;
            step.times.closed = step.times.closed.max(step.times.closing());
            step.store.done_below(slicing.closed_below(step.times.closed));
            let needless = slicing.needed_from(step.times.closed);
            step.store.drop_before(ground(cx, step.aggregate.store), Some(needless))?;
        }
        Ok(results.flow(cx.empty))
    }
}

impl Kept for Slices {
    type Rule = Slicing;

    fn sessions(&self) -> &Sessions {
        self.kept()
    }

    fn sessions_mut(&mut self) -> &mut Sessions {
        self.kept_mut()
    }

    fn absorb(
        cx: &mut Cx<'_, '_>,
        step: &mut Step<'_, Self>,
        slicing: Slicing,
        Place { row, key, absorbed }: Place<'_>,
        fresh: Fresh,
        results: &mut Results,
    ) -> Result<(), Verdict> {
        let (slice, was_there) = (fresh.start, !absorbed.is_empty());
        step.store.put(key, fresh, was_there);
        if step.on_close() {
            return Ok(());
        }
        let touched = step.store.touched(key, slice, !was_there);
        if step.every_update() {
            return put_out(cx, step, slicing, &touched, |_| row, results);
        }
        step.store.note(touched);
        Ok(())
    }

    fn settle(
        cx: &mut Cx<'_, '_>,
        step: &mut Step<'_, Self>,
        slicing: Slicing,
        cut: &Cut,
        results: &mut Results,
    ) -> Result<(), Verdict> {
        let until = slicing.closed_below(cut.closing);
        if !step.on_close() {
            step.store.done_below(until);
            let noted = step.store.take_noted(Some(until));
            return put_out(cx, step, slicing, &noted, |_| cut.row, results);
        }
        let windows = step.store.take_due(ground(cx, step.aggregate.store), Some(until))?;
        let mut steps = cut.steps.iter().peekable();
        let row = |mark: Timestamp| {
            while steps.peek().is_some_and(|(_, time)| slicing.closed_below(*time) <= mark) {
                steps.next();
            }
            steps.peek().map_or(NO_ROW, |(row, _)| *row)
        };
        put_out(cx, step, slicing, &windows, row, results)
    }
}

fn slicing<S>(step: &Step<'_, S>) -> Result<Slicing, Verdict> {
    let planned = || Verdict::Corrupted("slices of other windows were planned".to_string());
    step.aggregate.spec.window.and_then(Slicing::of).ok_or_else(planned)
}

/// Results of windows, in their order: those that a function has left without a state are told of with a tombstone when they
/// change, and not at all when they close. `row`: the row that set a mark's windows off, asked in order.
fn put_out(
    cx: &mut Cx<'_, '_>,
    step: &mut Step<'_, Slices>,
    slicing: Slicing,
    windows: &[Window],
    mut row: impl FnMut(Timestamp) -> u32,
    results: &mut Results,
) -> Result<(), Verdict> {
    for windows in windows.chunks(merge::WINDOWS_MAX) {
        let merged = merge::windows(cx, step, slicing, windows)?;
        let mut leaving = Vec::with_capacity(merged.len());
        for window in &merged {
            let (key, mark) = windows[window.at];
            let (row, bounds) = (row(mark), Some(slicing.bounds(mark)));
            let state = window.state.get();
            let (key, timestamp) = (step.store.kept().key(key), window.timestamp);
            leaving.push(Leaving { row, key, window: bounds, state, timestamp, was: true });
        }
        if step.on_close() {
            leaving.retain(|window| window.state.is_some());
            finish::finals(cx, step.node, step.aggregate, &leaving, results)?;
        } else {
            finish::updates(cx, step.node, step.aggregate, &leaving, results)?;
        }
    }
    Ok(())
}
