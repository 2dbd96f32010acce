//! Grouping and folding, without windows or with windows on a grid: which groups a batch touches, what is late, which
//! windows close, what comes out.
//!
//! A batch is folded in one call and gives what its records would give one by one: lateness is decided record by record
//! beforehand, so a window that closes inside the batch receives nothing behind the record that closed it, and its
//! result carries that record's row.

pub(crate) mod retract;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;

use super::Cx;
use super::clock::{ByUpstream, NodeClock, Observed, Passed, Walk, droppable};
use super::finish::{self, Leaving, Results};
use super::fold::{self, Chosen, Member};
use super::migrate::sweep::Sweep;
use super::migrate::{self, Of};
use crate::decode::Row;
use crate::emit::Reason;
use crate::error::Verdict;
use crate::flow::{Flow, NO_ROW};
use crate::limits::Refusal;
use crate::record::Timestamp;
use crate::slicing::Slicing;
use crate::state::key::{StoreKind, split_windowed_group, windowed_group};
use crate::state::sessions::Sessions;
use crate::state::slices::Slices;
use crate::state::store::{Ahead, Change, Ground, Slot, Store, hash};
use crate::time::NEVER;
use crate::topology::graph::{AggregateNode, Node};
use crate::topology::spec::{Emit, Fold, WindowForm};
use crate::window::{Cursor, Grid};

/// How far an aggregate has come in time, in a task.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    /// The largest timestamp seen here.
    pub observed: Timestamp,
    /// Closing time up to which windows were closed.
    pub closed: Timestamp,
    /// The upstream tasks it goes by; `None`: it goes by what it has seen.
    pub clock: Option<NodeClock>,
}

impl Times {
    /// Closing time.
    pub fn closing(&self) -> Timestamp {
        self.clock.as_ref().map_or(self.observed, |clock| clock.clock.closing())
    }

    /// Goes on to where a walk over a batch has come.
    pub fn pass(&mut self, flow: &Flow, passed: &mut Passed) {
        match passed.clock.take() {
            Some(clock) => {
                self.clock = Some(clock);
                let newest = flow.batch.timestamps.iter().copied().max();
                self.observed = self.observed.max(newest.unwrap_or(NEVER));
            }
            None => self.observed = self.observed.max(passed.closing),
        }
    }
}

/// An aggregate's state in a task.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub times: Times,
    pub store: Held,
    /// What there is to do about states in another layout.
    pub sweep: Sweep,
}

/// What an aggregate keeps.
#[derive(Clone, Debug)]
pub(crate) enum Held {
    /// Groups, by window where there are windows.
    Groups(Store),
    /// Sessions.
    Sessions(Sessions),
    /// Slices of windows.
    Slices(Box<Slices>),
}

impl Held {
    /// Opens what an aggregate keeps; `closed`: up to where windows were closed.
    ///
    /// # Errors
    /// Those of the database; corrupted where what was planned does not go together.
    pub fn open(a: &AggregateNode, ground: Ground<'_>, closed: Timestamp) -> Result<Self, Verdict> {
        let groups = |kind| Store::open(kind, ground).map(Held::Groups);
        Ok(match (a.spec.window.map(|w| w.form), a.by_window) {
            (Some(WindowForm::Session { .. }), _) => Held::Sessions(Sessions::open(ground)?),
            (Some(WindowForm::Sliding { .. } | WindowForm::Panes { .. }), _) => {
                let slicing = a.spec.window.and_then(Slicing::of);
                let planned = || Verdict::Corrupted("slices of other windows were planned".into());
                let closes = a.spec.emit == Emit::OnClose;
                Held::Slices(Box::new(Slices::open(ground, slicing.ok_or_else(planned)?, closes, closed)?))
            }
            (Some(WindowForm::Hopping { .. } | WindowForm::Cumulating { .. } | WindowForm::Calendar(_)), _) => {
                groups(StoreKind::Window)?
            }
            (None, true) => groups(StoreKind::WindowedKeyValue)?,
            (None, false) => groups(StoreKind::KeyValue)?,
        })
    }

    /// Whether any window or session is there.
    pub fn has_windows(&self) -> bool {
        match self {
            Held::Groups(store) => store.has_windows(),
            Held::Sessions(store) => store.has_any(),
            Held::Slices(store) => store.has_any(),
        }
    }

    /// Bytes in memory, estimated.
    pub fn bytes(&self) -> usize {
        match self {
            Held::Groups(store) => store.bytes(),
            Held::Sessions(store) => store.bytes(),
            Held::Slices(store) => store.bytes(),
        }
    }

    /// Bytes of what has changed in the open interval, estimated.
    pub fn changed_bytes(&self) -> usize {
        match self {
            Held::Groups(store) => store.changed_bytes(),
            Held::Sessions(store) => store.changed_bytes(),
            Held::Slices(store) => store.changed_bytes(),
        }
    }

    /// Lets go of what the database has, when more than `limit_bytes` are held.
    pub fn shrink(&mut self, limit_bytes: usize) {
        match self {
            Held::Groups(store) => store.shrink(limit_bytes),
            Held::Sessions(store) => {
                store.shrink(limit_bytes);
            }
            Held::Slices(store) => store.shrink(limit_bytes),
        }
    }

    /// The changes of the interval.
    pub fn take_changes(&mut self) -> Vec<Change> {
        match self {
            Held::Groups(store) => store.take_changes(),
            Held::Sessions(store) => store.take_changes(),
            Held::Slices(store) => store.take_changes(),
        }
    }
}

/// A store as an aggregate works with it.
pub(crate) trait Grouped: Sized {
    /// Takes a batch in; gives what comes out of it at once.
    fn take<W: Walk>(cx: &mut Cx<'_, '_>, step: &mut Step<'_, Self>, flow: &Flow, walk: W) -> Result<Flow, Verdict>;

    /// Closes every open window, as if time had reached its end: for `test --flush`.
    fn flush(cx: &mut Cx<'_, '_>, step: &mut Step<'_, Self>) -> Result<Flow, Verdict>;

    /// At the end of an interval: the last result of each group that changed, then windows that have passed are dropped.
    fn end_interval(cx: &mut Cx<'_, '_>, step: &mut Step<'_, Self>) -> Result<Flow, Verdict>;
}

/// An aggregate at work: its place in the plan beside its state.
pub(crate) struct Step<'s, S = Store> {
    pub node: &'s Node,
    pub aggregate: &'s AggregateNode,
    pub times: &'s mut Times,
    pub store: &'s mut S,
}

impl<S> Step<'_, S> {
    /// Whether a result comes out after every record.
    pub fn every_update(&self) -> bool {
        self.aggregate.spec.emit_every_update && self.aggregate.spec.emit == Emit::OnUpdate
    }

    /// Whether anybody asks where time has moved.
    fn notes_time(&self) -> bool {
        self.on_close() || self.aggregate.spec.window.and_then(Slicing::of).is_some()
    }

    /// Whether results come out when windows close.
    pub fn on_close(&self) -> bool {
        self.aggregate.spec.window.is_some() && self.aggregate.spec.emit == Emit::OnClose
    }
}

impl Step<'_> {
    fn grid(&self) -> Option<Grid> {
        self.aggregate.spec.window.and_then(Grid::of)
    }

    fn leaving(&self, row: u32, slot: Slot) -> Leaving<'_> {
        let (group, entry) = self.store.entry(slot);
        let (window, key) = (fold::bounds(self.aggregate, slot, group), own_key(self.aggregate, group));
        Leaving { row, key, window, state: entry.state(), timestamp: entry.timestamp, was: entry.was }
    }
}

/// Takes a batch in; gives what comes out of it at once. `rows`: what the rows of the polled batch say of time.
pub(crate) fn process<S: Grouped>(
    cx: &mut Cx<'_, '_>,
    step: &mut Step<'_, S>,
    flow: &Flow,
    rows: &[Row],
) -> Result<Flow, Verdict> {
    match step.times.clock.clone() {
        Some(clock) => S::take(cx, step, flow, ByUpstream::new(flow, rows, clock)),
        None if flow.is_empty() => Ok(cx.empty.clone()),
        None => {
            let walk = Observed::new(flow, step.times.observed, step.notes_time());
            S::take(cx, step, flow, walk)
        }
    }
}

impl Grouped for Store {
    fn take<W: Walk>(cx: &mut Cx<'_, '_>, step: &mut Step<'_>, flow: &Flow, walk: W) -> Result<Flow, Verdict> {
        if step.aggregate.of_table {
            return retract::take(cx, step, flow);
        }
        read_ahead(cx, step, flow)?;
        let mut results = Results::default();
        let (gone, mut passed) = if let Fold::Scan { .. } = step.aggregate.spec.fold {
            fold_batch(cx, step, flow, walk, &mut results)?
        } else if step.every_update() {
            every_update(cx, step, flow, walk, &mut results)?
        } else if let Fold::Count(_) = step.aggregate.spec.fold {
            count(cx, step, flow, walk)?
        } else {
            fold_batch(cx, step, flow, walk, &mut results)?
        };
        for (i, reason) in gone {
            leave(cx, step, flow, i, reason)?;
        }
        step.times.pass(flow, &mut passed);
        if let Some(grid) = step.grid().filter(|_| step.on_close()) {
            close(cx, step, grid, &passed, &mut results)?;
        }
        step.times.closed = step.times.closed.max(passed.closing);
        Ok(results.flow(cx.empty))
    }

    fn flush(cx: &mut Cx<'_, '_>, step: &mut Step<'_>) -> Result<Flow, Verdict> {
        let mut results = Results::default();
        if step.on_close() {
            while let Some(mark) = step.store.first_window() {
                close_one(cx, step, mark, NO_ROW, &mut results)?;
            }
        }
        Ok(results.flow(cx.empty))
    }

    fn end_interval(cx: &mut Cx<'_, '_>, step: &mut Step<'_>) -> Result<Flow, Verdict> {
        if step.on_close() {
            return Ok(cx.empty.clone());
        }
        let mut results = Results::default();
        if !step.aggregate.spec.emit_every_update {
            let changed = step.store.changed();
            let changed: Vec<Leaving<'_>> = changed.into_iter().map(|slot| step.leaving(NO_ROW, slot)).collect();
            finish::updates(cx, step.node, step.aggregate, &changed, &mut results)?;
        }
        if let Some(grid) = step.grid() {
            let until = grid.closed_marks(step.times.closed);
            while let Some(mark) = step.store.first_window().filter(|mark| *mark <= until) {
                step.store.drop_window(mark);
            }
        }
        Ok(results.flow(cx.empty))
    }
}

/// Reads the groups of a batch's records together, where they are not in memory: also those that will turn out to be late.
fn read_ahead(cx: &Cx<'_, '_>, step: &mut Step<'_>, flow: &Flow) -> Result<(), Verdict> {
    if !step.store.reads() {
        return Ok(());
    }
    let (aggregate, ground, mut ahead) = (step.aggregate, ground(cx, step.aggregate.store), Ahead::default());
    let mut windows = step.grid().map(Cursor::new);
    for i in (0..flow.len()).filter(|i| droppable(flow, *i).is_none()) {
        let group = group_key(aggregate, flow, i);
        match &mut windows {
            None => step.store.want(ground, None, &group, &mut ahead),
            Some(windows) => windows
                .open(flow.batch.timestamps[i], NEVER)
                .for_each(|mark| step.store.want(ground, Some(mark), &group, &mut ahead)),
        }
    }
    Ok(step.store.read_ahead(ground, ahead)?)
}

/// Records that leave because they have no key, no value or are late, by place in the flow.
pub(crate) type Gone = Vec<(usize, Reason)>;

/// The built-in count: it refuses nothing, so nothing has to be staged.
fn count<W: Walk>(cx: &Cx<'_, '_>, step: &mut Step<'_>, flow: &Flow, mut walk: W) -> Result<(Gone, Passed), Verdict> {
    let (aggregate, store) = (step.aggregate, &mut *step.store);
    let ground = ground(cx, aggregate.store);
    let mut gone = Gone::new();
    let mut windows = aggregate.spec.window.and_then(Grid::of).map(Cursor::new);
    for i in 0..flow.len() {
        if let Some(reason) = droppable(flow, i) {
            gone.push((i, reason));
            continue;
        }
        let (own, closing) = walk.enter(i);
        let time = flow.batch.timestamps[i];
        let group = group_key(aggregate, flow, i);
        let hash = hash(&group);
        let Some(windows) = &mut windows else {
            store.count(ground, None, hash, &group, time)?;
            continue;
        };
        let open = windows.open(time, own.max(closing));
        if open.is_empty() {
            gone.push((i, why_gone(windows, time, own)));
        }
        for mark in open {
            store.count(ground, Some(mark), hash, &group, time)?;
        }
    }
    Ok((gone, walk.finish()))
}

/// Reduce, aggregate and scan. Records that the function refuses altogether have not moved time, and which those are is only
/// known afterwards: where that changes who belongs where, the batch is folded again.
fn fold_batch<W: Walk>(
    cx: &mut Cx<'_, '_>,
    step: &mut Step<'_>,
    flow: &Flow,
    walk: W,
    results: &mut Results,
) -> Result<(Gone, Passed), Verdict> {
    let mut refused = Vec::new();
    let asked = step.aggregate.function.iter().chain(&step.aggregate.adders);
    let shows_times = asked.into_iter().any(|f| cx.ports.functions.wants_stream_times(cx.active[*f].prepared));
    let mut judged = judge(step.aggregate, flow, walk.clone(), &refused);
    // Each round is right for at least one record more, so this ends; mostly in the first round.
    loop {
        let chosen = Chosen { members: &judged.members, own: &judged.own, base: 0 };
        let mut staged = fold::stage(cx, step, flow, chosen)?;
        let now_refused = staged.refused_altogether(&judged.members);
        if now_refused != refused {
            refused = now_refused;
            let again = judge(step.aggregate, flow, walk.clone(), &refused);
            let same = again.members == judged.members && (!shows_times || again.own == judged.own);
            judged = again;
            if !same {
                continue;
            }
        }
        for came in staged.take_came() {
            let at = came.member.record as usize;
            let grid = step.grid().zip(came.member.mark).map(|(grid, mark)| grid.bounds(mark));
            let window = if step.aggregate.by_window { flow.window(at) } else { grid };
            let (row, key) = (flow.row(at), flow.batch.keys.get(at).unwrap_or_default());
            let group = Leaving { row, key, window, state: None, timestamp: came.timestamp, was: true };
            results.push(&group, Some(&came.value));
        }
        staged.apply(cx, step, flow)?;
        return Ok((judged.gone, judged.passed));
    }
}

/// A result after every record: one after the other, as each may be refused.
fn every_update<W: Walk>(
    cx: &mut Cx<'_, '_>,
    step: &mut Step<'_>,
    flow: &Flow,
    mut walk: W,
    results: &mut Results,
) -> Result<(Gone, Passed), Verdict> {
    let mut gone = Gone::new();
    let mut members = Vec::new();
    let mut windows = step.grid().map(Cursor::new);
    for i in 0..flow.len() {
        members.clear();
        let own = match members_of(flow, i, &mut windows, &mut walk, &mut members) {
            Ok(own) => own,
            Err(reason) => {
                gone.push((i, reason));
                continue;
            }
        };
        let touched = if let Fold::Count(_) = step.aggregate.spec.fold {
            count_record(cx, step, flow, &members)?
        } else {
            let staged = fold::stage(cx, step, flow, Chosen { members: &members, own: &[own], base: i })?;
            if !staged.refused_altogether(&members).is_empty() {
                walk.refuse();
            }
            staged.apply(cx, step, flow)?
        };
        // Of groups that are gone only those are here that were there before the record.
        let leaving = |slot: Slot| Leaving { was: true, ..step.leaving(flow.row(i), slot) };
        let changed: Vec<Leaving<'_>> = touched.into_iter().map(leaving).collect();
        finish::updates(cx, step.node, step.aggregate, &changed, results)?;
    }
    Ok((gone, walk.finish()))
}

/// Counts one record in its groups.
fn count_record(cx: &Cx<'_, '_>, step: &mut Step<'_>, flow: &Flow, members: &[Member]) -> Result<Vec<Slot>, Verdict> {
    let (aggregate, store) = (step.aggregate, &mut *step.store);
    let mut slots = Vec::with_capacity(members.len());
    for member in members {
        let i = member.record as usize;
        let group = group_key(aggregate, flow, i);
        let (hash, time) = (hash(&group), flow.batch.timestamps[i]);
        slots.push(store.count(ground(cx, aggregate.store), member.mark, hash, &group, time)?);
    }
    Ok(slots)
}

struct Judged {
    members: Vec<Member>,
    gone: Gone,
    /// Stream time of each record's own task with it.
    own: Vec<Timestamp>,
    passed: Passed,
}

/// Which groups each record belongs to, and which records leave.
fn judge<W: Walk>(aggregate: &AggregateNode, flow: &Flow, mut walk: W, refused: &[u32]) -> Judged {
    let (mut members, mut gone, mut own) =
        (Vec::with_capacity(flow.len()), Gone::new(), Vec::with_capacity(flow.len()));
    let mut windows = aggregate.spec.window.and_then(Grid::of).map(Cursor::new);
    for i in 0..flow.len() {
        match members_of(flow, i, &mut windows, &mut walk, &mut members) {
            Ok(time) => own.push(time),
            Err(reason) => {
                own.push(own.last().copied().unwrap_or(NEVER));
                gone.push((i, reason));
            }
        }
        if refused.binary_search(&(i as u32)).is_ok() {
            walk.refuse();
        }
    }
    Judged { members, gone, own, passed: walk.finish() }
}

/// Adds the open windows of a record; gives its own task's stream time, or why it leaves.
fn members_of<W: Walk>(
    flow: &Flow,
    i: usize,
    windows: &mut Option<Cursor>,
    walk: &mut W,
    members: &mut Vec<Member>,
) -> Result<Timestamp, Reason> {
    if let Some(reason) = droppable(flow, i) {
        return Err(reason);
    }
    let (own, closing) = walk.enter(i);
    let Some(windows) = windows else {
        members.push(Member { record: i as u32, mark: None });
        return Ok(own);
    };
    let time = flow.batch.timestamps[i];
    let open = windows.open(time, own.max(closing));
    if open.is_empty() {
        return Err(why_gone(windows, time, own));
    }
    members.extend(open.map(|mark| Member { record: i as u32, mark: Some(mark) }));
    Ok(own)
}

/// Why a record without an open window leaves: it is late by its own task's time, or that task had been idle.
fn why_gone(windows: &mut Cursor, time: Timestamp, own: Timestamp) -> Reason {
    let open = !windows.open(time, own).is_empty();
    if open { Reason::LateAfterIdle } else { Reason::Late }
}

/// Counts a record that leaves without a result; late ones may have a topic of their own. One that is late and that this
/// topic does not take is counted for both.
pub(crate) fn leave<S>(
    cx: &mut Cx<'_, '_>,
    step: &Step<'_, S>,
    flow: &Flow,
    i: usize,
    reason: Reason,
) -> Result<(), Verdict> {
    leave_to(cx, step.node, step.aggregate.late, flow, i, reason)
}

/// The same; `late`: number of the topic for late records.
pub(crate) fn leave_to(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    late: Option<usize>,
    flow: &Flow,
    i: usize,
    reason: Reason,
) -> Result<(), Verdict> {
    cx.out.dropped(&node.name, reason);
    let (Some(number), Reason::Late | Reason::LateAfterIdle) = (late, reason) else { return Ok(()) };
    let Some(refusal) = to_late(cx, number, flow, i) else { return Ok(()) };
    cx.refuse_all(node, number, flow, &[(i, refusal)])
}

/// Writes a record that came too late to a topic, or says why that does not take it.
pub(crate) fn to_late(cx: &mut Cx<'_, '_>, number: usize, flow: &Flow, i: usize) -> Option<Refusal> {
    let (batch, topic) = (&flow.batch, &cx.topology.topics[number]);
    let (key, value, timestamp) = (batch.keys.get(i), batch.values.get(i), batch.timestamps[i]);
    let headers = || batch.headers.iter().flat_map(|h| h.of(i));
    let payload_bytes = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
    if let Some(refusal) = topic.limits.refuse(cx.now.wall, payload_bytes, timestamp, headers()) {
        return Some(refusal);
    }
    let partition = crate::emit::sink_partition(key, cx.partition, topic.partitions);
    cx.out.push(number, partition, key, value, timestamp, headers());
    None
}

/// Closes windows, in order of their end, at the row that moved closing time past it.
fn close(
    cx: &mut Cx<'_, '_>,
    step: &mut Step<'_>,
    grid: Grid,
    passed: &Passed,
    results: &mut Results,
) -> Result<(), Verdict> {
    let until = grid.closed_marks(passed.closing);
    let mut steps = passed.steps.iter().peekable();
    while let Some(mark) = step.store.first_window().filter(|mark| *mark <= until) {
        while steps.peek().is_some_and(|(_, time)| grid.closed_marks(*time) < mark) {
            steps.next();
        }
        // A window that was closed before this batch, and is still here, was opened by a changed manifest.
        let row = steps.peek().map_or(NO_ROW, |(row, _)| *row);
        close_one(cx, step, mark, row, results)?;
    }
    Ok(())
}

fn close_one(
    cx: &mut Cx<'_, '_>,
    step: &mut Step<'_>,
    mark: Timestamp,
    row: u32,
    results: &mut Results,
) -> Result<(), Verdict> {
    let groups = step.store.groups_of(ground(cx, step.aggregate.store), mark)?;
    if let Some(of) = Of::aggregate(step.node, step.aggregate) {
        migrate::bring(cx, &of, step.store, &groups)?;
    }
    let groups: Vec<Leaving<'_>> = groups.into_iter().map(|slot| step.leaving(row, slot)).collect();
    finish::finals(cx, step.node, step.aggregate, &groups, results)?;
    step.store.drop_window(mark);
    Ok(())
}

pub(crate) fn ground<'a>(cx: &Cx<'a, '_>, store: usize) -> Ground<'a> {
    Ground { db: cx.ports.db, space: cx.ports.spaces[store], prefix: cx.ports.prefix }
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

/// A group's key without the window that may be in it.
pub(crate) fn own_key<'k>(aggregate: &AggregateNode, group: &'k [u8]) -> &'k [u8] {
    match split_windowed_group(group) {
        Some((own, _, _)) if aggregate.by_window => own,
        _ => group,
    }
}
