//! Sessions: records of a key that are no further apart than a gap. A record that touches several brings them together; which
//! of them are closed by then, and which records are late, is decided record by record, as with other windows.
//!
//! A session that is closed is never brought together with another: its result is out.

pub(crate) mod fold;
pub(crate) mod merge;
pub(crate) mod plan;

use alloc::string::ToString;
use alloc::vec::Vec;

use super::Cx;
use super::aggregate::{Gone, Grouped, Step, ground, leave};
use super::clock::{Passed, Walk, droppable};
use super::finish::{self, Leaving, Results};
use super::migrate::{self, Of};
use crate::error::Verdict;
use crate::flow::{Flow, NO_ROW};
use crate::record::Timestamp;
use crate::slicing::Meeting;
use crate::state::keyspace::StorageError;
use crate::state::layers::Ended;
use crate::state::sessions::{Fresh, Session, Sessions};
use crate::state::store::hash;
use crate::state::value::State;
use crate::topology::spec::Fold;
use crate::window::Gap;

use plan::{Cut, touched, why_gone};

/// What is kept of keys so that records are folded once: sessions, or the slices of windows.
pub(crate) trait Kept: Grouped {
    /// What belongs together.
    type Rule: Meeting;

    /// What is kept; a slice is a session without length.
    fn sessions(&self) -> &Sessions;

    /// The same.
    fn sessions_mut(&mut self) -> &mut Sessions;

    /// Keeps what records have come to; where results come out after every record, those.
    fn absorb(
        cx: &mut Cx<'_, '_>,
        step: &mut Step<'_, Self>,
        rule: Self::Rule,
        place: Place<'_>,
        fresh: Fresh,
        results: &mut Results,
    ) -> Result<(), Verdict>;

    /// Is done with what has closed, before a record comes in that could be in it.
    fn settle(
        cx: &mut Cx<'_, '_>,
        step: &mut Step<'_, Self>,
        rule: Self::Rule,
        cut: &Cut,
        results: &mut Results,
    ) -> Result<(), Verdict>;
}

/// Where something is kept.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The row of the record that it comes from.
    pub row: u32,
    /// Number of the key in the store.
    pub key: u32,
    /// Bounds of what it takes the place of.
    pub absorbed: &'a [(Timestamp, Timestamp)],
}

impl Kept for Sessions {
    type Rule = Gap;

    fn sessions(&self) -> &Sessions {
        self
    }

    fn sessions_mut(&mut self) -> &mut Sessions {
        self
    }

    fn absorb(
        cx: &mut Cx<'_, '_>,
        step: &mut Step<'_, Self>,
        _: Gap,
        Place { row, key, absorbed }: Place<'_>,
        fresh: Fresh,
        results: &mut Results,
    ) -> Result<(), Verdict> {
        let (bounds, every, mut had) = ((fresh.start, fresh.end), step.every_update(), Vec::new());
        step.store.absorb(key, absorbed, fresh, every.then_some(&mut had));
        if every { updates(cx, step, row, key, &had, bounds, results) } else { Ok(()) }
    }

    fn settle(_: &mut Cx<'_, '_>, _: &mut Step<'_, Self>, _: Gap, _: &Cut, _: &mut Results) -> Result<(), Verdict> {
        // Sessions never cut.
        Ok(())
    }
}

impl Grouped for Sessions {
    fn take<W: Walk>(cx: &mut Cx<'_, '_>, step: &mut Step<'_, Self>, flow: &Flow, walk: W) -> Result<Flow, Verdict> {
        let gap = gap(step)?;
        let mut results = Results::default();
        let passed = take_in(cx, step, gap, flow, walk, &mut results)?;
        if step.on_close() {
            close(cx, step, gap, &passed, &mut results)?;
        }
        step.times.closed = step.times.closed.max(passed.closing);
        Ok(results.flow(cx.empty))
    }

    fn flush(cx: &mut Cx<'_, '_>, step: &mut Step<'_, Self>) -> Result<Flow, Verdict> {
        let mut results = Results::default();
        if step.on_close() {
            let ended = take_ended(cx, step, None)?;
            finals(cx, step, ended.iter().map(|ended| (NO_ROW, ended)), &mut results)?;
        }
        Ok(results.flow(cx.empty))
    }

    fn end_interval(cx: &mut Cx<'_, '_>, step: &mut Step<'_, Self>) -> Result<Flow, Verdict> {
        let (mut results, gap) = (Results::default(), gap(step)?);
        if step.on_close() {
            return Ok(cx.empty.clone());
        }
        if !step.aggregate.spec.emit_every_update {
            let changed = step.store.changed();
            let leaving: Vec<Leaving<'_>> = changed
                .iter()
                .map(|c| {
                    let state = c.place.and_then(|place| step.store.of(c.key)[place].state.get());
                    let (key, window) = (step.store.key(c.key), Some((c.start, c.end)));
                    Leaving { row: NO_ROW, key, window, state, timestamp: c.end, was: c.was }
                })
                .collect();
            finish::updates(cx, step.node, step.aggregate, &leaving, &mut results)?;
        }
        let until = gap.closed_ends(step.times.closed);
        step.store.take_ended(ground(cx, step.aggregate.store), Some(until))?;
        Ok(results.flow(cx.empty))
    }
}

/// Folds a batch in; gives where time has come to.
pub(crate) fn take_in<W: Walk, S: Kept>(
    cx: &mut Cx<'_, '_>,
    step: &mut Step<'_, S>,
    rule: S::Rule,
    flow: &Flow,
    walk: W,
    results: &mut Results,
) -> Result<Passed, Verdict> {
    let (gone, mut passed) = match step.aggregate.spec.fold {
        Fold::Count(_) => count(cx, step, rule, flow, walk, results)?,
        _ => fold::run(cx, step, rule, flow, walk, results)?,
    };
    for (i, reason) in gone {
        leave(cx, step, flow, i, reason)?;
    }
    step.times.pass(flow, &mut passed);
    Ok(passed)
}

fn gap<S>(step: &Step<'_, S>) -> Result<Gap, Verdict> {
    let planned = || Verdict::Corrupted("sessions without a gap were planned".to_string());
    step.aggregate.spec.window.and_then(Gap::of).ok_or_else(planned)
}

/// The built-in count: it refuses nothing, so nothing has to be planned. Counts of sessions that meet are added up.
pub(crate) fn count<W: Walk, S: Kept>(
    cx: &mut Cx<'_, '_>,
    step: &mut Step<'_, S>,
    rule: S::Rule,
    flow: &Flow,
    mut walk: W,
    results: &mut Results,
) -> Result<(Gone, Passed), Verdict> {
    let mut gone = Gone::new();
    for i in 0..flow.len() {
        if let Some(reason) = droppable(flow, i) {
            gone.push((i, reason));
            continue;
        }
        let (own, closing) = walk.enter(i);
        let (time, key) = (flow.batch.timestamps[i], flow.batch.keys.get(i).unwrap_or_default());
        if rule.cuts(time, step.times.closed, closing) {
            let cut = Cut { closing, steps: walk.steps().to_vec(), row: flow.row(i) };
            S::settle(cx, step, rule, &cut, results)?;
            step.times.closed = step.times.closed.max(closing);
        }
        let (t, at) =
            (rule.place(time), step.store.sessions_mut().find(ground(cx, step.aggregate.store), hash(key), key)?);
        let bounds = |s: &Session| (s.start, s.end);
        let sessions = step.store.sessions().of(at);
        let touched = touched(sessions, bounds, rule, rule.closed_ends(rule.judging(own, closing)), t);
        if let (true, Some(reason)) = (touched.is_empty(), why_gone(rule, t, own, closing)) {
            gone.push((i, reason));
            continue;
        }
        let sessions = &sessions[touched];
        let (mut number, mut start, mut end, mut newest) = (1, t, t, time);
        for session in sessions {
            number += counted(&session.state)?;
            (start, end) = (start.min(session.start), end.max(session.end));
            newest = newest.max(session.timestamp);
        }
        let (one, many);
        let absorbed = match sessions {
            [] => &[][..],
            [session] => {
                one = [bounds(session)];
                &one[..]
            }
            _ => {
                many = sessions.iter().map(bounds).collect::<Vec<_>>();
                &many[..]
            }
        };
        let state = State::new(&i64::to_be_bytes(number));
        let fresh = Fresh { start, end, timestamp: newest, layout: 0, state };
        S::absorb(cx, step, rule, Place { row: flow.row(i), key: at, absorbed }, fresh, results)?;
    }
    Ok((gone, walk.finish()))
}

fn counted(state: &State) -> Result<i64, StorageError> {
    state.get().map_or(Ok(0), count_of)
}

/// The count that a state is.
pub(crate) fn count_of(state: &[u8]) -> Result<i64, StorageError> {
    let why = "a stored count has not 8 bytes; was the step an aggregate before?";
    state.try_into().map(i64::from_be_bytes).map_err(|_| StorageError::Corrupted(why.to_string()))
}

/// Results after one record: sessions that are no more, then the one that it is in. `had`: the sessions in it that had a state.
fn updates(
    cx: &mut Cx<'_, '_>,
    step: &Step<'_, Sessions>,
    row: u32,
    key: u32,
    had: &[(Timestamp, Timestamp)],
    bounds: (Timestamp, Timestamp),
    results: &mut Results,
) -> Result<(), Verdict> {
    let now = step.store.of(key).iter().find(|s| (s.start, s.end) == bounds).and_then(|s| s.state.get());
    let key = step.store.key(key);
    let leaving = |window: (Timestamp, Timestamp), state| Leaving {
        row,
        key,
        window: Some(window),
        state,
        timestamp: window.1,
        was: had.contains(&window),
    };
    let gone = had.iter().filter(|window| **window != bounds).map(|window| leaving(*window, None));
    let all: Vec<Leaving<'_>> = gone.chain([leaving(bounds, now)]).collect();
    finish::updates(cx, step.node, step.aggregate, &all, results)
}

/// Closes sessions, in order of their end, at the row that moved closing time past it.
fn close(
    cx: &mut Cx<'_, '_>,
    step: &mut Step<'_, Sessions>,
    gap: Gap,
    passed: &Passed,
    results: &mut Results,
) -> Result<(), Verdict> {
    let until = gap.closed_ends(passed.closing);
    let ended = take_ended(cx, step, Some(until))?;
    let mut steps = passed.steps.iter().peekable();
    let with_row = ended.iter().map(|ended| {
        while steps.peek().is_some_and(|(_, time)| gap.closed_ends(*time) <= ended.1.end) {
            steps.next();
        }
        (steps.peek().map_or(NO_ROW, |(row, _)| *row), ended)
    });
    finals(cx, step, with_row, results)
}

/// Takes out the sessions that end before `until`, with their states as the version in force reads them.
fn take_ended(
    cx: &mut Cx<'_, '_>,
    step: &mut Step<'_, Sessions>,
    until: Option<Timestamp>,
) -> Result<Vec<(u32, Session)>, Verdict> {
    let mut ended = step.store.take_ended(ground(cx, step.aggregate.store), until)?;
    if let Some(of) = Of::aggregate(step.node, step.aggregate) {
        let ids: Vec<usize> = (0..ended.len()).collect();
        migrate::bring(cx, &of, &mut Ended { store: step.store, ended: &mut ended }, &ids)?;
    }
    Ok(ended)
}

fn finals<'e>(
    cx: &mut Cx<'_, '_>,
    step: &Step<'_, Sessions>,
    ended: impl Iterator<Item = (u32, &'e (u32, Session))>,
    results: &mut Results,
) -> Result<(), Verdict> {
    let leaving = ended.map(|(row, (key, session))| {
        let (key, window) = (step.store.key(*key), Some((session.start, session.end)));
        Leaving { row, key, window, state: session.state.get(), timestamp: session.end, was: false }
    });
    let groups: Vec<Leaving<'_>> = leaving.filter(|group| group.state.is_some()).collect();
    finish::finals(cx, step.node, step.aggregate, &groups, results)
}
