//! Two streams joined in windows: a record meets those of the other side whose time is near enough to its own, as far as they have
//! come before it, and waits for those that come behind it.
//!
//! ```text
//! left      ●a@10                                     window of a: 10 − before ..= 10 + after, for records of the right
//! right            ○A@12        ○B@19                 window of A: 12 − after ..= 12 + before, for records of the left
//! result           a·A@12                             with before = 0, after = 5
//! ```
//!
//! A record's window has closed when closing time is past its end by more than the grace. What has met no partner by then comes out
//! alone, where its side is kept. Whom a record meets follows from sides, keys and times, so all pairs of a batch are known before the
//! joiner is asked, and a pair that it refuses has met all the same.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::pairs::{Pair, Pairs};
use crate::decode::Row;
use crate::emit::Reason;
use crate::error::Verdict;
use crate::flow::{DERIVED, Flow, NO_ROW};
use crate::limits::Refusal;
use crate::operator::aggregate::{Times, ground, to_late};
use crate::operator::clock::{ByUpstream, Observed, Walk};
use crate::operator::table::row_key;
use crate::operator::{Cx, Ports};
use crate::record::{Header, Timestamp};
use crate::state::buffer::{Buffer, Ended, Side};
use crate::state::key::{split_windowed_group, waiting};
use crate::state::store::{Change, Ground};
use crate::state::waiting::{form, open};
use crate::time::NEVER;
use crate::topology::graph::{Node, StreamJoinNode};
use crate::topology::spec::{JoinKind, JoinWindow};

/// A join's state in a task.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub times: Times,
    buffer: Buffer,
}

impl State {
    /// Opens the store of a join.
    pub fn open(join: &StreamJoinNode, times: Times, ports: &Ports<'_>) -> Result<Self, Verdict> {
        let ground = Ground { db: ports.db, space: ports.spaces[join.store], prefix: ports.prefix };
        Ok(Self { times, buffer: Buffer::open(ground)? })
    }

    /// Whether something may still come out alone.
    pub fn holds(&self, kind: JoinKind) -> bool {
        [Side::Left, Side::Right].into_iter().any(|side| keeps(kind, side) && self.buffer.not_before(side).is_some())
    }

    /// Bytes in memory, estimated.
    pub fn bytes(&self) -> usize {
        self.buffer.bytes()
    }

    /// Bytes of what has changed in the open interval, estimated.
    pub fn changed_bytes(&self) -> usize {
        self.buffer.changed_bytes()
    }

    /// Lets go of what the database has, when the store holds more than `limit_bytes`.
    pub fn shrink(&mut self, limit_bytes: usize) {
        self.buffer.shrink(limit_bytes);
    }

    /// The changes of the interval.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.buffer.take_changes()
    }
}

/// A join at work: its place in the plan beside its state.
pub(crate) struct Step<'s> {
    pub node: &'s Node,
    pub join: &'s StreamJoinNode,
    pub state: &'s mut State,
}

/// Takes a batch in, of records of both sides, numbered as [`Flow::join`] does; gives what comes out. `rows`: what the rows of the
/// polled batch say of time.
pub(crate) fn streams(cx: &mut Cx<'_, '_>, step: &mut Step<'_>, flow: &Flow, rows: &[Row]) -> Result<Flow, Verdict> {
    match step.state.times.clock.clone() {
        Some(clock) => take(cx, step, flow, ByUpstream::new(flow, rows, clock)),
        None if flow.is_empty() => Ok(cx.empty.clone()),
        None => {
            let walk = Observed::new(flow, step.state.times.observed, true);
            take(cx, step, flow, walk)
        }
    }
}

/// Closes every window, as if time had reached its end: for `test --flush`.
pub(crate) fn flush(cx: &mut Cx<'_, '_>, step: &mut Step<'_>) -> Result<Flow, Verdict> {
    let mut run = Run { cx, node: step.node, join: step.join, buffer: &mut step.state.buffer, pairs: Pairs::default() };
    run.end([Timestamp::MAX; 2], NO_ROW)?;
    run.finish()
}

/// A batch on its way.
struct Run<'r, 's, 'a, 'p> {
    cx: &'r mut Cx<'a, 'p>,
    node: &'s Node,
    join: &'s StreamJoinNode,
    buffer: &'r mut Buffer,
    pairs: Pairs,
}

fn take<W: Walk>(cx: &mut Cx<'_, '_>, step: &mut Step<'_>, flow: &Flow, mut walk: W) -> Result<Flow, Verdict> {
    let State { times, buffer } = &mut *step.state;
    let mut run = Run { cx, node: step.node, join: step.join, buffer, pairs: Pairs::default() };
    let mut done = 0;
    for i in 0..flow.len() {
        let side = side_of(flow, i);
        if let Some(reason) = droppable(flow, i, keeps(run.join.kind, side)) {
            run.cx.out.dropped(&run.node.name, reason);
            continue;
        }
        if let Some(refusal) = run.too_large(flow, i, side) {
            let message = format!("the changelog of the join: {refusal}");
            run.refuse(flow, i, refusal.reason(), &message)?;
            continue;
        }
        let (own, closing) = walk.enter(i);
        done = run.close(walk.steps(), done)?;
        run.record(flow, i, side, (own, closing))?;
    }
    let mut passed = walk.finish();
    run.close(&passed.steps, done)?;
    let results = run.finish()?;
    times.pass(flow, &mut passed);
    times.closed = times.closed.max(passed.closing);
    Ok(results)
}

impl Run<'_, '_, '_, '_> {
    /// Ends what has closed by the steps of closing time from `done` on; gives how many there are.
    fn close(&mut self, steps: &[(u32, Timestamp)], done: usize) -> Result<usize, Verdict> {
        for (row, closing) in &steps[done..] {
            let below = [Side::Left, Side::Right].map(|side| self.join.window.closed_below(side as u32, *closing));
            self.end(below, *row)?;
        }
        Ok(steps.len())
    }

    /// Takes out what is older than its side's bound. What has met no partner comes out alone: by time, right before left, key, arrival.
    fn end(&mut self, below: [Timestamp; 2], row: u32) -> Result<(), Verdict> {
        let mut ended: Vec<(Side, Ended)> = Vec::new();
        for (side, below) in [(Side::Right, below[1]), (Side::Left, below[0])] {
            if self.buffer.not_before(side).is_some_and(|first| first < below) {
                let all = self.buffer.end(ground(self.cx, self.join.store), side, below)?;
                ended.extend(all.into_iter().filter(|ended| ended.alone.is_some()).map(|ended| (side, ended)));
            }
        }
        // Stable: the right side stands before the left, each in order of time, key and arrival.
        ended.sort_by_key(|(_, ended)| ended.time);
        for (side, Ended { time, who, alone, .. }) in ended {
            let record = alone.as_deref().and_then(open);
            let unknown =
                || Verdict::Corrupted("a stored record of a join has a form this version does not know".to_string());
            let record = record.ok_or_else(unknown)?;
            let (key, window) = match split_windowed_group(&who) {
                Some((key, start, end)) if self.join.by_window => (key, Some((start, end))),
                _ => (&who[..], None),
            };
            let pair = Pair { side, key: Some(key), own: record.value, other: None, time, row: row | DERIVED, window };
            self.pairs.push(&pair, record.headers);
            self.flush_if_full()?;
        }
        Ok(())
    }

    /// Takes a record in: it comes out with its partners, or at once alone, or is late; and waits.
    fn record(
        &mut self,
        flow: &Flow,
        i: usize,
        side: Side,
        (own, closing): (Timestamp, Timestamp),
    ) -> Result<(), Verdict> {
        let (time, value) = (flow.batch.timestamps[i], flow.batch.values.get(i).unwrap_or_default());
        let keeps = keeps(self.join.kind, side);
        if flow.batch.keys.is_null(i) {
            // It waits for nobody, so that it cannot be late either.
            self.pairs.push(&pair(flow, i, side, self.join.by_window), headers(flow, i));
            return self.flush_if_full();
        }
        let window = self.join.window;
        if time < window.closed_below(side as u32, own.max(closing)) {
            let late = time < window.closed_below(side as u32, own);
            return self.late(flow, i, if late { Reason::Late } else { Reason::LateAfterIdle });
        }
        let who = row_key(self.join.by_window, flow, i);
        let met = self.meet(flow, i, side, &who)?;
        let headers = headers(flow, i).filter(|_| keeps).collect();
        let record = form(keeps && !met, headers, value);
        self.buffer.add(ground(self.cx, self.join.store), side, &who, time, record)?;
        Ok(())
    }

    /// Pairs a record with all its partners; whether it has any.
    fn meet(&mut self, flow: &Flow, i: usize, side: Side, who: &[u8]) -> Result<bool, Verdict> {
        let Run { cx, node, join, buffer, pairs } = self;
        let (alone, ground) = (pair(flow, i, side, join.by_window), ground(cx, join.store));
        let span = join.window.partners(side as u32, alone.time);
        buffer.meet(ground, side.other(), who, span, &mut |time, value| {
            let pair = Pair { other: Some(value), time: alone.time.max(time), ..alone };
            pairs.push(&pair, headers(flow, i));
            if pairs.is_full() { pairs.flush(cx, node, join.function) } else { Ok(()) }
        })
    }

    fn flush_if_full(&mut self) -> Result<(), Verdict> {
        if self.pairs.is_full() { self.pairs.flush(self.cx, self.node, self.join.function) } else { Ok(()) }
    }

    /// Why the changelog would not take a record that is to wait.
    fn too_large(&self, flow: &Flow, i: usize, side: Side) -> Option<Refusal> {
        let limits = self.cx.sub.stores[self.join.store].limits;
        let (max, value) = limits.record_bytes_max.zip(flow.batch.values.get(i))?;
        if flow.batch.keys.is_null(i) {
            return None;
        }
        let kept = headers(flow, i).filter(|_| keeps(self.join.kind, side)).collect();
        let key = waiting(b"", side as u8, &row_key(self.join.by_window, flow, i), 0, 0);
        let bytes = limits.record_bytes(key.len() + form(true, kept, value).len(), []);
        (bytes > max).then_some(Refusal::TooLarge { bytes, max })
    }

    /// Does with a record what `on-error` says. What came before it is told of before it.
    fn refuse(&mut self, flow: &Flow, i: usize, reason: Reason, message: &str) -> Result<(), Verdict> {
        self.pairs.flush(self.cx, self.node, self.join.function)?;
        self.cx.refuse(self.node, None, flow, i, reason, message)
    }

    fn late(&mut self, flow: &Flow, i: usize, reason: Reason) -> Result<(), Verdict> {
        self.cx.out.dropped(&self.node.name, reason);
        let Some(topic) = self.join.late else { return Ok(()) };
        let Some(refusal) = to_late(self.cx, topic, flow, i) else { return Ok(()) };
        self.pairs.flush(self.cx, self.node, self.join.function)?;
        self.cx.refuse_all(self.node, topic, flow, &[(i, refusal)])
    }

    fn finish(mut self) -> Result<Flow, Verdict> {
        self.pairs.flush(self.cx, self.node, self.join.function)?;
        Ok(self.pairs.results(self.cx.empty))
    }
}

/// Whether a record of this side comes out alone when it has met no partner.
fn keeps(kind: JoinKind, side: Side) -> bool {
    match kind {
        JoinKind::Inner => false,
        JoinKind::Left => side == Side::Left,
        JoinKind::Outer => true,
    }
}

fn side_of(flow: &Flow, i: usize) -> Side {
    match flow.inputs.as_ref().map_or(0, |inputs| inputs[i]) {
        0 => Side::Left,
        _ => Side::Right,
    }
}

/// A record of a flow alone.
fn pair(flow: &Flow, i: usize, side: Side, by_window: bool) -> Pair<'_> {
    Pair {
        side,
        key: flow.batch.keys.get(i),
        own: flow.batch.values.get(i).unwrap_or_default(),
        other: None,
        time: flow.batch.timestamps[i],
        row: flow.origin(i).unwrap_or(flow.row(i) | DERIVED),
        window: flow.window(i).filter(|_| by_window),
    }
}

fn headers(flow: &Flow, i: usize) -> impl Iterator<Item = Header<'_>> {
    flow.batch.headers.iter().flat_map(move |headers| headers.of(i))
}

/// Why a record is not looked at. Without a key it has no partner, which matters where its side is kept.
fn droppable(flow: &Flow, i: usize, keeps: bool) -> Option<Reason> {
    if flow.batch.keys.is_null(i) && !keeps {
        return Some(Reason::NullKey);
    }
    flow.batch.values.is_null(i).then_some(Reason::NullValue)
}

impl JoinWindow {
    /// First and last time of the partners of a record; `side`: 0 left, 1 right.
    pub(crate) fn partners(self, side: u32, time: Timestamp) -> (Timestamp, Timestamp) {
        let (back, on) = if side == 0 { (self.before_ms, self.after_ms) } else { (self.after_ms, self.before_ms) };
        (time.saturating_sub(back), time.saturating_add(on))
    }

    /// The window of every record of a side that is older than this has closed at `time`.
    pub(crate) fn closed_below(self, side: u32, time: Timestamp) -> Timestamp {
        let on = if side == 0 { self.after_ms } else { self.before_ms };
        if time == NEVER { NEVER } else { time.saturating_sub(on).saturating_sub(self.grace_ms) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn windows_are_those_of_the_definition(
            before_ms in 0i64..20, after_ms in 0i64..20, grace_ms in 0i64..9, left in 0i64..60, right in 0i64..60, now in 0i64..90
        ) {
            let window = JoinWindow { before_ms, after_ms, grace_ms };
            let meets = -before_ms <= right - left && right - left <= after_ms;
            let within = |(from, to): (i64, i64), t: i64| from <= t && t <= to;
            prop_assert_eq!(within(window.partners(0, left), right), meets);
            prop_assert_eq!(within(window.partners(1, right), left), meets);
            prop_assert_eq!(left < window.closed_below(0, now), left + after_ms + grace_ms < now);
            prop_assert_eq!(right < window.closed_below(1, now), right + before_ms + grace_ms < now);
        }
    }

    #[test]
    fn the_edges_of_time() {
        let window = JoinWindow { before_ms: i64::MAX, after_ms: i64::MAX, grace_ms: i64::MAX };
        assert_eq!(window.partners(0, 5), (5 - i64::MAX, i64::MAX));
        assert!(window.closed_below(0, i64::MAX) < 0 && window.closed_below(1, NEVER) == NEVER);
        let window = JoinWindow { before_ms: 0, after_ms: 1, grace_ms: 0 };
        assert_eq!((window.closed_below(0, i64::MAX), window.closed_below(1, i64::MAX)), (i64::MAX - 1, i64::MAX));
    }
}
