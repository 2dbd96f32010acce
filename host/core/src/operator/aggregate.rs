//! Grouping and folding: which groups a batch touches, what is late, which windows close, what comes out.
//!
//! A batch is folded in one call and gives what its records would give one by one: lateness is decided record by record
//! beforehand, so a window that closes inside the batch receives nothing behind the record that closed it, and its
//! result carries that record's row.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Cx;
use super::fold::{self, Group, Member};
use crate::emit::Reason;
use crate::error::Verdict;
use crate::flow::{Flow, NO_ROW, Windows};
use crate::record::{BatchBuilder, Timestamp};
use crate::state::key::{split_windowed_group, windowed_group};
use crate::state::store::{Ground, Store};
use crate::time::NEVER;
use crate::topology::graph::{AggregateNode, Node};
use crate::topology::spec::{Emit, Fold, Window};
use crate::window;

/// Times by which a batch is judged, by place in the flow.
pub(crate) struct Times {
    /// After each record, the stream time of its own task.
    pub own: Vec<Timestamp>,
    /// After each record, closing time.
    pub closing: Vec<Timestamp>,
    /// Closing time behind the batch, with markers that came last.
    pub last: Timestamp,
    /// Rows and closing times of the polled batch, where windows close by other records than those that came here.
    pub steps: Vec<(u32, Timestamp)>,
}

/// An aggregate's state in a task.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub store: Store,
    /// The largest timestamp seen here.
    pub observed: Timestamp,
    /// Closing time up to which windows were closed.
    pub closed: Timestamp,
}

impl Times {
    /// Times of an operator that goes by what it has seen. Records that are dropped do not move it, late ones do.
    fn observed(before: Timestamp, flow: &Flow, from: usize, to: usize) -> Self {
        let mut observed = before;
        let mut own = Vec::with_capacity(to - from);
        for i in from..to {
            if droppable(flow, i).is_none() {
                observed = observed.max(flow.batch.timestamps[i]);
            }
            own.push(observed);
        }
        let steps = flow.rows[from..to].iter().copied().zip(own.iter().copied()).collect();
        Times { closing: own.clone(), own, last: observed, steps }
    }
}

fn droppable(flow: &Flow, i: usize) -> Option<Reason> {
    if flow.batch.keys.is_null(i) {
        return Some(Reason::NullKey);
    }
    flow.batch.values.is_null(i).then_some(Reason::NullValue)
}

/// Takes a batch in; gives what comes out of it at once. `upstream`: times of the upstream tasks, for an operator that
/// goes by them.
pub(crate) fn process(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    aggregate: &AggregateNode,
    state: &mut State,
    flow: &Flow,
    upstream: Option<&Times>,
) -> Result<Flow, Verdict> {
    let mut results = Results::default();
    if let Some(times) = upstream {
        segment(cx, node, aggregate, state, flow, (0, flow.len()), times, &mut results, false)?;
        return Ok(results.flow());
    }
    let mut at = 0;
    while at < flow.len() {
        let to = flow.len();
        let times = Times::observed(state.observed, flow, at, to);
        let moved = segment(cx, node, aggregate, state, flow, (at, to), &times, &mut results, true)?;
        at = match moved {
            None => to,
            // A record that the function refuses does not move stream time: what stands before it is taken in as it is,
            // and what stands behind it is judged again, without it.
            Some(refused) => {
                if refused > at {
                    let times = Times::observed(state.observed, flow, at, refused);
                    segment(cx, node, aggregate, state, flow, (at, refused), &times, &mut results, false)?;
                }
                let times = Times::observed(state.observed, flow, refused, refused + 1);
                refuse_alone(cx, node, aggregate, state, flow, refused, &times)?;
                refused + 1
            }
        };
    }
    Ok(results.flow())
}

/// Folds records `range` of the flow and closes what they close. With `may_stop`, does nothing and gives the first record
/// that the function refuses altogether though it moved stream time.
#[allow(clippy::too_many_arguments)] // the loop above, cut out
fn segment(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    aggregate: &AggregateNode,
    state: &mut State,
    flow: &Flow,
    range: (usize, usize),
    times: &Times,
    results: &mut Results,
    may_stop: bool,
) -> Result<Option<usize>, Verdict> {
    let (members, gone) = members(aggregate, flow, range, times);
    if aggregate.spec.emit_every_update && aggregate.spec.emit == Emit::OnUpdate {
        for round in rounds(&members) {
            let staged = fold::stage(cx, node, aggregate, &mut state.store, flow, round)?;
            let row = flow.rows[round[0].record as usize];
            let touched = staged.apply(cx, node, aggregate, &mut state.store, flow)?;
            let touched = touched.into_iter().map(|group| (row, group)).collect();
            emit(cx, node, aggregate, &mut state.store, touched, results, true)?;
        }
    } else if let Fold::Count(_) = aggregate.spec.fold {
        fold::count_in_place(cx, aggregate, &mut state.store, flow, &members)?;
    } else {
        let staged = fold::stage(cx, node, aggregate, &mut state.store, flow, &members)?;
        if may_stop && aggregate.spec.window.is_some() {
            let moves = |i: usize| {
                let before = if i == range.0 { state.observed } else { times.own[i - range.0 - 1] };
                times.own[i - range.0] > before
            };
            if let Some(refused) = staged.first_refused(&members, &moves) {
                return Ok(Some(refused));
            }
        }
        staged.apply(cx, node, aggregate, &mut state.store, flow)?;
    }
    for (i, reason) in gone {
        leave(cx, node, aggregate, flow, i, reason);
    }
    state.observed = state.observed.max(times.last);
    if let (Some(window), Emit::OnClose) = (aggregate.spec.window, aggregate.spec.emit) {
        close(cx, node, aggregate, state, window, times, results)?;
    }
    state.closed = state.closed.max(times.last);
    Ok(None)
}

/// Does with a refused record what is to be done, and nothing else.
fn refuse_alone(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    aggregate: &AggregateNode,
    state: &mut State,
    flow: &Flow,
    i: usize,
    times: &Times,
) -> Result<(), Verdict> {
    let (members, _) = members(aggregate, flow, (i, i + 1), times);
    let staged = fold::stage(cx, node, aggregate, &mut state.store, flow, &members)?;
    staged.apply(cx, node, aggregate, &mut state.store, flow)?;
    Ok(())
}

/// Which groups each record belongs to, and which records leave here because they have no key, no value or are late.
fn members(
    aggregate: &AggregateNode,
    flow: &Flow,
    (from, to): (usize, usize),
    times: &Times,
) -> (Vec<Member>, Vec<(usize, Reason)>) {
    let (mut members, mut gone) = (Vec::with_capacity(to - from), Vec::new());
    for i in from..to {
        if let Some(reason) = droppable(flow, i) {
            gone.push((i, reason));
            continue;
        }
        let Some(window) = aggregate.spec.window else {
            members.push(Member { record: i as u32, start: None });
            continue;
        };
        let by_own = window::closed_until(window, times.own[i - from]);
        let by_closing = window::closed_until(window, times.closing[i - from]);
        let (before, mut open_by_own) = (members.len(), false);
        for start in window::starts(window, flow.batch.timestamps[i]) {
            let end = window::end(window, start);
            open_by_own |= end > by_own;
            if end > by_own && end > by_closing {
                members.push(Member { record: i as u32, start: Some(start) });
            }
        }
        if members.len() == before {
            gone.push((i, if open_by_own { Reason::LateAfterIdle } else { Reason::Late }));
        }
    }
    (members, gone)
}

/// Counts a record that leaves without a result; late ones may have a topic of their own.
fn leave(cx: &mut Cx<'_, '_>, node: &Node, aggregate: &AggregateNode, flow: &Flow, i: usize, reason: Reason) {
    cx.out.dropped(&node.name, reason);
    let (Some(topic), Reason::Late | Reason::LateAfterIdle) = (aggregate.late, reason) else { return };
    let batch = &flow.batch;
    let partition = crate::emit::sink_partition(batch.keys.get(i), cx.partition, cx.topology.topics[topic].partitions);
    let headers = batch.headers.iter().flat_map(|h| h.of(i));
    cx.out.push(topic, partition, batch.keys.get(i), batch.values.get(i), batch.timestamps[i], headers);
}

/// The members of one record after the other: results after every record must come in record order.
fn rounds(members: &[Member]) -> impl Iterator<Item = &[Member]> {
    members.chunk_by(|a, b| a.record == b.record)
}

/// Closes windows, in order of their end, at the row that moved closing time past it.
fn close(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    aggregate: &AggregateNode,
    state: &mut State,
    window: Window,
    times: &Times,
    results: &mut Results,
) -> Result<(), Verdict> {
    let until = window::closed_until(window, times.last);
    let mut step = 0;
    loop {
        let next = state.store.first_window();
        let Some(start) = next.filter(|s| window::end(window, *s) <= until) else { return Ok(()) };
        let end = window::end(window, start);
        while step < times.steps.len() && window::closed_until(window, times.steps[step].1) < end {
            step += 1;
        }
        let row = times.steps.get(step).map_or_else(|| times.steps.last().map_or(NO_ROW, |s| s.0), |s| s.0);
        close_one(cx, node, aggregate, state, start, row, results)?;
    }
}

fn close_one(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    aggregate: &AggregateNode,
    state: &mut State,
    start: Timestamp,
    row: u32,
    results: &mut Results,
) -> Result<(), Verdict> {
    let groups = state.store.groups_of(ground(cx, aggregate.store), start)?;
    let groups = groups
        .into_iter()
        .map(|(key, stored)| (row, Group { start: Some(start), key, stored: Some(stored) }))
        .collect();
    emit(cx, node, aggregate, &mut state.store, groups, results, false)?;
    state.store.drop_window(start);
    Ok(())
}

/// Closes every open window, as if time had reached its end: for `test --flush`.
pub(crate) fn flush(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    aggregate: &AggregateNode,
    state: &mut State,
) -> Result<Flow, Verdict> {
    let mut results = Results::default();
    if aggregate.spec.emit == Emit::OnClose {
        while let Some(start) = state.store.first_window() {
            close_one(cx, node, aggregate, state, start, NO_ROW, &mut results)?;
        }
    }
    Ok(results.flow())
}

/// At the end of an interval: the last result of each group that changed, then windows that have passed are dropped.
pub(crate) fn end_interval(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    aggregate: &AggregateNode,
    state: &mut State,
) -> Result<Flow, Verdict> {
    if aggregate.spec.emit == Emit::OnClose {
        return Ok(Flow::default());
    }
    let mut results = Results::default();
    if !aggregate.spec.emit_every_update {
        let mut groups: Vec<(u32, Group)> = state
            .store
            .changed()
            .map(|(start, key, stored)| {
                let start = aggregate.spec.window.map(|_| start);
                (NO_ROW, Group { start, key: key.to_vec(), stored: stored.cloned() })
            })
            .collect();
        groups.sort_by(|a, b| (a.1.start, &a.1.key).cmp(&(b.1.start, &b.1.key)));
        emit(cx, node, aggregate, &mut state.store, groups, &mut results, true)?;
    }
    if let Some(window) = aggregate.spec.window {
        let until = window::closed_until(window, state.closed);
        while let Some(start) = state.store.first_window().filter(|s| window::end(window, *s) <= until) {
            state.store.drop_window(start);
        }
    }
    Ok(results.flow())
}

pub(crate) fn ground<'a>(cx: &'a Cx<'_, '_>, store: usize) -> Ground<'a> {
    Ground { db: cx.ports.db, space: cx.ports.spaces[store], prefix: cx.ports.prefix }
}

/// Finishes groups and adds what leaves the pipeline.
fn emit(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    aggregate: &AggregateNode,
    store: &mut Store,
    groups: Vec<(u32, Group)>,
    results: &mut Results,
    tombstones: bool,
) -> Result<(), Verdict> {
    let finished = fold::finish(cx, node, aggregate, store, &groups)?;
    for ((row, group), value) in groups.iter().zip(finished) {
        let value = match value {
            fold::Finished::Value(value) => Some(value),
            fold::Finished::Nothing if tombstones => None,
            fold::Finished::Nothing | fold::Finished::Refused => continue,
        };
        let timestamp = group.stored.as_ref().map_or(state_time(group), |s| s.timestamp);
        results.push(*row, aggregate, group, value.as_deref(), timestamp);
    }
    Ok(())
}

/// The time of a result whose state is gone: its window's start, or the beginning of time.
fn state_time(group: &Group) -> Timestamp {
    group.start.unwrap_or(0)
}

/// Results as they come out.
#[derive(Default)]
struct Results {
    batch: BatchBuilder,
    rows: Vec<u32>,
    windows: Windows,
    any_window: bool,
}

impl Results {
    fn push(&mut self, row: u32, aggregate: &AggregateNode, group: &Group, value: Option<&[u8]>, time: Timestamp) {
        let (key, window) = match (aggregate.by_window, group.start) {
            (true, _) => match split_windowed_group(&group.key) {
                Some((key, start, end)) => (key, Some((start, end))),
                None => (group.key.as_slice(), None),
            },
            (false, Some(start)) => {
                let end = aggregate.spec.window.map_or(start, |w| window::end(w, start));
                (group.key.as_slice(), Some((start, end)))
            }
            (false, None) => (group.key.as_slice(), None),
        };
        self.batch.push(Some(key), value, time, []);
        self.rows.push(row);
        self.any_window |= window.is_some();
        let (start, end) = window.unwrap_or((NEVER, NEVER));
        self.windows.starts.push(start);
        self.windows.ends.push(end);
    }

    fn flow(self) -> Flow {
        let windows = self.any_window.then(|| Arc::new(self.windows));
        Flow { batch: self.batch.finish(), rows: Arc::new(self.rows), windows, derived: true }
    }
}

/// The group part of a record's key in the store.
#[inline]
pub(crate) fn group_key<'f>(aggregate: &AggregateNode, flow: &'f Flow, i: usize) -> Cow<'f, [u8]> {
    let key = flow.batch.keys.get(i).unwrap_or_default();
    if !aggregate.by_window {
        return Cow::Borrowed(key);
    }
    let (start, end) = flow.window(i).unwrap_or((NEVER, NEVER));
    Cow::Owned(windowed_group(key, start, end))
}
